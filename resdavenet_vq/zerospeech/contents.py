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
from pathlib import Path
from typing import BinaryIO, Self, cast

MOST_BYTES = 1 << 37
"""Of all files together, unpacked: 128 GiB, several times the largest challenge."""

MOST_FILES = 1 << 20

BUFFER = 1 << 18

FAULTS = (OSError, zipfile.BadZipFile, zlib.error, EOFError, RuntimeError, ValueError, struct.error)
"""What reading a damaged file raises."""


class Contents:
    """A submission's files; a context manager.

    `names` are the files that can be opened, sorted, with `/` between folders; `problems` is what is wrong with the
    folder or zip itself.
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
                self._archive = self._stack.enter_context(zipfile.ZipFile(path))
                self._list(self._archive)
        except FAULTS as e:
            self.names = []
            self.problems = [f"{path}: is neither a folder nor a zip file that can be read ({e})"]
        self.names.sort()

    @contextmanager
    def open(self, name: str) -> Iterator[BinaryIO]:
        """The bytes of a file, as they are read; raises one of FAULTS where they are damaged."""
        with self._archive.open(name) if self._archive else (self._path / name).open("rb") as file:
            # lines of a zip are read slowly, and without bound
            yield cast("BinaryIO", io.BufferedReader(cast("io.RawIOBase", file), BUFFER))

    def _walk(self) -> None:
        for folder, folders, files in os.walk(self._path):
            for file in (*files, *(f for f in folders if Path(folder, f).is_symlink())):
                path = Path(folder, file)
                name = path.relative_to(self._path).as_posix()
                if stat.S_ISREG(path.lstat().st_mode):
                    self.names.append(name)
                else:
                    self.problems.append(f"{printable(name)}: is a link or no regular file")

    def _list(self, archive: zipfile.ZipFile) -> None:
        entries = archive.infolist()
        size = sum(entry.file_size for entry in entries)
        if len(entries) > MOST_FILES or size > MOST_BYTES:
            self.problems.append(
                f"{self._path.name}: would unpack to {len(entries)} files of {size} bytes in all, "
                f"more than the {MOST_FILES} files of {MOST_BYTES} bytes that are read"
            )
            return
        names = set()
        for entry in entries:
            if fault := _fault(entry):
                self.problems.append(f"{printable(entry.orig_filename)}: {fault}")
            elif entry.filename in names:
                self.problems.append(f"{printable(entry.filename)}: is in the zip twice")
            elif not entry.is_dir():
                self.names.append(entry.filename)
            names.add(entry.filename)

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *_: object) -> None:
        self._stack.close()


def printable(name: str) -> str:
    """A file's name, fit for a terminal."""
    return (name if name.isprintable() else ascii(name))[:200]


def _fault(entry: zipfile.ZipInfo) -> str:
    """Why an entry of a zip is not read, or nothing."""
    name = entry.orig_filename
    parts = name.removesuffix("/").split("/")
    if "\\" in name or "\0" in name or ":" in parts[0] or any(part in ("", ".", "..") for part in parts):
        return "is no path below the submission"
    if stat.S_ISLNK(entry.external_attr >> 16):
        return "is a link"
    if entry.flag_bits & 1:
        return "is encrypted"
    if entry.compress_type not in (zipfile.ZIP_STORED, zipfile.ZIP_DEFLATED):
        return "is packed in a way other than deflate"
    return ""
