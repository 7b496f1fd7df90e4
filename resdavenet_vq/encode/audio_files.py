"""The audio files below a folder and their ids."""

from __future__ import annotations

import shlex
from collections import Counter
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Literal

from resdavenet_vq.data.audio_names import SUFFIXES, UNREAD_SUFFIXES
from resdavenet_vq.encode.file_names import is_utf8
from resdavenet_vq.errors import InputError, listed, printable
from resdavenet_vq.folders import members

type Ids = Literal["path", "name"]
"""The id of an audio file: its path below the folder, or the last part of it, in both cases without suffix."""


@dataclass(frozen=True)
class AudioFiles:
    """What lies below a folder: audio files by their ids, and what is wrong with others."""

    files: dict[str, Path]
    """In the order of their paths; ids with `/` between folders."""
    refused: list[tuple[Path, str]]
    """Files that can have no id, and why: the id is that of an earlier file, or the name is not UTF-8."""
    passed_over: str
    """What to say of audio in formats that are not read; the empty text if there is none."""

    def check(self) -> None:
        """Raises InputError if a file can have no id."""
        if self.refused:
            faults = [f"{path}: {reason}" for path, reason in self.refused]
            raise InputError(f"{len(faults)} files cannot be told by their names:\n{listed(faults)}")


def audio_files(folder: Path, ids: Ids = "path") -> AudioFiles:
    """The audio files below a folder, `folders.members` with one of SUFFIXES.

    Raises InputError if the folder is missing or has no audio that is read.
    """
    if not folder.is_dir():
        raise InputError(f"{folder}: no such folder" if not folder.exists() else f"{folder}: is no folder")
    files: dict[str, Path] = {}
    refused: list[tuple[Path, str]] = []
    unread: list[Path] = []
    for path in members(folder):
        if (suffix := path.suffix.lower()) not in SUFFIXES:
            unread += [path] if suffix in UNREAD_SUFFIXES else []
            continue
        name = path.stem if ids == "name" else path.relative_to(folder).with_suffix("").as_posix()
        if not is_utf8(name):
            refused.append((path, "its name is not UTF-8; rename it"))
        elif name in files:
            other = ", or let ids be paths" if ids == "name" else ""
            refused.append((path, f"has the id of {files[name]} ({name}); rename or remove one{other}"))
        else:
            files[name] = path
    if not files and not refused:
        raise InputError(
            _passed_over(folder, unread) or f"{folder}: holds no audio file ({', '.join(sorted(SUFFIXES))})"
        )
    return AudioFiles(files, refused, _passed_over(folder, unread))


def _passed_over(folder: Path, unread: Sequence[Path]) -> str:
    """What to say of files in formats that are not read."""
    if not unread:
        return ""
    kinds = ", ".join(f"{n} {suffix}" for suffix, n in sorted(Counter(path.suffix.lower() for path in unread).items()))
    example = printable(shlex.join(["ffmpeg", "-i", str(unread[0]), str(unread[0].with_suffix(".flac"))]))
    return f"{folder}: audio in formats that are not read is passed over ({kinds}); convert it: {example}"
