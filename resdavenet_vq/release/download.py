"""Downloading what the 2020 release offers: its ten models and the aligned JSON files of Places Audio.

A file takes its name only when it is complete and checked. What has come so far stays beside it, and the same command goes on
from there, as the connection's cuts make it do by itself.
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
"""Answers `?id=FILE`; `confirm=t` spares the page that asks before a large file. RESDAVENET_VQ_DOWNLOADS names another server."""

METADATA = {
    "train": ("train_original_with_alignments.json", "17iZpPVkgwga1Av7xZQJY7ONg9auKmPvr"),
    "valid": ("val_original_with_alignments.json", "1Z8-KO3b2gEk8uh3MC6w3jFVxmrz2Newe"),
}
"""The aligned JSON files of Places Audio: by split, their names and their ids."""

CHUNK, MIB = 1 << 16, 1 << 20
TIMEOUTS = (20, 60)
"""Seconds to wait for a connection, and for the next bytes."""
FRUITLESS = 4
"""Attempts without a single new byte before giving up."""
WAIT = 2.0
"""Seconds before the second attempt; doubled before each further one."""


def fetch_released(lineage: str, folder: Path) -> Path:
    """Downloads the archive of a released model to `folder`; its MD5 is checked before it has its name.

    Raises InputError if there is no such model, no answer, an answer that is not the file, or no space.
    """
    try:
        wanted = Lineage.parse(lineage)
    except ValueError as e:
        raise InputError(str(e)) from None
    archive = next((a for a in ARCHIVES if Lineage.parse(a.lineage) == wanted), None)
    if archive is None:
        raise InputError(f"{wanted} was not released; the released models are {', '.join(a.lineage for a in ARCHIVES)}")

    def check(path: Path) -> None:
        if (found := md5_of(path)) != archive.md5:
            raise InputError(f"its MD5 is {found}, not {archive.md5}")

    return download(archive.file_id, folder / f"{wanted.released_name}.archive", check)


def fetch_metadata(split: str, folder: Path) -> Path:
    """Downloads an aligned JSON file of Places Audio, `train` or `valid`; no checksum of it is known, but its layout is checked."""
    name, file_id = METADATA[split]

    def check(path: Path) -> None:
        if not places.read(path).utterances:
            raise InputError("no row of it is an utterance of Places Audio")

    return download(file_id, folder / name, check)


def download(file_id: str, path: Path, check: Callable[[Path], None]) -> Path:
    """The file of an id at `path`, downloaded unless it is there, and accepted by `check`, which raises InputError otherwise."""
    if path.exists():
        try:
            check(path)
        except InputError as e:
            raise InputError(f"{path} is there, but is not what would be downloaded: {e}; move it away") from None
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
                part.unlink(missing_ok=True)  # what is wrong cannot be gone on with
                raise InputError(
                    f"{url}: what came is not {path.name}: {str(e).replace(str(part), path.name)}; nothing is kept"
                ) from None
            part.replace(path)
    except OSError as e:
        raise InputError(
            f"{path}: cannot be written ({e.strerror or e}); what has come stays, and the same command goes on from there"
        ) from None
    return path


def _receive(url: str, file: BinaryIO, path: Path) -> None:
    """Appends to `file` what it lacks, over as many connections as it takes while each brings something."""
    fruitless = 0
    while True:
        before = file.tell()
        try:
            with requests.get(
                url, headers={"Range": f"bytes={before}-", "Accept-Encoding": "identity"}, stream=True, timeout=TIMEOUTS
            ) as answer:
                if _append(answer, url, file, path):
                    return
            cause = "the connection was cut"
        except requests.RequestException as e:
            cause = _reason(e)
        fruitless = 0 if file.tell() > before else fruitless + 1
        if fruitless == FRUITLESS:
            raise InputError(
                f"{url}: {cause}; {file.tell()} bytes have come so far and stay, the same command goes on from there. "
                "Without a network, download the file elsewhere"
            )
        time.sleep(WAIT * 2 ** (fruitless - 1) if fruitless else 0)


def _append(answer: requests.Response, url: str, file: BinaryIO, path: Path) -> bool:
    """Appends the body of an answer; whether the file is complete then. Raises InputError for an answer that is no part of the file."""
    start, total = _place(answer, file.tell())
    if answer.status_code == HTTPStatus.REQUESTED_RANGE_NOT_SATISFIABLE:
        if total == file.tell():
            return True
        file.truncate(0)  # more than there is: another file's beginning
        file.seek(0)
        return False
    if not answer.ok:
        if answer.status_code >= HTTPStatus.INTERNAL_SERVER_ERROR:
            answer.raise_for_status()  # may be over soon
        raise InputError(f"{url}: the server answers {answer.status_code} {answer.reason}; {_BY_HAND}")
    if answer.headers.get("Content-Type", "").startswith("text/html"):
        raise InputError(
            f"{url}: the server answers with a web page instead of the file, as Google Drive does when a file was asked for too often "
            f"or is gone; {_BY_HAND}"
        )
    if start > file.tell():
        raise InputError(
            f"{url}: the server sends the file from byte {start}, but was asked from byte {file.tell()}; try again later"
        )
    file.truncate(start)
    file.seek(start)
    if total is not None and total - start > (free := shutil.disk_usage(path.parent).free):
        raise InputError(f"{path}: {total - start} bytes are to come, but there is space for {free} only")
    for _ in track(_written(answer, file), path.name, None if total is None else (total - start) // MIB, "MiB"):
        pass
    return total is None or file.tell() == total


def _written(answer: requests.Response, file: BinaryIO) -> Iterator[None]:
    """Writes the body of an answer; yields once for each MiB."""
    n = 0
    for chunk in answer.iter_content(CHUNK):
        before, n = n, n + file.write(chunk)
        yield from [None] * (n // MIB - before // MIB)


_BY_HAND = "open the address in a browser, where it may say why, or download the file by hand"


def _place(answer: requests.Response, asked: int) -> tuple[int, int | None]:
    """Where the body of an answer begins in the file, and how long the file is, if it says so."""
    told = re.fullmatch(r"bytes (?:(\d+)-\d+|\*)/(\d+|\*)", answer.headers.get("Content-Range", ""))
    if told and answer.status_code != HTTPStatus.OK:
        return int(told[1] or asked), None if told[2] == "*" else int(told[2])
    length = answer.headers.get("Content-Length", "")
    return 0, int(length) if length.isdecimal() else None


def _reason(error: requests.RequestException) -> str:
    """What went wrong, for people."""
    match error:
        case requests.HTTPError(response=requests.Response() as answer):
            return f"the server answers {answer.status_code} {answer.reason}"
        case requests.Timeout():
            return "no answer in time"
        case requests.exceptions.ChunkedEncodingError():
            return "the connection was cut"
        case requests.ConnectionError():
            return "no connection (is there a network?)"
        case _:
            return str(error)
