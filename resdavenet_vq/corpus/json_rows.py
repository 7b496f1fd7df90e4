"""The rows of a large JSON file, one at a time: an object with a list, and few other members."""

from __future__ import annotations

import codecs
import json
import re
from collections.abc import Iterator
from pathlib import Path
from typing import Any, Self

from resdavenet_vq.corpus.manifest import MAX_ROWS, too_many_rows
from resdavenet_vq.errors import InputError, printable, shortened
from resdavenet_vq.files import open_regular, reading

MAX_ROW_CHARACTERS = 1 << 22
"""Longest JSON text of one row: a thousand times that of the corpora, and enough for alignments of many hours."""

MAX_MEMBERS = 1000
"""Largest number of members beside the list; corpora have two or three."""

_CHUNK = 1 << 20
_LONGEST_TOKEN = 16
"""Text that ends within a token is told by a fault so near its end; only strings may be longer."""

_SPACE = re.compile(r"[ \t\r\n]*")


class JsonRows:
    """The list under one key of a JSON object in a file, and the object's other members.

    The file is read through at once, and again by every iteration, so that rows are held by nobody before it is known
    that all can be; memory holds one row, and a piece of the text. The content of rows is unchecked. Raises InputError
    naming the file if it cannot be read, is of another layout, malformed (with line and column), without rows, or
    beyond what this module bounds.
    """

    def __init__(self, path: Path, key: str, layout: str) -> None:
        self.path, self._key, self._layout = path, key, layout
        self.others = {name: value for name, value in self._members() if name != key}

    def __iter__(self) -> Iterator[Any]:
        """The rows, in order."""
        return (value for name, value in self._members() if name == self._key)

    def _members(self) -> Iterator[tuple[str, Any]]:
        """The names and values of all members, with those of the list one by one under its name."""
        with _Text(self.path) as text:
            try:
                yield from self._parse(text)
            except RecursionError:
                raise InputError(f"{self.path}: nested too deeply for a corpus file") from None

    def _parse(self, text: _Text) -> Iterator[tuple[str, Any]]:
        if text.peek() != "{":
            raise self._other_layout()
        names: set[str] = set()
        mark = text.take("{")
        if text.peek() == "}":
            raise self._other_layout()
        while mark != "}":
            if text.peek() != '"':
                raise text.fault("Expecting property name enclosed in double quotes")
            name = text.value()
            if name in names or len(names) == MAX_MEMBERS:
                why = "is listed twice" if name in names else f"is one of more than {MAX_MEMBERS}"
                raise InputError(f"{self.path}: the member {printable(shortened(repr(name), 80))} {why}")
            names.add(name)
            text.take(":")
            if name == self._key:
                yield from ((name, row) for row in self._list(text))
            else:
                yield name, text.value()
            mark = text.take(",}")
        if text.peek():
            raise text.fault("Extra data")
        if self._key not in names:
            raise self._other_layout()

    def _list(self, text: _Text) -> Iterator[Any]:
        if text.peek() != "[":
            raise self._other_layout()
        mark = text.take("[")
        if text.peek() == "]":
            raise InputError(f'{self.path}: no rows; its list "{self._key}" is empty')
        number = 0
        while mark != "]":
            number += 1
            if number > MAX_ROWS:
                raise too_many_rows(self.path)
            yield text.value()
            mark = text.take(",]")

    def _other_layout(self) -> InputError:
        return InputError(f'{self.path}: not in {self._layout}; it must be an object with a list "{self._key}"')


class _Text:
    """The text of a UTF-8 file, with or without a byte order mark, of which memory holds the part that is parsed."""

    def __init__(self, path: Path) -> None:
        self._path = path
        self._file = open_regular(path)
        self._decoder = codecs.getincrementaldecoder("utf-8-sig")()
        self._decode = json.JSONDecoder().raw_decode
        self._text, self._at, self._is_whole = "", 0, False
        self._bytes = 0  # read so far
        self._lines, self._column = 0, 0  # of the text before `_text`

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *_: object) -> None:
        self._file.close()

    def peek(self) -> str:
        """The next character that is no space; empty at the end."""
        while True:
            self._at = self._after_space(self._at)
            if self._at < len(self._text) or not self._read():
                return self._text[self._at : self._at + 1]

    def take(self, marks: str) -> str:
        """The next character that is no space, which must be one of these."""
        mark = self.peek()
        if not mark or mark not in marks:
            raise self.fault(" or ".join(f"Expecting {mark!r}" for mark in marks))
        self._at += 1
        return mark

    def value(self) -> Any:
        """The next value, whole: more is read while it may go on beyond the text in memory."""
        self.peek()
        while True:
            try:
                value, end = self._decode(self._text, self._at)
            except json.JSONDecodeError as e:
                is_cut = e.msg.startswith("Unterminated string") or e.pos > len(self._text) - _LONGEST_TOKEN
                if self._is_whole or not is_cut:
                    raise self.fault(e.msg, e.pos) from None
            except ValueError as e:  # a number of thousands of digits
                raise InputError(f"{self._path}: cannot be read as JSON ({e}){self._place(self._at)}") from None
            else:
                if self._is_whole or end < len(self._text) - _LONGEST_TOKEN or self._is_between(end):
                    if end - self._at > MAX_ROW_CHARACTERS:
                        break
                    self._at = end
                    return value
            if len(self._text) - self._at > MAX_ROW_CHARACTERS + _CHUNK:
                break
            self._read()
        raise InputError(
            f"{self._path}: a row of more than {MAX_ROW_CHARACTERS:,} characters{self._place(self._at)}; divide it"
        )

    def fault(self, what: str, at: int | None = None) -> InputError:
        """The error of malformed text, with its line and column; of what comes next unless said otherwise."""
        return InputError(f"{self._path}: malformed JSON{self._place(self._at if at is None else at)}: {what}")

    def _place(self, at: int) -> str:
        line = self._lines + self._text.count("\n", 0, at) + 1
        before = self._text.rfind("\n", 0, at)
        return f" at line {line}, column {self._column + at + 1 if before < 0 else at - before}"

    def _is_between(self, at: int) -> bool:
        """Whether a value ends here for certain."""
        after = self._after_space(at)
        return self._text[after : after + 1] in {",", "]", "}", ":"}

    def _after_space(self, at: int) -> int:
        match = _SPACE.match(self._text, at)
        return match.end() if match else at

    def _read(self) -> bool:
        """Forgets what is parsed, and reads more; whether there was more."""
        if self._is_whole:
            return False
        before = self._text.rfind("\n", 0, self._at)
        self._column = self._column + self._at if before < 0 else self._at - before - 1
        self._lines += self._text.count("\n", 0, self._at)
        with reading(self._path):
            data = self._file.read(max(_CHUNK, len(self._text) - self._at))  # doubled, so that a long row costs little
        pending = len(self._decoder.getstate()[0])
        self._is_whole = not data
        try:
            self._text = self._text[self._at :] + self._decoder.decode(data, final=self._is_whole)
        except UnicodeDecodeError as e:
            raise InputError(f"{self._path}: not UTF-8 text (byte {self._bytes - pending + e.start})") from None
        self._at, self._bytes = 0, self._bytes + len(data)
        return True
