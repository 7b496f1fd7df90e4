"""Models compared in figures, over lineages, layers and seeds: retrieval, ABX, bitrate against ABX, and words detected.

Each figure is drawn from the rows of scores.csv, or is None without such scores. A point is the model of one seed; with
several seeds, a mark with bars is their mean with one standard deviation (n - 1) to either side.
"""

from __future__ import annotations

import statistics
from collections.abc import Mapping
from typing import Any, NamedTuple

import numpy as np
import pandas as pd
from matplotlib.figure import Figure
from matplotlib.lines import Line2D
from matplotlib.ticker import MaxNLocator

from resdavenet_vq.encode.features import LOGMEL
from resdavenet_vq.evaluation.summary import HELD_OUT, IMAGE_TO_SPEECH, MEAN, PUBLISHED, SPEECH_TO_IMAGE
from resdavenet_vq.figures.registry import Request
from resdavenet_vq.figures.style import LINES, Drawing, legend_below, marker, readable_log, styled
from resdavenet_vq.results import with_arrows


class Spread(NamedTuple):
    """One score over seeds."""

    numbers: tuple[float, ...]

    @property
    def mean(self) -> float:
        """Exact: it does not depend on the order of seeds."""
        return statistics.fmean(self.numbers)

    @property
    def std(self) -> float | None:
        """The sample's standard deviation (n - 1); None for one seed."""
        return statistics.stdev(self.numbers) if len(self.numbers) > 1 else None


type Layer = tuple[str, str]
"""A lineage in notation and a layer; an empty layer for scores of the whole model."""

type Spreads = dict[Layer, Spread]


def rows_of(scores: pd.DataFrame, task: str, condition: str, score: str) -> pd.DataFrame:
    """The rows of one score that have a value."""
    chosen = (scores["task"] == task) & (scores["condition"] == condition) & (scores["score"] == score)
    return scores[chosen & scores["value"].notna()]


def _spreads(request: Request, task: str, condition: str, score: str, factor: float = 1.0) -> Spreads:
    """One score of every lineage and layer that has it, in the table's order; of all splits, or of that requested."""
    rows = rows_of(request.results.scores, task, condition, score)
    rows = rows[rows["split"] == request.split] if request.split else rows
    groups = rows.groupby(["lineage", "layer"], sort=False)["value"]
    return {(str(lineage), str(layer)): Spread(tuple(factor * values)) for (lineage, layer), values in groups}


def retrieval(request: Request) -> Drawing | None:
    """R@10 of every lineage in percent: the mean of both directions, each direction, and a random order."""
    conditions = {"mean": MEAN, "image finds caption": IMAGE_TO_SPEECH, "caption finds image": SPEECH_TO_IMAGE}
    series = {name: _spreads(request, "retrieval", c, "recall_at_10", 100) for name, c in conditions.items()}
    chance = _spreads(request, "retrieval", IMAGE_TO_SPEECH, "chance_recall_at_10", 100)
    levels = {"by chance": next(iter(chance.values())).mean} if chance else {}
    return _dots(request, series, "R@10 (%)", levels, layers=False, limits=(0, 100))


def abx(request: Request) -> Drawing | None:
    """ABX error of every layer in percent, within and across speakers; that of the raw log-mel features as lines."""
    series: dict[str, Spreads] = {}
    levels: dict[str, float] = {}
    for condition in ("within", "across"):
        errors = _spreads(request, "abx", condition, "error")
        levels |= {f"log-mel, {condition}": s.mean for (_, layer), s in errors.items() if layer == LOGMEL}
        series[f"{condition} speakers"] = {layer: s for layer, s in errors.items() if layer[1] != LOGMEL}
    return _dots(request, series, f"ABX error on {request.split} (%)", levels)


def words(request: Request) -> Drawing | None:
    """Words detected by single codes of every layer: where the codes were chosen, held out, and by chance."""
    series = {
        "where codes were chosen": _spreads(request, "words", PUBLISHED, "words_above_f1"),
        "held out": _spreads(request, "words", HELD_OUT, "words_above_f1"),
        "by chance": _spreads(request, "words", PUBLISHED, "chance_words_above_f1"),
    }
    thresholds = {conditions["f1_threshold"] for conditions in request.results.conditions("words")}
    f1 = " or ".join(map(str, sorted(thresholds)))
    return _dots(request, series, f"Words with an F1 of at least {f1}" if f1 else "Words detected", {})


def bitrate_abx(request: Request) -> Drawing | None:
    """Bitrate (bit/s, plain) against ABX error of every quantizer, within and across speakers."""
    bits = _spreads(request, "bitrate", "plain", "bits_per_second")
    errors = {condition: _spreads(request, "abx", condition, "error") for condition in ("within", "across")}
    panels = {condition: spreads for condition, spreads in errors.items() if spreads}
    rows = [layer for layer in bits if any(layer in spreads for spreads in panels.values())]
    if not rows:
        return None
    width, paper = request.width, request.width is not None
    with styled(paper=paper):
        figure = Figure(figsize=(width or 7.2, min(0.62 * width, 2.6) if width else 3.6), layout="constrained")
        all_axes = figure.subplots(1, len(panels), sharey=True, squeeze=False)[0]
        for axes, (condition, spreads) in zip(all_axes, panels.items(), strict=True):
            for i, row in enumerate(rows):
                if row in spreads:
                    _points(axes, bits[row], spreads[row], i, paper=paper)
            for level in (spread.mean for (_, layer), spread in spreads.items() if layer == LOGMEL):
                axes.axhline(level, color="#777777", linewidth=1, linestyle=":")
                place = {"xycoords": ("axes fraction", "data"), "xytext": (2, 2), "textcoords": "offset points"}
                axes.annotate("raw log-mel", (0, level), fontsize=6 if paper else 8, **place)
            axes.set(xscale="log", title=f"{condition} speakers", xlabel="Bitrate (bit/s)")
            axes.margins(0.15)
            readable_log(axes.xaxis)
            axes.grid(visible=True)
        all_axes[0].set(ylabel=f"ABX error on {request.split} (%)", ylim=(0, None))
        legend_below(figure, [_handle(i, _name(row), paper=paper) for i, row in enumerate(rows)], paper=paper)
    points = (
        f"{_name(row)} {_text(bits[row])} bit/s, "
        + " and ".join(f"{_text(spreads.get(row))} {condition}" for condition, spreads in panels.items())
        for row in rows
    )
    return Drawing(figure, f"ABX error in percent against bitrate on {request.split}: {'; '.join(points)}.")


def _dots(
    request: Request,
    candidates: Mapping[str, Spreads],
    unit: str,
    levels: Mapping[str, float],
    *,
    layers: bool = True,
    limits: tuple[float, float | None] = (0, None),
) -> Drawing | None:
    """A row for each lineage, or for each of its layers under its name, with the row's scores as points along it."""
    scores, paper = request.results.scores, request.width is not None
    series = {name: spreads for name, spreads in candidates.items() if spreads}
    order = dict.fromkeys(zip(scores["lineage"], scores["layer"], strict=True))
    rows = [layer for layer in order if any(layer in spreads for spreads in series.values())]
    if not rows:
        return None
    headed = [layers and lineage not in [other for other, _ in rows[:i]] for i, (lineage, _) in enumerate(rows)]
    heights = np.cumsum([1 + 0.9 * head for head in headed])
    one = (0.17 if paper else 0.26) * (1.2 if len(series) > 2 else 1)
    size = (request.width or 6.4, one * (heights[-1] + 0.5) + (0.4 if paper else 0.6))
    with styled(paper=paper):
        figure = Figure(figsize=size, layout="constrained")
        axes = figure.add_subplot()
        for row, height, head in zip(rows, heights, headed, strict=True):
            if head:
                text: dict[str, Any] = {
                    "transform": axes.get_yaxis_transform(),
                    "va": "center",
                    "fontsize": 7 if paper else 9.5,
                }
                axes.text(0.0, height - 0.85, with_arrows(row[0]), **text)
            for i, spreads in enumerate(series.values()):
                if row in spreads:
                    level = height + 0.24 * (i - (len(series) - 1) / 2)
                    _points(axes, spreads[row], Spread((level,)), i, paper=paper)
        handles = [_handle(i, name, paper=paper) for i, name in enumerate(series)]
        for (name, value), dash in zip(levels.items(), (":", "--", "-."), strict=False):
            handles.append(axes.axvline(value, color="#777777", linewidth=1, linestyle=dash, label=name))
        axes.set_yticks(heights, [layer if layers else with_arrows(lineage) for lineage, layer in rows])
        axes.set(ylim=(heights[-1] + 0.6, heights[0] - 0.6 - 0.9 * layers), xlabel=unit, xlim=limits)
        axes.xaxis.set_major_locator(MaxNLocator(6, steps=[1, 2, 2.5, 5, 10], integer=True))
        axes.tick_params(left=False)
        axes.grid(visible=True, axis="x")
        legend_below(figure, handles, paper=paper)
    points = "; ".join(
        f"{_name(row)} {', '.join(f'{_text(spreads[row])} {name}' for name, spreads in series.items() if row in spreads)}"
        for row in rows
    )
    return Drawing(figure, f"{unit}: {points}{''.join(f'; {name} {value:.3g}' for name, value in levels.items())}.")


def _points(axes: Any, x: Spread, y: Spread, look: int, *, paper: bool) -> None:
    """The points of all seeds; of several, also a mark at their mean, with its bars."""
    size, color = (3.0 if paper else 4.5), LINES[look % len(LINES)]
    n = max(len(x.numbers), len(y.numbers))
    xs, ys = (spread.numbers * n if len(spread.numbers) == 1 else spread.numbers for spread in (x, y))
    seeds = {"alpha": 0.55, "markeredgewidth": 0, "markersize": size} if n > 1 else {"markersize": 1.2 * size}
    axes.plot(xs, ys, linestyle="none", marker=marker(look), color=color, gid="seeds", clip_on=False, **seeds)
    if n > 1:
        bars = {name: spread.std for name, spread in (("xerr", x), ("yerr", y)) if spread.std is not None}
        mark = {"fmt": "+" if "yerr" in bars else "|", "color": color, "markersize": 2.2 * size, "linewidth": 0.9}
        axes.errorbar(x.mean, y.mean, **mark, **bars).lines[0].set_gid("mean")


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
    return f"{spread.mean:.3g}" + ("" if spread.std is None else f" ± {spread.std:.2g} (n = {len(spread.numbers)})")
