"""Zip archives of others: what bounds the memory of reading them, and what is wrong with an entry."""

from __future__ import annotations

import stat
import zipfile
from typing import Any, BinaryIO

LARGEST_DIRECTORY = 1 << 23
"""Bytes of the list of a zip's files, which is read as a whole: at least 46 a file, about 100 with an ordinary name."""


class SmallReads:
    """A file that refuses to read much at once: the parsers of archives read headers of any declared length as a whole.

    Nothing closes the file through it.
    """

    def __init__(self, file: Any, largest: int) -> None:
        self.seek, self.tell, self._read, self._largest = file.seek, file.tell, file.read, largest

    def seekable(self) -> bool:
        """Whether the position can be changed: always."""
        return True

    def read(self, size: int = -1) -> bytes:
        """The next bytes. Raises ValueError where there are more than the largest number and they are asked for."""
        data: bytes = self._read(size if 0 <= size <= self._largest else self._largest + 1)
        if len(data) > self._largest:
            raise ValueError(f"a header of {size} bytes" if size > 0 else "a header that is too long")
        return data


def open_zip(file: BinaryIO, *, largest: int, most: int) -> zipfile.ZipFile:
    """A zip of at most `most` entries that unpack to at most `largest` bytes, by its own account; more are never read.

    Raises ValueError for others, and what zipfile raises where the list of its files is damaged.
    """
    archive = zipfile.ZipFile(SmallReads(file, LARGEST_DIRECTORY))
    n, size = len(archive.filelist), sum(entry.file_size for entry in archive.filelist)
    if n > most or size > largest:
        raise ValueError(f"would unpack to {n} files of {size} bytes; at most {most} and {largest} are read")
    return archive


def fault(entry: zipfile.ZipInfo) -> str:
    """Why an entry of a zip is not read, or nothing."""
    name = entry.orig_filename
    parts = name.split("/")
    if "\\" in name or "\0" in name or ":" in parts[0] or name.startswith("/") or ".." in parts:
        return "leads out of the archive"
    if stat.S_IFMT(entry.external_attr >> 16) not in (0, stat.S_IFREG, stat.S_IFDIR):
        return "is a link or no plain file"
    if entry.flag_bits & 1:
        return "is encrypted"
    if entry.compress_type not in (zipfile.ZIP_STORED, zipfile.ZIP_DEFLATED):
        return "is packed in a way other than deflate"
    return ""
