"""What it costs that a store is checked: every item's CRC32 as it is read, every column as the store is opened.

    python benchmarks/checksums.py [--pairs 128] [--rounds 15] [--many 500000]

Both sides run in turns in one process with one thread, the other side first in every second round; a round gives a
ratio of processor seconds, with checks to without, and the median of the rounds counts. Without checks is the same
code without the CRC32. `reading`: all batches of an epoch as data workers make them, with the published crops; `reading
for small networks` with the demo's, which leave the decoder less to do; `epoch`: a training of one epoch with
validation, in the demo's small networks, for which the share of reading is largest; `encoding`: codes of all
utterances; `log-mel`: features copied into a features file, the least work that any command does with them. Utterances have the mean length of Places Audio, 8.4 s; images are 256 pixels.

`opening` is of a store of `--many` utterances that hold next to nothing, in wall and processor seconds, the file in the
page cache; its columns are read and compared with their SHA-256.
"""

from __future__ import annotations

import argparse
import contextlib
import io
import statistics
import tempfile
from collections.abc import Callable
from pathlib import Path
from types import SimpleNamespace
from typing import Any
from unittest import mock

import numpy as np
import torch
from measuring import Cost, cost, measure, medians, write
from PIL import Image, ImageFilter

from resdavenet_vq import config
from resdavenet_vq.corpus.manifest import Utterance
from resdavenet_vq.data import store_file
from resdavenet_vq.data.dataset import training_batches
from resdavenet_vq.data.store import Store
from resdavenet_vq.data.store_format import Header
from resdavenet_vq.data.store_writer import StoreWriter
from resdavenet_vq.encode.logmel import encode_logmel
from resdavenet_vq.encode.split import encode
from resdavenet_vq.lineage import Lineage
from resdavenet_vq.model import checkpoint
from resdavenet_vq.model.dual_encoder import DualEncoder
from resdavenet_vq.training.train import train

MEAN_FRAMES = 840
MODEL = config.Model(
    audio=config.AudioModel(widths=(32, 32, 64, 64, 128), blocks_per_stage=1),
    image=config.ImageModel(architecture="thin_resnet", crop=64, resize=72),
)


def utterance(number: int, image: str | None) -> Utterance:
    return Utterance(
        f"utterance-{number:07d}", Path(f"wavs/{number}.wav"), image and Path(image), image, "s", "a", None, None
    )


def write_pairs(path: Path, n: int) -> None:
    """Made-up features of several lengths, each with a smooth image of its own."""
    random = np.random.default_rng(0)
    with StoreWriter(path.parent, "float16") as writer:
        for i in range(n):
            pixels = random.integers(0, 256, (256, 256, 3), np.uint8)
            with io.BytesIO() as file:
                Image.fromarray(pixels).filter(ImageFilter.GaussianBlur(2)).save(file, "JPEG", quality=90)
                writer.add_image(f"{i}.jpg", file.getvalue())
            n_frames = int(np.clip(random.normal(MEAN_FRAMES, 300), 100, 2000))
            writer.add(utterance(i, f"{i}.jpg"), random.uniform(-80, 0, (n_frames, 40)), 160 * n_frames)
        writer.write(path, 2048, "benchmark")


def write_many(path: Path, n: int) -> None:
    """Utterances of one frame, each with an image of its own of a few bytes."""
    logmel = np.zeros((1, 40), np.float16)
    with StoreWriter(path.parent, "float16") as writer:
        for i in range(n):
            writer.add_image(f"images/{i:07d}.jpg", b"made up")
            writer.add(utterance(i, f"images/{i:07d}.jpg"), logmel, 160)
        writer.write(path, 2048, "benchmark")


class Same:
    """A checksum that is that of everything."""

    __hash__ = None

    def __ne__(self, other: object) -> bool:
        return False


def without_checks() -> contextlib.AbstractContextManager[object]:
    same = Same()
    return mock.patch.object(store_file, "zlib", SimpleNamespace(crc32=lambda _: same))


def compare(what: str, work: Callable[[], object], rounds: int) -> dict[str, Any]:
    """A row: the median ratio of processor seconds, its quartiles, and the median seconds of both sides."""
    costs: dict[str, list[Cost]] = {"without checks": [], "package": []}
    work()
    for number in range(rounds):
        for side in sorted(costs, reverse=number % 2 == 0):
            with contextlib.nullcontext() if side == "package" else without_checks():
                costs[side].append(cost(work))
    ratios = [ours.cpu / bare.cpu for ours, bare in zip(costs["package"], costs["without checks"], strict=True)]
    low, middle, high = statistics.quantiles(ratios, n=4)
    print(f"{what:30} {middle:.4f} times the seconds without checks ({low:.4f} to {high:.4f})", flush=True)
    return {"what": what, **medians(costs), "times": round(middle, 4), "quartiles": [round(low, 4), round(high, 4)]}


def opening(path: Path, n: int, rounds: int) -> dict[str, Any]:
    """A row: what it costs to open a store."""

    def once() -> None:
        assert len(Store(path)) == n

    seconds = measure({"package": once}, rounds)
    columns = [place for place in Header.read(path).places.values() if place.sha256]
    size = sum(column.shape[0] * column.row_size for column in columns)
    return {"what": "opening", **seconds, "utterances": n, "column_bytes": size}


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--pairs", type=int, default=128)
    parser.add_argument("--rounds", type=int, default=15)
    parser.add_argument("--many", type=int, default=500_000, help="utterances of the store that is opened")
    options = parser.parse_args()
    torch.set_num_threads(1)
    with tempfile.TemporaryDirectory() as name, contextlib.redirect_stderr(io.StringIO()):
        folder = Path(name)
        path = folder / "pairs.h5"
        write_pairs(path, options.pairs)
        store = Store(path)
        checkpoint.save(folder / "model", DualEncoder(MODEL, (2, 3)), {})
        training = config.Training(
            split="a", validation_split="b", epochs=1, batch_size=16, pad_to="batch", workers=0, learning_rate=1e-3
        )

        def read(image: config.ImageModel) -> None:
            batches = training_batches(
                store, image, batch_size=16, pad_to="batch", pad_value=0.0, seed=0, epoch=1, workers=0
            )
            for _ in batches:
                pass

        def epoch() -> None:
            train(
                lineage=Lineage.parse("{2,3}"),
                model=MODEL,
                recipe=config.Recipe(),
                training=training,
                train_store=path,
                validation_store=path,
                parent=None,
                out=folder / "trained",
                state=folder / "state",
                code="",
            )

        works: dict[str, Callable[[], object]] = {
            "reading": lambda: read(config.ImageModel(architecture="resnet50")),
            "reading for small networks": lambda: read(MODEL.image),
            "epoch": epoch,
            "encoding": lambda: encode(folder / "model", path, codes=folder / "codes.h5"),
            "log-mel": lambda: encode_logmel(path, folder / "logmel.h5"),
        }
        rows = [compare(what, work, options.rounds) for what, work in works.items()]
        write_many(folder / "many.h5", options.many)
        rows.append(opening(folder / "many.h5", options.many, 5))
        sizes = {"pairs": options.pairs, "rounds": options.rounds, "bytes_of_store": path.stat().st_size}
    write("checksums", sizes | {"rows": rows})


if __name__ == "__main__":
    main()
