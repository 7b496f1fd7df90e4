"""Writing a store, item by item, in memory that does not grow with it."""

from __future__ import annotations

import errno
import json
import tempfile
import zlib
from array import array
from collections.abc import Callable, Mapping
from pathlib import Path
from typing import Any, BinaryIO, Self

import h5py
import numpy as np

from resdavenet_vq import files
from resdavenet_vq.corpus.manifest import Utterance
from resdavenet_vq.data import features
from resdavenet_vq.data import store_format as header
from resdavenet_vq.data.store_file import StoreFile, sha256_of_content

_BLOCK = 1 << 20


class _Column:
    """Items one behind the other in a file without a name, which vanishes with the process however that ends."""

    def __init__(self, folder: Path) -> None:
        self.file = tempfile.TemporaryFile(dir=folder)  # noqa: SIM115 - closed with the writer
        self.ends = array("q", [0])

    def append(self, data: bytes) -> None:
        self.file.write(data)
        self.leave_out(len(data))

    def leave_out(self, length: int) -> None:
        """Adds an item of that length whose bytes stay where they come from."""
        self.ends.append(self.ends[-1] + length)

    def copy_to(self, out: BinaryIO, numbers: list[int] | None = None) -> None:
        """Writes all items, or those chosen, at the position of `out`."""
        stretches = [(0, self.ends[-1])] if numbers is None else [(self.ends[n], self.ends[n + 1]) for n in numbers]
        for start, end in stretches:
            self.file.seek(start)
            out.writelines(self.file.read(min(_BLOCK, end - position)) for position in range(start, end, _BLOCK))


class StoreWriter:
    """Collects images and utterances in temporary files beside the store to be, then writes it.

    An image must be added before the first utterance that shows it; images that no utterance
    shows are left out. Equal items make equal bytes. Use it as a context manager. With a `reader`
    other than `store` features and images stay outside; `release` says what `release_2020` reads.
    """

    def __init__(
        self, folder: Path, precision: str, reader: str = "store", release: Mapping[str, Any] | None = None
    ) -> None:
        folder.mkdir(parents=True, exist_ok=True)
        self._attributes = {"reader": reader, "release": dict(release or {}), "precision": precision}
        self._precision = np.dtype(precision).newbyteorder("<")
        self._columns = {name: _Column(folder) for name in header.RAGGED}
        self._crc32 = {name: array("I") for name in header.WITH_CRC32}
        self._n_samples, self._image_of, self._source_row = array("q"), array("q"), array("q")
        self._numbers: dict[str, int] = {}

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *_: object) -> None:
        for column in self._columns.values():
            column.file.close()

    def add_image(self, image_id: str, data: bytes) -> None:
        """Adds an image: the bytes of its file."""
        self._columns["image"].append(data)
        self._add_image(image_id, zlib.crc32(data))

    def add_outside_image(self, image_id: str, length: int, crc32: int) -> None:
        """Adds an image that stays outside: the bytes that its file has."""
        self._columns["image"].leave_out(length)
        self._add_image(image_id, crc32)

    def _add_image(self, image_id: str, crc32: int) -> None:
        self._numbers[image_id] = len(self._numbers)
        self._columns["image_ids"].append(image_id.encode())
        self._crc32["image"].append(crc32)

    def add(self, utterance: Utterance, logmel: np.ndarray, n_samples: int) -> None:
        """Adds an utterance with its features (T, 40) and the length of its audio in 16 kHz samples."""
        data = np.ascontiguousarray(logmel, self._precision).tobytes()
        self._columns["logmel"].append(data)
        self._add(utterance, n_samples, zlib.crc32(data), -1)

    def add_outside(self, utterance: Utterance, n_frames: int, n_samples: int, crc32: int, row: int) -> None:
        """Adds an utterance whose features stay outside: their number, and the CRC32 and row of their source."""
        self._columns["logmel"].leave_out(n_frames * self._precision.itemsize * features.N_MELS)
        self._add(utterance, n_samples, crc32, row)

    def _add(self, utterance: Utterance, n_samples: int, crc32: int, row: int) -> None:
        self._columns["manifest"].append(json.dumps(utterance.to_dict(), ensure_ascii=False).encode())
        self._columns["ids"].append(utterance.id.encode())
        self._crc32["logmel"].append(crc32)
        self._source_row.append(row)
        self._n_samples.append(n_samples)
        self._image_of.append(-1 if utterance.image_id is None else self._numbers[utterance.image_id])

    def write(
        self, path: Path, max_frames: int, command: str, part: Mapping[str, Any] | None = None
    ) -> tuple[int, int]:
        """Writes the store, whole or not at all, and returns the numbers of its utterances and images.

        Utterances were cut after `max_frames`; `command` says how the store was made, the same on every run, and `part`
        which part of a split it is.
        Raises OSError if it cannot be written; it is read back before it takes its name, as a full
        disk does not always say so.
        """
        with files.atomic_write(path) as tmp:
            try:
                numbers = self._write(tmp, self._attributes | _attributes(max_frames, command, part))
            except RuntimeError as e:  # HDF5's way to say that a write failed
                raise OSError(errno.EIO, str(e).splitlines()[0]) from None
            written = StoreFile(tmp)
            if written.attributes["reader"] == "store" and (faults := written.damaged_items()):
                raise OSError(errno.EIO, f"what was read back is not what was written: {faults[0]}")
        return numbers

    def _write(self, path: Path, attributes: Mapping[str, Any]) -> tuple[int, int]:
        images = list(dict.fromkeys(n for n in self._image_of if n >= 0))  # in the order of the utterances
        new_number = {old: new for new, old in enumerate(images)} | {-1: -1}
        chosen = {name: images if name in header.BY_IMAGE else None for name in header.RAGGED}

        small = {
            "n_samples": np.array(self._n_samples),
            "image_index": np.array([new_number[n] for n in self._image_of]),
        }
        small["source_row"] = np.array(self._source_row)
        small["logmel_crc32"] = np.array(self._crc32["logmel"])
        small["image_crc32"] = np.array(self._crc32["image"])[images]
        for name, column in self._columns.items():
            sizes = np.diff(column.ends) if chosen[name] is None else np.diff(column.ends)[images]
            size_of_row = self._precision.itemsize * features.N_MELS if name == "logmel" else 1
            small[f"{name}_offsets"] = np.concatenate([[0], np.cumsum(sizes)]) // size_of_row
        lengths = {name: int(small[f"{name}_offsets"][-1]) for name in header.datasets_inside(attributes["reader"])}
        datasets = header.layout(len(self._n_samples), len(images), lengths, self._precision, attributes["reader"])

        def write_one(name: str, out: BinaryIO) -> None:
            if name in self._columns:
                self._columns[name].copy_to(out, chosen[name])
            else:
                out.write(small[name].astype(datasets[name][1]).tobytes())

        _write_file(path, datasets, attributes, write_one)
        return len(self._n_samples), len(images)


def _write_file(
    path: Path, datasets: header.Layout, attributes: Mapping[str, Any], write_one: Callable[[str, BinaryIO], None]
) -> None:
    """Makes a store's file; `write_one` writes a dataset's bytes at the file's position."""
    offsets = _make_file(path, datasets, attributes)
    with path.open("r+b") as out:
        for name, offset in offsets.items():
            out.seek(offset)
            write_one(name, out)
    with h5py.File(path, "r+") as file:
        file.attrs.modify("complete", np.True_)
    places = {name: header.Place(offsets[name], shape, dtype) for name, (shape, dtype) in datasets.items()}
    head = header.Header(path.stat().st_size, sha256_of_content(path), {**attributes, "complete": True}, places)
    with path.open("r+b") as out:
        out.write(head.to_bytes())


def _make_file(path: Path, datasets: header.Layout, attributes: Mapping[str, Any]) -> dict[str, int]:
    """An HDF5 file with its structure and no data yet; returns where each dataset's data belong."""
    properties = h5py.h5p.create(h5py.h5p.DATASET_CREATE)
    properties.set_layout(h5py.h5d.CONTIGUOUS)
    properties.set_alloc_time(h5py.h5d.ALLOC_TIME_EARLY)
    properties.set_fill_time(h5py.h5d.FILL_TIME_NEVER)
    with h5py.File(path, "w", userblock_size=header.HEADER_LENGTH, libver="v110") as file:
        created = {
            name: file.create_dataset(name, shape, dtype, dcpl=properties, track_times=False)
            for name, (shape, dtype) in datasets.items()
        }
        for name, value in attributes.items():
            file.attrs[name] = json.dumps(value, sort_keys=True) if isinstance(value, dict) else value
        file.attrs["complete"] = np.False_
        return {
            name: dataset.id.get_offset() if dataset.size else header.HEADER_LENGTH for name, dataset in created.items()
        }


def _attributes(max_frames: int, command: str, part: Mapping[str, Any] | None) -> dict[str, Any]:
    """The attributes of a store. Nothing that differs from run to run: equal input makes an equal file."""
    return ({header.PART: dict(part)} if part else {}) | {
        "features": features.SETTINGS,
        "features_hash": features.SETTINGS_HASH,
        "max_frames": max_frames,
        "command": command,
        "versions": _versions(),
    }


def _versions() -> dict[str, str]:
    import scipy
    import soundfile
    import soxr

    from resdavenet_vq import __version__

    return {
        "resdavenet-vq": __version__,
        "numpy": np.__version__,
        "scipy": scipy.__version__,
        "soundfile": soundfile.__version__,
        "libsndfile": soundfile.__libsndfile_version__,
        "soxr": soxr.__version__,
        "h5py": h5py.__version__,
        "hdf5": h5py.version.hdf5_version,
    }
