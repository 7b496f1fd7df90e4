"""ABX: what this package adds to fastabx's own time; bitrate against plain loops.

    python benchmarks/abx.py [--utterances 200] [--many 1000] [--repeats 5]

Made up are utterances of some words from a small vocabulary, so that triphones repeat, frames of their phones, and an item file. Both
sides start from the same two files and give the errors within and across speakers with the same subsampling. The baseline is the work that
nobody who scores with fastabx is spared: the items and frames as arrays, its tasks, its scores, its means. The package
reads, checks and drops, keeps its order, writes tables of pairs, and of codes counts the bitrate; codes it looks up in a table of distances.
Importing fastabx is in neither. Repeats are interleaved and their medians of CPU time compared.

The bitrate's baseline counts rows and runs in loops of Python, a dictionary for each distribution.

Memory: a layer of `--utterances` and one of `--many` are scored, and the most anonymous memory that each takes is compared with the size
of its frames, which stay in their file. It is sampled every few milliseconds.
"""

from __future__ import annotations

import argparse
import gc
import json
import math
import tempfile
import threading
from collections import Counter
from collections.abc import Iterable
from pathlib import Path
from typing import Any, Self

import h5py
import numpy as np
import polars as pl
import torch
from fastabx import Dataset, InMemoryAccessor, Score, Subsampler, Task
from measuring import measure, write

from resdavenet_vq.config import AbxScoring
from resdavenet_vq.corpus.tokens import HEADER
from resdavenet_vq.encode.features import LayerFeatures, add_features, create_features
from resdavenet_vq.encode.origin import Origin
from resdavenet_vq.evaluation import bitrate
from resdavenet_vq.evaluation.abx import cells as abx_cells
from resdavenet_vq.evaluation.abx import score as abx

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
    """`split.item` and `split.h5` with utterances of about 3 seconds: frames are their phone's vector and noise, or the code next to it."""
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
                frames.append(
                    codes[(at * 26 + rng.integers(0, 26, len(at))) % CODES] if layer.startswith("quant") else noisy
                )
            rows = add_features(f, layer, width, np.array([*map(len, frames)]), period)
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
        frames = torch.from_numpy(f[layer]["vectors"][:])
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


def loops(utterances: list[list[Any]], duration: float) -> tuple[float, ...]:
    """The four bitrates, symbol by symbol."""
    rows: Counter[Any] = Counter()
    runs: Counter[Any] = Counter()
    units: Counter[Any] = Counter()
    lengths: Counter[Any] = Counter()
    for utterance in utterances:
        length = 0
        for i, row in enumerate(utterance):
            rows[row] += 1
            length += 1
            if i + 1 == len(utterance) or utterance[i + 1] != row:
                runs[row, length] += 1
                units[row] += 1
                lengths[length] += 1
                length = 0

    def entropy(counts: Counter[Any]) -> float:
        total = sum(counts.values())
        return -sum(n / total * math.log2(n / total) for n in counts.values())

    n_runs = sum(runs.values())
    parts = ((sum(rows.values()), rows), (n_runs, runs), (n_runs, units))
    plain, run_length, segment = (n / duration * entropy(counts) for n, counts in parts)
    return plain, run_length, segment + n_runs / duration * entropy(lengths), segment


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
                size = features.mapped().nbytes >> 20
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
    result: dict[str, Any] = {
        "utterances": arguments.utterances,
        "abx": {},
    }
    print(f"{'':10}{'fastabx':>10}{'package':>10}{'added':>8}   errors within, across")
    with tempfile.TemporaryDirectory() as name:
        folder = Path(name)
        corpus(arguments.utterances, folder)
        for layer in LAYERS:
            expected, found = baseline(folder, layer), ours(folder, layer)  # warm
            seconds = measure(
                {"fastabx": lambda x=layer: baseline(folder, x), "package": lambda x=layer: ours(folder, x)},
                arguments.repeats,
            )
            added = seconds["package"] / seconds["fastabx"] - 1
            result["abx"][layer] = {
                "cpu_seconds": seconds,
                "added": round(added, 3),
                "errors": {"fastabx": [round(e, 2) for e in expected], "package": [round(e, 2) for e in found]},
            }
            said = "  ".join(f"{a:.2f} {b:.2f}" for a, b in (expected, found))
            print(f"{layer:10}{seconds['fastabx']:10.3f}{seconds['package']:10.3f}{added:8.1%}   {said}")
        with LayerFeatures(folder / "split.h5", "quant2") as features:
            utterances, durations = list(features), dict(zip(features.ids, features.durations.tolist(), strict=True))
    as_symbols = [[row.tobytes() for row in rows] for _, rows in utterances]
    by_loops, by_package = loops(as_symbols, sum(durations.values())), bitrate.measure(utterances, durations)
    package = (by_package.plain, by_package.run_length, by_package.factored, by_package.segment)
    seconds = measure(
        {
            "loops": lambda: loops(
                [[row.tobytes() for row in rows] for _, rows in utterances], sum(durations.values())
            ),
            "package": lambda: bitrate.measure(utterances, durations),
        },
        arguments.repeats,
    )
    ratio = round(seconds["loops"] / seconds["package"], 1)
    alike = bool(np.allclose(by_loops, package))
    result["bitrate"] = {"frames": by_package.rows, "cpu_seconds": seconds, "ratio": ratio, "alike": alike}
    print(f"bitrate of {by_package.rows} frames: {seconds}, {ratio} times, alike: {alike}")
    abx_cells.NORMALIZED_AT_ONCE = 0  # as if the layer were large
    result["memory"] = {layer: memory((arguments.utterances, arguments.many), layer) for layer in ("conv3", "quant3")}
    print(f"memory: {result['memory']}")
    write("abx", result)


if __name__ == "__main__":
    main()
