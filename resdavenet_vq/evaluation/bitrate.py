"""Bitrate of a sequence of units, pooled over a corpus.

With N rows in D seconds of audio, runs of equal rows (R of them, never across utterances) and H the entropy
in bits of an empirical distribution:

* plain: N/D H(row), the challenge's definition: every row is a symbol;
* run-length (RLE): R/D H(unit, length), units with their durations coded together;
* factored: R/D (H(unit) + H(length)), coded apart;
* segment: R/D H(unit) over runs, the durations thrown away.

Always segment <= factored and run-length <= factored. D is the duration of the audio, not of its frames.
Rows are symbols by being equal; of continuous features every row is its own symbol and the bitrate means nothing.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Hashable, Iterable, Mapping
from dataclasses import dataclass

import numpy as np

from resdavenet_vq.errors import InputError


@dataclass(frozen=True)
class Bitrate:
    """Four bitrates in bits per second, and what they were counted over."""

    plain: float
    run_length: float
    factored: float
    segment: float
    rows: int
    runs: int
    symbols: int
    """Distinct rows."""
    duration: float
    """Seconds of audio."""


def symbols(rows: np.ndarray, known: dict[bytes, int]) -> np.ndarray:
    """Numbers the distinct rows of (T,) or (T, C) in the order in which they are first met: (T,) int64.

    `known` holds the numbers given so far and gains the new ones, so that equal rows of several
    utterances get equal numbers. -0.0 equals 0.0.
    """
    heads, lengths = _runs(rows)
    distinct = np.ascontiguousarray(heads + heads.dtype.type(0))  # -0.0 + 0.0 is 0.0: bytes are equal where values are
    numbers = np.fromiter((known.setdefault(row.tobytes(), len(known)) for row in distinct), np.int64, len(distinct))
    return np.repeat(numbers, lengths)


def of(utterances: Iterable[tuple[str, np.ndarray]], durations: Mapping[str, float]) -> Bitrate:
    """The bitrate of `utterances`: pairs of id and codes (T,) or vectors (T, C), streamed, nothing kept but counts.

    `durations` (seconds) names every utterance of the corpus: one without rows, or rows of an utterance that is not
    in it, raise InputError, for a corpus that got smaller by itself has another bitrate.
    """
    seen: set[str] = set()
    known: dict[bytes, int] = {}
    row_counts: Counter[Hashable] = Counter()
    run_counts: Counter[Hashable] = Counter()
    for name, rows in utterances:
        if name in seen:
            raise InputError(f"bitrate: utterance {name} stands twice among the units; every utterance counts once")
        seen.add(name)
        units, lengths = _runs(symbols(rows, known))
        for unit, length in zip(units.tolist(), lengths.tolist(), strict=True):
            row_counts[unit] += length
            run_counts[unit, length] += 1
    if faults := _differences(seen, set(durations)):
        raise InputError("\n".join(faults))
    duration = float(sum(durations.values()))
    n_rows, n_runs = row_counts.total(), run_counts.total()
    if not (duration > 0 and n_rows):
        raise InputError(f"bitrate: {n_rows} rows in {duration:g} s of audio have no bitrate; give the units of at least one utterance")
    units_of_runs, lengths_of_runs = Counter[Hashable](), Counter[Hashable]()
    for (unit, length), count in run_counts.items():  # type: ignore[misc]
        units_of_runs[unit] += count
        lengths_of_runs[length] += count
    per_run = n_runs / duration
    unit_entropy = _entropy(units_of_runs)
    return Bitrate(
        plain=n_rows / duration * _entropy(row_counts),
        run_length=per_run * _entropy(run_counts),
        factored=per_run * (unit_entropy + _entropy(lengths_of_runs)),
        segment=per_run * unit_entropy,
        rows=n_rows,
        runs=n_runs,
        symbols=len(known),
        duration=duration,
    )


def _runs(rows: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    """Runs of equal rows of (T,) or (T, C): the row of each and its length."""
    if len(rows) == 0:
        return rows, np.zeros(0, np.int64)
    changes = rows[1:] != rows[:-1]
    starts = np.flatnonzero(np.concatenate([[True], changes.any(axis=1) if rows.ndim > 1 else changes]))
    return rows[starts], np.diff(np.append(starts, len(rows)))


def _entropy(counts: Counter[Hashable]) -> float:
    """Entropy in bits of an empirical distribution."""
    p = np.fromiter(counts.values(), np.float64, len(counts)) / counts.total()
    return float(max(0.0, -(p * np.log2(p)).sum()))


def _differences(found: set[str], expected: set[str]) -> list[str]:
    """One line for units that are missing, and one for units nobody expected."""
    return [
        f"bitrate: {len(names)} utterances {fault}: {', '.join(sorted(names)[:10])}{', ...' if len(names) > 10 else ''}; {remedy}"
        for names, fault, remedy in (
            (expected - found, "have no units", "encode the whole split again"),
            (found - expected, "have units but no duration", "take units and durations from one corpus"),
        )
        if names
    ]
