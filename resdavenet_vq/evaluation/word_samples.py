"""Replicates of word detection: the words' detectors, chosen once on all utterances, scored on resamples of them.

What is kept are sums over each group of utterances: of each word its tokens, those in whose span its detector occurs,
and the frames of its detector that touch it; of each code its frames. Memory grows with groups times words.

A replicate without any token of a word has no F1 of it: the word keeps the one of all utterances.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping

import numpy as np

from resdavenet_vq.evaluation.bootstrap import Resamples, ratio
from resdavenet_vq.evaluation.word_counts import Block, Spans, Vocabulary, f1

WORDS_AT_ONCE = 1024
"""Words whose replicates are in memory together: 8 MB an array."""


class DetectorCounts:
    """Sums over groups of utterances of what precision and recall of words' detectors are made of."""

    def __init__(
        self, detectors: Mapping[str, int], vocabulary: Vocabulary, codebook_size: int, resamples: Resamples
    ) -> None:
        """`detectors` are the code of each word; `vocabulary` numbers the words of the blocks, and may grow."""
        self._codes = np.fromiter(detectors.values(), np.int64, len(detectors))
        self._place = {word: i for i, word in enumerate(detectors)}
        self._vocabulary, self._resamples = vocabulary, resamples
        self._place_of_label = np.zeros(0, np.int64)
        self._tokens, self._hits, self._touched = (
            np.zeros((resamples.n_groups, len(detectors)), np.int32) for _ in range(3)
        )
        self._frames = np.zeros((resamples.n_groups, codebook_size), np.int32)

    def add(self, block: Block, met: Spans) -> None:
        """Adds a block, of which `met` says where words meet frames."""
        if (n := len(self._place_of_label)) < len(self._vocabulary):
            new = [self._place.get(word, -1) for word in list(self._vocabulary)[n:]]
            self._place_of_label = np.append(self._place_of_label, new).astype(np.int64)
        group_of = self._resamples.group[block.numbers]
        group = np.repeat(group_of, np.diff(block.offsets))
        np.add.at(self._frames, (group, block.codes), 1)
        place = self._place_of_label[block.words.label]
        known = place >= 0
        np.add.at(self._tokens, (group_of[block.words.utterance[known]], place[known]), 1)
        for sums, at, label in ((self._hits, met.within, met.of), (self._touched, met.touched, met.touching)):
            place = self._place_of_label[label]
            right = (place >= 0) & (block.codes[at] == self._codes[place])
            np.add.at(sums, (group[at[right]], place[right]), 1)

    def f1(self, here: np.ndarray, scores: np.ndarray, *, has_precision: np.ndarray) -> Iterator[np.ndarray]:
        """Replicates (REPLICATES, n) of the F1 of some words, a few at a time.

        `here` (W,) are the places of the words among the detectors, `scores` their F1 on all utterances; words without
        `has_precision` have no F1 but 0.
        """
        for i in range(0, len(here), WORDS_AT_ONCE):
            some, known = here[i : i + WORDS_AT_ONCE], scores[i : i + WORDS_AT_ONCE]
            codes, code_of = np.unique(self._codes[some], return_inverse=True)
            frames = self._resamples.total(self._frames[:, codes])[:, code_of]
            tokens, hits, touched = (
                self._resamples.total(sums[:, some]) for sums in (self._tokens, self._hits, self._touched)
            )
            precision = ratio(touched, frames) * has_precision[i : i + WORDS_AT_ONCE]
            replicates = f1(precision, ratio(hits, tokens))
            yield np.where(tokens > 0, replicates, known)
