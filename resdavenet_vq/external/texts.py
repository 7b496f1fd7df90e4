"""Units and features in text: a file or a line an utterance, fairseq's .km with its manifest, JSONL with durations."""

from __future__ import annotations

import json
import math
import re
from collections.abc import Iterator
from itertools import zip_longest
from pathlib import Path
from typing import Any

import numpy as np

from resdavenet_vq.errors import InputError
from resdavenet_vq.external.arrays import MAX_WIDTH, checked_frames
from resdavenet_vq.external.records import (
    MAX_UNITS,
    Faults,
    Labels,
    Record,
    as_labels,
    as_lengths,
    files_below,
    lines_of,
    text_of,
)

NAMES = ("id", "file_name", "file", "audio", "utterance", "name", "path", "wav")
"""Keys of a line, or columns of a table, that may name the utterance; the first that is there counts."""

_CODES = ("units", "codes", "unit", "hubert")

_NAMED = re.compile(r"([^\t|]+)[\t|](.*)")

_BETWEEN = re.compile(r"[\s,]+")


def read_txt(path: Path, faults: Faults) -> Iterator[Record]:
    """Of a folder, the whole numbers or names in each .txt file; of a file, a line an utterance: its name, a tab, units.

    Between units are spaces, line breaks or commas; after the name may be `|` in place of the tab.
    """
    if path.is_dir():
        for name, file in files_below(path, [".txt"]):
            record = None
            with faults.of(file):
                record = Record(name, str(file), split_units(text_of(file)))
            if record:
                yield record
        return
    for where, line in lines_of(path):
        record = None
        with faults.of(where):
            if not (match := _NAMED.fullmatch(line)):
                raise ValueError("has no name; write the utterance's name, a tab and its units")
            record = Record(match[1].strip(), where, split_units(match[2]))
        if record:
            yield record


def read_km(path: Path, faults: Faults) -> Iterator[Record]:
    """A line of units for each row of the manifest of the same name: `a.km` and `a.tsv`, whose first line is a folder.

    Raises InputError if one has more lines than the other.
    """
    manifest = path.with_suffix(".tsv")
    rows = lines_of(manifest)
    next(rows, None)  # the folder that the paths are below
    for line, row in zip_longest(lines_of(path), rows):
        if line is None or row is None:
            longer, shorter = (path, manifest) if row is None else (manifest, path)
            raise InputError(f"{longer}: has more utterances than {shorter}; both list the same ones, in one order")
        record = None
        with faults.of(line[0]):
            record = Record(row[1].split("\t")[0], line[0], split_units(line[1]))
        if record:
            yield record


def split_units(text: str) -> Labels:
    """The units of a text. Raises ValueError for a mixture of numbers and names."""
    return as_labels(_BETWEEN.sub(" ", text).split())


def read_jsonl(path: Path, faults: Faults, frame_period: float | None) -> Iterator[Record]:
    """A line of JSON for each utterance: its name, `units`, and perhaps `frames`, `durations` and `frame_period`.

    Durations that are whole numbers are frames, others seconds. Without durations there is a unit a frame.
    """
    for _, file in files_below(path, [".jsonl", ".json", ".ndjson"]):
        for where, value in json_lines(file, faults):
            record = None
            with faults.of(where):
                record = _of_line(where, value, frame_period)
            if record:
                yield record


def json_lines(path: Path, faults: Faults) -> Iterator[tuple[str, dict[str, Any]]]:
    """Each line that is a JSON object, with its place."""
    for where, line in lines_of(path):
        value = None
        with faults.of(where):
            try:
                value = json.loads(line)
            except json.JSONDecodeError as e:
                raise ValueError(f"malformed JSON at column {e.colno}: {e.msg}") from None
            if not isinstance(value, dict):
                raise ValueError("is no JSON object")  # noqa: TRY004 - a fault of the file
        if isinstance(value, dict):
            yield where, value


def name_in(value: dict[str, Any]) -> str:
    """The utterance's name. Raises ValueError if there is none."""
    name = next((value[key] for key in NAMES if value.get(key)), None)
    if not isinstance(name, str):
        raise ValueError(f"has no name; one of {', '.join(NAMES)} must be a text")  # noqa: TRY004 - a fault of the file
    return name


def labels_in(units: Any) -> Labels:
    """The units of a JSON list of whole numbers or names, or of a text. Raises ValueError for anything else."""
    if isinstance(units, str):
        return split_units(units)
    if not isinstance(units, list) or any(type(unit) not in (int, str) for unit in units):
        raise ValueError("its units are no list of whole numbers or names")
    return as_labels(list(map(str, units)))


def _of_line(where: str, value: dict[str, Any], frame_period: float | None) -> Record:
    units = labels_in(next((value[key] for key in _CODES if key in value), None))
    name, n, own = name_in(value), len(units), value.get("frame_period")
    period = None if own is None else _seconds(own)
    if period and frame_period and not math.isclose(period, frame_period, rel_tol=1e-6):
        raise ValueError(f"its frame_period is {period:g}, and the configuration's {frame_period:g}")
    period = period or frame_period
    frames, durations = value.get("frames"), value.get("durations", value.get("duration"))
    if isinstance(frames, list):
        return Record(name, where, units, as_lengths(frames, n), frame_period=period)
    if not isinstance(durations, list):
        return Record(name, where, units, frame_period=period)
    if all(type(duration) is int for duration in durations):
        return Record(name, where, units, as_lengths(durations, n), frame_period=period)
    if len(durations) != n:
        raise ValueError(f"has {n} units and {len(durations)} durations")
    edges = np.concatenate([[0.0], np.cumsum(list(map(_seconds, durations)))])
    if period is None:
        return Record(name, where, units, times=np.stack([edges[:-1], edges[1:]], axis=1))
    if edges[-1] / period > MAX_UNITS:
        raise ValueError(f"lasts {edges[-1]:g} s")
    lengths = np.diff(np.rint(edges / period).astype(np.int64))
    if len(lengths) and (np.abs(edges / period - np.rint(edges / period)).max() > 0.1 or lengths.min() < 1):
        raise ValueError(f"its durations are no multiples of {period:g} s; correct frame_period, or leave it out")
    return Record(name, where, units, lengths, frame_period=period)


def _seconds(value: Any) -> float:
    """A number of seconds above 0. Raises ValueError for anything else."""
    if type(value) not in (int, float) or not 0 < value < 1e6:
        raise ValueError(f"{str(value)[:40]!r} is no number of seconds")
    return float(value)


def read_features(path: Path, faults: Faults) -> Iterator[Record]:
    """Frames (T, C) of each utterance, a .txt file a piece, a line a frame: the phonetic folder of ZeroSpeech 2021."""
    for name, file in files_below(path, [".txt"]):
        record = None
        with faults.of(file):
            rows: list[np.ndarray] = []
            for where, line in lines_of(file):
                values = line.replace(",", " ").split()
                if len(values) != len(rows[0] if rows else values) or len(values) > MAX_WIDTH:
                    raise InputError(f"{where}: has {len(values)} values, and the first line {len(rows[0])}")
                rows.append(np.array(values, np.float64))
            if not rows:
                raise ValueError("holds no frames")
            record = Record(name, str(file), checked_frames(np.stack(rows)))
        if record:
            yield record
