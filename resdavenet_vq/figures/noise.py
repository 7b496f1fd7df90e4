"""Scores against noise: a figure for each score, with a panel for each kind of noise and a line for each lineage and layer.

Each function takes the rows of a `noise.csv` (`read`) and returns a figure with its alternative text, or None where there are
no such scores. The leftmost point of a line is the score without noise; then the noise grows to the right. Of several seeds a line
is the mean, and each seed a dot. `width` is in inches, for a paper; without it a figure has the size of a page on a screen.
"""

from __future__ import annotations

import csv
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

from matplotlib.figure import Figure

from resdavenet_vq.encode.features import LOGMEL
from resdavenet_vq.errors import InputError
from resdavenet_vq.evaluation.noise_table import CLEAN
from resdavenet_vq.figures.comparison import Drawn, shown
from resdavenet_vq.figures.style import DASHES, LINES, legend_below, marker, styled

type Row = Mapping[str, str]


def read(file: Path) -> list[dict[str, str]]:
    """The rows of a noise.csv, values as they are written there. Raises InputError where it is missing or no such table."""
    try:
        with file.open(encoding="utf-8", newline="") as f:
            rows = list(csv.DictReader(f, restval=""))
    except FileNotFoundError:
        raise InputError(f"{file}: no such file; snakemake noise makes it") from None
    except (UnicodeDecodeError, csv.Error) as e:
        raise InputError(f"{file}: not a table ({e})") from None
    if rows and not {"lineage", "seed", "layer", "kind", "snr_db"} <= rows[0].keys():
        raise InputError(f"{file}: is no table of scores under noise; make it again")
    return rows


def every(rows: Sequence[Row], k: int = 10, width: float | None = None) -> dict[str, Drawn]:
    """All figures that the table has scores for, by name: `retrieval`, `abx_{split}`, `words`."""
    splits = dict.fromkeys(name[4:].rpartition("_")[0] for row in rows for name in row if name.startswith("abx_"))
    found = {
        "retrieval": retrieval(rows, k, width),
        **{f"abx_{split}": abx(rows, split, width) for split in splits},
        "words": words(rows, width),
    }
    return {name: drawn for name, drawn in found.items() if drawn}


def retrieval(rows: Sequence[Row], k: int = 10, width: float | None = None) -> Drawn | None:
    """R@k of every lineage, the mean of both directions, in percent."""
    of_models = [dict(row) | {"layer": ""} for row in rows]
    chance = next((100 * float(row[name]) for row in rows if row.get(name := f"mean_chance_recall_at_{k}")), None)
    return _against_noise(of_models, f"mean_recall_at_{k}", f"Mean R@{k} (%)", factor=100, chance=chance, width=width)


def abx(rows: Sequence[Row], split: str, width: float | None = None) -> Drawn | None:
    """ABX error across speakers of every quantizer and of the raw log-mel features, in percent."""
    return _against_noise(
        rows, f"abx_{split}_across", f"ABX error on {split},\nacross speakers (%)", chance=50, width=width
    )


def words(rows: Sequence[Row], width: float | None = None) -> Drawn | None:
    """How many words of the held-out split are detected by codes that were chosen without noise."""
    return _against_noise(rows, "words_above_f1", "Held-out words detected", width=width)


def _against_noise(
    rows: Sequence[Row],
    column: str,
    unit: str,
    *,
    factor: float = 1.0,
    chance: float | None = None,
    width: float | None = None,
) -> Drawn | None:
    """A panel for each kind of noise; lines by lineage and layer, and what chance earns."""
    lines: dict[str, dict[tuple[str, str], dict[str, float]]] = {}  # name -> (kind, snr) -> seed -> value
    for row in rows:
        if row.get(column):
            at = lines.setdefault(_name(row), {}).setdefault((row["kind"], row["snr_db"]), {})
            at[row["seed"]] = factor * float(row[column])
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
            ratios = sorted({snr for k, snr in points if k == kind}, key=float, reverse=True)
            ticks = [*([(CLEAN, "")] if (CLEAN, "") in points else []), *((kind, snr) for snr in ratios)]
            for i, (name, line) in enumerate(lines.items()):
                _draw(axes, i, name, [line.get(tick, {}) for tick in ticks], small=paper)
            labels = [CLEAN if k == CLEAN else f"{float(snr):g}" for k, snr in ticks]
            axes.set(title=kind, xlabel="Signal-to-noise ratio (dB)", xticks=range(len(ticks)), xticklabels=labels)
            axes.margins(x=0.08)
            if chance is not None:
                axes.axhline(chance, color="#777777", linewidth=1, linestyle=":", label=f"by chance ({chance:.3g})")
            axes.grid(visible=True, axis="y")
        all_axes[0].set(ylabel=unit, ylim=(0, None))
        handles, names = all_axes[0].get_legend_handles_labels()
        legend_below(figure, names, paper=paper, handles=handles)
    told = "; ".join(
        f"{name} {', '.join(_said(point, values) for point, values in line.items())}" for name, line in lines.items()
    )
    return Drawn(figure, f"{' '.join(unit.split())} without noise and with: {told}.")


def _draw(axes: Any, look: int, name: str, values: Sequence[Mapping[str, float]], *, small: bool) -> None:
    """One line: means over seeds, and the seeds where there are several."""
    known = [(x, list(at.values())) for x, at in enumerate(values) if at]
    colour = LINES[look % len(LINES)]
    axes.plot(
        [x for x, _ in known],
        [sum(at) / len(at) for _, at in known],
        color=colour,
        linestyle=DASHES[look % len(DASHES)],
        marker=marker(look),
        markersize=3 if small else 5,
        linewidth=1.0 if small else 1.6,
        label=name,
    )
    several = [(x, y) for x, at in known if len(at) > 1 for y in at]
    if several:
        axes.scatter(*zip(*several, strict=True), s=6, color=colour, alpha=0.5, linewidths=0)


def _name(row: Row) -> str:
    """A line's name: the lineage and the layer, as the page writes them."""
    return row["lineage"] if row["layer"] == LOGMEL else f"{shown(row['lineage'])} {row['layer']}".strip()


def _said(point: tuple[str, str], values: Mapping[str, float]) -> str:
    kind, snr = point
    where = CLEAN if kind == CLEAN else f"{kind} {float(snr):g} dB"
    return f"{where} {sum(values.values()) / len(values):.3g}"
