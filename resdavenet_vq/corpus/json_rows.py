"""The rows of a large JSON file, one at a time: of an object with a list, of a list alone, or of JSON Lines."""

from __future__ import annotations

import codecs
import json
import re
from collections import Counter
from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import Any, Self

from resdavenet_vq.corpus.manifest import MAX_ROWS, too_many_rows
from resdavenet_vq.corpus.text_files import not_utf_8, open_text
from resdavenet_vq.errors import InputError, printable, shortened
from resdavenet_vq.files import reading

MAX_ROW_CHARACTERS = 1 << 22
"""Longest JSON text of one row: a thousand times that of the corpora, and enough for alignments of many hours."""

MAX_MEMBERS = 1000
"""Largest number of members beside the list; corpora have two or three."""

_CHUNK = 1 << 20
_LONGEST_TOKEN = 16
"""Text that ends within a token is told by a fault so near its end; only strings may be longer."""

_LINES = ("jsonl", "ndjson")
"""Endings of files of JSON Lines; they are known by their content, but where there is one row."""

_SPACE = re.compile(r"[ \t\r\n]*")


class RepeatedKeys(dict[str, Any]):
    """A JSON object that lists a key twice, with the last value of each key; `key` is the first that is repeated."""

    def __init__(self, pairs: Sequence[tuple[str, Any]]) -> None:
        super().__init__(pairs)
        counts = Counter(key for key, _ in pairs)
        self.key = next(key for key, _ in pairs if counts[key] > 1)


class JsonRows:
    """The rows of a JSON file, each with its place, and the members beside them.

    Rows are the list under one key of an object (places `data[0]`, `data[1]` ...), a list alone (`[0]`, `[1]` ...),
    or objects that follow each other, as in JSON Lines (`line 1`, `line 2` ...), packed by gzip or not.

    The file is read through at once, and again by every iteration, so that rows are held by nobody before it is known
    that all can be; memory holds one row, and a piece of the text. The content of rows is unchecked: NaN is null, as
    programs write it for missing values, and objects with a repeated key are RepeatedKeys. Raises InputError
    naming the file if it cannot be read, is of another layout, malformed (with line and column), without rows, or
    beyond what this module bounds.
    """

    def __init__(self, path: Path, key: str, layout: str) -> None:
        self.path, self._key, self._layout = path, key, layout
        self.others: dict[str, Any] = {}
        """The members of the object beside the list."""
        for _ in self._rows(self.others):
            pass

    def __iter__(self) -> Iterator[tuple[str, Any]]:
        """The place and the value of each row, in order."""
        return self._rows({})

    def _rows(self, others: dict[str, Any]) -> Iterator[tuple[str, Any]]:
        """The rows, and in `others` the members beside them."""
        with _Text(self.path) as text:
            try:
                for number, row in enumerate(self._parse(text, others)):
                    if number == MAX_ROWS:
                        raise too_many_rows(self.path)
                    yield row
            except RecursionError:
                raise InputError(f"{self.path}: nested too deeply for a corpus file") from None

    def _parse(self, text: _Text, others: dict[str, Any]) -> Iterator[tuple[str, Any]]:
        match text.peek():
            case "[":
                yield from self._list(text, "")
            case "{":
                yield from self._object(text, others)
            case _:
                raise self._other_layout()
        if text.peek():
            raise text.fault("Extra data")

    def _object(self, text: _Text, others: dict[str, Any]) -> Iterator[tuple[str, Any]]:
        """The rows in the list of an object; those of JSON Lines where the first object has no such list."""
        line = text.line()
        members: list[tuple[str, Any]] = []
        has_list = False
        mark = text.take("{")
        if text.peek() == "}":
            raise self._other_layout()
        while mark != "}":
            name = self._name(text, len(members))
            if name != self._key:
                members.append((name, text.value()))
            elif has_list:
                raise InputError(f"{self.path}: {_member(name)} is listed twice")
            else:
                has_list = True
                yield from self._list(text, self._key)
            mark = text.take(",}")
        first = _object(members)
        if not has_list:
            yield from self._lines(text, line, first)
        elif isinstance(first, RepeatedKeys):
            raise InputError(f"{self.path}: {_member(first.key)} is listed twice")
        else:
            others |= first

    def _name(self, text: _Text, n_members: int) -> str:
        """The name of an object's next member, of which there are some already."""
        if text.peek() != '"':
            raise text.fault("Expecting property name enclosed in double quotes")
        name = str(text.value())
        if n_members == MAX_MEMBERS:
            raise InputError(f"{self.path}: {_member(name)} is one of more than {MAX_MEMBERS}")
        text.take(":")
        return name

    def _lines(self, text: _Text, line: int, first: dict[str, Any]) -> Iterator[tuple[str, Any]]:
        """The rows of JSON Lines, of which the first, on a line, is parsed."""
        if not text.peek() and self.path.name.removesuffix(".gz").rpartition(".")[2] not in _LINES:
            raise self._other_layout()
        yield f"line {line}", first
        while text.peek():
            yield f"line {text.line()}", text.value()

    def _list(self, text: _Text, name: str) -> Iterator[tuple[str, Any]]:
        if text.peek() != "[":
            raise self._other_layout()
        mark = text.take("[")
        if text.peek() == "]":
            raise InputError(f"{self.path}: no rows; its list{name and f' "{name}"'} is empty")
        number = 0
        while mark != "]":
            yield f"{name}[{number}]", text.value()
            mark = text.take(",]")
            number += 1

    def _other_layout(self) -> InputError:
        forms = f'an object with a list "{self._key}", a list, or an object a line (.jsonl)'
        return InputError(f"{self.path}: not in {self._layout}; it must be {forms}")


def _object(pairs: list[tuple[str, Any]]) -> dict[str, Any]:
    value = dict(pairs)
    return value if len(value) == len(pairs) else RepeatedKeys(pairs)


def _member(name: str) -> str:
    return f"the member {printable(shortened(repr(name), 80))}"


def _constant(name: str) -> float | None:
    return None if name == "NaN" else float(name)


class _Text:
    """The text of a UTF-8 file, with or without a byte order mark, of which memory holds the part that is parsed."""

    def __init__(self, path: Path) -> None:
        self._path = path
        self._file = open_text(path)
        self._decoder = codecs.getincrementaldecoder("utf-8-sig")()
        self._decode = json.JSONDecoder(parse_constant=_constant, object_pairs_hook=_object).raw_decode
        self._text, self._at, self._is_whole = "", 0, False
        self._bytes = 0  # read so far
        self._line, self._counted = 1, 0  # the line of the character at `_counted`, which lines are counted up to
        self._column = 0  # of the text before `_text`

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

    def line(self) -> int:
        """The line of the next character that is no space, from 1."""
        self.peek()
        self._line, self._counted = self._line_of(self._at), self._at
        return self._line

    def fault(self, what: str, at: int | None = None) -> InputError:
        """The error of malformed text, with its line and column; of what comes next unless said otherwise."""
        return InputError(f"{self._path}: malformed JSON{self._place(self._at if at is None else at)}: {what}")

    def _place(self, at: int) -> str:
        line = self._line_of(at)
        before = self._text.rfind("\n", 0, at)
        return f" at line {line}, column {self._column + at + 1 if before < 0 else at - before}"

    def _line_of(self, at: int) -> int:
        return self._line + self._text.count("\n", self._counted, at)

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
        self._line, self._counted = self._line_of(self._at), 0
        with reading(self._path):
            data = self._file.read(max(_CHUNK, len(self._text) - self._at))  # doubled, so that a long row costs little
        pending = len(self._decoder.getstate()[0])
        self._is_whole = not data
        try:
            self._text = self._text[self._at :] + self._decoder.decode(data, final=self._is_whole)
        except UnicodeDecodeError as e:
            raise not_utf_8(self._path, f"byte {self._bytes - pending + e.start}") from None
        self._at, self._bytes = 0, self._bytes + len(data)
        return True
