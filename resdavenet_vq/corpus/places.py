"""Places Audio, and any corpus in its JSON layout.

One JSON file a split: `{"audio_base_path": ..., "image_base_path": ..., "data": [row, ...]}`.
A row has `wav` and `image`, paths under the base paths, and where known `uttid`, `speaker`,
`asr_text` or `text`, `text_alignment` ("0.2__WORD__0.5 ..."), and, an extension of ours,
`phone_alignment` in the same notation. Whether the files exist is found out by preparation.
"""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path, PurePosixPath
from typing import Any

from resdavenet_vq import files
from resdavenet_vq.corpus.manifest import Interval, Manifest, Refusal, Utterance, parse_alignment
from resdavenet_vq.errors import InputError

BAD_TOKENS = "bad alignment tokens"
NO_ALIGNMENT = "no alignment"


def read(json_path: Path, audio_base_path: Path | None = None, image_base_path: Path | None = None) -> Manifest:
    """The utterances of one JSON file, in its order.

    Base paths given here replace those of the file; a relative one in the file starts at
    the file's own folder, and where there is none that folder is the base.

    A row is refused if it is no object, has no `wav`, a field that is no text, a path that is
    absolute or has a `..`, or an id that an earlier row has. Raises InputError if the file as
    a whole is unusable: unreadable, malformed, of another layout, or without rows.
    """
    content = _read_json(json_path)
    if not isinstance(content, dict) or not isinstance(content.get("data"), list):
        raise InputError(f'{json_path}: not in the Places layout; it must be an object with a list "data"')
    rows: list[Any] = content["data"]
    if not rows:
        raise InputError(f"{json_path}: no rows; its list \"data\" is empty")
    audio_base = audio_base_path or _base_path(json_path, content, "audio_base_path")
    image_base = image_base_path or _base_path(json_path, content, "image_base_path")

    manifest = Manifest(counted={BAD_TOKENS: 0, NO_ALIGNMENT: 0})
    row_of_id: dict[str, int] = {}
    for number, row in enumerate(rows):
        rows[number] = None  # parsed rows are not kept twice
        if not isinstance(row, dict):
            manifest.refused.append(Refusal(number, "", "", f"not an object but {_kind(row)}"))
            continue
        fields = _Fields(row)
        wav, image = fields.path("wav"), fields.path("image")
        if row.get("wav") is None:
            fields.faults.append("wav: missing")
        identity = fields.identity(wav)
        if identity and row_of_id.setdefault(identity, number) != number:
            fields.faults.append(f"id: row {row_of_id[identity]} has the same")
        asr_text, text, speaker = fields.text("asr_text"), fields.text("text"), fields.text("speaker")
        words, bad_words = fields.alignment("text_alignment")
        phones, bad_phones = fields.alignment("phone_alignment")
        if fields.faults or wav is None:
            manifest.refused.append(Refusal(number, identity, _printable(row.get("wav")), "; ".join(fields.faults)))
            continue
        manifest.counted[BAD_TOKENS] += bad_words + bad_phones
        manifest.counted[NO_ALIGNMENT] += words is None
        manifest.utterances.append(
            Utterance(
                id=identity,
                wav=audio_base / wav,
                image=None if image is None else image_base / image,
                image_id=image,
                speaker=speaker,
                text=text if asr_text is None else asr_text,
                words=words,
                phones=phones,
            )
        )
    return manifest


class _Fields:
    """The fields of one row, read with every fault noted; a missing field and null are the same."""

    def __init__(self, row: Mapping[str, Any]) -> None:
        self.row = row
        self.faults: list[str] = []

    def text(self, key: str) -> str | None:
        value = self.row.get(key)
        if value is None:
            return None
        if not isinstance(value, str):
            self.faults.append(f"{key}: not text but {_kind(value)}")
            return None
        if not _is_unicode(value):
            self.faults.append(f"{key}: not valid Unicode")
            return None
        return value

    def path(self, key: str) -> str | None:
        text = self.text(key)
        if text is not None and (fault := _path_fault(text)):
            self.faults.append(f"{key}: {fault}")
            return None
        return text

    def identity(self, wav: str | None) -> str:
        """The utterance's id, else its wav path without suffix; empty where neither is sound."""
        identity = self.path("uttid")
        if identity is None and wav is not None and self.row.get("uttid") is None:
            identity = str(PurePosixPath(wav).with_suffix(""))
        return identity or ""

    def alignment(self, key: str) -> tuple[tuple[Interval, ...] | None, int]:
        text = self.text(key)
        return (None, 0) if text is None else parse_alignment(text)


def _read_json(path: Path) -> Any:
    try:
        return files.read_json(path)
    except OSError as e:
        raise InputError(f"{path}: cannot be read ({e.strerror})") from None
    except RecursionError:
        raise InputError(f"{path}: nested too deeply for a corpus file") from None
    except ValueError as e:  # a number of thousands of digits, or a path that no system has
        raise InputError(f"{path}: cannot be read as JSON ({e})") from None


def _base_path(json_path: Path, content: Mapping[str, Any], key: str) -> Path:
    base = content.get(key)
    if base is None:
        return json_path.parent
    if not isinstance(base, str) or "\0" in base or not _is_unicode(base):
        raise InputError(f"{json_path}: {key} must be the path of a folder, not {base!a}")
    return json_path.parent / base


def _path_fault(text: str) -> str | None:
    """What makes `text` no path below a base folder; ids are names of files to come, so the same holds for them."""
    if not text.strip():
        return "empty"
    if any(ord(character) < 32 or ord(character) == 127 for character in text):
        return "contains a control character"
    path = PurePosixPath(text)
    if path.is_absolute():
        return f"{text!r} is absolute; it must stand below the base path"
    if ".." in path.parts:
        return f"{text!r} leads upwards with '..'; it must stand below the base path"
    if not path.name:
        return f"{text!r} names no file"
    return None


def _is_unicode(text: str) -> bool:
    """Whether the text can be written in UTF-8; JSON can escape halves of a character."""
    try:
        text.encode()
    except UnicodeEncodeError:
        return False
    return True


def _printable(value: object) -> str:
    return value.encode(errors="backslashreplace").decode() if isinstance(value, str) else ""


def _kind(value: object) -> str:
    names = {bool: "true or false", int: "a number", float: "a number", list: "a list", dict: "an object", str: "text", type(None): "null"}
    return names[type(value)]
