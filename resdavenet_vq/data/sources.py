"""Where features and images come from: a corpus's wav and image files, or the two HDF5 files of the 2020 release.

A preparation reads a source once, checks it, and puts what it gave into a store. With the other two readers the
store keeps all but features and images, and asks the same source again whenever one of them is wanted: the
values are those that a store would hold, bit for bit.
"""

from __future__ import annotations

import os
import stat
import zlib
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from pathlib import Path
from typing import TYPE_CHECKING, Any, NamedTuple, Protocol

import numpy as np

from resdavenet_vq import files
from resdavenet_vq.data import features, images
from resdavenet_vq.errors import InputError

if TYPE_CHECKING:
    import h5py

RELEASE_FRAMES = 2048
"""Frames of every row of the 2020 release, padding included."""

MAX_IMAGE_BYTES = 1 << 26
_MAX_CHUNK_BYTES = 1 << 26
_VLEN_BYTES = (
    16  # how HDF5 keeps an item of variable length: its length (4), where its heap is (8), its number there (4)
)


class Source(Protocol):
    """A reader of utterances' features and images. Picklable, and safe in forked processes.

    An item is asked for by the file that the manifest names and by the row of the corpus that it stands in;
    a source needs one of the two. What reads raises InputError naming the file.
    """

    def logmel(self, wav: Path, row: int) -> tuple[np.ndarray, int]:
        """Features (T, 40) in dB at the store's precision, cut to its max_frames, and the audio's length in 16 kHz samples."""

    def image(self, image: Path, row: int) -> bytes:
        """The encoded file of an image; whether it decodes is not checked."""

    def audio_crc32(self, wav: Path, row: int) -> int:
        """The CRC32 of what the features are made from. Not of the features: those may differ in the last bit between processors."""

    def audio_file(self, wav: Path) -> Path:
        """The file that features come from."""

    def image_file(self, image: Path) -> Path:
        """The file that an image comes from."""


class Media(NamedTuple):
    """The source of wav and image files."""

    precision: str
    max_frames: int
    allow_silent: bool = True

    def logmel(self, wav: Path, row: int) -> tuple[np.ndarray, int]:  # noqa: ARG002 - files are told by their paths
        """See Source."""
        audio = features.read_wav(wav, allow_silent=self.allow_silent)
        return features.log_mel(audio)[: self.max_frames].astype(self.precision), len(audio)

    def image(self, image: Path, row: int) -> bytes:  # noqa: ARG002
        """See Source."""
        return images.read(image)

    def audio_crc32(self, wav: Path, row: int) -> int:  # noqa: ARG002
        """The CRC32 of the wav file."""
        try:
            return zlib.crc32(wav.read_bytes())
        except OSError as e:
            raise InputError(f"{wav}: cannot be read ({e.strerror or e})") from None

    def audio_file(self, wav: Path) -> Path:
        """The wav file."""
        return wav

    def image_file(self, image: Path) -> Path:
        """The image file."""
        return image


class Release2020:
    """The source of the 2020 release's HDF5 files, whose rows follow the corpus's.

    A JSON file names them by `audio_hdf5_path` and `image_hdf5_path`, relative to its own folder. The first
    has `melspec` float32 (rows, 40, 2048) in dB and `melspec_len` int64 (rows,), the second `image`, variable-length
    uint8 (rows,). They are opened when something is first read, by each process for itself. As anyone may have made them,
    links, data kept in other files and compressed data are refused, and nothing is read before its size is known.

    Parameters
    ----------
    json_path
        The JSON file.
    rows
        How many rows the corpus has, refused ones included.
    """

    def __init__(
        self, json_path: Path, rows: int, precision: str, max_frames: int, *, allow_silent: bool = True
    ) -> None:
        self._arguments = (json_path, rows, precision, max_frames)
        self.rows, self.precision, self.max_frames, self.allow_silent = rows, precision, max_frames, allow_silent
        content = files.read_json(json_path)
        paths = [
            content.get(key) if isinstance(content, Mapping) else None for key in ("audio_hdf5_path", "image_hdf5_path")
        ]
        if not all(isinstance(path, str) and path and "\0" not in path for path in paths):
            raise InputError(
                f"{json_path}: must be an object that names two files by audio_hdf5_path and image_hdf5_path"
            )
        self.audio_path, self.image_path = (json_path.parent / str(path) for path in paths)
        self._pid = 0
        self._opened: dict[str, Any] = {}

    def __reduce__(self) -> tuple[Any, ...]:
        return _release, (*self._arguments, self.allow_silent)

    def logmel(self, wav: Path, row: int) -> tuple[np.ndarray, int]:  # noqa: ARG002 - told by their rows
        """See Source. The audio's length is the least that makes so many frames."""
        whole, where = self._melspec(row), f"{self.audio_path}: row {row} of melspec"
        if not np.isfinite(whole).all():
            raise InputError(f"{where} contains NaN or infinite values")
        if whole.min() < -features.TOP_DB - 0.01 or whole.max() > 0.01:
            raise InputError(f"{where} has values outside of -80 to 0 dB: these are not the release's features")
        if not (self.allow_silent or whole.any()):
            raise InputError(f"{where} is 0 dB throughout: silent, or never written; set allow_silent to accept it")
        return whole.T[: self.max_frames].astype(self.precision), max(1, (whole.shape[1] - 1) * features.HOP_LENGTH)

    def image(self, image: Path, row: int) -> bytes:  # noqa: ARG002
        """See Source."""
        dataset, offset = self._dataset("image")
        with _reading(self.image_path):
            with self.image_path.open(
                "rb", buffering=0
            ) as file:  # HDF5 would take as much memory as a forged length asks for
                length = int.from_bytes(os.pread(file.fileno(), 4, offset + _VLEN_BYTES * row), "little")
            if length > MAX_IMAGE_BYTES:
                raise InputError(
                    f"{self.image_path}: row {row} of image has {length} bytes, more than {MAX_IMAGE_BYTES}"
                )
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
        """The features (40, T) of a row as they stand there."""
        dataset, lengths = self._dataset("melspec")
        n_frames = int(lengths[row])
        if not 1 <= n_frames <= RELEASE_FRAMES:
            raise InputError(
                f"{self.audio_path}: row {row} of melspec_len is {n_frames}, not 1 to {RELEASE_FRAMES} frames"
            )
        with _reading(self.audio_path):
            whole: np.ndarray = dataset[row, :, :n_frames]
        return whole

    def _dataset(self, name: str) -> tuple[Any, Any]:
        """`melspec` with the lengths (rows,) of its rows, or `image` with its place in the file; opened once in a process."""
        if self._pid != os.getpid():
            self._pid, self._opened = os.getpid(), {}
        if name not in self._opened:
            self._opened[name] = self._open_audio() if name == "melspec" else self._open_images()
        return self._opened[name]  # type: ignore[no-any-return]

    def _open_audio(self) -> tuple[h5py.Dataset, np.ndarray]:
        file = _open(self.audio_path)
        with _reading(self.audio_path):
            melspec = self._checked(file, "melspec", (self.rows, features.N_MELS, RELEASE_FRAMES))
            lengths = self._checked(file, "melspec_len", (self.rows,))
            if melspec.dtype != np.float32 or lengths.dtype.kind not in "iu":
                raise InputError(
                    f"{self.audio_path}: melspec must be float32 and melspec_len int64, not {melspec.dtype}, {lengths.dtype}"
                )
            return melspec, lengths[:]

    def _open_images(self) -> tuple[h5py.Dataset, int]:
        import h5py

        file = _open(self.image_path)
        with _reading(self.image_path):
            image = self._checked(file, "image", (self.rows,))
            if h5py.check_vlen_dtype(image.dtype) != np.uint8:
                raise InputError(f"{self.image_path}: image must be uint8 of variable length, not {image.dtype}")
            offset = image.id.get_offset()
            if offset is None or image.id.get_storage_size() != self.rows * _VLEN_BYTES:
                raise InputError(
                    f"{self.image_path}: image is not contiguous, or was never written; h5repack -l image:CONTI mends the former"
                )
            return image, offset

    def _checked(self, file: h5py.File, name: str, shape: tuple[int, ...]) -> h5py.Dataset:
        """A dataset of the file's own, of the expected shape; nothing outside the file is touched on the way."""
        import h5py

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
            raise InputError(
                f"{file.filename}: {name} is compressed or in huge chunks; h5repack -f NONE -l {name}:CONTI mends it"
            )
        return dataset


def open_source(attributes: Mapping[str, Any]) -> Source | None:
    """What a store with these attributes reads features and images from; None if it holds them itself."""
    precision, max_frames, release = attributes["precision"], attributes["max_frames"], attributes["release"]
    match attributes["reader"]:
        case "store":
            return None
        case "files":
            return Media(precision, max_frames)
        case _:
            return Release2020(Path(release["json"]), release["rows"], precision, max_frames)


def are_sound(attributes: Mapping[str, Any]) -> bool:
    """Whether `open_source` understands a store's attributes."""
    release = attributes["release"]
    known = {"store": {}, "files": {}, "release_2020": {"json": str, "rows": int}}.get(attributes["reader"])
    return (
        attributes["precision"] in {"float16", "float32"}
        and known is not None
        and release.keys() == known.keys()
        and all(type(release[key]) is kind for key, kind in known.items())
    )


def _release(json_path: Path, rows: int, precision: str, max_frames: int, allow_silent: bool) -> Release2020:
    return Release2020(json_path, rows, precision, max_frames, allow_silent=allow_silent)


def _open(path: Path) -> h5py.File:
    import h5py

    try:
        if not stat.S_ISREG(path.stat().st_mode):
            raise InputError(f"{path}: is no regular file")
        return h5py.File(path, "r", locking=False)  # nobody writes
    except FileNotFoundError:
        raise InputError(f"{path}: no such file") from None
    except (OSError, RuntimeError) as e:
        raise InputError(f"{path}: cannot be read as HDF5 ({e})") from None


@contextmanager
def _reading(path: Path) -> Iterator[None]:
    """HDF5 says in many ways that a file is damaged."""
    try:
        yield
    except InputError:
        raise
    except (OSError, RuntimeError, KeyError, ValueError, TypeError, OverflowError, MemoryError) as e:
        raise InputError(f"{path}: is damaged ({e})") from None
