"""Paths in a corpus's files: which are accepted, from which folder they start, and the names that they give.

The rule for wav and image files. A relative path starts at a base folder: the configuration's, else the one that the
corpus file names, else the folder of the corpus file. It cannot lead above that with `..`. An absolute path is taken
as it is where no base is named; where one is, it must lie below it. Links are followed.
"""

from __future__ import annotations

import re
from dataclasses import dataclass
from pathlib import Path
from typing import Any, NamedTuple, override
from urllib.parse import unquote, urlsplit

from resdavenet_vq.errors import InputError, shortened

_CONTROLS = re.compile(r"[\x00-\x1f\x7f-\x9f\u2028\u2029]")
_URL = re.compile(r"[A-Za-z][A-Za-z0-9+.-]*://|(?:file|https?|ftp|s3|gs):/")  # a Path has one slash of the two
_DRIVE = re.compile(r"[A-Za-z]:/")


class FilePath(Path):
    """The path of one of millions of files: its text as it is given, which has no doubled or closing `/` and no `.`.

    Python 3.12 keeps every part of a path that it takes apart until the process ends. This one is not taken apart to be
    opened, compared, pickled or written, so that memory does not grow with the rows that were read.
    """

    __slots__ = ("_file",)

    def __init__(self, file: str) -> None:
        super().__init__(file)
        self._file = file

    @override
    def __str__(self) -> str:
        return self._file

    @override
    def __fspath__(self) -> str:
        return self._file

    @override
    def __reduce__(self) -> tuple[Any, ...]:
        return FilePath, (self._file,)

    @override
    def with_segments(self, *segments: Any) -> Path:  # type: ignore[override]  # what is made of it is another kind
        return Path(*segments)


class Media(NamedTuple):
    """A wav or image file, and its name: the path below the base, or a whole path without its first `/`."""

    name: str
    file: Path


@dataclass(frozen=True)
class Base:
    """The folder that the paths of a corpus file start at, and the key that names it, if one does."""

    folder: Path
    key: str | None = None

    @classmethod
    def choose(cls, key: str, configured: Path | None, named: object, corpus_file: Path) -> Base:
        """The base of a corpus file: the configured folder, else the one that it names, else its own folder.

        Raises InputError naming the file if `named`, the value of its `key`, is no path of a folder.
        """
        if configured is None and named is None:
            return cls(corpus_file.parent)
        if configured is None and (not isinstance(named, str) or "\0" in named or not is_unicode(named)):
            raise InputError(f"{corpus_file}: {key} must be the path of a folder, not {shortened(ascii(named))}")
        base = named if configured is None else str(configured)
        source = corpus_file if configured is None else "the configuration"
        if fault := _foreign(str(base)):
            raise InputError(f"{source}: {key}: {fault}")
        return cls(corpus_file.parent / str(base) if configured is None else configured, key)

    def locate(self, text: str) -> Media:
        """The file of a path. Raises ValueError with what is wrong with the path."""
        if (fault := _fault(text) or _foreign(text)) is not None:
            raise ValueError(fault)
        file = normal(text)
        if not text.startswith("/"):
            return Media(file, FilePath(_below(str(self.folder)) + file))
        folder = str(self.folder.absolute())
        if file.startswith(_below(folder)):
            return Media(file.removeprefix(_below(folder)), FilePath(file))
        if self.key is not None:
            raise ValueError(f"{text!r} is absolute and not below {self.key}, which is {folder}; correct one of them")
        return Media(file.lstrip("/"), FilePath(file))


def normal(text: str) -> str:
    """The text of a path without doubled and closing `/` and without `.`, as that of a Path."""
    root = "" if text[:1] != "/" else "//" if text.startswith("//") and text[2:3] != "/" else "/"
    return root + "/".join(part for part in text.split("/") if part not in ("", "."))


def without_suffix(name: str) -> str:
    """The normal text of a path without the suffix of its last part, as `with_suffix("")` of a Path."""
    folder, slash, last = name.rpartition("/")
    dot = last.rfind(".")
    return folder + slash + (last[:dot] if 0 < dot < len(last) - 1 else last)


def _below(folder: str) -> str:
    """How the paths of files in a folder begin."""
    return "" if folder == "." else f"{folder.rstrip('/')}/"


def path_fault(text: str) -> str | None:
    """What makes `text` no path below a base folder; ids are names of files to come, so the same holds for them."""
    fault = _fault(text)
    if fault is None and text.startswith("/"):
        return f"{text!r} is absolute; it must be below the base path"
    return fault


def is_unicode(text: str) -> bool:
    """Whether the text can be written in UTF-8; JSON can escape halves of a character."""
    try:
        text.encode()
    except UnicodeEncodeError:
        return False
    return True


def _fault(text: str) -> str | None:
    """What makes `text` no path that stays where it starts."""
    if not text.strip():
        return "empty"
    if _CONTROLS.search(text):
        return "contains a control character"
    if ".." in text and ".." in text.split("/"):
        return f"{text!r} leads upwards with '..'; it must be below the base path"
    if not normal(text).strip("/"):
        return f"{text!r} names no file"
    return None


def _foreign(text: str) -> str | None:
    """What makes `text` the path of another system, of the network, or of a shell."""
    if not ({":", "\\", "~"} & set(text)):
        return None
    if text.lower().startswith("file:/"):
        return f"{text!r} is a URL; write the path, {unquote(urlsplit(text).path)!r}"
    if _URL.match(text):
        return f"{text!r} is a URL; download the file and write its path"
    if "\\" in text or _DRIVE.match(text):
        what = "a backslash" if "\\" in text else "a drive"
        return f"{text!r} is a Windows path with {what}; write the path on this system, with /"
    if text.startswith("~") and (text == "~" or "/" in text):
        return f"{text!r} begins with '~', which only a shell replaces; write the whole path"
    return None
