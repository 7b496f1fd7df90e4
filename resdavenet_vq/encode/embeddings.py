"""The embeddings of a split, `embeddings/{split}.h5`: writing, opening, checking and reading them.

Layout: `ids` (N,), `speech` (N, D) float32, `image_ids` (I,), `image` (I, D) float32, `image_index` (N,) int64, -1
where a caption has no image; the attribute `image_branch` is false for a model without one, whose file has no images, as that of a split without images has none.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from pathlib import Path
from typing import NamedTuple

import h5py
import numpy as np

from resdavenet_vq.encode.hdf5 import EncodedFile
from resdavenet_vq.encode.hdf5_output import RowWriter, create, write_texts
from resdavenet_vq.encode.origin import Origin
from resdavenet_vq.hdf5 import GuardedFile


class Pairs(NamedTuple):
    """Captions, images, and which image each caption has: what files of embeddings and of maps have in common."""

    ids: list[str]
    """(N,) of captions"""
    image_ids: list[str]
    """(I,)"""
    image_index: np.ndarray
    """(N,) number of each caption's image, -1 for none"""
    image_branch: bool
    """Whether the model has one; without, there are no images."""

    @classmethod
    def read(cls, file: GuardedFile) -> Pairs:
        """The pairs in an open file."""
        ids, image_ids = (file.items(name, None, text=True).texts() for name in ("ids", "image_ids"))
        index = file.numbers("image_index", [np.int64], (len(ids),))[:]
        return cls(ids, image_ids, index, bool(file.attribute("image_branch")))

    def write(self, file: h5py.File) -> None:
        """Writes the pairs into an open file."""
        file.attrs["image_branch"] = self.image_branch
        write_texts(file, "ids", self.ids)
        write_texts(file, "image_ids", self.image_ids)
        file["image_index"] = self.image_index.astype(np.int64)

    def fit(self) -> bool:
        """Whether every caption has an image of the file, or none."""
        index = self.image_index
        return bool(((index >= -1) & (index < len(self.image_ids))).all())


class EmbeddingsToFill:
    """An embeddings file that is being written."""

    def __init__(self, file: h5py.File, pairs: Pairs, width: int) -> None:
        self._speech = RowWriter(file.create_dataset("speech", (len(pairs.ids), width), np.float32))
        self._image = RowWriter(file.create_dataset("image", (len(pairs.image_ids), width), np.float32))

    def write_speech(self, numbers: Sequence[int], vectors: np.ndarray) -> None:
        """Writes the vectors (b, D) of some captions, given by their numbers."""
        _write_each(self._speech, numbers, vectors)

    def write_images(self, numbers: Sequence[int], vectors: np.ndarray) -> None:
        """Writes the vectors (b, D) of some images, given by their numbers."""
        _write_each(self._image, numbers, vectors)


def _write_each(rows: RowWriter, numbers: Sequence[int], vectors: np.ndarray) -> None:
    for number, vector in zip(numbers, vectors, strict=True):
        rows.write(number, vector[None])


@contextmanager
def create_embeddings(path: Path, pairs: Pairs, width: int, origin: Origin) -> Iterator[EmbeddingsToFill]:
    """A new embeddings file with vectors of `width` values."""
    with create(path, EmbeddingsFile.kind, origin) as file:
        pairs.write(file)
        yield EmbeddingsToFill(file, pairs, width)


class EmbeddingsFile(EncodedFile):
    """An embeddings file: `pairs`, and the vectors `speech` (N, D) and `image` (I, D)."""

    kind = "embeddings"

    def _read(self, file: GuardedFile) -> None:
        self.pairs = Pairs.read(file)
        self.speech: np.ndarray = file.numbers("speech", [np.float32], (len(self.pairs.ids), None))[:]
        self.image: np.ndarray = file.numbers("image", [np.float32], (len(self.pairs.image_ids), None))[:]
        fits = self.speech.shape[1] == self.image.shape[1] and self.pairs.fit()
        self._check(fits, "ids, vectors and image_index")
