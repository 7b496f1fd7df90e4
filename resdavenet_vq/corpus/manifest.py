"""The one internal record of a corpus: utterances, with what is known about each.

Every importer returns a `Manifest`: the utterances that can be used, the rows that cannot
with the reason, and counts of what was noticed on the way. Times are seconds from the
start of the audio.
"""

from __future__ import annotations

import math
import re
import sys
from collections.abc import Iterator, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Annotated, Any, NamedTuple

from pydantic import AfterValidator, BeforeValidator, TypeAdapter, ValidationError

from resdavenet_vq.corpus.disk import DiskList
from resdavenet_vq.corpus.paths import FilePath
from resdavenet_vq.errors import InputError, listed, shortened

NO_ALIGNMENT = "no alignment"  # the name under which utterances without aligned words are counted

MOST_NAMED = 100  # largest number of names listed of each kind of thing noticed

MAX_ROWS = 2_000_000
"""Largest number of rows of a split, and of one file: three times the captions of SpokenCOCO, the largest corpus known.

A manifest is kept on the disk: 1 KB a row with its text and its words.
"""

PAUSES = frozenset(
    {
        "",
        "sil",
        "sp",
        "!sil",
        "{sl}",
        "<b>",
        "<blank>",
        "<pad>",
        "[pad]",
        "<space>",
        "<s>",
        "</s>",
        "<eps>",
        "<p>",
        "<p:>",
    }
    | {f"{left}{name}{right}" for left, right in ("<>", "[]") for name in ("sil", "sp", "silence", "pause")}
)
"""Labels of pauses, in lower case; what else is silence is a noise."""

UNKNOWN_WORDS = frozenset({"<unk>", "<spoken_noise>"})
"""Labels, in lower case, of something spoken that is in no dictionary. Places Audio counts them as words, and so do the
published tables, in whose stop words is <SPOKEN_NOISE>; an alignment that is joined to a corpus has no words of them."""

SILENCE = re.compile(
    r"^(?:[sS][iI][lL]|sp|[sS][pP][nN]|[nN][sS][nN]|![sS][iI][lL]"
    r"|<(?![uU][nN][kK]>|[sS][pP][oO][kK][eE][nN]_[nN][oO][iI][sS][eE]>)[^<>]+>"
    r"|\[[^\[\]]+\]|\{[^{}]+\}|\(\(\s*\)\))?$"
)
"""Labels of pauses and noises: no words, no phones. They are the names that aligners give to silence, but for those
that may be spoken, as SP, and whatever is wholly in brackets: <b>, [LAUGHTER], {breath}, (( )). JavaScript reads it alike.
"""


def is_silence(label: str) -> bool:
    """Whether a label is that of a pause or a noise."""
    return SILENCE.search(label.strip()) is not None


def is_word(label: str) -> bool:
    """Whether a label of an alignment that is joined to a corpus is a word."""
    return not is_silence(label) and label.strip().lower() not in UNKNOWN_WORDS


class Interval(NamedTuple):
    """A labelled stretch of time, in seconds: a word, a phone or a syllable."""

    start: float
    end: float
    label: Annotated[str, AfterValidator(sys.intern)]  # few labels, millions of intervals


type _File = Annotated[Path, BeforeValidator(lambda value: FilePath(value) if isinstance(value, str) else value)]


@dataclass(frozen=True, slots=True)
class Utterance:
    """One spoken caption; several may share an image, and then have the same `image_id`."""

    id: str
    wav: _File
    image: _File | None
    image_id: str | None
    speaker: str | None
    text: str | None
    words: tuple[Interval, ...] | None
    """In order of time as the corpus gives them; None where no alignment is known."""
    phones: tuple[Interval, ...] | None
    """Likewise, with pauses labelled SIL where the corpus labels them."""
    syllables: tuple[Interval, ...] | None = None
    """Likewise; few alignments have them."""

    def to_dict(self) -> dict[str, Any]:
        """Values for JSON, from which `from_dict` makes an equal utterance."""
        values = {name: getattr(self, name) for name in self.__slots__}
        if self.syllables is None:  # as before there were any, so that stores without stay the same to the byte
            del values["syllables"]
        return {name: str(value) if isinstance(value, Path) else value for name, value in values.items()}

    def __reduce__(self) -> tuple[Any, ...]:
        files = str(self.wav), None if self.image is None else str(self.image)
        tiers: list[Any] = [self.words, self.phones, self.syllables]
        tiers = [tier and [tuple(interval) for interval in tier] for tier in tiers]
        return _utterance, (self.id, *files, self.image_id, self.speaker, self.text, *tiers)

    @classmethod
    def from_dict(cls, values: dict[str, Any]) -> Utterance:
        """The utterance that `to_dict` described. Raises InputError for anything else."""
        try:
            return _UTTERANCE.validate_python(values)
        except ValidationError as e:
            fault = e.errors()[0]
            where = ".".join(map(str, fault["loc"]))
            raise InputError(f"not a manifest row ({where}: {fault['msg']}): {str(values)[:80]}") from None


def _utterance(
    utterance_id: str,
    wav: str,
    image: str | None,
    image_id: str | None,
    speaker: str | None,
    text: str | None,
    *tiers: Any,
) -> Utterance:
    """An utterance from plain values, which are pickled several times faster than paths and intervals are."""
    words, phones, syllables = (intervals and tuple(map(Interval._make, intervals)) for intervals in tiers)
    file = None if image is None else FilePath(image)
    return Utterance(utterance_id, FilePath(wav), file, image_id, speaker, text, words, phones, syllables)


_UTTERANCE = TypeAdapter(Utterance)


class Refusal(NamedTuple):
    """A row that cannot be used: its number from 0, its id and file where known (else empty), and every reason."""

    row: int
    id: str
    file: str
    reason: str


@dataclass
class Manifest:
    """A split of a corpus, or a part of it, as read: what can be used, what was refused, what was counted."""

    utterances: list[Utterance] | DiskList[Utterance] = field(default_factory=DiskList)
    refused: list[Refusal] = field(default_factory=list)
    counted: dict[str, int] = field(default_factory=dict)
    """Things noticed that refuse no row, such as "bad alignment tokens" or "no alignment"."""
    noticed: dict[str, list[str]] = field(default_factory=dict)
    """The first of them by name, where they have names."""
    first_row: int = 0
    """Of a part of a split: its first row."""
    lists: tuple[Path, ...] = ()
    """The corpus's files that the rows are from, for messages."""

    @property
    def rows(self) -> int:
        """The number of rows, refused ones included."""
        return len(self.utterances) + len({refusal.row for refusal in self.refused})

    def add(self, utterance: Utterance) -> None:
        """Adds the next row. Raises InputError beyond MAX_ROWS, as `refuse` does."""
        self._make_room()
        self.utterances.append(utterance)

    def refuse(self, utterance_id: str, file: str, reason: str) -> None:
        """Refuses the next row."""
        self._make_room()
        self.refused.append(Refusal(len(self.utterances) + len(self.refused), utterance_id, file, reason))

    def _make_room(self) -> None:
        if len(self.utterances) + len(self.refused) >= MAX_ROWS:
            raise too_many_rows("the split")

    def row_numbers(self) -> Iterator[int]:
        """The row of each utterance in the split: all rows but the refused ones."""
        refused = {refusal.row for refusal in self.refused}
        return (row for row in range(self.first_row, self.first_row + self.rows) if row not in refused)

    def part(self, rows: range) -> Manifest:
        """Only these consecutive rows, and nothing that was counted."""
        numbered = zip(self.row_numbers(), self.utterances, strict=True)
        return Manifest(
            DiskList(utterance for row, utterance in numbered if row in rows),
            [refusal for refusal in self.refused if refusal.row in rows],
            first_row=rows.start,
            lists=self.lists,
        )

    def notice(self, what: str, which: str, times: int = 1) -> None:
        """Counts a thing that refuses no row, and lists its name up to MOST_NAMED."""
        self.counted[what] = self.counted.get(what, 0) + times
        names = self.noticed.setdefault(what, [])
        if len(names) < MOST_NAMED:
            names.append(shortened(which))


def too_many_rows(where: object, most: int = MAX_ROWS) -> InputError:
    """The error for what has more rows than are held in memory."""
    return InputError(f"{where}: more than {most:,} rows, which memory should not have to hold; divide it into several")


def refusals(refused: Sequence[Refusal], rows: int, lists: Sequence[Path] = ()) -> str:
    """A message that lists the first refused rows of `rows` in a corpus's files, and counts the others."""
    lines = listed([f"row {r.row} ({r.id or 'no id'}): {r.file or 'no file'}: {r.reason}" for r in refused])
    remedy = "Correct or remove them, or set preparation.bad_rows to skip to continue without them."
    of_files = f" of {' and '.join(map(str, lists))}" if lists else ""
    return f"{len(refused)} of {rows} rows{of_files} cannot be used:\n{lines}\n{remedy}"


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
    if not 0 <= start <= end < math.inf:
        return None
    return Interval(start, end, sys.intern(parts[1]))


def parse_seconds(text: str) -> float:
    """The number as written in a file, NaN where there is none; Python's own 1_000 and non-ASCII digits are none."""
    try:
        return float(text) if "_" not in text and text.isascii() else math.nan
    except ValueError:
        return math.nan
