"""The cells of an ABX task, scored with fastabx, and the error from them: the one place where ABX touches torch.

A cell is all triples of one pair of phones (A and X are tokens of the first, B of the second), one context and one
speaker of A and B, in the across-speaker task also one speaker of X. Where the context may be any, it is no part of a
cell: one cell holds all tokens of the pair and speaker. Phones are triphones, phonemes, words or syllables. Its score is the share of its triples in which X
is not nearer to A than to B, ties counting one half.

Errors are averaged over the cells (contexts, and across speakers also the speakers of X) of a speaker of A and B, then
over these speakers, then over pairs of phones, as in the ZeroSpeech challenges. So each cell has a weight in the error:
1 / (pairs of phones x speakers of its pair x cells of its pair and speaker). The error of any group of cells is their
mean by these weights, and the mean of the groups, each by the sum of its weights, is the error again. All pairs of
phones weigh the same.

Memory: cells are built, and scored by fastabx, block by block, and of each its names, as numbers, and its error are kept;
fastabx gathers a bounded number of items at a time. On a CPU, continuous frames are read where they lie in the
features file, and those of a large layer are normalized as they are gathered, so that memory grows with the items and
cells but not with the frames; on a GPU the layer is copied there once. Of quantized frames a number each is kept, and
the table of distances between the units.
"""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any, NamedTuple

import numpy as np
import polars as pl
import torch
from fastabx import Batch, Dataset, InMemoryAccessor, Score, Task
from fastabx.distance import distance_function  # not public: a test names the version that it is known to fit

from resdavenet_vq import devices
from resdavenet_vq.errors import InputError
from resdavenet_vq.evaluation.abx.frames import Sequences
from resdavenet_vq.evaluation.abx.tasks import TASKS, Cells, Groups
from resdavenet_vq.progress import track

PHONES = ("#phone", "#phone_b")

NO_CELLS = pl.DataFrame(
    schema=dict.fromkeys((*PHONES, "speaker"), pl.String) | dict.fromkeys(("error", "weight"), pl.Float64)
)
"""The columns of cells that tables of them are made of."""

NORMALIZED_AT_ONCE = 256 << 20  # bytes of a layer that are copied to normalize it: faster than at every gathering


def score_cells(sequences: Sequences, groups: Groups, distance: str) -> dict[str, pl.DataFrame]:
    """The cells of each task that has any, scored block by block.

    Columns: `#phone` of A and X, `#phone_b`, `context`, `speaker` of A and B, across also `speaker_x`; `error` in
    percent, and `weight`, which sums to 1. Raises InputError where the distance is not for these frames.
    """
    device = devices.device()
    measure: Any = distance
    if sequences.units is None:
        if distance == "kl_symmetric":
            _check_probabilities(sequences)
    else:
        table = _distance_table(torch.from_numpy(sequences.units).to(device), distance)

        def measure(x: torch.Tensor, y: torch.Tensor) -> torch.Tensor:
            """Frame distances (n1, n2, s1, s2) of units (n1, s1, 1) and (n2, s2, 1)."""
            (n1, s1, _), (n2, s2, _) = x.shape, y.shape
            distances = table.index_select(0, x.reshape(-1)).index_select(1, y.reshape(-1))
            return distances.view(n1, s1, n2, s2).transpose(1, 2)

    dataset, names = Dataset(pl.DataFrame(), _Frames(sequences, device)), _Names.of(groups)
    scored: dict[str, pl.DataFrame] = {}
    for task in TASKS:
        tables = []
        for cells in track(groups.blocks(task), f"ABX {task} speakers", unit="blocks of cells"):
            own = Task.from_cells(dataset, _lists(cells, groups), is_symmetric=task == "within")
            scores = Score(own, measure, progress=False).cells["score"]
            tables.append(names.table(cells, groups).with_columns(error=100 * scores.cast(pl.Float64)))
        if tables:
            scored[task] = _weighted(pl.concat(tables, rechunk=True))
    return scored


def _lists(cells: Cells, groups: Groups) -> pl.DataFrame:
    """A block of cells as fastabx reads them."""
    columns = {f"index_{role}": groups.tokens.gather(of) for role, of in zip("abx", cells, strict=True)}
    return pl.DataFrame(columns).with_columns(header=pl.lit(""), description=pl.lit(""))


class _Names(NamedTuple):
    """The names of groups' phones, contexts and speakers, of a type that keeps the number of each."""

    phones: pl.Series
    contexts: pl.Series
    speakers: pl.Series

    @classmethod
    def of(cls, groups: Groups) -> _Names:
        """The names of these groups."""
        return cls(
            *(pl.Series(names, dtype=pl.Enum(names)) for names in (groups.phones, groups.contexts, groups.speakers))
        )

    def table(self, cells: Cells, groups: Groups) -> pl.DataFrame:
        """What is compared in a block of cells."""
        columns = {
            "#phone": self.phones.gather(groups.phone[cells.a]),
            "#phone_b": self.phones.gather(groups.phone[cells.b]),
            "context": self.contexts.gather(groups.context[cells.a]),
            "speaker": self.speakers.gather(groups.speaker[cells.a]),
        }
        if cells.x is not cells.a:
            columns["speaker_x"] = self.speakers.gather(groups.speaker[cells.x])
        return pl.DataFrame(columns)


class _Frames:
    """The frames of items, as fastabx reads them: numbers for each item, no objects.

    Where there are many, they are normalized as they are gathered, with no normalized copy of them all.
    """

    def __init__(self, sequences: Sequences, device: torch.device) -> None:
        self.device, self.is_normalized = device, False
        data = torch.from_numpy(sequences.data)
        self._data = (data if sequences.units is None else data[:, None]).to(device)
        self._start = sequences.ranges[:, 0]
        self._length = (sequences.ranges[:, 1] - self._start).astype(np.int32)
        self._is_late = self._has_null = False

    def __len__(self) -> int:
        return len(self._start)

    def __getitem__(self, i: int) -> torch.Tensor:
        frames: torch.Tensor = self.batched([i]).data[0]
        return frames

    def __iter__(self) -> Iterator[torch.Tensor]:
        return (self[i] for i in range(len(self)))

    def lengths(self, indices: list[int]) -> np.ndarray:
        """The number of frames of some items."""
        lengths: np.ndarray = self._length[indices]
        return lengths

    def normalize_(self) -> None:
        """From now on, what is gathered is normalized."""
        if self.is_normalized:
            return
        self.is_normalized = True
        if self._data.nbytes <= NORMALIZED_AT_ONCE:
            self._data = _normalized(self._data)
            return
        self._is_late, self._has_null = True, bool((self._data.norm(dim=1) == 0).any())

    def batched(self, indices: Any) -> Batch:
        """The frames (n, longest, width) of some items, each filled up with its last one, and their lengths.

        A null frame, which has no direction, gets that of equal values from fastabx, and a border that makes all frames
        one wider.
        """
        items = np.asarray(indices, np.int64)
        length = self._length[items]
        n, longest = len(items), int(length.max())
        places = self._start[items][:, None] + np.minimum(np.arange(longest), length[:, None] - 1)
        frames = self._data.index_select(0, torch.from_numpy(places.reshape(-1)).to(self.device))
        if self._is_late:
            if self._has_null:
                frames = _normalized(frames)
            else:
                frames.div_(frames.norm(dim=1, keepdim=True))
        return Batch(frames.view(n, longest, frames.shape[1]), torch.from_numpy(length).to(self.device))


def _normalized(vectors: torch.Tensor) -> torch.Tensor:
    """Vectors (K, C) as fastabx normalizes them for angular distances, with a border for null vectors: (K, C + 1)."""
    accessor = InMemoryAccessor({0: (0, len(vectors))}, vectors, vectors.device)
    accessor.normalize_()
    normalized: torch.Tensor = accessor.data
    return normalized


def _check_probabilities(sequences: Sequences) -> None:
    for start, end in sequences.ranges:
        rows = sequences.data[start:end]
        if rows.min() < 0 or np.abs(rows.sum(axis=1) - 1).max() > 1e-3:
            raise InputError(
                "abx.scoring.distance: 'kl_symmetric' compares probabilities, and these frames are none; "
                "use 'angular' or 'euclidean'"
            )


def _distance_table(vectors: torch.Tensor, distance: str) -> torch.Tensor:
    """The distances that fastabx gives to all pairs of (K, C) vectors: (K, K), exactly 0 on the diagonal."""
    if distance == "identical":
        table = vectors.new_ones(len(vectors), len(vectors))
    else:
        vectors = _normalized(vectors) if distance == "angular" else vectors
        kind: Any = distance
        table = distance_function(kind)(vectors[None], vectors[None])[0, 0]
    return table.fill_diagonal_(0)


def _weighted(cells: pl.DataFrame) -> pl.DataFrame:
    """Cells with one more column: `weight`, which sums to 1."""
    pairs, speakers = pl.struct(PHONES).n_unique(), pl.col("speaker").n_unique().over(PHONES)
    weight = 1 / (pairs * speakers * pl.len().over(*PHONES, "speaker"))
    return cells.with_columns(weight=weight)


def mean_error(cells: pl.DataFrame) -> float:
    """The error of a task, in percent."""
    return float(cells.select(pl.col("error").dot("weight") / pl.col("weight").sum()).item())


def by_phones(cells: dict[str, pl.DataFrame]) -> pl.DataFrame:
    """A row for each ordered pair of phones: the mean of `within_error` is the error within, likewise across.

    Columns `phone_ax`, `phone_b`, `within_error`, `within_cells`, `across_error`, `across_cells`; errors are in
    percent, and empty where the task has no cell of the pair.
    """
    empty = next(iter(cells.values()), NO_CELLS).clear()
    within, across = (
        _grouped(cells.get(task, empty), *PHONES)
        .drop("weight")
        .rename({"error": f"{task}_error", "cells": f"{task}_cells"})
        for task in TASKS
    )
    table = within.join(across, on=PHONES, how="full", coalesce=True)
    table = table.with_columns(pl.col("within_cells", "across_cells").fill_null(0)).sort(PHONES)
    return table.rename({"#phone": "phone_ax", "#phone_b": "phone_b"})


def by_speakers(cells: dict[str, pl.DataFrame]) -> pl.DataFrame:
    """A row for each speaker of A and B and each of X; rows in which they are one speaker make up the error within.

    Columns `speaker_ab`, `speaker_x`, `error` in percent, `weight` and `cells`. Weights sum to 1 over the rows of
    one speaker, and to 1 over those of two: the mean of the errors by their weights is the error within, or across.
    """
    own = cells.values() or [NO_CELLS]
    tables = (t if "speaker_x" in t.columns else t.with_columns(speaker_x="speaker") for t in own)
    return (
        pl.concat(_grouped(table, "speaker", "speaker_x") for table in tables)
        .rename({"speaker": "speaker_ab"})
        .sort("speaker_ab", "speaker_x")
    )


def _grouped(cells: pl.DataFrame, *keys: str) -> pl.DataFrame:
    """Error, weight and number of the weighted cells of each group."""
    weight = pl.col("weight").sum()
    return cells.group_by(keys).agg(error=pl.col("error").dot("weight") / weight, weight=weight, cells=pl.len())
