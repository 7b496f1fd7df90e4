"""Models compared in figures, over lineages, layers and seeds: retrieval, ABX, bitrate against ABX, and words detected.

Each function takes the rows of a scores.csv and returns a figure with its description, or None without such scores. A
point is the model of one seed; with several seeds, a mark with bars is their mean with one standard deviation (n - 1)
to either side. `width` is in inches, for a paper; without it a figure has the size of a page on a screen.
"""

from __future__ import annotations

import statistics
from collections.abc import Iterable, Mapping, Sequence
from typing import Any, NamedTuple

import numpy as np
import pandas as pd
from matplotlib.figure import Figure
from matplotlib.lines import Line2D
from matplotlib.ticker import MaxNLocator

from resdavenet_vq.encode.features import LOGMEL
from resdavenet_vq.figures.style import LINES, Drawing, legend_below, marker, readable_log, styled
from resdavenet_vq.results import with_arrows


class Spread(NamedTuple):
    """One score over seeds."""

    numbers: tuple[float, ...]

    @property
    def n(self) -> int:
        """The number of seeds."""
        return len(self.numbers)

    @property
    def mean(self) -> float:
        """Exact: it does not depend on the order of seeds."""
        return statistics.fmean(self.numbers)

    @property
    def std(self) -> float | None:
        """The sample's standard deviation (n - 1); None for one seed."""
        return statistics.stdev(self.numbers) if self.n > 1 else None


type Layer = tuple[str, str]
"""A lineage in notation and a layer; an empty layer for scores of the whole model."""


def spreads(
    scores: pd.DataFrame, task: str, condition: str, score: str, split: str | None = None, factor: float = 1.0
) -> dict[Layer, Spread]:
    """One score of every lineage and layer that has it, in the table's order; of all splits, or of one."""
    rows = scores[(scores["task"] == task) & (scores["condition"] == condition) & (scores["score"] == score)]
    rows = rows[rows["value"].notna() & ((rows["split"] == split) if split is not None else True)]
    layers: dict[Layer, list[float]] = {}
    for lineage, layer, value in zip(rows["lineage"], rows["layer"], rows["value"], strict=True):
        layers.setdefault((lineage, layer), []).append(factor * value)
    return {layer: Spread(tuple(values)) for layer, values in layers.items()}


def abx_splits(scores: pd.DataFrame) -> list[str]:
    """The splits on which ABX was scored, in the table's order."""
    return list(dict.fromkeys(scores["split"][scores["task"] == "abx"]))


class _Series(NamedTuple):
    """One score of every row of a figure."""

    name: str
    spreads: dict[Layer, Spread]


def retrieval(scores: pd.DataFrame, k: int = 10, width: float | None = None) -> Drawing | None:
    """R@k of every lineage in percent: the mean of both directions, each direction, and a random order."""
    conditions = (
        ("mean", "mean"),
        ("image finds caption", "image_to_speech"),
        ("caption finds image", "speech_to_image"),
    )
    series = [
        _Series(name, spreads(scores, "retrieval", condition, f"recall_at_{k}", factor=100))
        for name, condition in conditions
    ]
    chance = spreads(scores, "retrieval", "image_to_speech", f"chance_recall_at_{k}", factor=100)
    levels = {"by chance": next(iter(chance.values())).mean} if chance else {}
    return _dots(scores, series, f"R@{k} (%)", layers=False, levels=levels, limits=(0, 100), width=width)


def abx(scores: pd.DataFrame, split: str, width: float | None = None) -> Drawing | None:
    """ABX error of every layer in percent, within and across speakers; that of the raw log-mel features as lines."""
    series: list[_Series] = []
    levels: dict[str, float] = {}
    for condition in ("within", "across"):
        errors = spreads(scores, "abx", condition, "error", split)
        levels |= {f"log-mel, {condition}": s.mean for (_, layer), s in errors.items() if layer == LOGMEL}
        series.append(_Series(f"{condition} speakers", {layer: s for layer, s in errors.items() if layer[1] != LOGMEL}))
    return _dots(scores, series, f"ABX error on {split} (%)", levels=levels, width=width)


def words(scores: pd.DataFrame, thresholds: Iterable[float] = (), width: float | None = None) -> Drawing | None:
    """Words detected by single codes of every layer: where the codes were chosen, held out, and by chance."""
    series = [
        _Series(name, spreads(scores, "words", condition, score))
        for name, condition, score in (
            ("where codes were chosen", "published", "words_above_f1"),
            ("held out", "held_out", "words_above_f1"),
            ("by chance", "published", "chance_words_above_f1"),
        )
    ]
    f1 = " or ".join(f"{threshold}" for threshold in sorted(set(thresholds)))
    return _dots(scores, series, f"Words with an F1 of at least {f1}" if f1 else "Words detected", width=width)


def bitrate_against_abx(scores: pd.DataFrame, split: str, width: float | None = None) -> Drawing | None:
    """Bitrate (bit/s, plain) against ABX error of every quantizer, within and across speakers."""
    bits = spreads(scores, "bitrate", "plain", "bits_per_second", split)
    panels = [
        panel
        for condition in ("within", "across")
        if (panel := _Series(condition, spreads(scores, "abx", condition, "error", split))).spreads
    ]
    rows = [layer for layer in bits if any(layer in panel.spreads for panel in panels)]
    if not rows:
        return None
    paper = width is not None
    with styled(paper=paper):
        figure = Figure(figsize=(width or 7.2, min(0.62 * width, 2.6) if width else 3.6), layout="constrained")
        all_axes = figure.subplots(1, len(panels), sharey=True, squeeze=False)[0]
        for axes, panel in zip(all_axes, panels, strict=True):
            for i, row in enumerate(rows):
                if row in panel.spreads:
                    _points(axes, bits[row], panel.spreads[row], i, paper=paper)
            for (_, layer), level in panel.spreads.items():
                if layer == LOGMEL:
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
    errors = {row: " and ".join(f"{_text(panel.spreads.get(row))} {panel.name}" for panel in panels) for row in rows}
    text = "; ".join(f"{_name(row)} {_text(bits.get(row))} bit/s, {errors[row]}" for row in rows)
    return Drawing(figure, f"ABX error in percent against bitrate on {split}: {text}.")


def _dots(
    scores: pd.DataFrame,
    candidates: Sequence[_Series],
    unit: str,
    *,
    layers: bool = True,
    levels: Mapping[str, float] | None = None,
    limits: tuple[float, float] | None = None,
    width: float | None = None,
) -> Drawing | None:
    """A row for each lineage, or for each of its layers under its name, with the row's scores as points along it."""
    series = [s for s in candidates if s.spreads]
    order = dict.fromkeys(zip(scores["lineage"], scores["layer"], strict=True))
    rows = [layer for layer in order if any(layer in s.spreads for s in series)]
    if not rows:
        return None
    paper = width is not None
    headed = [layers and lineage not in [other for other, _ in rows[:i]] for i, (lineage, _) in enumerate(rows)]
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
                    with_arrows(row[0]),
                    transform=axes.get_yaxis_transform(),
                    va="center",
                    fontsize=7 if paper else 9.5,
                )
            for i, s in enumerate(series):
                if row in s.spreads:
                    level = height + 0.24 * (i - (len(series) - 1) / 2)
                    _points(axes, s.spreads[row], Spread((level,)), i, paper=paper)
        for (name, value), dash in zip((levels or {}).items(), (":", "--", "-."), strict=False):
            axes.axvline(value, color="#777777", linewidth=1, linestyle=dash, label=name)
        axes.set_yticks(heights, [layer if layers else with_arrows(lineage) for lineage, layer in rows])
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
    text = "; ".join(
        f"{_name(row)} {', '.join(f'{_text(s.spreads[row])} {s.name}' for s in series if row in s.spreads)}"
        for row in rows
    )
    level_text = "".join(f"; {name} {value:.3g}" for name, value in (levels or {}).items())
    return Drawing(figure, f"{unit}: {text}{level_text}.")


def _points(axes: Any, x: Spread, y: Spread, look: int, *, paper: bool) -> None:
    """The points of all seeds; of several, also a mark at their mean, with its bars."""
    size, color = (3.0 if paper else 4.5), LINES[look % len(LINES)]
    n = max(x.n, y.n)
    xs, ys = (spread.numbers * n if spread.n == 1 else spread.numbers for spread in (x, y))
    faint = {"alpha": 0.55, "markeredgewidth": 0} if n > 1 else {"markersize": 1.2 * size}
    axes.plot(
        xs,
        ys,
        **{
            "linestyle": "none",
            "marker": marker(look),
            "color": color,
            "markersize": size,
            "gid": "seeds",
            "clip_on": False,
        }
        | faint,
    )
    if n > 1:
        bars = {name: spread.std for name, spread in (("xerr", x), ("yerr", y)) if spread.std is not None}
        mean = axes.errorbar(
            x.mean, y.mean, fmt="|" if y.n == 1 else "+", color=color, markersize=2.2 * size, linewidth=0.9, **bars
        )
        mean.lines[0].set_gid("mean")


def _handle(look: int, name: str, *, paper: bool) -> Line2D:
    """The legend's entry of a series."""
    size, color = (3.5 if paper else 5.0), LINES[look % len(LINES)]
    return Line2D([], [], linestyle="none", marker=marker(look), color=color, markersize=size, label=name)


def _name(row: Layer) -> str:
    lineage, layer = row
    return f"{with_arrows(lineage)} {layer}".strip()


def _text(spread: Spread | None) -> str:
    """A score with three digits, and its spread."""
    if spread is None:
        return "unknown"
    return f"{spread.mean:.3g}" + ("" if spread.std is None else f" ± {spread.std:.2g} (n = {spread.n})")
