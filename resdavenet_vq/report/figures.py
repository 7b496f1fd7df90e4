"""The figures of the report: aligned spectrograms, word detection, and curves over epochs.

Pure functions of arrays that return a matplotlib Figure; only `save` touches the disk. Nothing here needs a display.

Conventions: times in seconds, frequencies in Hz, scores between 0 and 1. Every figure has a white background, so
that it reads the same on a light and on a dark page. Colour never carries meaning alone: runs of codes bear their
number, lines differ in marker and dash as well. The palettes are Okabe and Ito's (lines) and Paul Tol's "light"
(boxes under black text), both told apart by colour-blind readers.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from functools import cache
from pathlib import Path
from typing import Any, NamedTuple

import matplotlib as mpl
import numpy as np
from matplotlib.figure import Figure
from matplotlib.patches import Rectangle
from matplotlib.textpath import TextPath
from matplotlib.ticker import FuncFormatter, LogLocator, MaxNLocator, MultipleLocator, NullLocator

from resdavenet_vq.corpus.manifest import Interval
from resdavenet_vq.evaluation import units
from resdavenet_vq.evaluation.units import FrameTime
from resdavenet_vq.files import written_whole

BOXES = ("#77AADD", "#EE8866", "#EEDD88", "#FFAABB", "#99DDFF", "#44BB99", "#BBCC33", "#AAAA00", "#DDDDDD")
"""Colours of codes: nine light ones, each readable under black text."""

LINES = ("#0072B2", "#D55E00", "#009E73", "#CC79A7", "#000000", "#E69F00", "#56B4E9")
"""Colours of models and layers."""

MARKERS = "osD^vPX"
DASHES = ("-", "--", "-.", (0, (1, 1)), (0, (5, 1, 1, 1, 1, 1)))

INCHES_PER_SECOND = 4.0
"""Time scale of an aligned spectrogram: the shortest run of codes at 20 ms a frame still holds its number."""

MARGIN_LEFT, MARGIN_RIGHT = 1.2, 0.12
"""Inches beside an aligned spectrogram, whatever its length; the page's playhead counts on them."""

_STYLE: dict[str, Any] = {
    "font.family": "sans-serif",
    "font.sans-serif": ["DejaVu Sans"],
    "font.size": 10,
    "axes.spines.top": False,
    "axes.spines.right": False,
    "axes.edgecolor": "#555555",
    "axes.titlesize": 11,
    "axes.titleweight": "bold",
    "axes.titlelocation": "left",
    "axes.grid": False,
    "grid.color": "#DDDDDD",
    "grid.linewidth": 0.8,
    "figure.facecolor": "white",
    "axes.facecolor": "white",
    "savefig.facecolor": "white",
    "svg.hashsalt": "resdavenet-vq",
    "svg.fonttype": "path",
}


class Row(NamedTuple):
    """One line of time-aligned labels above a spectrogram."""

    name: str
    intervals: Sequence[Interval]
    coloured: bool = False
    """Whether boxes are coloured by their label: for runs of codes."""


class Line(NamedTuple):
    """One curve: its name and its points."""

    name: str
    x: np.ndarray
    y: np.ndarray


def save(figure: Figure, path: Path) -> None:
    """Writes a figure as SVG or PNG, by the file's suffix; whole, and with the same bytes for the same figure."""
    kind = path.suffix.removeprefix(".")
    metadata = {"Date": None} if kind == "svg" else {"Software": None}
    with mpl.rc_context(_STYLE), written_whole(path) as beside:
        figure.savefig(beside, format=kind, dpi=150, metadata=metadata)


def code_runs(codes: np.ndarray, frame_period: float, frame_time: FrameTime = "published") -> tuple[Interval, ...]:
    """Runs of equal codes of one utterance (T,), in time order, labelled by their code; for frame times see `evaluation.units`."""
    runs = units.runs(codes, np.array([0, len(codes)]))
    start, end = (np.round(units.frame_edges(frames, frame_period, frame_time), 6) for frames in (runs.start, runs.start + runs.length))
    return tuple(Interval(a, b, str(code)) for a, b, code in zip(start.tolist(), end.tolist(), runs.code.tolist(), strict=True))


def code_colour(code: int) -> str:
    """The colour of a code's boxes, in every row and figure the same."""
    return BOXES[code % len(BOXES)]


def aligned_spectrogram(
    spectrogram: np.ndarray, hop: float, highest_frequency: float, rows: Sequence[Row], *, start: float = 0.0, end: float
) -> Figure:
    """A spectrogram in grey with rows of aligned labels above it, for an utterance or a part of one.

    `spectrogram` (bins, frames) is in decibels, dark is loud; frame f is centred at f hops (seconds), bins go from 0 to
    `highest_frequency` Hz. Shown are the times from `start` to `end`; an interval that reaches over an edge is cut there.
    The first row is the topmost.
    """
    heights = [0.46 if row.coloured else 0.3 for row in rows]
    width = max(3.0, (end - start) * INCHES_PER_SECOND) + MARGIN_LEFT + MARGIN_RIGHT
    above, below, picture, gap = 0.08, 0.48, 2.0, 0.06
    height = above + sum(heights) + gap * bool(rows) + picture + below
    inches = (width - MARGIN_LEFT - MARGIN_RIGHT) / (end - start)
    with mpl.rc_context(_STYLE):
        figure = Figure(figsize=(width, height))
        box = (MARGIN_LEFT / width, (width - MARGIN_LEFT - MARGIN_RIGHT) / width)
        axes = figure.add_axes((box[0], below / height, box[1], picture / height))
        axes.imshow(
            spectrogram,
            origin="lower",
            aspect="auto",
            cmap="Greys",
            vmin=-80,
            vmax=0,
            extent=(-hop / 2, (spectrogram.shape[1] - 0.5) * hop, 0, highest_frequency),
        )
        axes.set(xlim=(start, end), ylim=(0, highest_frequency), xlabel="Time (s)", ylabel="Frequency (Hz)")
        axes.xaxis.set_major_locator(MultipleLocator(0.25) if end - start <= 12 else MaxNLocator(40))
        axes.yaxis.set_major_locator(MultipleLocator(2000))
        if rows:
            labels = figure.add_axes((box[0], (below + picture + gap) / height, box[1], sum(heights) / height), sharex=axes)
            _draw_rows(labels, rows, heights, (start, end), inches)
    return figure


def _draw_rows(axes: Any, rows: Sequence[Row], heights: Sequence[float], span: tuple[float, float], inches_per_second: float) -> None:
    """Boxes with their labels; the axes' vertical unit is an inch, downwards."""
    axes.set(xlim=span, ylim=(sum(heights), 0))
    axes.tick_params(bottom=False, labelbottom=False, left=False)
    axes.spines[:].set_visible(False)
    tops = np.concatenate([[0.0], np.cumsum(heights)])
    axes.set_yticks([top + h / 2 for top, h in zip(tops, heights, strict=False)], [row.name for row in rows])
    for tick in axes.get_yticklabels():
        widest = max(_width(part) for part in tick.get_text().split("\n"))
        tick.set_fontsize(min(9.0, (MARGIN_LEFT - 0.12) * 72 / max(widest, 1)))
    for row, top, height in zip(rows, tops, heights, strict=False):
        for interval in row.intervals:
            left, right = max(interval.start, span[0]), min(interval.end, span[1])
            if right <= left:
                continue
            colour = code_colour(int(interval.label)) if row.coloured else "white"
            axes.add_patch(Rectangle((left, top), right - left, height, facecolor=colour, edgecolor="#666666", linewidth=0.5))
            fit = _fitting(interval.label, (right - left) * inches_per_second * 72 - 1.5, height * 72 - 2, 7 if row.coloured else 9)
            if fit:
                size, rotation = fit
                place = ((left + right) / 2, top + height / 2)
                axes.text(
                    *place, interval.label, fontsize=size, rotation=rotation, ha="center", va="center", clip_on=True, parse_math=False
                )


def _fitting(label: str, width: float, height: float, largest: int) -> tuple[int, int] | None:
    """The largest size and the rotation at which a label fits a box (all in points); lying first, then standing, or None."""
    for rotation, along, across, smallest in ((0, width, height, 6), (90, height, width, 5)):
        for size in range(largest, smallest - 1, -1):
            if _width(label) * size <= along and 0.75 * size <= across:
                return size, rotation
    return None


@cache
def _width(label: str) -> float:
    """Width of a label in units of its font size."""
    if not label.strip():
        return 0.0
    with mpl.rc_context(_STYLE):
        return float(TextPath((0, 0), label.replace("$", r"\$"), size=10).get_extents().width) / 10


def precision_recall(words: Mapping[str, tuple[np.ndarray, np.ndarray]], best: int) -> Figure:
    """Precision against recall of the best words of each model and layer, over curves of equal F1.

    `words` has (precision, recall), one value a word, best F1 first; the first `best` are drawn.
    """
    with mpl.rc_context(_STYLE):
        figure = Figure(figsize=(5.4, 5.4), layout="constrained")
        axes = figure.add_subplot()
        for f1 in (0.2, 0.3, 0.4, 0.5, 0.6, 0.7, 0.8, 0.9):
            recall = np.geomspace(f1 / (2 - f1), 1, 200)
            axes.plot(
                recall, f1 * recall / (2 * recall - f1), color="#BBBBBB", linewidth=1.4 if f1 == 0.5 else 0.8, zorder=0, gid="equal-f1"
            )
            axes.annotate(
                f"F1 {f1:.1f}",
                (1.0, f1 / (2 - f1)),
                xytext=(7, 0),
                textcoords="offset points",
                va="center",
                fontsize=8,
                color="#555555",
                annotation_clip=False,
            )
        for i, (name, (precision, recall)) in enumerate(words.items()):
            axes.scatter(
                recall[:best],
                precision[:best],
                s=22,
                marker=MARKERS[i % len(MARKERS)],
                facecolor="none",
                edgecolor=LINES[i % len(LINES)],
                linewidth=1.1,
                clip_on=False,
                label=name,
            )
        axes.set(
            xlim=(0, 1),
            ylim=(0, 1.02),
            xlabel="Recall",
            ylabel="Precision",
        )
        if words:
            _legend_below(figure, len(words))
    return figure


def words_above(f1: Mapping[str, np.ndarray], threshold: float) -> Figure:
    """How many words of each model and layer have at least a given F1, on a logarithmic axis; `threshold` is marked."""
    with mpl.rc_context(_STYLE):
        figure = Figure(figsize=(5.4, 4.0), layout="constrained")
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
                linewidth=1.8,
                label=name,
            )
        most = max((len(v) for v in f1.values()), default=1)
        axes.set(xlim=(0, 1), yscale="log", ylim=(0.8, max(2, most) * 1.3), xlabel="F1 threshold", ylabel="Words with at least this F1")
        _readable_log(axes.yaxis)
        axes.grid(visible=True, axis="y")
        _legend_below(figure, len(f1))
    return figure


def curves(title: str, y_label: str, lines: Sequence[Line], *, y_limits: tuple[float, float] | None = None, log: bool = False) -> Figure:
    """Curves over epochs in one set of axes; a line without finite values is left out."""
    with mpl.rc_context(_STYLE):
        figure = Figure(figsize=(5.2, 3.1), layout="constrained")
        axes = figure.add_subplot()
        for i, line in enumerate(lines):
            known = np.isfinite(line.y)
            if known.any():
                axes.plot(
                    line.x[known],
                    line.y[known],
                    color=LINES[i % len(LINES)],
                    linestyle=DASHES[i % len(DASHES)],
                    marker=MARKERS[i % len(MARKERS)],
                    markersize=4,
                    label=line.name,
                )
        axes.set(title=title, xlabel="Epoch", ylabel=y_label)
        if log:
            axes.set_yscale("log")
            _readable_log(axes.yaxis)
        if y_limits:
            axes.set_ylim(*y_limits)
        axes.xaxis.set_major_locator(MaxNLocator(integer=True))
        axes.grid(visible=True, axis="y")
        _legend_below(figure, len(axes.lines))
    return figure


def _legend_below(figure: Figure, n_lines: int) -> None:
    """A legend under the axes, and the figure made higher by it: never over a line, however many there are."""
    if n_lines:
        figure.set_figheight(figure.get_figheight() + 0.12 + 0.21 * -(-n_lines // 2))
        figure.legend(loc="outside lower left", ncols=2, frameon=False, fontsize=9)


def _readable_log(axis: Any) -> None:
    """Ticks at 1, 2, 5, 10, ... written out."""
    axis.set_major_locator(LogLocator(subs=(1, 2, 5)))
    axis.set_major_formatter(FuncFormatter(lambda value, _: f"{value:g}"))
    axis.set_minor_locator(NullLocator())
