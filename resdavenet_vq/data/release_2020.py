"""The two HDF5 files of the 2020 release as a source of features and images."""

from __future__ import annotations

import os
import zlib
from pathlib import Path
from typing import Any

import numpy as np

from resdavenet_vq import files
from resdavenet_vq.data import features
from resdavenet_vq.errors import InputError
from resdavenet_vq.hdf5 import INTEGERS, GuardedFile, Items, Numbers

RELEASE_FRAMES = 2048  # of every row, padding included

MAX_IMAGE_BYTES = 1 << 26
_REMEDY = "it must be of the 2020 release, and its rows the corpus's, in the corpus's order"


class Release2020:
    """A source, with the methods of `sources.Media`, of the HDF5 files of the 2020 release.

    A JSON file names them by `audio_hdf5_path` and `image_hdf5_path`, relative to its own folder. The first
    has `melspec` float32 (rows, 40, 2048) in dB and `melspec_len` int64 (rows,), the second `image`, variable-length
    uint8 (rows,). The `rows` are the corpus's, in its order, refused ones included. Each process opens the files when
    it first reads, guarded as `hdf5` says.
    """

    def __init__(self, json_path: Path, rows: int, precision: str, max_frames: int) -> None:
        self._arguments = (json_path, rows, precision, max_frames)
        self.rows, self.precision, self.max_frames = rows, precision, max_frames
        content = files.read_json(json_path)
        content = content if isinstance(content, dict) else {}
        keys = ("audio_hdf5_path", "image_hdf5_path")
        paths = [content.get(key) for key in keys]
        if not all(isinstance(path, str) and path and "\0" not in path for path in paths):
            raise InputError(f"{json_path}: must be an object that names two files by {' and '.join(keys)}")
        self.audio_path, self.image_path = (json_path.parent / str(path) for path in paths)
        self._pid = 0
        self._opened: dict[str, Any] = {}

    def __reduce__(self) -> tuple[Any, ...]:
        return Release2020, self._arguments

    def logmel(self, wav: Path, row: int) -> tuple[np.ndarray, int]:  # noqa: ARG002 - known by their rows
        """The features of a row; the audio's length is the least that makes so many frames."""
        whole, where = self._melspec(row), f"{self.audio_path}: row {row} of melspec"
        if not np.isfinite(whole).all():
            raise InputError(f"{where} contains NaN or infinite values")
        if whole.min() < -features.TOP_DB - 0.01 or whole.max() > 0.01:
            raise InputError(f"{where} has values outside of -80 to 0 dB: these are not the release's features")
        if not whole.any():
            raise InputError(f"{where} is 0 dB throughout: silent, or never written")
        return whole.T[: self.max_frames].astype(self.precision), max(1, (whole.shape[1] - 1) * features.HOP_LENGTH)

    def image(self, image: Path, row: int) -> bytes:  # noqa: ARG002
        """The encoded file of an image; whether it decodes is not checked."""
        return self._images().content(row, MAX_IMAGE_BYTES)

    def audio_crc32(self, wav: Path, row: int) -> int:  # noqa: ARG002
        """The CRC32 of the row's values, without padding."""
        return zlib.crc32(np.ascontiguousarray(self._melspec(row), "<f4").tobytes())

    def audio_file(self, wav: Path) -> Path:  # noqa: ARG002
        """The HDF5 file of the audio."""
        return self.audio_path

    def image_file(self, image: Path) -> Path:  # noqa: ARG002
        """The HDF5 file of the images."""
        return self.image_path

    def check(self, *, with_images: bool) -> None:
        """Raises InputError unless the files are there and in the layout, whatever their rows hold."""
        self._audio()
        if with_images:
            self._images()

    def _melspec(self, row: int) -> np.ndarray:
        """The features (40, T) of a row of the file."""
        melspec, lengths = self._audio()
        n_frames = int(lengths[row])
        if not 1 <= n_frames <= RELEASE_FRAMES:
            what = f"row {row} of melspec_len is {n_frames}, not 1 to {RELEASE_FRAMES} frames"
            raise InputError(f"{self.audio_path}: {what}")
        return melspec[row, :, :n_frames]

    def _audio(self) -> tuple[Numbers, np.ndarray]:
        """`melspec`, and the lengths (rows,) of its rows."""
        if "audio" not in self._opened_here():
            file = GuardedFile(self.audio_path, _REMEDY)
            melspec = file.numbers("melspec", [np.float32], (self.rows, features.N_MELS, RELEASE_FRAMES))
            self._opened["audio"] = melspec, file.numbers("melspec_len", INTEGERS, (self.rows,))[:]
        return self._opened["audio"]  # type: ignore[no-any-return]

    def _images(self) -> Items:
        """`image`."""
        if "image" not in self._opened_here():
            self._opened["image"] = GuardedFile(self.image_path, _REMEDY).items("image", self.rows)
        return self._opened["image"]  # type: ignore[no-any-return]

    def _opened_here(self) -> dict[str, Any]:
        """What this process has opened."""
        if self._pid != os.getpid():
            self._pid, self._opened = os.getpid(), {}
        return self._opened
