"""The two HDF5 files of the 2020 release as a source of features and images."""

from __future__ import annotations

import os
import stat
import zlib
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import h5py
import numpy as np

from resdavenet_vq import files
from resdavenet_vq.data import features
from resdavenet_vq.errors import InputError

RELEASE_FRAMES = 2048  # of every row, padding included

MAX_IMAGE_BYTES = 1 << 26
_MAX_CHUNK_BYTES = 1 << 26
_VLEN_BYTES = 16  # of an item of variable length in HDF5: its length (4), the place of its heap (8), its number (4)


class Release2020:
    """A source, with the methods of `sources.Media`, of the HDF5 files of the 2020 release.

    A JSON file names them by `audio_hdf5_path` and `image_hdf5_path`, relative to its own folder. The first
    has `melspec` float32 (rows, 40, 2048) in dB and `melspec_len` int64 (rows,), the second `image`, variable-length
    uint8 (rows,). The `rows` are the corpus's, in its order, refused ones included. Each process opens the files when
    it first reads. As anyone may have made them, links, data kept in other files and compressed data are refused, and
    nothing is read before its size is known.
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
        dataset, offset = self._dataset("image")
        with _reading(self.image_path):
            with self.image_path.open("rb", buffering=0) as file:  # HDF5 would allocate a forged length
                length = int.from_bytes(os.pread(file.fileno(), 4, offset + _VLEN_BYTES * row), "little")
            if length > MAX_IMAGE_BYTES:
                what = f"row {row} of image has {length} bytes, more than {MAX_IMAGE_BYTES}"
                raise InputError(f"{self.image_path}: {what}")
            return bytes(dataset[row].tobytes()) if length else b""

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
        self._dataset("melspec")
        if with_images:
            self._dataset("image")

    def _melspec(self, row: int) -> np.ndarray:
        """The features (40, T) of a row of the file."""
        dataset, lengths = self._dataset("melspec")
        n_frames = int(lengths[row])
        if not 1 <= n_frames <= RELEASE_FRAMES:
            what = f"row {row} of melspec_len is {n_frames}, not 1 to {RELEASE_FRAMES} frames"
            raise InputError(f"{self.audio_path}: {what}")
        with _reading(self.audio_path):
            whole: np.ndarray = dataset[row, :, :n_frames]
        return whole

    def _dataset(self, name: str) -> tuple[Any, Any]:
        """`melspec` with the lengths (rows,) of its rows, or `image` with its place in the file."""
        if self._pid != os.getpid():
            self._pid, self._opened = os.getpid(), {}
        if name not in self._opened:
            self._opened[name] = self._open_audio() if name == "melspec" else self._open_images()
        return self._opened[name]  # type: ignore[no-any-return]

    def _open_audio(self) -> tuple[Any, np.ndarray]:
        file = _open(self.audio_path)
        with _reading(self.audio_path):
            melspec = self._checked(file, "melspec", (self.rows, features.N_MELS, RELEASE_FRAMES))
            lengths = self._checked(file, "melspec_len", (self.rows,))
            if melspec.dtype != np.float32 or lengths.dtype.kind not in "iu":
                types = f"{melspec.dtype}, {lengths.dtype}"
                raise InputError(f"{self.audio_path}: melspec must be float32 and melspec_len int64, not {types}")
            return melspec, lengths[:]

    def _open_images(self) -> tuple[Any, int]:
        file = _open(self.image_path)
        with _reading(self.image_path):
            image = self._checked(file, "image", (self.rows,))
            if h5py.check_vlen_dtype(image.dtype) != np.uint8:
                raise InputError(f"{self.image_path}: image must be uint8 of variable length, not {image.dtype}")
            offset = image.id.get_offset()
            if offset is None or image.id.get_storage_size() != self.rows * _VLEN_BYTES:
                remedy = "h5repack -l image:CONTI makes it contiguous"
                raise InputError(f"{self.image_path}: image is not contiguous, or was never written; {remedy}")
            return image, offset

    def _checked(self, file: h5py.File, name: str, shape: tuple[int, ...]) -> Any:
        """A dataset of the file's own, of the expected shape; nothing outside the file is touched on the way."""
        link = file.get(name, getlink=True, default=None)
        if link is None:
            raise InputError(f"{file.filename}: has no {name}; is it of the 2020 release's layout?")
        if not isinstance(link, h5py.HardLink):
            raise InputError(f"{file.filename}: {name} is a link to elsewhere, which is not followed")
        dataset = file[name]
        if not isinstance(dataset, h5py.Dataset):
            raise InputError(f"{file.filename}: {name} is no dataset")
        creation = dataset.id.get_create_plist()
        if creation.get_external_count() or creation.get_layout() == h5py.h5d.VIRTUAL:
            raise InputError(f"{file.filename}: {name} keeps its data in other files, which are not read")
        if dataset.shape != shape:
            remedy = "its rows must be the corpus's, in the corpus's order"
            raise InputError(f"{file.filename}: {name} has the shape {dataset.shape} instead of {shape}; {remedy}")
        if creation.get_nfilters() or dataset.dtype.itemsize * int(np.prod(dataset.chunks or (0,))) > _MAX_CHUNK_BYTES:
            remedy = f"h5repack -f NONE -l {name}:CONTI repacks it"
            raise InputError(f"{file.filename}: {name} is compressed or in huge chunks; {remedy}")
        return dataset


def _open(path: Path) -> h5py.File:
    with files.reading(path):
        if not stat.S_ISREG(path.stat().st_mode):
            raise InputError(f"{path}: is no regular file")
    try:
        return h5py.File(path, "r", locking=False)  # nobody writes
    except (OSError, RuntimeError) as e:
        raise InputError(f"{path}: cannot be read as HDF5 ({e})") from None


@contextmanager
def _reading(path: Path) -> Iterator[None]:
    """HDF5 has many exceptions for a damaged file."""
    try:
        yield
    except InputError:
        raise
    except (OSError, RuntimeError, KeyError, ValueError, TypeError, OverflowError, MemoryError) as e:
        raise InputError(f"{path}: is damaged ({e})") from None
