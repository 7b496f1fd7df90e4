"""The text files of submissions: a zip or a folder of one layer's frames is written, and files of others are read.

Equal features give equal bytes: files are in the order of their names, their dates are fixed.
"""

from __future__ import annotations

import math
import zipfile
from collections import Counter
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from functools import lru_cache
from pathlib import Path, PurePosixPath
from typing import BinaryIO, NamedTuple

import numpy as np
import yaml

from resdavenet_vq.config import Submission
from resdavenet_vq.encode.exports import frame_text
from resdavenet_vq.encode.features import LayerFeatures
from resdavenet_vq.encode.file_names import check_ids, new_file
from resdavenet_vq.errors import InputError
from resdavenet_vq.files import atomic_folder, atomic_write
from resdavenet_vq.zerospeech import metadata


def pack(
    features: Path, layer: str, settings: Submission, out: Path, *, lineage: str, edition: int = 2019, split: str = ""
) -> None:
    """Writes one layer of a features file as a submission: a zip if `out` ends in `.zip`, else a new folder.

    `split` is the folder below `phonetic/` of the 2021 edition for ids without a folder of their own: `dev-clean`.

    Raises InputError for layers with fewer than two values a frame, which the challenge refuses, for utterances whose
    ids end in the same file name, and of 2021 for utterances of a single frame.
    """
    with LayerFeatures(features, layer) as frames:
        frames.origin.check(features, lineage=lineage)
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
                code = f"Made with the Python package resdavenet-vq: lineage {lineage}, layer {layer}.\n"
                write("2019/code/README.txt", code)
            for i in sorted(range(len(names)), key=names.__getitem__):
                write(names[i], frame_text(frames.rows(i)))


def _names(frames: LayerFeatures, edition: int, split: str) -> list[str]:
    """The file of each utterance. Raises InputError if two have the same, or the edition cannot have one."""
    check_ids(frames.ids, frames.path, ".txt")
    ids = [PurePosixPath(name) for name in frames.ids]
    if edition == 2021:
        if len(short := np.flatnonzero(np.diff(frames.offsets) < 2)):
            raise InputError(
                f"{frames.path}: {frames.layer} of {ids[short[0]]} has a single frame ({len(short)} utterances have), "
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
            new_file(tmp, name).write_text(text, encoding="utf-8")

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


class FileFrames(NamedTuple):
    """The number of frames in a file, their width, and what is wrong with the file."""

    frames: int
    width: int
    """Values in a frame, 0 if frames differ or there are none."""
    problems: list[str]


def read_frames(file: BinaryIO, *, any_space: bool, fewest: int) -> FileFrames:
    """Reads a feature file, line by line. Blank lines do not count, as for the challenge's tools.

    With `any_space` tabs or several spaces separate values too, as in the tool of 2021. `fewest` frames must be there.
    """
    n, n_bad, first_bad, widths = 0, 0, 0, set()
    for number, line in enumerate(iter(lambda: file.readline(LONGEST_LINE), b""), start=1):
        if len(line) == LONGEST_LINE and not line.endswith(b"\n"):
            fault = f"line {number} has more than {LONGEST_LINE} bytes; the file was read no further"
            return FileFrames(n, 0, [fault])
        if line in (b"\n", b"\r\n"):
            continue
        n += 1
        width = _width(line, None if any_space else b" ")
        if width:
            widths.add(width)
        else:
            n_bad, first_bad = n_bad + 1, first_bad or number
    problems = []
    if n_bad:
        more = f" (and {n_bad - 1} more lines)" if n_bad > 1 else ""
        problems.append(f"line {first_bad} is not made of numbers separated by single spaces{more}")
    if not n:
        problems.append("is empty")
    elif len(widths) > 1:
        some = ", ".join(map(str, sorted(widths)[:10]))
        problems.append(f"its lines have {some}{' ...' if len(widths) > 10 else ''} values")
    elif widths == {1}:
        problems.append("has fewer than two columns")
    if 0 < n < fewest:
        problems.append(f"has {n} frame, and at least {fewest} are needed")
    return FileFrames(n, widths.pop() if len(widths) == 1 else 0, problems)


def _width(line: bytes, separator: bytes | None) -> int:
    """The number of values in a line; 0 if one is no finite number."""
    return _remembered_width(line, separator) if len(line) < 1 << 14 else _remembered_width.__wrapped__(line, separator)


@lru_cache(1 << 12)  # frames of codes repeat
def _remembered_width(line: bytes, separator: bytes | None) -> int:
    try:
        numbers = [*map(float, line.rstrip(b"\r\n").split(separator))]
    except ValueError:
        return 0
    return len(numbers) if b"_" not in line and all(map(math.isfinite, numbers)) else 0
