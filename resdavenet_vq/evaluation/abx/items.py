"""ABX item files: which stretch of which utterance is a token of which phone in which context."""

from __future__ import annotations

from decimal import Decimal, InvalidOperation
from pathlib import Path
from typing import NamedTuple

from resdavenet_vq.corpus import triphones as corpus_items
from resdavenet_vq.errors import InputError

HEADER = tuple(corpus_items.HEADER.split())
"""Columns of an item file, separated by spaces; times in seconds."""


class Item(NamedTuple):
    """One token: the utterance's id, seconds, the phone, its neighbours and the speaker."""

    file: str
    onset: Decimal
    offset: Decimal
    phone: str
    previous: str
    following: str
    speaker: str


def read_items(path: Path) -> list[Item]:
    """The tokens of an item file. Raises InputError that lists the bad rows."""
    try:
        lines = path.read_text(encoding="utf-8").splitlines()
    except FileNotFoundError:
        raise InputError(f"{path}: no such file") from None
    except UnicodeDecodeError as e:
        raise InputError(f"{path}: not UTF-8 text (byte {e.start})") from None
    if not lines or tuple(lines[0].split()) != HEADER:
        raise InputError(f"{path}: the first line must be '{' '.join(HEADER)}'")
    items, faults = [], []
    for number, line in enumerate(lines[1:], start=2):
        fields = line.split()
        if not fields:
            continue
        item = _item(fields)
        if isinstance(item, str):
            faults.append(f"line {number}: {item}")
        else:
            items.append(item)
    if faults:
        more = f"\n... and {len(faults) - 20} more" if len(faults) > 20 else ""
        raise InputError(f"{path}: {len(faults)} bad rows; mend or remove them\n" + "\n".join(faults[:20]) + more)
    if not items:
        raise InputError(f"{path}: holds no item")
    return items


def _item(fields: list[str]) -> Item | str:
    """The row's item, or what is wrong with it."""
    if len(fields) != len(HEADER):
        return f"{len(fields)} fields, not {len(HEADER)}"
    try:
        onset, offset = Decimal(fields[1]), Decimal(fields[2])
    except InvalidOperation:
        return f"onset {fields[1]!r} and offset {fields[2]!r} must be numbers"
    if not (onset.is_finite() and offset.is_finite() and 0 <= onset < offset < 1_000_000):
        return f"0 <= onset < offset must hold, not {fields[1]} and {fields[2]}"
    return Item(fields[0], onset, offset, *fields[3:])
