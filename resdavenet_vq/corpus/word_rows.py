"""Aligned words of a whole split in one file of rows: NIST's `.ctm`, or a `.txt` with rows `id start end word`.

A `.ctm` has rows `id channel start duration word`, and perhaps a confidence and more; `;;` begins a comment. Both are
separated by spaces or tabs, in UTF-8. Times are seconds.
"""

from __future__ import annotations

import math
from collections.abc import Callable
from pathlib import Path

from resdavenet_vq.corpus.manifest import Interval, parse_seconds
from resdavenet_vq.corpus.rows import MAX_LINES, read_lines
from resdavenet_vq.errors import InputError

SUFFIXES = (".ctm", ".txt")

_CTM, _TXT = "id channel start duration word", "id start end word"

_ALTERNATIVES = frozenset({"<alt_begin>", "<alt>", "<alt_end>"})


def read(path: Path, ids: set[str], bad_row: Callable[[str], None]) -> tuple[dict[str, list[Interval]], set[str]]:
    """The labels of each utterance with their times, as written and in the order of the rows, and the ids of others.

    Rows of `ids` that cannot be used are handed to `bad_row`, each with its file, line and fault. Raises InputError if
    the file cannot be read, or lists alternatives, of which only one was spoken.
    """
    is_ctm = path.suffix.lower() == ".ctm"
    intervals: dict[str, list[Interval]] = {}
    channels: dict[str, str] = {}
    unmatched_ids: set[str] = set()
    for line, row in read_lines(path, MAX_LINES):
        if is_ctm and row.startswith(";;"):
            continue
        utterance_id, *fields = row.split()
        if utterance_id not in ids:
            unmatched_ids.add(utterance_id)
            continue
        labelled = intervals.setdefault(utterance_id, [])
        try:
            if is_ctm:
                labelled.append(_ctm(fields, channels, utterance_id))
            else:
                labelled.append(_txt(fields))
        except ValueError as e:
            bad_row(f"{path.name}:{line}: {e}: {row[:80]}")
        except InputError as e:
            raise InputError(f"{path}:{line}: {e}") from None
    return intervals, unmatched_ids


def _ctm(fields: list[str], channels: dict[str, str], utterance_id: str) -> Interval:
    """Raises ValueError for a row that cannot be used, and InputError for one that makes others doubtful."""
    if len(fields) < 4:
        raise ValueError(f"{len(fields) + 1} fields, not `{_CTM}`")
    channel, start, duration, label, *_ = fields
    if label.startswith("<") and label.lower() in _ALTERNATIVES:
        raise InputError(f"lists alternatives ({label}), of which only one was spoken; keep one of each")
    if channels.setdefault(utterance_id, channel) != channel:
        raise ValueError(f"channel {channel}, but the utterance begins in channel {channels[utterance_id]}")
    begin = parse_seconds(start)
    return _interval(begin, round(begin + parse_seconds(duration), 6), label)


def _txt(fields: list[str]) -> Interval:
    """Raises ValueError for a row that cannot be used."""
    if len(fields) != 3:
        raise ValueError(f"{len(fields) + 1} fields, not `{_TXT}`")
    return _interval(parse_seconds(fields[0]), parse_seconds(fields[1]), fields[2])


def _interval(start: float, end: float, label: str) -> Interval:
    if not 0 <= start <= end < math.inf:
        raise ValueError("its times are no seconds from 0 on, in order")
    return Interval(start, end, label)
