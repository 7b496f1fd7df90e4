"""The header of a store: its attributes, and the place, shape, type and digest of every dataset."""

from __future__ import annotations

import hashlib
import json
import math
import os
from collections.abc import Mapping
from pathlib import Path
from typing import Any, NamedTuple

import numpy as np

from resdavenet_vq import files
from resdavenet_vq.data import features, sources
from resdavenet_vq.errors import InputError

FORMAT = "resdavenet-vq store 2"
_EARLIER = ("resdavenet-vq store 1",)
HEADER_LENGTH = 8192
_KEYS = {"reader", "release", "precision", "features", "features_hash", "max_frames", "command", "versions", "complete"}
PART = "part"  # a further attribute of a part of a split, see `parts`
IMAGE_SIZE = "image_size"  # likewise, of a store whose larger images were reduced: the shorter side in pixels

BY_UTTERANCE = ("logmel", "manifest", "ids")
BY_IMAGE = ("image", "image_ids")
RAGGED = (*BY_UTTERANCE, *BY_IMAGE)
WITH_CRC32 = ("logmel", "manifest", "image")
"""Those whose items have a CRC32 each; every other dataset, a column, has a digest in the header."""
OUTSIDE = ("logmel", "image")
"""Those that are not in a store with a reader other than `store`."""
_DTYPES = {text: np.dtype(text) for text in ("<f2", "<f4", "<i8", "<u4", "|u1")}


class Place(NamedTuple):
    """Where a dataset is in the file, in bytes, and what it holds."""

    offset: int
    shape: tuple[int, ...]
    dtype: np.dtype
    sha256: str = ""
    """Of a column's bytes; empty for items, which have a CRC32 each."""

    @property
    def row_size(self) -> int:
        """Bytes of one element of the first axis."""
        return self.dtype.itemsize * math.prod(self.shape[1:])


class Header(NamedTuple):
    """The first 8192 bytes of a store."""

    size: int
    """Bytes of the whole file."""
    sha256: str
    """SHA-256 of everything behind the header."""
    attributes: dict[str, Any]
    places: dict[str, Place]

    def to_bytes(self) -> bytes:
        """The header as it is in the file, with a checksum of its own."""
        places = {
            name: [place.offset, list(place.shape), place.dtype.str, place.sha256]
            for name, place in self.places.items()
        }
        content = {"bytes": self.size, "sha256": self.sha256, "attributes": self.attributes, "datasets": places}
        text = f"{FORMAT}\n{json.dumps(content, sort_keys=True)}\n".encode()
        header = text + hashlib.sha256(text).hexdigest().encode() + b"\n"
        assert len(header) <= HEADER_LENGTH, "settings and versions have outgrown the header"
        return header.ljust(HEADER_LENGTH, b"\0")

    @classmethod
    def read(cls, path: Path) -> Header:
        """The header of a store. Raises InputError unless it is sound and the file has the size that it states."""
        with files.reading(path):
            if not path.exists():
                raise InputError(f"{path}: no such file; prepare the split first")
            with files.open_regular(path) as f:
                head, size = f.read(HEADER_LENGTH), os.fstat(f.fileno()).st_size
        name = head.partition(b"\n")[0]
        if name in map(str.encode, _EARLIER):
            fault = "was prepared by an earlier version, whose stores this one does not read"
        elif name != FORMAT.encode():
            fault = "is no store of this software"
        elif (header := cls._parse(head)) is None:
            fault = "the header is damaged"
        elif size != header.size:
            fault = f"has {size} bytes instead of {header.size}: truncated or changed"
        else:
            return header
        raise InputError(f"{path}: {fault}; prepare the split again")

    @classmethod
    def _parse(cls, head: bytes) -> Header | None:
        """The header in its bytes; None if they are not exactly those that `to_bytes` makes of it."""
        try:
            content = json.loads(head.split(b"\n")[1])
            places = {
                name: Place(int(at), tuple(map(int, shape)), _DTYPES[dtype], str(digest))
                for name, (at, shape, dtype, digest) in content["datasets"].items()
            }
            attributes = dict(content["attributes"])
            header = cls(int(content["bytes"]), str(content["sha256"]), attributes, places)
            sound = header.to_bytes() == head and attributes.keys() - {PART, IMAGE_SIZE} == _KEYS
            sound &= isinstance(attributes["max_frames"], int) and isinstance(attributes["features"], dict)
            sound &= isinstance(attributes.get(IMAGE_SIZE, 0), int)
            sound &= sources.are_sound(attributes) and isinstance(attributes.get(PART, {}), dict)
        except (ValueError, TypeError, LookupError, AttributeError, OverflowError, RecursionError, AssertionError):
            return None
        return header if sound else None


type Layout = dict[str, tuple[tuple[int, ...], np.dtype]]


def datasets_inside(reader: str) -> tuple[str, ...]:
    """Those of RAGGED whose elements are in the store itself."""
    return tuple(name for name in RAGGED if reader == "store" or name not in OUTSIDE)


def layout(n_utterances: int, n_images: int, lengths: Mapping[str, int], precision: np.dtype, reader: str) -> Layout:
    """Shape and type of every dataset; `lengths` are the rows, frames or bytes, of those of `datasets_inside`."""
    index, crc32 = np.dtype("<i8"), np.dtype("<u4")
    datasets: Layout = {}
    for name in RAGGED:
        items = n_utterances if name in BY_UTTERANCE else n_images
        if name in lengths:
            datasets[name] = (lengths[name],), np.dtype("u1")
        if name == "logmel" and name in lengths:
            datasets[name] = (lengths[name], features.N_MELS), precision
        datasets[f"{name}_offsets"] = ((items + 1,), index)
        if name in WITH_CRC32:
            datasets[f"{name}_crc32"] = ((items,), crc32)
    if reader == "release_2020":
        datasets["source_row"] = ((n_utterances,), index)
    return datasets | {"image_index": ((n_utterances,), index), "n_samples": ((n_utterances,), index)}
