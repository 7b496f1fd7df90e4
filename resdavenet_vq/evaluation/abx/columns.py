"""ABX items in columns: each name once, and of a token numbers alone, so that a million of them takes 40 MB."""

from __future__ import annotations

from array import array
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, replace
from decimal import Decimal
from typing import NamedTuple, overload, override

import numpy as np

DIGITS = 9
"""Times are whole numbers of nanoseconds; further digits are rounded."""


class Item(NamedTuple):
    """One token: the utterance's id, seconds, the phone (or word, or syllable), its neighbors and the speaker."""

    file: str
    onset: Decimal
    offset: Decimal
    phone: str
    previous: str
    following: str
    speaker: str


NAMED = tuple(name for name in Item._fields if name not in ("onset", "offset"))
"""The fields that are names."""


@dataclass(frozen=True, eq=False)
class ItemTable(Sequence[Item]):
    """Tokens (n,), which cannot be changed."""

    names: Mapping[str, list[str]]
    """Of each field of `NAMED` its names, in the order of the alphabet."""
    numbers: Mapping[str, np.ndarray]
    """Of each the place (n,) int32 of a token's name among them."""
    onset: np.ndarray
    """(n,) int64, nanoseconds."""
    offset: np.ndarray

    @classmethod
    def of(cls, items: Iterable[Item]) -> ItemTable:
        """The columns of these tokens, which are read one by one."""
        places: dict[str, dict[str, int]] = {name: {} for name in NAMED}
        columns, onset, offset = {name: array("i") for name in NAMED}, array("q"), array("q")
        for item in items:
            onset.append(nanoseconds(item.onset))
            offset.append(nanoseconds(item.offset))
            for name, value in zip(NAMED, (item.file, *item[3:]), strict=True):
                of_name = places[name]
                columns[name].append(of_name.setdefault(value, len(of_name)))
        names = {name: sorted(of_name) for name, of_name in places.items()}
        numbers = {}
        for name, in_order in names.items():
            rank = np.empty(len(in_order), np.int32)
            rank[[places[name][value] for value in in_order]] = np.arange(len(in_order), dtype=np.int32)
            numbers[name] = rank[np.frombuffer(columns[name], np.int32)]
        return cls(names, numbers, np.frombuffer(onset, np.int64), np.frombuffer(offset, np.int64))

    def select(self, rows: np.ndarray) -> ItemTable:
        """The tokens of some rows."""
        numbers = {name: column[rows] for name, column in self.numbers.items()}
        return replace(self, numbers=numbers, onset=self.onset[rows], offset=self.offset[rows])

    @override
    def __len__(self) -> int:
        return len(self.onset)

    @overload
    def __getitem__(self, row: int) -> Item: ...
    @overload
    def __getitem__(self, row: slice) -> ItemTable: ...
    @override
    def __getitem__(self, row: int | slice) -> Item | ItemTable:
        if isinstance(row, slice):
            return self.select(np.arange(len(self))[row])
        file, *labels = (self.names[name][self.numbers[name][row]] for name in NAMED)
        onset, offset = (Decimal(int(times[row])).scaleb(-DIGITS) for times in (self.onset, self.offset))
        return Item(file, onset, offset, *labels)


def nanoseconds(seconds: Decimal) -> int:
    """A time in whole nanoseconds."""
    return round(seconds.scaleb(DIGITS))
