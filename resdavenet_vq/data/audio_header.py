"""What the header of an audio file promises, against what is there.

libsndfile silently returns fewer samples for a truncated file in most containers: their headers are compared with the
size of the file first, and the last page of an Ogg file must be its end. FLAC and MP3 mostly state the number of samples,
which is compared after reading; a file that does not is read as far as it goes, FLAC only if that is the end of a frame.
"""

from __future__ import annotations

import os
import re
import struct
from collections.abc import Iterator
from functools import cache
from pathlib import Path
from typing import BinaryIO, NamedTuple

from resdavenet_vq.errors import InputError

FORMATS = frozenset({"WAV", "WAVEX", "RF64", "W64", "AIFF", "AU", "NIST", "CAF", "FLAC", "OGG", "MP3"})
"""Containers, as libsndfile names them, of which a truncated file can be told; others are refused."""

MAX_CHUNKS = 10_000
"""Largest number of chunks before the audio: files have about ten, and each that a hostile one claims costs time."""

_UNKNOWN = 0xFFFFFFFF
"""The length in a header that was written to a pipe: promises nothing."""

_PCM, _BITS = 1, 16
_OGG_PAGE = 27  # bytes of a page's header, before the sizes of at most 255 segments of at most 255 bytes
_OGG_LAST = 4  # the flag of the last page
_NIST_HEADER = 1024
_NIST_FIELD = re.compile(rb"(sample_count|channel_count|sample_n_bytes) -i (\d{1,18})\s")


class Plain(NamedTuple):
    """16-bit PCM from byte `start` to the end of a wav file."""

    rate: int
    channels: int
    start: int


class _Chunks(NamedTuple):
    """How a container of chunks is laid out."""

    first: int
    """Byte at which the first chunk begins."""
    header: str
    """Of a chunk, for `struct`: its name and its size."""
    includes_header: bool
    """Whether the size does."""
    even: int
    """What the beginning of every chunk is a multiple of."""
    audio: bytes
    """The name of the chunk of samples."""


_CONTAINERS = {
    b"RIFF": _Chunks(12, "<4sI", False, 2, b"data"),
    b"RIFX": _Chunks(12, ">4sI", False, 2, b"data"),
    b"RF64": _Chunks(12, "<4sI", False, 2, b"data"),
    b"FORM": _Chunks(12, ">4sI", False, 2, b"SSND"),
    b"riff": _Chunks(40, "<4s12xQ", True, 8, b"data"),
}


def parse(path: Path, file: BinaryIO) -> Plain | None:
    """Where the samples of a plain 16-bit PCM wav file are; None for any other file.

    Raises InputError naming the file where it is shorter than its header promises.
    """
    size = os.fstat(file.fileno()).st_size
    if size == 0:
        raise InputError(f"{path}: is empty (0 bytes)")
    head = file.read(12)
    magic = head[:4]
    if magic in (b".snd", b"dns.") and len(head) == 12:
        offset, promised = struct.unpack(">II" if magic == b".snd" else "<II", head[4:])
        _check_length(path, promised, size - offset)
    elif head[:7] == b"NIST_1A":
        _check_nist(path, file, size)
    elif magic == b"OggS":
        _check_ogg(path, file, size)
    elif magic in _CONTAINERS and (magic != b"RIFF" or head[8:] == b"WAVE"):
        return _parse_chunks(path, file, magic, size)
    return None


def _parse_chunks(path: Path, file: BinaryIO, magic: bytes, size: int) -> Plain | None:
    form, length_of_audio = b"", _UNKNOWN
    for name, length, start in _chunks(path, file, _CONTAINERS[magic]):
        if name == _CONTAINERS[magic].audio:
            promised = length_of_audio if magic == b"RF64" and length == _UNKNOWN else length
            _check_length(path, promised, size - start)
            return _plain(form, start, length) if magic == b"RIFF" and length == size - start else None
        if name == b"fmt " and length >= 16:
            form = file.read(16)
        if name == b"ds64" and len(sizes := file.read(16)) == 16:
            length_of_audio = struct.unpack("<8xQ", sizes)[0]
    if magic == b"FORM":  # need not have any samples
        return None
    raise InputError(f"{path}: truncated, the header ends before any audio")


def _chunks(path: Path, file: BinaryIO, layout: _Chunks) -> Iterator[tuple[bytes, int, int]]:
    """The name and length of every chunk, and the byte at which its content begins."""
    position, header_length = layout.first, struct.calcsize(layout.header)
    for _ in range(MAX_CHUNKS):
        file.seek(position)
        header = file.read(header_length)
        if len(header) < header_length:
            return
        name, length = struct.unpack(layout.header, header)
        if layout.includes_header:
            length -= header_length
            if length < 0:
                raise InputError(f"{path}: is damaged, a chunk of its header has a negative length")
        start = position + header_length
        yield name, length, start
        position = -(-(start + length) // layout.even) * layout.even
        if position >= 1 << 62:  # no file has this byte
            return
    raise InputError(f"{path}: is damaged, its header has more than {MAX_CHUNKS} chunks before any audio")


def _check_nist(path: Path, file: BinaryIO, size: int) -> None:
    file.seek(0)
    fields = {name: int(value) for name, value in _NIST_FIELD.findall(file.read(_NIST_HEADER))}
    if len(fields) == 3:
        values = fields[b"sample_count"] * fields[b"channel_count"] * fields[b"sample_n_bytes"]
        _check_length(path, values, size - _NIST_HEADER)


def _check_ogg(path: Path, file: BinaryIO, size: int) -> None:
    """The file must end with a whole page that says that it is the last."""
    file.seek(max(0, size - _OGG_PAGE - 255 - 255 * 255))
    end = file.read()
    page = end[max(0, end.rfind(b"OggS")) :]
    segments = page[26:27]
    length = _OGG_PAGE + segments[0] + sum(page[_OGG_PAGE : _OGG_PAGE + segments[0]]) if segments else 0
    is_whole = len(page) == length and _ogg_crc(page[:22] + bytes(4) + page[26:]) == page[22:26]
    if not (is_whole and page[5] & _OGG_LAST):
        raise InputError(f"{path}: truncated, it does not end with the last page of an Ogg stream")


def _ogg_crc(data: bytes) -> bytes:
    """The checksum of a page: zlib's polynomial with no bit reversed and nothing inverted."""
    crc, table = 0, _crc_table()
    for byte in data:
        crc = (crc << 8 & 0xFFFFFFFF) ^ table[crc >> 24 ^ byte]
    return crc.to_bytes(4, "little")


@cache
def _crc_table() -> list[int]:
    table = []
    for value in range(256):
        crc = value << 24
        for _ in range(8):
            crc = crc << 1 ^ (0x104C11DB7 if crc >> 31 else 0)
        table.append(crc)
    return table


def _check_length(path: Path, promised: int, present: int) -> None:
    if promised > present and promised != _UNKNOWN:
        what = f"its header promises {promised} bytes of audio and {max(present, 0)} are there"
        raise InputError(f"{path}: truncated, {what}")


def _plain(form: bytes, start: int, size: int) -> Plain | None:
    if len(form) < 16:
        return None
    tag, channels, rate, _, width, bits = struct.unpack("<HHIIHH", form)
    is_plain = tag == _PCM and bits == _BITS and channels and width == channels * _BITS // 8
    return Plain(rate, channels, start) if is_plain and size and size % width == 0 else None
