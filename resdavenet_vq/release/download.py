"""Download of the ten models of 2020 and of the JSON files of Places Audio with aligned words.

A file gets its name only when it is complete and verified. A partial download is kept beside it and resumed, after a
lost connection at once, otherwise by the same command.
"""

from __future__ import annotations

import os
import re
import shutil
import time
from collections.abc import Callable, Iterator
from http import HTTPStatus
from pathlib import Path
from typing import BinaryIO

import requests

from resdavenet_vq.corpus import places
from resdavenet_vq.errors import InputError
from resdavenet_vq.files import lock
from resdavenet_vq.lineage import Lineage
from resdavenet_vq.progress import track
from resdavenet_vq.release.archives import ARCHIVES, md5_of

SERVER = "https://drive.usercontent.google.com/download"
"""Answers `?id=FILE`; `confirm=t` skips a question. RESDAVENET_VQ_DOWNLOADS names another server."""

METADATA = {
    "train": ("train_original_with_alignments.json", "17iZpPVkgwga1Av7xZQJY7ONg9auKmPvr"),
    "valid": ("val_original_with_alignments.json", "1Z8-KO3b2gEk8uh3MC6w3jFVxmrz2Newe"),
}
"""The JSON files of Places Audio with aligned words: name and id, by split."""

CHUNK, MIB = 1 << 16, 1 << 20
TIMEOUTS = (20, 60)
"""Seconds to wait for a connection, and for the next bytes."""
ATTEMPTS = 4
"""Attempts without a single new byte before giving up."""
WAIT = 2.0
"""Seconds before the second attempt; doubled before each further one."""

_CAUSES = {
    requests.Timeout: "no answer in time",
    requests.exceptions.ChunkedEncodingError: "the connection was lost",
    requests.ConnectionError: "no connection (is there a network?)",
}
_BY_HAND = "open the address in a browser to see why, or download the file there"


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

    return download(archive.file_id, folder / f"{lineage.released_name}.archive", check)


def fetch_metadata(split: str, folder: Path) -> Path:
    """Downloads a JSON file of Places Audio, `train` or `valid`; no checksum was published, its layout is checked."""
    name, file_id = METADATA[split]

    def check(path: Path) -> None:
        if not places.read(path).utterances:
            raise InputError("it has no utterance of Places Audio")

    return download(file_id, folder / name, check)


def download(file_id: str, path: Path, check: Callable[[Path], None]) -> Path:
    """Downloads the file with an id to `path` unless it exists; `check` raises InputError for a wrong file."""
    if path.exists():
        try:
            check(path)
        except InputError as e:
            raise InputError(f"{path} exists, but is not the file to download: {e}; move it away") from None
        return path
    url = f"{os.environ.get('RESDAVENET_VQ_DOWNLOADS', SERVER)}?id={file_id}&export=download&confirm=t"
    part = path.with_name(f".{path.name}.part")
    try:
        with lock(path.with_name(f".{path.name}.lock"), f"{path}: is being downloaded"), part.open("ab") as file:
            try:
                _receive(url, file, path)
            finally:
                if not file.tell():
                    part.unlink()
            file.flush()
            os.fsync(file.fileno())
            try:
                check(part)
            except InputError as e:
                part.unlink(missing_ok=True)  # a corrupt download cannot be resumed
                fault = str(e).replace(str(part), path.name)
                raise InputError(f"{url}: the download is not {path.name}: {fault}; it was removed") from None
            part.replace(path)
    except OSError as e:
        kept = "the partial download is kept, run the same command again to resume"
        raise InputError(f"{path}: cannot be written ({e.strerror or e}); {kept}") from None
    return path


def _receive(url: str, file: BinaryIO, path: Path) -> None:
    """Appends the missing part to `file`, reconnecting as long as bytes arrive."""
    attempts = 0
    while True:
        before = file.tell()
        headers = {"Range": f"bytes={before}-", "Accept-Encoding": "identity"}
        try:
            with requests.get(url, headers=headers, stream=True, timeout=TIMEOUTS) as answer:
                if _append(answer, url, file, path):
                    return
            cause = "the connection was lost"
        except requests.RequestException as e:
            cause = next((cause for kind, cause in _CAUSES.items() if isinstance(e, kind)), str(e))
        attempts = 0 if file.tell() > before else attempts + 1
        if attempts == ATTEMPTS:
            raise InputError(
                f"{url}: {cause}; {file.tell()} bytes are kept, run the same command again to resume. "
                "Without a network, download the file elsewhere"
            )
        time.sleep(WAIT * 2 ** (attempts - 1) if attempts else 0)


def _append(answer: requests.Response, url: str, file: BinaryIO, path: Path) -> bool:
    """Appends the body of an answer and returns whether the file is complete. Raises InputError for other answers."""
    start, total = _range(answer, file.tell())
    if answer.status_code == HTTPStatus.REQUESTED_RANGE_NOT_SATISFIABLE:
        if total == file.tell():
            return True
        file.truncate(0)  # longer than the file: the beginning of another one
        file.seek(0)
        return False
    if not answer.ok:
        fault = f"the server answers {answer.status_code} {answer.reason}"
        if answer.status_code >= HTTPStatus.INTERNAL_SERVER_ERROR:
            raise requests.HTTPError(fault)  # perhaps temporary
        raise InputError(f"{url}: {fault}; {_BY_HAND}")
    if answer.headers.get("Content-Type", "").startswith("text/html"):
        raise InputError(
            f"{url}: the server answers with a web page instead of the file, as Google Drive does after too many "
            f"downloads or when a file is gone; {_BY_HAND}"
        )
    if start > file.tell():
        raise InputError(
            f"{url}: the server sends the file from byte {start} instead of {file.tell()}; try again later"
        )
    file.truncate(start)
    file.seek(start)
    if total is not None and total - start > (free := shutil.disk_usage(path.parent).free):
        raise InputError(f"{path}: {total - start} bytes are missing, but the disk has space for {free} only")
    for _ in track(_written(answer, file), path.name, None if total is None else (total - start) // MIB, "MiB"):
        pass
    return total is None or file.tell() == total


def _written(answer: requests.Response, file: BinaryIO) -> Iterator[None]:
    """Writes the body of an answer; yields once for each MiB."""
    n = 0
    for chunk in answer.iter_content(CHUNK):
        before, n = n, n + file.write(chunk)
        yield from [None] * (n // MIB - before // MIB)


def _range(answer: requests.Response, position: int) -> tuple[int, int | None]:
    """Where the body of an answer begins in the file, and the length of the file, if the answer says it."""
    given = re.fullmatch(r"bytes (?:(\d+)-\d+|\*)/(\d+|\*)", answer.headers.get("Content-Range", ""))
    if given and answer.status_code != HTTPStatus.OK:
        return int(given[1] or position), None if given[2] == "*" else int(given[2])
    length = answer.headers.get("Content-Length", "")
    return 0, int(length) if length.isdecimal() else None
