"""Segments of any length with start, end and unit: tables, TextGrids, JSONL, and a folder of `start end unit` lines.

The last is the folder `intervals` of unit segmentation by dynamic programming (Kamper 2022), whose times are frames of
10 ms: `frame_period: 0.01`. A single table or JSONL lists all utterances, by name; in a folder, a file is an utterance.
"""

from __future__ import annotations

import csv
import json
from collections.abc import Iterable, Iterator, Mapping
from itertools import groupby
from pathlib import Path
from typing import Any

import numpy as np

from resdavenet_vq.corpus import textgrid
from resdavenet_vq.errors import InputError
from resdavenet_vq.external.records import Faults, Record, as_labels, files_below, lines_of
from resdavenet_vq.external.texts import NAMES, json_lines, name_in

SUFFIXES = (".txt", ".csv", ".tsv", ".textgrid", ".jsonl")

TIER = "units"
"""The tier of a TextGrid that is read, where there are several."""

_COLUMNS = {
    "start": ("start", "onset", "begin"),
    "end": ("end", "offset"),
    "unit": ("unit", "label", "code", "cluster"),
}

LATEST = 1e7
"""The latest time, in seconds or frames."""

type _Row = tuple[Any, Any, Any]
"""Start, end and unit, as written."""


def read(path: Path, faults: Faults) -> Iterator[Record]:
    """The segments of each utterance."""
    alone = not path.is_dir()
    for name, file in files_below(path, SUFFIXES):
        match file.suffix.lower():
            case ".jsonl":
                yield from _jsonl(file, faults)
            case ".csv" | ".tsv":
                yield from _table(file, "" if alone else name, faults)
            case ".textgrid":
                record = None
                with faults.of(file):
                    record = _record(name, str(file), _tier(file))
                if record:
                    yield record
            case _:
                record = None
                with faults.of(file):
                    record = _record(name, str(file), list(_lines(file)))
                if record:
                    yield record


def _lines(path: Path) -> Iterator[_Row]:
    for where, line in lines_of(path):
        parts = line.split()
        if len(parts) != 3:
            raise InputError(f"{where}: has {len(parts)} parts; write start, end and unit")
        yield parts[0], parts[1], parts[2]


def _tier(path: Path) -> list[_Row]:
    tiers = textgrid.read(path)
    if len(tiers) != 1 and TIER not in tiers:
        raise ValueError(f"has the tiers {', '.join(tiers) or 'none'}; the one with units must be called {TIER}")
    chosen = tiers[TIER] if TIER in tiers else next(iter(tiers.values()))
    return [(*interval,) for interval in chosen]


def _jsonl(path: Path, faults: Faults) -> Iterator[Record]:
    """Lines with a name and `segments`, each `[start, end, unit]` or an object with these keys."""
    for where, value in json_lines(path, faults):
        record = None
        with faults.of(where):
            segments = value.get("segments")
            if not isinstance(segments, list):
                raise ValueError("has no list of segments")  # noqa: TRY004 - a fault of the file
            record = _record(name_in(value), where, [_of_json(segment) for segment in segments])
        if record:
            yield record


def _of_json(segment: Any) -> _Row:
    if isinstance(segment, Mapping):
        columns = _columns(list(segment))
        start, end, unit = (segment[columns[name]] for name in _COLUMNS)
    elif isinstance(segment, list) and len(segment) == 3:
        start, end, unit = segment
    else:
        raise ValueError(f"a segment is {json.dumps(segment)[:60]}, not start, end and unit")
    return start, end, unit


def _columns(names: list[str]) -> dict[str, str]:
    """The column of start, end and unit. Raises ValueError if one is missing."""
    found = {name: next((n for n in known if n in names), "") for name, known in _COLUMNS.items()}
    if missing := [name for name, column in found.items() if not column]:
        raise ValueError(f"has no {missing[0]} (there are {', '.join(map(str, names))[:200]})")
    return found


def _table(path: Path, name: str, faults: Faults) -> Iterator[Record]:
    """A table with a header; without a `name` a column names the utterance, whose rows stand together."""
    rows = lines_of(path)
    places: list[str] = [str(path)]

    def lines() -> Iterator[str]:
        for where, line in rows:
            places[0] = where
            yield line

    reader = csv.DictReader(lines(), delimiter="\t" if path.suffix.lower() == ".tsv" else ",")
    with faults.of(path):
        try:
            header = [str(column).strip() for column in reader.fieldnames or ()]
            columns = _columns(header)
            named = next((column for column in NAMES if column in header), "")
            if not (name or named):
                raise ValueError(f"no column names the utterance: {', '.join(NAMES)}")
            reader.fieldnames = header
            cells = ((name or row[named], places[0], row) for row in reader)
            for utterance, group in groupby(cells, key=lambda cell: cell[0]):
                some = list(group)
                record = None
                with faults.of(some[0][1]):
                    if not utterance:
                        raise ValueError("has no name of the utterance")
                    parts = [(row[columns["start"]], row[columns["end"]], row[columns["unit"]]) for _, _, row in some]
                    record = _record(utterance, some[0][1], parts)
                if record:
                    yield record
        except csv.Error as e:
            raise ValueError(f"is no table ({e})") from None


def _record(name: str, where: str, rows: Iterable[_Row]) -> Record:
    """The segments in order of time. Raises ValueError for times that are none, empty segments and overlaps."""
    rows = list(rows)
    try:
        times = np.array([[float(start), float(end)] for start, end, _ in rows], np.float64).reshape(-1, 2)
    except (TypeError, ValueError):
        raise ValueError("a start or end is no number") from None
    if not ((times >= 0) & (times <= LATEST)).all():  # false for NaN
        raise ValueError(f"a start or end is not from 0 to {LATEST:g}")
    order = np.argsort(times[:, 0], kind="stable")
    times = times[order]
    if (empty := np.flatnonzero(times[:, 1] <= times[:, 0])).size:
        raise ValueError(f"the segment from {times[empty[0], 0]:g} to {times[empty[0], 1]:g} is empty")
    if (over := np.flatnonzero(times[1:, 0] < times[:-1, 1] - 1e-6)).size:
        a, b = times[over[0]], times[over[0] + 1]
        raise ValueError(f"the segments from {a[0]:g} to {a[1]:g} and from {b[0]:g} to {b[1]:g} overlap")
    if any(type(unit) not in (int, str) for *_, unit in rows):
        raise ValueError("a unit is neither a whole number nor a name")
    labels = as_labels([str(rows[i][2]).strip() for i in order.tolist()])
    return Record(name, where, labels, times=times)
