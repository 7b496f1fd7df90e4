"""The store of a split: one file (see `store_file`), or a folder of parts that read as if they were one.

Part i of a split is `folder/i.h5`. Utterances and images have the numbers that they have in the undivided split:
utterances in the order of the parts, images in the order of the first utterance with each of them.
"""

from __future__ import annotations

import hashlib
from collections.abc import Sequence
from functools import cached_property
from pathlib import Path
from typing import Any

import numpy as np

from resdavenet_vq.corpus.manifest import Utterance
from resdavenet_vq.data.store_file import StoreFile, sha256_of_content
from resdavenet_vq.data.store_format import IMAGE_SIZE, PART, Header
from resdavenet_vq.errors import InputError, listed
from resdavenet_vq.files import reading

_ALIKE = ("reader", "release", "precision", "features_hash", "max_frames", "command", "rows_per_part", IMAGE_SIZE)
"""Attributes that the parts of a split share."""


class Store:
    """A store opened for reading, by its file or by the folder of its parts. Picklable, and safe in forked processes.

    Raises InputError at once for a file that is missing, foreign, truncated, incomplete, inconsistent or made with
    other feature settings, for parts that are missing or of different settings, and if anything but features, images
    and manifest rows is not as it was prepared. Of these each is compared with its CRC32 whenever it is read.

    Of each utterance (N,) int64: `image_index`, the number of its image or -1; `n_frames`, at most
    `attributes["max_frames"]`; `n_samples` at 16 kHz of its whole audio, cut or not. `precision` is the type of the
    features; `attributes` are those of the header (see `store_format`).
    """

    def __init__(self, path: Path) -> None:
        self.path = Path(path)
        self._files = list(map(StoreFile, _part_files(self.path)))
        if self.path.is_dir():
            _check_parts(self._files)
        self.attributes: dict[str, Any] = {k: v for k, v in self._files[0].attributes.items() if k != PART}
        self.precision = self._files[0].precision
        self.n_frames = np.concatenate([file.n_frames for file in self._files])
        self.n_samples = np.concatenate([file.n_samples for file in self._files])
        if not len(self.n_frames):
            raise InputError(f"{self.path}: holds no utterances; prepare the split again")
        self._starts = np.cumsum([0, *map(len, self._files)])
        self.image_index = self._number_images()

    def __reduce__(self) -> tuple[Any, ...]:
        return _open_again, (self.path, self.sha256)

    def __len__(self) -> int:
        return len(self.n_frames)

    @cached_property
    def ids(self) -> list[str]:
        """Ids of the utterances."""
        return [utterance_id for file in self._files for utterance_id in file.ids]

    @cached_property
    def image_ids(self) -> list[str]:
        """Ids of the images."""
        return [self._files[file].image_ids[number] for file, number in self._image_places]

    @cached_property
    def sha256(self) -> str:
        """The SHA-256 of everything that can be read from the store; of parts, one of theirs.

        That of the SHA-256 of every column (ids, offsets, indices, lengths, and the CRC32 of every item) and of what
        says how items are read: reader, precision, feature settings, max_frames. The columns were compared with
        theirs when the store was opened, and an item is compared with its CRC32 when it is read, so that this is the
        checksum of the bytes that are used, not a claim of the header.
        """
        whole = "".join(file.sha256 for file in self._files)
        return hashlib.sha256(whole.encode()).hexdigest() if self.path.is_dir() else whole

    @cached_property
    def _number_of(self) -> dict[str, int]:
        return {utterance_id: number for number, utterance_id in enumerate(self.ids)}

    def index(self, utterance_id: str) -> int:
        """The number of the utterance with an id. Raises InputError if there is none."""
        if utterance_id not in self._number_of:
            raise InputError(f"{self.path}: has no utterance {utterance_id!r}")
        return self._number_of[utterance_id]

    def logmel(self, number: int) -> np.ndarray:
        """The features (T, 40) of an utterance in dB, of the store's precision; perhaps a read-only array.

        Raises InputError if they are not as they were prepared; with a reader other than `store`, if what they are made
        from is gone or has changed.
        """
        file, number = self._place(number)
        return file.logmel(number)

    def image(self, number: int) -> bytes:
        """The encoded file of an image, by the image's number. Raises InputError as `logmel` does."""
        file, number = self._image_places[number]
        return self._files[file].image(number)

    def utterance(self, number: int) -> Utterance:
        """The manifest row of an utterance. Raises InputError if it is not as it was prepared."""
        file, number = self._place(number)
        return file.utterance(number)

    def _place(self, number: int) -> tuple[StoreFile, int]:
        """The file of an utterance, and its number there."""
        if not 0 <= number < len(self):
            raise IndexError(number)
        file = int(np.searchsorted(self._starts, number, side="right")) - 1
        return self._files[file], number - int(self._starts[file])

    def _number_images(self) -> np.ndarray:
        """The number of each utterance's image. Raises InputError if parts have different images of one id."""
        if len(self._files) == 1:
            file = self._files[0]
            self._image_places = [(0, number) for number in range(len(file.crc32["image"]))]
            return file.image_index
        self._image_places = []
        number_of: dict[str, int] = {}
        index = []
        for place, file in enumerate(self._files):
            numbers = np.full(len(file.image_ids) + 1, -1)  # the last for utterances without an image
            for own, image_id in enumerate(file.image_ids):
                number = numbers[own] = number_of.setdefault(image_id, len(number_of))
                if number == len(self._image_places):
                    self._image_places.append((place, own))
                first, first_own = self._image_places[number]
                if self._files[first].crc32["image"][first_own] != file.crc32["image"][own]:
                    raise InputError(
                        f"{file.path}: image {image_id} differs from that in {self._files[first].path}; are the rows in"
                        " the corpus's order? Remove both files and prepare the split again"
                    )
            index.append(numbers[file.image_index])
        return np.concatenate(index)


def _open_again(path: Path, sha256: str) -> Store:
    """The store of a path in another process. Raises InputError if it is not the one that was open."""
    store = Store(path)
    if store.sha256 != sha256:
        raise InputError(f"{path}: was replaced while it was open; run the same command again")
    return store


def _part_files(path: Path) -> list[Path]:
    """The file itself, or in a folder the parts in order. Raises InputError unless they are 0.h5, 1.h5, and so on."""
    with reading(path):
        if not path.is_dir():
            return [path]
        numbers = {int(file.stem) for file in path.glob("*.h5") if file.stem.isdecimal()}
    if not numbers:
        raise InputError(f"{path}: has no parts of a store; prepare the split first")
    missing = sorted(set(range(max(numbers))) - numbers)
    if missing:
        raise InputError(listed([f"{path}/{n}.h5: no such file; prepare the split again" for n in missing]))
    return [path / f"{number}.h5" for number in sorted(numbers)]


def _check_parts(files: Sequence[StoreFile]) -> None:
    """Raises InputError unless these are all the parts of one split, in order, prepared with the same settings."""
    first = files[0]
    settings = [{**file.attributes, **file.attributes.get(PART, {})} for file in files]
    for number, (file, part) in enumerate(zip(files, settings, strict=True)):
        if part.get("number") != number:
            raise InputError(f"{file.path}: is not part {number} of a split; remove it and prepare the split again")
        if part.get("split") != settings[0].get("split"):
            remedy = "remove the one that does not belong here, and prepare the split again"
            raise InputError(f"{file.path}: is part of another split than {first.path}; {remedy}")
        for name in _ALIKE:
            if part.get(name) != settings[0].get(name):
                raise InputError(f"{file.path}: {name} differs from that of {first.path}; prepare the split again")
        if part.get("last") and number < len(files) - 1:
            raise InputError(f"{files[number + 1].path}: comes after the last part, {file.path}; remove it")
    if not settings[-1].get("last"):
        fault = f"{len(files)}.h5: no such file, and {files[-1].path} is not the last part; prepare the split again"
        raise InputError(f"{first.path.parent}/{fault}")
    ids = [utterance_id for file in files for utterance_id in file.ids]
    if len(ids) != len(set(ids)):
        remedy = "remove the folder and prepare the split again"
        raise InputError(f"{first.path.parent}: an utterance is in two parts; {remedy}")


def verify(path: Path) -> list[str]:
    """What is wrong with a store, a line each; an empty list means that every byte is as it was written.

    With a reader other than `store` everything is then read again where it comes from.
    """
    try:
        faults = [fault for part in _part_files(path) for fault in _verify_file(part)]
        if not faults and path.is_dir():
            Store(path)
    except InputError as e:
        return [str(e)]
    return faults


def _verify_file(path: Path) -> list[str]:
    try:
        faults = StoreFile(path).damaged_items()
        if faults or Header.read(path).sha256 == sha256_of_content(path):
            return faults
    except InputError as e:
        return [str(e)]
    return [f"{path}: damaged in HDF5's own structure, which this software does not read; prepare the split again"]
