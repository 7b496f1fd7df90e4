"""The frames of an MP3 file, one after another: how many there are, and whether the last one is whole.

libsndfile estimates the length of a file that does not state it, and reads no further: of one with a variable bitrate,
two thirds may be missing. Here the headers of all frames are read, and a file without a length gets one.

What can be told of a truncated file: that its last frame is cut, and that frames are missing that its Xing, Info or
VBRI header counts. A file without such a header that is cut exactly between two frames cannot be told from a whole one.
"""

from __future__ import annotations

import os
from collections.abc import Iterator
from functools import lru_cache
from pathlib import Path
from typing import BinaryIO, NamedTuple

from resdavenet_vq.data.file_kind import ffmpeg
from resdavenet_vq.data.layout import Edit, Layout
from resdavenet_vq.errors import InputError

FORMATS = frozenset({"MP3"})

_SEARCHED = 1 << 16  # bytes before the first frame that may be anything
_BITRATES = {  # kbit/s by index, of layers I to III of MPEG 1 and of MPEG 2 and 2.5
    (1, 1): (32, 64, 96, 128, 160, 192, 224, 256, 288, 320, 352, 384, 416, 448),
    (1, 2): (32, 48, 56, 64, 80, 96, 112, 128, 160, 192, 224, 256, 320, 384),
    (1, 3): (32, 40, 48, 56, 64, 80, 96, 112, 128, 160, 192, 224, 256, 320),
    (2, 1): (32, 48, 56, 64, 80, 96, 112, 128, 144, 160, 176, 192, 224, 256),
    (2, 2): (8, 16, 24, 32, 40, 48, 56, 64, 80, 96, 112, 128, 144, 160),
    (2, 3): (8, 16, 24, 32, 40, 48, 56, 64, 80, 96, 112, 128, 144, 160),
}
_RATES = (44_100, 48_000, 32_000)
_ROOMY = 9  # index of a bitrate at which a frame has room for a header of its length, at any sample rate
_FRAMES, _BYTES = 1, 2  # flags of a Xing header: which of the two it states
_VBRI = 36  # byte of a frame at which this header is
_DECODER_DELAY = 529  # samples
_CHECKSUM_END = 6  # byte of a frame, if it has a checksum
_MOST_MUTED = 64  # frames, more than any other borrows bytes of
_ID3V1, _ID3V2, _APE = 128, 10, 32  # bytes: of the tag, of a tag's header, of a tag's footer


class _Frame(NamedTuple):
    """The header of a frame: 4 bytes."""

    stream: tuple[int, ...]
    """Version, layer and sample rate, which all frames of a stream share."""
    length: int
    """Bytes, with the header."""
    side: int
    """Bytes of the header and of what follows it, after which a Xing header may be."""


class _Promise(NamedTuple):
    """What a Xing, Info or VBRI header says; 0 where it does not."""

    n_frames: int = 0
    """After it."""
    n_bytes: int = 0
    """With it."""
    is_there: bool = False
    has_delay: bool = False
    """Whether it also says how many samples the encoder has added, which are left out."""


def layout(path: Path, file: BinaryIO, start: int) -> Layout | None:
    """How to read an MP3 file, of which `start` bytes are tags; None if no frames follow, and so it is something else.

    Raises InputError naming the file if it is truncated or damaged, as far as that can be told.
    """
    size = os.fstat(file.fileno()).st_size
    if start >= size:
        raise InputError(f"{path}: truncated, its ID3 tags end at byte {start} and it has {size}")
    end = _end(file, start, size)
    begin = _begin(file, start, end)
    if begin is None:
        return None
    file.seek(begin)
    first = file.read(1 << 12)
    frame = _parse(first[:4])
    if frame is None:
        raise InputError(f"{path}: changed while it was read")
    if frame.stream[1] != 3:
        name = {1: "mp1", 2: "mp2"}[frame.stream[1]]
        raise InputError(
            f"{path}: is MPEG audio of layer {frame.stream[1]} ({name}), which is not read; {ffmpeg(path)}"
        )
    promise = _promise(first[: frame.length], frame)
    after = begin + frame.length if promise.is_there else begin
    n, stop = _walk(path, file, after, end, frame.stream)
    if promise.n_frames > n and promise.n_bytes != stop - begin:
        what = f"its header promises {promise.n_frames} MPEG frames and {n} are there"
        raise InputError(f"{path}: truncated, {what}")
    if not promise.n_frames and promise.n_bytes > stop - begin:
        what = f"its header promises {promise.n_bytes} bytes of MPEG frames and {stop - begin} are there"
        raise InputError(f"{path}: truncated, {what}")
    is_complete = promise.has_delay and promise.n_frames == n
    if is_complete and begin == start and stop == size:
        return Layout(FORMATS)
    edits = [Edit(0, begin, b"")] if is_complete else [Edit(0, after, _lead(first[:4], frame, n))]
    if not is_complete:
        edits += _muted(file, after, stop)
    edits.append(Edit(stop, size, b""))
    return Layout(FORMATS, edits=tuple(edit for edit in edits if edit.new or edit.start < edit.stop))


def end_of_tags(file: BinaryIO) -> int:
    """The byte after the ID3v2 tags at the beginning of a file."""
    position = 0
    while length := _length_of_tag(file, position):
        position += length
    return position


def _length_of_tag(file: BinaryIO, position: int) -> int:
    """Bytes of the ID3v2 tag at a position, 0 if there is none."""
    file.seek(position)
    header = file.read(_ID3V2)
    if len(header) < _ID3V2 or header[:3] != b"ID3" or any(byte > 127 for byte in header[6:]):
        return 0
    length = int.from_bytes(header[6:7]) << 21 | header[7] << 14 | header[8] << 7 | header[9]
    return _ID3V2 * (2 if header[5] & 0x10 else 1) + length  # the flag says that a footer follows


def _end(file: BinaryIO, start: int, size: int) -> int:
    """The byte at which the tags at the end of the file begin."""
    end = size
    while True:
        file.seek(max(start, end - _ID3V1))
        tail = file.read(end - file.tell())
        if len(tail) == _ID3V1 and tail[:3] == b"TAG":
            length = _ID3V1
        elif tail[-_ID3V2:][:3] == b"3DI":  # the footer of an ID3v2 tag
            a, b, c, d = tail[-4:]
            length = 2 * _ID3V2 + (a << 21 | b << 14 | c << 7 | d)
        elif tail[-9:] == b"LYRICS200" and tail[-15:-9].isdigit():
            length = int(tail[-15:-9]) + 15
        elif len(tail) >= _APE and tail[-_APE:][:8] == b"APETAGEX":
            length = int.from_bytes(tail[-20:-16], "little") + (_APE if tail[-9] & 0x80 else 0)
        else:
            return end
        if not 0 < length <= end - start:
            return end
        end -= length


@lru_cache(4096)  # a file has few
def _parse(header: bytes) -> _Frame | None:
    """The frame with this header of 4 bytes; None if they are none, or of a bitrate that is not in the table."""
    if len(header) < 4 or header[0] != 0xFF or header[1] & 0xE0 != 0xE0:
        return None
    version = {3: 10, 2: 20, 0: 25}.get(header[1] >> 3 & 3)  # ten times MPEG 1, 2 and 2.5
    layer, bitrate, rate = 4 - (header[1] >> 1 & 3), header[2] >> 4, header[2] >> 2 & 3
    if version is None or layer == 4 or bitrate in (0, 15) or rate == 3 or header[3] & 3 == 2:
        return None
    kilobits = _BITRATES[1 if version == 10 else 2, layer][bitrate - 1]
    hertz = _RATES[rate] // {10: 1, 20: 2, 25: 4}[version]
    padding = header[2] >> 1 & 1
    if layer == 1:
        length = (12_000 * kilobits // hertz + padding) * 4
    else:
        length = (144_000 if version == 10 or layer == 2 else 72_000) * kilobits // hertz + padding
    is_mono = header[3] >> 6 == 3
    side = 4 + ((17 if is_mono else 32) if version == 10 else (9 if is_mono else 17))
    return _Frame((version, layer, hertz), length, side)


def _begin(file: BinaryIO, start: int, end: int) -> int | None:
    """The byte at which the first frame begins: after the tags, or where another one follows; None if there is none."""
    file.seek(start)
    data = file.read(min(_SEARCHED, end - start))
    position = 0
    while (position := data.find(b"\xff", position)) >= 0:
        if frame := _parse(data[position : position + 4]):
            following = start + position + frame.length
            file.seek(following)
            next_frame = _parse(file.read(min(4, max(0, end - following))))
            if position == 0 or following == end or (next_frame and next_frame.stream == frame.stream):
                return start + position
        position += 1
    return None


def _promise(frame: bytes, header: _Frame) -> _Promise:
    """What the first frame says of the others."""
    xing = frame[header.side :]
    if xing[:4] in (b"Xing", b"Info") and len(xing) >= 16:
        flags, position = int.from_bytes(xing[4:8]), 8
        numbers = []
        for flag in (_FRAMES, _BYTES):
            numbers.append(int.from_bytes(xing[position : position + 4]) if flags & flag else 0)
            position += 4 * bool(flags & flag)
        position += 100 * bool(flags & 4) + 4 * bool(flags & 8)  # places, quality
        return _Promise(numbers[0], numbers[1], is_there=True, has_delay=any(xing[position : position + 1]))
    if frame[_VBRI : _VBRI + 4] == b"VBRI":
        numbers = [int.from_bytes(frame[_VBRI + at : _VBRI + at + 4]) for at in (14, 10)]
        return _Promise(max(0, numbers[0] - 1), numbers[1], is_there=True, has_delay=False)  # it counts itself
    return _Promise()


def _walk(path: Path, file: BinaryIO, position: int, end: int, stream: tuple[int, ...]) -> tuple[int, int]:
    """The number of frames from a position on, and the byte at which they end."""
    n = 0
    while position < end:
        file.seek(position)
        header = file.read(min(4, end - position))
        frame = _parse(header)
        if frame is None or frame.stream != stream:
            if header[:3] == b"ID3" and (length := _length_of_tag(file, position)):  # several files were joined
                position += length
                continue
            break
        position += frame.length
        n += 1
        if position > end:
            what = f"its last MPEG frame, the {n}th, lacks {position - end} bytes"
            raise InputError(f"{path}: truncated, {what}")
    if position < end:
        file.seek(position)
        rest = file.read(min(end - position, _SEARCHED))
        if len(rest) < 4 and rest[:1] == b"\xff":
            raise InputError(f"{path}: truncated, it ends within the header of an MPEG frame")
        if rest.strip(b"\0"):
            what = f"after {n} MPEG frames, byte {position} begins neither another one nor a tag"
            raise InputError(f"{path}: is damaged, {what}; {ffmpeg(path)}")
    return n, min(position, end)


def _lead(header: bytes, frame: _Frame, n: int) -> bytes:
    """Two frames to be put before `n` ones: one that says how many there are, and a silent one.

    libsndfile's decoder leaves out as many samples as are said here and 529 more, which are its own delay. So that
    nothing is lost, this is the silent frame.
    """
    header = bytes([header[0], header[1] | 1, _ROOMY << 4 | header[2] & 0x0C, header[3]])  # no checksum, no padding
    lead = _parse(header)
    if lead is None:
        raise ValueError(header)
    delay = (1152 if frame.stream[0] == 10 else 576) - _DECODER_DELAY
    xing = b"Info" + _FRAMES.to_bytes(4) + (n + 1).to_bytes(4) + b"LAME".ljust(21, b"\0") + (delay << 12).to_bytes(3)
    silence = header.ljust(lead.length, b"\0")
    return (header + bytes(frame.side - 4) + xing).ljust(lead.length, b"\0") + silence


def _muted(file: BinaryIO, position: int, stop: int) -> Iterator[Edit]:
    """Silence for the first frames as far as they need bytes of frames before them that were cut off.

    Decoders leave such frames silent by themselves, but here they would find the bytes of the frame of `_lead`.
    """
    n_bytes, n_frames = 0, 0
    while position < stop and n_frames < _MOST_MUTED:
        file.seek(position)
        data = file.read(_CHECKSUM_END + 2)
        if (frame := _parse(data[:4])) is None:
            return
        start = 4 if data[1] & 1 else _CHECKSUM_END
        n_bits = 9 if frame.stream[0] == 10 else 8
        n_borrowed = int.from_bytes(data[start : start + 2]) >> 16 - n_bits
        if n_borrowed > n_bytes:  # it borrows what there is, so that the next frame can, and has no bits of sound
            n_borrowed = min(n_bytes, (1 << n_bits) - 1)
            side = (n_borrowed << 16 - n_bits).to_bytes(2).ljust(frame.side - 4, b"\0")
            yield Edit(position + start, position + start + len(side), side)
        n_bytes = n_borrowed + frame.length - frame.side - (start - 4)
        position += frame.length
        n_frames += 1
