"""Spectrograms under aligned rows of labels: of an utterance, of a part of it, or many side by side.

Pure functions of arrays that return a matplotlib Figure. Times are in seconds, frequencies in Hz, sizes in inches.
"""

from __future__ import annotations

from collections.abc import Collection, Sequence
from functools import cache
from typing import Any, NamedTuple

import numpy as np
from matplotlib.figure import Figure
from matplotlib.patches import Rectangle
from matplotlib.textpath import TextPath
from matplotlib.ticker import MaxNLocator, MultipleLocator

from resdavenet_vq.corpus.manifest import Interval, Utterance
from resdavenet_vq.encode.codes import SplitCodes
from resdavenet_vq.encode.units import FrameTime, code_runs
from resdavenet_vq.figures.registry import PAGE
from resdavenet_vq.figures.style import LINES, code_color, styled

INCHES_PER_SECOND = 4.0
"""Time scale of an aligned spectrogram on a screen: the shortest run of codes at 20 ms a frame still holds its number.
"""

MARGIN_LEFT, MARGIN_RIGHT = 1.2, 0.12
"""Inches beside an aligned spectrogram, whatever its length; the page's playhead counts on them."""


class Row(NamedTuple):
    """One line of time-aligned labels above a spectrogram."""

    name: str
    intervals: Sequence[Interval]
    colored: bool = False
    """Whether a box has the color of its code."""


class Segment(NamedTuple):
    """A part of an utterance, one of many on a contact sheet."""

    title: str
    spectrogram: np.ndarray
    rows: Sequence[Row]
    start: float
    end: float
    marked: Interval
    """The word or run of a code between the dashed lines."""


class _Layout(NamedTuple):
    """Sizes of an aligned spectrogram in inches, of its text in points."""

    left: float
    right: float
    above: float
    below: float
    picture: float
    label_row: float
    code_row: float
    gap: float
    label_size: int
    code_size: int
    name_size: float

    def heights(self, rows: Sequence[Row]) -> list[float]:
        return [self.code_row if row.colored else self.label_row for row in rows]

    def height(self, rows: Sequence[Row]) -> float:
        return self.above + sum(self.heights(rows)) + self.gap * bool(rows) + self.picture + self.below


_SCREEN = _Layout(MARGIN_LEFT, MARGIN_RIGHT, 0.08, 0.48, 2.0, 0.3, 0.46, 0.06, 9, 7, 9.0)
_PAPER = _Layout(0.78, 0.06, 0.04, 0.34, 1.0, 0.17, 0.24, 0.03, 7, 5, 6.5)


def aligned_rows(
    utterance: Utterance, codes: Sequence[tuple[str, SplitCodes, Collection[str]]], frame_time: FrameTime
) -> list[Row]:
    """Words and phones of an utterance, if aligned, and for each model the runs of codes of some layers."""
    rows = [
        Row(name, intervals)
        for name, intervals in (("words", utterance.words), ("phones", utterance.phones))
        if intervals
    ]
    return rows + [
        Row(f"{model}\n{layer}", code_runs(layer_codes, frame_period, frame_time), colored=True)
        for model, file, layers in codes
        for layer, layer_codes, frame_period in file.read_all(utterance.id)
        if layer in layers
    ]


def aligned_spectrogram(
    spectrogram: np.ndarray,
    hop: float,
    highest_frequency: float,
    rows: Sequence[Row],
    *,
    start: float = 0.0,
    end: float,
    width: float | None = None,
) -> Figure:
    """A spectrogram in grey with rows of aligned labels above it, for an utterance or a part of one.

    `spectrogram` (bins, frames) is in decibels, dark is loud; frame f is centered at f hops (seconds), bins go from 0
    to `highest_frequency` Hz. An interval that crosses `start` or `end` is cut there. The first row is the topmost.
    With a `width` (inches) the figure is for a paper; a label that does not fit is left out.
    """
    layout = _SCREEN if width is None else _PAPER
    wide = width or max(3.0, (end - start) * INCHES_PER_SECOND) + layout.left + layout.right
    with styled(paper=width is not None):
        figure = Figure(figsize=(wide, layout.height(rows)))
        axes = _draw_aligned(figure, (0.0, 0.0, wide), layout, spectrogram, hop, highest_frequency, rows, (start, end))
        axes.set(xlabel="Time (s)", ylabel="Frequency (Hz)")
        if width is None:
            axes.xaxis.set_major_locator(MultipleLocator(0.25) if end - start <= 12 else MaxNLocator(40))
    return figure


def contact_sheet(
    segments: Sequence[Segment],
    hop: float,
    highest_frequency: float,
    *,
    width: float = PAGE,
    columns: int | None = None,
) -> Figure:
    """Many segments side by side, each an aligned spectrogram under its title.

    All have the same time scale and the same rows' heights. All segments must have the same number and kinds of rows.
    Dashed lines stand at both ends of what is `marked`.
    """
    layout, title, foot = _PAPER._replace(picture=0.7, below=0.22), 0.18, 0.14
    columns = columns or max(1, min(len(segments), int(width / 1.7)))
    lines = -(-len(segments) // columns)
    longest = max(s.end - s.start for s in segments)
    cell, height = (width - (layout.left - layout.right)) / columns, layout.height(segments[0].rows) + title
    with styled(paper=True):
        figure = Figure(figsize=(width, height * lines + foot))
        for i, segment in enumerate(segments):
            line, column = divmod(i, columns)
            share = (segment.end - segment.start) / longest
            own = layout if column == 0 else layout._replace(left=layout.right)
            x, y = (column * cell + (layout.left - layout.right if column else 0.0), (lines - 1 - line) * height + foot)
            room = cell - 2 * layout.right
            box = (x, y, own.left + room * share + own.right)
            span = (segment.start, segment.end)
            axes = _draw_aligned(
                figure, box, own, segment.spectrogram, hop, highest_frequency, segment.rows, span, named=column == 0
            )
            for time in segment.marked[:2]:
                axes.axvline(time, color=LINES[1], linewidth=0.8, linestyle="--")
            figure.text(
                (x + own.left) / width,
                (y + height - 0.11) / (height * lines + foot),
                segment.title,
                fontsize=6.5,
                parse_math=False,
            )
            if column == 0 and line == lines - 1:
                axes.set(ylabel="Hz")
            if line == lines - 1 or i + columns >= len(segments):
                axes.set(xlabel="Time (s)")
    return figure


def _draw_aligned(
    figure: Figure,
    box: tuple[float, float, float],
    layout: _Layout,
    spectrogram: np.ndarray,
    hop: float,
    highest_frequency: float,
    rows: Sequence[Row],
    span: tuple[float, float],
    *,
    named: bool = True,
) -> Any:
    """Draws into the box (left, bottom, width; inches) of a figure; the axes of the spectrogram."""
    (left, bottom, wide), (start, end) = box, span
    width, height = figure.get_size_inches()
    inner = wide - layout.left - layout.right
    across = ((left + layout.left) / width, inner / width)
    axes = figure.add_axes((across[0], (bottom + layout.below) / height, across[1], layout.picture / height))
    first = max(0, int(start / hop) - 1)  # frames beside the segment only make files larger
    frames = spectrogram[:, first : int(np.ceil(end / hop)) + 2]
    axes.imshow(
        frames,
        origin="lower",
        aspect="auto",
        cmap="Greys",
        vmin=-80,
        vmax=0,
        extent=((first - 0.5) * hop, (first + frames.shape[1] - 0.5) * hop, 0, highest_frequency),
    )
    axes.set(xlim=span, ylim=(0, highest_frequency))
    axes.xaxis.set_major_locator(MaxNLocator(max(2, int(inner / 0.5)), steps=[1, 2, 2.5, 5, 10]))
    axes.yaxis.set_major_locator(MultipleLocator(2000 if layout.picture >= 1 else 4000))
    if not named:
        axes.tick_params(labelleft=False)
    if rows:
        heights = layout.heights(rows)
        above = (bottom + layout.below + layout.picture + layout.gap) / height
        labels = figure.add_axes((across[0], above, across[1], sum(heights) / height), sharex=axes)
        _draw_rows(labels, rows, layout, span, inner / (end - start), named=named)
    return axes


def _draw_rows(
    axes: Any, rows: Sequence[Row], layout: _Layout, span: tuple[float, float], inches_per_second: float, *, named: bool
) -> None:
    """Boxes with their labels; the axes' vertical unit is an inch, downwards."""
    heights = layout.heights(rows)
    axes.set(xlim=span, ylim=(sum(heights), 0))
    axes.tick_params(bottom=False, labelbottom=False, left=False)
    axes.spines[:].set_visible(False)
    tops = np.concatenate([[0.0], np.cumsum(heights)])
    axes.set_yticks(
        [top + h / 2 for top, h in zip(tops, heights, strict=False)], [row.name if named else "" for row in rows]
    )
    for tick, height in zip(axes.get_yticklabels(), heights, strict=True):
        parts = tick.get_text().split("\n")
        widest = max(_width(part) for part in parts)
        highest = 0.8 * height * 72 / len(parts)
        tick.set_fontsize(min(layout.name_size, (layout.left - 0.16) * 72 / max(widest, 1), highest))
    for row, top, height in zip(rows, tops, heights, strict=False):
        for interval in row.intervals:
            left, right = max(interval.start, span[0]), min(interval.end, span[1])
            if right <= left:
                continue
            color = code_color(int(interval.label)) if row.colored else "white"
            axes.add_patch(
                Rectangle((left, top), right - left, height, facecolor=color, edgecolor="#666666", linewidth=0.5)
            )
            largest = layout.code_size if row.colored else layout.label_size
            fit = _fitting(interval.label, (right - left) * inches_per_second * 72 - 1.5, height * 72 - 2, largest)
            if fit:
                size, rotation = fit
                place = ((left + right) / 2, top + height / 2)
                axes.text(
                    *place,
                    interval.label,
                    fontsize=size,
                    rotation=rotation,
                    ha="center",
                    va="center",
                    clip_on=True,
                    parse_math=False,
                )


def _fitting(label: str, width: float, height: float, largest: int) -> tuple[int, int] | None:
    """The largest size and the rotation at which a label fits a box (all in points): 0 degrees before 90, else None."""
    for rotation, along, across, smallest in ((0, width, height, min(6, largest)), (90, height, width, 5)):
        for size in range(largest, smallest - 1, -1):
            if _width(label) * size <= along and 0.75 * size <= across:
                return size, rotation
    return None


@cache
def _width(label: str) -> float:
    """Width of a label in units of its font size."""
    if not label.strip():
        return 0.0
    with styled():
        return float(TextPath((0, 0), label.replace("$", r"\$"), size=10).get_extents().width) / 10
