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

With a reader other than `store` (see `sources`), `logmel` and `image` are not there: their offsets are the lengths
that they would have, and `logmel_crc32` is that of what the features are made from. `release_2020` adds
`source_row` (utterances,) int64, the row of the 2020 files in which each utterance stands.

A split that was prepared in shards has a small store that points to theirs (see `gathering`): it holds all of the above but
`logmel`, `manifest` and `image`, and in their place

    shard  image_shard         <u4     by utterance and by image: the number of its shard
    logmel_at  manifest_at     int64   by utterance: where in that shard's file the item begins, in bytes
    image_at                   int64   by image
    shards     (bytes,) uint8, JSON    path, size and SHA-256 of each shard

The file begins with a header of ours in HDF5's user block: a line of JSON with the attributes, the
place of every dataset, the size of the file and the SHA-256 of all that follows. Stores are read by
their header alone, never through the HDF5 library, which may hang on a flipped bit and follows links
to other files; for everyone else it is an ordinary HDF5 file.
"""

from __future__ import annotations

import hashlib
import json
import os
import weakref
import zlib
from collections.abc import Iterator
from contextlib import contextmanager
from functools import cached_property, partial
from itertools import pairwise
from pathlib import Path
from typing import Any

import numpy as np

from resdavenet_vq.corpus.manifest import Utterance
from resdavenet_vq.data import features, sources
from resdavenet_vq.data.shard_files import ShardFiles, read_on, shards_from
from resdavenet_vq.data.store_format import (
    BY_IMAGE,
    HEADER_LENGTH,
    IN_INDEX,
    INDEX_FORMAT,
    RAGGED,
    WITH_CRC32,
    Header,
    Layout,
    index_layout,
    layout,
    pointed_to,
    stored,
)
from resdavenet_vq.errors import InputError

__all__ = ["Header", "Store", "sha256_of_content", "verify"]


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
    precision
        The type of the features, float16 or float32.
    attributes
        reader, release (of the reader `release_2020`: where its JSON file is, and rows), precision, features (settings),
        features_hash, max_frames, command, versions, complete.
    """

    def __init__(self, path: Path, *, may_be_empty: bool = False) -> None:
        self.path = Path(path)
        header = Header.read(self.path)
        self._shards: ShardFiles | None = None
        self.is_index = header.format == INDEX_FORMAT
        self.attributes, self._places = header.attributes, header.places
        if self.attributes["complete"] is not True:
            raise self._error("is incomplete")
        self._check_settings()
        self.precision = np.dtype(self.attributes["precision"]).newbyteorder("<")
        self._source = sources.open_source(self.attributes)
        self._descriptor = os.open(self.path, os.O_RDONLY)
        weakref.finalize(self, os.close, self._descriptor)
        self._check_places(header.size)
        self._offsets = {name: self._whole(f"{name}_offsets") for name in RAGGED}
        self.image_index = self._whole("image_index")
        self.n_samples = self._whole("n_samples")
        if self.is_index:
            self._point_to_shards()
        self._check_consistency(may_be_empty=may_be_empty)
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
        """The features (T, 40) of an utterance in dB, of the store's precision; perhaps a read-only array.

        With a reader other than `store`, raises InputError if what they are made from is gone or has changed.
        """
        if self._source is None:
            return np.frombuffer(self._item("logmel", number), self.precision).reshape(-1, features.N_MELS)
        wav, row = self.utterance(number).wav, self._row(number)
        with self._reading():
            if self._source.audio_crc32(wav, row) != self._crc32["logmel"][number]:
                raise InputError(f"{self._source.audio_file(wav)}: has changed, in utterance {self.ids[number]}")
            logmel, _ = self._source.logmel(wav, row)
            if len(logmel) != self.n_frames[number]:
                raise InputError(
                    f"{self._source.audio_file(wav)}: gives {len(logmel)} frames instead of {self.n_frames[number]}"
                )
        return logmel

    def image(self, number: int) -> bytes:
        """The encoded file of an image, by the image's number. Raises InputError as `logmel` does."""
        if self._source is None:
            return self._item("image", number)
        shown_by = int(self._first_to_show[number])
        image, row = self.utterance(shown_by).image, self._row(shown_by)
        if image is None:
            raise self._error(f"image {self.image_ids[number]} has no file")
        with self._reading():
            data = self._source.image(image, row)
            if zlib.crc32(data) != self._crc32["image"][number]:
                raise InputError(f"{self._source.image_file(image)}: has changed, in image {self.image_ids[number]}")
        return data

    def utterance(self, number: int) -> Utterance:
        """The manifest row of an utterance."""
        try:
            return Utterance.from_dict(json.loads(self._item("manifest", number)))
        except (ValueError, RecursionError, InputError):
            raise self._error(f"the manifest row of utterance {number} is damaged") from None

    def damaged_items(self, *, with_sources: bool = True) -> list[str]:
        """One line for each utterance's features and each image that are not as they were, or cannot be read where they come from."""
        faults: list[str] = []
        if self._source is not None and not with_sources:
            return faults
        for name, ids, what in (("logmel", self.ids, "features of utterance"), ("image", self.image_ids, "image")):
            for number, expected in enumerate(self._crc32[name].tolist()):
                if self._source is None:
                    if zlib.crc32(self._item(name, number)) != expected:
                        faults.append(f"{self.path}: {what} {ids[number]} (number {number}) damaged")
                    continue
                try:
                    self.logmel(number) if name == "logmel" else self.image(number)
                except InputError as e:
                    faults.append(str(e))
        return faults

    def column(self, name: str) -> np.ndarray:
        """A small dataset as it stands in the file, such as `logmel_offsets` or `image_crc32`."""
        return self._whole(name)

    def positions(self, name: str) -> np.ndarray:
        """(items,) int64: where in the file each of a large dataset's items begins, in bytes; of a store without shards."""
        place = self._places[name]
        positions: np.ndarray = place.offset + self._offsets[name][:-1] * place.row_size
        return positions

    @cached_property
    def _crc32(self) -> dict[str, np.ndarray]:
        return {name: self._whole(f"{name}_crc32") for name in WITH_CRC32}

    @cached_property
    def _source_row(self) -> np.ndarray:
        return self._whole("source_row")

    @cached_property
    def _first_to_show(self) -> np.ndarray:
        """(images,): the first utterance with each image."""
        first, pairs = np.zeros(len(self._offsets["image"]) - 1, np.int64), np.flatnonzero(self.image_index >= 0)[::-1]
        first[self.image_index[pairs]] = pairs
        return first

    def _row(self, number: int) -> int:
        """The row of the corpus that an utterance stands in, where its source needs it."""
        return int(self._source_row[number]) if "source_row" in self._places else -1

    @contextmanager
    def _reading(self) -> Iterator[None]:
        """Says what to do about a source that cannot be read, or has changed."""
        try:
            yield
        except InputError as e:
            raise InputError(
                f"{e}; {self.path} was prepared from it: put it back as it was, or prepare the split again"
            ) from None

    def _item(self, name: str, number: int) -> bytes:
        start, end = self._offsets[name][number : number + 2].tolist()
        if self._shards is not None:
            shard = self._shard_of["image" if name in BY_IMAGE else "utterance"]
            size = (end - start) * (self.precision.itemsize * features.N_MELS if name == "logmel" else 1)
            return self._shards.read(int(shard[number]), int(self._at[name][number]), size)
        place = self._places[name]
        return self._read(place.offset + start * place.row_size, (end - start) * place.row_size)

    def _whole(self, name: str) -> np.ndarray:
        place = self._places[name]
        return np.frombuffer(self._read(place.offset, place.shape[0] * place.row_size), place.dtype).reshape(
            place.shape
        )

    def _texts(self, name: str) -> list[str]:
        everything, offsets = self._whole(name).tobytes(), self._offsets[name].tolist()
        try:
            return [everything[start:end].decode() for start, end in pairwise(offsets)]
        except UnicodeDecodeError:
            raise self._error(f"{name} are damaged: not UTF-8") from None

    def _read(self, offset: int, size: int) -> bytes:
        data = os.pread(self._descriptor, size, offset)
        return data if len(data) == size else read_on(self._descriptor, data, offset, size, self._error)

    def _check_settings(self) -> None:
        if self.attributes["features_hash"] != features.SETTINGS_HASH:
            theirs, ours = self.attributes["features"], features.SETTINGS
            differences = [
                f"{k} {theirs.get(k)!r} instead of {ours.get(k)!r}"
                for k in ours | theirs
                if theirs.get(k) != ours.get(k)
            ]
            raise self._error(f"holds features of other settings ({', '.join(differences) or 'unknown'})")

    def _check_places(self, size: int) -> None:
        try:
            places = self._places
            expected = self._expected()
        except (KeyError, IndexError):
            raise self._error("a dataset is missing") from None
        for name, place in places.items():
            if place[1:] != expected.get(name):
                raise self._error(f"{name} is {place.dtype}{list(place.shape)}, which does not fit the others")
            if (
                min(place.shape) < 0
                or place.offset < HEADER_LENGTH
                or place.offset + place.shape[0] * place.row_size > size
            ):
                raise self._error(f"{name} reaches beyond the file")
        if places.keys() != expected.keys():
            raise self._error("a dataset is missing")

    def _expected(self) -> Layout:
        """The layout that datasets of such lengths should have."""
        places, reader = self._places, self.attributes["reader"]
        lengths = {name: places[name].shape[0] for name in ((*IN_INDEX, "shards") if self.is_index else stored(reader))}
        n, n_images = places["image_index"].shape[0], places["image_crc32"].shape[0]
        return (index_layout if self.is_index else layout)(n, n_images, lengths, self.precision, reader)

    def _point_to_shards(self) -> None:
        """Reads where everything is in the shards, and checks that it can be there."""
        try:
            shards = shards_from(self._whole("shards").tobytes())
        except (ValueError, TypeError, AttributeError, RecursionError):
            raise self._error("the list of shards is damaged") from None
        self._shard_of = {"utterance": self._whole("shard"), "image": self._whole("image_shard")}
        self._at = {name: self._whole(f"{name}_at") for name in pointed_to(self.attributes["reader"])}
        sizes = np.array([shard.size for shard in shards], np.int64)
        if max(int(of.max(initial=0)) for of in self._shard_of.values()) >= len(shards):
            raise self._error("an item is in a shard that is not there")
        for name, at in self._at.items():
            lengths = np.diff(self._offsets[name]) * (
                self.precision.itemsize * features.N_MELS if name == "logmel" else 1
            )
            shard = self._shard_of["image" if name in BY_IMAGE else "utterance"]
            if (lengths < 0).any() or (at < HEADER_LENGTH).any() or (at > sizes[shard] - lengths).any():
                raise self._error(f"{name} reaches beyond a shard")
        self._shards = ShardFiles(self.path, shards)

    def _check_consistency(self, *, may_be_empty: bool) -> None:
        n_images = len(self._offsets["image"]) - 1
        for name, offsets in self._offsets.items():
            length = self._places[name].shape[0] if name in self._places else offsets[-1]
            if offsets[0] != 0 or offsets[-1] != length or (offsets[1:] < offsets[:-1]).any():
                raise self._error(f"the offsets of {name} are damaged")
        if not len(self):
            if may_be_empty:
                return
            raise self._error("holds no utterances")
        n_frames = np.diff(self._offsets["logmel"])
        if n_frames.min() < 1 or n_frames.max() > self.attributes["max_frames"]:
            raise self._error("an utterance has no frames, or more than max_frames")
        if self.image_index.min() < -1 or self.image_index.max() >= n_images or self.n_samples.min() < 0:
            raise self._error("an utterance names an image that is not there, or has a negative length")
        if (
            "source_row" in self._places
            and not 0 <= self._source_row.min() <= self._source_row.max() < self.attributes["release"]["rows"]
        ):
            raise self._error("an utterance stands in a row that is not there")

    def _error(self, what: str) -> InputError:
        return InputError(f"{self.path}: {what}; prepare the split again")

    def damaged_shards(self) -> list[str]:
        """What is wrong with the shards that this store points to, a line each."""
        return [] if self._shards is None else self._shards.faults(partial(verify, with_sources=False))


def sha256_of_content(path: Path) -> str:
    """The SHA-256 of what follows the header, in bounded memory."""
    with path.open("rb") as f:
        f.seek(HEADER_LENGTH)
        return hashlib.file_digest(f, "sha256").hexdigest()


def verify(path: Path, *, with_sources: bool = True) -> list[str]:
    """What is wrong with a store, a line each; an empty list means that every byte is as it was written.

    With a reader other than `store` everything is then read again where it comes from, unless told not to.
    """
    try:
        intact = Header.read(path).sha256 == sha256_of_content(path)
        store = Store(path, may_be_empty=True)
        faults = store.damaged_shards()
        holds_items = store.attributes["reader"] == "store" and not store.is_index
        if holds_items or (store.attributes["reader"] != "store" and intact and with_sources):
            faults += store.damaged_items()
    except InputError as e:
        return [str(e)]
    if not faults and not intact:
        faults.append(
            f"{path}: damaged outside of features and images: in ids, manifest rows, offsets or HDF5's own structure"
        )
    return faults
