"""How often words and codes meet, counted block by block: what precision and recall of `words` are made of.

Memory depends on the numbers of words and codes, not on the number of utterances.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from itertools import chain
from operator import itemgetter
from typing import NamedTuple

import numpy as np

from resdavenet_vq.corpus.manifest import is_silence
from resdavenet_vq.encode.codes import CodesFile
from resdavenet_vq.encode.hdf5 import AGAIN
from resdavenet_vq.encode.units import FrameTime, frame_centers
from resdavenet_vq.hdf5 import faults_of

SILENCE = "<SIL>"  # the label of frames in which nothing is spoken


class Tokens(NamedTuple):
    """Spoken words, phones or syllables of a block, one entry each, in the order of its utterances."""

    utterance: np.ndarray  # (W,) int64, number within the block
    start: np.ndarray  # (W,) seconds
    end: np.ndarray  # (W,) seconds
    label: np.ndarray  # (W,) int64, as numbered by the vocabulary


NO_TOKENS = Tokens(np.zeros(0, np.int64), np.zeros(0), np.zeros(0), np.zeros(0, np.int64))


class Block(NamedTuple):
    """Aligned utterances, or all: codes end to end, utterance i at offsets[i]:offsets[i + 1], and what is spoken in them."""

    codes: np.ndarray  # (F,) int
    offsets: np.ndarray  # (n + 1,) int64
    words: Tokens
    phones: Tokens
    syllables: Tokens = NO_TOKENS
    begins: np.ndarray | None = None
    """(F,) where segments begin; None where only a change of code begins one."""
    numbers: np.ndarray = np.zeros(0, np.int64)
    """(n,) the utterances' numbers in their file."""
    gap: int | None = None
    """The code of what lies between segments, where there is one."""


type Intervals = list[tuple[float, float, str]]


class Vocabulary(dict[str, int]):
    """Labels numbered in the order in which they are first looked up; pauses and noises have no place, and -1."""

    def __missing__(self, label: str) -> int:
        if is_silence(label):
            return -1
        self[label] = number = len(self)
        return number


def tokens(utterances: list[Intervals], vocabulary: Vocabulary) -> Tokens:
    """The tokens of some utterances, without pauses and noises; new labels are added to `vocabulary`.

    Raises ValueError, TypeError, LookupError or AttributeError for what are no intervals.
    """
    flat, n = list(chain.from_iterable(utterances)), sum(map(len, utterances))
    start, end = (np.fromiter(map(itemgetter(i), flat), np.float64, n) for i in (0, 1))
    if not all((np.isfinite(times) & (times >= 0)).all() for times in (start, end)):
        raise ValueError("a word, phone or syllable has no time")
    label = np.fromiter(map(vocabulary.__getitem__, map(itemgetter(2), flat)), np.int64, n)
    every = Tokens(np.repeat(np.arange(len(utterances)), list(map(len, utterances))), start, end, label)
    return every if (label >= 0).all() else Tokens(*(column[label >= 0] for column in every))


def blocks(
    file: CodesFile,
    words: Vocabulary,
    phones: Vocabulary | None = None,
    *,
    shift: int = 0,
    size: int = 500,
    every: bool = False,
) -> Iterator[Block]:
    """Blocks of the utterances of a codes file that have aligned words, in order; new labels are added to both.

    With `every`, also of those without. Syllables are numbered as they come, alike in all blocks.

    With `shift`, utterance i gets the codes of utterance i + shift, after the last the first: a chance level.
    Raises InputError naming the file for manifest rows without intervals.
    """
    for (block,) in shifted_blocks(file, words, phones, shifts=(shift,), size=size, every=every):
        yield block


def shifted_blocks(
    file: CodesFile,
    words: Vocabulary,
    phones: Vocabulary | None = None,
    *,
    shifts: Sequence[int],
    size: int = 500,
    every: bool = False,
) -> Iterator[tuple[Block, ...]]:
    """`blocks` for several shifts at once: what is spoken is read once."""
    n, phones, syllables = len(file), Vocabulary() if phones is None else phones, Vocabulary()
    for start in range(0, n, size):
        stop = min(start + size, n)
        rows = file.manifest(start, stop)
        with faults_of(file.path, AGAIN):
            aligned = [i for i, row in enumerate(rows) if every or row["words"]]
            spoken = tokens([rows[i]["words"] or [] for i in aligned], words)
            spoken_phones = tokens([rows[i]["phones"] or [] for i in aligned], phones)
            spoken_syllables = tokens([rows[i].get("syllables") or [] for i in aligned], syllables)
        some = []
        for shift in shifts:
            a, b = (start + shift) % n, (stop - 1 + shift) % n + 1
            codes = file.codes(a, b) if a < b else file.codes(a, n) + file.codes(0, b)
            begins = file.begins(a, b) if a < b else [*(file.begins(a, n) or ()), *(file.begins(0, b) or ())]
            parts = [codes[i] for i in aligned]
            some.append(
                Block(
                    codes=np.concatenate(parts) if parts else np.zeros(0, np.int64),
                    offsets=np.cumsum([0, *map(len, parts)]),
                    words=spoken,
                    phones=spoken_phones,
                    syllables=spoken_syllables,
                    begins=np.concatenate([begins[i] for i in aligned]) if begins and aligned else None,
                    numbers=np.array(aligned, np.int64) + start,
                    gap=file.gap,
                )
            )
        yield tuple(some)


class Spans(NamedTuple):
    """Where the words of a block meet its frames."""

    touched: np.ndarray  # (M,) frames of the block whose window touches a word, once for each word
    touching: np.ndarray  # (M,) label of that word
    within: np.ndarray  # (L,) frames in the span of a token, of each code the first
    of: np.ndarray  # (L,) label of that token
    is_silent: np.ndarray  # (F,) whether a frame's window touches no word


def spans(block: Block, frame_period: float, half_window: float, frame_time: FrameTime = "published") -> Spans:
    """Where the words of a block meet its frames."""
    codes, offsets, words = block.codes.astype(np.int32), block.offsets, block.words
    n_frames = np.diff(offsets)
    most, base = n_frames[words.utterance], offsets[words.utterance]

    centers = frame_centers(int(n_frames.max(initial=0)), frame_period, frame_time)
    first = np.minimum(_count_reached(centers + half_window, words.start, frame_period), most)
    stop = np.minimum(_count_reached(centers - half_window, words.end, frame_period), most)
    stop = np.maximum(first, stop)
    begins, ends = (np.bincount(frame + base, minlength=len(codes) + 1) for frame in (first, stop))
    is_silent = np.cumsum((begins - ends)[:-1]) == 0
    # a frame counts once for a word, also between two of its tokens: the earlier token keeps it
    utterance, label, first, stop = ordered(words.utterance, words.label, first, stop)
    n_labels = int(label.max(initial=0)) + 1
    group = np.cumsum(np.diff(utterance * n_labels + label, prepend=-1) != 0) * (len(codes) + 1)
    begin, end = group + first, group + stop
    begin[1:] = np.maximum(begin[1:], np.maximum.accumulate(end)[:-1])
    length = np.maximum(end - begin, 0)
    touched, touching = ranges(begin - group + offsets[utterance], length), np.repeat(label, length)

    shift = 0.0 if frame_time == "published" else 0.5
    first = np.minimum(np.floor(words.start / frame_period + shift), most).astype(np.int64)
    stop = np.minimum(np.ceil(words.end / frame_period + shift), most).astype(np.int64)
    length = np.maximum(stop - first, 0)
    at = ranges(first + base, length)
    once = _previous(codes)[at] < np.repeat((first + base).astype(np.int32), length)  # a code's first in the token
    kept = np.flatnonzero(once)
    return Spans(touched, touching, at[kept], np.repeat(words.label, length)[kept], is_silent)


class Counts:
    """The counts that precision and recall are made of, added up block by block (V words, K codes).

    Attributes
    ----------
    frames : (K,) frames with each code
    silent : (K,) those whose window touches no word
    tokens : (V,) tokens of each word
    touched : (V, K) frames with each code whose window touches each word
    hit : (V, K) tokens of each word in whose span each code occurs
    """

    def __init__(
        self, codebook_size: int, *, frame_period: float, half_window: float, frame_time: FrameTime = "published"
    ) -> None:
        self.vocabulary = Vocabulary()
        self.utterances = 0
        self.frames = np.zeros(codebook_size, np.int64)
        self.silent = np.zeros(codebook_size, np.int64)
        self.tokens = np.zeros(0, np.int64)
        self.touched = np.zeros((0, codebook_size), np.int32)
        self.hit = np.zeros((0, codebook_size), np.int32)
        self._frame_period, self._half_window, self._frame_time = frame_period, half_window, frame_time

    def add(self, block: Block) -> Spans:
        """Counts a block whose words are numbered by `self.vocabulary`; returns where they meet its frames."""
        codes, k = block.codes.astype(np.int32), len(self.frames)
        self.tokens, self.touched, self.hit = (
            grown(counts, len(self.vocabulary)) for counts in (self.tokens, self.touched, self.hit)
        )
        met = self.spans(block)
        self.utterances += len(block.offsets) - 1
        self.frames += np.bincount(codes, minlength=k)
        self.silent += np.bincount(codes[met.is_silent], minlength=k)
        self.tokens += np.bincount(block.words.label, minlength=len(self.tokens))
        np.add.at(self.touched.reshape(-1), met.touching * k + codes[met.touched], np.int32(1))
        np.add.at(self.hit.reshape(-1), met.of * k + codes[met.within], np.int32(1))
        return met

    def spans(self, block: Block) -> Spans:
        """Where the words of a block meet its frames."""
        return spans(block, self._frame_period, self._half_window, self._frame_time)


def _count_reached(edges: np.ndarray, times: np.ndarray, step: float) -> np.ndarray:
    """The number of `edges`, `step` apart, that are not after each time: np.searchsorted(side="right"), faster."""
    if not len(edges):
        return np.zeros(len(times), np.int64)
    guess = np.clip((times - edges[0]) / step, 0, len(edges)).astype(np.int64)  # at most 1 off, where rounding decides
    padded = np.concatenate([[-np.inf], edges, [np.inf, np.inf]])
    count: np.ndarray = sum((padded[guess + i] <= times for i in range(3)), guess - 1)
    return count


def ranges(first: np.ndarray, length: np.ndarray) -> np.ndarray:
    """All numbers first[i] ... first[i] + length[i] - 1, one range after another."""
    before = np.cumsum(length) - length
    return np.repeat(first - before, length) + np.arange(length.sum())


def _previous(codes: np.ndarray) -> np.ndarray:
    """For each frame, the last frame before it with the same code, or -1."""
    keys = codes.astype(np.uint16) if codes.max(initial=0) < 1 << 16 else codes  # of 16 bits: a sort by radix
    order = np.argsort(keys, kind="stable")
    in_order = codes[order]
    previous = np.full(len(codes), -1, np.int32)
    previous[order[1:]] = np.where(in_order[1:] == in_order[:-1], order[:-1], -1)
    return previous


def ordered(*keys: np.ndarray) -> tuple[np.ndarray, ...]:
    """The rows sorted by the first key, then the second ...; keys are whole numbers from 0.

    Each row is packed into one number, which sorts fast. Raises OverflowError where 63 bits do not suffice.
    """
    bits = [int(key.max(initial=0)).bit_length() for key in keys]
    if sum(bits) > 63:
        raise OverflowError(f"keys of {bits} bits do not fit into one number")
    numbers = np.zeros(len(keys[0]), np.int64)
    for key, width in zip(keys, bits, strict=True):
        numbers <<= width
        numbers |= key
    numbers.sort()
    columns = []
    for width in reversed(bits):
        columns.append(numbers & ((1 << width) - 1))
        numbers >>= width
    return tuple(reversed(columns))


def f1(precision: np.ndarray, recall: np.ndarray) -> np.ndarray:
    """The harmonic mean of precision and recall, 0 where both are 0."""
    both = precision + recall
    mean: np.ndarray = np.divide(2 * precision * recall, both, out=np.zeros(both.shape), where=both > 0)
    return mean


def grown(table: np.ndarray, rows: int) -> np.ndarray:
    """A table with at least `rows` rows, the new ones 0: the same table if it is long enough, else at least doubled."""
    if rows <= len(table):
        return table
    larger = np.zeros((max(rows, 2 * len(table)), *table.shape[1:]), table.dtype)
    larger[: len(table)] = table
    return larger
