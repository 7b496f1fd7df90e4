"""What the Montreal Forced Aligner writes beside TextGrids: one file an utterance, with `--output_format csv` or `json`.

A `.csv` has the columns Begin, End, Label, Type (`words` or `phones`) and Speaker; a `.json` has `tiers`, each with
`entries` of `[begin, end, label]`. Tiers are named as in its TextGrids. Times are seconds.
"""

from __future__ import annotations

import csv
from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import Any

from resdavenet_vq.corpus.manifest import Interval, parse_seconds
from resdavenet_vq.corpus.rows import MAX_LINES, kind, read_lines
from resdavenet_vq.errors import InputError
from resdavenet_vq.files import read_json

SUFFIXES = (".csv", ".json")

ANALYSIS = "alignment_analysis.csv"
"""Is written into the same folder: a row of numbers for each utterance."""

LATEST = 1e9
"""The latest time in seconds."""

_COLUMNS = ("Begin", "End", "Label", "Type")


def read(path: Path) -> dict[str, tuple[Interval, ...]]:
    """The tiers of an utterance, without empty labels. Raises InputError naming file and line for what is none."""
    return _csv(path) if path.suffix.lower() == ".csv" else _json(path)


def _csv(path: Path) -> dict[str, tuple[Interval, ...]]:
    line = 0

    def lines() -> Iterator[str]:
        nonlocal line
        for line, text in read_lines(path, MAX_LINES):  # noqa: B007 - the number is for the messages
            yield text

    try:
        rows = list(_rows(csv.DictReader(lines(), strict=True)))
    except (csv.Error, ValueError) as e:
        raise InputError(f"{path}:{line}: {e}") from None
    several = len({speaker for _, speaker, _ in rows}) > 1
    tiers: dict[str, list[Interval]] = {}
    for tier, speaker, interval in rows:
        tiers.setdefault(f"{speaker} - {tier}" if several else tier, []).append(interval)
    return _labelled(tiers)


def _rows(reader: csv.DictReader[str]) -> Iterator[tuple[str, str, Interval]]:
    """The tier, the speaker and the interval of each row."""
    if missing := [column for column in _COLUMNS if column not in (reader.fieldnames or ())]:
        raise ValueError(f"no column {missing[0]}; the aligner's are {', '.join(_COLUMNS)} and Speaker")
    for row in reader:
        yield row["Type"] or "", row.get("Speaker") or "", _interval(row["Begin"], row["End"], row["Label"])


def _json(path: Path) -> dict[str, tuple[Interval, ...]]:
    values = read_json(path)
    try:
        return _labelled(dict(_tiers(values.get("tiers") if isinstance(values, dict) else None)))
    except ValueError as e:
        raise InputError(f"{path}: {e}") from None


def _tiers(tiers: Any) -> Iterator[tuple[str, list[Interval]]]:
    if not isinstance(tiers, dict):
        raise ValueError("no object `tiers`, as the aligner writes")  # noqa: TRY004 - a fault of the file
    for name, tier in tiers.items():
        entries = tier.get("entries") if isinstance(tier, dict) else None
        if not isinstance(entries, list):
            raise ValueError(f"tier {name!r} has no list `entries`")  # noqa: TRY004 - a fault of the file
        yield name, [_entry(name, number, entry) for number, entry in enumerate(entries)]


def _entry(tier: str, number: int, entry: Any) -> Interval:
    if not (isinstance(entry, list) and len(entry) >= 3):
        raise ValueError(f"tier {tier!r}: entry {number} is {kind(entry)}, not `[begin, end, label]`")
    try:
        return _interval(*entry[:3])
    except ValueError as e:
        raise ValueError(f"tier {tier!r}: entry {number}: {e}") from None


def _interval(begin: Any, end: Any, label: Any) -> Interval:
    times = [parse_seconds(value) if isinstance(value, str) else value for value in (begin, end)]
    if not all(type(time) in (int, float) and abs(time) <= LATEST for time in times):
        raise ValueError(f"the times {begin!r} and {end!r} are no numbers of seconds")
    if not isinstance(label, str):
        raise ValueError("a label is no text")  # noqa: TRY004 - a fault of the file
    return Interval(float(times[0]), float(times[1]), label)


def _labelled(tiers: Mapping[str, list[Interval]]) -> dict[str, tuple[Interval, ...]]:
    return {name: tuple(interval for interval in tier if interval.label) for name, tier in tiers.items()}
