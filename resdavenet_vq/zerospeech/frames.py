"""The text files of a submission, read line by line: widths, numbers, frames."""

from __future__ import annotations

import math
from collections.abc import Iterator
from dataclasses import dataclass, field
from typing import BinaryIO

LONGEST_LINE = 1 << 20
"""Bytes: a frame of more than a hundred thousand values is none."""

MOST_KNOWN = 1 << 12
"""Different lines that are remembered: frames of codes come again and again."""


@dataclass
class Found:
    """What a file holds: frames, the widths they have, and where it is wrong."""

    frames: int = 0
    widths: set[int] = field(default_factory=set)
    bad_lines: int = 0
    first_bad: int = 0
    too_long: bool = False

    @property
    def width(self) -> int:
        """Values in a frame, 0 if frames differ or there are none."""
        return next(iter(self.widths)) if len(self.widths) == 1 else 0

    def problems(self, name: str, fewest_frames: int) -> Iterator[str]:
        """What is wrong with the file."""
        if self.too_long:
            yield f"{name}: line {self.frames + 1} has more than {LONGEST_LINE} bytes; the file was read no further"
            return
        if self.bad_lines:
            more = f" (and {self.bad_lines - 1} more lines)" if self.bad_lines > 1 else ""
            yield f"{name}: line {self.first_bad} is not made of numbers separated by single spaces{more}"
        if not self.frames:
            yield f"{name}: is empty"
        elif len(self.widths) > 1:
            few = sorted(self.widths)[:10]
            yield f"{name}: its lines have {', '.join(map(str, few))}{' ...' if len(self.widths) > 10 else ''} values"
        elif self.widths == {1}:
            yield f"{name}: has fewer than two columns"
        if 0 < self.frames < fewest_frames:
            yield f"{name}: has {self.frames} frame, and at least {fewest_frames} are wanted"


class Reader:
    """Reads feature files; `any_space` lets more than one space, or a tab, separate values, as the tool of 2021 does."""

    def __init__(self, *, any_space: bool) -> None:
        self._separator = None if any_space else b" "
        self._known: dict[bytes, int] = {}

    def read(self, file: BinaryIO) -> Found:
        """What a file holds. Blank lines do not count, as for the challenge's tools."""
        found, number = Found(), 0
        while line := file.readline(LONGEST_LINE):
            number += 1
            if len(line) == LONGEST_LINE and not line.endswith(b"\n"):
                found.too_long = True
                break
            if line in (b"\n", b"\r\n"):
                continue
            found.frames += 1
            width = self._known.get(line)
            if width is None:
                width = self._width(line)
                if len(self._known) < MOST_KNOWN and len(line) < 1 << 14:
                    self._known[line] = width
            if width:
                found.widths.add(width)
            else:
                found.bad_lines += 1
                found.first_bad = found.first_bad or number
        return found

    def _width(self, line: bytes) -> int:
        """How many values a line has; 0 if some is no finite number."""
        try:
            numbers = [*map(float, line.rstrip(b"\r\n").split(self._separator))]
        except ValueError:
            return 0
        return len(numbers) if b"_" not in line and all(map(math.isfinite, numbers)) else 0
