"""The four bitrates of a layer, from text files of frames and a list of durations, as the 2020 release does.

    python bitrate.py FEATURES DURATIONS.json

prints bits per second: of rows, of runs with their lengths, of both apart, of runs alone.
"""

from __future__ import annotations

import json
import math
import sys
from collections import Counter
from collections.abc import Hashable, Iterable
from pathlib import Path


def bitrates(utterances: Iterable[list[Hashable]], duration: float) -> tuple[float, ...]:
    """The four bitrates, symbol by symbol."""
    rows: Counter = Counter()
    runs: Counter = Counter()
    units: Counter = Counter()
    lengths: Counter = Counter()
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

    def entropy(counts: Counter) -> float:
        total = sum(counts.values())
        return -sum(n / total * math.log2(n / total) for n in counts.values())

    n_runs = sum(runs.values())
    parts = ((sum(rows.values()), rows), (n_runs, runs), (n_runs, units))
    plain, run_length, segment = (n / duration * entropy(counts) for n, counts in parts)
    return plain, run_length, segment + n_runs / duration * entropy(lengths), segment


if __name__ == "__main__":
    folder, durations_path = map(Path, sys.argv[1:3])
    durations = json.loads(durations_path.read_text())
    lines = ((folder / f"{name}.txt").read_text().splitlines() for name in durations)
    print(*bitrates(lines, sum(durations.values())))
