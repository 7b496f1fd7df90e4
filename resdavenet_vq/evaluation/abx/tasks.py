"""The cells of an ABX task, built block by block, so that memory does not hold them all.

They are those of fastabx, whose own lists hold every pair of speakers before it takes a few: here tokens and speakers of
X are taken first, by the same shuffles. A *group* is the tokens of one phone and speaker in one context, in the order of
phone, context and speaker. A cell is of two groups, A and B, which have speaker and context alike, and across speakers
of a third one, X, with the phone of A and its context; within speakers X is A. Cells are in the order of phone, context
and speaker of A, phone of B, and speaker of X. Where any context will do, all groups are in the same one.
"""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from functools import cached_property
from typing import Literal, NamedTuple

import numpy as np
import polars as pl

from resdavenet_vq.config import AbxScoring
from resdavenet_vq.evaluation.abx.columns import ItemTable
from resdavenet_vq.evaluation.word_counts import ranges

type Task = Literal["within", "across"]

TASKS: tuple[Task, ...] = ("within", "across")
"""X is of the speaker of A and B, or of another."""

SEPARATOR = "\x1f"
"""Between the two phones of a context's name."""

AT_ONCE = 1 << 15
"""Cells of a block, unless one A has more."""


class Cells(NamedTuple):
    """A block of cells, by the numbers of the groups of A, B and X (n,)."""

    a: np.ndarray
    b: np.ndarray
    x: np.ndarray


class _Runs(NamedTuple):
    """Neighboring groups that have something in common, of each group (G,) int32: their first, and their number."""

    first: np.ndarray
    length: np.ndarray


@dataclass(frozen=True, eq=False)
class Groups:
    """The groups (G,) of some items, in their order."""

    phones: list[str]
    """In the order of the alphabet, as speakers are."""
    contexts: list[str]
    speakers: list[str]
    phone: np.ndarray
    """(G,) int32: which of the phones; likewise the next two."""
    context: np.ndarray
    speaker: np.ndarray
    size: np.ndarray
    """(G,) the number of their tokens."""
    tokens: pl.Series
    """The numbers of items that are taken from each group, in lists."""
    max_x_across: int | None
    seed: int

    @classmethod
    def of(cls, items: ItemTable, settings: AbxScoring, *, in_context: bool) -> Groups:
        """The groups of items; unless `in_context`, the context is one and the same."""
        phone, speaker = (items.numbers[name] for name in ("phone", "speaker"))
        context, contexts = np.zeros(len(items), np.int32), [""]
        if in_context:
            before, after = (items.names[name] for name in ("previous", "following"))
            both = items.numbers["previous"].astype(np.int64) * max(len(after), 1) + items.numbers["following"]
            pairs, place = np.unique(both, return_inverse=True)
            context = place.astype(np.int32)
            contexts = [
                f"{before[i]}{SEPARATOR}{after[j]}" for i, j in np.stack(np.divmod(pairs, len(after)), axis=1).tolist()
            ]
        order = np.lexsort((speaker, context, phone)).astype(np.int32)  # stable: tokens in their order
        is_first = _changes(phone[order], context[order], speaker[order])
        first = np.flatnonzero(is_first)
        size = np.diff(first, append=len(order))
        heads = order[first]
        taken, number = _taken(size, settings.max_size_group, settings.seed)
        lists = pl.DataFrame({"group": np.repeat(np.arange(len(first)), number), "item": order[taken]})
        tokens = lists.group_by("group", maintain_order=True).agg("item")["item"]
        return cls(
            items.names["phone"],
            contexts,
            items.names["speaker"],
            phone[heads],
            context[heads],
            speaker[heads],
            size,
            tokens,
            settings.max_x_across,
            settings.seed,
        )

    def __len__(self) -> int:
        return len(self.phone)

    def blocks(self, task: Task) -> Iterator[Cells]:
        """The cells of a task, in order, in blocks that hold all cells of their As."""
        ends = np.cumsum(self._n_b(task) * self._n_x(task))
        start = 0
        while start < len(self):
            before = int(ends[start - 1]) if start else 0
            stop = max(int(np.searchsorted(ends, before + AT_ONCE, side="right")), start + 1)
            cells = self._cells(task, np.arange(start, stop))
            if len(cells.a):
                yield cells
            start = stop

    def count(self, task: Task) -> int:
        """The number of cells of a task."""
        return int((self._n_b(task) * self._n_x(task)).sum())

    def _n_b(self, task: Task) -> np.ndarray:
        """Of each group as A (G,) the number of Bs."""
        n = self._beside.length - 1
        return np.where(self.size >= 2, n, 0) if task == "within" else n

    def _n_x(self, task: Task) -> np.ndarray:
        """Of each group as A (G,) the number of groups of X for each B."""
        if task == "within":
            return np.ones(len(self), np.int64)
        others = self._speakers.length - 1
        return others if self.max_x_across is None else np.minimum(others, self.max_x_across)

    def _cells(self, task: Task, a: np.ndarray) -> Cells:
        """The cells of some As."""
        n_b, n_x = (of_task(task)[a] for of_task in (self._n_b, self._n_x))
        n = n_b * n_x
        of_cell = np.repeat(np.arange(len(a)), n)
        within_a = np.arange(len(of_cell)) - np.repeat(np.cumsum(n) - n, n)
        which_b, which_x = np.divmod(within_a, n_x[of_cell])
        a_of_cell = a[of_cell]
        which_b += which_b >= self._place_beside[a_of_cell]
        b = self._by_context[self._beside.first[a_of_cell] + which_b]
        if task == "within":
            return Cells(a_of_cell, b, a_of_cell)
        own, others = a - self._speakers.first[a], self._speakers.length[a] - 1
        chosen = self._chosen(others)  # of each A one behind the other
        chosen += chosen >= np.repeat(own, n_x)
        x = chosen[(np.cumsum(n_x) - n_x)[of_cell] + which_x] + self._speakers.first[a_of_cell]
        return Cells(a_of_cell, b, x)

    def _chosen(self, others: np.ndarray) -> np.ndarray:
        """Of each number of other speakers, which of them are X, in their order, one behind the other."""
        places, number = _taken(others, self.max_x_across, self.seed)
        places -= np.repeat(np.cumsum(others) - others, number)
        owner = np.repeat(np.arange(len(others)), number)
        return places[np.lexsort((places, owner))]

    @cached_property
    def _speakers(self) -> _Runs:
        """Groups of one phone and context: its speakers."""
        return _runs(self.phone, self.context)

    @cached_property
    def _by_context(self) -> np.ndarray:
        """The groups (G,) in the order of context, speaker and phone."""
        return np.lexsort((self.phone, self.speaker, self.context)).astype(np.int32)

    @cached_property
    def _beside(self) -> _Runs:
        """Groups of one context and speaker, by their places in that order: an A, and its Bs."""
        order = self._by_context
        first, length = _runs(self.context[order], self.speaker[order])
        place = _places(order)
        return _Runs(first[place], length[place])

    @cached_property
    def _place_beside(self) -> np.ndarray:
        """The place of a group (G,) among those of its context and speaker."""
        place: np.ndarray = _places(self._by_context) - self._beside.first
        return place


def _places(order: np.ndarray) -> np.ndarray:
    """The place (n,) int32 of each number in an order of the numbers from 0 on."""
    places = np.empty(len(order), np.int32)
    places[order] = np.arange(len(order), dtype=np.int32)
    return places


def _changes(*columns: np.ndarray) -> np.ndarray:
    """Where any of some columns (n,) differs from the row before; the first row does."""
    changes = np.zeros(len(columns[0]), bool)
    changes[:1] = True
    for column in columns:
        changes[1:] |= column[1:] != column[:-1]
    return changes


def _runs(*columns: np.ndarray) -> _Runs:
    """Runs of rows that are alike in some columns (n,)."""
    first = np.flatnonzero(_changes(*columns))
    length = np.diff(first, append=len(columns[0]))
    return _Runs(*(np.repeat(values.astype(np.int32), length) for values in (first, length)))


def _taken(sizes: np.ndarray, most: int | None, seed: int) -> tuple[np.ndarray, np.ndarray]:
    """Of sets that are one behind the other the places of what is taken, at most so many, and their number in each.

    They are taken as fastabx's `Subsampler` does, by a shuffle that is the same for all sets of one size.
    """
    first = np.cumsum(sizes) - sizes
    if most is None:
        return ranges(first, sizes), sizes
    number = np.minimum(sizes, most)
    begins, places = np.cumsum(number) - number, np.empty(int(number.sum()), np.int64)
    for size in np.unique(sizes).tolist():
        some = np.flatnonzero(sizes == size)
        shuffled = pl.int_range(size, eager=True).shuffle(seed=seed).head(most).to_numpy()
        places[begins[some][:, None] + np.arange(len(shuffled))] = first[some][:, None] + shuffled
    return places, number
