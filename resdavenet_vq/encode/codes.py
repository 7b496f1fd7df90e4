"""The codes of a split, `codes/{split}.h5`: writing, opening, checking and reading them.

Layout: `ids` (N,), `manifest` (N,) the JSON of each utterance's manifest row, and for every quantizer a group `quantN`
with `codes` (total frames,) int32, all utterances one after another in the manifest's order, `offsets` (N + 1,) int64,
`codebook` (K, C) float32 and the attributes `frame_period` in seconds, `stride` in log-mel frames and `codebook_size`.

Units made elsewhere are a group `units` without `stride`. It may have `begins` (total frames,) uint8, 1 where a segment
begins, so that two neighbours with one code stay two, `labels` (K,), the names that the codes had, and the attribute
`gap`, the code of what lies between segments.
"""

from __future__ import annotations

import json
from collections.abc import Iterable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from functools import cached_property
from itertools import batched
from pathlib import Path
from typing import Any, NamedTuple

import h5py
import numpy as np

from resdavenet_vq.corpus.manifest import Interval, Utterance
from resdavenet_vq.encode.features import UNITS
from resdavenet_vq.encode.hdf5 import AGAIN, EncodedFile, layer_names, marks, offsets_divide
from resdavenet_vq.encode.hdf5_output import Rows, create, write_texts
from resdavenet_vq.encode.origin import Origin
from resdavenet_vq.encode.units import FrameTime, Runs, code_runs, runs
from resdavenet_vq.errors import InputError
from resdavenet_vq.hdf5 import GuardedFile, Items, faults_of
from resdavenet_vq.lineage import frame_stride


@contextmanager
def create_codes(
    path: Path, ids: Sequence[str], manifest: Iterable[Mapping[str, Any]], origin: Origin
) -> Iterator[h5py.File]:
    """A new codes file with its utterances; `add_codes` adds the layers."""
    with create(path, CodesFile.kind, origin) as file:
        write_texts(file, "ids", ids)
        rows = file.create_dataset("manifest", (len(ids),), h5py.string_dtype())
        for number, some in enumerate(batched(manifest, 1000)):
            texts_of_some = np.array([json.dumps(row, ensure_ascii=False) for row in some], object)
            rows[1000 * number : 1000 * number + len(some)] = texts_of_some
        yield file


def add_codes(
    file: h5py.File,
    layer: str,
    codebook: np.ndarray,
    n_frames: np.ndarray,
    frame_period: float,
    *,
    marked: bool = False,
    labels: Sequence[str] = (),
    gap: int | None = None,
) -> Rows:
    """A layer of a codes file, to be filled; `n_frames` (N,) are the utterances' frames in this layer.

    With `marked` the rows have marks where segments begin; `labels` (K,) are names of the codes, and `gap` is that of
    what lies between segments.
    """
    group = file.create_group(layer)
    group["codebook"] = codebook
    group.attrs.update(frame_period=frame_period, codebook_size=len(codebook))
    if layer != UNITS:
        group.attrs["stride"] = frame_stride(layer)
    if labels:
        write_texts(group, "labels", labels)
    if gap is not None:
        group.attrs["gap"] = gap
    return Rows(group, "codes", n_frames, marked=marked)


def frame_time_of(layer: str, recipe: FrameTime) -> FrameTime:
    """Where the frames of a layer lie in time: as the recipe says, but units made elsewhere begin when they say they do."""
    return "published" if layer == UNITS else recipe


class CodesFile(EncodedFile):
    """One layer of a codes file, read block by block: its `codebook` (K, C), and `offsets` (N + 1,) of utterances.

    `labels` are the K names that its codes had elsewhere, or None; `gap` is the code of what lies between segments, or
    None.
    """

    kind = "codes"

    def __init__(self, path: Path, layer: str) -> None:
        self.layer = layer
        super().__init__(path)

    def _read(self, file: GuardedFile) -> None:
        group = self._group(self.layer)
        self._manifest = file.items("manifest", None, text=True)
        self._ids = file.items("ids", len(self._manifest), text=True)
        self._codes = file.numbers(f"{group}/codes", [np.int32], (None,))
        self.offsets: np.ndarray = file.numbers(f"{group}/offsets", [np.int64], (len(self._manifest) + 1,))[:]
        self.codebook: np.ndarray = file.numbers(f"{group}/codebook", [np.float32], (None, None))[:]
        self.codebook_size = len(self.codebook)
        self.frame_period = self._frame_period(group)
        self._begins = marks(file, group, len(self._codes))
        gap = file.attribute("gap", group, default=-1)
        self._check(gap.is_integer() and -1 <= gap < self.codebook_size, f"gap {gap:g} and codebook of {self.layer}")
        self.gap = int(gap) if gap >= 0 else None
        fits = self.codebook.size > 0 and offsets_divide(self.offsets, len(self._codes), len(self._manifest))
        self._check(fits, f"manifest, codes and offsets of {self.layer}")
        has_labels = file.has(f"{group}/labels")
        self.labels = file.items(f"{group}/labels", self.codebook_size, text=True).texts() if has_labels else None

    @cached_property
    def ids(self) -> list[str]:
        """The utterances' ids."""
        return self._ids.texts()

    def codes(self, start: int, stop: int) -> list[np.ndarray]:
        """The codes (frames,) of utterances start ... stop - 1."""
        first = self.offsets[start]
        codes = self._codes[first : self.offsets[stop]]
        if len(codes) and (codes.min() < 0 or codes.max() >= self.codebook_size):
            raise InputError(f"{self.path}: {self.layer} holds codes outside 0 ... {self.codebook_size - 1}; {AGAIN}")
        return np.split(codes, self.offsets[start + 1 : stop] - first) if stop > start else []

    def begins(self, start: int, stop: int) -> list[np.ndarray] | None:
        """Where segments begin (frames,) in utterances start ... stop - 1; None where only a change of code begins one."""
        if self._begins is None:
            return None
        first = self.offsets[start]
        marked = self._begins[first : self.offsets[stop]].astype(bool)
        return np.split(marked, self.offsets[start + 1 : stop] - first) if stop > start else []

    def manifest(self, start: int, stop: int) -> list[dict[str, Any]]:
        """The manifest rows of utterances start ... stop - 1, as they were written."""
        return _manifest_rows(self.path, self._manifest, start, stop)

    def __len__(self) -> int:
        return len(self._manifest)


def _manifest_rows(path: Path, manifest: Items, start: int, stop: int) -> list[dict[str, Any]]:
    with faults_of(path, AGAIN):
        return [dict(json.loads(row)) for row in manifest.texts(start, stop)]


class LayerCodes(NamedTuple):
    """All codes of a layer: utterance i has offsets[i]:offsets[i + 1]. The frame period is in seconds."""

    codes: np.ndarray
    offsets: np.ndarray
    frame_period: float
    codebook_size: int
    begins: np.ndarray | None = None
    """(F,) where segments begin; None where only a change of code begins one."""
    labels: list[str] | None = None
    """The names that the codes had elsewhere."""

    @property
    def runs(self) -> Runs:
        """The runs of all utterances."""
        return runs(self.codes, self.offsets, self.begins)


class SplitCodes(EncodedFile):
    """A codes file in all its `layers`, by the utterances' ids; a layer is read as a whole when it is first used."""

    kind = "codes"

    def _read(self, file: GuardedFile) -> None:
        self.layers, self._manifest = layer_names(file), file.items("manifest", None, text=True)
        self._ids = file.items("ids", len(self._manifest), text=True)
        self._whole: dict[str, LayerCodes] = {}

    def __len__(self) -> int:
        return len(self._manifest)

    @cached_property
    def ids(self) -> list[str]:
        """The utterances' ids."""
        return self._ids.texts()

    def utterance(self, number: int) -> Utterance:
        """The manifest row of an utterance, which memory does not keep."""
        (row,) = _manifest_rows(self.path, self._manifest, number, number + 1)
        try:
            return Utterance.from_dict(row)
        except InputError as e:
            raise InputError(f"{self.path}: {e}; {AGAIN}") from None

    @cached_property
    def _numbers(self) -> dict[str, int]:
        return {utterance_id: i for i, utterance_id in enumerate(self.ids)}

    def tiers(self, utterance_id: str, frame_time: FrameTime) -> Iterator[tuple[str, tuple[Interval, ...]]]:
        """Each layer and the runs of an utterance in it; nothing if it was not encoded."""
        for layer in self.layers:
            if (tier := self.tier(layer, utterance_id, frame_time)) is not None:
                yield layer, tier

    def tier(self, layer: str, utterance_id: str, frame_time: FrameTime) -> tuple[Interval, ...] | None:
        """The runs of an utterance in one layer as intervals in seconds; None if it was not encoded."""
        if (number := self._numbers.get(utterance_id)) is None:
            return None
        of_all = self.layer(layer)
        rows = slice(*of_all.offsets[number : number + 2])
        begins = None if of_all.begins is None else of_all.begins[rows]
        return code_runs(of_all.codes[rows], of_all.frame_period, frame_time_of(layer, frame_time), begins)

    def read(self, layer: str, utterance_id: str) -> tuple[np.ndarray, float] | None:
        """Codes (T,) and frame period of one utterance in one layer; None if it was not encoded."""
        if (number := self._numbers.get(utterance_id)) is None:
            return None
        of_all = self.layer(layer)
        return of_all.codes[slice(*of_all.offsets[number : number + 2])], of_all.frame_period

    def layer(self, name: str) -> LayerCodes:
        """All codes of a layer."""
        if name not in self._whole:
            with CodesFile(self.path, name) as file:
                codes = np.concatenate([np.zeros(0, np.int32), *file.codes(0, len(file))])
                begins = file.begins(0, len(file))
                marked = None if begins is None else np.concatenate([np.zeros(0, bool), *begins])
                about = file.frame_period, file.codebook_size, marked, file.labels
                self._whole[name] = LayerCodes(codes, file.offsets, *about)
        return self._whole[name]
