"""Files: the lock, opening, JSON, CSV and digests. How they are written whole is in `outputs`, whose names are here too."""

from __future__ import annotations

import csv
import errno
import fcntl
import hashlib
import json
import math
import os
import socket
import stat
import time
from collections import Counter
from collections.abc import Iterable, Iterator, Mapping, Sequence
from contextlib import contextmanager, suppress
from io import BufferedReader
from pathlib import Path
from typing import Any

from filelock import BaseFileLock, FileLock, SoftFileLock, Timeout

from resdavenet_vq.errors import InputError, printable, shortened
from resdavenet_vq.outputs import as_written, atomic_files, atomic_folder, atomic_write, check_outputs, together
from resdavenet_vq.writing import naming, temporary, writing

__all__ = [
    "atomic_files",
    "atomic_folder",
    "atomic_write",
    "check_outputs",
    "lock",
    "open_regular",
    "read_json",
    "reading",
    "sha256",
    "together",
    "write_csv",
    "write_digest",
    "write_json",
    "writing",
]

LOCK_SECONDS = 0.1
"""How long to wait for a lock: enough where its holder is just removing it."""

_NO_LOCKS = frozenset({errno.ENOLCK, errno.ENOSYS, errno.EOPNOTSUPP, errno.ENOTSUP, 524})
"""What file systems without locks answer; 524 is the kernel's own ENOTSUPP, which some of them let through."""

MAX_JSON_BYTES = 1 << 28
"""Largest JSON file that is read whole: the report of a split of which a million rows are refused."""


@contextmanager
def lock(path: Path, activity: str, output: Path | None = None) -> Iterator[None]:
    """While the block runs, no other process can hold this lock; its file names the holder and is removed at the end.

    The lock ends with this process, so a file that a killed process left does not block. A process that this one
    forks, as a data worker, does not inherit it (filelock closes it there), so the worker may outlive this process.
    On a file system without locks (some NFS, Lustre and FUSE mounts) the existence of the file is the lock: there the
    file of a killed process may block, and the error says to remove it.

    Raises InputError at once if another process holds it: "`activity` by process 12 on HOST, since ...", where
    `activity` is like "a.h5: is being prepared". Where the lock cannot be written, neither can the `output` that it is
    for, which the error names.
    """
    output = output or path
    with naming([(output, path)]):
        path.parent.mkdir(parents=True, exist_ok=True)
        remedy = "wait until it ends, or stop it"
        if has_locks := _has_locks(path.parent / temporary(output, "tmp").name):
            kind: type[BaseFileLock] = FileLock
        else:
            kind = SoftFileLock
            remedy += f"; this file system has no locks: if it has ended, remove {path}"
        holder = kind(
            path, timeout=LOCK_SECONDS, poll_interval=LOCK_SECONDS / 4, thread_local=False, fallback_to_soft=False
        )
        try:
            holder.acquire()
        except Timeout:
            raise InputError(f"{activity} by {_holder_in(path)}; {remedy}") from None
    try:
        if has_locks:  # otherwise filelock has written the same
            with suppress(OSError):  # on a full disk it locks without a name, and the output says what is wrong
                path.write_text(f"{os.getpid()}\n{socket.gethostname()}\n", encoding="utf-8")
        yield
    finally:
        path.unlink(missing_ok=True)  # before the release, so that nobody locks a file that is about to go
        holder.release()


def _has_locks(probe: Path) -> bool:
    """Whether the file system has locks, tried on a file that is made for it and removed."""
    with probe.open("wb") as file:
        try:
            fcntl.flock(file, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except OSError as e:
            if e.errno not in _NO_LOCKS:
                raise
            return False
        finally:
            probe.unlink(missing_ok=True)
    return True


def _holder_in(path: Path) -> str:
    """The process that a lock's file names by its number and host, in lines of their own, as filelock writes them."""
    try:
        number, host, *_ = path.read_text(encoding="utf-8").split("\n")
        since = time.strftime("%Y-%m-%d %H:%M:%S", time.localtime(path.stat().st_mtime))
    except (FileNotFoundError, ValueError):  # it has just ended, or begun
        return "another process"
    return f"process {number} on {host}, since {since}"


@contextmanager
def reading(path: Path) -> Iterator[None]:
    """Makes an InputError that names the file of what the system raises where it cannot be read."""
    try:
        yield
    except FileNotFoundError:
        raise InputError(f"{path}: no such file") from None
    except OSError as e:
        raise InputError(f"{path}: cannot be read ({e.strerror or e})") from None


def open_regular(path: Path) -> BufferedReader:
    """The file, opened to read its bytes.

    Raises InputError naming it, at once, for a pipe, a device, a folder or a socket, and where it cannot be read.
    """
    try:
        with reading(path):
            file = os.fdopen(os.open(path, os.O_RDONLY | os.O_NONBLOCK | os.O_CLOEXEC), "rb")
    except ValueError as e:  # a zero byte, or half of a character
        raise InputError(f"{path}: cannot be the path of a file ({e})") from None
    except InputError:
        if path.is_socket() or path.is_dir():
            raise InputError(f"{path}: is no regular file") from None
        raise
    if not stat.S_ISREG(os.fstat(file.fileno()).st_mode):
        file.close()
        raise InputError(f"{path}: is no regular file")
    return file


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
    """Reads a JSON file of results or settings: one that `write_json` can write.

    Raises InputError naming the file, with line and column where it is malformed. Refused are also keys that are listed
    twice, numbers that are not finite or have thousands of digits, halves of characters, deep nesting, and more than
    MAX_JSON_BYTES.
    """
    if path.is_dir():
        raise InputError(f"{path}: is a folder, not a JSON file")
    with open_regular(path) as file, reading(path):
        data = file.read(MAX_JSON_BYTES + 1)
    if len(data) > MAX_JSON_BYTES:
        raise InputError(f"{path}: larger than {MAX_JSON_BYTES:,} bytes, which no JSON file of this software is")
    try:
        text = data.decode("utf-8")
        value = json.loads(text, parse_float=_finite, parse_constant=_finite, object_pairs_hook=_object)
        if "\\ud" in text.lower():
            json.dumps(value, ensure_ascii=False).encode("utf-8")
    except json.JSONDecodeError as e:
        raise InputError(f"{path}: malformed JSON at line {e.lineno}, column {e.colno}: {e.msg}") from None
    except UnicodeDecodeError as e:
        raise InputError(f"{path}: not UTF-8 text (byte {e.start})") from None
    except UnicodeEncodeError:
        raise InputError(f"{path}: holds half of a character, which UTF-8 cannot write") from None
    except RecursionError:
        raise InputError(f"{path}: cannot be read as JSON (nested too deeply)") from None
    except ValueError as e:
        raise InputError(f"{path}: cannot be read as JSON ({e})") from None
    return value


def _finite(text: str) -> float:
    if not math.isfinite(number := float(text)):
        raise ValueError(f"{shortened(text, 40)} is no finite number")
    return number


def _object(pairs: list[tuple[str, Any]]) -> dict[str, Any]:
    value = dict(pairs)
    if len(value) < len(pairs):
        twice = next(name for name, n in Counter(name for name, _ in pairs).items() if n > 1)
        raise ValueError(f"{printable(shortened(twice, 80))!r} is listed twice")
    return value


def sha256(path: Path) -> str:
    """The SHA-256 of a file, in hexadecimal. Raises InputError if it does not exist or is no regular file."""
    with open_regular(path) as f:
        return hashlib.file_digest(f, "sha256").hexdigest()


def write_digest(path: Path) -> None:
    """Writes `path`.sha256 in the form of sha256sum: what rules depend on in place of a large file.

    Snakemake compares the contents of small files only, so a touched large file would make all that reads it stale.
    In a block `together` it is that of the file about to appear.
    """
    with atomic_write(path.with_name(f"{path.name}.sha256")) as tmp:
        tmp.write_text(f"{sha256(as_written(path))}  {path.name}\n", encoding="utf-8")
