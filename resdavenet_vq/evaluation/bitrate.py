"""Bitrate of a sequence of units, pooled over a corpus.

With N rows in D seconds of audio, runs of equal rows (R of them, never across utterances) and H the entropy
in bits of an empirical distribution:

* plain: N/D H(row), the challenge's definition: every row is a symbol;
* run-length (RLE): R/D H(unit, length), units with their durations coded together;
* factored: R/D (H(unit) + H(length)), coded apart;
* segment: R/D H(unit) over runs, the durations thrown away; beside it stand the units a second, R/D.

Always segment <= factored and run-length <= factored. D is the duration of the audio, not of its frames.
Rows are symbols by being equal; of continuous features every row is its own symbol and the bitrate means nothing.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass

import numpy as np

from resdavenet_vq.encode.units import Runs, runs
from resdavenet_vq.errors import InputError
from resdavenet_vq.evaluation.bootstrap import Resamples, ratio
from resdavenet_vq.evaluation.word_counts import grown

_COUNTED_AT_ONCE = 256  # utterances whose runs are kept before they are counted


@dataclass(frozen=True)
class Bitrate:
    """Four bitrates in bits per second, units a second, and what they were counted over."""

    plain: float
    run_length: float
    factored: float
    segment: float
    units_per_second: float
    rows: int
    runs: int
    symbols: int  # distinct rows
    duration: float  # seconds of audio


def symbols(rows: np.ndarray, numbers: dict[bytes, int]) -> np.ndarray:
    """Numbers (T,) of the rows of (T,) or (T, C) in the order of their first occurrence, -0.0 being equal to 0.0.

    `numbers` has those given so far and gains the new ones, so that equal rows of several utterances have equal numbers.
    """
    of_rows = runs(rows)
    heads = of_rows.code
    distinct = np.ascontiguousarray(heads + heads.dtype.type(0))  # -0.0 + 0.0 is 0.0: bytes are equal where values are
    number = (numbers.setdefault(row.tobytes(), len(numbers)) for row in distinct)
    return np.repeat(np.fromiter(number, np.int64, len(distinct)), of_rows.length)


type Utterance = tuple[str, np.ndarray] | tuple[str, np.ndarray, np.ndarray | None]
"""Its id, its codes (T,) or vectors (T, C), and perhaps which of them (T,) begin a segment."""


class Samples:
    """Counts by groups of utterances, and replicates of the bitrates in which units or rows are coded one by one.

    A replicate is the mean surprise of its rows, or runs, by the distribution in all utterances: the score to first
    order. Bitrates of runs with their lengths have no replicates: there are too many kinds of them to count by groups.
    """

    def __init__(self, durations: Mapping[str, float]) -> None:
        """`durations` (seconds) has every utterance."""
        self._resamples = Resamples.of(durations)
        self._group = dict(zip(durations, self._resamples.group.tolist(), strict=True))
        self._seconds = self._resamples.sums(np.fromiter(durations.values(), np.float64, len(durations)))
        self._rows, self._runs = (np.zeros((0, self._resamples.n_groups), np.int64) for _ in range(2))  # by symbol

    def add(self, name: str, of_units: Runs) -> None:
        """Counts the runs of an utterance's symbols."""
        if (group := self._group.get(name)) is None:
            return
        n = int(of_units.code.max(initial=-1)) + 1
        self._rows, self._runs = grown(self._rows, n), grown(self._runs, n)
        np.add.at(self._rows[:, group], of_units.code, of_units.length)
        np.add.at(self._runs[:, group], of_units.code, 1)

    def replicates(self) -> dict[tuple[str, str], np.ndarray]:
        """Replicates by condition and score: bits per second of rows and of runs, and runs per second."""
        seconds = self._resamples.total(self._seconds)
        plain, segment = (
            ratio(self._resamples.total(_surprise(counts) @ counts), seconds) for counts in (self._rows, self._runs)
        )
        units = ratio(self._resamples.total(self._runs.sum(axis=0)), seconds)
        return {
            ("plain", "bits_per_second"): plain,
            ("segment", "bits_per_second"): segment,
            ("segment", "units_per_second"): units,
        }


def _surprise(counts: np.ndarray) -> np.ndarray:
    """Bits of each symbol, from its counts (S, G)."""
    of_symbol = counts.sum(axis=1)
    bits = np.zeros(len(counts))
    used = of_symbol > 0
    bits[used] = -np.log2(of_symbol[used] / of_symbol.sum())
    return bits


def measure(utterances: Iterable[Utterance], durations: Mapping[str, float], samples: Samples | None = None) -> Bitrate:
    """The bitrate of some utterances. Only counts are kept in memory.

    `durations` (seconds) has every utterance of the corpus; `samples` gets their runs. Raises InputError for an utterance without rows, and for
    rows of an utterance that is not in it: a corpus that got smaller has another bitrate.
    """
    ids: set[str] = set()
    numbers: dict[bytes, int] = {}
    counts: Counter[tuple[int, int]] = Counter()  # of runs, by unit and length
    pending: list[np.ndarray] = []
    for name, rows, *begins in utterances:
        if name in ids:
            raise InputError(f"bitrate: utterance {name} is listed twice among the units; every utterance counts once")
        ids.add(name)
        of_units = runs(symbols(rows, numbers), marked=begins[0] if begins else None)
        if samples:
            samples.add(name, of_units)
        pending.append(np.stack([of_units.code, of_units.length]))
        if len(pending) == _COUNTED_AT_ONCE:
            counts.update(_count(pending))
            pending.clear()
    counts.update(_count(pending))
    faults = [
        f"bitrate: {len(names)} utterances {fault}: {', '.join(sorted(names)[:10])}; {remedy}"
        for names, fault, remedy in (
            (durations.keys() - ids, "have no units", "encode the whole split again"),
            (ids - durations.keys(), "have units but no duration", "take units and durations from one corpus"),
        )
        if names
    ]
    if faults:
        raise InputError("\n".join(faults))
    return _from_counts(counts, float(sum(durations.values())))


def _count(parts: Sequence[np.ndarray]) -> dict[tuple[int, int], int]:
    """How often each column (unit, length) occurs in (2, R) arrays."""
    if not parts:
        return {}
    unit, length = np.concatenate(parts, axis=1)
    base = int(length.max(initial=0)) + 1
    both, times = np.unique(unit * base + length, return_counts=True)
    columns = zip(*(part.tolist() for part in np.divmod(both, base)), strict=True)
    return dict(zip(columns, times.tolist(), strict=True))


def _from_counts(counts: Counter[tuple[int, int]], duration: float) -> Bitrate:
    """The bitrate of runs counted by unit and length."""
    unit, length, times = np.array(sorted((*run, n) for run, n in counts.items()), np.int64).reshape(-1, 3).T
    n_rows, n_runs = int((length * times).sum()), int(times.sum())
    if not (duration > 0 and n_rows):
        raise InputError(f"bitrate: {n_rows} rows in {duration:g} s of audio have none; give at least one utterance")
    per_run = n_runs / duration
    of_units, of_lengths = _entropy(np.bincount(unit, times)), _entropy(np.bincount(length, times))
    rows = np.bincount(unit, length * times)
    return Bitrate(
        plain=n_rows / duration * _entropy(rows),
        run_length=per_run * _entropy(times),
        factored=per_run * (of_units + of_lengths),
        segment=per_run * of_units,
        units_per_second=per_run,
        rows=n_rows,
        runs=n_runs,
        symbols=len(rows),
        duration=duration,
    )


def _entropy(counts: np.ndarray) -> float:
    """Entropy in bits of an empirical distribution."""
    p = counts[counts > 0] / counts.sum()
    return float(max(0.0, -(p * np.log2(p)).sum()))
