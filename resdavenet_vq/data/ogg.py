"""The pages of an Ogg file: libsndfile returns fewer samples where pages are missing at its end, without an error."""

from __future__ import annotations

import os
from functools import cache
from pathlib import Path
from typing import BinaryIO

from resdavenet_vq.data.file_kind import ffmpeg
from resdavenet_vq.data.layout import Layout
from resdavenet_vq.errors import InputError

FORMATS = frozenset({"OGG", "FLAC"})

_PAGE = 27  # bytes of a page's header, before the sizes of at most 255 segments of at most 255 bytes
_FIRST, _LAST = 2, 4  # flags of pages


def layout(path: Path, file: BinaryIO) -> Layout:
    """The layout of an Ogg file: one stream, to its last page.

    Raises InputError naming the file if it does not end with a whole page that says that it is the last, if a page is
    missing, or if another stream begins after the first or beside it, which libsndfile would not read.
    """
    size = os.fstat(file.fileno()).st_size
    _check_end(path, file, size)
    position, n_streams, previous = 0, 0, -1
    while position < size:
        file.seek(position)
        header = file.read(_PAGE + 255)
        if header[:4] != b"OggS" or len(header) < _PAGE:
            raise InputError(f"{path}: is damaged, no page of an Ogg stream begins at byte {position}")
        n_streams += bool(header[5] & _FIRST)
        if n_streams > 1:
            what = "holds more than one Ogg stream, of which only the first would be read"
            raise InputError(f"{path}: {what}; {ffmpeg(path)}")
        number = int.from_bytes(header[18:22], "little")
        if number != previous + 1:
            raise InputError(f"{path}: is damaged, page {previous + 1} of its Ogg stream is missing")
        previous = number
        position += _PAGE + header[26] + sum(header[_PAGE : _PAGE + header[26]])
    return Layout(FORMATS)


def _check_end(path: Path, file: BinaryIO, size: int) -> None:
    file.seek(max(0, size - _PAGE - 255 - 255 * 255))
    end = file.read()
    page = end[max(0, end.rfind(b"OggS")) :]
    segments = page[26:27]
    length = _PAGE + segments[0] + sum(page[_PAGE : _PAGE + segments[0]]) if segments else 0
    is_whole = len(page) == length and _checksum(page[:22] + bytes(4) + page[26:]) == page[22:26]
    if not (is_whole and page[5] & _LAST):
        raise InputError(f"{path}: truncated, it does not end with the last page of an Ogg stream")


def _checksum(data: bytes) -> bytes:
    """The checksum of a page: zlib's polynomial with no bit reversed and nothing inverted."""
    crc, table = 0, _table()
    for byte in data:
        crc = (crc << 8 & 0xFFFFFFFF) ^ table[crc >> 24 ^ byte]
    return crc.to_bytes(4, "little")


@cache
def _table() -> list[int]:
    table = []
    for value in range(256):
        crc = value << 24
        for _ in range(8):
            crc = crc << 1 ^ (0x104C11DB7 if crc >> 31 else 0)
        table.append(crc)
    return table
