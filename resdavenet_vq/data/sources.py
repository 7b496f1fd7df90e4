"""Sources of features and images: a corpus's wav and image files, or the two HDF5 files of the 2020 release.

A preparation reads a source once, checks it, and puts features and images into a store. With the other two readers the
store keeps all but these, and asks the same source again whenever one of them is needed: the
values are those that a store would hold, bit for bit.
"""

from __future__ import annotations

import zlib
from collections.abc import Mapping
from pathlib import Path
from typing import Any, NamedTuple, Protocol

import numpy as np

from resdavenet_vq.data import audio, features, images
from resdavenet_vq.data.release_2020 import Release2020
from resdavenet_vq.errors import InputError


class Source(Protocol):
    """A reader of utterances' features and images. Picklable, and safe in forked processes.

    An item is identified by its file in the manifest and by its row in the corpus; a source needs one of the two.
    Methods that read raise InputError naming the file.
    """

    def logmel(self, wav: Path, row: int) -> tuple[np.ndarray, int]:
        """Features (T, 40) in dB at the store's precision, cut to its max_frames, and the number of 16 kHz samples."""

    def image(self, image: Path, row: int) -> bytes:
        """The encoded file of an image; whether it decodes is not checked."""

    def audio_crc32(self, wav: Path, row: int) -> int:
        """The CRC32 of what the features are made from; the features may differ in the last bit between processors."""

    def audio_file(self, wav: Path) -> Path:
        """The file that features come from."""

    def image_file(self, image: Path) -> Path:
        """The file that an image comes from."""


class Media(NamedTuple):
    """A source of wav and image files."""

    precision: str
    max_frames: int

    def logmel(self, wav: Path, row: int) -> tuple[np.ndarray, int]:  # noqa: ARG002 - files are known by their paths
        """See Source."""
        samples = audio.read_wav(wav, allow_silent=False)
        return features.log_mel(samples)[: self.max_frames].astype(self.precision), len(samples)

    def image(self, image: Path, row: int) -> bytes:  # noqa: ARG002
        """See Source."""
        return images.read(image)

    def audio_crc32(self, wav: Path, row: int) -> int:  # noqa: ARG002
        """The CRC32 of the wav file."""
        try:
            return zlib.crc32(wav.read_bytes())
        except OSError as e:
            raise InputError(f"{wav}: cannot be read ({e.strerror or e})") from None

    def audio_file(self, wav: Path) -> Path:
        """The wav file."""
        return wav

    def image_file(self, image: Path) -> Path:
        """The image file."""
        return image


def open_source(attributes: Mapping[str, Any]) -> Source | None:
    """The source of features and images of a store with these attributes; None if it holds them itself."""
    precision, max_frames, release = attributes["precision"], attributes["max_frames"], attributes["release"]
    match attributes["reader"]:
        case "store":
            return None
        case "files":
            return Media(precision, max_frames)
        case _:
            return Release2020(Path(release["json"]), release["rows"], precision, max_frames)


def are_sound(attributes: Mapping[str, Any]) -> bool:
    """Whether `open_source` understands a store's attributes."""
    release = attributes["release"]
    kinds = {"store": {}, "files": {}, "release_2020": {"json": str, "rows": int}}.get(attributes["reader"])
    return (
        attributes["precision"] in {"float16", "float32"}
        and kinds is not None
        and release.keys() == kinds.keys()
        and all(type(release[key]) is kind for key, kind in kinds.items())
    )
