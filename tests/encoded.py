"""Encoded files for tests: what made them, and how one is changed with a checksum that is right again."""

from contextlib import contextmanager
from dataclasses import replace

import h5py

from resdavenet_vq.encode.hdf5 import HEADER_LENGTH, Header, write_header
from resdavenet_vq.encode.origin import Origin

ORIGIN = Origin(model="1" * 64, lineage="", split="test", data="2" * 64, recipe={"context": "cropped"})
"""Of a model whose card names no lineage."""


def header_of(path):
    """What the file says of itself."""
    with path.open("rb") as file:
        return Header.parse(file.read(HEADER_LENGTH))


def relabelled(path, **changes):
    """The file, which says that something else made it."""
    header = header_of(path)
    write_header(path, header.kind, replace(header.origin, **changes))
    return path


@contextmanager
def changed(path):
    """The file, open for changes by h5py."""
    header = header_of(path)
    with h5py.File(path, "r+") as file:
        yield file
    write_header(path, header.kind, header.origin)


@contextmanager
def hostile(path, kind, origin=ORIGIN):
    """A new HDF5 file of anything, with the header of an encoded file."""
    with h5py.File(path, "w", userblock_size=HEADER_LENGTH) as file:
        yield file
    write_header(path, kind, origin)
