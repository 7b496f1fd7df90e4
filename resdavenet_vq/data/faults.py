"""What is said where many files are refused: their common fault, and a file with all of them."""

from __future__ import annotations

import os
import re
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

from resdavenet_vq import files
from resdavenet_vq.errors import InputError


def common_fault(faults: Sequence[tuple[str, str]]) -> str:
    """A line for people if all files have one fault, each a file and a reason; else the empty text.

    Reasons are compared without what differs from file to file: what follows a bracket, a comma or a semicolon.
    """
    kinds = {re.split(r"[(,;]|: ", reason, maxsplit=1)[0].strip() for _, reason in faults}
    if len(faults) < 2 or len(kinds) > 1:
        return ""
    (kind,) = kinds
    if kind != "no such file":
        return f"All {len(faults)} have one fault: {kind}."
    folder = Path(os.path.commonpath([Path(file).parent for file, _ in faults]))
    if folder.is_dir():
        return f"No file at all is where it should be below {folder}: are the paths in the list the right ones?"
    missing = next(path for path in [*reversed(folder.parents), folder] if not path.is_dir())
    return f"No file at all lies below {folder}: there is no folder {missing}; are audio_base_path and image_base_path right?"


def write_refused(path: Path, refused: Sequence[Mapping[str, Any]]) -> str:
    """Writes all refused files, and returns a line that says where they are."""
    try:
        files.write_json(path, list(refused))
    except InputError as e:
        return f"The list of all of them is missing: {e}"
    return f"All of them are in {path}."
