"""From the files of a row to what a store has of it: the work of a worker process of the preparation.

It loads no more of the package than that: worker processes load all that this module imports.
"""

from __future__ import annotations

import zlib
from dataclasses import dataclass
from pathlib import Path
from typing import NamedTuple

import numpy as np

from resdavenet_vq.data import audio, features, images, release_2020
from resdavenet_vq.data.sources import Outside, Source
from resdavenet_vq.errors import InputError

LOADED = (__name__, *features.HEAVY)
"""Modules that the server of worker processes loads once for all of them."""

ORDER = "are the rows in the corpus's order?"


class Task(NamedTuple):
    """A row to convert."""

    row: int
    wav: Path
    image: Path | None
    """With wav and image files, only of the first row that shows it."""


@dataclass
class Converted:
    """The outcome of a task. Without a fault it has features; it has an image where the task has one."""

    logmel: np.ndarray | Outside | None = None
    n_samples: int = 0
    audio_fault: str = ""
    image: bytes | Outside | None = None
    image_fault: str = ""
    notices: tuple[str, ...] = ()
    """What was noticed of the audio and the image, which refuses no row."""


def convert(reader: str, image_size: int | None, source: Source, task: Task) -> Converted:
    """Reads, checks and converts what belongs to a row, for a store with this reader and this size of images."""
    result, inside = Converted(), reader == "store"
    try:
        logmel, result.n_samples = source.logmel(task.wav, task.row)
        if reader == "release_2020":
            result.n_samples, notice = _length(task.wav, result.n_samples)
            result.notices += (notice,) if notice else ()
        result.logmel = logmel if inside else Outside(len(logmel), source.audio_crc32(task.wav, task.row), task.row)
    except InputError as e:
        result.audio_fault = str(e).removeprefix(f"{source.audio_file(task.wav)}: ")
    if task.image is not None:
        try:
            image = source.image(task.image, task.row)
            notice = images.check(image)
            result.notices += (notice,) if notice else ()
            if image_size is not None:
                image = images.reduced(image, image_size)
            result.image = image if inside else Outside(len(image), zlib.crc32(image))
        except InputError as e:
            result.image_fault = str(e).removeprefix(f"{source.image_file(task.image)}: ")
    return result


def _length(wav: Path, least: int) -> tuple[int, str]:
    """The length of audio whose features the release has, at least `least` samples, and what there is to notice."""
    n_frames = features.frame_count(least)
    if not wav.exists():
        cut = ", perhaps of a longer one" if n_frames == release_2020.RELEASE_FRAMES else ""
        return least, f"no wav file: the length is that of the frames{cut}"
    n_samples = audio.length_of_wav(wav)
    expected = min(features.frame_count(n_samples), release_2020.RELEASE_FRAMES)
    if abs(n_frames - expected) > 1:  # another resampler may round otherwise
        raise InputError(f"the row has {n_frames} frames where {wav} has {expected}; {ORDER}")
    return n_samples, ""
