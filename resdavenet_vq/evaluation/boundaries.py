"""Boundaries of units, matched with those of what is spoken.

Boundaries of units are where the code changes. One matches a reference boundary at most `tolerance` away, 20 ms and
for syllables 50 ms, each at most once, in order of time; the utterance's own two ends count on neither side. Over-segmentation is
found / reference - 1; with the hit rate it gives the *R-value* (Räsänen, Laine and Altosaar 2009), which
cannot be raised by placing more boundaries.
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np

from resdavenet_vq.encode.units import FrameTime, frame_edges, runs
from resdavenet_vq.evaluation.bootstrap import ratio
from resdavenet_vq.evaluation.word_counts import Block, Tokens

TOLERANCE = 0.02
"""Seconds between a boundary and the one it matches."""

SYLLABLE_TOLERANCE = 0.05
"""Likewise for syllables, whose boundaries are less sharp."""

TOLERANCES = {"words": TOLERANCE, "phones": TOLERANCE, "syllables": SYLLABLE_TOLERANCE}
"""By the tiers of a block."""

SCORES = ("precision", "recall", "f1", "over_segmentation", "r_value")
"""Of boundaries, which follow from their counts."""

EPSILON = 1e-6
"""Seconds that rounding may be off by."""


type Count = float | np.ndarray


@dataclass(frozen=True, slots=True)
class Matches:
    """Counts of what was found and what it was matched with, numbers or arrays of one shape; scores of nothing are 0."""

    found: Count = 0
    reference: Count = 0
    matched: Count = 0

    @property
    def precision(self) -> np.ndarray:
        """The share of what was found that matches."""
        return ratio(self.matched, self.found)

    @property
    def recall(self) -> np.ndarray:
        """The share of the reference that is matched, the hit rate."""
        return ratio(self.matched, self.reference)

    @property
    def f1(self) -> np.ndarray:
        """Harmonic mean of precision and recall."""
        return ratio(2 * self.matched, self.found + self.reference)


@dataclass(frozen=True, slots=True)
class Boundaries(Matches):
    """Counts of boundaries of units and of the reference, and the scores that follow."""

    def __add__(self, other: Boundaries) -> Boundaries:
        return Boundaries(self.found + other.found, self.reference + other.reference, self.matched + other.matched)

    @property
    def over_segmentation(self) -> np.ndarray:
        """Boundaries too many, per boundary of the reference."""
        return np.where(np.equal(self.reference, 0), 0.0, ratio(self.found, self.reference) - 1)

    @property
    def r_value(self) -> np.ndarray:
        """1 where all are hit and none is too many."""
        r1 = np.hypot(1 - self.recall, self.over_segmentation)
        r2 = (self.recall - 1 - self.over_segmentation) / np.sqrt(2)
        return np.where(np.equal(self.reference, 0), 0.0, 1 - (abs(r1) + abs(r2)) / 2)


def match_boundaries(found: np.ndarray, reference: np.ndarray, tolerance: float = TOLERANCE) -> Boundaries:
    """Matches two sorted lists of boundaries, in seconds, the earliest free pair first: no other way matches more."""
    return Boundaries(len(found), len(reference), len(_matches(found, reference, tolerance)))


def _matches(found: np.ndarray, reference: np.ndarray, tolerance: float) -> list[int]:
    """The places in `found` that match."""
    found_at, reference_at = found.tolist(), reference.tolist()
    i = j = 0
    matched = []
    while i < len(found_at) and j < len(reference_at):
        distance = found_at[i] - reference_at[j]
        if distance < -tolerance - EPSILON:
            i += 1
        elif distance > tolerance + EPSILON:
            j += 1
        else:
            matched.append(i)
            i, j = i + 1, j + 1
    return matched


def boundaries(
    block: Block,
    spoken: Tokens,
    frame_period: float,
    frame_time: FrameTime = "published",
    tolerance: float = TOLERANCE,
) -> Boundaries:
    """Boundaries of a block's units against those of one of its tiers, over the utterances that have any of it."""
    of_each = boundaries_of_each(block, spoken, frame_period, frame_time, tolerance)
    return Boundaries(*of_each.sum(axis=1).tolist())


def boundaries_of_each(
    block: Block, spoken: Tokens, frame_period: float, frame_time: FrameTime, tolerance: float
) -> np.ndarray:
    """Numbers (3, n) of boundaries that are found, in the reference, and matched, of each utterance of a block."""
    duration = np.diff(block.offsets) * frame_period
    apart = duration.max(initial=0) + 1 + 2 * tolerance  # all utterances on one time line, too far apart to match
    units = runs(block.codes, block.offsets, block.begins)
    inner = (units.start > 0) & has_tokens(block, spoken)[units.utterance]
    found_in = units.utterance[inner]
    at = found_in * apart + frame_edges(units.start[inner], frame_period, frame_time)
    edge, utterance = np.concatenate([spoken.start, spoken.end]), np.tile(spoken.utterance, 2)
    inner = (edge > 0) & (edge < duration[utterance])
    edges, first = np.unique(np.round(utterance[inner] * apart + edge[inner], 6), return_index=True)
    places = found_in, utterance[inner][first], found_in[_matches(at, edges, tolerance)]
    return np.stack([np.bincount(place, minlength=len(duration)) for place in places])


def has_tokens(block: Block, spoken: Tokens) -> np.ndarray:
    """Which utterances (n,) of a block have any token."""
    return np.bincount(spoken.utterance, minlength=len(block.offsets) - 1) > 0
