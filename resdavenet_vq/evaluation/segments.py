"""Segments of units, compared with the words, phones and syllables that they might be.

A segment is a run of equal codes, or what was imported as one; the gap between imported ones is none.

*Token scores* are those of word segmentation (Kamper 2022): a segment matches a token where its begin and its end are
at most the tolerance of `boundaries` away from the token's, each at most once. The utterance's own ends count.

*Area scores* are those of VG-HuBERT (Peng and Harwath 2022): a token is covered if it overlaps the frame around the
middle of a segment, and *coverage* is the share of these; *IoU* is the mean, over tokens and the segments whose middle
they hold, of the time that both share over that from the first begin to the last end; the *A-score* is the harmonic
mean of both. A segment that begins before a token and ends after it has no IoU with it, as in the released evaluation.
"""

from __future__ import annotations

from dataclasses import dataclass, fields

import numpy as np

from resdavenet_vq.encode.units import FrameTime, frame_edges, runs
from resdavenet_vq.evaluation.bootstrap import ratio
from resdavenet_vq.evaluation.boundaries import EPSILON, Count, Matches, has_tokens
from resdavenet_vq.evaluation.word_counts import Block, Tokens, ranges

TOKEN_SCORES = ("precision", "recall", "f1")
AREA_SCORES = ("coverage", "iou", "a_score")
"""Of segments, which follow from their counts."""


@dataclass(frozen=True, slots=True)
class Segments(Matches):
    """Counts of segments and of tokens, and the scores that follow."""

    covered: Count = 0
    """Tokens with a segment."""
    pairs: Count = 0
    """Tokens and segments that have an IoU."""
    iou_sum: Count = 0
    """Of these."""

    @property
    def coverage(self) -> np.ndarray:
        """The share of tokens that are covered."""
        return ratio(self.covered, self.reference)

    @property
    def iou(self) -> np.ndarray:
        """The mean intersection over union of tokens and segments."""
        return ratio(self.iou_sum, self.pairs)

    @property
    def a_score(self) -> np.ndarray:
        """Harmonic mean of coverage and IoU."""
        return ratio(2 * self.coverage * self.iou, self.coverage + self.iou)


COUNTS = tuple(field.name for field in fields(Segments))
"""In the order of `segments_of_each`."""


def segments_of_each(
    block: Block, spoken: Tokens, frame_period: float, frame_time: FrameTime, tolerance: float
) -> np.ndarray:
    """The counts (6, n) of `Segments` of each utterance of a block against one of its tiers; 0 without any of it."""
    units = runs(block.codes, block.offsets, block.begins)
    is_segment = has_tokens(block, spoken)[units.utterance]
    if block.gap is not None:
        is_segment &= units.code != block.gap
    segment_in = units.utterance[is_segment]
    edges = np.stack([units.start, units.start + units.length], axis=1)[is_segment]
    order = np.lexsort((spoken.end, spoken.start, spoken.utterance))
    token_in, times = spoken.utterance[order], np.stack([spoken.start, spoken.end], axis=1)[order]
    apart = max(np.diff(block.offsets).max(initial=0) * frame_period, times.max(initial=0)) + 1 + 2 * tolerance
    segments = frame_edges(edges, frame_period, frame_time) + (segment_in * apart)[:, None]
    tokens = times + (token_in * apart)[:, None]  # all utterances on one time line, too far apart to match
    matched = _matches(segments, tokens, tolerance)
    is_covered, paired, iou = _areas(segments, tokens, frame_period)
    n = len(block.offsets) - 1
    of_each = segment_in, token_in, segment_in[matched], token_in[is_covered], token_in[paired]
    return np.stack([*(np.bincount(each, minlength=n) for each in of_each), np.bincount(token_in[paired], iou, n)])


def _matches(segments: np.ndarray, tokens: np.ndarray, tolerance: float) -> list[int]:
    """The places of segments (S, 2) that match one of the tokens (T, 2), both in order of time."""
    segments_at, tokens_at = segments.tolist(), tokens.tolist()
    i = j = 0
    matched = []
    while i < len(segments_at) and j < len(tokens_at):
        begin, end = (a - b for a, b in zip(segments_at[i], tokens_at[j], strict=True))
        if min(begin, end) < -tolerance - EPSILON:
            i += 1
        elif max(begin, end) > tolerance + EPSILON:
            j += 1
        else:
            matched.append(i)
            i, j = i + 1, j + 1
    return matched


def _areas(segments: np.ndarray, tokens: np.ndarray, window: float) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
    """Which tokens (T,) are covered, and those (P,) of pairs of a token and a segment, with their IoU (P,)."""
    middle = segments.mean(axis=1)
    first = np.searchsorted(middle + window / 2, tokens[:, 0] + EPSILON, side="right")
    stop = np.searchsorted(middle - window / 2, tokens[:, 1] - EPSILON, side="left")
    length = np.maximum(stop - first, 0)
    token, at = np.repeat(np.arange(len(tokens)), length), ranges(first, length)
    (begin, end), (token_begin, token_end) = segments[at].T, tokens[token].T
    is_inside = (middle[at] >= token_begin - EPSILON) & (middle[at] <= token_end + EPSILON)
    is_around = (begin < token_begin - EPSILON) & (end > token_end + EPSILON)
    shared = np.minimum(end, token_end) - np.maximum(begin, token_begin)
    either = np.maximum(end, token_end) - np.minimum(begin, token_begin)
    kept = is_inside & ~is_around
    return length > 0, token[kept], shared[kept] / either[kept]
