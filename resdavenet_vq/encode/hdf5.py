"""HDF5 files that encoding writes: one way to open them for reading, and one for writing.

A file begins with 4096 bytes of text, HDF5's user block: a line that says what it is, a line of JSON with its `kind`,
its `origin`, its size in `bytes` and the `sha256` of everything behind these 4096 bytes, and a line with the SHA-256 of
the two lines before. A file is read only if all that is right, so that no parser sees bytes that have changed. For
other software it is an ordinary HDF5 file; what other software has written again (h5repack, h5py in mode `r+`) has lost
its checksum and is refused.
"""

from __future__ import annotations

import hashlib
import io
import json
import math
import os
from abc import ABC, abstractmethod
from collections.abc import Iterable, Iterator, Sequence
from contextlib import ExitStack, contextmanager
from pathlib import Path
from typing import TYPE_CHECKING, Any, BinaryIO, ClassVar, NamedTuple, Self, cast

import h5py
import numpy as np

from resdavenet_vq.encode.origin import Origin
from resdavenet_vq.errors import InputError
from resdavenet_vq.files import atomic_write, open_regular, reading, together, write_digest
from resdavenet_vq.hdf5 import GuardedFile, Numbers, faults_of

if TYPE_CHECKING:
    from io import BufferedReader

AGAIN = "remove it and encode the split again"

FORMAT = "resdavenet-vq encoded 1"

HEADER_LENGTH = 4096
"""Bytes: HDF5 takes a power of 2 from 512; kind and origin have about 600."""


class Header(NamedTuple):
    """What the user block says."""

    kind: str
    origin: Origin
    size: int
    sha256: str

    def to_bytes(self) -> bytes:
        """The user block. Raises InputError if the names in it are too long."""
        content = {"kind": self.kind, "origin": self.origin.to_dict(), "bytes": self.size, "sha256": self.sha256}
        text = f"{FORMAT}\n{json.dumps(content, sort_keys=True)}\n".encode()
        header = text + hashlib.sha256(text).hexdigest().encode() + b"\n"
        if len(header) > HEADER_LENGTH:
            raise InputError(f"{self.origin.split}: the name of the split is too long; choose a shorter one")
        return header.ljust(HEADER_LENGTH, b"\0")

    @classmethod
    def parse(cls, head: bytes) -> Header:
        """The header in its bytes. Raises one of many errors if they are not those that `to_bytes` makes of it."""
        content = json.loads(head.split(b"\n")[1])
        origin = Origin.from_dict(content["origin"])
        header = cls(str(content["kind"]), origin, int(content["bytes"]), str(content["sha256"]))
        if header.to_bytes() != head:
            raise ValueError("its header is damaged")
        return header


_verified: set[tuple[int, ...]] = set()
"""Files whose content this process has verified: device, inode, size and time of the last change."""


def read_header(path: Path) -> Header:
    """The header of a file whose size and SHA-256 are as it says; each process reads an unchanged file once for that.

    Raises InputError naming the file and what to do.
    """
    with reading(path):
        there = path.exists()
    if not there:
        raise InputError(f"{path}: no such file; encode the split first")
    with open_regular(path) as file, reading(path):
        head, status = file.read(HEADER_LENGTH), os.fstat(file.fileno())
        if head.partition(b"\n")[0] != FORMAT.encode():
            fault = "has no checksum of this software: written by an older version, or by other software"
            raise InputError(f"{path}: {fault}; {AGAIN}")
        with faults_of(path, AGAIN):
            header = Header.parse(head)
        if status.st_size != header.size:
            fault = f"has {status.st_size} bytes instead of {header.size}: truncated or changed"
            raise InputError(f"{path}: {fault}; {AGAIN}")
        identity = status.st_dev, status.st_ino, status.st_size, status.st_mtime_ns, status.st_ctime_ns
        if identity not in _verified:
            if _sha256_behind_header(file) != header.sha256:
                raise InputError(f"{path}: is damaged (its SHA-256 is another); {AGAIN}")
            _verified.add(identity)
    return header


def _sha256_behind_header(file: BinaryIO) -> str:
    file.seek(HEADER_LENGTH)
    return hashlib.file_digest(cast("BufferedReader", file), "sha256").hexdigest()


def write_header(path: Path, kind: str, origin: Origin) -> None:
    """Writes the header of an HDF5 file that has room for it and will not change any more."""
    with path.open("r+b") as file:
        sha256 = _sha256_behind_header(file)
        head = Header(kind, origin, os.fstat(file.fileno()).st_size, sha256).to_bytes()
        file.seek(0)
        file.write(head)


class EncodedFile(ABC):
    """A file that encoding wrote, open for reading; a context manager. `origin` says what made it.

    Raises InputError naming the file if it is missing, damaged, or does not have the layout of its kind.
    """

    kind: ClassVar[str]

    def __init__(self, path: Path) -> None:
        self.path = path
        header = read_header(path)
        if header.kind != self.kind:
            raise InputError(f"{path}: holds {header.kind}, not {self.kind}; give the other file")
        self.origin = header.origin
        with ExitStack() as stack:
            self._file = stack.enter_context(GuardedFile(path, f"it is no complete {self.kind} file; {AGAIN}"))
            with faults_of(path, AGAIN):
                self._read(self._file)
            stack.pop_all()

    @abstractmethod
    def _read(self, file: GuardedFile) -> None:
        """Takes what the file holds."""

    def _group(self, layer: str) -> str:
        """The name of the group of a layer. Raises InputError with the layers that there are."""
        if layer not in (layers := layer_names(self._file)):
            missing = f"holds no {self.kind} of {layer!r} (layers: {', '.join(layers) or 'none'})"
            raise InputError(f"{self.path}: {missing}; encode the split with this layer, if the model has it")
        return layer

    def _check(self, fits: bool, parts: str) -> None:
        """Raises InputError unless the parts of the file fit together."""
        if not fits:
            raise InputError(f"{self.path}: {parts} do not fit together; {AGAIN}")

    def _frame_period(self, group: str = "/") -> float:
        """The attribute `frame_period`, in seconds."""
        period = self._file.attribute("frame_period", group)
        self._check(1e-3 <= period <= 10, f"frame_period {period:g} and frames")
        return period

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *_: object) -> None:
        self._file.close()


def layer_names(file: GuardedFile) -> list[str]:
    """The layers that a codes or features file holds."""
    return [name for name in file.names() if name not in {"ids", "manifest", "durations"}]


def offsets_divide(offsets: np.ndarray, n_rows: int, n_utterances: int) -> bool:
    """Whether offsets give each utterance its part of the rows."""
    fits = offsets.shape == (n_utterances + 1,) and (offsets[0], offsets[-1]) == (0, n_rows)
    return fits and bool((offsets[1:] >= offsets[:-1]).all())


class _Bytes(io.FileIO):
    """A file whose first failure to write is kept as `error`, for `check_written`.

    HDF5 would fail again, with lines of its own on standard error, at every object that is freed.
    """

    error: OSError | None = None

    def write(self, data: Any) -> int:
        """Writes all of `data`, unless a write has failed."""
        view = memoryview(data).cast("B")
        rest = view
        try:
            while len(rest) and self.error is None:
                rest = rest[super().write(rest) :]
        except OSError as e:
            self.error = e
        return len(view)


WAITING_BYTES = 1 << 25
"""Of the rows of a dataset that wait until they are written with their neighbors."""

_outputs: dict[h5py.File, _Bytes] = {}
"""What is behind each file that this process writes."""

_waiting: dict[h5py.File, list[RowWriter]] = {}
"""Those of each file that this process writes."""


def check_written(part: h5py.Group | h5py.Dataset) -> None:
    """Raises the OSError of the first write to the file of this group or dataset that failed.

    Called after each writing, so that a full disk is told soon and not when all is encoded.
    """
    if error := _outputs[part.file].error:
        raise error


@contextmanager
def create(path: Path, kind: str, origin: Origin) -> Iterator[h5py.File]:
    """A new HDF5 file with a header; it and its digest, `path`.sha256, appear when the block ends well."""
    with together():
        with atomic_write(path) as tmp:
            with _Bytes(tmp, "w+b") as out:
                with h5py.File(out, "w", userblock_size=HEADER_LENGTH) as file:
                    _outputs[file], _waiting[file] = out, []
                    try:
                        yield file
                        for writer in _waiting[file]:
                            writer.flush()
                    finally:
                        del _outputs[file], _waiting[file]
                if out.error:
                    raise out.error
            write_header(tmp, kind, origin)
        write_digest(path)


def marks(file: GuardedFile, group: str, n_rows: int) -> Numbers | None:
    """Where segments begin, a number for each row of a layer, if the layer has segments."""
    name = f"{group}/begins"
    return file.numbers(name, [np.uint8], (n_rows,)) if file.has(name) else None


def write_texts(file: h5py.Group, name: str, values: Sequence[str]) -> None:
    """Writes a dataset (N,) of UTF-8 texts."""
    file.create_dataset(name, (len(values),), h5py.string_dtype())[...] = np.array(values, dtype=object)


class RowWriter:
    """Rows on their way into a dataset of a file of `create`, in any order; neighbors are written together.

    The first are written at once: HDF5 then places the datasets of a file in the order in which they were begun.
    """

    def __init__(self, dataset: h5py.Dataset) -> None:
        row_bytes = dataset.dtype.itemsize * math.prod(dataset.shape[1:])
        n = min(len(dataset), WAITING_BYTES // max(row_bytes, 1))
        self._dataset = dataset
        self._rows = np.empty((n, *dataset.shape[1:]), dataset.dtype)
        self._parts: dict[int, tuple[int, int]] = {}
        """Of each part, by the number of its first row in the dataset, where it is in `_rows`."""
        self._n = 0
        self._is_begun = False
        _waiting[dataset.file].append(self)

    def write(self, first: int, rows: np.ndarray) -> None:
        """Takes rows, of which the first is number `first` of the dataset.

        They are copied: to keep the arrays, small ones between the large ones of the network, would cost a hundred times
        their size, which the C library cannot use again as long as they lie there.
        """
        rows = np.asarray(rows)
        if len(rows) > len(self._rows) - self._n:
            self.flush()
        if len(rows) > len(self._rows):
            self._write(first, rows)
        elif len(rows):
            place = self._n, self._n + len(rows)
            self._rows[slice(*place)] = rows
            self._parts[first], self._n = place, place[1]
        if not self._is_begun:
            self.flush()

    def flush(self) -> None:
        """Writes what waits."""
        run: list[np.ndarray] = []
        start = stop = 0
        for first in sorted(self._parts):
            rows = self._rows[slice(*self._parts[first])]
            if run and first != stop:
                self._write(start, np.concatenate(run))
                run = []
            start, stop = first if not run else start, first + len(rows)
            run.append(rows)
        if run:
            self._write(start, np.concatenate(run))
        self._parts, self._n = {}, 0

    def _write(self, first: int, rows: np.ndarray) -> None:
        self._dataset[first : first + len(rows)] = rows
        self._is_begun = True
        check_written(self._dataset)


class Rows:
    """The rows of all utterances, one utterance after another, on their way into a group of an HDF5 file.

    `n_rows` (N,) is the number of rows of each utterance. Rows are (total, width) float32, or without a `width`
    (total,) int32. With `marked`, `begins` (total,) uint8 says which rows begin a segment.
    """

    def __init__(
        self, group: h5py.Group, name: str, n_rows: np.ndarray, width: int | None = None, *, marked: bool = False
    ) -> None:
        self._offsets = np.concatenate([[0], np.cumsum(n_rows)]).astype(np.int64)
        group["offsets"] = self._offsets
        total = self._offsets[-1]
        shape, dtype = ((total,), np.int32) if width is None else ((total, width), np.float32)
        self._rows = RowWriter(group.create_dataset(name, shape, dtype))
        self._begins = group.create_dataset("begins", (total,), np.uint8) if marked else None

    @property
    def is_marked(self) -> bool:
        """Whether there are marks where segments begin."""
        return self._begins is not None

    def mark(self, i: int, begins: np.ndarray) -> None:
        """Writes where segments begin in utterance number i, of whose rows each has a mark."""
        assert self._begins is not None, "the rows have no marks"
        first, end = self._offsets[i : i + 2]
        self._begins[first:end] = begins

    def write(self, i: int, rows: np.ndarray, start: int = 0) -> None:
        """Writes rows of utterance number i, of which the first is its row `start`."""
        first = self._offsets[i] + start
        assert first + len(rows) <= self._offsets[i + 1], "rows reach into the next utterance"
        self._rows.write(int(first), rows)

    def write_each(self, numbers: Sequence[int], rows: Iterable[np.ndarray]) -> None:
        """Writes all rows of some utterances, given by their numbers."""
        for i, of_one in zip(numbers, rows, strict=True):
            self.write(i, of_one)
