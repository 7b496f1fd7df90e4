"""Trainings over epochs: which columns of history.csv are drawn together."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import pandas as pd

from resdavenet_vq.figures.charts import Line, Panel

DIRECTIONS = ("image_to_speech", "speech_to_image")

SHARE: dict[str, Any] = {"y_limits": (0, 1)}
LOG: dict[str, Any] = {"log": True}

PANELS: dict[str, tuple[str, str, str, dict[str, Any]]] = {
    "loss": ("Loss", "mean over training pairs", "loss", {}),
    "recall": ("Validation R@10", "mean of both directions", "mean_recall_at_10", SHARE),
    "recall-at-5": ("Validation R@5", "mean of both directions", "mean_recall_at_5", SHARE),
    "recall-at-1": ("Validation R@1", "mean of both directions", "mean_recall_at_1", SHARE),
    "perplexity": ("Perplexity", "codes", "quant*_perplexity", LOG),
    "codes-used": ("Codes in use", "codes", "quant*_codes_used", LOG),
    "live-codes": ("Live codes", "codes", "quant*_live_codes", LOG),
    "top-share": (
        "Top share",
        "share of frames with the most frequent code",
        "quant*_top_share",
        {"y_limits": (0, None)},
    ),
    "commitment": ("Commitment loss", "mean over training pairs", "quant*_commitment", {}),
}
"""By name: title, unit, column (`quant*` for each quantizer that is on) and the vertical axis."""

TRAINING = ("loss", "recall-at-1", "recall-at-5", "recall")
CODEBOOKS = ("perplexity", "codes-used", "live-codes", "top-share")
"""What stands together in a figure for a paper."""


def panels(histories: Sequence[tuple[str, pd.DataFrame]], wanted: Sequence[str] = tuple(PANELS)) -> list[Panel]:
    """What can be drawn of some histories, each with its model's name. Histories of one name are runs that differ in their seed."""
    found = []
    for name in wanted:
        title, unit, column, axis = PANELS[name]
        if lines := [line for model, history in histories for line in _lines(model, history, column)]:
            found.append(Panel(name, title, unit, lines, **axis))
    return found


def told(panel: Panel) -> str:
    """A panel in words: where its curves begin and end."""
    ends = (
        f"{line.name} from {line.y[0]:.3g} to {line.y[-1]:.3g} in {len(line.y)} epochs"
        for line in panel.lines
        if len(line.y)
    )
    return f"{panel.title} over epochs: {'; '.join(ends)}."


def _lines(model: str, history: pd.DataFrame, column: str) -> list[Line]:
    """The curves of one model: of a column, of both directions' mean where it is not one, or of each quantizer's."""
    epochs = history["epoch"].to_numpy(float)
    if column.startswith("quant*"):
        names = [
            name
            for name in map(str, history)
            if name.startswith("quant") and name.endswith(column.removeprefix("quant*"))
        ]
        return [Line(f"{model} {name.split('_')[0]}", epochs, history[name].to_numpy(float)) for name in names]
    if column in history:
        return [Line(model, epochs, history[column].to_numpy(float))]
    both = [column.replace("mean", direction) for direction in DIRECTIONS]
    return (
        [Line(model, epochs, history[both].mean(axis=1).to_numpy(float))]
        if all(name in history for name in both)
        else []
    )
