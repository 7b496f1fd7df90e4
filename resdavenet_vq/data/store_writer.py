"""Writing a store, item by item, in memory that does not grow with it."""

from __future__ import annotations

import errno
import hashlib
import json
import struct
import tempfile
import zlib
from collections.abc import Callable, Iterator, Mapping
from functools import partial
from importlib.metadata import version
from pathlib import Path
from typing import Any, Self

import h5py
import numpy as np
import soundfile

from resdavenet_vq import __version__, files
from resdavenet_vq.corpus.disk import DiskDict
from resdavenet_vq.corpus.manifest import Utterance
from resdavenet_vq.data import features
from resdavenet_vq.data import store_format as header
from resdavenet_vq.data.sources import Outside
from resdavenet_vq.data.store_file import StoreFile, sha256_of_content
from resdavenet_vq.errors import InputError

_BLOCK = 1 << 20


class _Numbers:
    """Whole numbers one behind the other in a file without a name, which vanishes with the process however that ends."""

    def __init__(self, folder: Path, dtype: str) -> None:
        self._file = tempfile.TemporaryFile(dir=folder)  # noqa: SIM115 - closed with the writer
        self._struct = struct.Struct(dtype)

    def close(self) -> None:
        self._file.close()

    def append(self, number: int) -> None:
        self._file.write(self._struct.pack(number))

    def read(self) -> np.ndarray:
        """All of them (n,)."""
        self._file.seek(0)
        return np.fromfile(self._file, self._struct.format)


class _Column:
    """Items one behind the other, likewise."""

    def __init__(self, folder: Path) -> None:
        self._file = tempfile.TemporaryFile(dir=folder)  # noqa: SIM115 - closed with the writer
        self._lengths = _Numbers(folder, "<q")

    def append(self, data: bytes, length: int | None = None) -> None:
        """Adds an item, or only its `length` if its bytes are elsewhere."""
        self._file.write(data)
        self._lengths.append(len(data) if length is None else length)

    def lengths(self, numbers: np.ndarray | None = None) -> np.ndarray:
        """The lengths of all items, or of those chosen."""
        return self._lengths.read() if numbers is None else self._lengths.read()[numbers]

    def blocks(self, numbers: np.ndarray | None = None) -> Iterator[bytes]:
        """The bytes of all items, or of those chosen."""
        ends = np.cumsum(self._lengths.read())
        if numbers is None:
            yield from self._blocks(0, int(ends[-1]) if len(ends) else 0)
            return
        for number in numbers.tolist():
            yield from self._blocks(int(ends[number - 1]) if number else 0, int(ends[number]))

    def _blocks(self, start: int, end: int) -> Iterator[bytes]:
        self._file.seek(start)
        return (self._file.read(min(_BLOCK, end - position)) for position in range(start, end, _BLOCK))

    def close(self) -> None:
        self._file.close()
        self._lengths.close()


class StoreWriter:
    """Collects images and utterances in temporary files beside the store to be, then writes it; a context manager.

    An image must be added before the first utterance with it; images without utterances are left out. Equal items
    make equal bytes. With a `reader` other than `store` features and images are `Outside`; `release` says what
    `release_2020` reads, and `image_size` to which shorter side larger images were reduced.
    """

    def __init__(
        self,
        folder: Path,
        precision: str,
        reader: str = "store",
        release: Mapping[str, Any] | None = None,
        image_size: int | None = None,
    ) -> None:
        folder.mkdir(parents=True, exist_ok=True)
        self._attributes: dict[str, Any] = {"reader": reader, "release": dict(release or {})}
        self._attributes["precision"] = precision
        if image_size is not None:
            self._attributes[header.IMAGE_SIZE] = image_size
        self._precision = np.dtype(precision).newbyteorder("<")
        self._row_size = {"logmel": self._precision.itemsize * features.N_MELS}
        self._columns = {name: _Column(folder) for name in header.RAGGED}
        self._crc32 = {name: _Numbers(folder, "<I") for name in header.WITH_CRC32}
        self._n_samples, self._image_of, self._source_row = (_Numbers(folder, "<q") for _ in range(3))
        self._n_images = 0
        self._images = DiskDict[int]()
        """Of each image by its id: its number times 2**32, plus its CRC32."""

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *_: object) -> None:
        others = [self._n_samples, self._image_of, self._source_row]
        for numbers in [*self._crc32.values(), *others]:
            numbers.close()
        for column in self._columns.values():
            column.close()

    def add_image(self, image_id: str, image: bytes | Outside) -> bool:
        """Adds an image, the bytes of its file, unless it is there; returns whether it is the one that is there."""
        crc32 = image.crc32 if isinstance(image, Outside) else zlib.crc32(image)
        entry = self._n_images << 32 | crc32
        if (first := self._images.setdefault(image_id, entry)) != entry:
            return first & 0xFFFFFFFF == crc32
        self._append("image", image, crc32)
        self._columns["image_ids"].append(image_id.encode())
        self._n_images += 1
        return True

    def add(self, utterance: Utterance, logmel: np.ndarray | Outside, n_samples: int) -> None:
        """Adds an utterance with its features (T, 40) and the length of its audio in 16 kHz samples."""
        if isinstance(logmel, Outside):
            self._append("logmel", logmel)
            self._source_row.append(logmel.row)
        else:
            self._append("logmel", np.ascontiguousarray(logmel, self._precision).tobytes())
            self._source_row.append(-1)
        self._append("manifest", json.dumps(utterance.to_dict(), ensure_ascii=False).encode())
        self._columns["ids"].append(utterance.id.encode())
        self._n_samples.append(n_samples)
        self._image_of.append(-1 if utterance.image_id is None else self._number_of(utterance.image_id))

    def _number_of(self, image_id: str) -> int:
        entry = self._images.get(image_id)
        assert entry is not None, "an image is added before the first utterance with it"
        return entry >> 32

    def _append(self, name: str, item: bytes | Outside, crc32: int | None = None) -> None:
        if isinstance(item, Outside):
            self._columns[name].append(b"", item.length * self._row_size.get(name, 1))
            self._crc32[name].append(item.crc32)
        else:
            self._columns[name].append(item)
            self._crc32[name].append(zlib.crc32(item) if crc32 is None else crc32)

    def write(
        self, path: Path, max_frames: int, command: str, part: Mapping[str, Any] | None = None
    ) -> tuple[int, int]:
        """Writes the store, whole or not at all, and returns the numbers of its utterances and images.

        Utterances were cut after `max_frames`; `command` says how the store was made, the same on every run, and `part`
        which part of a split it is. Raises InputError if it cannot be written; it is read back before it takes its name,
        as a full disk does not always say so.
        """
        attributes = self._attributes | ({header.PART: dict(part)} if part else {})
        attributes |= {"features": features.SETTINGS, "features_hash": features.SETTINGS_HASH}
        attributes |= {"max_frames": max_frames, "command": command, "versions": _versions()}
        with files.atomic_write(path) as tmp:
            numbers = self._write(tmp, attributes)
            try:
                StoreFile(tmp).check_bytes()
            except InputError as e:
                raise OSError(errno.EIO, f"what was read back is not what was written: {e}", str(tmp)) from None
        return numbers

    def _write(self, path: Path, attributes: dict[str, Any]) -> tuple[int, int]:
        image_of = self._image_of.read()
        images = _in_order(image_of)
        new_number = np.full(self._n_images + 1, -1)  # the last for utterances without an image
        new_number[images] = np.arange(len(images))
        chosen = {name: images if name in header.BY_IMAGE else None for name in header.RAGGED}
        small: dict[str, Callable[[], np.ndarray]] = {
            "n_samples": self._n_samples.read,
            "image_index": lambda: new_number[image_of],
            "source_row": self._source_row.read,
            "logmel_crc32": self._crc32["logmel"].read,
            "manifest_crc32": self._crc32["manifest"].read,
            "image_crc32": lambda: self._crc32["image"].read()[images],
            **{f"{name}_offsets": partial(self._offsets, name, numbers) for name, numbers in chosen.items()},
        }  # one in memory at a time
        inside = header.datasets_inside(attributes["reader"])
        lengths = {name: int(self._offsets(name, chosen[name])[-1]) for name in inside}
        datasets = header.layout(len(image_of), len(images), lengths, self._precision, attributes["reader"])
        offsets = _make_file(path, datasets, attributes)
        places = {}
        with path.open("r+b") as out:
            for name, (shape, dtype) in datasets.items():
                out.seek(offsets[name])
                ragged = self._columns.get(name)
                blocks = ragged.blocks(chosen[name]) if ragged else [small[name]().astype(dtype).tobytes()]
                digest = None if name in header.WITH_CRC32 else hashlib.sha256()
                for block in blocks:
                    out.write(block)
                    if digest:
                        digest.update(block)
                places[name] = header.Place(offsets[name], shape, dtype, digest.hexdigest() if digest else "")
        with h5py.File(path, "r+", locking=False) as file:
            file.attrs.modify("complete", np.True_)
        head = header.Header(path.stat().st_size, sha256_of_content(path), {**attributes, "complete": True}, places)
        with path.open("r+b") as out:
            out.write(head.to_bytes())
        return len(image_of), len(images)

    def _offsets(self, name: str, numbers: np.ndarray | None) -> np.ndarray:
        """Where the items of a column begin and end (items + 1,), in rows of its dataset; of all, or of those chosen."""
        ends = np.cumsum(self._columns[name].lengths(numbers))
        return np.concatenate([[0], ends // self._row_size.get(name, 1)])


def _in_order(image_of: np.ndarray) -> np.ndarray:
    """The numbers of the images that utterances (n,) have, in the order of the utterances; -1 is none."""
    numbers, first = np.unique(image_of, return_index=True)
    order: np.ndarray = numbers[np.argsort(first)]
    return order[order >= 0]


def _make_file(path: Path, datasets: header.Layout, attributes: Mapping[str, Any]) -> dict[str, int]:
    """An HDF5 file with its structure and no data yet; returns where each dataset's data belong."""
    properties = h5py.h5p.create(h5py.h5p.DATASET_CREATE)
    properties.set_layout(h5py.h5d.CONTIGUOUS)
    properties.set_alloc_time(h5py.h5d.ALLOC_TIME_EARLY)
    properties.set_fill_time(h5py.h5d.FILL_TIME_NEVER)
    offsets = {}
    with h5py.File(path, "w", userblock_size=header.HEADER_LENGTH, libver="v110", locking=False) as file:
        for name, (shape, dtype) in datasets.items():
            dataset = file.create_dataset(name, shape, dtype, dcpl=properties, track_times=False)
            offsets[name] = dataset.id.get_offset() if dataset.size else header.HEADER_LENGTH
        for name, value in attributes.items():
            file.attrs[name] = json.dumps(value, sort_keys=True) if isinstance(value, dict) else value
        file.attrs["complete"] = np.False_
    return offsets


def _versions() -> dict[str, str]:
    versions = {name: version(name) for name in ("numpy", "scipy", "soundfile", "soxr", "h5py")}
    native = {"libsndfile": soundfile.__libsndfile_version__, "hdf5": h5py.version.hdf5_version}
    return {"resdavenet-vq": __version__, **versions, **native}
