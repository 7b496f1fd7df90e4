"""Recordings and images of a list to two HDF5 files, as the 2020 release does.

python prepare.py ROWS.json AUDIO.h5 IMAGES.h5
"""

from __future__ import annotations

import json
import sys
from pathlib import Path

import h5py
import librosa
import numpy as np

LONGEST = 2048


def log_mel(samples: np.ndarray) -> tuple[np.ndarray, int]:
    """Log-mel features (40, 2048), padded with 0, and the number of frames."""
    y = samples - samples.mean()
    y = np.append(y[0], y[1:] - 0.97 * y[:-1])
    padded = np.pad(y, 200, mode="reflect")
    n_frames = 1 + len(y) // 160
    frames = np.lib.stride_tricks.as_strided(padded, (400, n_frames), (padded.itemsize, 160 * padded.itemsize))
    spectrum = np.empty((201, n_frames), np.complex64, order="F")
    window = np.hamming(400)[:, None]
    for start in range(0, n_frames, 80):
        spectrum[:, start : start + 80] = np.fft.rfft(window * frames[:, start : start + 80], axis=0)
    mel = librosa.filters.mel(sr=16000, n_fft=400, n_mels=40, fmin=20) @ np.abs(spectrum) ** 2
    decibels = 10 * np.log10(np.maximum(1e-10, mel)) - 10 * np.log10(np.maximum(1e-10, mel.max()))
    decibels = np.maximum(decibels, decibels.max() - 80)
    return np.pad(decibels, ((0, 0), (0, max(0, LONGEST - n_frames))))[:, :LONGEST], min(n_frames, LONGEST)


def prepare(rows: list[dict[str, str]], folder: Path, audio_path: Path, image_path: Path) -> None:
    """Fixed-size float32 features and the bytes of images, one row after another."""
    with h5py.File(audio_path, "w") as audio, h5py.File(image_path, "w") as images:
        melspec = audio.create_dataset("melspec", (len(rows), 40, LONGEST), "f4")
        lengths = audio.create_dataset("melspec_len", (len(rows),), "i8")
        image = images.create_dataset("image", (len(rows),), h5py.special_dtype(vlen=np.uint8))
        for i, row in enumerate(rows):
            samples, _ = librosa.load(folder / row["wav"], sr=None)
            melspec[i], lengths[i] = log_mel(samples)
            image[i] = np.frombuffer((folder / row["image"]).read_bytes(), np.uint8)


if __name__ == "__main__":
    path = Path(sys.argv[1])
    prepare(json.loads(path.read_text())["data"], path.parent, *map(Path, sys.argv[2:4]))
