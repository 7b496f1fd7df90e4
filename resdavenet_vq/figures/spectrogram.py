"""Spectrograms under aligned rows of labels, for a paper: of a part of an utterance, or of many side by side.

Times are in seconds, frequencies in Hz, sizes in inches.
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
from resdavenet_vq.data.features import PLOT_FRAME_PERIOD, SAMPLE_RATE
from resdavenet_vq.encode.codes import SplitCodes
from resdavenet_vq.encode.units import FrameTime
from resdavenet_vq.figures.registry import PAGE
from resdavenet_vq.figures.style import LINES, code_color, literal, styled

_LEFT, _RIGHT, _ABOVE, _GAP = 0.78, 0.06, 0.04, 0.03
"""Beside a spectrogram, above its rows, and between both."""

_LABEL_ROW, _CODE_ROW = 0.17, 0.24
_LABEL_SIZE, _CODE_SIZE, _NAME_SIZE = 7, 5, 6.5
"""Heights of rows, and the largest sizes of their text in points."""


class Row(NamedTuple):
    """One line of time-aligned labels above a spectrogram."""

    name: str
    intervals: Sequence[Interval]
    colored: bool = False
    """Whether a box has the color of its code."""

    @property
    def height(self) -> float:
        """In inches."""
        return _CODE_ROW if self.colored else _LABEL_ROW


class Segment(NamedTuple):
    """A part of an utterance: the spectrogram as of `features.plot_spectrogram`, and its rows from the top."""

    title: str
    spectrogram: np.ndarray
    rows: Sequence[Row]
    start: float
    end: float
    marked: Interval | None = None
    """The word or run of a code between dashed lines on a contact sheet."""


def aligned_rows(
    utterance: Utterance, codes: Sequence[tuple[str, SplitCodes, Collection[str]]], frame_time: FrameTime
) -> list[Row]:
    """Words and phones of an utterance, if aligned, and for each model the runs of codes of some layers."""
    tiers = (("words", utterance.words), ("phones", utterance.phones))
    return [Row(name, intervals) for name, intervals in tiers if intervals] + [
        Row(f"{model}\n{layer}", tier, colored=True)
        for model, file, layers in codes
        for layer, tier in file.tiers(utterance.id, frame_time)
        if layer in layers
    ]


@styled(paper=True)
def aligned_spectrogram(segment: Segment, width: float) -> Figure:
    """A spectrogram in grey, dark is loud, with rows of aligned labels above it.

    An interval that crosses the start or the end is cut there; a label that does not fit is left out.
    """
    below, picture = 0.34, 1.0
    figure = Figure(figsize=(width, _height(segment.rows, below, picture)))
    axes = _draw_aligned(figure, (0.0, below, width, picture), segment)
    axes.set(xlabel="Time (s)", ylabel="Frequency (Hz)")
    return figure


@styled(paper=True)
def contact_sheet(segments: Sequence[Segment], width: float = PAGE) -> Figure:
    """Many segments side by side, each an aligned spectrogram under its title.

    All have one time scale, and must have the same number and kinds of rows. Dashed lines stand at both ends of what is
    `marked`.
    """
    below, picture, title, foot = 0.22, 0.7, 0.18, 0.14
    columns = max(1, min(len(segments), int(width / 1.7)))
    lines = -(-len(segments) // columns)
    longest = max(s.end - s.start for s in segments)
    cell = (width - (_LEFT - _RIGHT)) / columns
    height = _height(segments[0].rows, below, picture) + title
    figure = Figure(figsize=(width, height * lines + foot))
    for i, segment in enumerate(segments):
        line, column = divmod(i, columns)
        margin, left = (_RIGHT, column * cell + (_LEFT - _RIGHT)) if column else (_LEFT, 0.0)
        bottom, share = (lines - 1 - line) * height + foot, (segment.end - segment.start) / longest
        box = (left, bottom + below, margin + (cell - 2 * _RIGHT) * share + _RIGHT, picture)
        axes = _draw_aligned(figure, box, segment, named=column == 0)
        for time in (segment.marked or ())[:2]:
            axes.axvline(time, color=LINES[1], linewidth=0.8, linestyle="--")
        place = ((left + margin) / width, (bottom + height - 0.11) / (height * lines + foot))
        figure.text(*place, literal(segment.title, 80), fontsize=6.5)
        if column == 0 and line == lines - 1:
            axes.set(ylabel="Hz")
        if line == lines - 1 or i + columns >= len(segments):
            axes.set(xlabel="Time (s)")
    return figure


def _height(rows: Sequence[Row], below: float, picture: float) -> float:
    """Of an aligned spectrogram."""
    return _ABOVE + sum(row.height for row in rows) + _GAP * bool(rows) + picture + below


def _draw_aligned(
    figure: Figure, box: tuple[float, float, float, float], segment: Segment, *, named: bool = True
) -> Any:
    """The axes of a spectrogram in a box (left, bottom, width, height) of a figure, under its rows.

    The width has margins to the left, wide where the rows are named, and to the right.
    """
    margin = _LEFT if named else _RIGHT
    left, inner, bottom, picture = box[0] + margin, box[2] - margin - _RIGHT, box[1], box[3]
    start, end, rows = segment.start, segment.end, segment.rows
    width, height = figure.get_size_inches()
    axes = figure.add_axes((left / width, bottom / height, inner / width, picture / height))
    hop, highest = PLOT_FRAME_PERIOD, SAMPLE_RATE / 2
    first = max(0, int(start / hop) - 1)  # frames beside the segment only make files larger
    frames = segment.spectrogram[:, first : int(np.ceil(end / hop)) + 2]
    extent = ((first - 0.5) * hop, (first + frames.shape[1] - 0.5) * hop, 0, highest)
    axes.imshow(frames, origin="lower", aspect="auto", cmap="Greys", vmin=-80, vmax=0, extent=extent)
    axes.set(xlim=(start, end), ylim=(0, highest))
    axes.xaxis.set_major_locator(MaxNLocator(max(2, int(inner / 0.5)), steps=[1, 2, 2.5, 5, 10]))
    axes.yaxis.set_major_locator(MultipleLocator(2000 if picture >= 1 else 4000))
    axes.tick_params(labelleft=named)
    if rows:
        above, total = bottom + picture + _GAP, sum(row.height for row in rows)
        labels = figure.add_axes((left / width, above / height, inner / width, total / height), sharex=axes)
        labels.set(xlim=(start, end), ylim=(total, 0))  # in inches, downwards
        _draw_rows(labels, rows, inner / (end - start), named=named)
    return axes


def _draw_rows(axes: Any, rows: Sequence[Row], inches_per_second: float, *, named: bool) -> None:
    """Boxes with their labels."""
    axes.tick_params(bottom=False, labelbottom=False, left=False)
    axes.spines[:].set_visible(False)
    tops = np.cumsum([0.0, *(row.height for row in rows)])[:-1]
    middles = [top + row.height / 2 for top, row in zip(tops, rows, strict=True)]
    axes.set_yticks(middles, [row.name if named else "" for row in rows])
    for tick, row in zip(axes.get_yticklabels(), rows, strict=True):
        parts = tick.get_text().split("\n")
        widest = max(_width(part) for part in parts)
        highest = 0.8 * row.height * 72 / len(parts)
        tick.set_fontsize(min(_NAME_SIZE, (_LEFT - 0.16) * 72 / max(widest, 1), highest))
    span = axes.get_xlim()
    for row, top in zip(rows, tops, strict=True):
        for interval in row.intervals:
            left, right = max(interval.start, span[0]), min(interval.end, span[1])
            if right <= left:
                continue
            color = code_color(int(interval.label)) if row.colored else "white"
            look: dict[str, Any] = {"facecolor": color, "edgecolor": "#666666", "linewidth": 0.5}
            axes.add_patch(Rectangle((left, top), right - left, row.height, **look))
            room = ((right - left) * inches_per_second * 72 - 1.5, row.height * 72 - 2)
            label = literal(interval.label, 40)
            if fit := _fitting(label, *room, _CODE_SIZE if row.colored else _LABEL_SIZE):
                text = {"fontsize": fit[0], "rotation": fit[1], "ha": "center", "va": "center"}
                place = ((left + right) / 2, top + row.height / 2)
                axes.text(*place, label, clip_on=True, **text)


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
    with styled(paper=False):
        return float(TextPath((0, 0), label, size=10).get_extents().width) / 10
