"""Crops for training from pictures larger than needed: the 2020 release's way, files as they are, and `preparation.image_size`.

    PYTHONPATH=. python benchmarks/large_images.py [--pictures 5] [--rounds 15]

Pictures are 1/f noise in JPEG files of quality 90. `package` gets those of 256 pixels that the setting stores, `as_they_are`
and `2020` the files. What the setting changes: the largest and the mean difference of the crop of evaluation, of 255.
"""

from __future__ import annotations

import argparse
import io
import statistics
from collections.abc import Callable
from functools import partial

import numpy as np
from measuring import measure, row, write
from PIL import Image
from preparation import baseline_crop

from resdavenet_vq.config import ImageModel
from resdavenet_vq.data import images

SIZES = ((500, 375), (640, 480), (1024, 768))
STORED = 256


def picture(width: int, height: int, random: np.random.Generator) -> bytes:
    """A JPEG file."""
    frequency = np.hypot(np.fft.fftfreq(height)[:, None], np.fft.rfftfreq(width))
    frequency[0, 0] = 1
    noise = random.normal(size=(3, height, width))
    waves = np.fft.irfft2(np.fft.rfft2(noise) / frequency, (height, width)).transpose(1, 2, 0)
    pixels = np.clip(128 + 50 * waves / waves.std(), 0, 255).astype(np.uint8)
    file = io.BytesIO()
    Image.fromarray(pixels).save(file, "JPEG", quality=90)
    return file.getvalue()


def release_crops(crop: Callable[[bytes], object], files: list[bytes]) -> None:
    for data in files:
        crop(data)


def crops(files: list[bytes], settings: ImageModel, random: np.random.Generator) -> None:
    for data in files:
        np.ascontiguousarray(images.training_crop(images.decode(data), settings, random))


def main() -> None:
    parser = argparse.ArgumentParser()
    parser.add_argument("--pictures", type=int, default=5)
    parser.add_argument("--rounds", type=int, default=15)
    options = parser.parse_args()
    random, settings, crop = np.random.default_rng(0), ImageModel(architecture="resnet50"), baseline_crop()
    rows = []
    for width, height in SIZES:
        files = [picture(width, height, random) for _ in range(options.pictures)]
        reduced = [images.reduced(data, STORED) for data in files]
        sides = {
            "2020": partial(release_crops, crop, files),
            "as_they_are": partial(crops, files, settings, random),
            "package": partial(crops, reduced, settings, random),
        }
        seconds = measure(sides, options.rounds, warm_up=1)
        cpu = seconds["cpu_seconds"]
        changes = [
            np.abs(np.subtract(*(images.evaluation_crop(images.decode(data), settings).astype(int) for data in both)))
            for both in zip(files, reduced, strict=True)
        ]
        more = {
            "as_they_are_ratio": round(cpu["2020"] / cpu["as_they_are"], 2),
            "bytes": round(statistics.mean(map(len, files))),
            "bytes_stored": round(statistics.mean(map(len, reduced))),
            "largest_difference": int(max(change.max() for change in changes)),
            "mean_difference": round(float(np.mean(changes)), 2),
        }
        rows.append(row(f"crop of {width} x {height}", seconds, **more))
    write("large_images", {"pictures": options.pictures, "rows": rows})


if __name__ == "__main__":
    main()
