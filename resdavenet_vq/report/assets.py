"""The report's folder: what the pages show, copied in once and named plainly, and the whole of it at once or not at all."""

from __future__ import annotations

import io
import os
import shutil
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import TYPE_CHECKING, NamedTuple

import numpy as np
import soundfile
from PIL import Image

from resdavenet_vq.errors import InputError
from resdavenet_vq.figures import spectrogram as figures

if TYPE_CHECKING:
    from matplotlib.figure import Figure

PIXELS_PER_INCH = 96
"""Of a web page."""

COMPRESSED = frozenset({".flac", ".mp3", ".ogg", ".opus", ".m4a"})
"""Audio files that every browser plays and that are small as they are."""


class Picture(NamedTuple):
    """A picture in the folder: its relative path, its size in pixels of the page, and its words."""

    file: str
    width: int
    height: int
    alt: str = ""
    caption: str = ""


class Folder:
    """Files beside the pages. Names are numbers and plain words, never taken from the corpus."""

    def __init__(self, root: Path) -> None:
        self.root = root
        self._sounds: dict[Path, str] = {}
        self._images: dict[str, Picture] = {}
        self._copied: dict[Path, str] = {}

    def path(self, *parts: str) -> Path:
        """A path in the folder, its parent made."""
        path = self.root.joinpath(*parts)
        path.parent.mkdir(parents=True, exist_ok=True)
        return path

    def figure(self, name: str, figure: Figure, alt: str, caption: str = "") -> Picture:
        """Saves a figure as SVG."""
        figures.save(figure, self.path("figures", f"{name}.svg"))
        width, height = figure.get_size_inches()
        return Picture(
            f"figures/{name}.svg", round(width * PIXELS_PER_INCH), round(height * PIXELS_PER_INCH), alt, caption
        )

    def sound(self, source: Path) -> str:
        """Copies an audio file in, as FLAC unless it is compressed already. Raises InputError naming it where it cannot be read."""
        if source not in self._sounds:
            number = len(self._sounds) + 1
            compressed = source.suffix.lower() in COMPRESSED
            name = f"sounds/{number:04d}{source.suffix.lower() if compressed else '.flac'}"
            if compressed:
                self.copy(source, name)
            else:
                self._as_flac(source, name)
            self._sounds[source] = name
        return self._sounds[source]

    def _as_flac(self, source: Path, name: str) -> None:
        """Without loss where the file has 16 bits, as most have."""
        try:
            plain = soundfile.info(source).subtype in {"PCM_16", "PCM_U8", "PCM_S8", "ULAW", "ALAW"}
            samples, rate = soundfile.read(source, dtype="int16" if plain else "float32")
            soundfile.write(self.path(*name.split("/")), samples, rate, format="FLAC", subtype="PCM_16")
        except (OSError, soundfile.SoundFileError) as e:
            raise InputError(f"{source}: cannot be copied into the report ({e})") from None

    def copy(self, source: Path, name: str) -> str:
        """Copies a file in under a name. Raises InputError naming it where it cannot be read."""
        try:
            shutil.copyfile(source, self.path(*name.split("/")))
        except OSError as e:
            raise InputError(f"{source}: cannot be copied into the report ({e.strerror or e})") from None
        return name

    def once(self, source: Path, name: str) -> str:
        """Copies a file in under a name that gets a number; the same file only once."""
        if source not in self._copied:
            self._copied[source] = self.copy(source, f"{name}-{len(self._copied) + 1}{source.suffix}")
        return self._copied[source]

    def grey(self, name: str, levels: np.ndarray) -> str:
        """Writes a grey picture (height, width) uint8."""
        Image.fromarray(levels).save(self.path(*name.split("/")))
        return name

    def image(self, key: str, data: bytes) -> Picture:
        """Writes the bytes of an encoded image. Raises InputError naming `key` where they are none."""
        if key not in self._images:
            try:
                with Image.open(io.BytesIO(data)) as image:
                    kind, (width, height) = str(image.format).lower(), image.size
            except (OSError, ValueError, Image.DecompressionBombError) as e:
                raise InputError(f"image {key}: cannot be shown ({e}); prepare the split again") from None
            name = f"images/{len(self._images) + 1:04d}.{'jpg' if kind == 'jpeg' else kind}"
            self.path(*name.split("/")).write_bytes(data)
            self._images[key] = Picture(name, width, height)
        return self._images[key]


@contextmanager
def atomic_write(out: Path) -> Iterator[Folder]:
    """A folder beside `out` to fill; it takes the place of `out`, and of all that was there, only when the block ends well."""
    out.parent.mkdir(parents=True, exist_ok=True)
    beside, old = (out.with_name(f".{out.name}.{os.getpid()}.{what}") for what in ("new", "old"))
    shutil.rmtree(beside, ignore_errors=True)
    beside.mkdir()
    try:
        yield Folder(beside)
        if out.exists():
            out.rename(old)
        try:
            beside.rename(out)
        except OSError:
            if old.exists():
                old.rename(out)
            raise
        shutil.rmtree(old, ignore_errors=True)
    finally:
        shutil.rmtree(beside, ignore_errors=True)
