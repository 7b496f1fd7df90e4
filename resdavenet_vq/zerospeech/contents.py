"""The files of an untrusted submission, a folder or a zip.

Nothing is unpacked. A zip that would expand beyond `MOST_BYTES`, has names that lead outside, or is packed in ways that
no submission needs is reported, and such files are not opened. The amount that is read at once is bounded.
"""

from __future__ import annotations

import io
import os
import stat
import struct
import zipfile
import zlib
from collections.abc import Iterator
from contextlib import ExitStack, contextmanager
from itertools import filterfalse
from pathlib import Path
from typing import BinaryIO, Self, cast

from resdavenet_vq.archive import fault, open_zip
from resdavenet_vq.errors import printable, shortened
from resdavenet_vq.folders import is_clutter

MOST_BYTES = 1 << 37
"""Of all files together, unpacked: 128 GiB, several times the largest challenge."""

MOST_FILES = 1 << 17
"""Of all folders together: the largest challenge has about half of it."""

BUFFER = 1 << 18

LONGEST_NAME = 200
"""Characters of a name that are shown."""

FAULTS = (OSError, zipfile.BadZipFile, zlib.error, EOFError, RuntimeError, ValueError, struct.error)
"""What reading a damaged file raises."""


class Contents:
    """A submission's files; a context manager.

    `names` are the files that can be opened, sorted, with `/` between folders; `clutter` are those that systems put
    beside them, such as the `__MACOSX/` of a zip from macOS; `problems` is what is wrong with the folder or zip itself.
    """

    def __init__(self, path: Path) -> None:
        self._path, self._stack = path, ExitStack()
        self._archive: zipfile.ZipFile | None = None
        self.names: list[str] = []
        self.problems: list[str] = []
        try:
            if path.is_dir():
                self._walk()
            elif not path.is_file():
                self.problems = [f"{path}: no such file or folder"]
            else:
                file = self._stack.enter_context(path.open("rb"))
                self._archive = self._stack.enter_context(open_zip(file, largest=MOST_BYTES, most=MOST_FILES))
                self._list(self._archive)
        except FAULTS as e:
            self.names = []
            self.problems = [f"{path}: is neither a folder nor a zip file that can be read ({e})"]
        self.clutter = sorted(filter(is_clutter, self.names))
        self.names = sorted(filterfalse(is_clutter, self.names))

    @contextmanager
    def open(self, name: str) -> Iterator[BinaryIO]:
        """The bytes of a file, as they are read; raises one of FAULTS where they are damaged."""
        with self._archive.open(name) if self._archive else (self._path / name).open("rb") as file:
            # lines of a zip are read slowly, and without bound
            yield cast("BinaryIO", io.BufferedReader(cast("io.RawIOBase", file), BUFFER))

    def _walk(self) -> None:
        for folder, folders, files in os.walk(self._path, onerror=_raise):
            for file in (*files, *(f for f in folders if Path(folder, f).is_symlink())):
                path = Path(folder, file)
                name = path.relative_to(self._path).as_posix()
                if len(self.names) + len(self.problems) == MOST_FILES:
                    raise ValueError(f"more than the {MOST_FILES} files that are read")
                if stat.S_ISREG(path.lstat().st_mode):
                    self.names.append(name)
                else:
                    self.problems.append(f"{shown(name)}: is a link or no regular file")

    def _list(self, archive: zipfile.ZipFile) -> None:
        names = set()
        for entry in archive.infolist():
            if problem := fault(entry) or _unusual(entry.filename):
                self.problems.append(f"{shown(entry.orig_filename)}: {problem}")
            elif entry.filename in names:
                self.problems.append(f"{shown(entry.filename)}: is in the zip twice")
            elif not entry.is_dir():
                self.names.append(entry.filename)
            names.add(entry.filename)

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *_: object) -> None:
        self._stack.close()


def _raise(error: OSError) -> None:
    raise error


def shown(name: str) -> str:
    """A file's name, in at most a line of a terminal."""
    return printable(shortened(name, LONGEST_NAME))


def _unusual(name: str) -> str:
    """Why no pattern of an edition's files should be tried on a name, or nothing."""
    return "is no plain path" if {"", "."} & set(name.removesuffix("/").split("/")) else ""
