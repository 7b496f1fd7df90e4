"""Which frames an ABX item is made of, in each representation of a layer.

The time of frame f of a layer with period p is (f + 1/2)p, and an item is the frames whose times are in [onset,
offset], all in whole nanoseconds. Where an item reaches beyond the last frame of its utterance it ends there.

Segments are runs of equal codes: of R in an audio of D seconds, number i is at iD/R, wherever its run began, as
ZeroSpeech places units that come without times. They are few, so an item may have none in it.

An item with nothing in it is the frame, or segment, before it: the last one of the utterance for an item wholly
beyond it, the preceding one for an item between two segments.
"""

from __future__ import annotations

from dataclasses import dataclass
from decimal import Decimal

import numpy as np

from resdavenet_vq.encode.features import LayerFeatures
from resdavenet_vq.encode.units import runs
from resdavenet_vq.errors import InputError
from resdavenet_vq.evaluation.abx.columns import ItemTable, nanoseconds
from resdavenet_vq.evaluation.symbols import LayerUnits

TOO_SHORT = "shorter than a frame of the slowest layer"
BEYOND = "beyond the end of the audio"

FITS = 2.0**62
"""Products below it are computed in 64 bits, others as Python's whole numbers."""


LONGEST = 1 << 60
"""Nanoseconds that two times together may have in 64 bits."""


@dataclass(frozen=True)
class Sequences:
    """Item i is `data[start:end]` of its range: frames (F, C) float32, or numbers (F,) of `units` (K, C)."""

    data: np.ndarray
    ranges: np.ndarray
    """(n, 2) int64."""
    units: np.ndarray | None
    borrowed: int
    """Items with nothing in them, which are the frame before."""


def usable(items: ItemTable, durations: dict[str, float], slowest_period: float) -> tuple[ItemTable, dict[str, int]]:
    """The items that every layer up to `slowest_period` can score, and how many were dropped for which reason."""
    period = _units(slowest_period)
    ends = np.array([_units(durations[name]) + period for name in items.names["file"]], np.int64)
    is_short = items.offset - items.onset < period
    is_beyond = ~is_short & (items.offset > ends[items.numbers["file"]])
    counts = {TOO_SHORT: int(is_short.sum()), BEYOND: int(is_beyond.sum())}
    return items.select(np.flatnonzero(~(is_short | is_beyond))), counts


def frames(onset: np.ndarray, offset: np.ndarray, period: int, n_frames: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    """Of items, in nanoseconds, the first frame and the one after the last, of utterances with `n_frames`.

    They are equal for an item that has none.
    """
    return _within(-((period - 2 * onset) // (2 * period)), (2 * offset - period) // (2 * period) + 1, n_frames)


def segments(
    onset: np.ndarray, offset: np.ndarray, duration: np.ndarray, n_segments: np.ndarray
) -> tuple[np.ndarray, np.ndarray]:
    """Likewise among `n_segments` in audio of `duration` nanoseconds."""
    if float(offset.max(initial=0)) * float(n_segments.max(initial=0)) >= FITS:
        onset, offset = onset.astype(object), offset.astype(object)
    start, end = -(-onset * n_segments // duration), offset * n_segments // duration + 1
    return _within(start.astype(np.int64), end.astype(np.int64), n_segments)


def _within(start: np.ndarray, end: np.ndarray, n: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    start = np.minimum(start, n)
    return start, np.maximum(start, np.minimum(end, n))


def gather(
    features: LayerFeatures, items: ItemTable, units: LayerUnits | None, *, segmented: bool = False
) -> Sequences:
    """The items of a layer. Continuous frames stay in their file; of quantized ones, `units`, numbers are kept.

    Raises InputError for an utterance that has items and no frame.
    """
    number = {name: i for i, name in enumerate(features.ids)}
    of_file = np.array([number.get(name, -1) for name in items.names["file"]], np.int64)
    utterances, at = np.unique(of_file[items.numbers["file"]], return_inverse=True)
    first, end = features.offsets[utterances], features.offsets[utterances + 1]
    if (first == end).any():
        empty = features.ids[utterances[first == end][0]]
        raise InputError(f"{features.path}: {features.layer} has no frame of utterance {empty}; encode the split again")
    places = list(zip(first.tolist(), end.tolist(), strict=True))
    if units is None:
        data, vectors = features.mapped(), None
        for i, (start, stop) in zip(utterances.tolist(), places, strict=True):
            if not np.isfinite(data[start:stop]).all():
                features.rows(i)  # raises with the utterance, and what to do
    else:
        numbers = np.concatenate([units.numbers[start:stop] for start, stop in places])
        edges = np.cumsum([0, *(end - first)])
        if segmented:
            of_units = runs(numbers, edges)
            numbers, edges = of_units.code, np.searchsorted(of_units.utterance, np.arange(len(edges)))
        data, vectors = LayerUnits(numbers, units.vectors).in_order()
        first, end = edges[:-1], edges[1:]
    first, n = first[at], (end - first)[at]
    if segmented:
        audio = np.array([max(_units(features.durations[i]), 1) for i in utterances], np.int64)
        start, end = segments(items.onset, items.offset, audio[at], n)
    else:
        start, end = frames(items.onset, items.offset, _units(features.frame_period), n)
    is_empty = start == end
    start = np.where(is_empty, np.maximum(start - 1, 0), start)
    end = np.where(is_empty, start + 1, end)
    return Sequences(data, np.stack([first + start, first + end], axis=1), vectors, int(is_empty.sum()))


def _units(seconds: float) -> int:
    """A time as it was written, to at most nine digits, in nanoseconds; of thousands of years, so many."""
    return min(nanoseconds(Decimal(str(round(float(seconds), 9)))), LONGEST)
