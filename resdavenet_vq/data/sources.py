"""Sources of features and images: a corpus's wav and image files, or the two HDF5 files of the 2020 release.

Preparation reads a source once, checks it, and puts features and images into a store. With the readers `files` and
`release_2020` the store keeps all but these, and asks the same source for them: bit for bit what a store would hold.
"""

from __future__ import annotations

import zlib
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any, NamedTuple

import numpy as np

from resdavenet_vq import files
from resdavenet_vq.data import audio, features, images
from resdavenet_vq.data.release_2020 import Release2020

_BLOCK = 1 << 20


class Outside(NamedTuple):
    """Features or an image that the store does not hold: frames or bytes, and the CRC32 and row of their source."""

    length: int
    crc32: int
    row: int = -1


@dataclass
class Media:
    """A source of wav and image files; `row`, by which the release of 2020 knows an utterance, is not used.

    Sources are picklable and safe in forked processes. Methods that read raise InputError naming the file.
    """

    precision: str
    max_frames: int

    def logmel(self, wav: Path, row: int) -> tuple[np.ndarray, int]:
        """Features (T, 40) in dB at the store's precision, cut to its max_frames, and the number of 16 kHz samples."""
        samples = audio.read_wav(wav, allow_silent=False)
        logmel = features.log_mel(self.process(samples, row))
        features.check(logmel)
        return logmel[: self.max_frames].astype(self.precision), len(samples)

    def process(self, samples: np.ndarray, row: int) -> np.ndarray:  # noqa: ARG002
        """The waveform (samples,) that the features are made of."""
        return samples

    def image(self, image: Path, row: int) -> bytes:  # noqa: ARG002
        """The encoded file of an image; whether it decodes is not checked."""
        return images.read(image)

    def audio_crc32(self, wav: Path, row: int) -> int:  # noqa: ARG002
        """The CRC32 of what the features are made from; the features may differ in the last bit between processors."""
        crc32 = 0
        with files.open_regular(wav) as file, files.reading(wav):
            while block := file.read(_BLOCK):
                crc32 = zlib.crc32(block, crc32)
        return crc32

    def audio_file(self, wav: Path) -> Path:
        """The file that features come from."""
        return wav

    def image_file(self, image: Path) -> Path:
        """The file that an image comes from."""
        return image


type Source = Media | Release2020


def open_source(attributes: Mapping[str, Any]) -> Source | None:
    """The source of features and images of a store with these attributes; None if it holds them itself."""
    precision, max_frames, release = attributes["precision"], attributes["max_frames"], attributes["release"]
    if attributes["reader"] == "release_2020":
        return Release2020(Path(release["json"]), release["rows"], precision, max_frames)
    return Media(precision, max_frames) if attributes["reader"] == "files" else None


def are_sound(attributes: Mapping[str, Any]) -> bool:
    """Whether `open_source` understands a store's attributes."""
    kinds = {"store": {}, "files": {}, "release_2020": {"json": str, "rows": int}}.get(attributes["reader"])
    release = {key: type(value) for key, value in attributes["release"].items()}
    return attributes["precision"] in {"float16", "float32"} and release == kinds
