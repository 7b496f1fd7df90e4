"""The text files of submissions: a zip or a folder of one layer's frames is written, and files of others are read.

Equal features give equal bytes: files are in the order of their names, their dates are fixed.
"""

from __future__ import annotations

import math
import zipfile
from collections import Counter
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from pathlib import Path, PurePosixPath
from typing import BinaryIO

import yaml

from resdavenet_vq.config import Submission
from resdavenet_vq.encode.exports import FrameText
from resdavenet_vq.encode.features import LayerFeatures, is_quantized
from resdavenet_vq.errors import InputError
from resdavenet_vq.files import atomic_folder, atomic_write
from resdavenet_vq.zerospeech import metadata

CODE = """Made with the Python package resdavenet-vq: lineage {lineage}, layer {layer}.
"""


def pack(
    features: Path, layer: str, settings: Submission, out: Path, *, lineage: str, edition: int = 2019, split: str = ""
) -> None:
    """Writes one layer of a features file as a submission: a zip if `out` ends in `.zip`, else a new folder.

    `split` is the folder below `phonetic/` of the 2021 edition for ids without a folder of their own: `dev-clean`.

    Raises InputError for layers with fewer than two values a frame, which the challenge refuses, for utterances whose
    ids end in the same file name, and of 2021 for utterances of a single frame.
    """
    with LayerFeatures(features, layer) as frames:
        if frames.width < 2:
            raise InputError(
                f"{features}: {layer} has {frames.width} value a frame, and a submission needs two; "
                "choose another layer"
            )
        names = _names(frames, edition, split)
        texts = metadata.describe(
            edition, settings, lineage=lineage, layer=layer, frame_period=frames.frame_period, width=frames.width
        )
        with _submission(out) as write:
            for name, content in texts.items():
                write(name, yaml.safe_dump(content, sort_keys=False, allow_unicode=True))
            if edition == 2020:  # an open-source submission has a folder of code, if only to say where the code is
                write("2019/code/README.txt", CODE.format(lineage=lineage, layer=layer))
            text = FrameText(remember=is_quantized(layer))
            for i in sorted(range(len(names)), key=names.__getitem__):
                write(names[i], text.format(frames.rows(i)))


def _names(frames: LayerFeatures, edition: int, split: str) -> list[str]:
    """The file of each utterance. Raises InputError if two have the same, or the edition cannot have one."""
    ids = [PurePosixPath(name) for name in frames.ids]
    if edition == 2021:
        if unsafe := [
            name for name in frames.ids if PurePosixPath(name).is_absolute() or ".." in PurePosixPath(name).parts
        ]:
            raise InputError(f"{frames.path}: the id {unsafe[0]!r} is no path below a folder; encode with other ids")
        if short := [
            name for name, n in zip(frames.ids, frames.offsets[1:] - frames.offsets[:-1], strict=True) if n < 2
        ]:
            raise InputError(
                f"{frames.path}: {frames.layer} of {short[0]} has a single frame ({len(short)} utterances have), "
                "and ZeroSpeech 2021 needs two; leave it out, or choose a faster layer"
            )
        names = [str(PurePosixPath("phonetic", split if len(name.parts) == 1 else "", name)) + ".txt" for name in ids]
    else:
        names = [f"{'2019/' if edition == 2020 else ''}english/test/{name.name}.txt" for name in ids]
    if twice := sorted(name for name, n in Counter(names).items() if n > 1):
        raise InputError(
            f"{frames.path}: {twice[0]} would be in the submission twice; utterance ids must differ in their last part"
        )
    return names


@contextmanager
def _submission(out: Path) -> Iterator[Callable[[str, str], None]]:
    """A function that writes a file of the submission, which appears whole or not at all."""
    if out.suffix == ".zip":
        with atomic_write(out) as tmp, zipfile.ZipFile(tmp, "w", zipfile.ZIP_DEFLATED) as archive:
            yield lambda name, text: archive.writestr(_entry(name), text)
        return
    with atomic_folder(out) as tmp:

        def write(name: str, text: str) -> None:
            path = tmp / name
            path.parent.mkdir(parents=True, exist_ok=True)
            path.write_text(text, encoding="utf-8")

        yield write


def _entry(name: str) -> zipfile.ZipInfo:
    """A file in the zip that looks the same whenever and wherever it was written."""
    entry = zipfile.ZipInfo(name, date_time=(1980, 1, 1, 0, 0, 0))
    entry.compress_type = zipfile.ZIP_DEFLATED
    entry.create_system = 3
    entry.external_attr = 0o644 << 16
    return entry


LONGEST_LINE = 1 << 20
"""Bytes: a frame of more than a hundred thousand values is none."""

LINES_REMEMBERED = 1 << 12
"""Different lines whose width is remembered: frames of codes repeat."""


@dataclass
class FileFrames:
    """The frames of a file, their widths, and its faults."""

    frames: int = 0
    widths: set[int] = field(default_factory=set)
    bad_lines: int = 0
    first_bad: int = 0
    too_long: bool = False

    @property
    def width(self) -> int:
        """Values in a frame, 0 if frames differ or there are none."""
        return next(iter(self.widths)) if len(self.widths) == 1 else 0

    def problems(self, name: str, fewest_frames: int) -> Iterator[str]:
        """What is wrong with the file."""
        if self.too_long:
            yield f"{name}: line {self.frames + 1} has more than {LONGEST_LINE} bytes; the file was read no further"
            return
        if self.bad_lines:
            more = f" (and {self.bad_lines - 1} more lines)" if self.bad_lines > 1 else ""
            yield f"{name}: line {self.first_bad} is not made of numbers separated by single spaces{more}"
        if not self.frames:
            yield f"{name}: is empty"
        elif len(self.widths) > 1:
            few = sorted(self.widths)[:10]
            yield f"{name}: its lines have {', '.join(map(str, few))}{' ...' if len(self.widths) > 10 else ''} values"
        elif self.widths == {1}:
            yield f"{name}: has fewer than two columns"
        if 0 < self.frames < fewest_frames:
            yield f"{name}: has {self.frames} frame, and at least {fewest_frames} are needed"


class FrameReader:
    """Reads feature files; with `any_space` tabs or several spaces separate values too, as in the tool of 2021."""

    def __init__(self, *, any_space: bool) -> None:
        self._separator = None if any_space else b" "
        self._widths: dict[bytes, int] = {}

    def read(self, file: BinaryIO) -> FileFrames:
        """The frames of a file. Blank lines do not count, as for the challenge's tools."""
        frames, number = FileFrames(), 0
        while line := file.readline(LONGEST_LINE):
            number += 1
            if len(line) == LONGEST_LINE and not line.endswith(b"\n"):
                frames.too_long = True
                break
            if line in (b"\n", b"\r\n"):
                continue
            frames.frames += 1
            width = self._widths.get(line)
            if width is None:
                width = self._width(line)
                if len(self._widths) < LINES_REMEMBERED and len(line) < 1 << 14:
                    self._widths[line] = width
            if width:
                frames.widths.add(width)
            else:
                frames.bad_lines += 1
                frames.first_bad = frames.first_bad or number
        return frames

    def _width(self, line: bytes) -> int:
        """The number of values in a line; 0 if one is no finite number."""
        try:
            numbers = [*map(float, line.rstrip(b"\r\n").split(self._separator))]
        except ValueError:
            return 0
        return len(numbers) if b"_" not in line and all(map(math.isfinite, numbers)) else 0
