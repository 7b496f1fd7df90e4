"""Digests of files that this software does not make, such as the lists of a corpus.

Snakemake would take a touched large file for a changed one. Rules ignore the times of these files (`ancient`) and
record their digests as parameters.
"""

from __future__ import annotations

import contextlib
import hashlib
import json
import os
from collections.abc import Iterable
from pathlib import Path
from typing import Any

from resdavenet_vq import files, folders
from resdavenet_vq.errors import InputError


class Digests:
    """SHA-256 of files and folders, kept in a JSON file by path, size and time, so that each is read once."""

    def __init__(self, cache: Path) -> None:
        self._cache = cache

    def of(self, paths: Iterable[str]) -> str:
        """A line `digest  path` for each path, as sha256sum writes them; missing ones are left to Snakemake."""
        cache = self._read()
        before = dict(cache)
        # not by pathlib, for which a name that is too long is an error
        found = [path for path in paths if os.path.exists(path)]  # noqa: PTH110
        lines = [f"{self._digest(path, cache)}  {path}" for path in found]
        if cache != before:
            with contextlib.suppress(InputError):  # a dry run in a folder of others needs no cache
                files.write_json(self._cache, cache)
        return "\n".join(lines)

    def _read(self) -> dict[str, Any]:
        try:
            content = json.loads(self._cache.read_text(encoding="utf-8"))
        except (OSError, ValueError):
            return {}
        return content if isinstance(content, dict) else {}

    @staticmethod
    def _digest(path: str, cache: dict[str, Any]) -> str:
        """The digest of a file; of a folder, that of its files' names and digests."""
        members = _members(Path(path))
        stamps = [[str(name), (stat := file.stat()).st_size, stat.st_mtime_ns] for name, file in members]
        stamp = hashlib.sha256(json.dumps(stamps).encode()).hexdigest()
        if path not in cache or cache[path][0] != stamp:
            contents = [[str(name), files.sha256(file)] for name, file in members]
            digest = (
                contents[0][1] if Path(path).is_file() else hashlib.sha256(json.dumps(contents).encode()).hexdigest()
            )
            cache[path] = [stamp, digest]
        return str(cache[path][1])


def _members(path: Path) -> list[tuple[Path, Path]]:
    """The files of a folder with their relative paths, in order; a file alone.

    Without what systems keep there: a folder that somebody looked into on a Mac has a `.DS_Store`, and is no other.
    """
    if path.is_file():
        return [(Path(), path)]
    if not path.is_dir():  # a pipe
        return []
    return [(file.relative_to(path), file) for file in folders.members(path) if file.is_file()]
