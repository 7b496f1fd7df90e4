"""Praat TextGrid files: interval tiers of words, phones and runs of codes, for the report and from forced aligners.

Written in Praat's long text format, UTF-8, times in seconds with all their digits. A tier covers the whole file: gaps
between intervals are filled with intervals of empty text, which reading leaves out again, so that
`read(write(tiers)) == tiers` for tiers without empty labels.

Read are the text formats, long and short, with today's header and the older `ooTextFile short`, in UTF-8, UTF-16 and,
as Praat does where it is no UTF-8, ISO 8859-1.
"""

from __future__ import annotations

import math
import re
from collections.abc import Iterator, Mapping, Sequence
from pathlib import Path

from resdavenet_vq.corpus.manifest import Interval
from resdavenet_vq.errors import InputError
from resdavenet_vq.files import atomic_write, open_regular, reading

SUFFIX = ".textgrid"
"""In lower case."""

MAX_BYTES = 1 << 24
"""Largest file that is read: the words and phones of several hours of speech."""

_TOKEN = re.compile(r'"(?:[^"]++|"")*+"(?!\S)|"|(?<!\S)(?:![^\r\n]*|[-+]?\d[^\s"]*|<exists>|<absent>)')
"""What Praat itself reads: strings, and, standing alone, numbers and flags; and comments. All else is for people.

A quote by itself begins a string that does not end, or is not alone.
"""

_LINE_END = re.compile(r"\r\n|\r|\n")

_UTF_8 = re.compile(rb"[\xc3-\xdf][\x80-\xbf]|[\xe0-\xef][\x80-\xbf]{2}")
"""A character in UTF-8, which in ISO 8859-1 would be a capital letter and a sign, or a letter and two signs."""

_NOT_LATIN_1 = re.compile(rb"[\x80-\x9f]")
"""Letters in the old encodings of Windows and the Macintosh, and nothing in ISO 8859-1."""

SHORT_HEADER = "ooTextFile short"
"""Of Praat's older short format, which the Penn aligner writes; today's both begin with `ooTextFile`."""


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
    """The interval tiers of a TextGrid in one of Praat's text formats.

    Intervals of empty text and tiers of points are left out.

    Raises InputError where the file cannot be read, is no such TextGrid, or has two interval tiers of one name; it
    names the line.
    """
    with open_regular(path) as file, reading(path):
        data = file.read(MAX_BYTES + 1)
    if len(data) > MAX_BYTES:
        raise InputError(f"{path}: larger than {MAX_BYTES:,} bytes, which no TextGrid of an utterance is")
    if data.startswith(b"ooBinaryFile"):
        raise InputError(f"{path}: is in Praat's binary format; open it in Praat and choose 'Save as text file'")
    tokens = _Tokens(path, _decoded(path, data))
    if tokens.next() not in ('"ooTextFile"', f'"{SHORT_HEADER}"'):
        raise tokens.error('is no TextGrid in a text format, whose first text is "ooTextFile"')
    if (kind := tokens.string()) != "TextGrid":
        raise tokens.error(f"holds a {kind}, not a TextGrid")
    return _tiers(tokens)


def _decoded(path: Path, data: bytes) -> str:
    """The text, in the encoding that a mark at its beginning or its bytes tell."""
    encoding = "utf-16" if data[:2] in (b"\xff\xfe", b"\xfe\xff") else "utf-8-sig"
    try:
        return data.decode(encoding)
    except UnicodeDecodeError as e:
        line = len(_LINE_END.findall(data[: e.start].decode(encoding, errors="replace"))) + 1
    if encoding == "utf-16":
        raise InputError(f"{path}:{line}: is not UTF-16 text, as its first bytes say; is it cut?")
    if _UTF_8.search(data) or _NOT_LATIN_1.search(data):
        raise InputError(
            f"{path}:{line}: is neither UTF-8, UTF-16 nor ISO 8859-1 text; convert it to UTF-8 from the encoding that "
            "it was written in: `iconv -f WINDOWS-1252 -t UTF-8`, or `-f MACINTOSH`"
        )
    return data.decode("latin-1")


class _Tokens:
    """What stands in a TextGrid, read from its beginning to its end. Faults name the line of the last one."""

    def __init__(self, path: Path, text: str) -> None:
        self._path, self._text = path, text
        self._matches = _TOKEN.finditer(text)
        self._last: re.Match[str] | None = None

    def error(self, reason: str) -> InputError:
        """The error about the last token."""
        end = self._last.start() if self._last else len(self._text.rstrip())
        return InputError(f"{self._path}:{len(_LINE_END.findall(self._text, 0, end)) + 1}: {reason}")

    def next(self) -> str:
        """The next token that is no comment, empty after the last one. Raises InputError for quotes that do not pair."""
        for match in self._matches:
            self._last, text = match, match[0]
            if text == '"':
                raise self.error(
                    "a text that begins in this line does not end where it should; a double quote within a text is "
                    f'written twice (""): {_shown(self._text[match.start() :])}'
                )
            if text[0] != "!":
                return text
        self._last = None
        return ""

    def string(self) -> str:
        """The next token, without its quotes."""
        token = self.next()
        if token[:1] != '"':
            raise self._expected("a text in double quotes", token)
        return token[1:-1].replace('""', '"')

    def number(self) -> float:
        """The next token as a number."""
        token = self.next()
        try:
            return float(token)
        except ValueError:
            raise self._expected("a number", token) from None

    def count(self) -> int:
        """The next token as a number of things."""
        token = self.next()
        if not (token.isascii() and token.isdigit() and len(token) < 10):
            raise self._expected("a whole number", token)
        return int(token)

    def _expected(self, what: str, token: str) -> InputError:
        return self.error(f"{what} is missing; there is {_shown(token) or 'the end of the file'}")


def _shown(text: str) -> str:
    """The beginning of the first line of a text."""
    return _LINE_END.split(text[:60], 1)[0]


def _tiers(tokens: _Tokens) -> dict[str, tuple[Interval, ...]]:
    """The interval tiers of what follows the header."""
    tokens.number(), tokens.number()
    match tokens.next():
        case "<absent>":
            return {}
        case flag if flag != "<exists>":
            raise tokens.error(f"'<exists>' is missing; there is {_shown(flag) or 'the end of the file'}")
    tiers: dict[str, tuple[Interval, ...]] = {}
    for _ in range(tokens.count()):
        kind, name = tokens.string(), tokens.string()
        if kind not in ("IntervalTier", "TextTier"):
            raise tokens.error(f"tier {name!r} is a {kind}, which is unknown")
        if name in tiers and kind == "IntervalTier":
            raise tokens.error(f"two tiers are called {name!r}; rename one")
        tokens.number(), tokens.number()
        n = tokens.count()
        if kind == "TextTier":
            for _ in range(n):
                tokens.number(), tokens.string()
            continue
        intervals = (Interval(tokens.number(), tokens.number(), tokens.string()) for _ in range(n))
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
