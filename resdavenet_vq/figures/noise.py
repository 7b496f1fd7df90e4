"""Scores against noise: a figure for each score, with a panel for each kind of noise.

Each figure is drawn from the rows of noise.csv, or is None without such scores. There is a line for each lineage and
layer. Its leftmost point is the score without noise; then the noise grows to the right. Of several seeds a line is the
mean, and each seed a dot.
"""

from __future__ import annotations

import math
from statistics import fmean
from typing import Any

import pandas as pd
from matplotlib.figure import Figure

from resdavenet_vq.encode.features import LOGMEL
from resdavenet_vq.evaluation.summary import CLEAN, HELD_OUT, MEAN
from resdavenet_vq.figures.comparison import rows_of
from resdavenet_vq.figures.registry import Request
from resdavenet_vq.figures.style import DASHES, LINES, Drawing, legend_below, marker, styled
from resdavenet_vq.results import with_arrows

type Point = tuple[str, float]
"""A kind of noise and a signal-to-noise ratio in dB, infinite without noise."""


def noise_retrieval(request: Request) -> Drawing | None:
    """R@10 of every lineage, the mean of both directions, in percent."""
    rows, chance = (
        rows_of(request.results.noise, "retrieval", MEAN, score) for score in ("recall_at_10", "chance_recall_at_10")
    )
    level = None if chance.empty else 100 * float(chance["value"].iloc[0])
    return _against_noise(rows.assign(value=100 * rows["value"]), "Mean R@10 (%)", request.width, level)


def noise_abx(request: Request) -> Drawing | None:
    """ABX error across speakers of every quantizer and of the raw log-mel features, in percent."""
    rows = rows_of(request.results.noise, "abx", "across", "error")
    rows = rows[rows["clean_split"] == request.split]
    return _against_noise(rows, f"ABX error on {request.split},\nacross speakers (%)", request.width, 50)


def noise_words(request: Request) -> Drawing | None:
    """Words of the held-out split detected by codes that were chosen without noise."""
    rows = rows_of(request.results.noise, "words", HELD_OUT, "words_above_f1")
    return _against_noise(rows, "Held-out words detected", request.width)


def _against_noise(rows: pd.DataFrame, unit: str, width: float | None, chance: float | None = None) -> Drawing | None:
    """A panel for each kind of noise; lines by lineage and layer, and the level of chance."""
    lines: dict[str, dict[Point, list[float]]] = {}
    for row in rows.to_dict("records"):
        point = (row["kind"], math.inf if row["kind"] == CLEAN else row["snr_db"])
        name = row["lineage"] if row["layer"] == LOGMEL else f"{with_arrows(row['lineage'])} {row['layer']}".strip()
        lines.setdefault(name, {}).setdefault(point, []).append(row["value"])
    points = dict.fromkeys(point for line in lines.values() for point in line)
    kinds = list(dict.fromkeys(kind for kind, _ in points if kind != CLEAN))
    if not kinds:
        return None
    paper = width is not None
    size = (width, min(0.5 * width, 2.2)) if width else (max(4.0, 3.4 * len(kinds) + 0.6), 3.1)
    with styled(paper=paper):
        figure = Figure(figsize=size, layout="constrained")
        all_axes = figure.subplots(1, len(kinds), sharey=True, squeeze=False)[0]
        for axes, kind in zip(all_axes, kinds, strict=True):
            ticks = sorted((p for p in points if p[0] in {CLEAN, kind}), key=lambda point: -point[1])
            for i, (name, line) in enumerate(lines.items()):
                scored = [(x, line[tick]) for x, tick in enumerate(ticks) if tick in line]
                look: dict[str, Any] = {
                    "color": LINES[i % len(LINES)],
                    "linestyle": DASHES[i % len(DASHES)],
                    "marker": marker(i),
                }
                look |= {"markersize": 3, "linewidth": 1.0} if paper else {"markersize": 5, "linewidth": 1.6}
                axes.plot([x for x, _ in scored], [fmean(seeds) for _, seeds in scored], label=name, **look)
                dots = [(x, y) for x, seeds in scored if len(seeds) > 1 for y in seeds]
                if dots:
                    axes.scatter(*zip(*dots, strict=True), s=6, color=look["color"], alpha=0.5, linewidths=0)
            labels = [CLEAN if k == CLEAN else f"{snr:g}" for k, snr in ticks]
            axes.set(title=kind, xlabel="Signal-to-noise ratio (dB)", xticks=range(len(ticks)), xticklabels=labels)
            axes.margins(x=0.08)
            if chance is not None:
                axes.axhline(chance, color="#777777", linewidth=1, linestyle=":", label=f"by chance ({chance:.3g})")
            axes.grid(visible=True, axis="y")
        all_axes[0].set(ylabel=unit, ylim=(0, None))
        legend_below(figure, all_axes[0].get_legend_handles_labels()[0], paper=paper)
    values = "; ".join(
        f"{name} {', '.join(f'{_text(point)} {fmean(seeds):.3g}' for point, seeds in line.items())}"
        for name, line in lines.items()
    )
    return Drawing(figure, f"{' '.join(unit.split())} without noise and with: {values}.")


def _text(point: Point) -> str:
    return CLEAN if point[0] == CLEAN else f"{point[0]} {point[1]:g} dB"
