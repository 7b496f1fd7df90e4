"""The bytes of a corpus's text files, plain or packed by gzip, before anything is made of them."""

from __future__ import annotations

import gzip
import io
import zlib
from collections.abc import Buffer
from pathlib import Path

from resdavenet_vq.errors import InputError
from resdavenet_vq.files import open_regular, reading

_MAX_RATIO, _ALWAYS = 200, 1 << 26
"""How many times its size a packed file may unpack to, and how many bytes it may in any case: lists pack 5 to 30 times."""

_GZIP = b"\x1f\x8b"
_UTF_16_MARKS = (b"\xff\xfe", b"\xfe\xff")


def open_text(path: Path) -> io.BufferedReader:
    """The file's bytes, those inside where it is packed by gzip, whatever its name.

    Raises InputError naming the file if it cannot be read, holds UTF-16 text, or, from the reading methods too, is
    truncated or damaged gzip data or unpacks to absurdly many bytes.
    """
    file = open_regular(path)
    try:
        with reading(path):
            is_packed = file.peek(2).startswith(_GZIP)
        if is_packed:
            file = io.BufferedReader(_Unpacked(path, file))
        _refuse_utf_16(path, file)
    except BaseException:
        file.close()
        raise
    return file


def not_utf_8(path: Path, place: str) -> InputError:
    """The error of bytes that are no UTF-8."""
    return InputError(f"{path}: not UTF-8 text ({place}); save it as UTF-8")


def _refuse_utf_16(path: Path, file: io.BufferedReader) -> None:
    """UTF-16 is known by its mark, or as every second of the first four bytes is zero."""
    with reading(path):
        head = file.peek(4)[:4]
    is_zero = [set(head[first::2]) == {0} for first in (0, 1)]
    if head.startswith(_UTF_16_MARKS) or (len(head) == 4 and is_zero[0] != is_zero[1]):
        raise InputError(f"{path}: UTF-16 text, as programs on Windows may write it; save it as UTF-8")


class _Unpacked(io.RawIOBase):
    """The content of a gzip file, of which memory holds a piece."""

    def __init__(self, path: Path, packed: io.BufferedReader) -> None:
        self._path, self._packed = path, packed
        self._file = gzip.GzipFile(fileobj=packed)
        self._size = 0

    def readable(self) -> bool:
        """Always."""
        return True

    def readinto(self, buffer: Buffer, /) -> int:
        """As every raw file."""
        view = memoryview(buffer)
        try:
            with reading(self._path):
                data = self._file.read1(len(view))
        except EOFError:
            raise InputError(f"{self._path}: the gzip data end too early; copy the file again") from None
        except zlib.error as e:
            raise InputError(f"{self._path}: damaged gzip data ({e}); copy the file again") from None
        self._size += len(data)
        if self._size > max(_ALWAYS, _MAX_RATIO * self._packed.tell()):
            raise InputError(f"{self._path}: unpacks to more than {_MAX_RATIO} times its size, as no list does")
        view[: len(data)] = data
        return len(data)

    def close(self) -> None:
        """Closes the packed file too."""
        self._file.close()
        self._packed.close()
        super().close()
