"""The HDF5 file with the codes of a split: `codes/{split}.h5`.

Layout: `manifest` (N,) the JSON of each utterance's manifest row, and for every quantizer a group `quantN` with
`codes` (total frames,) int32, all utterances one after another in the manifest's order, `offsets` (N+1,) int64,
`codebook` (K, C) float32 and the attribute `frame_period` in seconds.
"""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import h5py
import numpy as np

from resdavenet_vq.encode.hdf5 import EncodedFile
from resdavenet_vq.errors import InputError


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

    def manifest(self, start: int, stop: int) -> list[dict[str, Any]]:
        """The manifest rows of utterances start ... stop - 1, as they were written."""
        return [json.loads(row) for row in self._manifest[start:stop]]

    def __len__(self) -> int:
        return len(self._manifest)
