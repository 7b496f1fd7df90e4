"""Errors of writing: the file, the reason and the remedy, whatever a library makes of a disk that takes no more."""

from __future__ import annotations

import errno
import os
import re
import socket
from collections.abc import Iterator, Sequence
from contextlib import contextmanager, suppress
from pathlib import Path

from resdavenet_vq.errors import InputError

UNFINISHED: dict[Path, Path] = {}
"""The final path of each temporary one that this process writes to."""

_PROBE = bytes(1 << 20)
"""What is written to learn whether a disk takes no more: beyond what file systems have left for the ends of files."""

_REMEDIES = {
    errno.ENOSPC: "free some space on this disk, or choose another place",
    errno.EDQUOT: "free some of your quota, or choose another place",
    errno.EFBIG: "raise the limit of the size of files (ulimit -f), or choose another place",
    errno.EROFS: "choose another place",
    errno.EACCES: "change its permissions or its folder's, or choose another place",
    errno.EPERM: "change its permissions or its folder's, or choose another place",
    errno.ENAMETOOLONG: "choose a shorter name",
    errno.ENOTDIR: "a part of its path is a file; choose another place",
    errno.EEXIST: "a part of its path is a file; choose another place",
    errno.ENOTEMPTY: "something else has been put there meanwhile; remove it, or choose another name",
    errno.EISDIR: "choose another name",
    errno.ELOOP: "a link in its path leads to itself; remove it, or choose another place",
    errno.ENOENT: "its folder was removed meanwhile; run the same command again",
    errno.EMFILE: "raise the limit of open files (ulimit -n)",
    errno.EIO: "check the disk",
}

_OF_THE_DISK = frozenset({errno.ENOSPC, errno.EDQUOT, errno.EFBIG, errno.EROFS})


@contextmanager
def writing(path: Path) -> Iterator[None]:
    """Makes an InputError that names the file, the reason and the remedy of what is raised where it cannot be written.

    Errors that name another file pass.
    """
    with naming([(path, path)]):
        yield


def host() -> str:
    """The name of this machine in temporary names, without dots."""
    return socket.gethostname().replace(".", "-")


def temporary(path: Path, purpose: str) -> Path:
    """A name beside `path` that says which process uses it."""
    return path.with_name(f".{path.name}.{host()}.{os.getpid()}.{purpose}")


def folder_around(path: Path) -> Path | None:
    """The temporary folder of this process in which a path lies."""
    return next((parent for parent in path.parents if parent in UNFINISHED), None)


@contextmanager
def naming(places: Sequence[tuple[Path, Path]]) -> Iterator[None]:
    """`writing` for several outputs and their temporary paths."""
    try:
        yield
    except InputError:
        raise
    except Exception as e:
        if error := _explained(e, places):
            raise error from e
        raise


def _explained(e: Exception, places: Sequence[tuple[Path, Path]]) -> InputError | None:
    """The error for people if an output cannot be written, or the disk of another file is full; otherwise None."""
    code, reason, names = (
        (e.errno, e.strerror, (e.filename, e.filename2)) if isinstance(e, OSError) else (None, None, ())
    )
    if named := [os.fsdecode(name) for name in names if isinstance(name, str | bytes)]:
        for path, tmp in places:
            if any(_is_about(Path(name), path, tmp) for name in named):
                return refusal(path, code, reason)
        return refusal(Path(named[0]), code, reason) if code in _OF_THE_DISK else None
    text = str(e)
    if code is None and (told := re.search(r"(?:errno = |os error )(\d+)", text)) and "read failed" not in text:
        code = int(told[1])  # of HDF5, and of libraries in Rust
    for path, tmp in places:
        if refused := _refused(path, tmp):
            return refusal(path, refused.errno)
    return refusal(places[0][0], code, reason) if code in _REMEDIES else None


def refusal(path: Path | str, code: int | None, reason: str | None = None) -> InputError:
    """The error for people of an output that the system refuses with an error number."""
    shown = path
    if isinstance(path, Path) and (folder := folder_around(path)):
        shown = UNFINISHED[folder] / path.relative_to(folder)
    reason = reason or (os.strerror(code) if code else "unknown reason")
    return InputError(f"{shown}: cannot be written ({reason}); {_REMEDIES.get(code or 0, 'check the disk')}")


def _is_about(name: Path, path: Path, tmp: Path) -> bool:
    """Whether an error with a file's name is about an output: itself, in it, above it, or its lock."""
    name, path, tmp = (Path(os.path.abspath(p)) for p in (name, path, tmp))  # noqa: PTH100 - links stay
    above = {path, tmp, *path.parents, *tmp.parents}
    return name in above or bool({path, tmp} & set(name.parents)) or name.name.startswith(f".{path.name}.")


def _refused(path: Path, tmp: Path) -> OSError | None:
    """What the system says to some more bytes in an output; None if it takes them."""
    file = tmp if tmp != path and tmp.is_file() else temporary(path, "tmp")
    if tmp != path and tmp.is_dir():
        file = tmp / "probe"
    try:
        with file.open("ab", buffering=0) as f:
            rest = len(_PROBE)
            while rest:
                rest -= f.write(_PROBE[:rest])
            os.fsync(f.fileno())
    except OSError as e:
        return e
    finally:
        if file != tmp:
            with suppress(OSError):  # it could not be opened
                file.unlink()
    return None
