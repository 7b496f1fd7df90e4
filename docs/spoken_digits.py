"""A small corpus of human speech: two spoken digits a caption, and a picture of the two.

    git clone https://github.com/Jakobovski/free-spoken-digit-dataset
    python docs/spoken_digits.py free-spoken-digit-dataset/recordings digits

The Free Spoken Digit Dataset (Jackson et al., CC BY-SA 4.0) has 3,000 recordings of ten digits by six speakers; their
names say the digit and the speaker. Each is used once: 1,500 captions of two digits by one speaker, with 0.1 s between
them. A picture has two handwritten digits of scikit-learn (from UCI's Optical Recognition of Handwritten Digits), in
any colour, size and place, the first one on the left; test pictures have digits that no training picture has.

Writes train.json, val.json and test.json in the layout of Places Audio, with aligned words, and audio/ and images/.
"""

import json
import sys
from collections import defaultdict
from pathlib import Path

import numpy as np
import soundfile
from PIL import Image
from sklearn.datasets import load_digits

WORDS = ("ZERO", "ONE", "TWO", "THREE", "FOUR", "FIVE", "SIX", "SEVEN", "EIGHT", "NINE")
SPLITS = {"train": 184, "val": 33, "test": 33}
"""Captions of each of the six speakers."""
PAUSE = 0.1
SIDE = 72
HELD_OUT = 50
"""Handwritten digits of each kind that only validation and test have."""


def picture(digits: tuple[int, int], drawn: list[np.ndarray], random: np.random.Generator) -> Image.Image:
    """Two handwritten digits on a dark ground; `drawn` has (n, 8, 8) of each kind."""
    canvas = random.integers(0, 60, 3) + random.normal(0, 6, (SIDE, SIDE, 3))
    for column, digit in enumerate(digits):
        size = int(random.integers(24, 33))
        shape = drawn[digit][random.integers(len(drawn[digit]))]
        mask = np.asarray(
            Image.fromarray((shape * 15.9).astype(np.uint8)).resize((size, size), Image.Resampling.BICUBIC)
        )
        top, left = random.integers(0, SIDE - size + 1), column * SIDE // 2 + random.integers(0, SIDE // 2 - size + 1)
        part = canvas[top : top + size, left : left + size]
        part += mask[:, :, None] / 255 * (random.integers(130, 256, 3) - part)
    return Image.fromarray(canvas.clip(0, 255).astype(np.uint8))


def main(recordings: Path, out: Path) -> None:
    """Makes the corpus in the folder `out`."""
    random = np.random.default_rng(1)
    images, kinds = load_digits(return_X_y=True)
    drawn = [images[kinds == digit].reshape(-1, 8, 8) for digit in range(10)]
    files = defaultdict(list)
    for path in sorted(recordings.glob("*_*_*.wav")):
        files[path.stem.split("_")[1]].append(path)
    rows: dict[str, list[dict[str, str]]] = {split: [] for split in SPLITS}
    for folder in ("audio", "images"):
        (out / folder).mkdir(parents=True, exist_ok=True)
    for speaker, paths in files.items():
        order = iter(random.permutation(len(paths)))
        for split, n in SPLITS.items():
            part = [kind[HELD_OUT:] if split == "train" else kind[:HELD_OUT] for kind in drawn]
            for number, (first, second) in enumerate(zip(*[order] * 2, strict=False)):
                parts, times, rate = [], [0.0], 8000
                for path in (paths[first], paths[second]):
                    samples, rate = soundfile.read(path, dtype="int16")
                    parts += [samples, np.zeros(int(PAUSE * rate), np.int16)]
                    times += [times[-1] + len(samples) / rate, times[-1] + sum(map(len, parts[-2:])) / rate]
                digits = int(paths[first].name[0]), int(paths[second].name[0])
                words = [
                    f"{times[2 * i]:.3f}__{WORDS[digit]}__{times[2 * i + 1]:.3f}" for i, digit in enumerate(digits)
                ]
                name = f"{speaker}-{split}-{number:03}"
                soundfile.write(out / f"audio/{name}.wav", np.concatenate(parts[:-1]), rate)
                picture(digits, part, random).save(out / f"images/{name}.png")
                rows[split].append(
                    {
                        "uttid": name,
                        "speaker": speaker,
                        "asr_text": " ".join(WORDS[digit] for digit in digits),
                        "wav": f"{name}.wav",
                        "image": f"{name}.png",
                        "text_alignment": " ".join(words),
                    }
                )
                if number + 1 == n:
                    break
    for split, data in rows.items():
        text = {"audio_base_path": "audio", "image_base_path": "images", "data": data}
        (out / f"{split}.json").write_text(json.dumps(text, indent=1))


if __name__ == "__main__":
    main(Path(sys.argv[1]), Path(sys.argv[2]))
