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

from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass

import numpy as np

from resdavenet_vq.encode.units import Runs, runs
from resdavenet_vq.errors import InputError
from resdavenet_vq.evaluation.bootstrap import Resamples, ratio
from resdavenet_vq.evaluation.symbols import CodeSymbols, Symbols
from resdavenet_vq.evaluation.word_counts import grown

VALUES_AT_ONCE = 1 << 18
"""Of the rows that are numbered and counted together: about as many as the cache of a processor holds."""

RUNS_AT_ONCE = 1 << 16
"""That wait until they are counted."""

_LENGTH_BITS = 32
"""Of the number in which unit and length of a run are counted together."""


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


type Utterance = tuple[str, np.ndarray] | tuple[str, np.ndarray, np.ndarray | None]
"""Its id, its codes (T,), which are whole numbers, or vectors (T, C), and perhaps which (T,) begin a segment."""


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

    def add(self, names: Sequence[str], of_units: Runs) -> None:
        """Counts the runs of symbols of some utterances; those without a duration do not count."""
        group = np.array([self._group.get(name, -1) for name in names], np.int64)[of_units.utterance]
        counts = group >= 0
        code, group, length = of_units.code[counts], group[counts], of_units.length[counts]
        highest = np.full(len(names), -1)
        np.maximum.at(highest, of_units.utterance[counts], code)
        for n in (highest + 1).tolist():  # one by one: the number of rows shows in the last digit of sums over them
            self._rows, self._runs = grown(self._rows, n), grown(self._runs, n)
        np.add.at(self._rows, (code, group), length)
        np.add.at(self._runs, (code, group), 1)

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
    symbols: Symbols | CodeSymbols | None = None
    counts = _Counts()
    for some in _parts(utterances):
        for name, *_ in some:
            if name in ids:
                raise InputError(
                    f"bitrate: utterance {name} is listed twice among the units; every utterance counts once"
                )
            ids.add(name)
        rows = [of_one[1] for of_one in some]
        offsets = np.cumsum([0, *map(len, rows)])
        every = np.concatenate(rows)
        symbols = symbols or (CodeSymbols() if every.ndim == 1 and every.dtype.kind == "i" else Symbols())
        of_units = runs(symbols.of(every), offsets, _marks(some, offsets))
        if samples:
            samples.add([of_one[0] for of_one in some], of_units)
        counts.add(of_units)
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


def _parts(utterances: Iterable[Utterance]) -> Iterator[list[Utterance]]:
    """The utterances in lists of about VALUES_AT_ONCE values."""
    some: list[Utterance] = []
    size = 0
    for utterance in utterances:
        some.append(utterance)
        size += utterance[1].size
        if size >= VALUES_AT_ONCE:
            yield some
            some, size = [], 0
    if some:
        yield some


def _marks(utterances: Sequence[Utterance], offsets: np.ndarray) -> np.ndarray | None:
    """Which of all rows begin a segment; None where no utterance says so."""
    marks = [utterance[2] if len(utterance) == 3 else None for utterance in utterances]
    if all(of_one is None for of_one in marks):
        return None
    marked = np.zeros(offsets[-1], bool)
    for start, end, of_one in zip(offsets[:-1].tolist(), offsets[1:].tolist(), marks, strict=True):
        marked[start:end] = False if of_one is None else of_one
    return marked


class _Counts:
    """How often runs of each unit and length occur."""

    def __init__(self) -> None:
        self._keys, self._times = np.zeros(0, np.int64), np.zeros(0, np.int64)
        self._waiting: list[np.ndarray] = []

    def add(self, of_units: Runs) -> None:
        """Counts some runs."""
        self._waiting.append(of_units.code << _LENGTH_BITS | of_units.length)
        if sum(map(len, self._waiting)) >= RUNS_AT_ONCE:
            self._count()

    def _count(self) -> None:
        keys, times = np.unique(np.concatenate([self._keys[:0], *self._waiting]), return_counts=True)
        self._waiting = []
        if not len(self._keys):
            self._keys, self._times = keys, times
            return
        every, where = np.unique(np.concatenate([self._keys, keys]), return_inverse=True)
        sums = np.zeros(len(every), np.int64)
        np.add.at(sums, where, np.concatenate([self._times, times]))
        self._keys, self._times = every, sums

    def columns(self) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
        """Units, lengths, and how often they occur together, ordered by unit and then by length."""
        self._count()
        return self._keys >> _LENGTH_BITS, self._keys & ((1 << _LENGTH_BITS) - 1), self._times


def _from_counts(counts: _Counts, duration: float) -> Bitrate:
    """The bitrate of runs counted by unit and length."""
    unit, length, times = counts.columns()
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
