"""Writing a store, item by item, in memory that does not grow with it."""

from __future__ import annotations

import errno
import hashlib
import json
import tempfile
import zlib
from array import array
from collections.abc import Iterator, Mapping
from importlib.metadata import version
from pathlib import Path
from typing import Any, NamedTuple, Self

import h5py
import numpy as np
import soundfile

from resdavenet_vq import __version__, files
from resdavenet_vq.corpus.manifest import Utterance
from resdavenet_vq.data import features
from resdavenet_vq.data import store_format as header
from resdavenet_vq.data.store_file import StoreFile, sha256_of_content
from resdavenet_vq.errors import InputError

_BLOCK = 1 << 20


class Outside(NamedTuple):
    """Features or an image that the store does not hold: frames or bytes, and the CRC32 and row of their source."""

    length: int
    crc32: int
    row: int = -1


class _Column:
    """Items one behind the other in a file without a name, which vanishes with the process however that ends."""

    def __init__(self, folder: Path) -> None:
        self.file = tempfile.TemporaryFile(dir=folder)  # noqa: SIM115 - closed with the writer
        self.ends = array("q", [0])

    def append(self, data: bytes, length: int | None = None) -> None:
        """Adds an item, or only its `length` if its bytes are elsewhere."""
        self.file.write(data)
        self.ends.append(self.ends[-1] + (len(data) if length is None else length))

    def blocks(self, numbers: list[int] | None = None) -> Iterator[bytes]:
        """The bytes of all items, or of those chosen."""
        stretches = [(0, self.ends[-1])] if numbers is None else [(self.ends[n], self.ends[n + 1]) for n in numbers]
        for start, end in stretches:
            self.file.seek(start)
            yield from (self.file.read(min(_BLOCK, end - position)) for position in range(start, end, _BLOCK))


class StoreWriter:
    """Collects images and utterances in temporary files beside the store to be, then writes it; a context manager.

    An image must be added before the first utterance with it; images without utterances are left out. Equal items
    make equal bytes. With a `reader` other than `store` features and images are `Outside`; `release` says what
    `release_2020` reads.
    """

    def __init__(
        self, folder: Path, precision: str, reader: str = "store", release: Mapping[str, Any] | None = None
    ) -> None:
        folder.mkdir(parents=True, exist_ok=True)
        self._attributes: dict[str, Any] = {"reader": reader, "release": dict(release or {})}
        self._attributes["precision"] = precision
        self._precision = np.dtype(precision).newbyteorder("<")
        self._row_size = {"logmel": self._precision.itemsize * features.N_MELS}
        self._columns = {name: _Column(folder) for name in header.RAGGED}
        self._crc32 = {name: array("I") for name in header.WITH_CRC32}
        self._n_samples, self._image_of, self._source_row = array("q"), array("q"), array("q")
        self._numbers: dict[str, int] = {}

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *_: object) -> None:
        for column in self._columns.values():
            column.file.close()

    def add_image(self, image_id: str, image: bytes | Outside) -> bool:
        """Adds an image, the bytes of its file, unless it is there; returns whether it is the one that is there."""
        if image_id in self._numbers:
            crc32 = image.crc32 if isinstance(image, Outside) else zlib.crc32(image)
            return crc32 == self._crc32["image"][self._numbers[image_id]]
        self._append("image", image)
        self._columns["image_ids"].append(image_id.encode())
        self._numbers[image_id] = len(self._numbers)
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
        self._image_of.append(-1 if utterance.image_id is None else self._numbers[utterance.image_id])

    def _append(self, name: str, item: bytes | Outside) -> None:
        if isinstance(item, Outside):
            self._columns[name].append(b"", item.length * self._row_size.get(name, 1))
            self._crc32[name].append(item.crc32)
        else:
            self._columns[name].append(item)
            self._crc32[name].append(zlib.crc32(item))

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
            inside = header.datasets_inside(attributes["reader"])
            try:
                faults = StoreFile(tmp).damaged_items([name for name in header.WITH_CRC32 if name in inside])
            except InputError as e:
                faults = [str(e)]
            if faults:
                raise OSError(errno.EIO, f"what was read back is not what was written: {faults[0]}", str(tmp))
        return numbers

    def _write(self, path: Path, attributes: dict[str, Any]) -> tuple[int, int]:
        images = list(dict.fromkeys(n for n in self._image_of if n >= 0))  # in the order of the utterances
        new_number = {old: new for new, old in enumerate(images)} | {-1: -1}
        chosen = {name: images if name in header.BY_IMAGE else None for name in header.RAGGED}
        small = {
            "n_samples": np.array(self._n_samples),
            "image_index": np.array([new_number[n] for n in self._image_of]),
            "source_row": np.array(self._source_row),
            "logmel_crc32": np.array(self._crc32["logmel"]),
            "manifest_crc32": np.array(self._crc32["manifest"]),
            "image_crc32": np.array(self._crc32["image"])[images],
        }
        for name, column in self._columns.items():
            sizes = np.diff(column.ends) if chosen[name] is None else np.diff(column.ends)[images]
            small[f"{name}_offsets"] = np.concatenate([[0], np.cumsum(sizes)]) // self._row_size.get(name, 1)
        lengths = {name: int(small[f"{name}_offsets"][-1]) for name in header.datasets_inside(attributes["reader"])}
        datasets = header.layout(len(self._n_samples), len(images), lengths, self._precision, attributes["reader"])
        offsets = _make_file(path, datasets, attributes)
        places = {}
        with path.open("r+b") as out:
            for name, (shape, dtype) in datasets.items():
                out.seek(offsets[name])
                ragged = self._columns.get(name)
                blocks = ragged.blocks(chosen[name]) if ragged else [small[name].astype(dtype).tobytes()]
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
        return len(self._n_samples), len(images)


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
