"""The matchmaps of a split in two factors, `maps/{split}.h5`: writing, opening, checking and reading them.

Layout: `ids` (N,), `frames` (total frames, D) float32 with `offsets` (N + 1,), the attribute `frame_period` in seconds;
`image_ids` (I,), `cells` (I, H, W, D) float32; `image_index` (N,), -1 where a caption has no image; the attribute
`image_branch` is false for a model without one, whose file has no images, as that of a split without images has none.
"""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from functools import cached_property
from pathlib import Path

import h5py
import numpy as np

from resdavenet_vq.encode.embeddings import Pairs
from resdavenet_vq.encode.hdf5 import EncodedFile, offsets_divide
from resdavenet_vq.encode.hdf5_output import Rows, check_written, create
from resdavenet_vq.encode.origin import Origin
from resdavenet_vq.errors import InputError
from resdavenet_vq.hdf5 import GuardedFile


class MapsToFill:
    """A maps file that is being written: `frames` of the captions, and the cells of the images."""

    def __init__(self, file: h5py.File, frames: Rows, n_images: int) -> None:
        self.frames, self._file, self._n_images = frames, file, n_images

    def write_cells(self, j: int, cells: np.ndarray) -> None:
        """Writes the cells (H, W, D) of image number j; all images have the same shape."""
        self._file.require_dataset("cells", (self._n_images, *cells.shape), np.float32)[j] = cells
        check_written(self._file)


@contextmanager
def create_maps(
    path: Path, pairs: Pairs, n_frames: np.ndarray, width: int, frame_period: float, origin: Origin
) -> Iterator[MapsToFill]:
    """A new maps file with vectors of `width` values; `n_frames` (N,) are the captions' frames in the last layer."""
    with create(path, MapsFile.kind, origin) as file:
        pairs.write(file)
        file.attrs["frame_period"] = frame_period
        yield MapsToFill(file, Rows(file, "frames", n_frames, width), len(pairs.image_ids))
        if not pairs.image_ids:
            file.create_dataset("cells", (0, 0, 0, width), np.float32)


class MapsFile(EncodedFile):
    """A maps file: `ids`, `image_ids`, `image_index` and `image_branch` as in Pairs, `offsets` (N + 1,) of captions.

    Frame t of a caption begins at t times `frame_period` seconds. `shape` (H, W) are the rows and columns of cells; the
    first cell is the image's upper left.
    """

    kind = "maps"

    def _read(self, file: GuardedFile) -> None:
        pairs = Pairs.read(file)
        self.ids, self.image_ids, self.image_index, self.image_branch = pairs
        self.offsets: np.ndarray = file.numbers("offsets", [np.int64], (len(self.ids) + 1,))[:]
        self.frame_period = self._frame_period()
        self._frames = file.numbers("frames", [np.float32], (None, None))
        self._cells = file.numbers("cells", [np.float32], (len(self.image_ids), None, None, self._frames.shape[1]))
        self.shape: tuple[int, int] = (self._cells.shape[1], self._cells.shape[2])
        fits = (
            pairs.fit()
            and offsets_divide(self.offsets, len(self._frames), len(self.ids))
            and bool((np.diff(self.offsets) > 0).all())
            and not (self.image_ids and 0 in self.shape)
        )
        self._check(fits, "ids, frames, cells and image_index")

    def matchmap(self, image_id: str, utterance_id: str) -> np.ndarray:
        """The dot products (H, W, T) float64 of every cell of an image with every frame of a caption.

        Raises InputError for an image or a caption that is not in the file.
        """
        for kind, name, numbers in (("image", image_id, self._images), ("utterance", utterance_id, self._captions)):
            if name not in numbers:
                raise InputError(f"{self.path}: has no {kind} {name!r}")
        cells, frames = self.cells(self._images[image_id]), self.frames(self._captions[utterance_id])
        return np.asarray(cells.astype(np.float64) @ frames.astype(np.float64).T)

    def cells(self, j: int) -> np.ndarray:
        """The vectors (H, W, D) float32 of the cells of image number j."""
        return self._finite(self._cells[j], "image", self.image_ids[j])

    def frames(self, i: int) -> np.ndarray:
        """The vectors (T, D) float32 of the frames of caption number i."""
        return self._finite(self._frames[self.offsets[i] : self.offsets[i + 1]], "utterance", self.ids[i])

    def _finite(self, vectors: np.ndarray, what: str, name: str) -> np.ndarray:
        if not np.isfinite(vectors).all():
            raise InputError(f"{self.path}: vectors of {what} {name} are not finite: the model diverged")
        return vectors

    @cached_property
    def _captions(self) -> dict[str, int]:
        return {name: i for i, name in enumerate(self.ids)}

    @cached_property
    def _images(self) -> dict[str, int]:
        return {name: j for j, name in enumerate(self.image_ids)}
