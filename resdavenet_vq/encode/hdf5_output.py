"""HDF5 files that encoding writes, on their way to the disk: a file with its header, its texts, and its rows in any order."""

from __future__ import annotations

import io
import math
from collections.abc import Iterable, Iterator, Sequence
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import h5py
import numpy as np

from resdavenet_vq.encode.hdf5 import HEADER_LENGTH, write_header
from resdavenet_vq.encode.origin import Origin
from resdavenet_vq.files import atomic_write, together, write_digest


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
