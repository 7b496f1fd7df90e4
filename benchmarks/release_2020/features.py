"""Code vectors of the recordings of a folder as text files for ABX, as the 2020 release does.

    python features.py EXPERIMENT WAVS OUT

writes OUT/quantN/ID.txt, a line a frame.
"""

from __future__ import annotations

import sys
from pathlib import Path

import librosa
import numpy as np
import torch
from network import QUANTIZERS, load_audio
from prepare import log_mel

if __name__ == "__main__":
    experiment, wavs, out = map(Path, sys.argv[1:4])
    model = load_audio(experiment)
    for n in QUANTIZERS:
        (out / f"quant{n}").mkdir(parents=True, exist_ok=True)
    with torch.no_grad():
        for wav in sorted(wavs.iterdir()):
            samples, _ = librosa.load(wav, sr=None)
            logmel, n_frames = log_mel(samples)
            _, _, vectors = model(torch.FloatTensor(logmel[None, :, :n_frames]))
            for n in QUANTIZERS:
                frames = vectors[n][0, :, 0, : max(1, n_frames >> (n - 1))].numpy().T
                np.savetxt(out / f"quant{n}" / f"{wav.stem}.txt", frames, fmt="%.3f")
