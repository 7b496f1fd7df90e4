"""The audio files below a folder and their ids."""

from __future__ import annotations

from pathlib import Path
from typing import Literal

from resdavenet_vq import files
from resdavenet_vq.data.file_kind import APPLE_DOUBLE
from resdavenet_vq.encode.file_names import check_utf8
from resdavenet_vq.errors import InputError, listed

_READ = frozenset(
    {".wav", ".wave", ".bwf", ".rf64", ".w64", ".flac", ".ogg", ".oga", ".opus", ".mp3"}
    | {".aiff", ".aif", ".aifc", ".au", ".snd", ".caf", ".sph", ".nist"}
)
_NOT_READ = frozenset({".m4a", ".aac", ".amr", ".wma", ".mp2", ".ape", ".shn", ".wv", ".voc"})

SUFFIXES = _READ | _NOT_READ
"""Of audio files, in lower or upper case; also of formats that are not read, so that none is passed over in silence."""

type Ids = Literal["path", "name"]
"""The id of an audio file: its path below the folder, or the last part of it, in both cases without suffix."""


def audio_files(folder: Path, ids: Ids = "path") -> dict[str, Path]:
    """The audio files below a folder by their ids, with `/` between folders, in the order of their paths.

    Folders that are links are not entered, and AppleDouble files (`._a.wav` beside `a.wav`) are no audio. Raises
    InputError if the folder is missing or has no audio, if two files have one id, or if a name is not UTF-8.
    """
    if not folder.is_dir():
        raise InputError(f"{folder}: no such folder")
    paths: dict[str, Path] = {}
    twice = []
    for path in sorted(path for path in folder.rglob("*") if path.suffix.lower() in SUFFIXES and not path.is_dir()):
        if _is_apple_double(path):
            continue
        name = path.stem if ids == "name" else path.relative_to(folder).with_suffix("").as_posix()
        if name in paths:
            twice.append(f"{path} and {paths[name]}")
        paths[name] = path
    if twice:
        raise InputError(f"{folder}: files that would have one id; rename or remove one of\n{listed(twice)}")
    check_utf8(paths.values())
    if not paths:
        raise InputError(f"{folder}: holds no audio file ({', '.join(sorted(_READ))})")
    return paths


def _is_apple_double(path: Path) -> bool:
    if not (path.name.startswith("._") and path.is_file()):
        return False
    with files.reading(path), path.open("rb") as file:
        return file.read(len(APPLE_DOUBLE)) == APPLE_DOUBLE
