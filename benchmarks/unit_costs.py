"""What `resdavenet-vq estimate` takes as measured: processor time for a pair, by the lengths of its audio and its picture.

    PYTHONPATH=. OMP_NUM_THREADS=1 python benchmarks/unit_costs.py [--pairs 60] [--rounds 5]

Loading is that of training batches padded to 2,048 frames with crops of 224 pixels; preparing is converting and writing, in
this process. Pictures are smoothed noise of quality 90, 0.37 bytes a pixel. Medians of rounds, processor time of one core. The small training is the demo's small networks, T = 256, batch 8, one thread.
"""

from __future__ import annotations

import argparse
import hashlib
import os
import statistics
import tempfile
import time
from pathlib import Path

import numpy as np
import soundfile
import torch
from measuring import write
from PIL import Image, ImageFilter
from training import QUANTIZERS, SIZES, Package, write_store

from resdavenet_vq import config
from resdavenet_vq.corpus.manifest import Utterance
from resdavenet_vq.data.conversion import Task, convert
from resdavenet_vq.data.dataset import training_batches
from resdavenet_vq.data.sources import Media
from resdavenet_vq.data.store import Store
from resdavenet_vq.data.store_writer import StoreWriter
from resdavenet_vq.workflow.estimate.work import work

FRAMES = 2048
PICTURES = ((256, 256), (500, 375), (640, 480), (1024, 768))


def make_pairs(folder: Path, n: int, seconds: float, picture: tuple[int, int]) -> list[Utterance]:
    """Pairs of noise, each with a wav and a picture of its own."""
    random = np.random.default_rng(0)
    folder.mkdir()
    pairs = []
    for i in range(n):
        wav, image = folder / f"{i}.wav", folder / f"{i}.jpg"
        soundfile.write(wav, 0.1 * random.normal(size=int(16000 * seconds)), 16000)
        pixels = random.integers(0, 256, (picture[1], picture[0], 3), np.uint8)
        Image.fromarray(pixels).filter(ImageFilter.GaussianBlur(1.1)).save(image, quality=90)
        pairs.append(Utterance(str(i), wav, image, image.name, None, None, None, None))
    return pairs


def loading(store: Store, rounds: int) -> float:
    """Milliseconds a pair."""
    image = config.ImageModel(architecture="resnet50")
    times = []
    for epoch in range(1, rounds + 1):
        settings = {"batch_size": 32, "pad_to": "max_frames", "pad_value": 0.0, "seed": 1, "workers": 0}
        start = time.process_time()
        for _ in training_batches(store, image, epoch=epoch, **settings):
            pass
        times.append(time.process_time() - start)
    return 1e3 * statistics.median(times) / len(store)


def preparing(pairs: list[Utterance], size: int | None, out: Path, rounds: int) -> float:
    """Milliseconds a pair; the store of the last round stays."""
    times = []
    for _ in range(rounds):
        start = time.process_time()
        with StoreWriter(out.parent, "float16", image_size=size) as writer:
            for row, pair in enumerate(pairs):
                converted = convert("store", size, Media("float16", FRAMES), Task(row, pair.wav, pair.image))
                writer.add_image(pair.image_id, converted.image)
                writer.add(pair, converted.logmel, converted.n_samples)
            writer.write(out, FRAMES, "benchmarks/unit_costs.py")
        times.append(time.process_time() - start)
    return 1e3 * statistics.median(times) / len(pairs)


def hashing(rounds: int) -> float:
    """Bytes a second of SHA-256."""
    data, times = os.urandom(1 << 26), []
    for _ in range(rounds):
        start = time.process_time()
        hashlib.sha256(data).digest()
        times.append(time.process_time() - start)
    return len(data) / statistics.median(times)


def small_training(folder: Path, rounds: int) -> float:
    """FLOP a second of training steps, convolutions and quantizers alone counted."""
    torch.set_num_threads(1)
    path, frames, batch = folder / "t.h5", 256, 8
    model = SIZES["small"]
    write_store(path, batch, frames, model.image.resize)
    training = config.Training(split="t", validation_split="v", batch_size=batch)
    package = Package(model, training, torch.device("cpu"))
    (one,) = training_batches(
        Store(path), model.image, batch_size=batch, pad_to="max_frames", pad_value=0.0, seed=1, epoch=1, workers=0
    )
    times = []
    for number in range(2 + 3 * rounds):
        start = time.process_time()
        package.step(package.to_device(one), number)
        times.append(time.process_time() - start)
    return batch * work(model, QUANTIZERS, frames).flop / statistics.median(times[2:])


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--pairs", type=int, default=60)
    parser.add_argument("--rounds", type=int, default=5)
    options = parser.parse_args()
    load, prepared = {}, {}
    with tempfile.TemporaryDirectory() as name:
        folder = Path(name)
        for width, height in PICTURES:
            for seconds in (2, 10) if width == 256 else (2,):
                pairs = make_pairs(folder / f"{width}_{seconds}", options.pairs, seconds, (width, height))
                for size in (None, 256) if width > 256 else (None,):
                    what = f"{width} x {height}, {seconds} s" + (", image_size 256" if size else "")
                    prepared[what] = round(preparing(pairs, size, folder / "s.h5", options.rounds), 3)
                    load[what] = round(loading(Store(folder / "s.h5"), options.rounds), 3)
                    print(f"{what:40} prepare {prepared[what]:7.3f} ms   load {load[what]:7.3f} ms", flush=True)
        flop = small_training(folder, options.rounds)
    result = {"pairs": options.pairs, "rounds": options.rounds, "load_ms": load, "prepare_ms": prepared}
    write(
        "unit_costs",
        result | {"sha256_bytes_per_s": round(hashing(options.rounds)), "training_flop_per_s": round(flop)},
    )


if __name__ == "__main__":
    main()
