"""Numbers of what is equal: codes, and the rows of features that stand for one, in the order of their first occurrence."""

from __future__ import annotations

import math
from typing import NamedTuple

import numpy as np

from resdavenet_vq.encode.features import LayerFeatures
from resdavenet_vq.encode.units import runs
from resdavenet_vq.evaluation.word_counts import grown

KEY_VALUES = 16
"""Of a row, by which it is looked up."""

VALUES_AT_ONCE = 1 << 18
"""Of the rows that are numbered together: about as many as the cache of a processor holds."""

_MULTIPLIERS = np.random.default_rng(0).integers(1 << 63, size=KEY_VALUES, dtype=np.uint64) | 1


class LayerUnits(NamedTuple):
    """The frames of a quantized layer as numbers of units."""

    numbers: np.ndarray
    """(F,) int64, of all utterances, in the order of first occurrence."""
    vectors: np.ndarray
    """(S, C) float32: row s is unit number s."""

    @classmethod
    def read(cls, features: LayerFeatures) -> LayerUnits:
        """The units of a layer: its codes, of which those with equal vectors are one, or its distinct rows."""
        symbols = Symbols()
        if (codebook := features.codebook) is not None:
            if len(np.unique(_keys(codebook))) == len(codebook):  # no two vectors are equal
                return cls(features.codes(), codebook + codebook.dtype.type(0)).in_order()
            of_code = symbols.of(codebook)
            return cls(of_code[features.codes()], symbols.rows).in_order()
        numbers, some, size = [np.zeros(0, np.int64)], [], 0
        for i in range(len(features)):
            some.append(features.rows(i))
            size += some[-1].size
            if size >= VALUES_AT_ONCE or i + 1 == len(features):
                numbers.append(symbols.of(np.concatenate(some)))
                some, size = [], 0
        return cls(np.concatenate(numbers), symbols.rows)

    def in_order(self) -> LayerUnits:
        """The same, numbered again in the order of first occurrence; units that do not occur are left out."""
        symbols = CodeSymbols()
        numbers = symbols.of(self.numbers)
        return LayerUnits(numbers, self.vectors[symbols.codes])


class CodeSymbols:
    """Numbers of codes (T,), in the order of their first occurrence. Equal codes of several calls have equal numbers."""

    def __init__(self) -> None:
        self._number = np.zeros(0, np.int64)  # of each code, plus 1; 0 of those that did not occur
        self._n = 0

    @property
    def codes(self) -> np.ndarray:
        """The distinct codes (S,), by number."""
        return np.argsort(self._number, kind="stable")[len(self._number) - self._n :]

    def of(self, codes: np.ndarray) -> np.ndarray:
        """The numbers (T,) of codes from 0 on; new ones get the next numbers."""
        self._number = grown(self._number, int(codes.max(initial=-1)) + 1)
        if not (numbers := self._number[codes]).all():
            first = np.full(len(self._number), len(codes))
            first[codes[::-1]] = np.arange(len(codes))[::-1]  # of equal codes the last to be written is the first
            new = np.flatnonzero((first < len(codes)) & (self._number == 0))
            new = new[np.argsort(first[new])]
            self._number[new] = self._n + 1 + np.arange(len(new))
            self._n += len(new)
            numbers = self._number[codes]
        return np.asarray(numbers - 1)


class Symbols:
    """Numbers of distinct rows (T,) or (T, C), in the order of their first occurrence, -0.0 being equal to 0.0.

    Equal rows of several calls have equal numbers. A row is looked up by a few of its values and compared in all of
    them with the row that has these; one that is not known so is looked up by its bytes.
    """

    def __init__(self) -> None:
        self._numbers: dict[bytes, int] = {}
        self._rows = np.zeros((0, 0))
        self._keys, self._key_numbers = np.zeros(0, np.uint64), np.zeros(0, np.int64)

    @property
    def rows(self) -> np.ndarray:
        """The distinct rows (S, C), by number."""
        return self._rows[: len(self._numbers)]

    def of(self, rows: np.ndarray) -> np.ndarray:
        """The numbers (T,) of rows of the type and width of the first call; new ones get the next numbers."""
        rows = rows.reshape(len(rows), -1) if len(rows) else rows.reshape(0, math.prod(rows.shape[1:]))
        if not self._numbers:
            self._rows = np.zeros((0, rows.shape[1]), rows.dtype)
        rows = np.ascontiguousarray(rows)
        keys = _keys(rows)
        numbers, is_known = np.zeros(len(rows), np.int64), np.zeros(len(rows), bool)
        if len(self._keys):
            at = np.minimum(np.searchsorted(self._keys, keys), len(self._keys) - 1)
            numbers = self._key_numbers[at]
            is_known = (self._keys[at] == keys) & (_words(self._rows)[numbers] == _words(rows)).all(axis=1)
        if not is_known.all():
            new = np.flatnonzero(~is_known)
            numbers[new] = self._by_bytes(rows[new])
        return numbers

    def _by_bytes(self, rows: np.ndarray) -> np.ndarray:
        """The numbers of rows, the new ones of which become known."""
        n_before, of_rows = len(self._numbers), runs(rows)
        heads = np.ascontiguousarray(of_rows.code + rows.dtype.type(0))  # -0.0 + 0.0 is 0.0: equal values, equal bytes
        number = (self._numbers.setdefault(head.tobytes(), len(self._numbers)) for head in heads)
        numbers = np.fromiter(number, np.int64, len(heads))
        n = len(self._numbers)
        if n > n_before:
            self._rows = grown(self._rows, n)
            is_new = numbers >= n_before
            self._rows[numbers[is_new]] = heads[is_new]
            self._keys, first = np.unique(_keys(self.rows), return_index=True)  # of equal keys the first row's
            self._key_numbers = first
        return np.repeat(numbers, of_rows.length)


def _words(rows: np.ndarray) -> np.ndarray:
    """The bytes of contiguous rows as whole numbers, of 64 bits where the width allows it: equal only for equal rows."""
    return rows.view(np.uint64 if rows.shape[1] * rows.itemsize % 8 == 0 else f"u{rows.itemsize}")


def _keys(rows: np.ndarray) -> np.ndarray:
    """Numbers (T,) uint64, equal for equal rows (T, C) and mostly different for others, made of up to KEY_VALUES values."""
    some = rows[:, :: max(1, rows.shape[1] // KEY_VALUES)][:, :KEY_VALUES]
    some = np.ascontiguousarray(some + rows.dtype.type(0))
    keys: np.ndarray = (some.view(f"u{some.itemsize}") * _MULTIPLIERS[: some.shape[1]]).sum(axis=1, dtype=np.uint64)
    return keys
