"""The HDF5 file with the codes of a split: `codes/{split}.h5`, and the blocks of utterances that scorers count over.

Layout: `manifest` (N,) the JSON of each utterance's manifest row, and for every quantizer a group `quantN` with
`codes` (total frames,) int32, all utterances one after another in the manifest's order, `offsets` (N+1,) int64,
`codebook` (K, C) float32 and the attribute `frame_period` in seconds.
"""

from __future__ import annotations

import json
from collections.abc import Iterator
from itertools import chain
from operator import itemgetter
from pathlib import Path
from typing import NamedTuple

import h5py
import numpy as np

from resdavenet_vq.encode.hdf5 import EncodedFile
from resdavenet_vq.errors import InputError

SILENCE = "<SIL>"
"""The label of frames in which nothing is spoken."""

SILENT_LABELS = frozenset({SILENCE, "SIL"})
"""Labels of pauses in alignments: no tokens."""


class Tokens(NamedTuple):
    """Spoken words or phones of a block, one entry each, in the order of its utterances."""

    utterance: np.ndarray  # (W,) int64, number within the block
    start: np.ndarray  # (W,) seconds
    end: np.ndarray  # (W,) seconds
    label: np.ndarray  # (W,) int64, as numbered by the vocabulary


class Block(NamedTuple):
    """Aligned utterances: their codes end to end, utterance i at offsets[i]:offsets[i + 1], and what is spoken in them."""

    codes: np.ndarray  # (F,) int
    offsets: np.ndarray  # (n + 1,) int64
    words: Tokens
    phones: Tokens


type Intervals = list[tuple[float, float, str]]


class Vocabulary(dict[str, int]):
    """The number of each label, given out in the order in which labels are first asked for; pauses have -1 and no place."""

    def __missing__(self, label: str) -> int:
        if label in SILENT_LABELS:
            return -1
        self[label] = number = len(self)
        return number


def tokens(utterances: list[Intervals], vocabulary: Vocabulary) -> Tokens:
    """The tokens of some utterances, pauses left out; labels that are new are added to `vocabulary`."""
    flat, n = list(chain.from_iterable(utterances)), sum(map(len, utterances))
    start, end = (np.fromiter(map(itemgetter(i), flat), np.float64, n) for i in (0, 1))
    label = np.fromiter(map(vocabulary.__getitem__, map(itemgetter(2), flat)), np.int64, n)
    found = Tokens(np.repeat(np.arange(len(utterances)), list(map(len, utterances))), start, end, label)
    return found if (label >= 0).all() else Tokens(*(column[label >= 0] for column in found))


class CodesFile(EncodedFile):
    """One layer of `codes/{split}.h5`; opens cheap, read block by block; a context manager.

    Attributes: `frame_period` in seconds, `codebook_size`, `offsets` (N+1,).
    Raises InputError naming the file if it is missing, incomplete, or without that layer.
    """

    def __init__(self, path: Path, layer: str) -> None:
        self.layer = layer
        super().__init__(path)

    def _open(self) -> None:
        path, layer, file = self.path, self.layer, self._file
        if layer not in file:
            known = ", ".join(sorted(k for k in file if isinstance(file[k], h5py.Group))) or "none"
            raise InputError(
                f"{path}: holds no codes of {layer!r} (layers: {known}); is its quantizer on in this lineage?"
            )
        try:
            self._codes, self._manifest = file[layer]["codes"], file["manifest"]
            self.offsets: np.ndarray = file[layer]["offsets"][:].astype(np.int64)
            self.codebook_size = int(file[layer]["codebook"].shape[0])
            self.frame_period = float(file[layer].attrs["frame_period"])
        except (KeyError, ValueError, TypeError, AttributeError, OSError) as e:
            raise InputError(f"{path}: is no codes file of this software ({e}); encode the split again") from None
        o = self.offsets
        if o.shape != (len(self._manifest) + 1,) or o[0] != 0 or o[-1] != len(self._codes) or (np.diff(o) < 0).any():
            raise InputError(
                f"{path}: manifest, codes and offsets of {layer} do not fit together; encode the split again"
            )

    def codes(self, start: int, stop: int) -> list[np.ndarray]:
        """The codes (frames,) of utterances start ... stop - 1."""
        first = self.offsets[start]
        codes = self._codes[first : self.offsets[stop]]
        if len(codes) and (codes.min() < 0 or codes.max() >= self.codebook_size):
            raise InputError(
                f"{self.path}: {self.layer} holds codes outside 0 ... {self.codebook_size - 1}; remove it and encode the split again"
            )
        return np.split(codes, self.offsets[start + 1 : stop] - first) if stop > start else []

    def blocks(self, words: Vocabulary, *, shift: int = 0, size: int = 500) -> Iterator[Block]:
        """Blocks of the utterances with aligned words, in order; the vocabulary grows on the way.

        With `shift`, utterance i gets the codes of utterance i + shift, after the last the first: a chance level.
        """
        n, phones = len(self), Vocabulary()
        for start in range(0, n, size):
            stop = min(start + size, n)
            rows = [json.loads(row) for row in self._manifest[start:stop]]
            a, b = (start + shift) % n, (stop - 1 + shift) % n + 1
            codes = self.codes(a, b) if a < b else self.codes(a, n) + self.codes(0, b)
            aligned = [i for i, row in enumerate(rows) if row["words"]]
            parts = [codes[i] for i in aligned]
            yield Block(
                codes=np.concatenate(parts) if parts else np.zeros(0, np.int64),
                offsets=np.cumsum([0, *map(len, parts)]),
                words=tokens([rows[i]["words"] for i in aligned], words),
                phones=tokens([rows[i]["phones"] or [] for i in aligned], phones),
            )

    def __len__(self) -> int:
        return len(self._manifest)
