"""Names of files that are made of the ids of utterances: valid, below their folder, and each a file of its own."""

from __future__ import annotations

import os
from collections.abc import Iterable
from pathlib import Path

from resdavenet_vq.errors import InputError, listed, printable
from resdavenet_vq.files import writing

LONGEST = 255
"""Bytes of a name in a folder, on nearly every disk."""


def check_ids(ids: Iterable[str], source: Path, suffix: str) -> None:
    """Raises InputError, naming those of file `source` that cannot, unless every id can be the name of a file.

    An id has `/` between folders; `suffix` is what the name of the file ends with.
    """
    faults = [f"{fault}: {name}" for name in ids if (fault := _fault(name, suffix))]
    if faults:
        raise InputError(f"{source}: ids that cannot be names of files; encode with other ids\n{listed(faults)}")


def new_file(folder: Path, name: str) -> Path:
    """The path of a file below a folder that this program fills, whose parent is made.

    Raises InputError if there is such a file already: of an id that the disk does not distinguish, as `a` and `A` on
    some, or one that the program writes beside them.
    """
    path = folder / name
    with writing(path):
        try:
            path.parent.mkdir(parents=True, exist_ok=True)
            taken = path.exists()
        except (FileExistsError, NotADirectoryError):
            taken = True
    if taken:
        raise InputError(f"{printable(name)}: another file has this name on this disk; encode with other ids")
    return path


def check_new(*paths: Path) -> None:
    """Raises InputError naming the files of results that are there already: a person may need them still.

    A folder of results is refused where it is written. Rules replace their outputs, so their commands do not ask.
    """
    if not (taken := [path for path in paths if path.is_file()]):
        return
    others, are, them = (f" and {len(taken) - 1} more", "are", "them") if len(taken) > 1 else ("", "is", "it")
    raise InputError(
        f"{printable(str(taken[0]))}{others} {are} there already; choose another place, or replace {them} with --overwrite"
    )


def is_utf8(text: str) -> bool:
    """Whether a name can be written in UTF-8; other ones neither HDF5 nor JSON can hold."""
    try:
        text.encode("utf-8")
    except UnicodeEncodeError:
        return False
    return True


def _fault(name: str, suffix: str) -> str:
    """Why an id is no name, or nothing."""
    parts = f"{name}{suffix}".split("/")
    if not name or name.startswith("/") or {"", ".", ".."} & set(name.split("/")):
        return "no path below a folder"
    if "\0" in name or not is_utf8(name):
        return "no text in UTF-8"
    if max(len(os.fsencode(part)) for part in parts) > LONGEST:
        return f"longer than {LONGEST} bytes"
    return ""
