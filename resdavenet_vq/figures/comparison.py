"""Models compared in figures, over lineages, layers and seeds: retrieval, ABX, bitrate against ABX, and words detected.

Each function takes what `evaluation.comparison.read` gives of a summary.csv and returns a figure with its alternative text,
or None where there are no such scores. A point is the model of one seed; where there are several, a mark with bars
is their mean with one standard deviation (n - 1) to either side. `width` is in inches, for a paper; without it a
figure has the size of a page on a screen.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from typing import Any, NamedTuple

import numpy as np
from matplotlib.figure import Figure
from matplotlib.lines import Line2D
from matplotlib.ticker import MaxNLocator

from resdavenet_vq.encode.features import LOGMEL
from resdavenet_vq.evaluation import comparison
from resdavenet_vq.evaluation.comparison import Compared, Spread
from resdavenet_vq.figures.style import LINES, legend_below, marker, readable_log, styled


class Drawn(NamedTuple):
    """A figure, and what it shows in words."""

    figure: Figure
    alt: str


class _Series(NamedTuple):
    """One number of every row: its name, its column in the summary, and the factor to the axis's unit."""

    name: str
    column: str
    factor: float = 1.0

    def of(self, row: Compared) -> Spread | None:
        found = row.numbers.get(self.column)
        return None if found is None else Spread(tuple(self.factor * value for value in found.values))


def splits_of_abx(compared: Iterable[Compared]) -> list[str]:
    """The splits on which ABX was scored, in the summary's order."""
    named = (name[4:].rpartition("_")[0] for c in compared for name in c.numbers if name.startswith("abx_"))
    return list(dict.fromkeys(named))


def retrieval(compared: Sequence[Compared], k: int = 10, width: float | None = None) -> Drawn | None:
    """R@k of every lineage in percent: the mean of both directions, each direction, and what a random order earns."""
    rows = comparison.of_lineages(compared)
    series = [
        _Series("mean", f"mean_recall_at_{k}", 100),
        _Series("image finds caption", f"image_to_speech_recall_at_{k}", 100),
        _Series("caption finds image", f"speech_to_image_recall_at_{k}", 100),
    ]
    found = [row.numbers.get(f"image_to_speech_chance_recall_at_{k}") for row in rows]
    chance = next(({"by chance": 100 * spread.mean} for spread in found if spread), {})
    return _dots(rows, series, f"R@{k} (%)", layers=False, levels=chance, limits=(0, 100), width=width)


def abx(compared: Sequence[Compared], split: str, width: float | None = None) -> Drawn | None:
    """ABX error of every layer in percent, within and across speakers; that of the raw log-mel features as lines."""
    series = [_Series("within speakers", f"abx_{split}_within"), _Series("across speakers", f"abx_{split}_across")]
    rows = [c for c in compared if c.layer != LOGMEL]
    levels = {
        f"log-mel, {s.name.split()[0]}": found.mean
        for c in compared
        if c.layer == LOGMEL
        for s in series
        if (found := s.of(c))
    }
    return _dots(rows, series, f"ABX error on {split} (%)", levels=levels, width=width)


def words(compared: Sequence[Compared], width: float | None = None) -> Drawn | None:
    """How many words single codes detect in every layer: where the codes were chosen, held out, and by chance."""
    series = [
        _Series("where codes were chosen", "words_published_words_above_f1"),
        _Series("held out", "words_held_out_words_above_f1"),
        _Series("by chance", "words_published_chance_words_above_f1"),
    ]
    thresholds = {c.conditions.get("words_f1_threshold", "") for c in compared} - {""}
    unit = f"Words with an F1 of at least {' or '.join(sorted(thresholds))}" if thresholds else "Words detected"
    return _dots(compared, series, unit, width=width)


def bitrate_against_abx(compared: Sequence[Compared], split: str, width: float | None = None) -> Drawn | None:
    """What a code costs and what it tells: ABX error against bitrate (bit/s, plain) of every quantizer, within and across speakers."""
    bits = _Series("", f"bitrate_{split}")
    panels = [
        p
        for p in (_Series("within", f"abx_{split}_within"), _Series("across", f"abx_{split}_across"))
        if any(map(p.of, compared))
    ]
    rows = [c for c in compared if bits.of(c) and any(p.of(c) for p in panels)]
    if not rows:
        return None
    paper = width is not None
    with styled(paper=paper):
        figure = Figure(figsize=(width or 7.2, min(0.62 * width, 2.6) if width else 3.6), layout="constrained")
        all_axes = figure.subplots(1, len(panels), sharey=True, squeeze=False)[0]
        for axes, panel in zip(all_axes, panels, strict=True):
            for i, row in enumerate(rows):
                x, y = bits.of(row), panel.of(row)
                if x and y:
                    _points(axes, x, y, i, paper=paper)
            for baseline in compared:
                if baseline.layer == LOGMEL and (level := panel.of(baseline)):
                    axes.axhline(level.mean, color="#777777", linewidth=1, linestyle=":")
                    axes.annotate(
                        "raw log-mel",
                        (0, level.mean),
                        xycoords=("axes fraction", "data"),
                        xytext=(2, 2),
                        textcoords="offset points",
                        fontsize=6 if paper else 8,
                    )
            axes.set(xscale="log", title=f"{panel.name} speakers", xlabel="Bitrate (bit/s)")
            axes.margins(0.15)
            readable_log(axes.xaxis)
            axes.grid(visible=True)
        all_axes[0].set(ylabel=f"ABX error on {split} (%)", ylim=(0, None))
        names = [_name(row) for row in rows]
        legend_below(
            figure, names, paper=paper, handles=[_handle(i, name, paper=paper) for i, name in enumerate(names)]
        )
    told = "; ".join(
        f"{_name(row)} {_said(bits.of(row))} bit/s, {' and '.join(f'{_said(panel.of(row))} {panel.name}' for panel in panels)}"
        for row in rows
    )
    return Drawn(figure, f"ABX error in percent against bitrate on {split}: {told}.")


def _dots(
    compared: Sequence[Compared],
    asked: Sequence[_Series],
    unit: str,
    *,
    layers: bool = True,
    levels: Mapping[str, float] | None = None,
    limits: tuple[float, float] | None = None,
    width: float | None = None,
) -> Drawn | None:
    """A row for each lineage, or for each of its layers under its name, and the row's numbers as points along it."""
    series = [s for s in asked if any(s.of(row) for row in compared)]
    rows = [row for row in compared if any(s.of(row) for s in series)]
    if not rows:
        return None
    paper = width is not None
    headed = [layers and row.lineage not in [r.lineage for r in rows[:i]] for i, row in enumerate(rows)]
    heights = np.cumsum([1 + 0.9 * head for head in headed])
    one = (0.17 if paper else 0.26) * (1.2 if len(series) > 2 else 1)
    with styled(paper=paper):
        figure = Figure(
            figsize=(width or 6.4, one * (heights[-1] + 0.5) + (0.4 if paper else 0.6)), layout="constrained"
        )
        axes = figure.add_subplot()
        for row, height, head in zip(rows, heights, headed, strict=True):
            if head:
                axes.text(
                    0.0,
                    height - 0.85,
                    shown(row.lineage),
                    transform=axes.get_yaxis_transform(),
                    va="center",
                    fontsize=7 if paper else 9.5,
                )
            for i, s in enumerate(series):
                if spread := s.of(row):
                    level = height + 0.24 * (i - (len(series) - 1) / 2)
                    _points(axes, spread, Spread((level,)), i, paper=paper)
        for (name, value), dash in zip((levels or {}).items(), (":", "--", "-."), strict=False):
            axes.axvline(value, color="#777777", linewidth=1, linestyle=dash, label=name)
        axes.set_yticks(heights, [row.layer if layers else shown(row.lineage) for row in rows])
        axes.set(ylim=(heights[-1] + 0.6, heights[0] - 0.6 - 0.9 * layers), xlabel=unit)
        axes.set(xlim=limits or (0, None))
        axes.xaxis.set_major_locator(MaxNLocator(6, steps=[1, 2, 2.5, 5, 10], integer=True))
        axes.tick_params(left=False)
        axes.grid(visible=True, axis="x")
        names = [*(s.name for s in series), *(levels or {})]
        lines = [line for line in axes.lines if line.get_label() in (levels or {})]
        legend_below(
            figure,
            names,
            paper=paper,
            handles=[*(_handle(i, s.name, paper=paper) for i, s in enumerate(series)), *lines],
        )
    told = "; ".join(
        f"{_name(row, layers=layers)} {', '.join(f'{_said(s.of(row))} {s.name}' for s in series if s.of(row))}"
        for row in rows
    )
    lines_told = "".join(f"; {name} {value:.3g}" for name, value in (levels or {}).items())
    return Drawn(figure, f"{unit}: {told}{lines_told}.")


def _points(axes: Any, x: Spread, y: Spread, look: int, *, paper: bool) -> None:
    """The points of all seeds; where there are several, also a mark at their mean, with its bars."""
    size, colour = (3.0 if paper else 4.5), LINES[look % len(LINES)]
    n = max(x.n, y.n)
    xs, ys = (spread.values * n if spread.n == 1 else spread.values for spread in (x, y))
    faint = {"alpha": 0.55, "markeredgewidth": 0} if n > 1 else {"markersize": 1.2 * size}
    axes.plot(
        xs,
        ys,
        **{
            "linestyle": "none",
            "marker": marker(look),
            "color": colour,
            "markersize": size,
            "gid": "seeds",
            "clip_on": False,
        }
        | faint,
    )
    if n > 1:
        bars = {name: spread.std for name, spread in (("xerr", x), ("yerr", y)) if spread.std is not None}
        drawn = axes.errorbar(
            x.mean, y.mean, fmt="|" if y.n == 1 else "+", color=colour, markersize=2.2 * size, linewidth=0.9, **bars
        )
        drawn.lines[0].set_gid("mean")


def _handle(look: int, name: str, *, paper: bool) -> Line2D:
    """The legend's entry of a series."""
    size, colour = (3.5 if paper else 5.0), LINES[look % len(LINES)]
    return Line2D([], [], linestyle="none", marker=marker(look), color=colour, markersize=size, label=name)


def shown(lineage: str) -> str:
    """A lineage in notation with proper arrows."""
    return lineage.replace("->", " → ")


def _name(row: Compared, *, layers: bool = True) -> str:
    return f"{shown(row.lineage)} {row.layer}" if layers else shown(row.lineage)


def _said(spread: Spread | None) -> str:
    """A number in words, its spread with it."""
    if spread is None:
        return "unknown"
    return f"{spread.mean:.3g}" + ("" if spread.std is None else f" ± {spread.std:.2g} (n = {spread.n})")
