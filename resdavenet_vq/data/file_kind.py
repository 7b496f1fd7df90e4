"""What a file is that is neither audio nor an image that can be read: told by its first bytes, with a remedy."""

from __future__ import annotations

import re
from pathlib import Path
from typing import Literal, NamedTuple

HEAD = 1024
"""Bytes from the beginning of a file that tell its kind."""

type Medium = Literal["audio", "image"]


class Kind(NamedTuple):
    """A kind of file in words, and what to do with it."""

    words: str
    remedy: str = ""
    """What to do where a medium was expected that it does not hold; empty where only another file can help."""
    media: tuple[Medium, ...] = ()
    """What it holds, in a format that must be converted."""


_AGAIN = "download it again"
_UNPACK = "unpack it"

_AUDIO: tuple[Medium, ...] = ("audio",)
_IMAGE: tuple[Medium, ...] = ("image",)

_AAC = Kind("AAC audio (aac)", media=_AUDIO)
_MP4 = Kind("an MPEG-4 or QuickTime file (m4a, mp4, mov, 3gp)", media=_AUDIO)
_HEIF = Kind("a HEIF or AVIF image", media=_IMAGE)
_BMP = Kind("a BMP image", media=_IMAGE)
_LFS = Kind("a pointer of Git LFS instead of the file", "fetch the file with git lfs pull")
_PAGE = Kind("a web page (HTML), as a download leaves that failed", _AGAIN)
_XML = Kind("an XML file, as a download leaves that failed", _AGAIN)
_JSON = Kind("a JSON file")
_TEXT = Kind("a text file")
_ZEROS = Kind("only zeros where a header should be, as an interrupted download or copy leaves", "copy it again")

_MAGIC: tuple[tuple[int, bytes, Kind], ...] = (
    (0, b"\0\5\x16\7", Kind("an AppleDouble file, which macOS leaves beside the real one", "remove it")),
    (0, b"version https://git-lfs", _LFS),
    (0, b"\x1a\x45\xdf\xa3", Kind("a Matroska or WebM file (mkv, webm)", media=_AUDIO)),
    (8, b"AVI ", Kind("a video (avi)", media=_AUDIO)),
    (0, b"\x30\x26\xb2\x75\x8e\x66\xcf\x11", Kind("a Windows Media file (wma, wmv, asf)", media=_AUDIO)),
    (0, b"#!AMR", Kind("AMR speech of a telephone (amr)", media=_AUDIO)),
    (0, b"#!SILK", Kind("SILK speech of a messenger", "decode it to wav", _AUDIO)),
    (1, b"#!SILK", Kind("SILK speech of a messenger", "decode it to wav", _AUDIO)),
    (0, b"ajkg", Kind("Shorten audio (shn)", media=_AUDIO)),
    (0, b"wvpk", Kind("WavPack audio (wv)", media=_AUDIO)),
    (0, b"MAC ", Kind("Monkey's Audio (ape)", media=_AUDIO)),
    (0, b"TTA1", Kind("True Audio (tta)", media=_AUDIO)),
    (0, b"MPCK", Kind("Musepack audio (mpc)", media=_AUDIO)),
    (0, b"MP+", Kind("Musepack audio (mpc)", media=_AUDIO)),
    (0, b".RMF", Kind("a RealMedia file (rm)", media=_AUDIO)),
    (0, b".ra\xfd", Kind("RealAudio (ra)", media=_AUDIO)),
    (0, b"FLV\1", Kind("a Flash video (flv)", media=_AUDIO)),
    (0, b"DSD ", Kind("DSD audio (dsf)", media=_AUDIO)),
    (0, b"FRM8", Kind("DSD audio (dff)", media=_AUDIO)),
    (0, b"BW64", Kind("a BW64 file", media=_AUDIO)),
    (0, b"ADIF", _AAC),
    (0, b"\x0b\x77", Kind("Dolby AC-3 audio (ac3)", media=_AUDIO)),
    (0, b"\0\0\1\xba", Kind("an MPEG video (mpg)", media=_AUDIO)),
    (0, b"\0\0\1\xb3", Kind("an MPEG video (mpg)", media=_AUDIO)),
    (0, b"MThd", Kind("a MIDI file: notes, no sound")),
    (0, b"\x89PNG\r\n\x1a\n", Kind("a PNG image")),
    (0, b"\xff\xd8\xff", Kind("a JPEG image")),
    (0, b"GIF8", Kind("a GIF image", media=_IMAGE)),
    (8, b"WEBP", Kind("a WebP image", media=_IMAGE)),
    (0, b"II*\0", Kind("a TIFF image", media=_IMAGE)),
    (0, b"MM\0*", Kind("a TIFF image", media=_IMAGE)),
    (0, b"\0\0\0\x0cjP  \r\n", Kind("a JPEG 2000 image", media=_IMAGE)),
    (0, b"\xff\x4f\xff\x51", Kind("a JPEG 2000 image", media=_IMAGE)),
    (0, b"\xff\x0a", Kind("a JPEG XL image", media=_IMAGE)),
    (0, b"\0\0\0\x0cJXL ", Kind("a JPEG XL image", media=_IMAGE)),
    (0, b"8BPS", Kind("a Photoshop image (psd)", media=_IMAGE)),
    (0, b"%PDF", Kind("a PDF document")),
    (0, b"PK\3\4", Kind("a ZIP archive, or a file of an office program", _UNPACK)),
    (0, b"\x1f\x8b", Kind("compressed with gzip", _UNPACK)),
    (0, b"BZh", Kind("compressed with bzip2", _UNPACK)),
    (0, b"\xfd7zXZ\0", Kind("compressed with xz", _UNPACK)),
    (0, b"\x28\xb5\x2f\xfd", Kind("compressed with zstd", _UNPACK)),
    (0, b"7z\xbc\xaf\x27\x1c", Kind("a 7z archive", _UNPACK)),
    (0, b"Rar!\x1a\7", Kind("a RAR archive", _UNPACK)),
    (257, b"ustar", Kind("a tar archive", _UNPACK)),
    (0, b"\x89HDF\r\n\x1a\n", Kind("an HDF5 file")),
    (0, b"\x93NUMPY", Kind("a NumPy array")),
    (0, b"\x7fELF", Kind("a program")),
    (0, b"SQLite format 3\0", Kind("an SQLite database")),
    (0, b"RIFF", Kind("a RIFF file without sound")),
    (0, b"fLaC", Kind("a FLAC file", media=_AUDIO)),
    (0, b"OggS", Kind("an Ogg file", media=_AUDIO)),
    (0, b"ID3", Kind("an MP3 file", media=_AUDIO)),
)
"""The byte at which it begins, the bytes there, and the kind. The first that fits is it."""

_MP4_IMAGES = (b"hei", b"hev", b"mif", b"msf", b"avi")
_MP4_BOXES = (b"ftyp", b"moov", b"mdat", b"wide", b"free", b"skip")


def file_kind(head: bytes) -> Kind | None:
    """The kind of a file by its first bytes, at least HEAD of them where it has as many; None where nothing tells it.

    The formats that are read are known only as far as it takes to say that a file is not what was expected.
    """
    if kind := next((kind for start, magic, kind in _MAGIC if head.startswith(magic, start)), None):
        return kind
    if head[4:8] in _MP4_BOXES:
        return _HEIF if head[4:8] == b"ftyp" and head[8:11] in _MP4_IMAGES else _MP4
    if len(head) >= 2 and head[0] == 0xFF and head[1] & 0xF6 == 0xF0:
        return _AAC
    if head.startswith(b"BM") and head[6:10] == bytes(4):
        return _BMP
    return _ZEROS if head and not head.strip(b"\0") else _kind_of_text(head)


def _kind_of_text(head: bytes) -> Kind | None:
    if head.startswith((b"\xff\xfe", b"\xfe\xff")):
        return _TEXT
    text = head.decode("utf-8-sig", errors="replace").strip()
    n_odd = sum(not (character.isprintable() or character.isspace()) or character == "\ufffd" for character in text)
    if not text or n_odd > 1:  # the last character may be cut
        return None
    if re.match(r"(?is)(<\?xml[^>]*>\s*)?(<!--.*?-->\s*)*<(!doctype\s+)?html\b", text):
        return _PAGE
    if text.startswith("<"):
        return _XML
    return _JSON if text[0] in "{[" else _TEXT


def fault(head: bytes, medium: Medium, path: Path) -> str | None:
    """Why a file that begins with these bytes cannot be read as the medium, for a sentence "PATH: is ...", and a remedy.

    None where nothing tells what it is.
    """
    kind = file_kind(head)
    if kind is None:
        return None
    if medium not in kind.media:
        noun = "audio" if medium == "audio" else "an image"
        return f"is not {noun} but {kind.words}" + (f"; {kind.remedy}" if kind.remedy else "")
    if medium == "audio":
        return f"is {kind.words}, which is not read; {kind.remedy or ffmpeg(path)}"
    return f"is {kind.words}, which is not read; convert it to PNG or JPEG"


def ffmpeg(path: Path) -> str:
    """What converts audio that cannot be read, as the end of a sentence."""
    target = f"{path.stem}.wav"
    return f"convert it: ffmpeg -i {path.name} {target if target != path.name else f'{path.stem}-new.wav'}"
