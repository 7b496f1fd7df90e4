"""What a results folder holds for the report: scores, histories and word tables, found by the path convention.

Whatever was not computed is absent here, not an error; a file that is there but cannot be read is one.
"""

from __future__ import annotations

import csv
from collections.abc import Sequence
from dataclasses import dataclass
from functools import cached_property
from pathlib import Path
from typing import Any

import pandas as pd

from resdavenet_vq.data.store import Store
from resdavenet_vq.encode.codes import SplitCodes
from resdavenet_vq.errors import InputError
from resdavenet_vq.files import read_json
from resdavenet_vq.lineage import BASELINE, Lineage


@dataclass(frozen=True)
class Words:
    """Word detection of one layer: its summary, and its table with the best word first."""

    file: Path
    layer: str
    summary: dict[str, Any]
    table: pd.DataFrame

    @property
    def f1_threshold(self) -> float:
        """The F1 from which a word counts as detected."""
        said: float = self.summary["f1_threshold"]
        return said

    @property
    def detectors(self) -> pd.DataFrame:
        """The words that count: scored, and neither stop words nor silence."""
        return self.table[~self.table["is_stop_word"] & ~self.table["is_silence"]].dropna(subset=["f1"])


@dataclass(frozen=True)
class Model:
    """One lineage and what is known of its model."""

    lineage: Lineage
    folder: Path

    @property
    def name(self) -> str:
        """As it is shown: `{2} → {2,3}`, and the seed where the folder bears one."""
        return shown(str(self.lineage)) + ("" if self.lineage.seed is None else f" (seed {self.lineage.seed})")

    @cached_property
    def history(self) -> pd.DataFrame | None:
        """A row per epoch; None too of an imported model of which no epoch is known."""
        table = _table(self.folder / "model/history.csv")
        return None if table is None or table.empty else table

    @cached_property
    def retrieval(self) -> dict[str, Any] | None:
        """Scores, conditions and examples."""
        found: dict[str, Any] | None = _json(self.folder / "retrieval.json")
        return found

    @cached_property
    def words(self) -> list[Words]:
        """Of every quantizer that was scored, lowest layer first."""
        found = []
        for file in sorted(self.folder.glob("words/*/words.csv")):
            table, summary = _table(file), _json(file.with_name("summary.json"))
            if table is not None and summary is not None:
                if missing := [
                    c for c in ("word", "f1", "precision", "recall", "is_stop_word", "is_silence") if c not in table
                ]:
                    raise InputError(f"{file}: has no column {missing[0]!r}; score the words again")
                found.append(
                    Words(
                        file,
                        file.parent.name,
                        summary,
                        table.astype({"word": str}).sort_values("f1", ascending=False, kind="stable"),
                    )
                )
        return found

    def codes(self, split: str) -> SplitCodes | None:
        """The codes of a split, if they were written."""
        file = self.folder / f"codes/{split}.h5"
        return SplitCodes(file) if file.is_file() else None


@dataclass(frozen=True)
class Findings:
    """All that the report shows of a results/{corpus} folder."""

    root: Path
    models: tuple[Model, ...]

    @cached_property
    def summary(self) -> tuple[list[str], list[dict[str, str]]]:
        """Columns and rows of summary.csv, values as they are written there; a lineage of several seeds is named with
        the seed.

        Raises InputError where it is not there.
        """
        file = self.root / "summary.csv"
        try:
            with file.open(encoding="utf-8", newline="") as f:
                reader = csv.DictReader(f, restval="")
                columns, rows = list(reader.fieldnames or ()), list(reader)
        except FileNotFoundError:
            raise InputError(f"{file}: no such file; write the summary before the report") from None
        except (UnicodeDecodeError, csv.Error) as e:
            raise InputError(f"{file}: not a table ({e})") from None
        seeds: dict[str, set[str]] = {}
        for row in rows:
            seeds.setdefault(row["lineage"], set()).add(row.get("seed", ""))
        return columns, [
            row | {"lineage": f"{row['lineage']} (seed {row['seed']})"} if len(seeds[row["lineage"]]) > 1 else row
            for row in rows
        ]

    @cached_property
    def abx(self) -> dict[str, list[dict[str, Any]]]:
        """ABX results by split: those of the raw log-mel features first, then by lineage, the lowest layer first.

        Beside what a result says, `model` is the model as it is shown, and `phones` its table of errors by phones, or
        None.
        """
        results: dict[str, list[dict[str, Any]]] = {}
        folders = [(None, self.root / BASELINE), *((model.name, model.folder) for model in self.models)]
        for name, folder in folders:
            for file in sorted(folder.glob("abx/*/*.json"), key=lambda f: f.stem[-1:] + f.stem):
                result, phones = _json(file), file.with_suffix(".phones.csv")
                more = {"model": name or shown(result["lineage"]), "phones": phones if phones.is_file() else None}
                results.setdefault(file.parent.name, []).append(result | more)
        return results

    def store(self, split: str) -> Store | None:
        """The prepared split, if it is still there."""
        file = self.root / f"data/{split}.h5"
        return Store(file) if file.is_file() else None


def find(results: Path, lineages: Sequence[str]) -> Findings:
    """The findings of `lineages` (in notation or as folders) in results/{corpus}. Raises InputError for a name that is none."""
    models = []
    for text in lineages:
        try:
            lineage = Lineage.parse(text) if "{" in text else Lineage.from_folder(text)
        except ValueError as e:
            raise InputError(f"lineage {e}") from None
        models.append(Model(lineage, results / lineage.folder))
    return Findings(results, tuple(models))


def shown(lineage: str) -> str:
    """A lineage in notation with proper arrows."""
    return lineage.replace("->", " → ")


def _json(file: Path) -> Any:
    return read_json(file) if file.is_file() else None


def _table(file: Path) -> pd.DataFrame | None:
    if not file.is_file():
        return None
    try:
        return pd.read_csv(file, keep_default_na=False, na_values=[""])  # NA and NULL are words
    except (ValueError, UnicodeDecodeError) as e:
        raise InputError(f"{file}: not a table ({e})") from None
