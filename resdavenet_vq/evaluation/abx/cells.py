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

Memory: fastabx gathers a bounded number of items at a time. On a CPU, continuous frames are read where they lie in the
features file, and those of a large layer are normalized as they are gathered, so that memory grows with the items and
cells but not with the frames; on a GPU the layer is copied there once. Of quantized frames a number each is kept, and
the table of distances between the units.
"""

from __future__ import annotations

import sys
from collections.abc import Mapping, Sequence
from contextlib import suppress
from typing import Any, NamedTuple

import numpy as np
import polars as pl
import torch
from fastabx import Batch, Dataset, EmptyTaskError, InMemoryAccessor, Score, Subsampler, Task
from fastabx.distance import distance_function  # not public: a test names the version that it is known to fit

from resdavenet_vq import devices
from resdavenet_vq.config import AbxScoring
from resdavenet_vq.errors import InputError
from resdavenet_vq.evaluation.abx import any_context
from resdavenet_vq.evaluation.abx.frames import Sequences
from resdavenet_vq.evaluation.abx.items import Item

CONTEXT = ("prev-phone", "next-phone")
PHONES = ("#phone", "#phone_b")

TASKS: Mapping[str, tuple[list[str], list[str]]] = {"within": (["speaker"], []), "across": ([], ["speaker"])}
"""What all three of a triple share besides their context, and in what X differs from A and B."""

NO_CELLS = pl.DataFrame(
    schema=dict.fromkeys((*PHONES, "speaker"), pl.String) | dict.fromkeys(("error", "weight"), pl.Float64)
)
"""The columns of cells that tables of them are made of."""

NORMALIZED_AT_ONCE = 256 << 20  # bytes of a layer that are copied to normalize it: faster than at every gathering


class Tasks(NamedTuple):
    """What is compared: the labels of items, and of each task that has any the cells, with the numbers of their items."""

    labels: pl.DataFrame
    cells: Mapping[str, pl.DataFrame]

    @classmethod
    def build(cls, items: Sequence[Item], settings: AbxScoring, *, in_context: bool = True) -> Tasks:
        """The tasks of items; `in_context`, all three of a triple are between the same two phones."""
        labels = pl.DataFrame(
            {
                "#phone": [i.phone for i in items],
                "prev-phone": [i.previous for i in items],
                "next-phone": [i.following for i in items],
                "speaker": [i.speaker for i in items],
            }
        )
        subsampler = _Ordered(settings.max_size_group, settings.max_x_across, settings.seed)
        cells: dict[str, pl.DataFrame] = {}
        if not items:
            return cls(labels, cells)
        one_frame = InMemoryAccessor(dict.fromkeys(range(len(items)), (0, 1)), torch.zeros(1, 1), torch.device("cpu"))
        dataset = Dataset(labels, one_frame)  # cells depend on labels alone
        for name, (by, across) in TASKS.items():
            if across and not in_context:
                chosen = any_context.across(labels, settings)
                if not chosen.is_empty():
                    cells[name] = chosen
                continue
            alike = [*(CONTEXT if in_context else ()), *by]
            with suppress(EmptyTaskError):
                cells[name] = Task(dataset, on="#phone", by=alike, across=across, subsampler=subsampler).cells
        return cls(labels, cells)


def score_cells(sequences: Sequences, tasks: Tasks, distance: str) -> dict[str, pl.DataFrame]:
    """The cells of each task, scored.

    Columns: `#phone` of A and X, `#phone_b`, in context `prev-phone` and `next-phone`, `speaker` of A and B, across also
    `speaker_x`; `score` between 0 and 1; `size`, the number of triples; `error` in percent, and `weight`, which sums to 1.
    Raises InputError where the distance is not for these frames.
    """
    device = devices.device()
    measure: Any = distance
    ranges, data = dict(enumerate(sequences.ranges)), torch.from_numpy(sequences.data)
    if sequences.units is None:
        if distance == "kl_symmetric":
            _check_probabilities(sequences)
        accessor: InMemoryAccessor = _LateNormalized(ranges, data, device)
    else:
        accessor = InMemoryAccessor(ranges, data[:, None], device)
        table = _distance_table(torch.from_numpy(sequences.units).to(device), distance)

        def measure(x: torch.Tensor, y: torch.Tensor) -> torch.Tensor:
            """Frame distances (n1, n2, s1, s2) of units (n1, s1, 1) and (n2, s2, 1)."""
            (n1, s1, _), (n2, s2, _) = x.shape, y.shape
            distances = table.index_select(0, x.reshape(-1)).index_select(1, y.reshape(-1))
            return distances.view(n1, s1, n2, s2).transpose(1, 2)

    dataset, scored = Dataset(tasks.labels, accessor), {}
    for name, cells in tasks.cells.items():
        task = Task.from_cells(dataset, cells, is_symmetric=name == "within")
        scored[name] = _weighted(Score(task, measure, progress=sys.stderr.isatty()).cells)
    return scored


class _Ordered(Subsampler):
    """Subsamples cells in a fixed order: with fastabx's own, the choice of X changes from run to run for any seed."""

    def __call__(self, lazy_cells: pl.LazyFrame, *, with_across: bool) -> pl.LazyFrame:
        keys = [name for name in lazy_cells.collect_schema().names() if not name.startswith("index_")]
        chosen: pl.LazyFrame = super().__call__(lazy_cells.sort(keys), with_across=with_across)
        return chosen.sort(keys)


class _LateNormalized(InMemoryAccessor):
    """Frames that are normalized as they are gathered, where there are many: no normalized copy of them all."""

    is_normalized: bool
    _late = False

    def normalize_(self) -> None:
        """From now on, what is gathered is normalized."""
        if self.is_normalized or self.data.nbytes <= NORMALIZED_AT_ONCE:
            super().normalize_()
            return
        self.is_normalized = self._late = True
        self._has_null = bool((self.data.norm(dim=1) == 0).any())

    def batched(self, indices: Any) -> Batch:
        """The padded frames (n, longest, width) of some items, and their lengths.

        A null frame, which has no direction, gets that of equal values from fastabx, and a border that makes all frames
        one wider.
        """
        batch = super().batched(indices)
        frames = batch.data
        if not self._late:
            return batch
        if self._has_null:
            n, longest, width = frames.shape
            return Batch(_normalized(frames.view(-1, width)).view(n, longest, width + 1), batch.sizes)
        norm = frames.norm(dim=2, keepdim=True)
        frames.div_(norm.masked_fill_(norm == 0, 1))  # padding stays 0
        return batch


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
    """Cells with two more columns: `error` in percent, and `weight`, which sums to 1."""
    pairs, speakers = pl.struct(PHONES).n_unique(), pl.col("speaker").n_unique().over(PHONES)
    weight = 1 / (pairs * speakers * pl.len().over(*PHONES, "speaker"))
    return cells.with_columns(error=100 * pl.col("score").cast(pl.Float64), weight=weight)


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
