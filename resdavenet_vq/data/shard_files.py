"""The shards that the store of a split points to: each an ordinary store in a file of its own, read by position."""

from __future__ import annotations

import json
import os
import weakref
from collections.abc import Callable
from pathlib import Path, PurePosixPath
from typing import Any, NamedTuple

from resdavenet_vq.data.store_format import HEADER_LENGTH, Header
from resdavenet_vq.errors import InputError

OPEN_FILES = 256
"""So many shards of a store are open at a time in a process, the latest read."""

_LINUX_READS = 0x7FFFF000  # bytes at a time


class Shard(NamedTuple):
    """A shard as it was when it was gathered."""

    path: str
    """From the folder of the store that points to it."""
    size: int
    """In bytes."""
    sha256: str
    """Of what follows its header."""


class ShardFiles:
    """The shards' files, opened when something is first read from them. Safe in forked processes.

    Raises InputError at once if one is missing or has another size than when it was gathered, and when it is first
    opened if it is another one.
    """

    def __init__(self, store: Path, shards: list[Shard]) -> None:
        self._store = store
        self._paths = [store.parent / shard.path for shard in shards]
        self._shards = shards
        self._known: set[int] = set()
        self._open: dict[int, int] = {}
        weakref.finalize(self, _close_all, self._open)
        for number, (path, shard) in enumerate(zip(self._paths, shards, strict=True)):
            try:
                size = path.stat().st_size
            except OSError as e:
                raise self._error(number, f"cannot be read ({e.strerror or e})") from None
            if size != shard.size:
                raise self._error(number, f"has {size} bytes instead of {shard.size}")

    def __len__(self) -> int:
        return len(self._shards)

    def read(self, number: int, offset: int, size: int) -> bytes:
        """Bytes of a shard's file."""
        descriptor = self._open.get(number)
        if descriptor is None:
            descriptor = self._opened(number)
        data = os.pread(descriptor, size, offset)
        return (
            data
            if len(data) == size
            else read_on(descriptor, data, offset, size, lambda what: self._error(number, what))
        )

    def faults(self, verify: Callable[[Path], list[str]]) -> list[str]:
        """What is wrong with the shards, a line each; `verify` tells what is wrong with one."""
        faults = []
        for number, path in enumerate(self._paths):
            found = verify(path)
            if not found and Header.read(path).sha256 != self._shards[number].sha256:
                found = [str(self._error(number, "is another one than was gathered"))]
            faults += found
        return faults

    def _opened(self, number: int) -> int:
        if number not in self._known:
            if Header.read(self._paths[number]).sha256 != self._shards[number].sha256:
                raise self._error(number, "is another one than was gathered")
            self._known.add(number)
        while len(self._open) >= OPEN_FILES:
            os.close(self._open.pop(next(iter(self._open))))
        try:
            self._open[number] = os.open(self._paths[number], os.O_RDONLY)
        except OSError as e:
            raise self._error(number, f"cannot be read ({e.strerror or e})") from None
        return self._open[number]

    def _error(self, number: int, what: str) -> InputError:
        return InputError(
            f"{self._paths[number]}: {what}; {self._store} points to it: remove that and prepare the split again"
        )


def shards_from(data: bytes) -> list[Shard]:
    """The shards in the bytes that `shards_to_bytes` made. Raises ValueError for anything else."""
    rows: Any = json.loads(data)
    shards = [Shard(*row) for row in rows]
    for shard in shards:
        path = PurePosixPath(shard.path)
        if (
            path.is_absolute()
            or ".." in path.parts
            or "\0" in shard.path
            or shard.size < HEADER_LENGTH
            or len(shard.sha256) != 64
        ):
            raise ValueError(shard.path)
    return shards


def shards_to_bytes(shards: list[Shard]) -> bytes:
    """A line of JSON a shard."""
    return ("[" + ",\n".join(json.dumps(shard) for shard in shards) + "]\n").encode()


def read_on(descriptor: int, data: bytes, offset: int, size: int, error: Callable[[str], InputError]) -> bytes:
    """The rest of what one call did not read: Linux reads at most 2 GiB at a time."""
    parts = [data]
    done = len(data)
    while done < size:
        parts.append(os.pread(descriptor, min(size - done, _LINUX_READS), offset + done))
        if not parts[-1]:
            raise error("was truncated while it was open")
        done += len(parts[-1])
    return b"".join(parts)


def _close_all(descriptors: dict[int, int]) -> None:
    for descriptor in descriptors.values():
        os.close(descriptor)
