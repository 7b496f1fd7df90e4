"""One file of a store: features, images and manifest rows of a split, or of a part of it, as contiguous HDF5 datasets.

Contiguous data have a fixed place in the file, so items are read with `os.pread`: without HDF5's
lock, from any number of processes. Items of unequal length are one dataset of all their elements,
one of offsets (items + 1) and, for the large ones, one of CRC32s:

    logmel    (frames, 40) float16|float32   logmel_offsets    logmel_crc32     by utterance
    manifest  (bytes,) uint8, JSON           manifest_offsets  manifest_crc32   by utterance
    ids       (bytes,) uint8, UTF-8          ids_offsets                        by utterance
    image     (bytes,) uint8, JPEG|PNG       image_offsets     image_crc32      by image
    image_ids (bytes,) uint8, UTF-8          image_ids_offsets                  by image
    image_index, n_samples  (utterances,) int64

With a reader other than `store` (see `sources`), `logmel` and `image` are not there: their offsets are the lengths
that they would have, and `logmel_crc32` is that of what the features are made from. `release_2020` adds
`source_row` (utterances,) int64, the row of each utterance in the files of 2020.

The file begins with a header of ours in HDF5's user block: a line of JSON with the attributes, the
place of every dataset, the SHA-256 of every column (every dataset but `logmel`, `manifest` and `image`),
the size of the file and the SHA-256 of all that follows. Stores are read by their header alone, never
through the HDF5 library, which may hang on a flipped bit and follows links to other files; for
everyone else it is an ordinary HDF5 file.

Nothing is used that is not as it was prepared: the header has a checksum of its own, columns are
compared with the header when the file is opened, an item with its CRC32 whenever it is read.
"""

from __future__ import annotations

import hashlib
import json
import os
import weakref
import zlib
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from functools import cached_property
from itertools import pairwise
from pathlib import Path

import numpy as np

from resdavenet_vq import files
from resdavenet_vq.corpus.manifest import Utterance
from resdavenet_vq.data import features, sources
from resdavenet_vq.data.store_format import HEADER_LENGTH, RAGGED, WITH_CRC32, Header, datasets_inside, layout
from resdavenet_vq.errors import InputError

_LINUX_READS = 0x7FFFF000  # the most bytes that one call reads on Linux
_ITEMS = {"logmel": "features of utterance", "manifest": "manifest row of utterance", "image": "image"}


class StoreFile:
    """A file opened for reading, safe in forked processes; see `store.Store`. It may have no utterances."""

    def __init__(self, path: Path) -> None:
        self.path = path
        header = Header.read(path)
        self.attributes, self._places = header.attributes, header.places
        if self.attributes["complete"] is not True:
            raise self._error("is incomplete")
        self._check_settings()
        self.precision = np.dtype(self.attributes["precision"]).newbyteorder("<")
        self._source = sources.open_source(self.attributes)
        self._file = files.open_regular(path)
        weakref.finalize(self, self._file.close)
        self._check_places(header.size)
        self._columns = {name: self._column(name) for name in self._places if name not in WITH_CRC32}
        self._offsets = {name: self._columns[f"{name}_offsets"] for name in RAGGED}
        self.crc32 = {name: self._columns[f"{name}_crc32"] for name in WITH_CRC32}
        """Checksums of the items, by the names in WITH_CRC32."""
        self.image_index, self.n_samples = self._columns["image_index"], self._columns["n_samples"]
        self._source_row = self._columns.get("source_row")
        """(utterances,): the row of each in the corpus, where its source needs it."""
        self._check_consistency()
        self.n_frames = np.diff(self._offsets["logmel"])

    def __len__(self) -> int:
        return len(self.image_index)

    @cached_property
    def sha256(self) -> str:
        """See `Store.sha256`."""
        meaning = {name: self.attributes[name] for name in ("reader", "precision", "features_hash", "max_frames")}
        columns = {name: self._places[name].sha256 for name in self._columns}
        return hashlib.sha256(json.dumps([meaning, columns], sort_keys=True).encode()).hexdigest()

    @cached_property
    def ids(self) -> list[str]:
        """Of the utterances."""
        return self._texts("ids")

    @cached_property
    def image_ids(self) -> list[str]:
        """Of the images."""
        return self._texts("image_ids")

    def logmel(self, number: int) -> np.ndarray:
        """See `Store.logmel`."""
        if self._source is None:
            return np.frombuffer(self._item("logmel", number), self.precision).reshape(-1, features.N_MELS)
        wav, row = self.utterance(number).wav, self._row(number)
        file = self._source.audio_file(wav)
        with self._reading():
            if self._source.audio_crc32(wav, row) != self.crc32["logmel"][number]:
                raise InputError(f"{file}: has changed, in utterance {self.ids[number]}")
            logmel, _ = self._source.logmel(wav, row)
            if len(logmel) != self.n_frames[number]:
                raise InputError(f"{file}: gives {len(logmel)} frames instead of {self.n_frames[number]}")
        return logmel

    def image(self, number: int) -> bytes:
        """See `Store.image`."""
        if self._source is None:
            return self._item("image", number)
        shown_by = int(self._first_to_show[number])
        image, row = self.utterance(shown_by).image, self._row(shown_by)
        if image is None:
            raise self._error(f"image {self.image_ids[number]} has no file")
        with self._reading():
            data = self._source.image(image, row)
            if zlib.crc32(data) != self.crc32["image"][number]:
                raise InputError(f"{self._source.image_file(image)}: has changed, in image {self.image_ids[number]}")
        return data

    def utterance(self, number: int) -> Utterance:
        """The manifest row of an utterance."""
        row = self._item("manifest", number)
        try:
            return Utterance.from_dict(json.loads(row))
        except (ValueError, RecursionError, InputError):
            raise self._error(f"{self._name('manifest', number)} is no row of a manifest") from None

    def check_bytes(self) -> None:
        """Raises InputError for the first item of this file that is not as it was prepared; none is taken apart."""
        for name in WITH_CRC32:
            if name in self._places:
                for number in range(len(self.crc32[name])):
                    self._item(name, number)

    def damaged_items(self) -> list[str]:
        """One line for each damaged item: it has changed, or cannot be read."""
        readers: dict[str, Callable[[int], object]]
        readers = {"logmel": self.logmel, "manifest": self.utterance, "image": self.image}
        faults: list[str] = []
        for name in WITH_CRC32:
            for number in range(len(self.crc32[name])):
                try:
                    readers[name](number)
                except InputError as e:
                    faults.append(str(e))
        return list(dict.fromkeys(faults))  # all that needs a damaged manifest row tells of it

    @cached_property
    def _first_to_show(self) -> np.ndarray:
        """(images,): the first utterance with each image."""
        first, pairs = np.zeros(len(self._offsets["image"]) - 1, np.int64), np.flatnonzero(self.image_index >= 0)[::-1]
        first[self.image_index[pairs]] = pairs
        return first

    def _row(self, number: int) -> int:
        return -1 if self._source_row is None else int(self._source_row[number])

    @contextmanager
    def _reading(self) -> Iterator[None]:
        """Says what to do about a source that cannot be read, or has changed."""
        try:
            yield
        except InputError as e:
            remedy = "put it back as it was, or prepare the split again"
            raise InputError(f"{e}; {self.path} was prepared from it: {remedy}") from None

    def _item(self, name: str, number: int) -> bytes:
        """The bytes of an item, which are those that were prepared."""
        start, end = self._offsets[name][number : number + 2].tolist()
        place = self._places[name]
        data = self._read(place.offset + start * place.row_size, (end - start) * place.row_size)
        if zlib.crc32(data) != self.crc32[name][number]:
            raise self._error(f"{self._name(name, number)} damaged")
        return data

    def _name(self, name: str, number: int) -> str:
        ids = self.image_ids if name == "image" else self.ids
        return f"{_ITEMS[name]} {ids[number]} (number {number})"

    def _column(self, name: str) -> np.ndarray:
        """A whole column, whose bytes are those that were prepared."""
        place = self._places[name]
        data = self._read(place.offset, place.shape[0] * place.row_size)
        if hashlib.sha256(data).hexdigest() != place.sha256:
            raise self._error(f"{name} damaged, or of another store than the header")
        return np.frombuffer(data, place.dtype).reshape(place.shape)

    def _texts(self, name: str) -> list[str]:
        everything, offsets = self._columns[name].tobytes(), self._offsets[name].tolist()
        try:
            return [everything[start:end].decode() for start, end in pairwise(offsets)]
        except UnicodeDecodeError:
            raise self._error(f"{name} are damaged: not UTF-8") from None

    def _read(self, offset: int, size: int) -> bytes:
        with files.reading(self.path):
            data = os.pread(self._file.fileno(), size, offset)
            while len(data) < size:
                more = os.pread(self._file.fileno(), min(size - len(data), _LINUX_READS), offset + len(data))
                if not more:
                    raise self._error("was truncated while it was open")
                data += more
        return data

    def _check_settings(self) -> None:
        if self.attributes["features_hash"] != features.SETTINGS_HASH:
            theirs, ours = self.attributes["features"], features.SETTINGS
            others = [k for k in ours | theirs if theirs.get(k) != ours.get(k)]
            differences = ", ".join(f"{k} {theirs.get(k)!r} instead of {ours.get(k)!r}" for k in others)
            raise self._error(f"holds features of other settings ({differences or 'unknown'})")

    def _check_places(self, size: int) -> None:
        places, reader = self._places, self.attributes["reader"]
        try:
            lengths = {name: places[name].shape[0] for name in datasets_inside(reader)}
            n, n_images = places["image_index"].shape[0], places["image_crc32"].shape[0]
        except (KeyError, IndexError):
            raise self._error("a dataset is missing") from None
        expected = layout(n, n_images, lengths, self.precision, reader)
        for name, place in places.items():
            if (place.shape, place.dtype) != expected.get(name):
                raise self._error(f"{name} is {place.dtype}{list(place.shape)}, which does not fit the others")
            end = place.offset + place.shape[0] * place.row_size
            if min(place.shape) < 0 or place.offset < HEADER_LENGTH or end > size:
                raise self._error(f"{name} reaches beyond the file")
        if places.keys() != expected.keys():
            raise self._error("a dataset is missing")

    def _check_consistency(self) -> None:
        n_images = len(self._offsets["image"]) - 1
        for name, offsets in self._offsets.items():
            length = self._places[name].shape[0] if name in self._places else offsets[-1]
            if offsets[0] != 0 or offsets[-1] != length or (offsets[1:] < offsets[:-1]).any():
                raise self._error(f"the offsets of {name} are damaged")
        if not len(self):
            return
        n_frames = np.diff(self._offsets["logmel"])
        if n_frames.min() < 1 or n_frames.max() > self.attributes["max_frames"]:
            raise self._error("an utterance has no frames, or more than max_frames")
        if self.image_index.min() < -1 or self.image_index.max() >= n_images or self.n_samples.min() < 0:
            raise self._error("an utterance names an image that is not there, or has a negative length")
        if self._source_row is not None:
            least, most, rows = self._source_row.min(), self._source_row.max(), self.attributes["release"]["rows"]
            if least < 0 or most >= rows:
                raise self._error("an utterance has a row that is not there")

    def _error(self, what: str) -> InputError:
        return InputError(f"{self.path}: {what}; prepare the split again")


def sha256_of_content(path: Path) -> str:
    """The SHA-256 of what follows the header, in bounded memory."""
    with path.open("rb") as f:
        f.seek(HEADER_LENGTH)
        return hashlib.file_digest(f, "sha256").hexdigest()
