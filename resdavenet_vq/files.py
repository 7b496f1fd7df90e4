"""Atomic files and folders, the lock, JSON, CSV and digests."""

from __future__ import annotations

import csv
import hashlib
import json
import os
import shutil
import socket
import time
from collections.abc import Iterable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from pathlib import Path
from typing import Any

from filelock import FileLock, Timeout

from resdavenet_vq.errors import InputError

LOCK_SECONDS = 0.1
"""How long to wait for a lock: enough where its holder is just removing it."""


@contextmanager
def atomic_write(path: Path) -> Iterator[Path]:
    """A temporary path beside `path` to write to; it is renamed to `path` when the block succeeds.

    The data are on disk before the rename. If the block fails, the temporary file is removed and `path` does not
    change.
    """
    path.parent.mkdir(parents=True, exist_ok=True)
    tmp = path.with_name(f".{path.name}.{os.getpid()}.tmp")
    try:
        yield tmp
        descriptor = os.open(tmp, os.O_RDONLY)
        try:
            os.fsync(descriptor)
        finally:
            os.close(descriptor)
        tmp.replace(path)
    finally:
        tmp.unlink(missing_ok=True)


@contextmanager
def atomic_folder(path: Path) -> Iterator[Path]:
    """A temporary folder beside `path` to write into; it is renamed to `path` when the block succeeds.

    Raises InputError if `path` already exists, unless it is an empty folder: a folder may hold other files.
    """
    if path.exists() and not (path.is_dir() and not any(path.iterdir())):
        raise InputError(f"{path}: is there already; remove it, or choose another name")
    path.parent.mkdir(parents=True, exist_ok=True)
    tmp = path.with_name(f".{path.name}.{os.getpid()}.tmp")
    shutil.rmtree(tmp, ignore_errors=True)
    tmp.mkdir()
    try:
        yield tmp
        tmp.replace(path)
    finally:
        shutil.rmtree(tmp, ignore_errors=True)


@contextmanager
def lock(path: Path, activity: str) -> Iterator[None]:
    """While the block runs, no other process can hold this lock; its file names the holder and is removed at the end.

    The lock ends with this process, so a file that a killed process left does not block. A process that this one
    forks, as a data worker, does not inherit it (filelock closes it there), so the worker may outlive this process.

    Raises InputError at once if another process holds it: "`activity` by process 12 on HOST, since ...", where
    `activity` is like "a.h5: is being prepared".
    """
    path.parent.mkdir(parents=True, exist_ok=True)
    holder = FileLock(
        path, timeout=LOCK_SECONDS, poll_interval=LOCK_SECONDS / 4, thread_local=False, fallback_to_soft=False
    )
    try:
        holder.acquire()
    except Timeout:
        try:
            other = path.read_text(encoding="utf-8") or "another process"
        except FileNotFoundError:  # it has just ended
            other = "another process"
        raise InputError(f"{activity} by {other}; wait until it ends, or stop it") from None
    try:
        since = time.strftime("%Y-%m-%d %H:%M:%S")
        path.write_text(f"process {os.getpid()} on {socket.gethostname()}, since {since}", encoding="utf-8")
        yield
    finally:
        path.unlink(missing_ok=True)  # before the release, so that nobody locks a file that is about to go
        holder.release()


@contextmanager
def reading(path: Path) -> Iterator[None]:
    """Makes an InputError that names the file of what the system raises where it cannot be read."""
    try:
        yield
    except FileNotFoundError:
        raise InputError(f"{path}: no such file") from None
    except OSError as e:
        raise InputError(f"{path}: cannot be read ({e.strerror or e})") from None


def write_json(path: Path, value: Any) -> None:
    """Writes `value` as indented JSON, atomically; NaN and infinity are refused."""
    text = json.dumps(value, indent=1, ensure_ascii=False, allow_nan=False)
    with atomic_write(path) as tmp:
        tmp.write_text(text + "\n", encoding="utf-8")


def write_csv(path: Path, columns: Sequence[str], rows: Iterable[Mapping[str, Any]]) -> None:
    """Writes a table atomically; floats have six significant digits."""
    with atomic_write(path) as tmp, tmp.open("w", encoding="utf-8", newline="") as f:
        writer = csv.DictWriter(f, columns, lineterminator="\n")
        writer.writeheader()
        writer.writerows({k: f"{v:.6g}" if isinstance(v, float) else v for k, v in row.items()} for row in rows)


def read_json(path: Path) -> Any:
    """Reads a JSON file. Raises InputError with the line and column if it is malformed."""
    try:
        return json.loads(path.read_text(encoding="utf-8"))
    except FileNotFoundError:
        raise InputError(f"{path}: no such file") from None
    except IsADirectoryError:
        raise InputError(f"{path}: is a folder, not a JSON file") from None
    except json.JSONDecodeError as e:
        raise InputError(f"{path}: malformed JSON at line {e.lineno}, column {e.colno}: {e.msg}") from None
    except UnicodeDecodeError as e:
        raise InputError(f"{path}: not UTF-8 text (byte {e.start})") from None


def sha256(path: Path) -> str:
    """The SHA-256 of a file, in hexadecimal."""
    with path.open("rb") as f:
        return hashlib.file_digest(f, "sha256").hexdigest()


def write_digest(path: Path) -> None:
    """Writes `path`.sha256 in the form of sha256sum: what rules depend on in place of a large file.

    Snakemake compares the contents of small files only, so a touched large file would make all that reads it stale.
    """
    with atomic_write(path.with_name(f"{path.name}.sha256")) as tmp:
        tmp.write_text(f"{sha256(path)}  {path.name}\n", encoding="utf-8")
