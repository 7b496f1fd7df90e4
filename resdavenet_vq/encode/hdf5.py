"""HDF5 files that encoding writes (`hdf5_output`): what they begin with, and the one way to open them for reading.

A file begins with 4096 bytes of text, HDF5's user block: a line that says what it is, a line of JSON with its `kind`,
its `origin`, its size in `bytes` and the `sha256` of everything behind these 4096 bytes, and a line with the SHA-256 of
the two lines before. A file is read only if all that is right, so that no parser sees bytes that have changed. For
other software it is an ordinary HDF5 file; what other software has written again (h5repack, h5py in mode `r+`) has lost
its checksum and is refused.
"""

from __future__ import annotations

import hashlib
import json
import os
from abc import ABC, abstractmethod
from contextlib import ExitStack
from pathlib import Path
from typing import TYPE_CHECKING, BinaryIO, ClassVar, NamedTuple, Self, cast

import numpy as np

from resdavenet_vq.encode.origin import Origin
from resdavenet_vq.errors import InputError
from resdavenet_vq.files import open_regular, reading
from resdavenet_vq.hdf5 import GuardedFile, Numbers, faults_of

if TYPE_CHECKING:
    from io import BufferedReader

AGAIN = "remove it and encode the split again"

FORMAT = "resdavenet-vq encoded 1"

HEADER_LENGTH = 4096
"""Bytes: HDF5 takes a power of 2 from 512; kind and origin have about 600."""


class Header(NamedTuple):
    """What the user block says."""

    kind: str
    origin: Origin
    size: int
    sha256: str

    def to_bytes(self) -> bytes:
        """The user block. Raises InputError if the names in it are too long."""
        content = {"kind": self.kind, "origin": self.origin.to_dict(), "bytes": self.size, "sha256": self.sha256}
        text = f"{FORMAT}\n{json.dumps(content, sort_keys=True)}\n".encode()
        header = text + hashlib.sha256(text).hexdigest().encode() + b"\n"
        if len(header) > HEADER_LENGTH:
            raise InputError(f"{self.origin.split}: the name of the split is too long; choose a shorter one")
        return header.ljust(HEADER_LENGTH, b"\0")

    @classmethod
    def parse(cls, head: bytes) -> Header:
        """The header in its bytes. Raises one of many errors if they are not those that `to_bytes` makes of it."""
        content = json.loads(head.split(b"\n")[1])
        origin = Origin.from_dict(content["origin"])
        header = cls(str(content["kind"]), origin, int(content["bytes"]), str(content["sha256"]))
        if header.to_bytes() != head:
            raise ValueError("its header is damaged")
        return header


_verified: set[tuple[int, ...]] = set()
"""Files whose content this process has verified: device, inode, size and time of the last change."""


def read_header(path: Path) -> Header:
    """The header of a file whose size and SHA-256 are as it says; each process reads an unchanged file once for that.

    Raises InputError naming the file and what to do.
    """
    with reading(path):
        there = path.exists()
    if not there:
        raise InputError(f"{path}: no such file; encode the split first")
    with open_regular(path) as file, reading(path):
        head, status = file.read(HEADER_LENGTH), os.fstat(file.fileno())
        if head.partition(b"\n")[0] != FORMAT.encode():
            fault = "has no checksum of this software: written by an older version, or by other software"
            raise InputError(f"{path}: {fault}; {AGAIN}")
        with faults_of(path, AGAIN):
            header = Header.parse(head)
        if status.st_size != header.size:
            fault = f"has {status.st_size} bytes instead of {header.size}: truncated or changed"
            raise InputError(f"{path}: {fault}; {AGAIN}")
        identity = status.st_dev, status.st_ino, status.st_size, status.st_mtime_ns, status.st_ctime_ns
        if identity not in _verified:
            if _sha256_behind_header(file) != header.sha256:
                raise InputError(f"{path}: is damaged (its SHA-256 is another); {AGAIN}")
            _verified.add(identity)
    return header


def _sha256_behind_header(file: BinaryIO) -> str:
    file.seek(HEADER_LENGTH)
    return hashlib.file_digest(cast("BufferedReader", file), "sha256").hexdigest()


def write_header(path: Path, kind: str, origin: Origin) -> None:
    """Writes the header of an HDF5 file that has room for it and will not change any more."""
    with path.open("r+b") as file:
        sha256 = _sha256_behind_header(file)
        head = Header(kind, origin, os.fstat(file.fileno()).st_size, sha256).to_bytes()
        file.seek(0)
        file.write(head)


class EncodedFile(ABC):
    """A file that encoding wrote, open for reading; a context manager. `origin` says what made it.

    Raises InputError naming the file if it is missing, damaged, or does not have the layout of its kind.
    """

    kind: ClassVar[str]

    def __init__(self, path: Path) -> None:
        self.path = path
        header = read_header(path)
        if header.kind != self.kind:
            raise InputError(f"{path}: holds {header.kind}, not {self.kind}; give the other file")
        self.origin = header.origin
        with ExitStack() as stack:
            self._file = stack.enter_context(GuardedFile(path, f"it is no complete {self.kind} file; {AGAIN}"))
            with faults_of(path, AGAIN):
                self._read(self._file)
            stack.pop_all()

    @abstractmethod
    def _read(self, file: GuardedFile) -> None:
        """Takes what the file holds."""

    def _group(self, layer: str) -> str:
        """The name of the group of a layer. Raises InputError with the layers that there are."""
        if layer not in (layers := layer_names(self._file)):
            missing = f"holds no {self.kind} of {layer!r} (layers: {', '.join(layers) or 'none'})"
            raise InputError(f"{self.path}: {missing}; encode the split with this layer, if the model has it")
        return layer

    def _check(self, fits: bool, parts: str) -> None:
        """Raises InputError unless the parts of the file fit together."""
        if not fits:
            raise InputError(f"{self.path}: {parts} do not fit together; {AGAIN}")

    def _frame_period(self, group: str = "/") -> float:
        """The attribute `frame_period`, in seconds."""
        period = self._file.attribute("frame_period", group)
        self._check(1e-3 <= period <= 10, f"frame_period {period:g} and frames")
        return period

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *_: object) -> None:
        self._file.close()


def layer_names(file: GuardedFile) -> list[str]:
    """The layers that a codes or features file holds."""
    return [name for name in file.names() if name not in {"ids", "manifest", "durations"}]


def offsets_divide(offsets: np.ndarray, n_rows: int, n_utterances: int) -> bool:
    """Whether offsets give each utterance its part of the rows."""
    fits = offsets.shape == (n_utterances + 1,) and (offsets[0], offsets[-1]) == (0, n_rows)
    return fits and bool((offsets[1:] >= offsets[:-1]).all())


def marks(file: GuardedFile, group: str, n_rows: int) -> Numbers | None:
    """Where segments begin, a number for each row of a layer, if the layer has segments."""
    name = f"{group}/begins"
    return file.numbers(name, [np.uint8], (n_rows,)) if file.has(name) else None
