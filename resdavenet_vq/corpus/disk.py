"""A list and a dictionary on the disk, so that memory does not grow with a corpus.

Both are in files without a name in the folder for temporary files, which vanish with the process however that ends. A small
one stays in memory.
"""

from __future__ import annotations

import os
import pickle
import sqlite3
import tempfile
from array import array
from collections.abc import Iterable, Iterator, Sequence
from contextlib import contextmanager
from typing import IO, Any, overload, override

from resdavenet_vq.errors import InputError

_BUFFER = 1 << 20
"""Bytes of a list that are kept in memory until they are written."""

_CACHE_KIB = 2048
"""Memory of a dictionary."""


class DiskList[T](Sequence[T]):
    """A list of items that can be pickled; memory holds 12 bytes of each.

    Raises InputError where the folder for temporary files has no room.
    """

    def __init__(self, items: Iterable[T] = ()) -> None:
        self._file: IO[bytes] | None = None
        self._buffer, self._n_written = bytearray(), 0
        self._starts, self._lengths = array("q"), array("I")
        for item in items:
            self.append(item)

    def append(self, item: T) -> None:
        """Adds an item at the end."""
        self._starts.append(0)
        self._lengths.append(0)
        self[-1] = item

    def __setitem__(self, number: int, item: T) -> None:
        data = pickle.dumps(item, pickle.HIGHEST_PROTOCOL)
        self._starts[number], self._lengths[number] = self._n_written + len(self._buffer), len(data)
        self._buffer += data
        if len(self._buffer) >= _BUFFER:
            with _on_disk():
                self._file = self._file or tempfile.TemporaryFile(buffering=0)  # noqa: SIM115 - open as long as the list
                while self._buffer:
                    n = self._file.write(self._buffer)
                    self._n_written += n
                    del self._buffer[:n]

    @override
    def __len__(self) -> int:
        return len(self._starts)

    @overload
    def __getitem__(self, number: int) -> T: ...
    @overload
    def __getitem__(self, number: slice) -> list[T]: ...
    @override
    def __getitem__(self, number: int | slice) -> T | list[T]:
        if isinstance(number, slice):
            return [self[i] for i in range(*number.indices(len(self)))]
        start, length = self._starts[number], self._lengths[number]
        if start >= self._n_written:
            data = bytes(self._buffer[start - self._n_written : start - self._n_written + length])
        else:
            assert self._file is not None
            with _on_disk():
                data = os.pread(self._file.fileno(), length, start)
        item: T = pickle.loads(data)  # noqa: S301 - no other process can write the file
        return item

    @override
    def __iter__(self) -> Iterator[T]:
        return (self[number] for number in range(len(self)))

    @override
    def __eq__(self, other: object) -> bool:
        if not isinstance(other, Sequence):
            return NotImplemented
        return len(self) == len(other) and all(a == b for a, b in zip(self, other, strict=True))

    __hash__ = None  # type: ignore[assignment]


class DiskDict[V: (str, int)]:
    """A dictionary from texts to texts or whole numbers of 64 bits, to which entries are only added."""

    def __init__(self) -> None:
        self._entries = sqlite3.connect("")  # a name would be that of a file that stays
        for pragma in ("journal_mode = OFF", "synchronous = OFF", "temp_store = FILE", f"cache_size = -{_CACHE_KIB}"):
            self._entries.execute(f"PRAGMA {pragma}")
        self._entries.execute("CREATE TABLE entries (key BLOB PRIMARY KEY, value) WITHOUT ROWID")

    def setdefault(self, key: str, value: V) -> V:
        """The value of a key, which is this one if there was none."""
        with _on_disk():
            entry = (key.encode(), value)
            if self._entries.execute("INSERT OR IGNORE INTO entries VALUES (?, ?)", entry).rowcount:
                return value
        first = self.get(key)
        assert first is not None
        return first

    def get(self, key: str) -> V | None:
        """The value of a key; None if there is none."""
        with _on_disk():
            row: tuple[Any] | None = self._entries.execute(
                "SELECT value FROM entries WHERE key = ?", (key.encode(),)
            ).fetchone()
        return row and row[0]


@contextmanager
def _on_disk() -> Iterator[None]:
    """Says what to do where a temporary file cannot be written."""
    try:
        yield
    except (OSError, sqlite3.Error) as e:
        folder = os.environ.get("TMPDIR", "/tmp")  # noqa: S108 - only to be named
        raise InputError(
            f"TMPDIR={folder}: a temporary file cannot be kept there ({e}); set TMPDIR to a folder with room"
        ) from None
