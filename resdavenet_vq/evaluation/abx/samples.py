"""Replicates of an ABX error: cells resampled by speakers and by contexts.

Cells of one speaker share a voice, cells of one context its phones, so neither are independent. The *pigeonhole
bootstrap* (Owen 2007) draws speakers and, independently, contexts with replacement; a cell counts as often as its
speaker of A and B, its speaker of X where that is another, and its context were drawn together. The error of a
replicate is the same hierarchy of means as the error (`cells`): over contexts (and speakers of X) of a pair of phones
and speaker, over speakers, over pairs; a pair that has no cell in a replicate is left out of it.

Where cells differ for other reasons than their speaker and context, as with few triples each, it overstates the
variance, up to three times within speakers and seven times across: intervals are then wider than need be. Of two or
three speakers no bootstrap can say how others would do: intervals are then too narrow. Phones are those of the
language, and are not resampled.
"""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from typing import NamedTuple

import numpy as np
import polars as pl
from scipy.sparse import csr_array

from resdavenet_vq.evaluation.bootstrap import REPLICATES, Resamples, ratio

AT_ONCE = 1 << 19
"""Weights in memory together, of which there are several tables: 4 MB each."""

CELLS_AT_ONCE = 1 << 16
"""That are resampled together, those of one phone always: a few MB."""


class Factor(NamedTuple):
    """Speakers, or contexts: what is resampled, by name."""

    resamples: Resamples
    group: dict[str, int]

    @classmethod
    def of(cls, names: Iterable[str]) -> Factor:
        """A factor with these names."""
        distinct = sorted(set(names))
        resamples = Resamples.of(distinct)
        return cls(resamples, dict(zip(distinct, resamples.group.tolist(), strict=True)))

    def groups(self, names: pl.Series) -> np.ndarray:
        """The groups of some names."""
        distinct = names.unique()
        group = [self.group[name] for name in distinct]
        return names.replace_strict(distinct, group, return_dtype=pl.Int64).to_numpy()


class Sample:
    """Speakers and contexts of an item file's cells, and what is resampled of each table of them."""

    def __init__(self, tasks: Iterable[pl.DataFrame], context: Sequence[str], phones: Sequence[str]) -> None:
        """`tasks` are tables of cells; the columns `context` are the context, if there are any, `phones` the pair."""
        tables, self._context, self._phones = list(tasks), context, phones
        self.speakers = Factor.of(
            name
            for table in tables
            for column in ("speaker", "speaker_x")
            if column in table.columns
            for name in table[column].unique()
        )
        self.contexts = Factor.of(name for table in tables for name in _names(table, context).unique())

    def errors(self, cells: pl.DataFrame) -> np.ndarray:
        """Replicates (REPLICATES,) of the error of a table of cells, in percent; NaN of those without any cell."""
        total, pairs = np.zeros((2, REPLICATES))
        phone = self._phones[0]
        sizes = cells[phone].value_counts().sort(phone)
        block = (sizes["count"].cum_sum() - 1) // CELLS_AT_ONCE
        for _, some in sizes.group_by(block, maintain_order=True):
            self._add(cells.filter(pl.col(phone).is_in(some[phone])), total, pairs)
        return np.where(pairs > 0, ratio(total, pairs), np.nan)

    def _add(self, cells: pl.DataFrame, total: np.ndarray, pairs: np.ndarray) -> None:
        """Adds the errors of some pairs of phones to their `total` (REPLICATES,), and their number to `pairs`."""
        by = [*self._phones, "speaker"]
        rank = cells.select(pl.struct(self._phones).rank("dense"), speaker=pl.struct(by).rank("dense")).to_numpy()
        pair, row = (rank.astype(np.int64) - 1).T  # a row is a pair of phones and a speaker of A and B
        n_rows = int(row.max()) + 1
        first = np.unique(row, return_index=True)[1]  # rows are in the order of pairs
        pair_begins = np.flatnonzero(np.diff(pair[first], prepend=-1))
        speaker = self.speakers.groups(_names(cells, ["speaker"]))[first]

        is_across = "speaker_x" in cells.columns
        x = self.speakers.groups(_names(cells, ["speaker_x"])) if is_across else 0
        column = self.contexts.groups(_names(cells, self._context)) * self.speakers.resamples.n_groups + x
        columns, column = np.unique(column, return_inverse=True)
        context, x = np.divmod(columns, self.speakers.resamples.n_groups)
        shape, error = (n_rows, len(columns)), cells["error"].to_numpy()
        sums, counts = (csr_array((values, (row, column)), shape) for values in (error, np.ones(len(error))))

        at_once = max(2, AT_ONCE // max(n_rows, len(columns)))
        for some in np.array_split(np.arange(REPLICATES), -(-REPLICATES // at_once)):
            by_context, by_speaker = (f.resamples.weights[some].T for f in (self.contexts, self.speakers))
            weights = by_context[context] * by_speaker[x] if is_across else by_context[context]
            n = counts @ weights
            of_speaker = by_speaker[speaker] * (n > 0)
            errors = np.add.reduceat(of_speaker * ratio(sums @ weights, n), pair_begins)
            n = np.add.reduceat(of_speaker, pair_begins)
            pairs[some] += np.count_nonzero(n, axis=0)
            total[some] = np.concatenate([total[some][None], ratio(errors, n)]).sum(axis=0)


def _names(cells: pl.DataFrame, columns: Sequence[str]) -> pl.Series:
    """What is in the columns of each cell, joined; "" where the table has none of them."""
    present = [name for name in columns if name in cells.columns]
    if not present:
        return pl.repeat("", len(cells), eager=True)
    return (
        cells[present[0]] if len(present) == 1 else cells.select(pl.concat_str(present, separator="\x1f")).to_series()
    )
