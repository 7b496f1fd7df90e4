"""Rows of corpus files, checked at the border: JSON objects and lines of text, with every fault named."""

from __future__ import annotations

import re
from collections.abc import Iterator, Mapping
from pathlib import Path, PurePosixPath
from typing import Any

from resdavenet_vq.corpus.json_rows import JsonRows
from resdavenet_vq.corpus.manifest import MAX_ROWS, Interval, parse_alignment, too_many_rows
from resdavenet_vq.errors import InputError, shortened
from resdavenet_vq.files import open_regular, reading

MAX_LINES = 20 * MAX_ROWS
"""Largest number of lines of a table that has one for each word or token of a split."""

MAX_LINE_BYTES = 1 << 20
"""Longest line of a table of text; a caption has hundreds of characters."""

_CONTROLS = re.compile(r"[\x00-\x1f\x7f-\x9f\u2028\u2029]")


class Fields:
    """The fields of one JSON object, read with every fault noted in `faults`; a missing field and null are the same."""

    def __init__(self, row: Mapping[str, Any]) -> None:
        self.row = row
        self.faults: list[str] = []

    def text(self, key: str) -> str | None:
        """A field that must be text."""
        value = self.row.get(key)
        if value is None or (isinstance(value, str) and is_unicode(value)):
            return value
        fault = "not valid Unicode" if isinstance(value, str) else f"not text but {kind(value)}"
        self.faults.append(f"{key}: {fault}")
        return None

    def path(self, key: str, *, required: bool = False) -> str | None:
        """A field that must be a path below a base folder."""
        if required and self.row.get(key) is None:
            self.faults.append(f"{key}: missing")
        text = self.text(key)
        if text is not None and (fault := path_fault(text)):
            self.faults.append(f"{key}: {fault}")
            return None
        return text

    def utterance_id(self, wav: str | None, place: str, place_of_id: dict[str, str]) -> str:
        """The utterance's id, else its wav path without suffix; empty where neither is sound. It must be new."""
        utterance_id = self.path("uttid") or ""
        if wav is not None and self.row.get("uttid") is None:
            utterance_id = str(PurePosixPath(wav).with_suffix(""))
        if utterance_id and place_of_id.setdefault(utterance_id, place) != place:
            self.faults.append(f"id: {place_of_id[utterance_id]} has the same")
        return utterance_id

    def alignment(self, key: str) -> tuple[tuple[Interval, ...] | None, int]:
        """The intervals in a field, and how many of its tokens were bad."""
        text = self.text(key)
        return (None, 0) if text is None else parse_alignment(text)


def read_lines(path: Path, most: int = MAX_ROWS) -> Iterator[tuple[int, str]]:
    """The non-blank lines of a UTF-8 text file, with their numbers from 1.

    Raises InputError naming the file if it cannot be read, is no UTF-8, has more than `most` lines, or too long a one.
    """
    number, data = 0, b"\xef\xbb\xbf"  # of the first line alone
    with open_regular(path) as file:
        while True:
            with reading(path):
                line = file.readline(MAX_LINE_BYTES + 1)
            if not line:
                return
            number += 1
            if number > most:
                raise too_many_rows(path, most)
            if len(line) > MAX_LINE_BYTES:
                raise InputError(
                    f"{path}: line {number} has more than {MAX_LINE_BYTES:,} bytes; is it a table of text?"
                )
            try:
                text = line.removeprefix(data).decode().strip()
            except UnicodeDecodeError:
                raise InputError(f"{path}: not UTF-8 text (line {number})") from None
            data = b""
            if text:
                yield number, text


def base_path(rows: JsonRows, key: str) -> Path:
    """The folder that a corpus file names as a base, from its own folder on; that folder where it names none."""
    base = rows.others.get(key)
    if base is None:
        return rows.path.parent
    if not isinstance(base, str) or "\0" in base or not is_unicode(base):
        raise InputError(f"{rows.path}: {key} must be the path of a folder, not {shortened(ascii(base))}")
    return rows.path.parent / base


def path_fault(text: str) -> str | None:
    """What makes `text` no path below a base folder; ids are names of files to come, so the same holds for them."""
    if not text.strip():
        return "empty"
    if _CONTROLS.search(text):
        return "contains a control character"
    path = PurePosixPath(text)
    if path.is_absolute():
        return f"{text!r} is absolute; it must stand below the base path"
    if ".." in path.parts:
        return f"{text!r} leads upwards with '..'; it must stand below the base path"
    if not path.name:
        return f"{text!r} names no file"
    return None


def is_unicode(text: str) -> bool:
    """Whether the text can be written in UTF-8; JSON can escape halves of a character."""
    try:
        text.encode()
    except UnicodeEncodeError:
        return False
    return True


def encodable(value: object) -> str:
    """A text that can be written in UTF-8, whatever the value."""
    return value.encode(errors="backslashreplace").decode() if isinstance(value, str) else ""


def kind(value: object) -> str:
    """What a JSON value is, in words."""
    names = {bool: "true or false", list: "a list", dict: "an object", str: "text", type(None): "null"}
    return names.get(type(value), "a number")
