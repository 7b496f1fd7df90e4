"""Containers of chunks: RIFF and RIFX (wav), RF64, Wave64, AIFF, AIFC and CAF."""

from __future__ import annotations

import os
import struct
from collections.abc import Iterator
from pathlib import Path
from typing import BinaryIO, NamedTuple

from resdavenet_vq.data.file_kind import ffmpeg
from resdavenet_vq.data.layout import Edit, Layout, Plain, check_length
from resdavenet_vq.errors import InputError

MAX_CHUNKS = 10_000
"""Largest number of chunks before the audio: files have about ten, and each that a hostile one claims costs time."""

PLACEHOLDERS = (0xFFFFFFFF, 0x80000000, 0x7FFFFFFF, 0x7FFFFF00, 0x7FFFF000, 0x7F000000)
"""Lengths that programs write when they write to a pipe, give or take what is before the audio: the file goes to its end.

ffmpeg, mpg123 and libsndfile write the first; arecord 0x7FFFFF00; Oboe and LAME 0x7FFFFFFF; SoX, espeak-ng and MPlayer
0x7FFFF000, and in AIFF files 0x7F000000. Kaldi takes the first, SoX's and 0 for such.
"""

_LONG_PLACEHOLDERS = (2**64 - 1, 2**63 - 1)  # where lengths have 64 bits

_PCM, _BITS = 1, 16
_CHUNK_HEADER = 8  # bytes, the shortest; fewer after the last chunk are none
_ID3V1 = 128  # bytes of a tag
_MOST_ZEROS = 4096  # bytes that may fill a file up: more would be audio
_NAMES = frozenset(
    {
        b"fmt ",
        b"data",
        b"fact",
        b"LIST",
        b"bext",
        b"cue ",
        b"smpl",
        b"id3 ",
        b"ID3 ",
        b"iXML",
        b"PEAK",
        b"COMM",
        b"SSND",
    }
)
"""Of chunks: where a byte of padding may be missing, and where the last one is cut, the name must be one of these."""


class _Container(NamedTuple):
    """How a container of chunks is laid out."""

    formats: frozenset[str]
    first: int
    """Byte at which the first chunk begins."""
    header: str
    """Of a chunk, for `struct`: its name and its size."""
    size: str
    """Of the size alone, which ends the header."""
    includes_header: bool
    """Whether the size does."""
    even: int
    """What chunks are padded to a multiple of."""
    audio: bytes
    """The name of the chunk of samples."""


_WAV, _AIFF = frozenset({"WAV", "WAVEX"}), frozenset({"AIFF"})

CONTAINERS = {
    b"RIFF": _Container(_WAV, 12, "<4sI", "<I", False, 2, b"data"),
    b"RIFX": _Container(_WAV, 12, ">4sI", ">I", False, 2, b"data"),
    b"RF64": _Container(frozenset({"RF64"}), 12, "<4sI", "<I", False, 2, b"data"),
    b"FORM": _Container(_AIFF, 12, ">4sI", ">I", False, 2, b"SSND"),
    b"riff": _Container(frozenset({"W64"}), 40, "<4s12xQ", "<Q", True, 8, b"data"),
    b"caff": _Container(frozenset({"CAF"}), 8, ">4sQ", ">Q", False, 1, b"data"),
}


class _Chunk(NamedTuple):
    """A chunk, its content from `start` on."""

    name: bytes
    length: int
    """Bytes of its content, as the header says."""
    start: int


class _Description(NamedTuple):
    """What the chunks before the audio say."""

    form: bytes = b""
    """The first 16 bytes of `fmt `."""
    ds64: int | None = None
    """The byte at which RF64 states the length of the audio."""
    long_length: int = 0
    """Which it states there."""
    n_samples: int = 0
    """Of an AIFF file, by `COMM`."""
    is_packed: bool = False
    """Whether a CAF file cannot be read without a table of its packets."""


def plain_layout(head: bytes, size: int) -> Layout | None:
    """The layout of a wav file of 16-bit PCM that ends with its audio, as most do; None where its head does not say so."""
    if head[:4] != b"RIFF" or head[8:12] != b"WAVE":
        return None
    form, position = b"", 12
    while len(header := head[position : position + 8]) == 8:
        length, start = int.from_bytes(header[4:], "little"), position + 8
        if header.startswith(b"data"):
            plain = _plain(form, start, length) if length == size - start else None
            return plain and Layout(_WAV, plain)
        if header.startswith(b"fmt ") and length >= 16:
            form = head[start : start + 16]
        position = start + length + length % 2
    return None


def layout(path: Path, file: BinaryIO, magic: bytes) -> Layout:
    """The layout of a file that begins with one of CONTAINERS.

    Raises InputError naming the file where it is shorter than its header promises, and where what follows the promised
    audio may be audio, too.
    """
    container, size = CONTAINERS[magic], os.fstat(file.fileno()).st_size
    described, edits = _Description(), list[Edit]()
    for chunk, edit in _chunks(path, file, container):
        if edit:
            edits.append(edit)
        if chunk.name == container.audio:
            break
        described = _described(file, described, chunk)
    else:
        if magic == b"FORM" and not described.n_samples:
            return Layout(container.formats)
        raise InputError(f"{path}: truncated, the header ends before any audio")
    length, corrected = _length(path, file, magic, chunk, described, size)
    if corrected:
        edits.append(corrected)
    check_length(path, length, size - chunk.start)
    if chunk.start + length < size:
        _check_rest(path, file, magic, chunk._replace(length=length), described, size)
    elif described.is_packed:
        raise InputError(f"{path}: truncated, it ends before the table of its packets")
    is_plain = magic == b"RIFF" and chunk.start + length == size
    return Layout(container.formats, _plain(described.form, chunk.start, length) if is_plain else None, tuple(edits))


def _chunks(path: Path, file: BinaryIO, container: _Container) -> Iterator[tuple[_Chunk, Edit | None]]:
    """The chunks one after another, each with the byte that is missing before it to make its position even."""
    position, edit = container.first, None
    for _ in range(MAX_CHUNKS):
        if (chunk := _chunk(path, file, container, position)) is None:
            return
        yield chunk, edit
        position, is_unpadded = _end(file, container, chunk.start, chunk.length)
        edit = Edit(position, position, b"\0") if is_unpadded else None
        if position >= 1 << 62:  # no file has this byte
            return
    raise InputError(f"{path}: is damaged, its header has more than {MAX_CHUNKS} chunks before any audio")


def _chunk(path: Path, file: BinaryIO, container: _Container, position: int) -> _Chunk | None:
    """The chunk at a position; None at the end of the file."""
    file.seek(position)
    header = file.read(header_length := struct.calcsize(container.header))
    if len(header) < header_length:
        return None
    name, length = struct.unpack(container.header, header)
    if container.includes_header and name != container.audio:
        length -= header_length
        if length < 0:
            raise InputError(f"{path}: is damaged, a chunk of its header has a negative length")
    return _Chunk(name, length, position + header_length)


def _end(file: BinaryIO, container: _Container, start: int, length: int) -> tuple[int, bool]:
    """The byte at which the next chunk begins, and whether a byte of padding is missing before it."""
    end = start + length
    padding = -length % container.even
    if padding and container.even == 2 and end < 1 << 62:
        file.seek(end)
        following = file.read(5)
        if following[:4] in _NAMES and following[1:] not in _NAMES:
            return end, True
    return end + padding, False


def _described(file: BinaryIO, before: _Description, chunk: _Chunk) -> _Description:
    """What is known after one more chunk."""
    content = file.read(min(chunk.length, 28))  # its header has just been read
    if chunk.name == b"fmt " and len(content) >= 16:
        return before._replace(form=content[:16])
    if chunk.name == b"ds64" and len(content) >= 16:
        return before._replace(ds64=chunk.start + 8, long_length=struct.unpack_from("<Q", content, 8)[0])
    if chunk.name == b"COMM" and len(content) >= 6:
        return before._replace(n_samples=struct.unpack_from(">xxI", content)[0])
    if chunk.name == b"desc" and len(content) >= 12:
        return before._replace(is_packed=content[8:12] not in (b"lpcm", b"ulaw", b"alaw"))
    return before._replace(is_packed=False) if chunk.name == b"pakt" else before


def _length(
    path: Path, file: BinaryIO, magic: bytes, audio: _Chunk, described: _Description, size: int
) -> tuple[int, Edit | None]:
    """The bytes of audio that are promised, and the length as it should be where the header says none."""
    container, present = CONTAINERS[magic], size - audio.start
    form, field, length = container.size, audio.start - struct.calcsize(container.size), audio.length
    if magic == b"RF64" and length == 0xFFFFFFFF and described.ds64 is not None:
        form, field, length = "<Q", described.ds64, described.long_length
    header = struct.calcsize(container.header) if container.includes_header else 0
    placeholders = PLACEHOLDERS if form[1] == "I" else _LONG_PLACEHOLDERS
    is_unknown = length > present and any(abs(length - placeholder) <= audio.start for placeholder in placeholders)
    if length == 0 and present and container.even == 2:  # a recorder that died; chunks may follow a length of 0 as well
        is_unknown = present < _CHUNK_HEADER or not _is_chunks(file, magic, audio._replace(length=0), size)
    if not is_unknown:
        if length < header:
            raise InputError(f"{path}: is damaged, the chunk of its audio has a negative length")
        return length - header, None
    if present + header >= 1 << 8 * struct.calcsize(form):
        raise InputError(f"{path}: is longer than a header of its format can say; {ffmpeg(path)}")
    return present, Edit(field, field + struct.calcsize(form), struct.pack(form, present + header))


def _check_rest(path: Path, file: BinaryIO, magic: bytes, audio: _Chunk, described: _Description, size: int) -> None:
    """What follows the audio must be chunks, or too little to be audio."""
    end = audio.start + audio.length
    if not _is_chunks(file, magic, audio, size):
        what = f"its header promises {audio.length} bytes of audio, and {size - end} follow that are something else"
        raise InputError(f"{path}: is damaged, {what}, perhaps more audio; {ffmpeg(path)}")
    if described.is_packed:
        rest = CONTAINERS[magic]._replace(first=end)
        if not any(c.name == b"pakt" and c.start + c.length <= size for c, _ in _chunks(path, file, rest)):
            raise InputError(f"{path}: truncated, it ends before the table of its packets")


def _is_chunks(file: BinaryIO, magic: bytes, chunk: _Chunk, size: int) -> bool:
    """Whether more chunks follow until the end of the file, the last of them perhaps cut, or at most a few bytes."""
    container = CONTAINERS[magic]
    header_length = struct.calcsize(container.header)
    for _ in range(MAX_CHUNKS):
        position, _ = _end(file, container, chunk.start, chunk.length)
        file.seek(position)
        header = file.read(header_length)
        if len(header) < _CHUNK_HEADER or (header[:3] == b"TAG" and size - position == _ID3V1):
            return True
        name = header[:4]
        if name in CONTAINERS:  # another file was joined to this one
            return False
        if magic != b"riff" and not all(0x20 <= byte < 0x7F for byte in name):
            file.seek(position)
            return size - position <= _MOST_ZEROS and not file.read().strip(b"\0")
        if len(header) < header_length:
            return True
        length = struct.unpack(container.header, header)[1] - (header_length if container.includes_header else 0)
        if length < 0 or position + header_length + length > size:
            return name in _NAMES
        chunk = _Chunk(name, length, position + header_length)
    return False


def _plain(form: bytes, start: int, size: int) -> Plain | None:
    if len(form) < 16:
        return None
    tag, channels, rate, _, width, bits = struct.unpack("<HHIIHH", form)
    is_plain = tag == _PCM and bits == _BITS and channels and width == channels * _BITS // 8
    return Plain(rate, channels, start) if is_plain and size and size % width == 0 else None
