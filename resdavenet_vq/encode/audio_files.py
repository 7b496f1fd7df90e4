"""The audio files below a folder and their ids."""

from __future__ import annotations

from pathlib import Path
from typing import Literal

from resdavenet_vq.encode.file_names import check_utf8
from resdavenet_vq.errors import InputError, listed

SUFFIXES = frozenset({".wav", ".flac", ".ogg", ".opus", ".mp3", ".aiff", ".aif", ".au", ".sph"})
"""Of audio files, in lower or upper case."""

type Ids = Literal["path", "name"]
"""The id of an audio file: its path below the folder, or the last part of it, in both cases without suffix."""


def audio_files(folder: Path, ids: Ids = "path") -> dict[str, Path]:
    """The audio files below a folder by their ids, with `/` between folders, in the order of their paths.

    Folders that are links are not entered. Raises InputError if the folder is missing or has no audio, if two files have
    one id, or if a name is not UTF-8.
    """
    if not folder.is_dir():
        raise InputError(f"{folder}: no such folder")
    files: dict[str, Path] = {}
    twice = []
    for path in sorted(path for path in folder.rglob("*") if path.suffix.lower() in SUFFIXES and not path.is_dir()):
        name = path.stem if ids == "name" else path.relative_to(folder).with_suffix("").as_posix()
        if name in files:
            twice.append(f"{path} and {files[name]}")
        files[name] = path
    if twice:
        raise InputError(f"{folder}: files that would have one id; rename or remove one of\n{listed(twice)}")
    check_utf8(files.values())
    if not files:
        raise InputError(f"{folder}: holds no audio file ({', '.join(sorted(SUFFIXES))})")
    return files
