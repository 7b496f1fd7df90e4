"""The bootstrap: how far a score would move with other utterances, from resamples of those that there are.

A *replicate* of a score is the score of a corpus of the same size, drawn with replacement from what was scored (Efron
and Tibshirani 1993): each utterance counts as often as it was drawn, its *weight*. Scores are made of sums over
utterances, so that all replicates of a sum are one product of matrices. The 95 % interval is between the 2.5th and the
97.5th percentile of 1,000 replicates.

Resamples depend on nothing but the ids of what is resampled: replicate r of two models on one split draws the same
utterances, and subtracting replicates pairs them. Of two sets of ids they are independent.

Of more than 512 utterances, each is dealt into one of 512 groups of equal size, at random (by the hash of its id), and
the groups are resampled: the standard error is the same but for chance (3 % of it), and neither time nor memory grows.

Scores that the bootstrap biases, such as the number of words above a threshold, which varies with each resample and so
counts words on both sides of it, have their interval shifted so that the replicates' mean lies at the score, and its
bounds rounded outward to whole numbers that such a count can be: shifted, those of one that hardly varies would not hold it.

What varies is the sample of utterances alone. Another training is another matter: see `comparison`.
"""

from __future__ import annotations

import csv
import hashlib
import math
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path

import numpy as np
from numpy.typing import ArrayLike

from resdavenet_vq.errors import InputError
from resdavenet_vq.files import atomic_write, open_regular

REPLICATES = 1000
GROUPS = 512
"""The largest number of groups that are resampled."""

PERCENTILES = 2.5, 97.5
_DIGITS = "%.8g"
_TINY = 1e-6
"""What sums of whole numbers are rounded by at most."""


@dataclass(frozen=True, eq=False)
class Resamples:
    """Resamples of N things that have ids, by G groups of them."""

    group: np.ndarray
    """(N,) the group of each, in the order in which the ids were given."""
    weights: np.ndarray
    """(REPLICATES, G) float64: how often each replicate has each group."""

    @classmethod
    def of(cls, ids: Iterable[str], groups: int = GROUPS) -> Resamples:
        """Resamples of what has these ids, each once, in any order: at most `groups` groups."""
        digests = [hashlib.blake2b(name.encode("utf-8", "surrogatepass"), digest_size=16).digest() for name in ids]
        order = sorted(range(len(digests)), key=digests.__getitem__)
        n_groups = min(len(order), groups)
        group = np.empty(len(order), np.int64)
        group[order] = np.arange(len(order)) % max(n_groups, 1)
        return cls(group, _weights(n_groups, b"".join(digests[i] for i in order)))

    @property
    def n_groups(self) -> int:
        """G."""
        return int(self.weights.shape[1])

    def sums(self, values: np.ndarray) -> np.ndarray:
        """The sums (G,) over groups of a value (N,) of each thing."""
        sums: np.ndarray = np.bincount(self.group, values, minlength=self.n_groups)
        return sums

    def total(self, sums: np.ndarray) -> np.ndarray:
        """Replicates (REPLICATES, ...) of the sum over all, from those (G, ...) over groups."""
        total: np.ndarray = self.weights @ sums.astype(np.float64, copy=False)
        return total

    def share(self, hits: np.ndarray, of: np.ndarray) -> np.ndarray:
        """Replicates (REPLICATES,) of a share: the sums (G,) of hits, over those of what is counted; 0 of nothing."""
        return ratio(self.total(hits), self.total(of))


def _weights(n: int, seed: bytes) -> np.ndarray:
    """Multinomial weights (REPLICATES, n) of n draws among n."""
    if not n:
        return np.zeros((REPLICATES, 0))
    rng = np.random.default_rng(list(hashlib.blake2b(seed, digest_size=16).digest()))
    drawn = rng.integers(n, size=(REPLICATES, n), dtype=np.uint32) + n * np.arange(REPLICATES)[:, None]
    return np.bincount(drawn.reshape(-1), minlength=REPLICATES * n).reshape(REPLICATES, n).astype(np.float64)


def ratio(numerator: ArrayLike, denominator: ArrayLike) -> np.ndarray:
    """The quotient of two arrays of one shape, 0 where the denominator is."""
    a, b = np.asarray(numerator, np.float64), np.asarray(denominator, np.float64)
    result: np.ndarray = np.divide(a, b, out=np.zeros(b.shape), where=b != 0)
    return result


def interval(replicates: np.ndarray, centre: float | None = None) -> tuple[float, float]:
    """The 95 % interval of a score, from its replicates (R,); shifted so that their mean is at `centre`, if given.

    Replicates that are not a number, in which there was nothing to score, are left out.
    """
    known = np.sort(replicates[~np.isnan(replicates)])
    low, high = np.interp(np.array(PERCENTILES) / 100 * (len(known) - 1), np.arange(len(known)), known).tolist()
    shift = 0.0 if centre is None else centre - float(known.mean())
    return low + shift, high + shift


def key(task: str, split: str, condition: str, score: str) -> str:
    """How a score is called in `intervals` of its file and in the header of its table of replicates."""
    return f"{task}|{split}|{condition}|{score}"


@dataclass(eq=False)
class Replicates:
    """The replicates of a file's scores, and their intervals."""

    columns: dict[str, np.ndarray] = field(default_factory=dict)
    intervals: dict[str, list[float]] = field(default_factory=dict)

    def add(
        self, name: Sequence[str], score: float | None, replicates: np.ndarray | None, *, count_of: float | None = None
    ) -> None:
        """A score (task, split, condition, score) with its replicates (R,); nothing where there is none of either.

        A count that the bootstrap biases is a `count_of` so many things, and its interval is shifted.
        """
        if score is None or replicates is None or np.isnan(replicates).all():
            return
        self.columns[key(*name)] = replicates
        low, high = interval(replicates, None if count_of is None else score)
        if count_of is not None:
            low, high = float(max(math.floor(low + _TINY), 0)), float(min(math.ceil(high - _TINY), count_of))
        self.intervals[key(*name)] = [low, high]

    def write(self, score_file: Path) -> None:
        """Writes the table beside a score file: a row a replicate, a column a score; an empty file without scores."""
        with atomic_write(beside(score_file)) as tmp, tmp.open("w", encoding="utf-8") as file:
            if self.columns:
                line = ",".join([_DIGITS] * len(self.columns))
                rows = np.stack(list(self.columns.values()), axis=1).tolist()
                csv.writer(file, lineterminator="\n").writerow(self.columns)
                file.writelines([f"{line % tuple(row)}\n" for row in rows])


def beside(score_file: Path) -> Path:
    """The table of replicates of a score file: X.bootstrap.csv of X.json, bootstrap.csv of words' summary.json."""
    name = "bootstrap.csv" if score_file.name == "summary.json" else f"{score_file.stem}.bootstrap.csv"
    return score_file.with_name(name)


def read(score_file: Path) -> Mapping[str, np.ndarray]:
    """The replicates (REPLICATES,) of each score of a file, from the table beside it.

    Raises InputError naming the table if it is missing or none.
    """
    path = beside(score_file)
    if not path.exists():
        raise InputError(f"{path}: no such file, which the intervals of {score_file.name} are made from; score again")
    try:
        with open_regular(path) as file:
            header, _, rows = file.read().decode("utf-8").partition("\n")
        names = next(csv.reader([header]), [])
        table = np.loadtxt(rows.splitlines(), delimiter=",", ndmin=2) if names else np.zeros((REPLICATES, 0))
    except ValueError as e:
        raise InputError(f"{path}: not a table of replicates ({e}); score again") from None
    if table.shape != (REPLICATES, len(names)):
        raise InputError(f"{path}: is no table of {REPLICATES} replicates of {len(names)} scores; score again")
    return dict(zip(names, table.T, strict=True))
