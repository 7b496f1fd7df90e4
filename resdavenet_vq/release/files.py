"""Reads the files of a released experiment, which are not trusted.

Archives are never unpacked to disk: the few files are read in memory, and an archive with an unusual member is refused.
Pickles may hold plain values and one `argparse.Namespace`, weights may hold finite tensors. The limits below bound the
memory.
"""

from __future__ import annotations

import bz2
import gzip
import io
import math
import pickle
import pickletools
import tarfile
import zipfile
import zlib
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from functools import partial
from pathlib import Path, PurePosixPath
from typing import IO, Any, Never, cast

import torch
from torch import Tensor

from resdavenet_vq.archive import SmallReads, fault, open_zip
from resdavenet_vq.errors import InputError, listed
from resdavenet_vq.folders import is_clutter
from resdavenet_vq.model.checkpoint import ZIP, read_tensors
from resdavenet_vq.release.archives import ARGUMENTS, AUDIO, IMAGE, PROGRESS

LARGEST = {ARGUMENTS: 1 << 20, PROGRESS: 1 << 20, AUDIO: 1 << 29, IMAGE: 1 << 29}
"""Maximum size of each file; the published networks need less than half of it."""

MOST_MEMBERS, MOST_UNPACKED = 10_000, 1 << 32
"""Maximum number of files in an archive, and maximum number of decompressed bytes."""

CHUNK = 1 << 20
"""Bytes read at a time."""

_ALLOWED_OPCODES = frozenset(
    "PROTO FRAME STOP MARK MEMOIZE BINPUT LONG_BINPUT BINGET LONG_BINGET "  # noqa: SIM905 (a list takes 40 lines)
    "NONE NEWTRUE NEWFALSE BININT BININT1 BININT2 LONG1 BINFLOAT SHORT_BINUNICODE BINUNICODE "
    "EMPTY_LIST APPEND APPENDS EMPTY_TUPLE TUPLE TUPLE1 TUPLE2 TUPLE3 EMPTY_DICT SETITEM SETITEMS "
    "GLOBAL STACK_GLOBAL NEWOBJ BUILD".split()
)
"""The opcodes for a namespace of plain values; none that calls, imports by number or has external references."""


def read_arguments(data: bytes) -> dict[str, Any]:
    """The plain values in a pickled `argparse.Namespace`. Raises InputError for a pickle of anything else."""
    value = _unpickled(data, ARGUMENTS)
    if not isinstance(value, _Namespace):
        raise InputError(f"{ARGUMENTS}: does not hold an argparse.Namespace")
    return dict(_plain(getattr(value, "values", {}), ARGUMENTS))


def read_progress(data: bytes) -> list[Any]:
    """The rows of a pickled list of plain values. Raises InputError for a pickle of anything else."""
    value = _plain(_unpickled(data, PROGRESS), PROGRESS)
    if not isinstance(value, list):
        raise InputError(f"{PROGRESS}: does not hold a list")
    return value


def read_weights(data: bytes, name: str) -> dict[str, Tensor]:
    """The tensors in a file of torch.save. Raises InputError for anything but plain, finite tensors by name."""
    if len(data) > LARGEST[name]:
        raise InputError(f"{name}: has more than the {LARGEST[name]} bytes that are read")
    state = read_tensors(io.BytesIO(data), name)
    if faults := [f"{name}: {key} is not finite" for key, x in state.items() if not torch.isfinite(x).all()]:
        raise InputError(listed(faults))
    return state


class _Namespace:
    """Takes the place of argparse.Namespace, which a pickle could modify."""

    values: dict[str, Any]

    def __setstate__(self, state: Any) -> None:
        if type(state) is not dict:
            raise pickle.UnpicklingError("the state of a namespace must be a dictionary")
        self.values = state


class _Unpickler(pickle.Unpickler):
    def find_class(self, module: str, name: str) -> Any:
        if (module, name) != ("argparse", "Namespace"):
            raise pickle.UnpicklingError(f"{module}.{name} is not allowed")
        return _Namespace

    def persistent_load(self, _pid: Any) -> Never:
        raise pickle.UnpicklingError("a persistent id is not allowed")


def _unpickled(data: bytes, name: str) -> Any:
    """The value in a pickle whose opcodes are allowed and whose memory is bounded by its size."""
    try:
        for opcode, argument, _ in pickletools.genops(data):
            _check_opcode(opcode.name, argument, len(data))
        return _Unpickler(io.BytesIO(data)).load()
    except Exception as e:  # noqa: BLE001 (a broken pickle may raise anything)
        raise InputError(f"{name}: not a pickle of plain values ({e})") from None


def _check_opcode(opcode: str, argument: Any, size: int) -> None:
    if opcode not in _ALLOWED_OPCODES:
        raise pickle.UnpicklingError(f"{opcode} is not allowed")
    if opcode == "LONG_BINPUT" and argument > size:  # the unpickler's memo would become as long as the index is high
        raise pickle.UnpicklingError(f"memo index {argument} is too high")


def _plain(value: Any, name: str) -> Any:
    """A copy of values that JSON can express; infinite numbers become null. Raises InputError for other values."""
    left = 100_000

    def copy(value: Any, depth: int) -> Any:
        nonlocal left
        left -= 1
        if left < 0 or depth > 10:
            raise InputError(f"{name}: holds too many or too deeply nested values")
        if isinstance(value, float):
            return value if math.isfinite(value) else None
        if value is None or isinstance(value, str | int):
            return value
        if isinstance(value, list | tuple):
            return [copy(v, depth + 1) for v in value]
        if isinstance(value, dict) and all(isinstance(key, str) for key in value):
            return {key: copy(v, depth + 1) for key, v in value.items()}
        raise InputError(f"{name}: holds a {type(value).__name__}, which is not a plain value")

    return copy(value, 0)


type _Members = dict[str, Callable[[], IO[Any]]]
"""Functions that open files, by name."""


def from_folder(path: Path) -> dict[str, bytes]:
    """The bytes of the experiment's files in a folder."""
    files = {name: path / name for name in LARGEST if (path / name).exists()}
    for file in files.values():
        if not file.is_file():
            raise InputError(f"{file}: is not a file")
    return _read_members({name: partial(open, file, "rb") for name, file in files.items()}, "", path)


def from_archive(path: Path) -> dict[str, bytes]:
    """The bytes of the experiment's files in an archive, in whatever folder of it they are."""
    try:
        with path.open("rb") as f:
            zipped = f.read(len(ZIP)) == ZIP
        with _zip(path) if zipped else _tar(path) as members:
            roots = [name.removesuffix(ARGUMENTS) for name in members if PurePosixPath(name).name == ARGUMENTS]
            if len(roots) != 1:
                raise InputError(f"{path}: must contain one {ARGUMENTS}, not {len(roots)}")
            return _read_members(members, roots[0], path)
    # raised by the two libraries for damaged members; RuntimeError includes an unknown compression of zipfile
    except (tarfile.TarError, zipfile.BadZipFile, zlib.error, OSError, EOFError, ValueError, RuntimeError) as e:
        raise InputError(
            f"{path}: not a zip or tar archive of plain files ({e}); if you trust it, unpack it and import the folder"
        ) from None


def _read_members(members: _Members, root: str, path: Path) -> dict[str, bytes]:
    """The bytes of the experiment's files below a root. Raises InputError if one is too large or lacks."""
    files = {}
    for name, largest in LARGEST.items():
        if root + name not in members:
            continue
        data = bytearray()
        with members[root + name]() as file:
            while chunk := file.read(CHUNK):
                data += chunk
                if len(data) > largest:
                    raise InputError(f"{path}: a file in it has more than the {largest} bytes that are read")
        files[name] = bytes(data)
    if missing := [name for name in (ARGUMENTS, AUDIO) if name not in files]:
        raise InputError(f"{path}: not a released experiment; it has no {' and no '.join(missing)}")
    return files


@contextmanager
def _zip(path: Path) -> Iterator[_Members]:
    with path.open("rb") as file, open_zip(file, largest=MOST_UNPACKED, most=MOST_MEMBERS) as archive:
        members: _Members = {}
        for info in archive.infolist():
            if problem := fault(info):
                raise ValueError(f"{info.orig_filename!r} {problem}")
            _add(members, info.filename, None if info.is_dir() else partial(archive.open, info))
        yield members


@contextmanager
def _tar(path: Path) -> Iterator[_Members]:
    with path.open("rb") as f:
        start = f.read(2)
    opener: Any = {b"\x1f\x8b": gzip.open, b"BZ": bz2.open}.get(start, open)
    with (
        opener(path, "rb") as stream,
        tarfile.open(fileobj=cast("Any", SmallReads(stream, CHUNK)), mode="r:") as archive,
    ):
        members: _Members = {}
        unpacked = 0
        for n, info in enumerate(archive, start=1):
            unpacked += info.size
            _check_size(n, unpacked, MOST_UNPACKED)
            if not (info.isfile() or info.isdir()) or info.issparse() or info.size < 0:
                raise ValueError(f"{info.name!r} is not a plain file")
            opener = cast("Callable[[], IO[Any]]", partial(archive.extractfile, info))  # of a plain file not None
            _add(members, info.name, None if info.isdir() else opener)
        yield members


def _add(members: _Members, name: str, opener: Callable[[], IO[Any]] | None) -> None:
    """Adds a member, None for a folder, unless it is clutter.

    Raises ValueError if its name leads out of the archive or is a duplicate.
    """
    path = PurePosixPath(name)
    if path.is_absolute() or ".." in path.parts:
        raise ValueError(f"{name!r} leads out of the archive")
    if opener is not None and not is_clutter(path):
        if str(path) in members:
            raise ValueError(f"{name!r} is in it twice")
        members[str(path)] = opener


def _check_size(n: int, unpacked: int, largest: int) -> None:
    if n > MOST_MEMBERS or unpacked > largest:
        raise ValueError(
            f"{n} files or more of together {unpacked} bytes; at most {MOST_MEMBERS} and {largest} are read"
        )
