"""The features of a split, `features/{split}.h5`: writing, opening, checking and reading the frames of layers.

Layout: `ids` (N,) text, `durations` (N,) float64 seconds of audio, and for every layer (`quantN`, `convN`, `logmel`) a
group with all frames, one utterance after another in the order of `ids`, `offsets` (N + 1,) int64 (utterance i is rows
offsets[i]:offsets[i + 1]) and the attribute `frame_period` in seconds. Frames are `vectors` (total frames, width)
float32; those of `quantN` are `codes` (total frames,) int32 and the vectors that these stand for, `codebook` (K, width)
float32. Units made elsewhere (`units`) are `vectors` and may have `begins` as in a codes file; without code vectors a
row is the code alone.

Two more representations are computed from a quantizer's frames where they are scored: `onehotN`, its codes as such, and
`segmentN`, its code vectors with repeats dropped.
"""

from __future__ import annotations

import re
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from pathlib import Path

import h5py
import numpy as np

from resdavenet_vq.encode.hdf5 import AGAIN, EncodedFile, marks, offsets_divide
from resdavenet_vq.encode.hdf5_output import Rows, create, write_texts
from resdavenet_vq.encode.origin import Origin
from resdavenet_vq.errors import InputError
from resdavenet_vq.hdf5 import GuardedFile

LOGMEL = "logmel"
"""The name of the baseline layer: the log-mel features themselves."""

UNITS, FEATURES = "units", "features"
"""The layers of external systems: units, which are equal or not, and continuous features."""

OTHERS = (LOGMEL, UNITS, FEATURES)
"""Layers that are at no position of the network."""


def source(layer: str) -> str:
    """The layer of a features file that a representation is made of: `quant2` for `onehot2` and `segment2`."""
    return re.sub(r"^(?:onehot|segment)(?=[1-5]$)", "quant", layer)


def is_quantized(layer: str) -> bool:
    """Whether a layer's frames are code vectors, or made of them, so that equal frames are the same unit."""
    return layer == UNITS or source(layer).startswith("quant")


@contextmanager
def create_features(path: Path, ids: Sequence[str], durations: np.ndarray, origin: Origin) -> Iterator[h5py.File]:
    """A new features file with its utterances and their seconds (N,) of audio; `add_features` adds the layers."""
    with create(path, LayerFeatures.kind, origin) as file:
        write_texts(file, "ids", ids)
        file["durations"] = durations.astype(np.float64)
        yield file


def add_features(
    file: h5py.File, layer: str, width: int, n_frames: np.ndarray, frame_period: float, *, marked: bool = False
) -> Rows:
    """A layer of a features file, to be filled; `n_frames` (N,) are the utterances' frames in this layer.

    With `marked` the rows have marks where segments begin.
    """
    group = file.create_group(layer)
    group.attrs["frame_period"] = frame_period
    return Rows(group, "vectors", n_frames, width, marked=marked)


def add_quantized(file: h5py.File, layer: str, codebook: np.ndarray, n_frames: np.ndarray, frame_period: float) -> Rows:
    """A layer of a features file, to be filled with codes; `n_frames` (N,) are the utterances' frames in this layer."""
    group = file.create_group(layer)
    group["codebook"] = codebook
    group.attrs["frame_period"] = frame_period
    return Rows(group, "codes", n_frames)


class LayerFeatures(EncodedFile):
    """One layer of a features file, read utterance by utterance: `ids`, `durations` and `offsets` as in the file.

    `frame_period` in seconds; `width` is the number of values in a frame; `codebook` (K, width), where frames are codes.
    """

    kind = "features"

    def __init__(self, path: Path, layer: str) -> None:
        self.layer = layer
        super().__init__(path)

    def _read(self, file: GuardedFile) -> None:
        group = self._group(self.layer)
        self.ids = file.items("ids", None, text=True).texts()
        self.durations: np.ndarray = file.numbers("durations", [np.float64], (len(self.ids),))[:]
        self.offsets: np.ndarray = file.numbers(f"{group}/offsets", [np.int64], (len(self.ids) + 1,))[:]
        self.codebook: np.ndarray | None = None
        if file.has(f"{group}/codes"):
            self._frames = file.numbers(f"{group}/codes", [np.int32], (None,))
            self.codebook = file.numbers(f"{group}/codebook", [np.float32], (None, None))[:]
            self._check(self.codebook.size > 0 and bool(np.isfinite(self.codebook).all()), f"codes of {self.layer}")
        else:
            self._frames = file.numbers(f"{group}/vectors", [np.float32], (None, None))
        self.frame_period, n_rows = self._frame_period(group), len(self._frames)
        self.width = int((self._frames if self.codebook is None else self.codebook).shape[1])
        self._begins = marks(file, group, n_rows)
        fits = bool((self.durations >= 0).all() and np.isfinite(self.durations).all())
        fits &= offsets_divide(self.offsets, n_rows, len(self.ids))
        self._check(fits, f"ids, durations, offsets and frames of {self.layer}")
        if len(set(self.ids)) != len(self.ids):
            raise InputError(f"{self.path}: an utterance id is listed twice; {AGAIN}")

    def rows(self, i: int) -> np.ndarray:
        """The frames of utterance number i: (frames, width) float32, finite."""
        place = slice(self.offsets[i], self.offsets[i + 1])
        if self.codebook is not None:
            return np.asarray(self.codebook[self._codes(place)])
        rows = self._frames[place]
        if not np.isfinite(rows).all():
            name = f"{self.layer} of utterance {self.ids[i]}"
            raise InputError(f"{self.path}: {name} holds values that are not finite; did training diverge?")
        return rows

    def codes(self) -> np.ndarray:
        """All codes (total,) int32 of a layer that has a codebook."""
        return self._codes(slice(None))

    def _codes(self, place: slice) -> np.ndarray:
        codes = self._frames[place]
        if self.codebook is None or (len(codes) and not 0 <= codes.min() <= codes.max() < len(self.codebook)):
            raise InputError(f"{self.path}: {self.layer} holds codes that its codebook does not have; {AGAIN}")
        return codes

    def begins(self, i: int) -> np.ndarray | None:
        """Where segments begin (frames,) in utterance number i; None where only a change of rows begins one."""
        return None if self._begins is None else self._begins[self.offsets[i] : self.offsets[i + 1]].astype(bool)

    def mapped(self) -> np.ndarray:
        """All `vectors` (total, width) float32, mapped from the file: read from the disk when used, not copied."""
        return self._frames.mapped()

    def __iter__(self) -> Iterator[tuple[str, np.ndarray]]:
        """Yields (id, frames) of every utterance, in the file's order."""
        for i, name in enumerate(self.ids):
            yield name, self.rows(i)

    def __len__(self) -> int:
        return len(self.ids)
