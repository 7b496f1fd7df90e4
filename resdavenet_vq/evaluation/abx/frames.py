"""Which frames an ABX item is made of, in each representation of a layer.

The time of frame f of a layer with period p is (f + 1/2)p, and an item is the frames whose times are in [onset,
offset]. Where an item reaches beyond the last frame of its utterance it ends there.

Segments are runs of equal codes: of R in an audio of D seconds, number i is at iD/R, wherever its run began, as
ZeroSpeech places units that come without times. They are few, so an item may have none in it.

An item with nothing in it is the frame, or segment, before it: the last one of the utterance for an item wholly
beyond it, the preceding one for an item between two segments.
"""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass
from decimal import Decimal
from itertools import pairwise

import numpy as np

from resdavenet_vq.encode.features import LayerFeatures
from resdavenet_vq.encode.units import runs
from resdavenet_vq.errors import InputError
from resdavenet_vq.evaluation.abx.items import Item
from resdavenet_vq.evaluation.symbols import LayerUnits

TOO_SHORT = "shorter than a frame of the slowest layer"
BEYOND = "beyond the end of the audio"


@dataclass(frozen=True)
class Sequences:
    """Item i is `data[start:end]` of its range: frames (F, C) float32, or numbers (F,) of `units` (K, C)."""

    data: np.ndarray
    ranges: list[tuple[int, int]]
    units: np.ndarray | None
    borrowed: int
    """Items with nothing in them, which are the frame before."""


def usable(
    items: Sequence[Item], durations: dict[str, float], slowest_period: float
) -> tuple[list[Item], dict[str, int]]:
    """The items that every layer up to `slowest_period` can score, and how many were dropped for which reason."""
    period = decimal(slowest_period)
    ends = {name: decimal(seconds) + period for name, seconds in durations.items()}
    reasons = [TOO_SHORT if i.offset - i.onset < period else BEYOND if i.offset > ends[i.file] else None for i in items]
    counts = {reason: reasons.count(reason) for reason in (TOO_SHORT, BEYOND)}
    return [item for item, reason in zip(items, reasons, strict=True) if reason is None], counts


def frames(item: Item, period: Decimal, n_frames: int) -> tuple[int, int]:
    """The item's first frame and the one after its last, of an utterance with `n_frames`; equal where it has none."""
    half = Decimal("0.5")
    return _within(math.ceil(item.onset / period - half), math.floor(item.offset / period - half) + 1, n_frames)


def segments(item: Item, duration: Decimal, n_segments: int) -> tuple[int, int]:
    """Likewise among `n_segments` in audio of `duration` seconds."""
    onset, offset = (time * n_segments / duration for time in (item.onset, item.offset))
    return _within(math.ceil(onset), math.floor(offset) + 1, n_segments)


def _within(start: int, end: int, n: int) -> tuple[int, int]:
    return min(start, n), max(min(start, n), min(end, n))


def gather(
    features: LayerFeatures, items: Sequence[Item], units: LayerUnits | None, *, segmented: bool = False
) -> Sequences:
    """The items of a layer. Continuous frames stay in their file; of quantized ones, `units`, numbers are kept.

    Raises InputError for an utterance that has items and no frame.
    """
    number = {name: i for i, name in enumerate(features.ids)}
    utterances = sorted({number[item.file] for item in items})
    if empty := [features.ids[i] for i in utterances if features.offsets[i] == features.offsets[i + 1]]:
        raise InputError(
            f"{features.path}: {features.layer} has no frame of utterance {empty[0]}; encode the split again"
        )
    offsets = features.offsets.tolist()
    places = [(offsets[i], offsets[i + 1]) for i in utterances]
    if units is None:
        data, vectors = features.mapped(), None
        bounds = dict(zip(utterances, places, strict=True))
        for i, (start, end) in bounds.items():
            if not np.isfinite(data[start:end]).all():
                features.rows(i)  # raises with the utterance, and what to do
    else:
        numbers = np.concatenate([units.numbers[start:end] for start, end in places])
        edges = np.cumsum([0, *(end - start for start, end in places)])
        if segmented:
            of_units = runs(numbers, edges)
            numbers, edges = of_units.code, np.searchsorted(of_units.utterance, np.arange(len(edges)))
        data, vectors = LayerUnits(numbers, units.vectors).in_order()
        bounds = dict(zip(utterances, pairwise(edges.tolist()), strict=True))
    period, audio = decimal(features.frame_period), [decimal(seconds) for seconds in features.durations.tolist()]
    ranges, borrowed = [], 0
    for item in items:
        i = number[item.file]
        first, length = bounds[i][0], bounds[i][1] - bounds[i][0]
        start, end = segments(item, audio[i], length) if segmented else frames(item, period, length)
        if start == end:
            start, borrowed = max(start - 1, 0), borrowed + 1
            end = start + 1
        ranges.append((first + start, first + end))
    return Sequences(data, ranges, vectors, borrowed)


def decimal(seconds: float) -> Decimal:
    """The decimal number that a time was written as."""
    return Decimal(str(round(float(seconds), 9)))
