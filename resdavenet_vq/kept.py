"""Results that stay as they are when their job runs again: links to finished files, with a key of what they were made of.

A job makes several results, and Snakemake deletes all of them before it runs the job again, whatever has changed. Each
finished file therefore has a second name, a hard link below `results/{corpus}/state/kept`, which costs no space. Where the
key of a result is still the same, it gets its first name back. On a file system without hard links nothing is kept, and
every result of a job is made again.
"""

from __future__ import annotations

import json
import os
from collections.abc import Sequence
from contextlib import suppress
from dataclasses import dataclass
from pathlib import Path

from resdavenet_vq.files import sha256, write_json
from resdavenet_vq.writing import temporary

FOLDER = Path("state/kept")
"""Below the folder of a corpus's results."""

LARGE = 1 << 24
"""Bytes of files whose digests are too slow to compare. Whoever changes a smaller one by hand gets it made again."""


@dataclass(frozen=True)
class Kept:
    """What is kept of the results below `root`."""

    root: Path

    def restore(self, files: Sequence[Path], key: str) -> bool:
        """Gives files that were kept with this key their names; False, and nothing, if not all are there unchanged."""
        try:
            record = json.loads(self._record(files).read_text(encoding="utf-8"))
            links = [self._link(file) for file in files]
            if record != self._state(links, key):
                return False
        except (FileNotFoundError, ValueError):
            return False
        for link, file in zip(links, files, strict=True):
            if not (file.exists() and file.samefile(link)):
                _link(link, file)
            os.utime(file)  # newer than what the job reads, as Snakemake expects
        return True

    def keep(self, files: Sequence[Path], key: str) -> None:
        """Keeps finished files, in the place of what was kept of them."""
        record = self._record(files)
        record.unlink(missing_ok=True)
        links = [self._link(file) for file in files]
        for link, file in zip(links, files, strict=True):
            link.parent.mkdir(parents=True, exist_ok=True)
            try:
                _link(file, link)
            except OSError:  # a file system without hard links, or with no more of them for this file
                link.unlink(missing_ok=True)
                return
        write_json(record, self._state(links, key))

    def forget(self) -> None:
        """Removes every link, so that all is made again."""
        for path in sorted((self.root / FOLDER).rglob("*"), reverse=True):
            with suppress(FileNotFoundError):
                path.rmdir() if path.is_dir() else path.unlink()

    def prune(self) -> None:
        """Removes the links of files that were deleted, so that they take no more space."""
        for link in [path for path in (self.root / FOLDER).rglob("*") if path.is_file()]:
            if link.suffix != ".kept" and not (self.root / link.relative_to(self.root / FOLDER)).exists():
                link.unlink(missing_ok=True)

    def _link(self, file: Path) -> Path:
        return self.root / FOLDER / file.relative_to(self.root)

    def _record(self, files: Sequence[Path]) -> Path:
        link = self._link(files[0])
        return link.with_name(f"{link.name}.kept")

    @staticmethod
    def _state(links: Sequence[Path], key: str) -> dict[str, object]:
        """What a record says: the key, and of each file its size, and its digest unless it is large."""
        sizes = [link.stat().st_size for link in links]
        digests = [sha256(link) if size <= LARGE else "" for link, size in zip(links, sizes, strict=True)]
        return {"key": key, "sizes": sizes, "digests": digests}


def _link(file: Path, name: Path) -> None:
    """Gives a file another name, in one step where another file has it."""
    tmp = temporary(name, "tmp")
    tmp.unlink(missing_ok=True)
    tmp.hardlink_to(file)
    tmp.replace(name)
