"""What results/{corpus} holds, by the path convention: scores, histories, word tables and codes of some models.

What was not computed is absent; a file that cannot be read is an InputError.
"""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass
from functools import cached_property
from itertools import product
from pathlib import Path
from typing import Any, NamedTuple

import numpy as np
import pandas as pd

from resdavenet_vq import gaps
from resdavenet_vq.csv_tables import check_table, read_table
from resdavenet_vq.data.store import Store
from resdavenet_vq.encode.codes import SplitCodes
from resdavenet_vq.encode.maps import MapsFile
from resdavenet_vq.encode.origin import Origin, check_same_model
from resdavenet_vq.errors import InputError
from resdavenet_vq.evaluation import score_files, summary
from resdavenet_vq.evaluation.availability import remedy
from resdavenet_vq.gaps import PATTERNS, Gap, Place, Task
from resdavenet_vq.system import Reference, System, has_shown_codes, system

BEST = "mean_recall_at_10"
"""The column of a history by which the epoch was chosen."""

TRIPHONES = "triphone"
"""The items of ABX whose scores lie beside the folders of others."""

SHARES, FLAGS, COUNTS = ("f1", "precision", "recall"), ("is_stop_word", "is_silence"), ("code", "occurrences", "hits")
"""Columns of words.csv."""


class Score(NamedTuple):
    """A score, or the mean over seeds, and the bounds of its 95 % interval; NaN without one."""

    value: float
    low: float
    high: float

    @property
    def bounds(self) -> tuple[float, float] | None:
        """The interval, if there is one."""
        return None if math.isnan(self.low) or math.isnan(self.high) else (self.low, self.high)

    def __mul__(self, factor: float) -> Score:  # type: ignore[override]
        """In another unit, as percent."""
        return Score(*(factor * number for number in self))


type Layer = tuple[str, str]
"""A system in notation and one of its layers; the layer is empty for scores of the whole system."""


@dataclass(frozen=True)
class Words:
    """Word detection of one layer: its summary, and its table with the best word first."""

    file: Path
    layer: str
    summary: dict[str, Any]
    table: pd.DataFrame

    @property
    def needs(self) -> dict[str, str]:
        """What scores that are missing need, by `published` and `held_out`: `needs aligned words`."""
        return {condition: remedy(reason) for condition, reason in self.summary.get("not_available", {}).items()}

    @property
    def n_detected(self) -> int:
        """The number of words that are detected."""
        return int((self.detectors["f1"] >= self.summary["f1_threshold"]).sum())

    @property
    def detectors(self) -> pd.DataFrame:
        """The words that count: scored, and neither stop words nor silence."""
        return self.table[~self.table["is_stop_word"] & ~self.table["is_silence"]].dropna(subset=["f1"])


@dataclass(frozen=True)
class Model:
    """The results of one system: a model, a baseline, or units made elsewhere."""

    system: System
    folder: Path

    @property
    def name(self) -> str:
        """Its name on pages and figures: `{2} → {2,3}`, with the seed if the folder has one."""
        return with_arrows(str(self.system)) + ("" if self.system.seed is None else f" (seed {self.system.seed})")

    @cached_property
    def history(self) -> pd.DataFrame | None:
        """A row per epoch; None for an imported model without epochs."""
        file = self.folder / "model/history.csv"
        if not file.is_file() or (table := read_table(file)).empty:
            return None
        check_table(file, table, required=("epoch",), numbers=tuple(map(str, table)), remedy="train the model again")
        if table["epoch"].isna().any() or (BEST in table and table[BEST].isna().all()):
            raise InputError(f"{file}: has an empty epoch, or nowhere a {BEST}; train the model again")
        return table

    def retrieval(self, split: str) -> dict[str, Any] | None:
        """Scores, conditions and examples of a split."""
        file = self.folder / f"retrieval/{split}.json"
        return self.score(file) if file.is_file() else None

    def score(self, file: Path) -> dict[str, Any]:
        """A score file of the model, with its conditions beside its scores."""
        value = score_files.read(file)
        self._check(file, Origin.from_dict(value["origin"]), value["split"])
        return value

    def words(self, split: str) -> list[Words]:
        """Word detection of every quantizer that was scored on a held-out split, lowest layer first."""
        layers = []
        for scores in sorted(self.folder.glob(PATTERNS["words"][0].format(split))):
            file = scores.with_name("words.csv")
            totals, table = self.score(scores), read_table(file)
            again = "score the words again"
            check_table(file, table, ("word", *SHARES, *FLAGS), numbers=(*SHARES, *COUNTS), flags=FLAGS, remedy=again)
            table = table.astype({"word": str} | dict.fromkeys(FLAGS, bool)).sort_values(
                "f1", ascending=False, kind="stable"
            )
            layers.append(Words(file, file.parents[1].name, totals, table))
        return layers

    def codes(self, split: str) -> SplitCodes | None:
        """The codes of a split, if they were written."""
        file = self.folder / f"codes/{split}.h5"
        if not file.is_file():
            return None
        codes = SplitCodes(file)
        self._check(file, codes.origin, split)
        return codes

    def maps(self, split: str) -> MapsFile | None:
        """The maps of a split, if they were written."""
        file = self.folder / f"maps/{split}.h5"
        if not file.is_file():
            return None
        maps = MapsFile(file)
        self._check(file, maps.origin, split)
        return maps

    @cached_property
    def _first(self) -> list[tuple[Path, Origin]]:
        """A file of the model, and what made it, once there is one."""
        return []

    def _check(self, path: Path, origin: Origin, split: str) -> None:
        """Raises InputError unless a file of the folder is of its lineage, of the split, and of one model with others."""
        origin.check(path, lineage=str(self.system), split=split)
        if not self._first:
            self._first.append((path, origin))
        check_same_model(*self._first[0], path, origin)


@dataclass(frozen=True)
class Results:
    """A folder results/{corpus}, and some of its models."""

    root: Path
    models: tuple[Model, ...]
    noise_file: Path

    @cached_property
    def scores(self) -> pd.DataFrame:
        """The scores of all models, not only of these."""
        return summary.read_scores(self.root / "scores.csv")

    @cached_property
    def comparison(self) -> pd.DataFrame:
        """The mean of all scores over seeds, with its 95 % interval where there is one (`low`, `high`), and spread."""
        return summary.read_comparison(self.root / "comparison.csv")

    def means(self, task: str, split: str, condition: str, score: str) -> dict[Layer, Score]:
        """A score of every system and layer that has it, in the order of the table."""
        table = self.comparison
        columns = zip(("task", "split", "condition", "score"), (task, split, condition, score), strict=True)
        rows = table[np.logical_and.reduce([table[name] == value for name, value in columns])]
        numbers = rows[["mean", "low", "high"]].itertuples(index=False, name=None)
        layers = zip(rows["lineage"], rows["layer"], strict=True)
        return {layer: Score(*values) for layer, values in zip(layers, numbers, strict=True)}

    @cached_property
    def differences(self) -> pd.DataFrame:
        """Paired differences of systems, with their 95 % intervals, as of `summary.read_differences`; none without the file."""
        file = self.root / "differences.csv"
        return (
            summary.read_differences(file) if file.is_file() else pd.DataFrame(columns=list(summary.DIFFERENCE_COLUMNS))
        )

    @cached_property
    def with_codes(self) -> tuple[Model, ...]:
        """Those whose codes are shown with words and utterances, models first."""
        shown = (model for model in self.models if has_shown_codes(model.system))
        return tuple(sorted(shown, key=lambda model: isinstance(model.system, Reference)))

    @cached_property
    def noise(self) -> pd.DataFrame:
        """Scores of splits and of their noisy copies."""
        return summary.read_noise(self.noise_file)

    def splits(self, task: str) -> list[str]:
        """The splits on which a task was scored, in the order of the scores."""
        return list(dict.fromkeys(self.scores["split"][self.scores["task"] == task]))

    def evaluated(self, task: Task) -> list[str]:
        """The splits on which a task was scored, and then those that have gaps alone."""
        return list(dict.fromkeys([*self.splits(task), *(gap.split for gap in self.gaps if gap.task == task)]))

    @property
    def has_words(self) -> bool:
        """Whether words are evaluated, with or without gaps: units are scored with them. Older files may lie about."""
        return bool(self.splits("words") or self.splits("units"))

    @cached_property
    def gaps(self) -> list[Gap]:
        """Scores that a split or a model has no data for, of all systems that are evaluated."""
        return gaps.read(self.root, self.scores)

    @cached_property
    def needs(self) -> dict[Layer, dict[Place, str]]:
        """What the scores that are missing need, by system and layer, and by task, split and condition."""
        needs: dict[Layer, dict[Place, str]] = {}
        for gap in self.gaps:
            needs.setdefault((gap.lineage, gap.layer), {})[gap.place] = gap.needs
        return needs

    def conditions(self, task: Task) -> list[dict[str, Any]]:
        """The conditions of a task's scores, which only its files have: one entry per file."""
        lineages = set(self.scores["lineage"])
        patterns = (f"*/{pattern.format(split)}" for split in self.evaluated(task) for pattern in PATTERNS[task])
        values = (score_files.read(file) for pattern in patterns for file in sorted(self.root.glob(pattern)))
        return [value for value in values if value["lineage"] in lineages]

    @cached_property
    def abx(self) -> dict[tuple[str, str], list[dict[str, Any]]]:
        """ABX results by split and by items (TRIPHONES, `phoneme` ...), by system, the lowest layer first.

        Each also has `model`, the system's name, `phones`, its table of errors by phones, or None, `bounds`, the 95 %
        intervals that there are of errors `within` and `across`, and `needs`, what errors need if there are none.
        """
        results: dict[tuple[str, str], list[dict[str, Any]]] = {}
        for split in self.evaluated("abx"):
            found = {(split, TRIPHONES): list[dict[str, Any]]()}
            for model, items in product(self.models, ("", "*/")):
                files = model.folder.glob(f"abx/{split}/{items}*.json")
                for file in sorted(files, key=lambda f: (f.parent.name, f.stem[-1:] + f.stem)):
                    result, phones = model.score(file), file.with_suffix(".phones.csv")
                    name, intervals = file.parent.name if items else TRIPHONES, result.get("intervals", {})
                    prefix = f"abx|{split}|" + (f"{name}_" if items else "")
                    bounds = {task: intervals.get(f"{prefix}{task}|error") for task in ("within", "across")}
                    own = {"model": model.name, "phones": phones if phones.is_file() else None, "bounds": bounds}
                    own["needs"] = remedy(result.get("not_available", ""))
                    found.setdefault((split, name), []).append(result | own)
            results |= {key: some for key, some in found.items() if some}
        return results

    def store(self, split: str) -> Store | None:
        """The prepared split, one file or the folder of its parts, if it is still there."""
        places = (self.root / f"data/{split}.h5", self.root / "data" / split)
        return next((Store(place) for place in places if place.exists()), None)


def find(folder: Path, systems: Sequence[str], noise: Path | None = None) -> Results:
    """The results of systems, by their folders (`none-2`, `baseline`), in results/{corpus}.

    Raises InputError for a name that is none.
    """
    try:
        models = tuple(Model(system(name), folder / name) for name in systems)
    except ValueError as e:
        raise InputError(f"system {e}") from None
    return Results(folder, models, noise or folder / "noise.csv")


def with_arrows(lineage: str) -> str:
    """A lineage in notation with proper arrows."""
    return lineage.replace("->", " → ")


def split_name(split: str) -> str:
    """A split as texts name it: `test`, but `split abx` where its name is that of a task too."""
    return f"split {split}" if split in PATTERNS else split
