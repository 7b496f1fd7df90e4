"""Word statistics: the package against plain Python loops, on made-up utterances of about 20 words.

    python benchmarks/word_detection.py [--utterances 20000]

The baseline is that of `release_2020/words.py`, the method in loops: every frame of every utterance meets the words that its
window touches, every token the set of its codes, in dictionaries of dictionaries. Both sides start from the same lists of
(start, end, word) and arrays of codes, and both end with the same two tables, compared for equality.
"""

from __future__ import annotations

import argparse
import resource

import numpy as np
from measuring import measure, row, write
from release_2020.words import detections

from resdavenet_vq.evaluation import word_counts
from resdavenet_vq.evaluation import words as word_detection
from resdavenet_vq.evaluation.word_counts import Block, Tokens, tokens

PERIOD, HALF_WINDOW, CODES, WORDS = 0.04, 0.04, 1024, 9387
NOTHING = Tokens(*(np.zeros(0, np.int64) for _ in range(4)))


def corpus(n_utterances: int) -> tuple[list[list[tuple[float, float, str]]], list[np.ndarray]]:
    """Words by Zipf's law with pauses between some; each word has a code that fills half of its frames."""
    rng = np.random.default_rng(0)
    share = 1 / np.arange(1, WORDS + 1)
    share /= share.sum()
    names = [*sorted(word_detection.STOP_WORDS), *(f"WORD{i}" for i in range(WORDS))][:WORDS]
    of_word = rng.integers(CODES, size=WORDS)
    spoken, codes = [], []
    for _ in range(n_utterances):
        n = int(rng.integers(15, 26))
        words = rng.choice(WORDS, size=n, p=share)
        pauses = np.where(rng.random(n) < 0.3, rng.uniform(0.05, 0.5, n), 0)
        lengths = rng.uniform(0.15, 0.6, n)
        ends = np.round(np.cumsum(pauses + lengths), 2)
        starts = np.round(ends - lengths, 2)
        spoken.append([(float(s), float(e), names[w]) for s, e, w in zip(starts, ends, words, strict=True)])
        frames = int(ends[-1] / PERIOD) + 5
        at = np.minimum(np.searchsorted(ends, np.arange(frames) * PERIOD), n - 1)
        codes.append(
            np.where(rng.random(frames) < 0.5, of_word[words[at]], rng.integers(CODES, size=frames)).astype(np.int32)
        )
    return spoken, codes


def ours(spoken: list[list[tuple[float, float, str]]], codes: list[np.ndarray], size: int = 500) -> tuple:
    """The same two tables as data frames."""
    counts = word_counts.Counts(CODES, frame_period=PERIOD, half_window=HALF_WINDOW)
    for i in range(0, len(codes), size):
        part = codes[i : i + size]
        words = tokens(spoken[i : i + size], counts.vocabulary)
        counts.add(Block(np.concatenate(part), np.cumsum([0, *map(len, part)]), words, NOTHING))
    return word_detection.detections(counts), word_detection.precisions(counts)


def equal(tables: tuple, reference: tuple[dict, dict]) -> bool:
    """Whether every row agrees bit for bit, in the same order."""
    columns = [("word", ["code", "f1", "precision", "recall", "hits"]), ("code", ["word", "precision", "frames"])]
    for table, (key, names), wanted in zip(tables, columns, reference, strict=True):
        flat = [(k, *row) for k, rows in wanted.items() for row in rows]
        flat = sorted(flat, key=lambda row: row[0]) if key == "code" else flat
        if list(table[[key, *names]].itertuples(index=False, name=None)) != flat:
            return False
    return True


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--utterances", type=int, default=20000)
    parser.add_argument("--repeats", type=int, default=3)
    arguments = parser.parse_args()
    spoken, codes = corpus(arguments.utterances)
    ours(spoken[:100], codes[:100])
    sides = {"2020": lambda: detections(spoken, codes, PERIOD), "package": lambda: ours(spoken, codes)}
    rows = [row("word statistics", measure(sides, arguments.repeats))]
    tables = ours(spoken, codes)
    if not equal(tables, detections(spoken, codes, PERIOD)):
        raise AssertionError("the tables differ")
    result = {
        "utterances": len(codes),
        "frames": int(sum(map(len, codes))),
        "tokens": sum(map(len, spoken)),
        "rows_of_tables": [len(t) for t in tables],
        "rows": rows,
        "peak_rss_mb": resource.getrusage(resource.RUSAGE_SELF).ru_maxrss // 1024,
    }
    write("word_detection", result)


if __name__ == "__main__":
    main()
