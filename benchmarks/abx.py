"""ABX: what this package adds to fastabx's own time; bitrate against plain loops.

    python benchmarks/abx.py [--utterances 200] [--many 1000] [--repeats 5]

Made up are utterances of some words from a small vocabulary, so that triphones repeat, frames of their phones, and an item file. Both
sides start from the same two files and give the errors within and across speakers with the same subsampling. The baseline is the work that
nobody who scores with fastabx is spared: the items and frames as arrays, its tasks, its scores, its means. The package
reads, checks and drops, keeps its order, writes tables of pairs, and of codes counts the bitrate; codes it looks up in a table of distances.
Importing fastabx is in neither. Repeats are interleaved and their medians compared.

The bitrate's baseline is that of `release_2020/bitrate.py`: rows and runs of code vectors counted in loops, a dictionary for each distribution. The
package counts the codes that the file has.

Memory: a layer of `--utterances` and one of `--many` are scored, and the most anonymous memory that each takes is compared with the size
of its frames, which stay in their file. It is sampled every few milliseconds.
"""

from __future__ import annotations

import argparse
import gc
import json
import tempfile
import threading
from collections.abc import Iterable
from itertools import pairwise
from pathlib import Path
from typing import Any, Self

import h5py
import numpy as np
import polars as pl
import torch
from fastabx import Dataset, InMemoryAccessor, Score, Subsampler, Task
from measuring import measure, row, write
from release_2020.bitrate import bitrates

from resdavenet_vq.config import AbxScoring
from resdavenet_vq.corpus.tokens import HEADER
from resdavenet_vq.encode.features import LayerFeatures, add_features, add_quantized, create_features
from resdavenet_vq.encode.origin import Origin
from resdavenet_vq.evaluation import bitrate
from resdavenet_vq.evaluation.abx import cells as abx_cells
from resdavenet_vq.evaluation.abx import score as abx
from resdavenet_vq.evaluation.symbols import LayerUnits

PHONES, SPEAKERS, VOCABULARY, WORDS = 38, 20, 120, 9
LAYERS = {
    "logmel": (0.01, 40),
    "conv2": (0.02, 256),
    "conv3": (0.04, 512),
    "quant2": (0.02, 256),
    "quant3": (0.04, 512),
}
CODES = 1024


def corpus(n: int, folder: Path, layers: Iterable[str] = tuple(LAYERS)) -> None:
    """`split.item` and `split.h5` with utterances of about 3 seconds: frames are their phone's vector and noise, or one of its codes."""
    rng = np.random.default_rng(0)
    words = [rng.integers(0, PHONES, rng.integers(3, 7)) for _ in range(VOCABULARY)]
    spoken = [np.concatenate([words[w] for w in rng.integers(0, VOCABULARY, WORDS)]) for _ in range(n)]
    edges = [np.concatenate([[0], np.cumsum(rng.uniform(0.05, 0.12, len(phones)))]).round(4) for phones in spoken]
    with (folder / "split.item").open("w") as f:
        print(HEADER, file=f)
        for u, (phones, edge) in enumerate(zip(spoken, edges, strict=True)):
            for i in range(1, len(phones) - 1):
                labels = f"P{phones[i]} P{phones[i - 1]} P{phones[i + 1]}"
                print(f"u{u} {edge[i - 1]:.4f} {edge[i + 2]:.4f} {labels} s{u % SPEAKERS}", file=f)
    seconds, origin = np.array([edge[-1] for edge in edges]), Origin("", "{}", "split", "", {})
    with create_features(folder / "split.h5", [f"u{u}" for u in range(n)], seconds, origin) as f:
        for layer in layers:
            period, width = LAYERS[layer]
            means, codes = rng.standard_normal((PHONES, width)), rng.standard_normal((CODES, width)).astype(np.float32)
            frames = []
            for phones, edge in zip(spoken, edges, strict=True):
                at = phones[
                    np.minimum(
                        np.searchsorted(edge, np.arange(int(edge[-1] / period)) * period, side="right") - 1,
                        len(phones) - 1,
                    )
                ]
                noisy = means[at] + rng.standard_normal((len(at), width))
                code = (at * 26 + rng.integers(0, 26, len(at))) % CODES
                frames.append(code if layer.startswith("quant") else noisy)
            n_frames = np.array([*map(len, frames)])
            if layer.startswith("quant"):
                rows = add_quantized(f, layer, codes, n_frames, period)
            else:
                rows = add_features(f, layer, width, n_frames, period)
            rows.write_each(range(n), frames)


def ours(folder: Path, layer: str) -> tuple[float, float]:
    """Errors by the package, from files to files."""
    out = folder / "out.json"
    abx.score(
        folder / "split.h5",
        folder / "split.item",
        layer,
        AbxScoring(),
        out,
        lineage="{}",
        split="split",
    )
    result = json.loads(out.read_text())
    return result["within_error"], result["across_error"]


def baseline(folder: Path, layer: str) -> tuple[float, float]:
    """Errors by fastabx, handed what it needs and nothing else."""
    with h5py.File(folder / "split.h5") as f:
        number = {name: i for i, name in enumerate(f["ids"].asstr()[:])}
        offsets, period = f[layer]["offsets"][:].tolist(), f[layer].attrs["frame_period"]
        group = f[layer]
        vectors = group["codebook"][:][group["codes"][:]] if "codebook" in group else group["vectors"][:]
        frames = torch.from_numpy(vectors)
    items = pl.read_csv(folder / "split.item", separator=" ")
    start = np.ceil(items["onset"].to_numpy() / period - 0.5 - 1e-6).astype(int)
    end = np.floor(items["offset"].to_numpy() / period - 0.5 + 1e-6).astype(int) + 1
    ranges = {
        k: (offsets[number[u]] + a, min(offsets[number[u]] + b, offsets[number[u] + 1]))
        for k, (u, a, b) in enumerate(zip(items["#file"], start.tolist(), end.tolist(), strict=True))
    }
    dataset = Dataset(items.drop("#file", "onset", "offset"), InMemoryAccessor(ranges, frames, torch.device("cpu")))
    context, errors = ["prev-phone", "next-phone"], []
    for by, across in (([*context, "speaker"], []), (context, ["speaker"])):
        task = Task(dataset, on="#phone", by=by, across=across, subsampler=Subsampler(10, 5, 0))
        errors.append(
            100 * Score(task, "angular", progress=False).collapse(levels=[("next-phone", "prev-phone"), "speaker"])
        )
    return errors[0], errors[1]


class Memory(threading.Thread):
    """The most anonymous memory of this process, in MB, while the block runs, beyond what it had before."""

    def __enter__(self) -> Self:
        gc.collect()
        self.before = self.most = self.now()
        self.ended = threading.Event()
        self.start()
        return self

    def run(self) -> None:
        """Looks again and again, until the block ends."""
        while not self.ended.wait(0.005):
            self.most = max(self.most, self.now())

    def __exit__(self, *_: object) -> None:
        self.ended.set()
        self.join()

    @staticmethod
    def now() -> int:
        """MB, from /proc."""
        return next(
            int(line.split()[1]) >> 10
            for line in Path("/proc/self/status").read_text().splitlines()
            if line.startswith("RssAnon")
        )

    @property
    def added(self) -> int:
        """MB."""
        return self.most - self.before


def memory(sizes: tuple[int, ...], layer: str) -> list[dict[str, int]]:
    """What scoring a layer of so many utterances takes."""
    rows = []
    for n in sizes:
        with tempfile.TemporaryDirectory() as name:
            folder = Path(name)
            corpus(n, folder, (layer,))
            with LayerFeatures(folder / "split.h5", layer) as features:
                size = int(features.offsets[-1]) * LAYERS[layer][1] * 4 >> 20
            with Memory() as taken:
                ours(folder, layer)
        rows.append({"utterances": n, "frames, MB": size, "added, MB": taken.added})
    return rows


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--utterances", type=int, default=200)
    parser.add_argument("--many", type=int, default=1000)
    parser.add_argument("--repeats", type=int, default=5)
    arguments = parser.parse_args()
    torch.set_num_threads(1)
    rows: list[dict[str, Any]] = []
    with tempfile.TemporaryDirectory() as name:
        folder = Path(name)
        corpus(arguments.utterances, folder)
        for layer in LAYERS:
            expected, found = baseline(folder, layer), ours(folder, layer)  # warm
            seconds = measure(
                {"fastabx": lambda x=layer: baseline(folder, x), "package": lambda x=layer: ours(folder, x)},
                arguments.repeats,
            )
            by_side = seconds["cpu_seconds"]
            added = round(by_side["package"] / by_side["fastabx"] - 1, 3)
            errors = {"fastabx": [round(e, 2) for e in expected], "package": [round(e, 2) for e in found]}
            rows.append(row(f"ABX, {layer}", seconds, added=added, errors=errors))
    rows.append({"what": "ABX, the layer that adds most", "added": max(each["added"] for each in rows)})
    with tempfile.TemporaryDirectory() as name:
        folder = Path(name)
        corpus(arguments.utterances, folder, ("quant2",))
        with LayerFeatures(folder / "split.h5", "quant2") as features:
            vectors, durations = list(features), dict(zip(features.ids, features.durations.tolist(), strict=True))

            def by_loops() -> tuple[float, ...]:
                utterances = ([frame.tobytes() for frame in frames] for _, frames in vectors)
                return bitrates(utterances, sum(durations.values()))

            def by_codes() -> bitrate.Bitrate:
                numbers, places = LayerUnits.read(features).numbers, pairwise(features.offsets.tolist())
                utterances = ((name, numbers[a:b]) for name, (a, b) in zip(features.ids, places, strict=True))
                return bitrate.measure(utterances, durations)

            ours_ = by_codes()
            np.testing.assert_allclose(by_loops(), (ours_.plain, ours_.run_length, ours_.factored, ours_.segment))
            sides = {"2020": by_loops, "package": by_codes}
            rows.append(row("bitrate", measure(sides, arguments.repeats), frames=ours_.rows))
    abx_cells.NORMALIZED_AT_ONCE = 0  # as if the layer were large
    taken = {layer: memory((arguments.utterances, arguments.many), layer) for layer in ("conv3", "quant3")}
    print(f"memory: {taken}")
    write("abx", {"utterances": arguments.utterances, "rows": rows, "memory": taken})


if __name__ == "__main__":
    main()
