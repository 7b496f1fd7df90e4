"""Atomic files and folders, the lock, JSON, CSV and digests."""

from __future__ import annotations

import csv
import errno
import glob
import hashlib
import json
import math
import os
import shutil
import socket
import stat
import time
from collections import Counter
from collections.abc import Iterable, Iterator, Mapping, Sequence
from contextlib import ExitStack, contextmanager, suppress
from io import BufferedReader
from pathlib import Path
from typing import Any

from filelock import FileLock, Timeout

from resdavenet_vq.errors import InputError, printable, shortened

LOCK_SECONDS = 0.1
"""How long to wait for a lock: enough where its holder is just removing it."""

MAX_JSON_BYTES = 1 << 28
"""Largest JSON file that is read whole: the report of a split of which a million rows are refused."""

LEFTOVER_SECONDS = 86_400.0
"""Age at which an unfinished file that another host began counts as left by a killed process."""


@contextmanager
def atomic_files(*paths: Path) -> Iterator[tuple[Path, ...]]:
    """Temporary paths beside `paths` to write to; when the block succeeds, all take their names, otherwise none does.

    The data are on disk before the first takes its name. If something fails, the temporary files are removed and
    `paths` hold what they held before. What a killed run of the same command left is removed at the start.

    Raises InputError naming the file, the reason and the remedy if one cannot be written.
    """
    temporary = tuple(map(_temporary, paths))
    for path in paths:
        with writing(path):
            path.parent.mkdir(parents=True, exist_ok=True)
            if path.exists() and not path.is_file():
                raise InputError(f"{path}: is there and is no file; choose another name")
            _remove_leftovers(path)
    try:
        with ExitStack() as stack:
            for path in paths:
                stack.enter_context(writing(path))
            yield temporary
        for path, tmp in zip(paths, temporary, strict=True):
            with writing(path):
                _flush(tmp)
        _publish(paths, temporary)
    finally:
        for tmp in temporary:
            tmp.unlink(missing_ok=True)


@contextmanager
def atomic_write(path: Path) -> Iterator[Path]:
    """`atomic_files` of one file."""
    with atomic_files(path) as (tmp,):
        yield tmp


def _publish(paths: Sequence[Path], temporary: Sequence[Path]) -> None:
    """Renames all temporary files; if one cannot be renamed, what the others replaced is put back."""
    replaced: list[tuple[Path, Path | None]] = []
    try:
        for path, tmp in zip(paths, temporary, strict=True):
            with writing(path):
                earlier = None
                if len(paths) > 1 and path.exists():
                    earlier = _temporary(path, "earlier")
                    path.rename(earlier)
                replaced.append((path, earlier))
                tmp.replace(path)
    except BaseException:
        for path, earlier in reversed(replaced):
            if earlier is None:
                path.unlink(missing_ok=True)
            else:
                earlier.replace(path)
        raise
    for _, earlier in replaced:
        if earlier is not None:
            earlier.unlink(missing_ok=True)


@contextmanager
def atomic_folder(path: Path) -> Iterator[Path]:
    """A temporary folder beside `path` to write into; it is renamed to `path` when the block succeeds.

    Raises InputError if `path` already exists, unless it is an empty folder: a folder may hold other files.
    """
    with writing(path):
        if path.exists() and not (path.is_dir() and not any(path.iterdir())):
            raise InputError(f"{path}: is there already; remove it, or choose another name")
        path.parent.mkdir(parents=True, exist_ok=True)
        _remove_leftovers(path)
        tmp = _temporary(path)
        tmp.mkdir()
    try:
        with writing(path):
            yield tmp
            tmp.replace(path)
    finally:
        shutil.rmtree(tmp, ignore_errors=True)


def _temporary(path: Path, purpose: str = "tmp") -> Path:
    """A name beside `path` that says which process uses it."""
    return path.with_name(f".{path.name}.{socket.gethostname()}.{os.getpid()}.{purpose}")


def _remove_leftovers(path: Path) -> None:
    """Removes what killed processes left beside `path`: of this host, or a day old."""
    host = socket.gethostname()
    for leftover in path.parent.glob(f".{glob.escape(path.name)}.*.tmp"):
        writer, _, pid = leftover.name.removeprefix(f".{path.name}.").removesuffix(".tmp").rpartition(".")
        with suppress(FileNotFoundError):
            if not pid.isdecimal() or (writer == host and int(pid) != os.getpid() and not _is_alive(int(pid))):
                pass
            elif writer == host or time.time() - leftover.stat().st_mtime < LEFTOVER_SECONDS:
                continue
            shutil.rmtree(leftover) if leftover.is_dir() else leftover.unlink()


def _is_alive(pid: int) -> bool:
    try:
        os.kill(pid, 0)
    except ProcessLookupError:
        return False
    except OSError:
        return True
    return True


def _flush(path: Path) -> None:
    descriptor = os.open(path, os.O_RDONLY)
    try:
        os.fsync(descriptor)
    finally:
        os.close(descriptor)


_REMEDIES = {
    errno.ENOSPC: "free some space on this disk, or choose another place",
    errno.EDQUOT: "free some of your quota, or choose another place",
    errno.EFBIG: "raise the limit of the size of files (ulimit -f), or choose another place",
    errno.EROFS: "choose another place",
    errno.EACCES: "change its permissions, or choose another place",
    errno.EPERM: "change its permissions, or choose another place",
    errno.ENAMETOOLONG: "choose a shorter name",
    errno.ENOTDIR: "a part of its path is a file; choose another place",
    errno.EISDIR: "choose another name",
    errno.EEXIST: "a part of its path is a file; choose another place",
}


@contextmanager
def writing(path: Path) -> Iterator[None]:
    """Makes an InputError that names the file, the reason and the remedy of what is raised where it cannot be written."""
    try:
        yield
    except OSError as e:
        remedy = _REMEDIES.get(e.errno or 0, "check the disk")
        raise InputError(f"{path}: cannot be written ({e.strerror or e}); {remedy}") from None


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
    """
    with atomic_write(path.with_name(f"{path.name}.sha256")) as tmp:
        tmp.write_text(f"{sha256(path)}  {path.name}\n", encoding="utf-8")
