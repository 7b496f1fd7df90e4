"""Charts of word detection, and of trainings over epochs.

What a chart shows is computed once, for matplotlib here and for Plotly in `figures.interactive`. Scores are between 0
and 1. `width` is in inches.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from fnmatch import fnmatch
from typing import Any, NamedTuple

import numpy as np
import pandas as pd
from matplotlib.figure import Figure
from matplotlib.lines import Line2D
from matplotlib.ticker import MaxNLocator

from resdavenet_vq.evaluation.summary import IMAGE_TO_SPEECH, SPEECH_TO_IMAGE
from resdavenet_vq.figures.style import DASHES, LINES, legend_below, marker, readable_log, styled

F1_LEVELS = (0.2, 0.3, 0.4, 0.5, 0.6, 0.7, 0.8, 0.9)
"""Of the curves of equal F1."""


def equal_f1(f1: float, points: int = 200) -> tuple[np.ndarray, np.ndarray]:
    """Recall and precision along the curve of equal F1, up to a recall of 1."""
    recall = np.geomspace(f1 / (2 - f1), 1, points)
    return recall, f1 * recall / (2 * recall - f1)


@styled(paper=True)
def precision_recall(words: Mapping[str, pd.DataFrame], width: float) -> Figure:
    """Precision against recall of some words of each model and layer, over curves of equal F1.

    `words` has tables with the columns `precision` and `recall`.
    """
    figure = Figure(figsize=(width, width), layout="constrained")
    axes = figure.add_subplot()
    for f1 in F1_LEVELS:
        line = 1.4 if f1 == 0.5 else 0.8
        axes.plot(*equal_f1(f1), color="#BBBBBB", linewidth=line, zorder=0, gid="equal-f1")
        text: dict[str, Any] = {"va": "center", "fontsize": 6, "color": "#555555", "annotation_clip": False}
        axes.annotate(f"F1 {f1:.1f}", (1.0, f1 / (2 - f1)), xytext=(7, 0), textcoords="offset points", **text)
    points = [
        axes.scatter(
            table["recall"],
            table["precision"],
            s=10,
            marker=marker(i),
            facecolor="none",
            edgecolor=LINES[i % len(LINES)],
            linewidth=0.7,
            clip_on=False,
            label=name,
        )
        for i, (name, table) in enumerate(words.items())
    ]
    axes.set(xlim=(0, 1), ylim=(0, 1.02), xlabel="Recall", ylabel="Precision")
    legend_below(figure, points, paper=True)
    return figure


def words_above(f1: Mapping[str, np.ndarray], threshold: float, width: float | None) -> Figure:
    """The number of words of each model and layer with at least a given F1, on a logarithmic axis.

    `threshold` is marked. Without a width the figure is for a page on a screen.
    """
    paper, most = width is not None, max(map(len, f1.values()), default=1)
    with styled(paper=paper):
        figure = Figure(figsize=(width or 5.4, 0.72 * width if width else 4.0), layout="constrained")
        axes = figure.add_subplot()
        axes.axvline(threshold, color="#999999", linewidth=1, linestyle=":")
        for i, (name, values) in enumerate(f1.items()):
            look = {"color": LINES[i % len(LINES)], "linestyle": DASHES[i % len(DASHES)]}
            counts = np.r_[len(values), np.arange(len(values), 0, -1)]
            line = 1.2 if paper else 1.8
            axes.step(np.r_[0.0, np.sort(values)], counts, where="pre", linewidth=line, label=name, **look)
        axes.set(xlim=(0, 1), yscale="log", ylim=(0.8, max(2, most) * 1.3))
        axes.set(xlabel="F1 threshold", ylabel="Words with at least this F1 (log)")
        readable_log(axes.yaxis)
        axes.grid(visible=True, axis="y")
        legend_below(figure, axes.get_legend_handles_labels()[0], paper=paper)
    return figure


class Line(NamedTuple):
    """One curve: its name and its points. Curves of one name look the same, and have one entry in the legend."""

    name: str
    x: np.ndarray
    y: np.ndarray


class Panel(NamedTuple):
    """One chart of curves over epochs; `column` has `quant*` for each quantizer that is on."""

    name: str
    title: str
    unit: str
    column: str
    y_limits: tuple[float, float | None] | None = None
    log: bool = False
    lines: Sequence[Line] = ()


PANELS = (
    Panel("loss", "Loss", "mean over training pairs", "loss"),
    Panel("recall", "Validation R@10", "mean of both directions", "mean_recall_at_10", (0, 1)),
    Panel("recall-at-5", "Validation R@5", "mean of both directions", "mean_recall_at_5", (0, 1)),
    Panel("recall-at-1", "Validation R@1", "mean of both directions", "mean_recall_at_1", (0, 1)),
    Panel("perplexity", "Perplexity", "codes", "quant*_perplexity", log=True),
    Panel("codes-used", "Codes in use", "codes", "quant*_codes_used", log=True),
    Panel("live-codes", "Live codes", "codes", "quant*_live_codes", log=True),
    Panel("top-share", "Top share", "share of the most frequent code", "quant*_top_share", (0, None)),
    Panel("commitment", "Commitment loss", "mean over training pairs", "quant*_commitment"),
    Panel("learning-rate", "Learning rate", "of Adam", "learning_rate", log=True),
)

TRAINING = ("loss", "recall-at-1", "recall-at-5", "recall")
CODEBOOKS = ("perplexity", "codes-used", "live-codes", "top-share")
"""The panels of these two figures."""


def panels(histories: Sequence[tuple[str, pd.DataFrame]], names: Sequence[str] = ()) -> list[Panel]:
    """The panels (of `names`, in this order, or all) that some histories, each with its model's name, have values for.

    Histories of one name differ in their seed.
    """
    by_name = {panel.name: panel for panel in PANELS}
    chosen = [by_name[name] for name in names or by_name]
    filled = (
        panel._replace(lines=[line for model, history in histories for line in _lines(model, history, panel.column)])
        for panel in chosen
    )
    return [panel for panel in filled if panel.lines]


def describe(panel: Panel) -> str:
    """A panel in words: the first and last values of its curves."""
    ends = (
        f"{line.name} from {line.y[0]:.3g} to {line.y[-1]:.3g} in {len(line.y)} epochs"
        for line in panel.lines
        if len(line.y)
    )
    return f"{panel.title} over epochs: {'; '.join(ends)}."


def _lines(model: str, history: pd.DataFrame, column: str) -> list[Line]:
    """The curves of one model: of a column, of the mean of both directions, or of each quantizer."""
    both = [column.replace("mean", direction) for direction in (IMAGE_TO_SPEECH, SPEECH_TO_IMAGE)]
    values: dict[str, pd.Series] = {}
    if column.startswith("quant*"):
        values = {f"{model} {name.split('_')[0]}": history[name] for name in map(str, history) if fnmatch(name, column)}
    elif column in history:
        values = {model: history[column]}
    elif all(name in history for name in both):
        values = {model: history[both].mean(axis=1)}
    return [Line(name, history["epoch"].to_numpy(float), y.to_numpy(float)) for name, y in values.items()]


@styled(paper=True)
def curves(panels: Sequence[Panel], width: float) -> Figure:
    """Curves over epochs, two charts side by side where there are several; a curve without finite values is left out.

    A curve looks the same in all charts, and the legend is that of all. The title stands beside the axis.
    """
    columns = min(2, len(panels))
    lines = -(-len(panels) // columns)
    height = lines * (0.7 if columns > 1 else 0.6) * width / columns
    figure = Figure(figsize=(width, height), layout="constrained")
    names = list(dict.fromkeys(line.name for panel in panels for line in panel.lines if np.isfinite(line.y).any()))
    looks: dict[str, dict[str, Any]] = {
        name: {
            "linewidth": 1.0,
            "markersize": 2.5,
            "color": LINES[i % len(LINES)],
            "linestyle": DASHES[i % len(DASHES)],
            "marker": marker(i),
            "label": name,
        }
        for i, name in enumerate(names)
    }
    for number, panel in enumerate(panels):
        axes = figure.add_subplot(lines, columns, number + 1)
        for line in panel.lines:
            finite = np.isfinite(line.y)
            if finite.any():
                axes.plot(line.x[finite], line.y[finite], **looks[line.name])
        axes.set(xlabel="Epoch" if number + columns >= len(panels) else "", ylabel=panel.title + " (log)" * panel.log)
        if panel.y_limits:
            axes.set_ylim(*panel.y_limits)
        if panel.log:
            axes.set_yscale("log")
            readable_log(axes.yaxis)
        axes.xaxis.set_major_locator(MaxNLocator(integer=True))
        axes.grid(visible=True, axis="y")
    legend_below(figure, [Line2D([], [], **look) for look in looks.values()], paper=True)
    return figure
