"""What is said where many files are refused: their common fault, and a file with all of them."""

from __future__ import annotations

import os
import re
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

from resdavenet_vq import files
from resdavenet_vq.errors import InputError

_PLACE = re.compile(r"(?:\S+ )?(?:line \d+|\S*\[\d+\]\S*): ")
_QUOTED = re.compile(r"""'(?:[^'\\]|\\.)*' ?|"(?:[^"\\]|\\.)*" ?""")
_FIELD = re.compile(r"\w+: ")


def common_fault(faults: Sequence[tuple[str, str]]) -> str:
    """A line for people if all files have one fault, each a file and a reason; else the empty text.

    Reasons are compared without what differs from file to file: the place in a list, quoted texts, and what follows a
    bracket, a comma or a semicolon.
    """
    kinds = {_kind(reason) for _, reason in faults}
    if len(faults) < 2 or len(kinds) > 1:
        return ""
    (kind,) = kinds
    if kind != "no such file":
        return f"All {len(faults)} have one fault: {kind}."
    first = faults[0][0]
    folder = Path(os.path.commonpath([Path(file).absolute().parent for file, _ in faults]))
    if folder.is_dir():
        return (
            f"No file at all is where it should be below {folder}: are the paths in the list the right ones?"
            f" The first is {first}."
        )
    missing = next(path for path in [*reversed(folder.parents), folder] if not path.is_dir())
    return (
        f"No file at all lies below {folder}: there is no folder {missing};"
        " are the base paths right (audio_base_path and image_base_path; of Flickr8k audio_folder and image_folder)?"
        f" The first is {first}."
    )


def _kind(reason: str) -> str:
    """What is wrong, after the name of the field if it has one, without what differs from file to file."""
    reason = _QUOTED.sub("", _PLACE.sub("", reason, count=1))
    field = _FIELD.match(reason)
    start = field.end() if field else 0
    return (reason[:start] + re.split(r"[(,;]|: ", reason[start:], maxsplit=1)[0]).strip()


def write_refused(path: Path, refused: Sequence[Mapping[str, Any]]) -> str:
    """Writes all refused files, and returns a line that says where they are."""
    try:
        files.write_json(path, list(refused))
    except InputError as e:
        return f"The list of all of them is missing: {e}"
    return f"All of them are in {path}."
