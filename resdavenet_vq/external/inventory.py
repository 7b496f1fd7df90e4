"""The codes of units made elsewhere: numbers as they are, or names numbered in sorted order over all splits."""

from __future__ import annotations

from typing import Any

import numpy as np

from resdavenet_vq.config.references import External
from resdavenet_vq.errors import InputError
from resdavenet_vq.external.records import MAX_CODES, Labels

GAP = "(gap)"
"""The name of the code between segments, where codes have names."""


class Inventory:
    """The codes that there are, in all splits: numbers, or names in sorted order; behind them the gap between segments."""

    def __init__(self, settings: External, size: int | None) -> None:
        self._settings, self._given = settings, size
        self._largest, self._names, self._some_number = -1, set[str](), False
        self.names: list[str] = []
        self.size = 0

    @property
    def is_open(self) -> bool:
        """Whether further splits decide how codes are numbered."""
        return not self._settings.is_continuous and (self._given is None or bool(self._names))

    def add(self, units: Labels) -> None:
        """Takes the units of an utterance. Raises ValueError for those that cannot be among the others."""
        if not len(units):
            return
        if isinstance(units, np.ndarray):
            self._some_number, largest = True, int(units.max())
            if self._given and largest >= self._given:
                raise ValueError(f"a unit is {largest}, and there are {self._given} codes, from 0")
            self._largest = max(self._largest, largest)
        else:
            self._names.update(units)
        if self._names and self._some_number:
            raise ValueError("units are numbers here and names elsewhere, or the reverse; give one kind")
        if len(self._names) > MAX_CODES - 1:
            raise InputError(f"more than {MAX_CODES - 1} names of units; cluster them")

    def close(self, codebook: np.ndarray | None) -> None:
        """Numbers the codes. Raises InputError if they do not fit the codebook."""
        if self._names and codebook is not None:
            raise InputError("units are names, which says nothing of the rows of the codebook; give their numbers")
        if self._given and len(self._names) > self._given:
            raise InputError(f"{len(self._names)} names of units, and codebook_size is {self._given}")
        n = self._given or max(self._largest + 1, len(self._names))
        self.size = n + (self._settings.format == "segments")
        if self._names:
            self.names = [*sorted(self._names), *(f"({i})" for i in range(len(self._names), n))]
            self.names += [_unused(GAP, self._names)] * (self.size - n)
        self._number = {label: i for i, label in enumerate(self.names)}

    @property
    def gap(self) -> int:
        """The code between segments."""
        return self.size - 1

    def numbers(self, units: Labels) -> np.ndarray:
        """The codes (R,) of units."""
        if isinstance(units, np.ndarray):
            return units
        return np.array([self._number[label] for label in units], np.int64)

    def report(self) -> dict[str, Any]:
        """JSON values."""
        is_segments = self._settings.format == "segments"
        return {"codes": self.size, "named": bool(self.names), "gap": self.gap if is_segments else None}


def _unused(name: str, names: set[str]) -> str:
    while name in names:
        name = f"({name})"
    return name
