"""Download of the ten models of 2020 and of the JSON files of Places Audio with aligned words."""

from __future__ import annotations

import os
from collections.abc import Callable
from pathlib import Path

from resdavenet_vq import download
from resdavenet_vq.corpus import places
from resdavenet_vq.errors import InputError
from resdavenet_vq.lineage import Lineage
from resdavenet_vq.release.archives import ARCHIVES, md5_of

SERVER = "https://drive.usercontent.google.com/download"
"""Answers `?id=FILE`; `confirm=t` skips a question. RESDAVENET_VQ_DOWNLOADS names another server."""

METADATA = {
    "train": ("train_original_with_alignments.json", "17iZpPVkgwga1Av7xZQJY7ONg9auKmPvr"),
    "valid": ("val_original_with_alignments.json", "1Z8-KO3b2gEk8uh3MC6w3jFVxmrz2Newe"),
}
"""The JSON files of Places Audio with aligned words: name and id, by split."""

LARGEST = 1 << 31
"""Bytes of the largest file that is downloaded: no size was published, and the archives have less than half of it."""


def fetch_released(lineage: Lineage, folder: Path) -> Path:
    """Downloads the archive of a released model to `folder` and verifies its MD5.

    Raises InputError if the lineage was not released, the server does not send the file, or the disk is full.
    """
    archive = next((a for a in ARCHIVES if Lineage.parse(a.lineage) == lineage), None)
    if archive is None:
        raise InputError(
            f"{lineage} was not released; the released models are {', '.join(a.lineage for a in ARCHIVES)}"
        )

    def check(path: Path) -> None:
        if (md5 := md5_of(path)) != archive.md5:
            raise InputError(f"its MD5 is {md5}, not {archive.md5}")

    return _fetch(archive.file_id, folder / f"{lineage.released_name}.archive", check)


def fetch_metadata(split: str, folder: Path) -> Path:
    """Downloads a JSON file of Places Audio, `train` or `valid`; no checksum was published, its layout is checked."""
    name, file_id = METADATA[split]

    def check(path: Path) -> None:
        if not places.read(path).utterances:
            raise InputError("it has no utterance of Places Audio")

    return _fetch(file_id, folder / name, check)


def _fetch(file_id: str, path: Path, check: Callable[[Path], None]) -> Path:
    server = os.environ.get("RESDAVENET_VQ_DOWNLOADS", SERVER)
    return download.fetch(f"{server}?id={file_id}&export=download&confirm=t", path, check, LARGEST)
