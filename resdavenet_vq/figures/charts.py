"""Charts of word detection, and of trainings over epochs.

What a chart shows is computed once, for matplotlib here and for Plotly in `figures.interactive`. Scores are between 0
and 1. `width` is in inches, for a paper; without it a chart has the size of a page on a screen.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any, NamedTuple

import numpy as np
import pandas as pd
from matplotlib.figure import Figure
from matplotlib.lines import Line2D
from matplotlib.ticker import MaxNLocator

from resdavenet_vq.figures.style import DASHES, LINES, legend_below, marker, readable_log, styled

F1_LEVELS = (0.2, 0.3, 0.4, 0.5, 0.6, 0.7, 0.8, 0.9)
"""Of the curves of equal F1."""


def equal_f1(f1: float, points: int = 200) -> tuple[np.ndarray, np.ndarray]:
    """Recall and precision along the curve of equal F1, up to a recall of 1."""
    recall = np.geomspace(f1 / (2 - f1), 1, points)
    return recall, f1 * recall / (2 * recall - f1)


def precision_recall(words: Mapping[str, pd.DataFrame], width: float | None = None) -> Figure:
    """Precision against recall of some words of each model and layer, over curves of equal F1.

    `words` has tables with the columns `precision` and `recall`.
    """
    paper = width is not None
    with styled(paper=paper):
        figure = Figure(figsize=(width or 5.4, width or 5.4), layout="constrained")
        axes = figure.add_subplot()
        for f1 in F1_LEVELS:
            axes.plot(
                *equal_f1(f1),
                color="#BBBBBB",
                linewidth=1.4 if f1 == 0.5 else 0.8,
                zorder=0,
                gid="equal-f1",
            )
            axes.annotate(
                f"F1 {f1:.1f}",
                (1.0, f1 / (2 - f1)),
                xytext=(7, 0),
                textcoords="offset points",
                va="center",
                fontsize=6 if paper else 8,
                color="#555555",
                annotation_clip=False,
            )
        for i, (name, table) in enumerate(words.items()):
            axes.scatter(
                table["recall"],
                table["precision"],
                s=10 if paper else 22,
                marker=marker(i),
                facecolor="none",
                edgecolor=LINES[i % len(LINES)],
                linewidth=0.7 if paper else 1.1,
                clip_on=False,
                label=name,
            )
        axes.set(xlim=(0, 1), ylim=(0, 1.02), xlabel="Recall", ylabel="Precision")
        legend_below(figure, list(words), paper=paper)
    return figure


def words_above(f1: Mapping[str, np.ndarray], threshold: float, width: float | None = None) -> Figure:
    """The number of words of each model and layer with at least a given F1, on a logarithmic axis.

    `threshold` is marked.
    """
    paper = width is not None
    with styled(paper=paper):
        figure = Figure(figsize=(width or 5.4, 0.72 * width if width else 4.0), layout="constrained")
        axes = figure.add_subplot()
        axes.axvline(threshold, color="#999999", linewidth=1, linestyle=":")
        for i, (name, values) in enumerate(f1.items()):
            descending = np.sort(values)[::-1]
            axes.step(
                np.r_[0.0, descending[::-1]],
                np.r_[len(descending), np.arange(len(descending), 0, -1)],
                where="pre",
                color=LINES[i % len(LINES)],
                linestyle=DASHES[i % len(DASHES)],
                linewidth=1.2 if paper else 1.8,
                label=name,
            )
        most = max((len(v) for v in f1.values()), default=1)
        axes.set(
            xlim=(0, 1),
            yscale="log",
            ylim=(0.8, max(2, most) * 1.3),
            xlabel="F1 threshold",
            ylabel="Words with at least this F1",
        )
        readable_log(axes.yaxis)
        axes.grid(visible=True, axis="y")
        legend_below(figure, list(f1), paper=paper)
    return figure


class Line(NamedTuple):
    """One curve: its name and its points. Curves of one name look the same, and have one entry in the legend."""

    name: str
    x: np.ndarray
    y: np.ndarray


class Panel(NamedTuple):
    """One chart of curves over epochs: name, title, unit of the vertical axis, curves, and the axis."""

    name: str
    title: str
    unit: str
    lines: Sequence[Line]
    y_limits: tuple[float, float | None] | None = None
    log: bool = False


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
"""The panels of these two figures."""


def panels(histories: Sequence[tuple[str, pd.DataFrame]], names: Sequence[str] = tuple(PANELS)) -> list[Panel]:
    """The panels that some histories, each with its model's name, have values for.

    Histories of one name differ in their seed.
    """
    drawable = []
    for name in names:
        title, unit, column, axis = PANELS[name]
        if lines := [line for model, history in histories for line in _lines(model, history, column)]:
            drawable.append(Panel(name, title, unit, lines, **axis))
    return drawable


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


def curves(panels: Sequence[Panel], width: float | None = None) -> Figure:
    """Curves over epochs, two charts side by side where there are several; a curve without finite values is left out.

    A curve looks the same in all charts, and the legend is that of all.
    """
    paper, columns = width is not None, min(2, len(panels))
    lines = -(-len(panels) // columns)
    wide = width or 5.2 * columns
    with styled(paper=paper):
        figure = Figure(
            figsize=(wide, lines * (0.7 if paper and columns > 1 else 0.6) * wide / columns), layout="constrained"
        )
        names = list(dict.fromkeys(line.name for panel in panels for line in panel.lines if np.isfinite(line.y).any()))
        for number, panel in enumerate(panels):
            axes = figure.add_subplot(lines, columns, number + 1)
            for line in panel.lines:
                if line.name in names:
                    _draw_curve(axes, line, names.index(line.name), paper=paper)
            axes.set(xlabel="Epoch" if number + columns >= len(panels) else "", **_titles(panel, paper=paper))
            if panel.y_limits:
                axes.set_ylim(*panel.y_limits)
            if panel.log:
                axes.set_yscale("log")
                readable_log(axes.yaxis)
            axes.xaxis.set_major_locator(MaxNLocator(integer=True))
            axes.grid(visible=True, axis="y")
        handles = [Line2D([], [], label=name, **_look(i, paper=paper)) for i, name in enumerate(names)]
        legend_below(figure, names, paper=paper, handles=handles)
    return figure


def _draw_curve(axes: Any, line: Line, number: int, *, paper: bool) -> None:
    finite = np.isfinite(line.y)
    axes.plot(line.x[finite], line.y[finite], label=line.name, **_look(number, paper=paper))


def _titles(panel: Panel, *, paper: bool) -> dict[str, str]:
    """In a paper the title stands beside the axis, instead of the unit."""
    return {"ylabel": panel.title} if paper else {"title": panel.title, "ylabel": panel.unit}


def _look(number: int, *, paper: bool) -> dict[str, Any]:
    """Color, dash and marker of a curve, by its number."""
    sizes = {"linewidth": 1.0, "markersize": 2.5} if paper else {"linewidth": 1.5, "markersize": 4}
    return sizes | {
        "color": LINES[number % len(LINES)],
        "linestyle": DASHES[number % len(DASHES)],
        "marker": marker(number),
    }
