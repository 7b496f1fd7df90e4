"""How models were trained: curves over epochs, the epochs whose weights were kept, and what it cost."""

from __future__ import annotations

import math
from typing import Any

import pandas as pd

from resdavenet_vq.figures import charts, interactive
from resdavenet_vq.lineage import Lineage
from resdavenet_vq.report import columns
from resdavenet_vq.report.assets import Folder
from resdavenet_vq.results import BEST, Results

HOUR = 3600.0
"""In seconds."""


def content(results: Results, folder: Folder) -> dict[str, Any] | None:
    """The values for the page; None where nothing was trained."""
    trained = [(model, model.history) for model in results.models if model.history is not None]
    if not trained:
        return None
    panels = charts.panels([(model.name, history) for model, history in trained])
    best = [{"model": model.name} | history.loc[best_epoch(history)].to_dict() for model, history in trained]
    names = list(dict.fromkeys(name for row in best for name in row))[1:]
    return {
        "charts": [(panel.title, interactive.curves(panel, charts.describe(panel))) for panel in panels],
        "csvs": [
            (model.name, folder.copy(model.folder / "model/history.csv", f"tables/history-{number}.csv"))
            for number, (model, _) in enumerate(trained, 1)
        ],
        "best": best,
        "columns": [(name, columns.history_column(name)) for name in names],
        "costs": _costs(results),
    }


def best_epoch(history: pd.DataFrame) -> Any:
    """The epoch whose weights were kept: the first of highest R@10."""
    return history[BEST].idxmax() if BEST in history else history.index[-1]


def _costs(results: Results) -> list[dict[str, Any]]:
    """Of each model whose history has seconds: epochs, hours alone and with its ancestors, and medians over epochs.

    Those are of seconds, pairs a second, and the share of time spent waiting for data. What is unknown is None.
    """
    histories = {
        model.system: (model.name, model.history)
        for model in results.models
        if isinstance(model.system, Lineage) and model.history is not None and "seconds" in model.history
    }
    hours = {lineage: float(history["seconds"].sum()) / HOUR for lineage, (_, history) in histories.items()}
    rows = []
    for lineage, (name, history) in histories.items():
        whole, ancestor = hours[lineage], lineage.parent
        while ancestor is not None:
            whole, ancestor = whole + hours.get(ancestor, math.nan), ancestor.parent
        medians = {
            column: float(history[column].median()) if column in history else None
            for column in ("seconds", "pairs_per_second", "data_wait")
        }
        row = {"model": name, "epochs": len(history), "hours": hours[lineage]}
        rows.append(row | {"whole": None if math.isnan(whole) else whole} | medians)
    return rows
