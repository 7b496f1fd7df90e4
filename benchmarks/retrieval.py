"""Retrieval scores: the package against plain loops, and its memory for many pairs.

    python benchmarks/retrieval.py [--pairs 1000] [--many 10000] [--dim 1024] [--repeats 5]

The baseline is that of `release_2020/retrieval.py`: the ten best of every row and column of S by sorting, then loops in
Python over queries and places, looking for the right answer. Both sides start from the same similarities, then from the same
vectors, which the package multiplies in double precision, so that ties do not depend on the order of sums; repeats are interleaved
and their medians compared. `--many` pairs of vectors with `--dim` numbers are then scored in blocks, without S in memory.
"""

from __future__ import annotations

import argparse
import tracemalloc

import numpy as np
import torch
from measuring import cost, measure, row, write
from release_2020.retrieval import recalls, recalls_of

from resdavenet_vq.evaluation import retrieval


def ours(image: np.ndarray, speech: np.ndarray) -> dict[str, float]:
    """The same numbers by the package."""
    return names_of(retrieval.evaluate(image, speech, np.arange(len(image))))


def ours_of(S: np.ndarray) -> dict[str, float]:
    """The same numbers from similarities."""
    index = np.arange(len(S))
    ranks = retrieval.count_ranks([(0, 0, S.copy())], S.diagonal(), index, len(S))
    return names_of(retrieval.summarize(ranks, index))


def names_of(scores: retrieval.RetrievalScores) -> dict[str, float]:
    """The release's names of recalls."""
    directions = (("image_to_speech", scores.image_to_speech), ("speech_to_image", scores.speech_to_image))
    return {f"{name}_{k}": r for name, direction in directions for k, r in direction.recall.items()}


def pairs(n: int, dim: int) -> tuple[np.ndarray, np.ndarray]:
    """Image and speech vectors that find each other now and then."""
    rng = np.random.default_rng(0)
    image = rng.standard_normal((n, dim), np.float32)
    return image, image + 5 * rng.standard_normal((n, dim), np.float32)


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--pairs", type=int, default=1000)
    parser.add_argument("--many", type=int, default=10000)
    parser.add_argument("--dim", type=int, default=1024)
    parser.add_argument("--repeats", type=int, default=5)
    arguments = parser.parse_args()
    image, speech = pairs(arguments.pairs, arguments.dim)
    tensors = torch.from_numpy(image), torch.from_numpy(speech)
    if (found := ours(image, speech)) != (expected := recalls(*tensors)):  # warm
        raise AssertionError(f"recalls differ: {found} and {expected}")
    S = tensors[0] @ tensors[1].T
    if (found := ours_of(S.numpy())) != expected:
        raise AssertionError(f"recalls of similarities differ: {found} and {expected}")
    sides = {"2020": lambda: recalls_of(S), "package": lambda: ours_of(S.numpy())}
    rows = [row("recall from similarities", measure(sides, arguments.repeats), pairs=arguments.pairs)]
    sides = {"2020": lambda: recalls(*tensors), "package": lambda v=(image, speech): ours(*v)}
    rows.append(row("recall from vectors", measure(sides, arguments.repeats), pairs=arguments.pairs))
    image, speech = pairs(arguments.many, arguments.dim)
    tracemalloc.start()
    many = cost(lambda: retrieval.evaluate(image, speech, np.arange(len(image))))
    added = tracemalloc.get_traced_memory()[1]
    tracemalloc.stop()
    result = {
        "rows": rows,
        "many": {
            "pairs": arguments.many,
            "dim": arguments.dim,
            "cpu_seconds": round(many.cpu, 1),
            "wall_seconds": round(many.wall, 1),
            "vectors, MB": (image.nbytes + speech.nbytes) >> 20,
            "S would have, MB": arguments.many**2 * 4 >> 20,
            "memory added, MB": added >> 20,
        },
    }
    print(f"{arguments.many} pairs in blocks: {result['many']}")
    write("retrieval", result)


if __name__ == "__main__":
    main()
