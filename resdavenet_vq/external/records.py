"""What is read of files made elsewhere: one record an utterance, and the faults of all files in one message."""

from __future__ import annotations

import re
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from pathlib import Path
from typing import NamedTuple

import numpy as np

from resdavenet_vq import folders
from resdavenet_vq.errors import InputError, listed, printable, shortened
from resdavenet_vq.files import open_regular, reading

MAX_CODES = 1 << 18
"""Most codes of a codebook: word detection keeps a table of words and codes in memory."""

MAX_LINE = 1 << 26
"""Bytes of a line, or of a text with the units of one utterance: a hundred hours of them."""

MAX_UNITS = 1 << 27
"""Frames of an utterance."""

LONGEST_NAME = 255
"""Characters of a unit's name."""

_KEPT = 100

_INTEGER, _NUMBER = re.compile(r"[0-9]{1,10}"), re.compile(r"[-+]?([0-9]+\.?[0-9]*|\.[0-9]+)([eE][-+]?[0-9]{1,3})?")

type Labels = np.ndarray | list[str]
"""Codes (R,) int64, or names of codes."""


class Record(NamedTuple):
    """What a file says of one utterance: units, or features. Without lengths and times there is a unit a frame."""

    name: str
    """Its path or name, perhaps with the suffix of an audio file."""
    where: str
    """The file, and the line."""
    units: Labels
    """Of continuous features, frames (T, C) float32."""
    lengths: np.ndarray | None = None
    """(R,) frames of each unit."""
    times: np.ndarray | None = None
    """(R, 2) where each segment begins and ends, in seconds or in frames of `external.frame_period`."""
    frame_period: float | None = None
    """Seconds, where the file says them."""


class Faults:
    """What is wrong with some files, a line each; a hostile folder has many, and only the first are kept."""

    def __init__(self) -> None:
        self._first: list[str] = []
        self._n = 0

    def add(self, where: object, reason: object) -> None:
        """Adds a fault of a file, a line or an utterance."""
        self._n += 1
        if len(self._first) < _KEPT:
            named = str(reason).startswith(str(where))
            self._first.append(shortened(str(reason) if named else f"{where}: {reason}"))

    @contextmanager
    def of(self, where: object) -> Iterator[None]:
        """Adds what is raised where a file or line is not what it should be, and goes on behind the block."""
        try:
            yield
        except InputError as e:
            self.add(where, e)
        except (ValueError, TypeError, OverflowError, RecursionError) as e:
            self.add(where, (str(e).partition("\n")[0] or type(e).__name__)[:300])

    def check(self, remedy: str) -> None:
        """Raises InputError with all faults, if there are any."""
        if self._n:
            lines = [*self._first, *[""] * (self._n - len(self._first))]
            raise InputError(f"Faults of units made elsewhere ({self._n}); {remedy}\n{listed(lines)}")


def files_below(path: Path, suffixes: Sequence[str]) -> Iterator[tuple[str, Path]]:
    """The file itself with its name, or each file below a folder with its path there, those with one of the suffixes.

    Names are without suffix, with `/` between folders, in the order of the paths. Raises InputError if there is none.
    """
    with reading(path):
        if not path.is_dir():
            yield path.stem, path
            return
        found = [file for file in folders.members(path) if file.suffix.lower() in suffixes and file.is_file()]
    if not found:
        raise InputError(f"{path}: holds no file with the suffix {' or '.join(suffixes)}; is it another format?")
    for file in found:
        yield file.relative_to(path).with_suffix("").as_posix(), file


def lines_of(path: Path) -> Iterator[tuple[str, str]]:
    """Each line of a text that is not blank, with its place. Raises InputError for what is no text in UTF-8."""
    with open_regular(path) as file, reading(path):
        number = 0
        while line := file.readline(MAX_LINE + 1):
            number += 1
            where = f"{path}, line {number}"
            if len(line) > MAX_LINE:
                raise InputError(f"{where}: longer than {MAX_LINE:,} bytes")
            try:
                text = line.decode("utf-8-sig" if number == 1 else "utf-8")
            except UnicodeDecodeError:
                raise InputError(f"{where}: not UTF-8 text") from None
            if "\0" in text:
                raise InputError(f"{where}: holds bytes that are no text")
            if text.strip():
                yield where, text.rstrip("\r\n")


def text_of(path: Path) -> str:
    """The text of a small file. Raises InputError as `lines_of` does, and where it is too large."""
    parts, size = [], 0
    for _, line in lines_of(path):
        size += len(line)
        if size > MAX_LINE:
            raise InputError(f"{path}: larger than {MAX_LINE:,} bytes, which no utterance's units are")
        parts.append(line)
    return "\n".join(parts)


def as_labels(words: Sequence[str]) -> Labels:
    """Codes, where all words are whole numbers, or else names of codes. Raises ValueError for a mixture of both."""
    if all(map(_INTEGER.fullmatch, words)):
        return as_codes(np.array(list(map(int, words)), np.int64))
    numbers = [bool(_NUMBER.fullmatch(word)) for word in words]
    if all(numbers):
        return as_codes(np.array(list(map(float, words))))
    if any(numbers):
        number, name = words[numbers.index(True)], words[numbers.index(False)]
        raise ValueError(f"units are numbers ({_shown(number)}) and names ({_shown(name)}); give one kind")
    if not all(words) or max(map(len, words)) > LONGEST_NAME:
        raise ValueError(f"a unit's name is empty, or longer than {LONGEST_NAME} characters")
    return list(words)


def as_codes(values: np.ndarray) -> np.ndarray:
    """Numbers (R,) as codes int64. Raises ValueError unless they are whole and from 0 to MAX_CODES - 1."""
    if not np.isfinite(values).all():
        raise ValueError("a unit is not finite")
    if not len(values):
        return np.zeros(0, np.int64)
    if values.dtype.kind == "f" and (fraction := values[values != np.floor(values)]).size:
        raise ValueError(f"a unit is {fraction[0]:g}, no whole number; are these continuous features?")
    if (wrong := values[(values < 0) | (values >= MAX_CODES)]).size:
        raise ValueError(f"a unit is {int(wrong[0])}, not from 0 to {MAX_CODES - 1}")
    return values.astype(np.int64)


def as_lengths(values: Sequence[object], n: int) -> np.ndarray:
    """Whole numbers of frames (n,). Raises ValueError unless there are as many as units and each is at least 1."""
    if len(values) != n:
        raise ValueError(f"has {n} units and {len(values)} durations")
    if any(type(value) is not int or not 1 <= value <= MAX_UNITS for value in values):
        raise ValueError(f"a duration in frames is no whole number from 1 to {MAX_UNITS}")
    lengths = np.array(values, np.int64).reshape(-1)
    if lengths.sum() > MAX_UNITS:
        raise ValueError(f"has {lengths.sum()} frames, more than {MAX_UNITS}")
    return lengths


def _shown(word: str) -> str:
    return repr(printable(shortened(word, 40)))
