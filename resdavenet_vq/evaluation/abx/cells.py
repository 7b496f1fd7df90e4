"""Scores the cells of an ABX task with fastabx: the one place where ABX touches torch.

A cell is all triples of one pair of phones (A and X bear the first, B the second), one context and one speaker of
A and B, in the across-speaker task also one speaker of X. Its score is the share of its triples in which X is not nearer
to A than to B, ties counting one half.

Memory: fastabx gathers a bounded number of items at a time. On a CPU, continuous frames are read where they lie in the
features file, and those of a large layer are normalised as they are gathered, so that memory grows with the items and cells
but not with the frames; on a GPU the layer is copied there once. Of quantized frames a number each is kept, and the table of distances between the units.
"""

from __future__ import annotations

import sys
from collections.abc import Mapping, Sequence
from typing import Any

import numpy as np
import polars as pl
import torch
from fastabx import Dataset, InMemoryAccessor, Score, Subsampler, Task
from fastabx.accessor import Batch, normalize_with_singularity
from fastabx.distance import distance_function
from fastabx.utils import resolve_device
from fastabx.verify import EmptyTaskError

from resdavenet_vq.config import AbxScoring
from resdavenet_vq.errors import InputError
from resdavenet_vq.evaluation.abx.frames import Sequences
from resdavenet_vq.evaluation.abx.items import Item

CONTEXT = ("prev-phone", "next-phone")

TASKS: Mapping[str, tuple[list[str], list[str]]] = {
    "within": ([*CONTEXT, "speaker"], []),
    "across": ([*CONTEXT], ["speaker"]),
}
"""What all three of a triple share, and in what X differs from A and B."""

NORMALIZED_AT_ONCE = 256 << 20
"""Bytes of a layer that are copied to normalise it: faster than to do it at every gathering."""


def scored(sequences: Sequences, items: Sequence[Item], distance: str, settings: AbxScoring) -> dict[str, pl.DataFrame]:
    """The cells of each task that has any.

    Columns: `#phone` of A and X, `#phone_b`, `prev-phone`, `next-phone`, `speaker` of A and B, across also `speaker_x`;
    `score` between 0 and 1, and `size`, the number of triples. Raises InputError where the distance is not for these frames.
    """
    device = resolve_device(None)
    measure: Any = distance
    if sequences.units is None:
        if distance == "kl_symmetric":
            _check_probabilities(sequences)
        accessor: InMemoryAccessor = _LateNormalized(
            dict(enumerate(sequences.ranges)), torch.from_numpy(sequences.data), device
        )
    else:
        accessor = InMemoryAccessor(
            dict(enumerate(sequences.ranges)), torch.from_numpy(sequences.data)[:, None], device
        )
        table = _distance_table(torch.from_numpy(sequences.units).to(device), distance)

        def measure(x: torch.Tensor, y: torch.Tensor) -> torch.Tensor:
            """Frame distances (n1, n2, s1, s2) of units (n1, s1, 1) and (n2, s2, 1)."""
            (n1, s1, _), (n2, s2, _) = x.shape, y.shape
            return (
                table.index_select(0, x.reshape(-1)).index_select(1, y.reshape(-1)).view(n1, s1, n2, s2).transpose(1, 2)
            )

    labels = {
        "#phone": [i.phone for i in items],
        "prev-phone": [i.previous for i in items],
        "next-phone": [i.following for i in items],
        "speaker": [i.speaker for i in items],
    }
    dataset = Dataset(pl.DataFrame(labels), accessor)
    subsampler = _Ordered(settings.max_size_group, settings.max_x_across, settings.seed)
    found = {}
    for name, (by, across) in TASKS.items():
        try:
            task = Task(dataset, on="#phone", by=by, across=across, subsampler=subsampler)
        except EmptyTaskError:
            continue
        found[name] = Score(task, measure, progress=sys.stderr.isatty()).cells
    return found


class _Ordered(Subsampler):
    """Subsamples cells in a fixed order: fastabx's own changes from run to run, and with it, whatever the seed, the choice of X."""

    def __call__(self, lazy_cells: pl.LazyFrame, *, with_across: bool) -> pl.LazyFrame:
        keys = [name for name in lazy_cells.collect_schema().names() if not name.startswith("index_")]
        chosen: pl.LazyFrame = super().__call__(lazy_cells.sort(keys), with_across=with_across)
        return chosen.sort(keys)


class _LateNormalized(InMemoryAccessor):
    """Frames that, where they are many, are normalised as they are gathered, so that no normalised copy of all of them is made."""

    is_normalized: bool
    _late = False

    def normalize_(self) -> None:
        """From now on, what is gathered is normalised."""
        if self.is_normalized or self.data.nbytes <= NORMALIZED_AT_ONCE:
            super().normalize_()
            return
        self.is_normalized = self._late = True
        self._has_null = bool((self.data.norm(dim=1) == 0).any())

    def batched(self, indices: Any) -> Batch:
        """The padded frames (n, longest, width) of some items, and their lengths.

        A null frame, which has no direction, gets that of equal values from fastabx, and a border that makes all frames one wider.
        """
        batch = super().batched(indices)
        frames = batch.data
        if not self._late:
            return batch
        if self._has_null:
            n, longest, width = frames.shape
            return Batch(normalize_with_singularity(frames.view(-1, width)).view(n, longest, width + 1), batch.sizes)
        norm = frames.norm(dim=2, keepdim=True)
        frames.div_(norm.masked_fill_(norm == 0, 1))  # padding stays 0
        return batch


def _check_probabilities(sequences: Sequences) -> None:
    """Raises InputError unless the frames of all items are probabilities."""
    for start, end in sequences.ranges:
        rows = sequences.data[start:end]
        if rows.min() < 0 or np.abs(rows.sum(axis=1) - 1).max() > 1e-3:
            raise InputError(
                "abx.distance: 'kl_symmetric' compares probabilities, and these frames are none; use 'angular' or 'euclidean'"
            )


def _distance_table(vectors: torch.Tensor, distance: str) -> torch.Tensor:
    """The distances that fastabx gives to all pairs of (K, C) vectors: (K, K), exactly 0 on the diagonal."""
    if distance == "identical":
        table = vectors.new_ones(len(vectors), len(vectors))
    else:
        vectors = normalize_with_singularity(vectors) if distance == "angular" else vectors
        kind: Any = distance
        table = distance_function(kind)(vectors[None], vectors[None])[0, 0]
    return table.fill_diagonal_(0)
