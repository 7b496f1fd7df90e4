"""Scores against noise: a figure for each score, with a panel for each kind of noise.

Each function takes the rows of a noise.csv and returns a figure with its description, or None without such scores.
There is a line for each lineage and layer. Its leftmost point is the score without noise; then the noise grows to the
right. Of several seeds a line is the mean, and each seed a dot. `width` is in inches, for a paper; without it a figure
has the size of a page on a screen.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import pandas as pd
from matplotlib.figure import Figure

from resdavenet_vq.encode.features import LOGMEL
from resdavenet_vq.evaluation.summary import CLEAN
from resdavenet_vq.figures.style import DASHES, LINES, Drawing, legend_below, marker, styled
from resdavenet_vq.results import with_arrows

type Point = tuple[str, float]
"""A kind of noise and a signal-to-noise ratio in dB, infinite without noise."""


def abx_splits(noise: pd.DataFrame) -> list[str]:
    """The clean splits on which ABX was scored, in the table's order."""
    return list(dict.fromkeys(noise["clean_split"][noise["task"] == "abx"]))


def retrieval(noise: pd.DataFrame, k: int = 10, width: float | None = None) -> Drawing | None:
    """R@k of every lineage, the mean of both directions, in percent."""
    chance = _rows(noise, "retrieval", "mean", f"chance_recall_at_{k}")["value"]
    return _against_noise(
        _rows(noise, "retrieval", "mean", f"recall_at_{k}"),
        f"Mean R@{k} (%)",
        factor=100,
        chance=None if chance.empty else 100 * float(chance.iloc[0]),
        width=width,
    )


def abx(noise: pd.DataFrame, split: str, width: float | None = None) -> Drawing | None:
    """ABX error across speakers of every quantizer and of the raw log-mel features, in percent."""
    rows = _rows(noise, "abx", "across", "error")
    unit = f"ABX error on {split},\nacross speakers (%)"
    return _against_noise(rows[rows["clean_split"] == split], unit, chance=50, width=width)


def words(noise: pd.DataFrame, width: float | None = None) -> Drawing | None:
    """Words of the held-out split detected by codes that were chosen without noise."""
    return _against_noise(_rows(noise, "words", "held_out", "words_above_f1"), "Held-out words detected", width=width)


def _rows(noise: pd.DataFrame, task: str, condition: str, score: str) -> pd.DataFrame:
    """The rows of one score."""
    return noise[
        (noise["task"] == task) & (noise["condition"] == condition) & (noise["score"] == score) & noise["value"].notna()
    ]


def _against_noise(
    rows: pd.DataFrame, unit: str, *, factor: float = 1.0, chance: float | None = None, width: float | None = None
) -> Drawing | None:
    """A panel for each kind of noise; lines by lineage and layer, and the level of chance."""
    lines: dict[str, dict[Point, list[float]]] = {}
    for row in rows.to_dict("records"):
        point = (row["kind"], float("inf") if row["kind"] == CLEAN else row["snr_db"])
        lines.setdefault(_name(row["lineage"], row["layer"]), {}).setdefault(point, []).append(factor * row["value"])
    points = dict.fromkeys(point for line in lines.values() for point in line)
    kinds = list(dict.fromkeys(kind for kind, _ in points if kind != CLEAN))
    if not kinds:
        return None
    paper = width is not None
    with styled(paper=paper):
        figure = Figure(
            figsize=(width or max(4.0, 3.4 * len(kinds) + 0.6), min(0.5 * width, 2.2) if width else 3.1),
            layout="constrained",
        )
        all_axes = figure.subplots(1, len(kinds), sharey=True, squeeze=False)[0]
        for axes, kind in zip(all_axes, kinds, strict=True):
            ticks = sorted((p for p in points if p[0] in {CLEAN, kind}), key=lambda point: -point[1])
            for i, (name, line) in enumerate(lines.items()):
                _draw(axes, i, name, [line.get(tick, []) for tick in ticks], small=paper)
            labels = [CLEAN if k == CLEAN else f"{snr:g}" for k, snr in ticks]
            axes.set(title=kind, xlabel="Signal-to-noise ratio (dB)", xticks=range(len(ticks)), xticklabels=labels)
            axes.margins(x=0.08)
            if chance is not None:
                axes.axhline(chance, color="#777777", linewidth=1, linestyle=":", label=f"by chance ({chance:.3g})")
            axes.grid(visible=True, axis="y")
        all_axes[0].set(ylabel=unit, ylim=(0, None))
        handles, names = all_axes[0].get_legend_handles_labels()
        legend_below(figure, names, paper=paper, handles=handles)
    text = "; ".join(
        f"{name} {', '.join(_text(point, values) for point, values in line.items())}" for name, line in lines.items()
    )
    return Drawing(figure, f"{' '.join(unit.split())} without noise and with: {text}.")


def _draw(axes: Any, number: int, name: str, values: Sequence[Sequence[float]], *, small: bool) -> None:
    """One line: means over seeds, and the seeds where there are several."""
    scored = [(x, seeds) for x, seeds in enumerate(values) if seeds]
    color = LINES[number % len(LINES)]
    axes.plot(
        [x for x, _ in scored],
        [sum(seeds) / len(seeds) for _, seeds in scored],
        color=color,
        linestyle=DASHES[number % len(DASHES)],
        marker=marker(number),
        markersize=3 if small else 5,
        linewidth=1.0 if small else 1.6,
        label=name,
    )
    dots = [(x, y) for x, seeds in scored if len(seeds) > 1 for y in seeds]
    if dots:
        axes.scatter(*zip(*dots, strict=True), s=6, color=color, alpha=0.5, linewidths=0)


def _name(lineage: str, layer: str) -> str:
    return lineage if layer == LOGMEL else f"{with_arrows(lineage)} {layer}".strip()


def _text(point: Point, values: Sequence[float]) -> str:
    kind, snr = point
    return f"{CLEAN if kind == CLEAN else f'{kind} {snr:g} dB'} {sum(values) / len(values):.3g}"
