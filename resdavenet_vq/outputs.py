"""Outputs, files and folders: whole or not at all, several together.

While it is written an output lies beside its place as `.NAME.HOST.PID.tmp`. It takes its name by one rename. Of an
output that takes it together with others, the earlier file is kept as `.NAME.HOST.PID.earlier` until all have theirs.
"""

from __future__ import annotations

import ctypes
import errno
import os
import re
import shutil
import stat
import time
from collections.abc import Iterator, Sequence
from contextlib import contextmanager, suppress
from contextvars import ContextVar
from dataclasses import dataclass, field
from pathlib import Path

from resdavenet_vq.errors import InputError
from resdavenet_vq.writing import UNFINISHED, folder_around, host, naming, temporary, writing

LEFTOVER_SECONDS = 86_400.0
"""Age at which an unfinished output that another host began counts as left by a killed process."""

_AT_FDCWD, _RENAME_EXCHANGE = -100, 2


@dataclass(eq=False)
class _Output:
    """An output on its way. `path` is what the user calls it; `target` is that, or what it is a link to."""

    path: Path
    target: Path
    is_folder: bool
    replaces: bool = False
    """Of a folder: whether one with files in it is exchanged."""
    _inode: int = 0

    @property
    def tmp(self) -> Path:
        return temporary(self.target, "tmp")

    @property
    def earlier(self) -> Path:
        return temporary(self.target, "earlier")

    def publish(self, *, keep: bool) -> None:
        """Takes the name; what had it is kept as `earlier`, of a folder as `tmp`."""
        self._inode = self.tmp.stat().st_ino
        if self.is_folder:
            if self.replaces and self.target.exists():
                _exchange(self.tmp, self.target, self.earlier)
            else:
                self.tmp.replace(self.target)
            return
        if keep and self.target.is_file():
            try:
                self.earlier.hardlink_to(self.target)
            except OSError:  # a file system without hard links: for a moment the name is gone
                self.target.replace(self.earlier)
        self.tmp.replace(self.target)

    def is_published(self) -> bool:
        """Also where a signal came before `publish` returned."""
        with suppress(FileNotFoundError):
            return self._inode == self.target.stat().st_ino
        return False

    def put_back(self) -> None:
        """Undoes `publish`, however far it came."""
        if not self.is_published():
            if self.earlier.exists() and not self.target.exists():
                self.earlier.replace(self.target)
        elif not self.is_folder and not self.earlier.exists():
            self.target.unlink()
        elif not self.is_folder:
            self.earlier.replace(self.target)
        elif self.tmp.exists():
            _exchange(self.target, self.tmp, self.earlier)
        else:
            self.target.replace(self.tmp)
            if self.earlier.exists():
                self.earlier.replace(self.target)

    def discard(self) -> None:
        """Removes what is not the output."""
        UNFINISHED.pop(self.tmp, None)
        for path in (self.tmp, self.earlier):
            _remove(path)


@dataclass(eq=False)
class _Group:
    """What a block `together` has so far: complete outputs by temporary path, and leftovers in the folders it saw."""

    outputs: dict[Path, _Output] = field(default_factory=dict)
    leftovers: dict[Path, list[Path]] = field(default_factory=dict)


_group: ContextVar[_Group | None] = ContextVar("group", default=None)
"""Of the block `together` that runs in this thread."""


@contextmanager
def together() -> Iterator[None]:
    """What is written in this block takes its names at its end, all or, after an error, nothing; earlier files stay.

    A block inside another belongs to it. After SIGKILL, or where the machine stops, among the renames each file is
    whole, but some may be the new and some the earlier ones; the same command run again makes all new.
    """
    if _group.get() is not None:
        yield
        return
    group = _Group()
    token = _group.set(group)
    try:
        yield
        _publish([*group.outputs.values()])
    finally:
        _group.reset(token)
        for output in group.outputs.values():
            output.discard()


@contextmanager
def atomic_files(*paths: Path) -> Iterator[tuple[Path, ...]]:
    """Temporary paths beside `paths` to write to; when the block succeeds, all take their names, otherwise none does.

    The data are on disk before the first takes its name. If something fails, the temporary files are removed and
    `paths` hold what they held before. What killed runs of the same command left is removed at the start. Below an
    unfinished `atomic_folder`, which appears as a whole, these are `paths` themselves.

    Raises InputError naming the file, the reason and the remedy if one cannot be written, whatever a library raises
    then: a file-less or untyped error counts as that if the disk takes no more. An error of another file passes.
    """
    if paths and folder_around(paths[0]):
        with naming([(path, path) for path in paths]):
            for path in paths:
                path.parent.mkdir(parents=True, exist_ok=True)
            yield paths
        return
    outputs = [_begin(path, is_folder=False) for path in paths]
    with _finish(outputs):
        yield tuple(output.tmp for output in outputs)
        for output in outputs:
            _flush(output.tmp)


@contextmanager
def atomic_write(path: Path) -> Iterator[Path]:
    """`atomic_files` of one file."""
    with atomic_files(path) as (tmp,):
        yield tmp


@contextmanager
def atomic_folder(path: Path, *, replace: bool = False) -> Iterator[Path]:
    """A temporary folder beside `path` to write into; it takes that name when the block succeeds.

    With `replace` an earlier folder is exchanged for it in one step of Linux, so that there is always the one or the
    other, complete. Where a file system cannot do that, two renames lie close together; what a kill between them hides
    is back when the same command begins again.

    Raises InputError as `atomic_files`, and without `replace` if `path` exists, unless it is an empty folder: a folder
    may hold other files.
    """
    output = _begin(path, is_folder=True)
    output.replaces = replace
    if not replace and output.target.is_dir() and any(output.target.iterdir()):
        raise InputError(f"{path}: is there already; remove it, or choose another name")
    with _finish([output]):
        output.tmp.mkdir()
        yield output.tmp


def as_written(path: Path) -> Path:
    """Where the bytes of a file are: in a block `together`, what it is going to be."""
    group = _group.get()
    waiting = group.outputs.values() if group else ()
    return next((output.tmp for output in waiting if output.path == path), path)


def check_outputs(*paths: Path) -> None:
    """Raises InputError where files cannot have these names; removes what killed runs of the same command left.

    Writing does both; this spares hours of computing before it.
    """
    for path in paths:
        _begin(path, is_folder=False)


def _begin(path: Path, *, is_folder: bool) -> _Output:
    """Checks what is there, and removes what killed processes left."""
    if "\0" in str(path):
        raise InputError(f"{str(path)!r}: a file name cannot hold a NUL character; choose another name")
    with writing(path):
        target = Path(os.path.realpath(path)) if path.is_symlink() else path
        target.parent.mkdir(parents=True, exist_ok=True)
        _clear(target)
        with suppress(FileNotFoundError):
            mode = path.stat().st_mode
            if is_folder and not stat.S_ISDIR(mode):
                raise InputError(f"{path}: is no folder; choose another name")
            if not is_folder and stat.S_ISDIR(mode):
                raise InputError(f"{path}: is a folder; choose another name")
            if not is_folder and not stat.S_ISREG(mode):
                raise InputError(f"{path}: is no regular file, but a device, a pipe or a socket; choose another name")
            return _Output(path, target, is_folder)
        if path.is_symlink():
            raise InputError(f"{path}: is a link to {target}, which is not there; remove it, or choose another name")
    return _Output(path, target, is_folder)


@contextmanager
def _finish(outputs: Sequence[_Output]) -> Iterator[None]:
    """Publishes outputs after the block, or hands them to the block `together` around it; discards them on errors."""
    group = _group.get()
    for output in outputs:
        if output.tmp in UNFINISHED:
            raise InputError(f"{output.path}: two results would have this name; choose another for one")
    UNFINISHED.update({output.tmp: output.path for output in outputs})
    is_handed_on = False
    try:
        with naming([(output.path, output.tmp) for output in outputs]):
            yield
        if group is None:
            _publish(outputs)
        else:
            group.outputs |= {output.tmp: output for output in outputs}
            is_handed_on = True
    finally:
        if not is_handed_on:
            for output in outputs:
                output.discard()


def _publish(outputs: Sequence[_Output]) -> None:
    """All take their names; if one cannot, what the others replaced is put back."""
    try:
        for output in outputs:
            with naming([(output.path, output.tmp)]):
                output.publish(keep=output is not outputs[-1])
    except BaseException:
        if not outputs[-1].is_published():  # otherwise a signal came after the last rename
            for output in reversed(outputs):
                output.put_back()
        raise


def _exchange(new: Path, old: Path, aside: Path) -> None:
    """Gives two folders each other's names."""
    if (rename := getattr(ctypes.CDLL(None, use_errno=True), "renameat2", None)) is not None:
        if rename(_AT_FDCWD, os.fsencode(new), _AT_FDCWD, os.fsencode(old), _RENAME_EXCHANGE) == 0:
            return
        if (code := ctypes.get_errno()) not in {errno.ENOSYS, errno.EINVAL, errno.EOPNOTSUPP}:
            raise OSError(code, os.strerror(code), str(old))
    old.rename(aside)
    new.rename(old)
    aside.rename(new)


_LEFTOVER = re.compile(r"\.(?P<name>.+)\.(?P<host>[^.]+)\.(?P<pid>\d+)\.(?P<purpose>tmp|earlier)", re.DOTALL)


def _clear(path: Path) -> None:
    """Removes what killed processes of this host left beside `path`, and others a day ago; puts back what they hid."""
    group = _group.get() or _Group()
    if path.parent not in group.leftovers:
        group.leftovers[path.parent] = [entry for entry in path.parent.iterdir() if _LEFTOVER.fullmatch(entry.name)]
    for entry in group.leftovers[path.parent]:
        match = _LEFTOVER.fullmatch(entry.name)
        if not match or match["name"] != path.name or entry in UNFINISHED:
            continue
        with suppress(FileNotFoundError):
            if match["host"] != host():
                if time.time() - entry.lstat().st_mtime < LEFTOVER_SECONDS:
                    continue
            elif int(match["pid"]) != os.getpid() and _is_alive(int(match["pid"])):
                continue
            if match["purpose"] == "earlier" and not path.exists():
                entry.rename(path)
            else:
                _remove(entry)


def _remove(path: Path) -> None:
    with suppress(FileNotFoundError):  # or another process removes it at the same time
        if path.is_dir() and not path.is_symlink():
            shutil.rmtree(path, onexc=_unless_gone)
        else:
            path.unlink()


def _unless_gone(_: object, __: str, error: BaseException) -> None:
    if not isinstance(error, FileNotFoundError):
        raise error


def _is_alive(pid: int) -> bool:
    try:
        os.kill(pid, 0)
    except (ProcessLookupError, OverflowError):
        return False
    except PermissionError:
        return True
    return True


def _flush(path: Path) -> None:
    descriptor = os.open(path, os.O_RDONLY)
    try:
        os.fsync(descriptor)
    finally:
        os.close(descriptor)
