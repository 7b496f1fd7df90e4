"""The HDF5 file with the frames of a split's layers: `features/{split}.h5`.

Layout: `ids` (N,) text, `durations` (N,) float64 seconds of audio, and for every layer (`quantN`, `convN`,
`logmel`) a group with `vectors` (total frames, width) float32, all utterances one after another in the order of
`ids`, `offsets` (N+1,) int64 (utterance i is rows offsets[i]:offsets[i+1]) and the attribute `frame_period` in seconds.

Two more representations are made of a quantizer's frames where they are scored, and stand in no file: `onehotN`, its codes as
such, and `segmentN`, its code vectors with repeats dropped.
"""

from __future__ import annotations

import re
from collections.abc import Iterator
from pathlib import Path

import h5py
import numpy as np

from resdavenet_vq.encode.hdf5 import EncodedFile
from resdavenet_vq.errors import InputError

LOGMEL = "logmel"
"""The name of the baseline layer: the log-mel features themselves."""


def source(layer: str) -> str:
    """The layer of a features file that a representation is made of: `quant2` for `onehot2` and `segment2`, else itself."""
    return re.sub(r"^(?:onehot|segment)(?=[1-5]$)", "quant", layer)


def is_quantized(layer: str) -> bool:
    """Whether a layer's frames are code vectors, or made of them, so that equal frames are the same unit."""
    return source(layer).startswith("quant")


class LayerFeatures(EncodedFile):
    """One layer of a features file, read utterance by utterance; a context manager.

    Attributes
    ----------
    ids : utterance ids, in the file's order
    durations : (N,) seconds of audio
    offsets : (N+1,) first row of each utterance
    frame_period : seconds between frames
    width : values per frame

    Raises InputError where the file, the layer or the layout is not what this page of the module says.
    """

    def __init__(self, path: Path, layer: str) -> None:
        self.layer = layer
        super().__init__(path)

    def _open(self) -> None:
        path, layer, file = self.path, self.layer, self._file
        if layer not in file:
            known = ", ".join(sorted(name for name in file if isinstance(file[name], h5py.Group))) or "none"
            raise InputError(f"{path}: holds no layer {layer!r} (layers: {known}); encode the split with it")
        try:
            self.ids: list[str] = list(file["ids"].asstr()[:])
            self.durations: np.ndarray = file["durations"][:].astype(np.float64)
            self.offsets: np.ndarray = file[layer]["offsets"][:]
            self.frame_period = float(file[layer].attrs["frame_period"])
            self._vectors = file[layer]["vectors"]
        except (KeyError, TypeError, AttributeError, ValueError, OSError) as e:
            raise InputError(f"{path}: not a features file of this software ({e}); encode the split again") from None
        n, o = len(self.ids), self.offsets
        if self._vectors.ndim != 2 or o.shape != (n + 1,) or self.durations.shape != (n,):
            raise InputError(
                f"{path}: ids, durations, offsets and vectors of {layer} do not fit together; encode the split again"
            )
        if o[0] != 0 or o[-1] != len(self._vectors) or (np.diff(o) < 0).any():
            raise InputError(
                f"{path}: the offsets of {layer} do not divide its {len(self._vectors)} rows; encode the split again"
            )
        if len(set(self.ids)) != n:
            raise InputError(f"{path}: utterance ids stand in it twice; encode the split again")
        self.width = int(self._vectors.shape[1])

    def rows(self, i: int) -> np.ndarray:
        """The frames of utterance number i: (frames, width) float32, finite."""
        rows: np.ndarray = self._vectors[self.offsets[i] : self.offsets[i + 1]].astype(np.float32, copy=False)
        if not np.isfinite(rows).all():
            raise InputError(
                f"{self.path}: {self.layer} of utterance {self.ids[i]} holds values that are not finite; was the model trained to divergence?"
            )
        return rows

    def mapped(self) -> np.ndarray:
        """All frames (total, width) float32 where they lie in the file: looked at, they come from the disk, and none is copied.

        A file that other software compressed is read whole.
        """
        place = self._vectors.id.get_offset()
        if place is None or self._vectors.dtype != np.float32:
            whole: np.ndarray = self._vectors[:].astype(np.float32, copy=False)
            return whole
        return np.memmap(self.path, np.float32, mode="c", offset=place, shape=self._vectors.shape)

    def __iter__(self) -> Iterator[tuple[str, np.ndarray]]:
        """Yields (id, frames) of every utterance, in the file's order."""
        for i, name in enumerate(self.ids):
            yield name, self.rows(i)

    def __len__(self) -> int:
        return len(self.ids)
