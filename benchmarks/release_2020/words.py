"""Codes and the words that they detect, of the utterances of a list and its HDF5 file, as the 2020 release does.

    python words.py EXPERIMENT ROWS.json AUDIO.h5 OUT

writes OUT/quantN.txt of every quantizer: a line a word with its best code and its F1, precision and recall.
"""

from __future__ import annotations

import json
import math
import sys
from collections import Counter, defaultdict
from pathlib import Path

import numpy as np

HALF_WINDOW, SILENCE = 0.04, "<SIL>"
STOP_WORDS = {"A", "AN", "THE", "AND", "OF", "<SPOKEN_NOISE>", "TO", "ON", "IN", "AT", "ARE", "IS", "IT", "HE", "SHE"}
STOP_WORDS |= {"YOU", "THERE", "THIS"}

Spoken = list[tuple[float, float, str]]
"""(start, end, word) of an utterance, in seconds."""


def detections(spoken: list[Spoken], codes: list[np.ndarray], period: float) -> tuple[dict, dict]:
    """(word to rows of code, F1, precision, recall, hits; code to rows of word, precision, frames), each best first."""
    frames: Counter = Counter()
    touched: dict = defaultdict(Counter)
    total: Counter = Counter()
    hit: dict = defaultdict(Counter)
    for words, units in zip(spoken, codes, strict=True):
        passed = 0
        for f, code in enumerate(units.tolist()):
            center = (f + 0.5) * period
            begin, end = center - HALF_WINDOW, center + HALF_WINDOW
            while passed < len(words) and begin > words[passed][1]:
                passed += 1
            reached = passed
            here = set()
            while reached < len(words) and words[reached][0] < end:
                here.add(words[reached][2])
                reached += 1
            frames[code] += 1
            for word in here or (SILENCE,):
                touched[code][word] += 1
        for start, end, word in words:
            total[word] += 1
            for code in set(units[math.floor(start / period) : math.ceil(end / period)].tolist()):
                hit[word][code] += 1
    precision = {
        code: sorted(
            ((w, n / frames[code], n) for w, n in table.items() if w not in STOP_WORDS),
            key=lambda row: (-row[1], row[0]),
        )
        for code, table in touched.items()
    }
    value = {code: {w: p for w, p, _ in rows} for code, rows in precision.items()}
    f1 = {}
    for word, table in hit.items():
        rows = []
        for code, n in table.items():
            p, r = value.get(code, {}).get(word, 0), n / total[word]
            rows.append((code, 2 * p * r / (p + r) if p + r else 0, p, r, n))
        f1[word] = sorted(rows, key=lambda row: (-row[1], -row[4], row[0]))
    return f1, precision


def alignment(row: dict[str, str]) -> Spoken:
    """The words of a row."""
    parts = (token.split("__") for token in row["text_alignment"].split())
    return [(float(start), float(end), word) for start, word, end in parts]


def encode(experiment: Path, audio_path: Path) -> dict[int, list[np.ndarray]]:
    """Codes of every utterance by quantizer, one utterance at a time, cropped to its frames."""
    import h5py
    import torch
    from network import QUANTIZERS, load_audio

    model = load_audio(experiment)
    codes: dict[int, list[np.ndarray]] = {n: [] for n in QUANTIZERS}
    with h5py.File(audio_path) as audio, torch.no_grad():
        for i in range(len(audio["melspec"])):
            n_frames = int(audio["melspec_len"][i])
            _, one_hot, _ = model(torch.FloatTensor(audio["melspec"][i])[None, :, :n_frames])
            for n in QUANTIZERS:
                valid = one_hot[n][: max(1, n_frames >> (n - 1))].numpy()
                codes[n].append(np.array([int(row.argmax()) for row in valid]))
    return codes


if __name__ == "__main__":
    experiment, rows_path, audio_path, out = map(Path, sys.argv[1:5])
    spoken = [alignment(row) for row in json.loads(rows_path.read_text())["data"]]
    out.mkdir(exist_ok=True)
    for n, codes in encode(experiment, audio_path).items():
        by_word, _ = detections(spoken, codes, 0.01 * 2 ** (n - 1))
        with (out / f"quant{n}.txt").open("w") as f:
            for word, rows in sorted(by_word.items(), key=lambda item: -item[1][0][1]):
                print(word, *rows[0][:4], file=f)
