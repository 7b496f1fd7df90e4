"""Folders that people fill: the files below one, without what operating systems and servers keep there."""

from __future__ import annotations

import os
from pathlib import Path, PurePath

from resdavenet_vq.files import reading

_CLUTTER = frozenset(
    {
        "__macosx",  # in a zip of macOS: the `._NAME` of every file
        "@eadir",  # Synology, in every folder
        "#recycle",
        "#snapshot",
        "~snapshot",  # NetApp, as Windows shows it
        "$recycle.bin",
        "system volume information",
        "thumbs.db",
        "desktop.ini",
        "lost+found",
    }
)
"""Names in lower case, besides those that begin with a dot."""


def is_clutter(path: PurePath | str) -> bool:
    """Whether a path, below a folder or in an archive, is nothing that a person put there.

    So is what is hidden (`._a.wav`, `.DS_Store`, `.snapshot/a.wav`), and what macOS, Windows and file servers keep.
    """
    return any(_is_clutter(part) for part in PurePath(path).parts)


def _is_clutter(name: str) -> bool:
    return (name.startswith(".") and name != "..") or name.lower() in _CLUTTER


def members(folder: Path) -> list[Path]:
    """The files below a folder, in the order of their paths, without clutter.

    Links to folders are entered, but one that leads back to a folder that it lies in. What is no regular file is among
    them: a pipe, a link to nothing. Raises InputError naming a folder that cannot be read, whose files would be missed.
    """
    files: list[Path] = []
    folders = [(folder, frozenset[tuple[int, int]]())]
    while folders:
        path, around = folders.pop()
        with reading(path):
            stat = path.stat()
            if (identity := (stat.st_dev, stat.st_ino)) in around:
                continue
            with os.scandir(path) as entries:
                for entry in entries:
                    if _is_clutter(entry.name):
                        continue
                    # a link by pathlib, for which one that leads to itself is no folder
                    if Path(entry).is_dir() if entry.is_symlink() else entry.is_dir():
                        folders.append((path / entry.name, around | {identity}))
                    else:
                        files.append(path / entry.name)
    return sorted(files)
