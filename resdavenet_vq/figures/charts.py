"""Charts of the report and of papers: word detection, and curves over epochs.

Pure functions of arrays that return a matplotlib Figure. Scores are between 0 and 1. `width` is in inches, for a paper;
without it a chart has the size of a page on a screen.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any, NamedTuple

import numpy as np
from matplotlib.figure import Figure
from matplotlib.lines import Line2D
from matplotlib.ticker import MaxNLocator

from resdavenet_vq.figures.style import DASHES, LINES, legend_below, marker, readable_log, styled


class Line(NamedTuple):
    """One curve: its name and its points. Curves of one name look the same, and are named once."""

    name: str
    x: np.ndarray
    y: np.ndarray


def precision_recall(
    words: Mapping[str, tuple[np.ndarray, np.ndarray]], best: int, width: float | None = None
) -> Figure:
    """Precision against recall of the best words of each model and layer, over curves of equal F1.

    `words` has (precision, recall), one value a word, best F1 first; the first `best` are drawn.
    """
    paper = width is not None
    with styled(paper=paper):
        figure = Figure(figsize=(width or 5.4, width or 5.4), layout="constrained")
        axes = figure.add_subplot()
        for f1 in (0.2, 0.3, 0.4, 0.5, 0.6, 0.7, 0.8, 0.9):
            recall = np.geomspace(f1 / (2 - f1), 1, 200)
            axes.plot(
                recall,
                f1 * recall / (2 * recall - f1),
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
        for i, (name, (precision, recall)) in enumerate(words.items()):
            axes.scatter(
                recall[:best],
                precision[:best],
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
    """How many words of each model and layer have at least a given F1, on a logarithmic axis; `threshold` is marked."""
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


class Panel(NamedTuple):
    """One chart of curves over epochs: its file's name, its title, the unit of its vertical axis, its curves, and the axis."""

    name: str
    title: str
    unit: str
    lines: Sequence[Line]
    y_limits: tuple[float, float | None] | None = None
    log: bool = False


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
    known = np.isfinite(line.y)
    axes.plot(line.x[known], line.y[known], label=line.name, **_look(number, paper=paper))


def _titles(panel: Panel, *, paper: bool) -> dict[str, str]:
    """A paper has room for one text beside a chart."""
    return {"ylabel": panel.title} if paper else {"title": panel.title, "ylabel": panel.unit}


def _look(number: int, *, paper: bool) -> dict[str, Any]:
    """Colour, dash and marker of a curve, by its number."""
    sizes = {"linewidth": 1.0, "markersize": 2.5} if paper else {"linewidth": 1.5, "markersize": 4}
    return sizes | {
        "color": LINES[number % len(LINES)],
        "linestyle": DASHES[number % len(DASHES)],
        "marker": marker(number),
    }
