"""Retrieval scores: the package against plain loops, and its memory for many pairs.

    python benchmarks/retrieval.py [--pairs 1000] [--many 10000] [--dim 1024] [--repeats 5]

The baseline works as the 2020 release does: the ten best of every row and column of S by sorting, then loops in
Python over queries and places, looking for the right answer. Both sides start from the same vectors; repeats are interleaved
and their medians of CPU time compared. `--many` pairs of vectors with `--dim` numbers are then scored in blocks, without S in memory.
"""

from __future__ import annotations

import argparse
import time
import tracemalloc

import numpy as np
import torch
from measuring import measure, write

from resdavenet_vq.evaluation import retrieval


def baseline(image: torch.Tensor, speech: torch.Tensor) -> dict[str, float]:
    """R@1, R@5 and R@10 in both directions."""
    S = image @ speech.T
    n = len(S)
    _, by_caption = S.topk(10, 0)
    _, by_image = S.topk(10, 1)
    found_by_caption, found_by_image = -np.ones(n), -np.ones(n)
    for query in range(n):
        for place in range(10):
            if by_caption[place, query] == query:
                found_by_caption[query] = place
            if by_image[query, place] == query:
                found_by_image[query] = place
    return {
        f"{name}_{k}": float(np.mean((found >= 0) & (found < k)))
        for name, found in (("image_to_speech", found_by_image), ("speech_to_image", found_by_caption))
        for k in (1, 5, 10)
    }


def ours(image: np.ndarray, speech: np.ndarray) -> dict[str, float]:
    """The same numbers by the package."""
    scores = retrieval.evaluate(image, speech, np.arange(len(image)))
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
    alike = ours(image, speech) == baseline(*tensors)  # warm
    sides = {"baseline": lambda: baseline(*tensors), "package": lambda v=(image, speech): ours(*v)}
    medians = measure(sides, arguments.repeats)
    image, speech = pairs(arguments.many, arguments.dim)
    tracemalloc.start()
    start = time.process_time()
    retrieval.evaluate(image, speech, np.arange(len(image)))
    many, added = time.process_time() - start, tracemalloc.get_traced_memory()[1]
    tracemalloc.stop()
    result = {
        "pairs": arguments.pairs,
        "cpu_seconds": medians,
        "ratio": round(medians["baseline"] / medians["package"], 1),
        "recalls alike": alike,
        "many": {
            "pairs": arguments.many,
            "dim": arguments.dim,
            "cpu_seconds": round(many, 1),
            "vectors, MB": (image.nbytes + speech.nbytes) >> 20,
            "S would have, MB": arguments.many**2 * 4 >> 20,
            "memory added, MB": added >> 20,
        },
    }
    print(f"{'':10}{'seconds':>10}{'ratio':>8}")
    for side, value in medians.items():
        print(f"{side:10}{value:10.4f}{medians['baseline'] / value:8.1f}")
    print(f"recalls alike: {alike}; {arguments.many} pairs in blocks: {result['many']}")
    write("retrieval", result)


if __name__ == "__main__":
    main()
