"""The one way to open HDF5 files for reading, which anyone may have made.

An HDF5 file may name other files (external links and storage, virtual data sets), declare sizes that it does not have,
and unpack a little to a lot (filters, variable-length items that share their bytes). Nothing of that is followed or
allocated here: a dataset is read only where the path to it consists of hard links, its type and shape are the expected
ones, its data are in the file itself, without filters, and no larger than the file. Every fault is an InputError that
names the file.
"""

from __future__ import annotations

import math
import os
import struct
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from pathlib import Path
from typing import Any, Self

import h5py
import numpy as np
from numpy.typing import DTypeLike

from resdavenet_vq import files
from resdavenet_vq.errors import InputError

MAX_CHUNK_BYTES = 1 << 26
"""Of a chunk, which HDF5 reads as a whole; one of a few rows of features has less than 1 MB."""

MAX_DEPTH = 16
"""Groups in groups; hard links can make a group its own member."""

_ITEM_BYTES = 16
"""Of an item of variable length: its length (4), the place of its heap (8), its number there (4)."""

_FAULTS = (OSError, RuntimeError, LookupError, ValueError, TypeError, AttributeError, ArithmeticError, MemoryError)
"""What h5py raises for damaged files."""

INTEGERS = tuple(map(np.dtype, "bBhHiIqQ"))
"""Types of whole numbers."""


@contextmanager
def faults_of(path: Path, remedy: str = "") -> Iterator[None]:
    """Makes an InputError that names the file of what is raised where its content is not what it should be."""
    try:
        yield
    except _FAULTS as e:
        text = (str(e).partition("\n")[0] or type(e).__name__)[:200]
        raise InputError(f"{path}: is damaged ({text}){remedy and f'; {remedy}'}") from None


class GuardedFile:
    """An HDF5 file open for reading; a context manager. `remedy` ends the text of errors that name no other.

    Raises InputError if it is missing, no regular file or no HDF5.
    """

    def __init__(self, path: Path, remedy: str = "") -> None:
        self.path, self.remedy = path, remedy
        with files.open_regular(path) as opened:
            checked = os.fstat(opened.fileno())
            try:
                self._file = h5py.File(path, "r", locking=False)  # nobody writes
            except _FAULTS as e:
                raise self.error(f"cannot be read as HDF5 ({e})") from None
            self._descriptor: int = self._file.id.get_vfd_handle()
            actual = os.fstat(self._descriptor)
        self.size = actual.st_size
        if (actual.st_dev, actual.st_ino) != (checked.st_dev, checked.st_ino):
            self.close()
            raise self.error("was replaced while it was opened")

    def close(self) -> None:
        """Closes the file; its datasets can be read no more."""
        self._file.close()

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *_: object) -> None:
        self.close()

    def error(self, fault: str, remedy: str = "") -> InputError:
        """An error that names the file."""
        return InputError("; ".join(filter(None, (f"{self.path}: {fault}", remedy or self.remedy))))

    def names(self) -> list[str]:
        """What is in the file's root, in alphabetical order; links to elsewhere are not."""
        with faults_of(self.path, self.remedy):
            links = self._file.id.links
            names = [name for name in self._file.id if links.get_info(name).type == h5py.h5l.TYPE_HARD]
            return sorted(name.decode(errors="backslashreplace") for name in names)

    def has(self, name: str) -> bool:
        """Whether there is something at a path; what is behind links to elsewhere is not there."""
        try:
            with faults_of(self.path, self.remedy):
                self._object(name)
        except InputError:
            return False
        return True

    def datasets(self) -> Iterator[str]:
        """The paths of all datasets, group by group in alphabetical order. Raises InputError below MAX_DEPTH groups."""
        todo = [("", self._file)]
        while todo:
            place, group = todo.pop()
            with faults_of(self.path, self.remedy):
                links = group.id.links
                hard = [name for name in group.id if links.get_info(name).type == h5py.h5l.TYPE_HARD]
                names = sorted(name.decode() for name in hard)
                members = [(f"{place}/{name}".lstrip("/"), group[name]) for name in names]
            if place.count("/") > MAX_DEPTH:
                raise self.error(f"{place[:80]} is in more than {MAX_DEPTH} groups")
            yield from (path for path, member in members if isinstance(member, h5py.Dataset))
            todo += [member for member in reversed(members) if isinstance(member[1], h5py.Group)]

    def numbers(self, name: str, types: Sequence[DTypeLike], shape: tuple[int | None, ...]) -> Numbers:
        """A dataset of numbers of one of some types; a size of `shape` may be any where it is None."""
        with faults_of(self.path, self.remedy):
            dataset = self._dataset(name)
            self._check_shape(name, dataset, shape)
            if dataset.dtype not in [np.dtype(one) for one in types]:
                expected = " or ".join(np.dtype(one).name for one in types if one not in INTEGERS) or "int64"
                raise self.error(f"{name} must be {expected}, not {str(dataset.dtype)[:40]}")
            self._check_place(name, dataset, dataset.dtype.itemsize)
            return Numbers(self, name, dataset)

    def items(self, name: str, n: int | None, *, text: bool = False) -> Items:
        """A dataset (n,) of items of variable length, bytes or texts."""
        with faults_of(self.path, self.remedy):
            dataset = self._dataset(name)
            self._check_shape(name, dataset, (n,))
            string = h5py.check_string_dtype(dataset.dtype)
            if text and (string is None or string.length is not None):
                raise self.error(f"{name} must be text of variable length, not {str(dataset.dtype)[:40]}")
            if not text and h5py.check_vlen_dtype(dataset.dtype) != np.uint8:
                raise self.error(f"{name} must be uint8 of variable length, not {str(dataset.dtype)[:40]}")
            if dataset.size and not _offset(dataset):
                remedy = f"h5repack -l {name}:CONTI makes it contiguous"
                raise self.error(f"{name} is not contiguous, or was never written", remedy)
            self._check_place(name, dataset, _ITEM_BYTES)
            return Items(self, name, dataset)

    def attribute(self, name: str, group: str = "/", default: float | None = None) -> float:
        """A number, or a truth value, that is an attribute of a group; the `default`, if any, where there is none."""
        with faults_of(self.path, self.remedy):
            owner = self._file if group == "/" else self._object(group)
            if not h5py.h5a.exists(owner.id, name.encode()):
                if default is not None:
                    return default
                raise self.error(f"{group} has no {name}")
            attribute = h5py.h5a.open(owner.id, name.encode())
            scalar = attribute.get_space().get_simple_extent_type() == h5py.h5s.SCALAR
            if not scalar or attribute.dtype.kind not in "iufb" or attribute.dtype.itemsize > 8:
                raise self.error(f"{name} of {group} is no number")
            value = np.empty((), attribute.dtype)
            attribute.read(value)
            number = float(value)
            if not math.isfinite(number):
                raise self.error(f"{name} of {group} is {number}")
            return number

    def pread(self, offset: int, size: int) -> bytes:
        """Some bytes of the file."""
        content = os.pread(self._descriptor, size, offset) if 0 <= offset <= self.size - size else b""
        if len(content) < size or size < 0:
            raise self.error("is damaged (a place is not in the file)")
        return content

    @property
    def user_block(self) -> int:
        """Bytes before HDF5's own part, from which it counts."""
        return int(self._file.userblock_size)

    def _object(self, name: str) -> Any:
        """What has a path in the file, by hard links alone."""
        place = self._file
        for part in name.split("/"):
            links = place.id.links if isinstance(place, h5py.Group) else None
            if links is None or not links.exists(part.encode()):
                raise self.error(f"has no {name}")
            if links.get_info(part.encode()).type != h5py.h5l.TYPE_HARD:
                raise self.error(f"{name} is a link to elsewhere, which is not followed")
            place = place[part]
        return place

    def _dataset(self, name: str) -> h5py.Dataset:
        """A dataset whose data are in the file itself."""
        dataset = self._object(name)
        if not isinstance(dataset, h5py.Dataset):
            raise self.error(f"{name} is no dataset")
        creation = dataset.id.get_create_plist()
        if creation.get_external_count() or creation.get_layout() == h5py.h5d.VIRTUAL:
            raise self.error(f"{name} keeps its data in other files, which are not read")
        return dataset

    def _check_shape(self, name: str, dataset: h5py.Dataset, shape: tuple[int | None, ...]) -> None:
        actual = dataset.shape
        fits = actual is not None and len(actual) == len(shape)
        if not fits or any(n > self.size or size not in (None, n) for size, n in zip(shape, actual, strict=True)):
            expected = f"({', '.join('any' if size is None else str(size) for size in shape)})"
            raise self.error(f"{name} has the shape {actual} instead of {expected}")

    def _check_place(self, name: str, dataset: h5py.Dataset, item_bytes: int) -> None:
        """Raises InputError unless the data are there, unpacked, and inside the file."""
        n_bytes = item_bytes * math.prod(dataset.shape)
        if not n_bytes:
            return
        creation = dataset.id.get_create_plist()
        if creation.get_nfilters() or item_bytes * math.prod(dataset.chunks or (0,)) > MAX_CHUNK_BYTES:
            raise self.error(f"{name} is compressed or in huge chunks", f"h5repack -f NONE -l {name}:CONTI repacks it")
        offset = _offset(dataset)
        if n_bytes > self.size - offset or offset < 0:
            raise self.error(f"{name} declares {n_bytes} bytes that the file does not have")
        if dataset.id.get_storage_size() < n_bytes:
            raise self.error(f"{name} was never written")


def _offset(dataset: h5py.Dataset) -> int:
    """The place of contiguous data in the file; 0 where there are none, or in chunks.

    HDF5 2.0 gives a place before the first byte behind the user block to data that were never written.
    """
    written = dataset.id.get_create_plist().get_layout() == h5py.h5d.CONTIGUOUS and dataset.id.get_storage_size()
    return (dataset.id.get_offset() or 0) if written else 0


class Numbers:
    """A dataset of numbers: what is read is an array."""

    def __init__(self, file: GuardedFile, name: str, dataset: h5py.Dataset) -> None:
        self._file, self._name, self._dataset = file, name, dataset
        self.shape: tuple[int, ...] = dataset.shape
        self.dtype: np.dtype = dataset.dtype

    def __getitem__(self, place: Any) -> np.ndarray:
        with faults_of(self._file.path, self._file.remedy):
            return np.asarray(self._dataset[place])

    def __len__(self) -> int:
        return self.shape[0]

    def mapped(self) -> np.ndarray:
        """All numbers of a contiguous dataset, mapped from the file: read when they are used, not copied."""
        if not (offset := _offset(self._dataset)):
            return self[:]
        return np.memmap(self._file.path, self.dtype, mode="c", offset=offset, shape=self.shape)


class Items:
    """A dataset of items of variable length.

    They lie in heaps, which are read here and not by HDF5: it allocates forged lengths, and some forged heaps it reads
    for ever. A heap is `GCOL`, a version (4 bytes in all), its size (8), and objects: number (2), count (2), zeros (4),
    size (8), and the bytes, up to a multiple of 8.
    """

    def __init__(self, file: GuardedFile, name: str, dataset: h5py.Dataset) -> None:
        self._file, self._name, self._n = file, name, len(dataset)
        self._offset = _offset(dataset)
        self._heap: tuple[int, dict[int, bytes]] = -1, {}

    def __len__(self) -> int:
        return self._n

    def texts(self, start: int = 0, stop: int | None = None) -> list[str]:
        """The texts of items start ... stop - 1, by default of all."""
        stop = len(self) if stop is None else min(stop, len(self))
        with faults_of(self._file.path, self._file.remedy):
            return [content.decode() for content in self._contents(start, max(start, stop), self._file.size)]

    def content(self, i: int, most: int) -> bytes:
        """The bytes of an item. Raises InputError if it has more than `most`."""
        with faults_of(self._file.path, self._file.remedy):
            return self._contents(i, i + 1, most)[0]

    def _contents(self, start: int, stop: int, most: int) -> list[bytes]:
        """The bytes of items, of which there are no more than `most`."""
        places = self._file.pread(self._offset + start * _ITEM_BYTES, (stop - start) * _ITEM_BYTES)
        items = list(struct.iter_unpack("<IQI", places))
        if (total := sum(length for length, *_ in items)) > most:
            where = f"row {start}" if stop - start == 1 else f"rows {start} to {stop - 1}"
            raise self._file.error(f"{where} of {self._name} has {total} bytes, more than {most}")
        contents = []
        for length, address, number in items:
            content = self._read_heap(address)[number] if length else b""
            if len(content) != length:
                raise self._file.error(f"is damaged (an item of {self._name} has another length)")
            contents.append(content)
        return contents

    def _read_heap(self, address: int) -> dict[int, bytes]:
        """The objects of the heap at an address, by number; the latest heap is kept, as items follow each other."""
        if self._heap[0] != address:
            place = self._file.user_block + address
            signature, size = struct.unpack("<8sQ", self._file.pread(place, 16))
            if signature != b"GCOL\1\0\0\0":
                raise self._file.error(f"is damaged (there is no heap of {self._name})")
            heap, at, objects = self._file.pread(place, size), 16, dict[int, bytes]()
            while at + 16 <= size:
                number, _, _, length = struct.unpack_from("<HHIQ", heap, at)
                if not number:  # the rest is free
                    break
                if length > size - at - 16:
                    raise self._file.error(f"is damaged (a heap of {self._name})")
                objects[number] = heap[at + 16 : at + 16 + length]
                at += 16 + -(-length // 8) * 8
            self._heap = address, objects
        return self._heap[1]
