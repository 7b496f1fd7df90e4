"""What the header of an audio file promises, against what is there.

libsndfile silently returns fewer samples for a truncated file in most containers, and for files whose headers state no
length, or a wrong one. So every container has its own check here: chunks (`chunks`), pages (`ogg`), frames (`mpeg`). Of
FLAC, libsndfile notices a cut itself where the length is stated; it is compared after reading. What none of these knows
is not read.
"""

from __future__ import annotations

import os
import re
import struct
from pathlib import Path
from typing import BinaryIO

from resdavenet_vq.data import chunks, mpeg, ogg
from resdavenet_vq.data.file_kind import ffmpeg
from resdavenet_vq.data.layout import Edit, Layout, check_length
from resdavenet_vq.errors import InputError

_HEAD = 512  # bytes
_BLOCK = 1 << 20  # bytes that are searched at a time
_SHORTEST = 12  # bytes, of which no format has fewer
_AU_UNKNOWN = 0xFFFFFFFF
_MOST_REST = 64  # bytes after the audio that are none
_NIST_HEADER = 1024
_NIST_FIELD = re.compile(rb"(sample_count|channel_count|sample_n_bytes) -i (\d{1,18})\s")
_FLAC_BEGINS = re.compile(rb"fLaC[\0\x80]\0\0\x22")  # and its first block, which is of 34 bytes
_NIST_CODING = re.compile(rb"sample_coding -s\d+ (\S+)")

_MAGIC = (*chunks.CONTAINERS, b"OggS", b"fLaC", b"ID3", b".snd", b"dns.", b"NIST")

_ANY = Layout(frozenset())


def parse(path: Path, file: BinaryIO) -> Layout:
    """The layout of an audio file, by its first bytes; without formats if they are not those of one that is read.

    Raises InputError naming the file where it is shorter than its header promises.
    """
    size = os.fstat(file.fileno()).st_size
    if size == 0:
        raise InputError(f"{path}: is empty (0 bytes)")
    head = file.read(_HEAD)
    if layout := chunks.plain_layout(head, size):
        return layout
    magic, layout = head[:4], _ANY
    if len(head) < _SHORTEST:
        if any(known.startswith(magic) for known in _MAGIC):
            raise InputError(f"{path}: truncated, its {size} bytes are less than any header of audio")
        return layout
    if magic in chunks.CONTAINERS and (magic != b"RIFF" or head[8:12] == b"WAVE"):
        layout = chunks.layout(path, file, magic)
    elif magic == b"OggS":
        layout = ogg.layout(path, file)
    elif magic in (b".snd", b"dns."):
        layout = _au(path, head, size)
    elif head[:7] == b"NIST_1A":
        layout = _nist(path, file, size)
    elif magic == b"fLaC" or head[:3] == b"ID3" or head[:1] in (b"\xff", b"\0"):
        start = mpeg.end_of_tags(file)
        file.seek(start)
        is_flac = file.read(4) == b"fLaC"  # libsndfile skips tags
        layout = _flac(path, file) if is_flac else mpeg.layout(path, file, start) or _ANY
    return layout


def _flac(path: Path, file: BinaryIO) -> Layout:
    """Of a FLAC file, in which no second one may begin: libsndfile would read the first alone."""
    before = b""
    while block := file.read(_BLOCK):
        if _FLAC_BEGINS.search(before + block):
            what = "holds more than one FLAC stream, of which only the first would be read"
            raise InputError(f"{path}: {what}; {ffmpeg(path)}")
        before = block[-7:]
    return Layout(frozenset({"FLAC"}))


def _au(path: Path, head: bytes, size: int) -> Layout:
    order = ">" if head[:4] == b".snd" else "<"
    start, promised = struct.unpack(order + "II", head[4:12])
    present = size - start
    formats = frozenset({"AU"})
    if promised == _AU_UNKNOWN:
        return Layout(formats)
    if promised == 0 and present > 0:  # a recorder that died
        return Layout(formats, edits=(Edit(8, 12, struct.pack(order + "I", _AU_UNKNOWN)),))
    check_length(path, promised, present)
    if present - promised > _MOST_REST:
        what = f"its header promises {promised} bytes of audio and {present} are there"
        raise InputError(f"{path}: is damaged, {what}; {ffmpeg(path)}")
    return Layout(formats)


def _nist(path: Path, file: BinaryIO, size: int) -> Layout:
    file.seek(0)
    header = file.read(_NIST_HEADER)
    coding = _NIST_CODING.search(header)
    if coding and b"shorten" in coding[1]:
        name = coding[1].decode("latin-1")
        raise InputError(
            f"{path}: is NIST SPHERE compressed with shorten ({name}); unpack it: sph2pipe -f wav {path.name}"
        )
    fields = {name: int(value) for name, value in _NIST_FIELD.findall(header)}
    if coding and coding[1] in (b"ulaw", b"mu-law", b"alaw"):
        fields.setdefault(b"sample_n_bytes", 1)
    if b"sample_count" in fields:
        width = fields.get(b"channel_count", 1) * fields.get(b"sample_n_bytes", 2)
        check_length(path, fields[b"sample_count"] * width, size - _NIST_HEADER)
    return Layout(frozenset({"NIST"}))
