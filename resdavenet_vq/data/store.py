"""The store: features, images and manifest rows of a split in one HDF5 file of contiguous datasets.

Contiguous data have a fixed place in the file, so items are read with `os.pread`: without HDF5's
lock, from any number of processes. Items of unequal length are one dataset of all their elements,
one of offsets (items + 1) and, for the large ones, one of CRC32s:

    logmel    (frames, 40) float16|float32   logmel_offsets    logmel_crc32     by utterance
    manifest  (bytes,) uint8, JSON           manifest_offsets                   by utterance
    ids       (bytes,) uint8, UTF-8          ids_offsets                        by utterance
    image     (bytes,) uint8, JPEG|PNG       image_offsets     image_crc32      by image
    image_ids (bytes,) uint8, UTF-8          image_ids_offsets                  by image
    image_index, n_samples  (utterances,) int64

The file begins with a header of ours in HDF5's user block: a line of JSON with the attributes, the
place of every dataset, the size of the file and the SHA-256 of all that follows. Stores are read by
their header alone, never through the HDF5 library, which may hang on a flipped bit and follows links
to other files; for everyone else it is an ordinary HDF5 file.
"""

from __future__ import annotations

import hashlib
import json
import math
import os
import weakref
import zlib
from collections.abc import Mapping
from functools import cached_property
from itertools import pairwise
from pathlib import Path
from typing import Any, NamedTuple

import numpy as np

from resdavenet_vq.corpus.manifest import Utterance
from resdavenet_vq.data import features
from resdavenet_vq.errors import InputError

FORMAT = "resdavenet-vq store 1"
HEADER_LENGTH = 8192
ATTRIBUTES = ("features", "features_hash", "max_frames", "command", "versions", "complete")
BY_UTTERANCE = ("logmel", "manifest", "ids")
BY_IMAGE = ("image", "image_ids")
RAGGED = (*BY_UTTERANCE, *BY_IMAGE)
WITH_CRC32 = ("logmel", "image")

_DTYPES = {text: np.dtype(text) for text in ("<f2", "<f4", "<i8", "<u4", "|u1")}


class Place(NamedTuple):
    """Where a dataset lies in the file, in bytes, and what it is."""

    offset: int
    shape: tuple[int, ...]
    dtype: np.dtype

    @property
    def row_size(self) -> int:
        """Bytes of one element of the first axis."""
        return self.dtype.itemsize * math.prod(self.shape[1:])


class Header(NamedTuple):
    """What the first 8192 bytes of a store say."""

    size: int
    """Of the whole file, in bytes."""
    sha256: str
    """Of everything behind the header."""
    attributes: dict[str, Any]
    places: dict[str, Place]

    def to_bytes(self) -> bytes:
        """The header as it stands in the file, with a checksum of its own."""
        places = {name: [place.offset, list(place.shape), place.dtype.str] for name, place in self.places.items()}
        content = {"bytes": self.size, "sha256": self.sha256, "attributes": self.attributes, "datasets": places}
        text = f"{FORMAT}\n{json.dumps(content, sort_keys=True)}\n".encode()
        header = text + hashlib.sha256(text).hexdigest().encode() + b"\n"
        assert len(header) <= HEADER_LENGTH, "settings and versions have outgrown the header"
        return header.ljust(HEADER_LENGTH, b"\0")

    @classmethod
    def read(cls, path: Path) -> Header:
        """The header of a store. Raises InputError unless it is sound and the file has the size that it states."""
        try:
            with path.open("rb") as f:
                head, size = f.read(HEADER_LENGTH), os.fstat(f.fileno()).st_size
        except FileNotFoundError:
            raise InputError(f"{path}: no such file; prepare the split first") from None
        except OSError as e:
            raise InputError(f"{path}: cannot be read ({e.strerror or e})") from None
        if not head.startswith(f"{FORMAT}\n".encode()):
            raise InputError(f"{path}: is no store of this software; prepare the split again")
        header = cls._parse(head)
        if header is None:
            raise InputError(f"{path}: the header is damaged; prepare the split again")
        if size != header.size:
            raise InputError(f"{path}: has {size} bytes instead of {header.size}: truncated or changed; prepare the split again")
        return header

    @classmethod
    def _parse(cls, head: bytes) -> Header | None:
        """The header in its bytes; None if they are not exactly those that `to_bytes` makes of it."""
        try:
            content = json.loads(head.split(b"\n")[1])
            places = {
                name: Place(int(at), tuple(map(int, shape)), _DTYPES[dtype]) for name, (at, shape, dtype) in content["datasets"].items()
            }
            header = cls(int(content["bytes"]), str(content["sha256"]), dict(content["attributes"]), places)
            sound = header.to_bytes() == head and header.attributes.keys() == set(ATTRIBUTES)
            sound &= isinstance(header.attributes["max_frames"], int) and isinstance(header.attributes["features"], dict)
        except (ValueError, TypeError, LookupError, AttributeError, OverflowError, RecursionError, AssertionError):
            return None
        return header if sound else None


type Layout = dict[str, tuple[tuple[int, ...], np.dtype]]


def layout(n_utterances: int, n_images: int, lengths: Mapping[str, int], precision: np.dtype) -> Layout:
    """Shape and type of every dataset; `lengths` are the rows of those in RAGGED: frames or bytes."""
    index, byte, crc32 = np.dtype("<i8"), np.dtype("u1"), np.dtype("<u4")
    datasets: Layout = {}
    for name in RAGGED:
        items = n_utterances if name in BY_UTTERANCE else n_images
        datasets[name] = ((lengths[name], features.N_MELS), precision) if name == "logmel" else ((lengths[name],), byte)
        datasets[f"{name}_offsets"] = ((items + 1,), index)
        if name in WITH_CRC32:
            datasets[f"{name}_crc32"] = ((items,), crc32)
    return datasets | {"image_index": ((n_utterances,), index), "n_samples": ((n_utterances,), index)}


class Store:
    """A store opened for reading. Picklable, and safe in forked processes.

    Raises InputError at once for a file that is missing, foreign, truncated, incomplete,
    inconsistent or made with other feature settings. Flipped bits are found by `verify`.

    Attributes
    ----------
    ids, image_ids
        Of utterances and of images, in the order of their numbers.
    image_index
        (N,) int64: the number of each utterance's image, -1 where it has none.
    n_frames
        (N,) int64: stored frames of each utterance, at most `attributes["max_frames"]`.
    n_samples
        (N,) int64: 16 kHz samples of each utterance's whole audio, cut or not.
    attributes
        features (settings), features_hash, max_frames, command, versions, complete.
    """

    def __init__(self, path: Path) -> None:
        self.path = Path(path)
        header = Header.read(self.path)
        self.attributes, self._places = header.attributes, header.places
        if self.attributes["complete"] is not True:
            raise self._error("is incomplete")
        self._check_settings()
        self._descriptor = os.open(self.path, os.O_RDONLY)
        weakref.finalize(self, os.close, self._descriptor)
        self._check_places(header.size)
        self._offsets = {name: self._whole(f"{name}_offsets") for name in RAGGED}
        self.image_index = self._whole("image_index")
        self.n_samples = self._whole("n_samples")
        self._check_consistency()
        self.n_frames = np.diff(self._offsets["logmel"])

    def __reduce__(self) -> tuple[Any, ...]:
        return Store, (self.path,)

    def __len__(self) -> int:
        return len(self.image_index)

    @cached_property
    def ids(self) -> list[str]:
        """Ids of the utterances."""
        return self._texts("ids")

    @cached_property
    def image_ids(self) -> list[str]:
        """Ids of the images."""
        return self._texts("image_ids")

    @cached_property
    def _number_of(self) -> dict[str, int]:
        return {identity: number for number, identity in enumerate(self.ids)}

    def index(self, identity: str) -> int:
        """The number of the utterance with an id. Raises InputError if there is none."""
        if (number := self._number_of.get(identity)) is None:
            raise InputError(f"{self.path}: has no utterance {identity!r}")
        return number

    def logmel(self, number: int) -> np.ndarray:
        """The features (T, 40) of an utterance in dB, float16 or float32 as stored; a read-only array."""
        return np.frombuffer(self._item("logmel", number), self._places["logmel"].dtype).reshape(-1, features.N_MELS)

    def image(self, number: int) -> bytes:
        """The encoded file of an image, by the image's number."""
        return self._item("image", number)

    def utterance(self, number: int) -> Utterance:
        """The manifest row of an utterance."""
        return Utterance.from_dict(json.loads(self._item("manifest", number)))

    def damaged_items(self) -> list[str]:
        """One line for each utterance's features and each image whose CRC32 is not the one that was written."""
        faults = []
        for name, ids, what in (("logmel", self.ids, "features of utterance"), ("image", self.image_ids, "image")):
            for number, expected in enumerate(self._whole(f"{name}_crc32").tolist()):
                if zlib.crc32(self._item(name, number)) != expected:
                    faults.append(f"{self.path}: {what} {ids[number]} (number {number}) damaged")
        return faults

    def _item(self, name: str, number: int) -> bytes:
        start, end = self._offsets[name][number : number + 2].tolist()
        place = self._places[name]
        return self._read(place.offset + start * place.row_size, (end - start) * place.row_size)

    def _whole(self, name: str) -> np.ndarray:
        place = self._places[name]
        return np.frombuffer(self._read(place.offset, place.shape[0] * place.row_size), place.dtype).reshape(place.shape)

    def _texts(self, name: str) -> list[str]:
        everything, offsets = self._whole(name).tobytes(), self._offsets[name].tolist()
        try:
            return [everything[start:end].decode() for start, end in pairwise(offsets)]
        except UnicodeDecodeError:
            raise self._error(f"{name} are damaged: not UTF-8") from None

    def _read(self, offset: int, size: int) -> bytes:
        data = os.pread(self._descriptor, size, offset)
        while len(data) < size:  # Linux reads at most 2 GiB at a time
            more = os.pread(self._descriptor, size - len(data), offset + len(data))
            if not more:
                raise self._error("was truncated while it was open")
            data += more
        return data

    def _check_settings(self) -> None:
        if self.attributes["features_hash"] != features.SETTINGS_HASH:
            theirs, ours = self.attributes["features"], features.SETTINGS
            differences = [f"{k} {theirs.get(k)!r} instead of {ours.get(k)!r}" for k in ours | theirs if theirs.get(k) != ours.get(k)]
            raise self._error(f"holds features of other settings ({', '.join(differences) or 'unknown'})")

    def _check_places(self, size: int) -> None:
        try:
            places = self._places
            lengths = {name: places[name].shape[0] for name in RAGGED}
            n, n_images, precision = places["image_index"].shape[0], places["image_crc32"].shape[0], places["logmel"].dtype
        except (KeyError, IndexError):
            raise self._error("a dataset is missing") from None
        if precision not in (np.dtype("<f2"), np.dtype("<f4")):
            raise self._error(f"features are of type {precision}, neither float16 nor float32")
        expected = layout(n, n_images, lengths, precision)
        for name, place in places.items():
            if place[1:] != expected.get(name):
                raise self._error(f"{name} is {place.dtype}{list(place.shape)}, which does not fit the others")
            if min(place.shape) < 0 or place.offset < HEADER_LENGTH or place.offset + place.shape[0] * place.row_size > size:
                raise self._error(f"{name} reaches beyond the file")
        if places.keys() != expected.keys():
            raise self._error("a dataset is missing")

    def _check_consistency(self) -> None:
        n_images = len(self._offsets["image"]) - 1
        for name, offsets in self._offsets.items():
            if offsets[0] != 0 or offsets[-1] != self._places[name].shape[0] or (offsets[1:] < offsets[:-1]).any():
                raise self._error(f"the offsets of {name} are damaged")
        if not len(self):
            raise self._error("holds no utterances")
        n_frames = np.diff(self._offsets["logmel"])
        if n_frames.min() < 1 or n_frames.max() > self.attributes["max_frames"]:
            raise self._error("an utterance has no frames, or more than max_frames")
        if self.image_index.min() < -1 or self.image_index.max() >= n_images or self.n_samples.min() < 0:
            raise self._error("an utterance names an image that is not there, or has a negative length")

    def _error(self, what: str) -> InputError:
        return InputError(f"{self.path}: {what}; prepare the split again")


def sha256_of_content(path: Path) -> str:
    """The SHA-256 of what follows the header, in bounded memory."""
    with path.open("rb") as f:
        f.seek(HEADER_LENGTH)
        return hashlib.file_digest(f, "sha256").hexdigest()


def verify(path: Path) -> list[str]:
    """What is wrong with a store, a line each; an empty list means that every byte is as it was written."""
    try:
        intact = Header.read(path).sha256 == sha256_of_content(path)
        faults = Store(path).damaged_items()
    except InputError as e:
        return [str(e)]
    if not faults and not intact:
        faults.append(f"{path}: damaged outside of features and images: in ids, manifest rows, offsets or HDF5's own structure")
    return faults
