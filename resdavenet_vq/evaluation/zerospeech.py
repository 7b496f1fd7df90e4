"""ZeroSpeech 2019 submissions: a zip of one layer's frames as text.

`metadata.yaml` says who submits and how; `english/test/{utterance}.txt` has one line per frame, its values
separated by spaces, with 3 decimals as the 2020 release writes them (never `-0.000`). Frames that agree
to 3 decimals are one symbol to the challenge's bitrate. Equal features give equal bytes: files are in the
order of their names, their dates are fixed.
"""

from __future__ import annotations

import math
import zipfile
from collections.abc import Iterator
from pathlib import Path, PurePosixPath
from typing import Any

import numpy as np
import yaml

from resdavenet_vq.config import Submission
from resdavenet_vq.errors import InputError
from resdavenet_vq.evaluation.layers import LayerFeatures, is_quantized
from resdavenet_vq.files import written_whole

FOLDER = "english/test/"
METADATA = "metadata.yaml"
TEXTS = ("author", "affiliation", "abx distance", "system description")
BOOLEANS = ("open source", "using parallel train", "using external data")
DISTANCES = ("dtw_cosine", "dtw_kl", "levenshtein")


def pack(features: Path, layer: str, settings: Submission, out: Path, *, lineage: str) -> None:
    """Writes one layer of a features file as a submission zip.

    Raises InputError for layers with fewer than two values a frame, which the challenge refuses, and
    for utterances whose ids end in the same file name.
    """
    metadata = {
        "author": settings.author,
        "affiliation": settings.affiliation,
        "abx distance": settings.abx_distance,
        "system description": f"ResDAVEnet-VQ {lineage}, layer {layer}, trained on images and their spoken captions",
        "open source": True,
        "using parallel train": False,
        "using external data": True,
    }
    with LayerFeatures(features, layer) as frames:
        if frames.width < 2:
            raise InputError(f"{features}: {layer} has {frames.width} value a frame, and a submission needs two; choose another layer")
        names = [PurePosixPath(name).name for name in frames.ids]
        if len(set(names)) != len(names):
            twice = sorted({name for name in names if names.count(name) > 1})
            raise InputError(
                f"{features}: {twice[0]}.txt would stand in the submission twice; utterance ids must differ in their last part"
            )
        with written_whole(out) as beside, zipfile.ZipFile(beside, "w", zipfile.ZIP_DEFLATED) as submission:
            submission.writestr(_entry(METADATA), yaml.safe_dump(metadata, sort_keys=False, allow_unicode=True))
            lines = _Lines(remember=is_quantized(layer))
            for i in sorted(range(len(names)), key=names.__getitem__):
                submission.writestr(_entry(f"{FOLDER}{names[i]}.txt"), lines.of(frames.rows(i)))


class _Lines:
    """The text of frames; with `remember`, a frame met before is not formatted again."""

    def __init__(self, *, remember: bool) -> None:
        self._known: dict[bytes, str] | None = {} if remember else None

    def of(self, rows: np.ndarray) -> str:
        """One line for each row of (frames, width)."""
        if self._known is None:
            return "".join(map(_line, rows))
        lines = []
        for row in rows:
            key = row.tobytes()
            if (line := self._known.get(key)) is None:
                line = self._known[key] = _line(row)
            lines.append(line)
        return "".join(lines)


def _line(row: np.ndarray) -> str:
    """Values with 3 decimals, rounded in double precision, zero without a sign."""
    values = (row.astype(np.float64).round(3) + 0.0).tolist()
    return " ".join(["%.3f"] * len(values)) % tuple(values) + "\n"


def _entry(name: str) -> zipfile.ZipInfo:
    """A file in the zip that looks the same whenever and wherever it was written."""
    entry = zipfile.ZipInfo(name, date_time=(1980, 1, 1, 0, 0, 0))
    entry.compress_type = zipfile.ZIP_DEFLATED
    entry.create_system = 3
    entry.external_attr = 0o644 << 16
    return entry


def validate_2019(path: Path) -> list[str]:
    """What the challenge would object to in a submission; an empty list if nothing."""
    try:
        with zipfile.ZipFile(path) as submission:
            return [*_metadata_problems(submission), *_text_problems(submission)]
    except (OSError, zipfile.BadZipFile) as e:
        return [f"{path}: is no zip file ({e})"]


def _metadata_problems(submission: zipfile.ZipFile) -> Iterator[str]:
    """Problems of metadata.yaml."""
    try:
        metadata: Any = yaml.safe_load(submission.read(METADATA))
    except KeyError:
        yield f"{METADATA}: is missing"
        return
    except yaml.YAMLError as e:
        yield f"{METADATA}: is no YAML ({e})"
        return
    if not isinstance(metadata, dict):
        yield f"{METADATA}: is no mapping"
        return
    for key in (*TEXTS, *BOOLEANS):
        if key not in metadata:
            yield f"{METADATA}: '{key}' is missing"
        elif key in BOOLEANS and not isinstance(metadata[key], bool):
            yield f"{METADATA}: '{key}' must be true or false, not {metadata[key]!r}"
        elif key in TEXTS and not (isinstance(metadata[key], str) and metadata[key].strip()):
            yield f"{METADATA}: '{key}' must be a text, not {metadata[key]!r}"
    if (distance := metadata.get("abx distance")) not in DISTANCES:
        yield f"{METADATA}: 'abx distance' must be one of {', '.join(DISTANCES)}, not {distance!r}"
    for key in metadata.keys() - {*TEXTS, *BOOLEANS}:
        yield f"{METADATA}: '{key}' is not known"


def _text_problems(submission: zipfile.ZipFile) -> Iterator[str]:
    """Problems of the feature files, which must all have one width."""
    names = [name for name in submission.namelist() if name != METADATA and not name.endswith("/")]
    if len(names) != len(set(names)):
        yield "a file stands in the zip twice"
    if not any(name.startswith(FOLDER) for name in names):
        yield f"{FOLDER}: holds no file"
    expected = None
    for name in names:
        if not (name.startswith(FOLDER) and name.endswith(".txt") and "/" not in name.removeprefix(FOLDER)):
            yield f"{name}: is neither {METADATA} nor {FOLDER}*.txt"
            continue
        problems, width = _read_text(submission, name)
        yield from problems
        if width != (expected := expected or width) and width:
            yield f"{name}: has {width} columns, other files have {expected}"


def _read_text(submission: zipfile.ZipFile, name: str) -> tuple[list[str], int]:
    """Problems of one feature file, and its width, 0 if it has none."""
    widths, problems = set(), []
    with submission.open(name) as lines:
        for number, line in enumerate(lines, start=1):
            values = line.removesuffix(b"\n").split(b" ")
            widths.add(len(values))
            if not all(map(_is_number, values)):
                problems.append(f"{name}: line {number} is not made of numbers separated by single spaces")
    if not widths:
        problems.append(f"{name}: is empty")
    elif len(widths) > 1:
        problems.append(f"{name}: its lines have {', '.join(map(str, sorted(widths)))} values")
    elif widths == {1}:
        problems.append(f"{name}: has fewer than two columns")
    return problems, widths.pop() if len(widths) == 1 else 0


def _is_number(text: bytes) -> bool:
    """Whether a field is a finite number."""
    try:
        return math.isfinite(float(text))
    except ValueError:
        return False
