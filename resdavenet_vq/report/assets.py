"""The report's folder, written whole or not at all: sounds, images and figures copied in once, and data in pieces.

A page opened from disk may not fetch files, but it may add scripts. So every piece of data is a file `data/NAME.js`
that hands one JSON value to `report.receive`. The text is safe inside a script element as well: `<` never occurs in it.
"""

from __future__ import annotations

import json
import math
import shutil
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from pathlib import Path
from typing import TYPE_CHECKING, Any, NamedTuple

import numpy as np
import soundfile

from resdavenet_vq import files
from resdavenet_vq.data import audio, images
from resdavenet_vq.data.features import SAMPLE_RATE
from resdavenet_vq.errors import InputError
from resdavenet_vq.figures.style import save
from resdavenet_vq.files import atomic_folder

if TYPE_CHECKING:
    from resdavenet_vq.figures.style import Drawing

PIXELS_PER_INCH = 96
"""Of a web page."""

COMPRESSED = frozenset({".flac", ".mp3", ".ogg", ".opus", ".m4a"})
"""Audio files that every browser plays and that are small as they are."""

LONGEST_WAV = 60.0
"""Seconds of the longest sound that is kept as WAV, which takes about twice the space of FLAC."""

SIXTEEN_BITS = frozenset({"PCM_16", "PCM_U8", "PCM_S8", "ULAW", "ALAW"})
"""What a file of 16 bits holds without loss."""


class Picture(NamedTuple):
    """A picture in the folder: its relative path, its size in pixels of the page, and its description."""

    file: str
    width: int
    height: int
    alt: str = ""


class Folder:
    """Files beside the pages. Names are numbers and plain words, never taken from the corpus."""

    def __init__(self, root: Path) -> None:
        self.root = root
        self._sounds: dict[Path, str] = {}
        self._images: dict[str, Picture] = {}
        self._copied: dict[Path, str] = {}

    def path(self, name: str) -> Path:
        """A path in the folder; creates its parent."""
        path = self.root / name
        path.parent.mkdir(parents=True, exist_ok=True)
        return path

    def figure(self, name: str, drawing: Drawing) -> Picture:
        """Saves a figure as SVG."""
        save(drawing.figure, self.path(f"figures/{name}.svg"))
        width, height = drawing.figure.get_size_inches() * PIXELS_PER_INCH
        return Picture(f"figures/{name}.svg", round(width), round(height), drawing.alt)

    def data(self, name: str, value: Any) -> None:
        """Writes a piece of data."""
        text = f"report.receive({as_script(name)},{as_script(value)});\n"
        self.path(f"data/{name}.js").write_text(text, encoding="utf-8")

    def sound(self, source: Path, *, wav: bool = False) -> str:
        """Copies an audio file in: as it is where it is compressed, else as FLAC, or as WAV where that is asked for.

        It is copied once, in the format in which it is asked for first. Raises InputError naming it where it cannot be
        read.
        """
        if source not in self._sounds:
            name, suffix = f"sounds/{len(self._sounds) + 1:04d}", source.suffix.lower()
            is_lossless = suffix not in COMPRESSED - {".flac"}
            if wav and is_lossless and audio.length_of_wav(source) <= LONGEST_WAV * SAMPLE_RATE:
                self._sounds[source] = self._as_pcm(source, f"{name}.wav")
            elif suffix in COMPRESSED:
                self._sounds[source] = self.copy(source, f"{name}{suffix}")
            else:
                self._sounds[source] = self._as_pcm(source, f"{name}.flac")
        return self._sounds[source]

    def _as_pcm(self, source: Path, name: str) -> str:
        with audio.open_audio(source, audio.MAX_SECONDS) as sound:
            rate, channels, subtype = sound.samplerate, sound.channels, sound.subtype
        dtype = "int16" if subtype in SIXTEEN_BITS else "float32"
        with soundfile.SoundFile(self.path(name), "w", rate, channels, "PCM_16") as out:
            for block in audio.read_channels(source, dtype):
                out.write(block)
        return name

    def copy(self, source: Path, name: str) -> str:
        """Copies a file in under a name. Raises InputError naming it where it is no regular file or cannot be read."""
        with files.open_regular(source) as file, self.path(name).open("wb") as out:
            shutil.copyfileobj(file, out)
        return name

    def copy_once(self, source: Path, name: str) -> str:
        """Copies a file in under a name with a number, unless it was copied before."""
        if source not in self._copied:
            self._copied[source] = self.copy(source, f"{name}-{len(self._copied) + 1}{source.suffix}")
        return self._copied[source]

    def image(self, key: str, data: bytes) -> Picture:
        """Writes an encoded image as the network sees it. Raises InputError naming `key` where the bytes are none."""
        if key not in self._images:
            try:
                shown = images.displayed(data)
            except InputError as e:
                raise InputError(f"image {key}: {e}; prepare the split again") from None
            name = f"images/{len(self._images) + 1:04d}.{shown.suffix}"
            self.path(name).write_bytes(shown.data)
            self._images[key] = Picture(name, shown.width, shown.height)
        return self._images[key]


def as_script(value: Any) -> str:
    """A value as JSON without `<`, `>` and `&`, for a script element; NaN and infinity become null."""
    text = json.dumps(_finite(value), separators=(",", ":"), ensure_ascii=False, allow_nan=False)
    for character in "<>&\u2028\u2029":
        text = text.replace(character, f"\\u{ord(character):04x}")
    return text


def pieces(values: Sequence[Any], size: int) -> Iterator[tuple[int, Sequence[Any]]]:
    """Pieces of at most `size` values with their numbers from 0."""
    for number, start in enumerate(range(0, len(values), size)):
        yield number, values[start : start + size]


def _finite(value: Any) -> Any:
    match value:
        case dict():
            return {str(key): _finite(item) for key, item in value.items()}
        case list() | tuple():
            return [_finite(item) for item in value]
        case np.ndarray():
            return _finite(value.tolist())
        case np.generic():
            return _finite(value.item())
        case float() if not math.isfinite(value):
            return None
    return value


@contextmanager
def replace_folder(out: Path) -> Iterator[Folder]:
    """A folder beside `out` to fill; it replaces `out`, whole, only when the block ends without an error."""
    with atomic_folder(out, replace=True) as tmp:
        yield Folder(tmp)
