"""Scores over seeds, and differences between systems, with intervals: `comparison.csv` and `differences.csv`.

Two things move a mean over S seeds: other seeds, and other utterances. With s the standard deviation of the seeds and
v the variance, over replicates, of the mean over seeds (replicate r draws the same utterances for every seed,
`bootstrap`), its squared standard error is s²/S + v. The interval is the mean and a quantile of Student's t times that,
with the degrees of freedom of Welch and Satterthwaite, in which v counts as known. Of one seed nobody knows s: the
interval is that of its utterances, and says nothing of another training.

The difference of two systems is *paired*: v is the variance of the replicates' differences, which is small where both
err on the same utterances; s²/S of both are added. An interval without 0 is a difference that neither the choice of
utterances nor, where both have several seeds, that of seeds explains. There are as many differences as pairs of
systems: one in twenty intervals misses, so read those that a question asks for.
"""

from __future__ import annotations

import statistics
from collections.abc import Iterable, Mapping, Sequence
from itertools import chain, combinations, product
from pathlib import Path
from typing import Any, NamedTuple

import numpy as np
import pandas as pd
from scipy.special import stdtrit

from resdavenet_vq.encode.features import LOGMEL, is_quantized
from resdavenet_vq.evaluation import bootstrap, score_files, summary
from resdavenet_vq.evaluation.summary import DIFFERENCE_COLUMNS, SPREAD_COLUMNS, SPREAD_KEYS
from resdavenet_vq.files import together

HEADLINES = {
    "retrieval": ("recall_at_10",),
    "abx": ("error",),
    "bitrate": ("bits_per_second",),
    "words": ("words_above_f1", "expected_words_above_f1", "mean_f1"),
    "units": ("purity", "nmi", "boundaries_r_value"),
}
"""The scores of each task of which there are differences; of bitrates, only the plain one."""

type Replicates = Mapping[tuple[Any, ...], np.ndarray]
"""Of (lineage, seed or None, layer, name of a score in its table): its replicates (R,)."""


class Estimate(NamedTuple):
    """A mean over seeds."""

    mean: float
    variances: tuple[tuple[float, int], ...]
    """Of each system in it with several seeds: the squared standard error over seeds, and their number."""
    replicates: np.ndarray | None
    """(R,) of the mean; None where a seed has none."""

    @classmethod
    def of(cls, values: Sequence[float], replicates: Sequence[np.ndarray | None]) -> Estimate:
        """From the values of seeds, and their replicates."""
        known = [some for some in replicates if some is not None]
        n = len(values)
        variances = ((statistics.variance(values) / n, n),) if n > 1 else ()
        return cls(statistics.fmean(values), variances, np.mean(known, axis=0) if len(known) == n else None)

    def __sub__(self, other: Estimate) -> Estimate:
        both = None if self.replicates is None or other.replicates is None else self.replicates - other.replicates
        return Estimate(self.mean - other.mean, self.variances + other.variances, both)

    def interval(self) -> tuple[float | None, float | None]:
        """The 95 % interval; that of replicates where no system has several seeds."""
        if self.replicates is None or np.isnan(self.replicates).all():
            return None, None
        if not self.variances:
            return bootstrap.interval(self.replicates, self.mean)
        of_seeds = sum(variance for variance, _ in self.variances)
        whole = of_seeds + float(np.nanvar(self.replicates, ddof=1))
        spread = sum(variance**2 / (n - 1) for variance, n in self.variances)
        quantile = float(stdtrit(min(whole**2 / spread, 1e9) if spread else 1e9, 0.975))
        half = quantile * whole**0.5
        return self.mean - half, self.mean + half


def read_replicates(files: Iterable[Path], seeds: Mapping[str, int]) -> Replicates:
    """The replicates of score files, from the tables beside them; `seeds` as for `score_files.collect`.

    Raises InputError naming a table that is missing or none.
    """
    replicates: dict[tuple[Any, ...], np.ndarray] = {}
    for path in files:
        value = score_files.read(path)
        lineage = value["lineage"]
        of_system = lineage, score_files.seed_of(path, lineage, seeds), value.get("layer", "")
        for name, some in bootstrap.read(path).items():
            replicates.setdefault((*of_system, name), some)
    return replicates


def compare(scores: pd.DataFrame, replicates: Replicates) -> pd.DataFrame:
    """The spread of each score over seeds: columns SPREAD_COLUMNS, in the order of the scores.

    `seeds` are separated by spaces (none of imported models and the baseline, which have one result); `std` is that of
    the sample (n - 1), empty for one seed: how far another seed moves the score, no standard error of the mean. Sums
    are exact: no order of seeds gives another mean, and that of one seed is its score. `low` and `high` are empty where
    a score has no replicates; of one seed they are those of the score.
    """
    rows = []
    for key, group in scores.groupby(list(SPREAD_KEYS), sort=False):
        values = [float(value) for value in group["value"]]
        std = statistics.stdev(values) if len(values) > 1 else None
        seeds = " ".join(str(seed) for seed in group["seed"].dropna())
        if len(values) > 1:
            low, high = _estimate(group, replicates).interval()
        else:
            low, high = (None if pd.isna(x) else float(x) for x in group[["low", "high"]].iloc[0])
        rows.append((*key, seeds, statistics.fmean(values), std, min(values), max(values), len(values), low, high))
    return pd.DataFrame(rows, columns=list(SPREAD_COLUMNS))


def differences(scores: pd.DataFrame, replicates: Replicates) -> pd.DataFrame:
    """The differences of every two systems in each of the HEADLINES: columns DIFFERENCE_COLUMNS.

    Of two systems the one that comes later among the scores is the first: a model, less a baseline. ABX errors of
    layers without codes are also compared with those of the log-mel features, as differences of the system's layer.
    """
    keys = [name for name in SPREAD_KEYS if name != "lineage"]
    every = {
        key: {system: _estimate(some, replicates) for system, some in group.groupby("lineage", sort=False)}
        for key, group in scores[_are_headlines(scores)].groupby(keys, sort=False)
    }
    rows = []
    for (corpus, task, layer, *rest), systems in every.items():
        plain = {} if layer == LOGMEL or is_quantized(str(layer)) else every.get((corpus, task, LOGMEL, *rest), {})
        for (second, other), (first, own) in chain(
            combinations(systems.items(), 2), product(plain.items(), systems.items())
        ):
            difference = own - other
            low, high = difference.interval()
            if low is not None:
                rows.append((corpus, task, layer, *rest, first, second, difference.mean, low, high))
    return pd.DataFrame(rows, columns=list(DIFFERENCE_COLUMNS))


def _estimate(group: pd.DataFrame, replicates: Replicates) -> Estimate:
    """The mean over the rows of a score, one a seed."""
    keys = ["lineage", "seed", "layer", "task", "split", "condition", "score"]
    found = [
        replicates.get((lineage, None if pd.isna(seed) else int(seed), layer, bootstrap.key(*name)))
        for lineage, seed, layer, *name in group[keys].itertuples(index=False, name=None)
    ]
    return Estimate.of([float(value) for value in group["value"]], found)


def _are_headlines(scores: pd.DataFrame) -> np.ndarray:
    names = zip(scores["task"], scores["condition"], scores["score"], strict=True)
    return np.array(
        [
            score in HEADLINES.get(task.split("_")[0], ()) and (task != "bitrate" or condition == "plain")
            for task, condition, score in names
        ],
        bool,
    )


def write(scores: Path, files: Sequence[Path], seeds: Mapping[str, int], out: Path, differences_out: Path) -> None:
    """Writes `comparison.csv` and `differences.csv` of a `scores.csv` and the score files that it is made of.

    Without files there are no intervals over seeds, and no differences.
    """
    table, replicates = summary.read_scores(scores), read_replicates(files, seeds)
    with together():
        summary.write(compare(table, replicates), out)
        summary.write(differences(table, replicates), differences_out)
