"""Praat TextGrid files: interval tiers of words, phones and runs of codes, for the report and from forced aligners.

Written in Praat's long text format, UTF-8, times in seconds with all their digits. A tier covers the whole file: gaps
between intervals are filled with intervals of empty text, which reading leaves out again, so that
`read(write(tiers)) == tiers` for tiers without empty labels.
"""

from __future__ import annotations

import math
import re
from collections.abc import Iterator, Mapping, Sequence
from pathlib import Path

from resdavenet_vq.corpus.manifest import Interval
from resdavenet_vq.errors import InputError
from resdavenet_vq.files import atomic_write, open_regular, reading

MAX_BYTES = 1 << 24
"""Largest file that is read: the words and phones of several hours of speech."""

_TOKEN = re.compile(r'"[^"]*(?:""[^"]*)*"|(?<!\S)[-+]?\d[-+.\deE]*(?!\S)|<exists>')
"""What Praat itself reads: strings, numbers that stand alone, flags. All else is for people."""


def write(path: Path, tiers: Mapping[str, Sequence[Interval]], duration: float) -> None:
    """Writes a TextGrid with the tiers in their order, whole or not at all.

    `duration` in seconds; a tier that reaches beyond it (the last frame of codes may) makes the file longer.
    Raises InputError naming tier and time for intervals that Praat cannot hold: empty, overlapping, unordered or
    not finite.
    """
    end = max([duration, *(interval.end for intervals in tiers.values() for interval in intervals)])
    if not (math.isfinite(end) and end > 0):
        raise InputError(f"{path}: a TextGrid of {end} s cannot be written")
    lines = ['File type = "ooTextFile"', 'Object class = "TextGrid"', "", "xmin = 0", f"xmax = {end!r}"]
    lines += ["tiers? <exists>", f"size = {len(tiers)}", "item []:"]
    for number, (name, intervals) in enumerate(tiers.items(), 1):
        filled = list(_filled(path, name, intervals, end))
        lines += [f"    item [{number}]:", '        class = "IntervalTier"', f"        name = {_quoted(name)}"]
        lines += ["        xmin = 0", f"        xmax = {end!r}", f"        intervals: size = {len(filled)}"]
        for i, interval in enumerate(filled, 1):
            lines += [
                f"        intervals [{i}]:",
                f"            xmin = {float(interval.start)!r}",
                f"            xmax = {float(interval.end)!r}",
                f"            text = {_quoted(interval.label)}",
            ]
    with atomic_write(path) as tmp:
        tmp.write_bytes(("\n".join(lines) + "\n").encode())


def as_tier(intervals: Sequence[Interval]) -> tuple[Interval, ...]:
    """The intervals as a tier can hold them: in time order, begun no earlier than the predecessor ends, and none empty.

    For alignments of corpora, whose words may overlap by a frame or last no time.
    """
    tier: list[Interval] = []
    for start, end, label in sorted(intervals, key=lambda interval: interval[:2]):
        begin = max([start, *(before.end for before in tier[-1:])])
        if begin < end:
            tier.append(Interval(begin, end, label))
    return tuple(tier)


def read(path: Path) -> dict[str, tuple[Interval, ...]]:
    """The interval tiers of a TextGrid in Praat's long or short text format.

    Intervals of empty text and tiers of points are left out.

    Raises InputError where the file cannot be read, is no such TextGrid, or has two interval tiers of one name.
    """
    with open_regular(path) as file, reading(path):
        data = file.read(MAX_BYTES + 1)
    if len(data) > MAX_BYTES:
        raise InputError(f"{path}: larger than {MAX_BYTES:,} bytes, which no TextGrid of an utterance is")
    try:
        text = data.decode("utf-16" if data[:2] in (b"\xff\xfe", b"\xfe\xff") else "utf-8-sig")
    except UnicodeDecodeError as e:
        raise InputError(f"{path}: neither UTF-8 nor UTF-16 text (byte {e.start})") from None
    tokens = (match[0] for match in _TOKEN.finditer(text))
    try:
        return _parse(path, tokens)
    except (StopIteration, ValueError):
        raise InputError(
            f"{path}: no complete TextGrid in a text format; save it from Praat with 'Save as text file'"
        ) from None


def _parse(path: Path, tokens: Iterator[str]) -> dict[str, tuple[Interval, ...]]:
    if next(tokens) != '"ooTextFile"' or next(tokens) != '"TextGrid"':
        raise ValueError
    _, _, _, n_tiers = float(next(tokens)), float(next(tokens)), next(tokens), int(next(tokens))
    tiers: dict[str, tuple[Interval, ...]] = {}
    for _ in range(n_tiers):
        kind, name = _unquoted(next(tokens)), _unquoted(next(tokens))
        _, _, n = float(next(tokens)), float(next(tokens)), int(next(tokens))
        if kind == "TextTier":
            for _ in range(n):
                _, _ = float(next(tokens)), _unquoted(next(tokens))
            continue
        if kind != "IntervalTier":
            raise InputError(f"{path}: tier {name!r} is a {kind}, which is unknown")
        if name in tiers:
            raise InputError(f"{path}: two tiers are called {name!r}; rename one")
        intervals = [Interval(float(next(tokens)), float(next(tokens)), _unquoted(next(tokens))) for _ in range(n)]
        tiers[name] = tuple(interval for interval in intervals if interval.label)
    return tiers


def _filled(path: Path, tier: str, intervals: Sequence[Interval], end: float) -> Iterator[Interval]:
    """The intervals with empty ones in the gaps, from 0 to `end`."""
    before = 0.0
    for interval in intervals:
        if not (math.isfinite(interval.start) and before <= interval.start < interval.end):
            raise InputError(
                f"{path}: tier {tier!r}: {interval.label!r} from {interval.start} to {interval.end} s is empty or"
                f" begins before {before} s, where its predecessor ends; a tier is in time order, without overlap"
            )
        if interval.start > before:
            yield Interval(before, interval.start, "")
        yield interval
        before = interval.end
    if before < end:
        yield Interval(before, end, "")


def _quoted(text: str) -> str:
    return '"' + text.replace('"', '""') + '"'


def _unquoted(token: str) -> str:
    if not token.startswith('"'):
        raise ValueError
    return token[1:-1].replace('""', '"')
