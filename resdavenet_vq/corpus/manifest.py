"""The one internal record of a corpus: utterances, with what is known about each.

Every importer returns a `Manifest`: the utterances that can be used, the rows that cannot
with the reason, and counts of what was noticed on the way. Times are seconds from the
start of the audio.
"""

from __future__ import annotations

import math
import sys
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, NamedTuple

from resdavenet_vq.errors import InputError

NO_ALIGNMENT = "no alignment"
"""The name under which utterances without aligned words are counted."""

MOST_NAMED = 100
"""Largest number of names listed of each kind of thing noticed."""

PAUSES = frozenset({"", "sil", "sp", "<sil>", "<eps>", "<p:>", "<p>", "[silence]"})
NOISES = frozenset({"spn", "nsn", "<spn>", "[noise]", "<noise>", "<usb>"})
SILENCE_LABELS = frozenset(form(x) for x in PAUSES | NOISES for form in (str.lower, str.upper, str.title)) - {
    "SP",
    "Sp",
}
"""Labels of pauses and noises, which are neither words nor phones. None is a word that may be spoken, as NOISE or SP is."""


def is_silence(label: str) -> bool:
    """Whether a label is that of a pause or a noise."""
    return label.strip() in SILENCE_LABELS


class Interval(NamedTuple):
    """A labelled stretch of time, in seconds: a word or a phone."""

    start: float
    end: float
    label: str


@dataclass(frozen=True, slots=True)
class Utterance:
    """One spoken caption; several may share an image, and then have the same `image_id`."""

    id: str
    wav: Path
    image: Path | None
    image_id: str | None
    speaker: str | None
    text: str | None
    words: tuple[Interval, ...] | None
    """In order of time as the corpus gives them; None where no alignment is known."""
    phones: tuple[Interval, ...] | None
    """Likewise, with pauses labelled SIL where the corpus labels them."""

    def to_dict(self) -> dict[str, Any]:
        """Plain JSON values, from which `from_dict` makes an equal utterance."""
        return {
            "id": self.id,
            "wav": str(self.wav),
            "image": None if self.image is None else str(self.image),
            "image_id": self.image_id,
            "speaker": self.speaker,
            "text": self.text,
            "words": None if self.words is None else [list(word) for word in self.words],
            "phones": None if self.phones is None else [list(phone) for phone in self.phones],
        }

    @classmethod
    def from_dict(cls, values: dict[str, Any]) -> Utterance:
        """The utterance that `to_dict` described. Raises InputError for anything else."""
        try:
            return cls(
                id=_text(values["id"]),
                wav=Path(_text(values["wav"])),
                image=None if values["image"] is None else Path(_text(values["image"])),
                image_id=_text_or_none(values["image_id"]),
                speaker=_text_or_none(values["speaker"]),
                text=_text_or_none(values["text"]),
                words=_intervals(values["words"]),
                phones=_intervals(values["phones"]),
            )
        except (KeyError, TypeError, ValueError) as e:
            raise InputError(f"not a manifest row ({type(e).__name__}: {e}): {str(values)[:80]}") from None


class Refusal(NamedTuple):
    """A row that cannot be used: its number from 0, its id and file where known (else empty), and every reason."""

    row: int
    id: str
    file: str
    reason: str


@dataclass
class Manifest:
    """A split of a corpus, or a part of it, as read: what can be used, what was refused, what was counted."""

    utterances: list[Utterance] = field(default_factory=list)
    refused: list[Refusal] = field(default_factory=list)
    counted: dict[str, int] = field(default_factory=dict)
    """Things noticed that refuse no row, such as "bad alignment tokens" or "no alignment"."""
    noticed: dict[str, list[str]] = field(default_factory=dict)
    """The first of them by name, where they have names."""
    first_row: int = 0
    """Of a part of a split: its first row."""

    @property
    def rows(self) -> int:
        """The number of rows, refused ones included."""
        return len(self.utterances) + len({refusal.row for refusal in self.refused})

    def row_numbers(self) -> list[int]:
        """The row of each utterance in the split: all rows but the refused ones."""
        refused = {refusal.row for refusal in self.refused}
        return [row for row in range(self.first_row, self.first_row + self.rows) if row not in refused]

    def part(self, rows: range) -> Manifest:
        """Only these consecutive rows, and nothing that was counted."""
        numbered = zip(self.row_numbers(), self.utterances, strict=True)
        return Manifest(
            [utterance for row, utterance in numbered if row in rows],
            [refusal for refusal in self.refused if refusal.row in rows],
            first_row=rows.start,
        )

    def notice(self, what: str, which: str) -> None:
        """Counts a thing that refuses no row, and lists its name up to MOST_NAMED."""
        self.counted[what] = self.counted.get(what, 0) + 1
        names = self.noticed.setdefault(what, [])
        if len(names) < MOST_NAMED:
            names.append(which)


def refusals(refused: list[Refusal], rows: int) -> str:
    """A message that lists refused rows of so many."""
    lines = [
        f"row {refusal.row} ({refusal.id or 'no id'}): {refusal.file or 'no file'}: {refusal.reason}"
        for refusal in refused
    ]
    return "\n".join(
        [
            f"{len(refused)} of {rows} rows cannot be used:",
            *lines,
            "Correct or remove them, or set preparation.bad_rows to skip to continue without them.",
        ]
    )


def parse_alignment(text: str) -> tuple[tuple[Interval, ...] | None, int]:
    """The intervals of `0.2__WORD__0.5 0.5__NEXT__0.9`, and how many tokens were bad.

    A token is bad unless it has exactly three parts: a start, a label and an end, finite
    seconds with 0 <= start <= end. Without any good token the alignment is None.
    """
    tokens = text.split()
    intervals = tuple(interval for token in tokens if (interval := _parse_token(token)) is not None)
    return intervals or None, len(tokens) - len(intervals)


def format_alignment(intervals: tuple[Interval, ...]) -> str:
    """The text that `parse_alignment` reads, with times to 0.1 ms."""
    return " ".join(f"{start:.4f}__{label}__{end:.4f}" for start, end, label in intervals)


def _parse_token(token: str) -> Interval | None:
    parts = token.split("__")
    if len(parts) != 3 or not parts[1]:
        return None
    start, end = parse_seconds(parts[0]), parse_seconds(parts[2])
    if start is None or end is None or not 0 <= start <= end < math.inf:
        return None
    return Interval(start, end, sys.intern(parts[1]))  # few labels, millions of intervals


def parse_seconds(text: str) -> float | None:
    """The number as written in a file; Python's own 1_000 and non-ASCII digits are none."""
    if "_" in text or not text.isascii():
        return None
    try:
        return float(text)
    except ValueError:
        return None


def _text(value: object) -> str:
    if not isinstance(value, str):
        raise TypeError(f"{value!r} is no text")
    return value


def _text_or_none(value: object) -> str | None:
    return None if value is None else _text(value)


def _intervals(rows: list[Any] | None) -> tuple[Interval, ...] | None:
    if rows is None:
        return None
    return tuple(Interval(float(start), float(end), sys.intern(_text(label))) for start, end, label in rows)
