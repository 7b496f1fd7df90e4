"""What codes are in time, what they mean, and how they are used.

Times of frames are those of `encode.units`; frames in no token (a spoken word, phone or syllable) are silence.

Agreement of codes and labels is counted over frames, by the label at the frame's center:
*purity* is the share of frames that have their code's most frequent label; *homogeneity* I/H(label) (the
phone-normalized mutual information of HuBERT), *completeness* I/H(code) and their harmonic mean, the *V-measure*
(Rosenberg and Hirschberg 2007); *NMI* is I over the geometric mean of both entropies. Entropies are in nats.

Boundaries of units are matched with those of words, phones and syllables in `boundaries`, and units with these
themselves in `segments`.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from functools import cached_property
from typing import Any, NamedTuple

import numpy as np

from resdavenet_vq.encode.units import FrameTime, frame_centers
from resdavenet_vq.evaluation.bootstrap import Replicates, Resamples, ratio
from resdavenet_vq.evaluation.boundaries import SCORES, TOLERANCES, Boundaries, boundaries_of_each, has_tokens
from resdavenet_vq.evaluation.segments import AREA_SCORES, COUNTS, TOKEN_SCORES, Segments, segments_of_each
from resdavenet_vq.evaluation.word_counts import Block, Tokens, grown, ranges

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
    entropies = _entropy(joint.sum(axis=1)), _entropy(joint.sum(axis=0)), _entropy(joint)
    scores = _agreement(np.array(joint.max(axis=1).sum()), *map(np.array, entropies))
    return {name: float(score) for name, score in scores.items()}


def _agreement(
    purity: np.ndarray, h_code: np.ndarray, h_label: np.ndarray, h_joint: np.ndarray
) -> dict[str, np.ndarray]:
    """The scores of agreement from their entropies, arrays of one shape."""
    shared = np.maximum(h_code + h_label - h_joint, 0.0)
    homogeneity, completeness = (np.where(h > _EPSILON, ratio(shared, h), 1.0) for h in (h_label, h_code))
    return {
        "purity": purity,
        "homogeneity": homogeneity,
        "completeness": completeness,
        "v_measure": ratio(2 * homogeneity * completeness, homogeneity + completeness),
        "nmi": np.sqrt(homogeneity * completeness),
    }


def _entropy(p: np.ndarray) -> float:
    positive = p[p > 0]
    return float(-(positive * np.log(positive)).sum())


class Description:
    """Usage of a layer's codes, and their agreement with words, phones and syllables, added up block by block.

    Usage is over the utterances that have words; without any in all blocks, over every utterance.

    With `resamples` of the file's utterances, also replicates of the scores, for which the same blocks are given again
    to `add_sample`. They are those of the scores' first-order expansion in the counts (Efron and Tibshirani 1993,
    chapter 22): each frame counts with the surprise of its code and label, and whether its label is its code's most
    frequent one, by the tables of all utterances. Tables of every replicate would be biased, as entropies of samples
    with many rare pairs are, and of a vocabulary's size each.
    """

    def __init__(
        self,
        codebook_size: int,
        frame_period: float,
        frame_time: FrameTime = "published",
        resamples: Resamples | None = None,
    ) -> None:
        self._period, self._frame_time, self._resamples = frame_period, frame_time, resamples
        self._tables = {tier: np.zeros((1, codebook_size), np.int64) for tier in TOLERANCES}  # row 0: silence
        self._frames = np.zeros(codebook_size, np.int64)  # of blocks without words
        self._boundaries = {tier: Boundaries() for tier in self._tables}
        n_groups = resamples.n_groups if resamples else 0
        self._boundaries_of_groups = {tier: np.zeros((3, n_groups), np.int64) for tier in self._tables}
        self._segments = {tier: np.zeros(len(COUNTS)) for tier in self._tables}
        self._segments_of_groups = {tier: np.zeros((len(COUNTS), n_groups)) for tier in self._tables}
        self._sums = {tier: np.zeros((5, n_groups)) for tier in self._tables}
        self._surprise_of_groups, self._frames_of_groups = np.zeros(n_groups), np.zeros(n_groups)  # without words

    def add(self, block: Block) -> None:
        """Counts a block: its words, and its phones and syllables where it has some."""
        if not len(block.words.label):
            self._frames += np.bincount(block.codes, minlength=len(self._frames))
        for tier, spoken in self._tiers(block):
            label, aligned = self._labels(block, spoken)
            table = self._tables[tier] = grown(self._tables[tier], int(label.max(initial=0)) + 1)
            np.add.at(table.reshape(-1), (label * table.shape[1] + block.codes)[aligned], 1)
            of_each = boundaries_of_each(block, spoken, self._period, self._frame_time, TOLERANCES[tier])
            self._boundaries[tier] += Boundaries(*of_each.sum(axis=1).tolist())
            segments = segments_of_each(block, spoken, self._period, self._frame_time, TOLERANCES[tier])
            self._segments[tier] += segments.sum(axis=1)
            if self._resamples:
                group = self._resamples.group[block.numbers]
                np.add.at(self._boundaries_of_groups[tier].T, group, of_each.T)
                np.add.at(self._segments_of_groups[tier].T, group, segments.T)

    def add_sample(self, block: Block) -> None:
        """Adds a block to the sums of groups, after all blocks were counted."""
        assert self._resamples
        if not (len(block.words.label) or self._tables["words"].any()):
            group = np.repeat(self._resamples.group[block.numbers], np.diff(block.offsets))
            self._surprise_of_groups += np.bincount(group, self._surprise[block.codes], self._resamples.n_groups)
            self._frames_of_groups += np.bincount(group, minlength=self._resamples.n_groups)
        for tier, spoken in self._tiers(block):
            label, aligned = self._labels(block, spoken)
            group = np.repeat(self._resamples.group[block.numbers], np.diff(block.offsets))[aligned]
            values = self._surprises[tier].of(label[aligned], block.codes[aligned])
            self._sums[tier] += [np.bincount(group, x, minlength=self._resamples.n_groups) for x in values]

    @staticmethod
    def _tiers(block: Block) -> Iterator[tuple[str, Tokens]]:
        """The tiers of which a block has tokens."""
        tiers: list[tuple[str, Tokens]] = [(tier, getattr(block, tier)) for tier in TOLERANCES]
        return ((tier, spoken) for tier, spoken in tiers if len(spoken.label))

    def _labels(self, block: Block, spoken: Tokens) -> tuple[np.ndarray, np.ndarray]:
        """The row of the table of each frame (F,), and whether it is of an utterance that has tokens."""
        label = frame_labels(block.offsets, spoken, self._period, self._frame_time) + 1
        return label, np.repeat(has_tokens(block, spoken), np.diff(block.offsets))

    @cached_property
    def _surprises(self) -> dict[str, _Surprises]:
        """What frames add to the sums, of each tier."""
        return {tier: _Surprises.by(table) for tier, table in self._tables.items() if table.any()}

    @cached_property
    def _surprise(self) -> np.ndarray:
        """The surprise (K,) of each code among all frames in nats; 0 of one that does not occur."""
        share = self.frames / max(int(self.frames.sum()), 1)
        return -np.log(share, out=np.zeros(len(share)), where=share > 0)

    @property
    def frames(self) -> np.ndarray:
        """The frames (K,) with each code that usage is about."""
        of_words: np.ndarray = self._tables["words"].sum(axis=0)
        return of_words if of_words.any() else self._frames

    def to_dict(self) -> dict[str, Any]:
        """JSON values: perplexity and codes used; of aligned tiers also agreement, boundaries, tokens and areas."""
        result: dict[str, Any] = usage(self.frames)
        for tier, table in self._tables.items():
            if table.any():
                edges, segments = self._boundaries[tier], Segments(*self._segments[tier].tolist())
                result[tier] = agreement(table.T) | {
                    "boundaries": {"found": edges.found, "reference": edges.reference} | _named(edges, SCORES),
                    "tokens": {"found": int(segments.found), "reference": int(segments.reference)}
                    | _named(segments, TOKEN_SCORES),
                    "area": _named(segments, AREA_SCORES),
                }
        return result

    def replicate(self, into: Replicates, split: str) -> None:
        """Adds the scores of `to_dict` to a file's replicates."""
        assert self._resamples
        described = self.to_dict()
        if self._frames_of_groups.any():
            surprise = self._resamples.share(self._surprise_of_groups, self._frames_of_groups)
            into.add(("units", split, "", "perplexity"), described["perplexity"], np.exp(surprise))
        for tier, sums in self._sums.items():
            if not sums.any():
                continue
            frames, *totals = self._resamples.total(sums.T).T
            hits, code, label, joint = (ratio(total, frames) for total in totals)
            if tier == "words":
                into.add(("units", split, "", "perplexity"), described["perplexity"], np.exp(code))
            for name, scores in _agreement(hits, code, label, joint).items():
                into.add(("units", split, tier, name), described[tier][name], scores)
            edges = Boundaries(*self._resamples.total(self._boundaries_of_groups[tier].T).T)
            segments = Segments(*self._resamples.total(self._segments_of_groups[tier].T).T)
            for kind, counts, names in (
                ("boundaries", edges, SCORES),
                ("tokens", segments, TOKEN_SCORES),
                ("area", segments, AREA_SCORES),
            ):
                for name in names:
                    known = described[tier][kind][name]
                    into.add(("units", split, tier, f"{kind}_{name}"), known, getattr(counts, name))


def _named(counts: Boundaries | Segments, names: Sequence[str]) -> dict[str, float]:
    """The scores that follow from counts, by name."""
    return {name: float(getattr(counts, name)) for name in names}


class _Surprises(NamedTuple):
    """What a frame adds to the sums over groups, by a table (labels, codes) of counts."""

    table: np.ndarray
    most: np.ndarray
    """(K,) each code's most frequent label."""
    code: np.ndarray
    """(K,) surprises in nats."""
    label: np.ndarray
    """(L,) surprises in nats."""

    @classmethod
    def by(cls, table: np.ndarray) -> _Surprises:
        """Those of a table that has counts."""
        with np.errstate(divide="ignore"):
            code, label = (-np.log(table.sum(axis=axis) / table.sum()) for axis in (0, 1))
        return cls(table, table.argmax(axis=0), code, label)

    def of(self, label: np.ndarray, code: np.ndarray) -> tuple[np.ndarray, ...]:
        """Of frames with these labels and codes, which are in the table, five arrays (F,).

        1, whether the label is the code's most frequent one, and the surprises of the code, of the label and of both.
        """
        joint = np.log(self.table.sum()) - np.log(self.table[label, code])
        return np.ones(len(code)), self.most[code] == label, self.code[code], self.label[label], joint
