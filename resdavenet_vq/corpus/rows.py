"""Rows of corpus files, checked at the border: JSON objects and lines of text, with every fault named."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import Any

from resdavenet_vq.corpus.disk import DiskDict
from resdavenet_vq.corpus.json_rows import RepeatedKeys
from resdavenet_vq.corpus.manifest import (
    MAX_ROWS,
    NO_ALIGNMENT,
    Interval,
    Manifest,
    Utterance,
    parse_alignment,
    too_many_rows,
)
from resdavenet_vq.corpus.paths import Base, Media, is_unicode, path_fault, without_suffix
from resdavenet_vq.corpus.text_files import not_utf_8, open_text
from resdavenet_vq.errors import InputError, shortened
from resdavenet_vq.files import reading

BAD_TOKENS = "bad alignment tokens"
WAV_TWICE = "wavs listed twice"

ALIGNMENTS = ("text_alignment", "phone_alignment", "syllable_alignment")
"""Fields of aligned words, phones and syllables, in the notation that `parse_alignment` reads."""

MAX_LINES = 20 * MAX_ROWS
"""Largest number of lines of a table that has one for each word or token of a split."""

MAX_LINE_BYTES = 1 << 20
"""Longest line of a table of text; a caption has hundreds of characters."""


class Fields:
    """The fields of one JSON object, read with every fault noted in `faults`; a missing field and null are the same."""

    def __init__(self, row: Mapping[str, Any]) -> None:
        self.row = row
        self.faults: list[str] = []
        if isinstance(row, RepeatedKeys):
            self.faults.append(f"the key {shortened(repr(row.key), 80)} is listed twice; keep one")

    def text(self, key: str) -> str | None:
        """A field that must be text."""
        value = self.row.get(key)
        if value is None or (isinstance(value, str) and is_unicode(value)):
            return value
        fault = "not valid Unicode" if isinstance(value, str) else f"not text but {kind(value)}"
        self.faults.append(f"{key}: {fault}")
        return None

    def name(self, key: str) -> str | None:
        """A field that must be text or a whole number, which is read as its digits."""
        value = self.row.get(key)
        if isinstance(value, int) and not isinstance(value, bool):
            return str(value)
        if isinstance(value, float):
            self.faults.append(f"{key}: {value} is no whole number; write it as text")
            return None
        return self.text(key)

    def file_name(self, key: str) -> str | None:
        """A field that must be the path of a file below some folder."""
        self._require(key)
        text = self.text(key)
        if text is not None and (fault := path_fault(text)):
            self.faults.append(f"{key}: {fault}")
            return None
        return text

    def media(self, key: str, base: Base, *, required: bool = False) -> Media | None:
        """A wav or image file by its path, for which `paths` has the rule."""
        if required:
            self._require(key)
        text = self.text(key)
        try:
            return None if text is None else base.locate(text)
        except ValueError as e:
            remedy = "" if required or text else "; leave it out where there is none"
            self.faults.append(f"{key}: {e}{remedy}")
            return None

    def alignment(self, key: str) -> tuple[tuple[Interval, ...] | None, int]:
        """The intervals in a field, and how many of its tokens were bad."""
        text = self.text(key)
        return (None, 0) if text is None else parse_alignment(text)

    def utterance_id(self, wav: Media | None) -> str:
        """The utterance's id, else its wav's name without suffix; empty where neither is sound."""
        utterance_id = self.name("uttid")
        if utterance_id is None:
            is_missing = wav is not None and self.row.get("uttid") is None
            return without_suffix(wav.name) if wav is not None and is_missing else ""
        if fault := path_fault(utterance_id):
            self.faults.append(f"uttid: {fault}")
            return ""
        return utterance_id

    def _require(self, key: str) -> None:
        if self.row.get(key) is None:
            keys = ", ".join(shortened(repr(name), 40) for name in list(self.row)[:8] if name != key)
            self.faults.append(f"{key}: missing" + (f"; the keys of the row are {keys}" if keys else ""))


class Captions:
    """Adds the captions of JSON files to a manifest: those that can be used, or why they cannot.

    A caption is refused if it has no `wav`, a field of another type, a path that is not accepted, a repeated key, or an
    id that an earlier one has. A wav that an earlier caption has, with another id, is counted.
    """

    def __init__(self, manifest: Manifest) -> None:
        self._manifest = manifest
        self._place_of_id, self._place_of_wav = DiskDict[str](), DiskDict[str]()

    def add(self, fields: Fields, place: str, audio_base: Base, image: Media | None) -> None:
        """Adds the next caption, whose place in its file faults name; `fields` may already have faults."""
        manifest = self._manifest
        wav = fields.media("wav", audio_base, required=True)
        utterance_id = fields.utterance_id(wav)
        if utterance_id and (first := self._place_of_id.setdefault(utterance_id, place)) != place:
            fields.faults.append(f"id: {first} has the same, {shortened(repr(utterance_id), 80)}; give each its own")
        asr_text, text, speaker = fields.text("asr_text"), fields.text("text"), fields.name("speaker")
        words, bad_words = fields.alignment("text_alignment")
        phones, bad_phones = fields.alignment("phone_alignment")
        syllables, bad_syllables = fields.alignment("syllable_alignment")
        if fields.faults or wav is None:
            manifest.refuse(utterance_id, encodable(fields.row.get("wav")), f"{place}: {'; '.join(fields.faults)}")
            return
        if (first := self._place_of_wav.setdefault(wav.name, place)) != place:
            manifest.notice(WAV_TWICE, f"{wav.name} in {first} and {place}")
        if bad := bad_words + bad_phones + bad_syllables:
            manifest.counted[BAD_TOKENS] = manifest.counted.get(BAD_TOKENS, 0) + bad
        manifest.counted[NO_ALIGNMENT] = manifest.counted.get(NO_ALIGNMENT, 0) + (words is None)
        shown, image_id = (None, None) if image is None else (image.file, image.name)
        text = (text if asr_text is None else asr_text) or None
        manifest.add(
            Utterance(utterance_id, wav.file, shown, image_id, speaker or None, text, words, phones, syllables)
        )


def read_lines(path: Path, most: int = MAX_ROWS) -> Iterator[tuple[int, str]]:
    """The non-blank lines of a UTF-8 text file, with their numbers from 1.

    Raises InputError naming the file if it cannot be read, is no UTF-8, has more than `most` lines, or too long a one.
    """
    number, data = 0, b"\xef\xbb\xbf"  # of the first line alone
    with open_text(path) as file:
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
                raise not_utf_8(path, f"line {number}") from None
            data = b""
            if text:
                yield number, text


def encodable(value: object) -> str:
    """A text that can be written in UTF-8, whatever the value."""
    return value.encode(errors="backslashreplace").decode() if isinstance(value, str) else ""


def kind(value: object) -> str:
    """What a JSON value is, in words."""
    names = {bool: "true or false", list: "a list", dict: "an object", str: "text", type(None): "null"}
    return names.get(type(value), "a number")
