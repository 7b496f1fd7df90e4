"""What codes are in time, what they mean, and how they are used.

Times of frames are those of `encode.units`; frames in no token (a spoken word, phone or syllable) are silence.

Agreement of codes and labels is counted over frames, by the label at the frame's center:
*purity* is the share of frames that have their code's most frequent label; *homogeneity* I/H(label) (the
phone-normalized mutual information of HuBERT), *completeness* I/H(code) and their harmonic mean, the *V-measure*
(Rosenberg and Hirschberg 2007); *NMI* is I over the geometric mean of both entropies. Entropies are in nats.

Boundaries of units are where the code changes. One matches a reference boundary at most `tolerance` away, 20 ms and
for syllables 50 ms, each at most once, in order of time; the utterance's own two ends count on neither side. Over-segmentation is
found / reference - 1; with the hit rate it gives the *R-value* (Räsänen, Laine and Altosaar 2009), which
cannot be raised by placing more boundaries.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

import numpy as np

from resdavenet_vq.encode.units import FrameTime, frame_centers, frame_edges, runs
from resdavenet_vq.evaluation.word_counts import Block, Tokens, grown, ranges

TOLERANCE = 0.02
"""Seconds between a boundary and the one it matches."""

SYLLABLE_TOLERANCE = 0.05
"""Likewise for syllables, whose boundaries are less sharp: what studies of syllable-like units use."""

TOLERANCES = {"words": TOLERANCE, "phones": TOLERANCE, "syllables": SYLLABLE_TOLERANCE}
"""By the tiers of a block."""

_EPSILON = 1e-6


def frame_labels(
    offsets: np.ndarray, spoken: Tokens, frame_period: float, frame_time: FrameTime = "published"
) -> np.ndarray:
    """The label (F,) of the token at each frame's center, -1 for silence; of overlapping tokens the last."""
    n_frames = np.diff(offsets)
    centers = frame_centers(int(n_frames.max(initial=0)), frame_period, frame_time)
    labels = np.full(int(offsets[-1]), -1)
    most = n_frames[spoken.utterance]
    base = offsets[spoken.utterance]
    first, stop = (np.minimum(np.searchsorted(centers, t), most) + base for t in (spoken.start, spoken.end))
    length = np.maximum(stop - first, 0)
    labels[ranges(first, length)] = np.repeat(spoken.label, length)
    return labels


def usage(counts: np.ndarray) -> dict[str, float]:
    """Perplexity, number of codes used and share of the top code from the counts (K,) of frames with each; 0 without."""
    total = max(int(counts.sum()), 1)
    perplexity = float(np.exp(_entropy(counts / total))) if counts.any() else 0.0
    used, top = int(np.count_nonzero(counts)), float(counts.max() / total)
    return {"perplexity": perplexity, "codes_used": used, "top_share": top}


def agreement(table: np.ndarray) -> dict[str, float]:
    """How far codes and labels determine each other, from 0 to 1, from counts (codes, labels), which are not all 0.

    A single label is determined perfectly.
    """
    joint = table / table.sum()
    h_code, h_label, h_joint = _entropy(joint.sum(axis=1)), _entropy(joint.sum(axis=0)), _entropy(joint)
    shared = max(h_code + h_label - h_joint, 0.0)
    homogeneity, completeness = (shared / h if h > _EPSILON else 1.0 for h in (h_label, h_code))
    return {
        "purity": float(joint.max(axis=1).sum()),
        "homogeneity": homogeneity,
        "completeness": completeness,
        "v_measure": 2 * homogeneity * completeness / (homogeneity + completeness or 1.0),
        "nmi": float(np.sqrt(homogeneity * completeness)),
    }


def _entropy(p: np.ndarray) -> float:
    positive = p[p > 0]
    return float(-(positive * np.log(positive)).sum())


@dataclass(frozen=True, slots=True)
class Boundaries:
    """Counts of boundaries, and the scores that follow from them; scores of nothing are 0."""

    found: int = 0
    reference: int = 0
    matched: int = 0

    def __add__(self, other: Boundaries) -> Boundaries:
        return Boundaries(self.found + other.found, self.reference + other.reference, self.matched + other.matched)

    @property
    def precision(self) -> float:
        """The share of the units' boundaries that match."""
        return self.matched / self.found if self.found else 0.0

    @property
    def recall(self) -> float:
        """The share of the reference that is matched, the hit rate."""
        return self.matched / self.reference if self.reference else 0.0

    @property
    def f1(self) -> float:
        """Harmonic mean of precision and recall."""
        return 2 * self.matched / (self.found + self.reference) if self.found + self.reference else 0.0

    @property
    def over_segmentation(self) -> float:
        """Boundaries too many, per boundary of the reference."""
        return self.found / self.reference - 1 if self.reference else 0.0

    @property
    def r_value(self) -> float:
        """1 where all are hit and none is too many."""
        if not self.reference:
            return 0.0
        r1 = np.hypot(1 - self.recall, self.over_segmentation)
        r2 = (self.recall - 1 - self.over_segmentation) / np.sqrt(2)
        return float(1 - (abs(r1) + abs(r2)) / 2)


def match_boundaries(found: np.ndarray, reference: np.ndarray, tolerance: float = TOLERANCE) -> Boundaries:
    """Matches two sorted lists of boundaries, in seconds, the earliest free pair first: no other way matches more."""
    found_at, reference_at = found.tolist(), reference.tolist()
    i = j = matched = 0
    while i < len(found_at) and j < len(reference_at):
        distance = found_at[i] - reference_at[j]
        if distance < -tolerance - _EPSILON:
            i += 1
        elif distance > tolerance + _EPSILON:
            j += 1
        else:
            matched, i, j = matched + 1, i + 1, j + 1
    return Boundaries(len(found_at), len(reference_at), matched)


def boundaries(
    block: Block,
    spoken: Tokens,
    frame_period: float,
    frame_time: FrameTime = "published",
    tolerance: float = TOLERANCE,
) -> Boundaries:
    """Boundaries of a block's units against those of one of its tiers, over the utterances that have any of it."""
    duration = np.diff(block.offsets) * frame_period
    apart = duration.max(initial=0) + 1 + 2 * tolerance  # all utterances on one time line, too far apart to match
    units = runs(block.codes, block.offsets, block.begins)
    inner = (units.start > 0) & _has_tokens(block, spoken)[units.utterance]
    at = units.utterance[inner] * apart + frame_edges(units.start[inner], frame_period, frame_time)
    edge, utterance = np.concatenate([spoken.start, spoken.end]), np.tile(spoken.utterance, 2)
    inner = (edge > 0) & (edge < duration[utterance])
    edges = np.unique(np.round(utterance[inner] * apart + edge[inner], 6))
    return match_boundaries(at, edges, tolerance)


def _has_tokens(block: Block, spoken: Tokens) -> np.ndarray:
    """Which utterances (n,) of a block have any token."""
    return np.bincount(spoken.utterance, minlength=len(block.offsets) - 1) > 0


class Description:
    """Usage of a layer's codes, and their agreement with words, phones and syllables, added up block by block."""

    def __init__(self, codebook_size: int, frame_period: float, frame_time: FrameTime = "published") -> None:
        self._period, self._frame_time = frame_period, frame_time
        self._tables = {tier: np.zeros((1, codebook_size), np.int64) for tier in TOLERANCES}  # row 0: silence
        self._boundaries = {tier: Boundaries() for tier in self._tables}

    def add(self, block: Block) -> None:
        """Counts a block: its words, and its phones and syllables where it has some."""
        for tier, tolerance in TOLERANCES.items():
            spoken: Tokens = getattr(block, tier)
            if len(spoken.label):
                label = frame_labels(block.offsets, spoken, self._period, self._frame_time) + 1
                table = self._tables[tier] = grown(self._tables[tier], int(label.max(initial=0)) + 1)
                aligned = np.repeat(_has_tokens(block, spoken), np.diff(block.offsets))
                np.add.at(table.reshape(-1), (label * table.shape[1] + block.codes)[aligned], 1)
                self._boundaries[tier] += boundaries(block, spoken, self._period, self._frame_time, tolerance)

    def to_dict(self) -> dict[str, Any]:
        """JSON values: perplexity and codes used; of aligned words, phones and syllables also agreement and boundaries."""
        result: dict[str, Any] = usage(self._tables["words"].sum(axis=0))
        names = ("found", "reference", "precision", "recall", "f1", "over_segmentation", "r_value")
        for tier, table in self._tables.items():
            if table.any():
                edges = {name: getattr(self._boundaries[tier], name) for name in names}
                result[tier] = agreement(table.T) | {"boundaries": edges}
        return result
