"""Where the audio of a file is, and the file as libsndfile must see it to read all of that."""

from __future__ import annotations

import io
import os
from bisect import bisect_right
from collections.abc import Sequence
from itertools import accumulate, pairwise
from pathlib import Path
from typing import BinaryIO, NamedTuple

from resdavenet_vq.errors import InputError


class Plain(NamedTuple):
    """16-bit PCM from byte `start` to the end of a wav file."""

    rate: int
    channels: int
    start: int


class Edit(NamedTuple):
    """Bytes `start` to `stop` of a file are replaced."""

    start: int
    stop: int
    new: bytes


class Layout(NamedTuple):
    """What is known of an audio file that is as long as its header promises."""

    formats: frozenset[str]
    """Containers, as libsndfile names them, of which it is known."""
    plain: Plain | None = None
    edits: tuple[Edit, ...] = ()
    """Without which libsndfile would not read the file to its end; in order."""


def check_length(path: Path, promised: int, present: int) -> None:
    """Raises InputError where fewer bytes of audio are there than promised."""
    if promised > present:
        what = f"its header promises {promised} bytes of audio and {max(present, 0)} are there"
        raise InputError(f"{path}: truncated, {what}")


class EditedFile(io.RawIOBase):
    """A file as if it had been edited, to be read; the file itself stays as it is, and open when this one is closed.

    libsndfile calls it, through which no exception can pass: where the file cannot be read, this one ends, and has a
    `fault`.
    """

    fault: OSError | None = None

    def __init__(self, file: BinaryIO, edits: Sequence[Edit]) -> None:
        self._file, self._position = file, 0
        size = os.fstat(file.fileno()).st_size
        self._pieces: list[bytes | range] = []
        for edit, following in pairwise([*edits, Edit(size, size, b"")]):
            if not self._pieces:
                self._pieces.append(range(edit.start))
            self._pieces += [edit.new, range(edit.stop, following.start)]
        self._ends = [*accumulate(len(piece) for piece in self._pieces)]

    def readable(self) -> bool:
        """Yes."""
        return True

    def seekable(self) -> bool:
        """Yes."""
        return True

    def tell(self) -> int:
        """The position in the edited file."""
        return self._position

    def seek(self, offset: int, whence: int = os.SEEK_SET) -> int:
        """Moves to a position in the edited file, which may be behind its end."""
        start = {os.SEEK_SET: 0, os.SEEK_CUR: self._position, os.SEEK_END: self._ends[-1]}[whence]
        self._position = max(0, start + offset)
        return self._position

    def read(self, size: int = -1) -> bytes:
        """At most `size` bytes, of several pieces where they meet; all that are left without a size."""
        left = max(0, self._ends[-1] - self._position)
        left, parts = left if size < 0 else min(left, size), []
        while left:
            i = bisect_right(self._ends, self._position)
            piece = self._pieces[i]
            offset = self._position - (self._ends[i] - len(piece))
            part = piece[offset : offset + left]
            if isinstance(part, range):
                part = self._bytes(part)
            if not part:  # the file has become shorter
                break
            parts.append(part)
            self._position += len(part)
            left -= len(part)
        return b"".join(parts)

    def _bytes(self, part: range) -> bytes:
        try:
            self._file.seek(part.start)
            return self._file.read(len(part))
        except OSError as e:
            self.fault = e
            return b""

    def readinto(self, buffer: memoryview) -> int:  # type: ignore[override]
        """Fills the buffer from the position on, as far as there are bytes."""
        data = self.read(len(buffer))
        buffer[: len(data)] = data
        return len(data)

    def write(self, _: object) -> int:
        """Not possible; the method exists because soundfile asks for it."""
        raise io.UnsupportedOperation("write")
