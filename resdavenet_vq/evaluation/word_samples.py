"""Replicates of word detection: the words' detectors, chosen once on all utterances, scored on resamples of them.

What is kept are sums over each group of utterances: of each word its tokens, those in whose span its detector occurs,
and the frames of its detector that touch it; of each code its frames. Memory grows with groups times words.

A replicate without any token of a word has no F1 of it: the word keeps the one of all utterances.
"""

from __future__ import annotations

from collections.abc import Collection, Mapping, Sequence
from dataclasses import dataclass

import numpy as np
import pandas as pd

from resdavenet_vq import config
from resdavenet_vq.evaluation.bootstrap import PERCENTILES, REPLICATES, Replicates, Resamples
from resdavenet_vq.evaluation.word_counts import Block, Spans, Vocabulary

WORDS_AT_ONCE = 1024
"""Words whose replicates are in memory together: 4 MB an array."""


class DetectorCounts:
    """Sums over groups of utterances of what precision and recall of words' detectors are made of."""

    def __init__(
        self, detectors: Mapping[str, int], vocabulary: Vocabulary, codebook_size: int, resamples: Resamples
    ) -> None:
        """`detectors` are the code of each word; `vocabulary` numbers the words of the blocks, and may grow."""
        self._codes = np.array([*detectors.values(), -1], np.int64)  # the last of words without a detector
        self._place = {word: i for i, word in enumerate(detectors)}
        self._vocabulary, self._resamples = vocabulary, resamples
        self._place_of_label = np.zeros(0, np.int64)
        self._tokens, self._hits, self._touched = (
            np.zeros((len(detectors), resamples.n_groups), np.int32) for _ in range(3)
        )
        self._frames = np.zeros((codebook_size, resamples.n_groups), np.int32)

    def add(self, block: Block, met: Spans) -> None:
        """Adds a block, of which `met` says where words meet frames."""
        if (n := len(self._place_of_label)) < len(self._vocabulary):
            new = [self._place.get(word, -1) for word in list(self._vocabulary)[n:]]
            self._place_of_label = np.append(self._place_of_label, new).astype(np.int64)
        group_of = self._resamples.group[block.numbers]
        group = np.repeat(group_of, np.diff(block.offsets))
        _count(self._frames, block.codes, group)
        place = self._place_of_label[block.words.label]
        known = place >= 0
        _count(self._tokens, place[known], group_of[block.words.utterance[known]])
        for sums, at, label in ((self._hits, met.within, met.of), (self._touched, met.touched, met.touching)):
            place = self._place_of_label[label]
            right = block.codes[at] == self._codes[place]
            _count(sums, place[right], group[at[right]])

    def sample(self, scores: pd.Series, settings: config.Words, *, without_precision: Collection[str]) -> Sample:
        """Replicates of words' F1: of those in `scores`, which has the F1 on all utterances, the best word first.

        Words `without_precision` have no F1 but 0.
        """
        above, mean, bounds = np.zeros(REPLICATES), np.zeros(REPLICATES), [np.zeros((2, 0))]
        best = min(settings.best, len(scores))
        for i in range(0, len(scores), WORDS_AT_ONCE):
            some = scores.iloc[i : i + WORDS_AT_ONCE]
            replicates = self._f1([str(word) for word in some.index], some.to_numpy(), without_precision)
            above += (replicates >= settings.f1_threshold).sum(axis=0)
            mean += replicates[: max(best - i, 0)].sum(axis=0, dtype=np.float64) / max(best, 1)
            bounds.append(np.percentile(replicates, PERCENTILES, axis=1))
        return Sample(above, mean, np.concatenate(bounds, axis=1))

    def _f1(self, words: Sequence[str], scores: np.ndarray, without_precision: Collection[str]) -> np.ndarray:
        """Replicates (n, REPLICATES) of the F1 of some words, in float32: sums of counts are exact below 2^24."""
        places = np.array([self._place[word] for word in words], np.int64)
        has_precision = np.array([word not in without_precision for word in words])
        weights = self._resamples.weights.T.astype(np.float32)
        codes, code_of = np.unique(self._codes[places], return_inverse=True)
        frames = (self._frames[codes].astype(np.float32) @ weights)[code_of]
        tokens, hits, touched = (
            sums[places].astype(np.float32) @ weights for sums in (self._tokens, self._hits, self._touched)
        )
        # the harmonic mean of touched / frames and hits / tokens, by one division
        both = touched * tokens + hits * frames
        replicates: np.ndarray = np.divide(2 * touched * hits, both, out=np.zeros_like(both), where=both > 0)
        replicates[~has_precision] = 0
        return np.where(tokens > 0, replicates, scores[:, None].astype(np.float32))


def _count(sums: np.ndarray, row: np.ndarray, group: np.ndarray) -> None:
    """Adds 1 at each row and group; of one index NumPy counts several times as fast as of two."""
    np.add.at(sums.reshape(-1), row * sums.shape[1] + group, np.int32(1))


@dataclass(frozen=True, eq=False)
class Sample:
    """Replicates of the headline of one protocol."""

    above: np.ndarray
    """(REPLICATES,) the number of words that reach the threshold."""
    mean: np.ndarray
    """(REPLICATES,) the mean F1 of the words that are the best on all utterances."""
    bounds: np.ndarray
    """(2, W) of the 95 % interval of each word's F1."""

    def replicate(self, into: Replicates, head: Mapping[str, float], split: str, condition: str) -> None:
        """Adds the scores in `head` to a file's replicates."""
        for name, values, count_of in (
            ("words_above_f1", self.above, head["words"]),
            ("expected_words_above_f1", self.above, None),
            ("mean_f1", self.mean, None),
        ):
            into.add(("words", split, condition, name), head[name], values, count_of=count_of)
