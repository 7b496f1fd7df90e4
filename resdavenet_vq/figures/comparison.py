"""Systems compared in figures, over lineages, layers and seeds: retrieval, ABX, and words detected.

Each figure is drawn from the rows of scores.csv, or is None without such scores. A point is the model of one seed. A mark
with bars is the mean over seeds with its 95 % interval; without one, with one standard deviation of seeds (n - 1) to
either side. Clusters of other codebook sizes than the models' are in `figures.frontier` alone.
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

from resdavenet_vq.evaluation.summary import HELD_OUT, IMAGE_TO_SPEECH, MEAN, PUBLISHED, SPEECH_TO_IMAGE
from resdavenet_vq.figures.registry import Request
from resdavenet_vq.figures.style import LINES, Drawing, legend_below, marker, styled
from resdavenet_vq.results import Layer, with_arrows
from resdavenet_vq.system import is_of_sweep


class Spread(NamedTuple):
    """One score over seeds, and the bounds of its 95 % interval, if there is one."""

    numbers: tuple[float, ...]
    bounds: tuple[float, float] | None = None

    @property
    def mean(self) -> float:
        """Exact: it does not depend on the order of seeds."""
        return statistics.fmean(self.numbers)

    @property
    def std(self) -> float | None:
        """The sample's standard deviation (n - 1); None for one seed."""
        return statistics.stdev(self.numbers) if len(self.numbers) > 1 else None

    @property
    def bar(self) -> tuple[float, float] | None:
        """Where its bar begins and ends."""
        return self.bounds or (None if self.std is None else (self.mean - self.std, self.mean + self.std))


type Spreads = dict[Layer, Spread]


def rows_of(scores: pd.DataFrame, task: str, condition: str, score: str) -> pd.DataFrame:
    """The rows of one score that have a value."""
    chosen = (scores["task"] == task) & (scores["condition"] == condition) & (scores["score"] == score)
    return scores[chosen & scores["value"].notna()]


def _spreads(request: Request, task: str, condition: str, score: str, factor: float = 1.0) -> Spreads:
    """One score of every lineage and layer that has it, in the table's order; of all splits, or of that requested."""
    rows = rows_of(request.results.scores, task, condition, score)
    rows = rows[~rows["lineage"].map(is_of_sweep).astype(bool)]
    rows = rows[rows["split"] == request.split] if request.split else rows
    groups = rows.groupby(["lineage", "layer"], sort=False)["value"]
    means = {
        layer: bounds
        for split in rows["split"].unique()
        for layer, mean in request.results.means(task, split, condition, score).items()
        if (bounds := (mean * factor).bounds)
    }
    numbers = {(str(lineage), str(layer)): tuple(factor * values) for (lineage, layer), values in groups}
    return {layer: Spread(values, means.get(layer)) for layer, values in numbers.items()}


def retrieval(request: Request) -> Drawing | None:
    """R@10 of every lineage in percent: the mean of both directions, each direction, and a random order."""
    conditions = {"mean": MEAN, "image finds caption": IMAGE_TO_SPEECH, "caption finds image": SPEECH_TO_IMAGE}
    series = {name: _spreads(request, "retrieval", c, "recall_at_10", 100) for name, c in conditions.items()}
    chance = _spreads(request, "retrieval", IMAGE_TO_SPEECH, "chance_recall_at_10", 100)
    levels = {"by chance": next(iter(chance.values())).mean} if chance else {}
    return _dots(request, series, "R@10 (%)", levels, layers=False, limits=(0, 100))


def abx(request: Request) -> Drawing | None:
    """ABX error of every layer in percent, within and across speakers."""
    series = {f"{c} speakers": _spreads(request, "abx", c, "error") for c in ("within", "across")}
    return _dots(request, series, f"ABX error on {request.split} (%)", {})


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
                    _points(axes, spreads[row], height + 0.24 * (i - (len(series) - 1) / 2), i, paper=paper)
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


def _points(axes: Any, spread: Spread, level: float, look: int, *, paper: bool) -> None:
    """The points of all seeds at a height; where there is a bar, also a mark at their mean, with it."""
    size, color, n = (3.0 if paper else 4.5), LINES[look % len(LINES)], len(spread.numbers)
    seeds = {"alpha": 0.55, "markeredgewidth": 0, "markersize": size} if n > 1 else {"markersize": 1.2 * size}
    line: dict[str, Any] = {
        "marker": marker(look),
        "color": color,
        "linestyle": "none",
        "gid": "seeds",
        "clip_on": False,
    }
    axes.plot(spread.numbers, [level] * n, **line, **seeds)
    if spread.bar:
        ends = [[spread.mean - spread.bar[0]], [spread.bar[1] - spread.mean]]
        mark = {"fmt": "|", "color": color, "markersize": 2.2 * size, "linewidth": 0.9}
        axes.errorbar(spread.mean, level, xerr=np.maximum(ends, 0), **mark).lines[0].set_gid("mean")


def _handle(look: int, name: str, *, paper: bool) -> Line2D:
    """The legend's entry of a series."""
    size, color = (3.5 if paper else 5.0), LINES[look % len(LINES)]
    return Line2D([], [], linestyle="none", marker=marker(look), color=color, markersize=size, label=name)


def _name(row: Layer) -> str:
    lineage, layer = row
    return f"{with_arrows(lineage)} {layer}".strip()


def _text(spread: Spread) -> str:
    """A score with three digits, its interval, and its spread over seeds."""
    interval = f" [{spread.bounds[0]:.3g}, {spread.bounds[1]:.3g}]" if spread.bounds else ""
    seeds = "" if spread.std is None else f" ± {spread.std:.2g} (n = {len(spread.numbers)})"
    return f"{spread.mean:.3g}{interval}{seeds}"
