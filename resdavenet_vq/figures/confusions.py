"""Which phones a layer confuses: the ABX error of every pair of phones as a heat map.

The row is the phone of A and X, the column that of B: dark where X is as near to the other phone as to its own. Phones
that are confused stand side by side (an average-linkage tree of the errors, its leaves in the order that joins the
nearest). The colors go from white to dark blue, safe for color-blind readers, and end at 50 %, chance; the larger
errors are written out. A pair of phones without comparable tokens is grey with a dot.
"""

from __future__ import annotations

from pathlib import Path
from typing import NamedTuple

import numpy as np
import pandas as pd
from matplotlib.figure import Figure
from scipy.cluster import hierarchy
from scipy.spatial.distance import squareform
from scipy.special import betaincinv

from resdavenet_vq.errors import InputError
from resdavenet_vq.figures.registry import PAGE, Request
from resdavenet_vq.figures.style import Drawing, literal, styled

CHANCE = 50.0
"""Percent."""

WRITTEN_FROM = 10.0
"""Errors from this percentage on are written into their cells."""


class Pair(NamedTuple):
    """Two phones that were compared: the phone of A and X, that of B, and the error in percent."""

    ax: str
    b: str
    error: float
    cells: int
    """How many comparisons (of one context and one or two speakers) the error is the mean of."""
    at_least: float
    """The lower end of the error's 95 % interval, in percent, as if each cell were one trial."""


def read(table: Path, task: str) -> pd.DataFrame:
    """The errors within or across speakers in a file abx/{split}/{layer}.phones.csv, in percent.

    A row for each phone of A and X, a column for each of B, NaN where nothing was compared. Raises InputError for
    another file, or without errors of that task.
    """
    rows = _rows(table, task)
    phones = sorted({*rows["ax"], *rows["b"]})
    return rows.pivot_table("error", "ax", "b").reindex(index=phones, columns=phones)


def surest_first(table: Path, task: str) -> list[Pair]:
    """Every pair of phones that was compared, those that are surely confused first: by `at_least`.

    Few cells easily have an error of 100 % that says little. Raises InputError as `read`.
    """
    rows = _rows(table, task).dropna(subset=["error"])
    rows["at_least"] = 100 * lower_bound(rows["error"].to_numpy() / 100, rows["cells"].to_numpy())
    rows = rows.sort_values(["at_least", "error"], ascending=False, kind="stable")
    return [Pair(*row) for row in rows.itertuples(index=False, name=None)]


def lower_bound(share: np.ndarray, n: np.ndarray) -> np.ndarray:
    """The lower end of the exact 95 % interval of shares of `n` trials (Clopper and Pearson 1934); 0 of a share of 0."""
    hits = share * n
    bound: np.ndarray = np.where(hits > 0, betaincinv(np.maximum(hits, 1e-9), n - hits + 1, 0.025), 0.0)
    return bound


def _rows(table: Path, task: str) -> pd.DataFrame:
    """The columns ax, b, error (NaN where nothing was compared) and cells of a table of phones."""
    error, cells = f"{task}_error", f"{task}_cells"
    try:
        rows = pd.read_csv(table, keep_default_na=False, na_values={error: [""]})  # NA is a phone like any other
        rows = rows[["phone_ax", "phone_b", error, cells]].set_axis(["ax", "b", "error", "cells"], axis="columns")
        rows = rows.astype({"ax": str, "b": str, "error": float, "cells": int})
    except FileNotFoundError:
        raise InputError(f"{table}: no such file; score ABX first") from None
    except (ValueError, KeyError, UnicodeDecodeError) as e:
        raise InputError(f"{table}: no table of ABX errors by phones ({e}); give an abx/*/*.phones.csv") from None
    if rows["error"].isna().all():
        raise InputError(f"{table}: has no error {task} speakers: no phones could be compared")
    return rows


def ordered(errors: pd.DataFrame) -> pd.DataFrame:
    """The errors with confused phones side by side."""
    if len(errors) < 3:
        return errors
    filled = errors.fillna(np.nanmean(errors)).to_numpy()
    apart = np.maximum(100 - (filled + filled.T) / 2, 0)
    np.fill_diagonal(apart, 0)
    tree = hierarchy.linkage(squareform(apart, checks=False), "average", optimal_ordering=True)
    order = hierarchy.leaves_list(tree)
    sorted_errors: pd.DataFrame = errors.iloc[order, order]
    return sorted_errors


@styled(paper=True)
def heat_map(table: pd.DataFrame, title: str, width: float) -> Figure:
    """The picture; `width` in inches."""
    phones, errors = [literal(str(phone), 16) for phone in table], table.to_numpy()
    n = len(phones)
    figure = Figure(figsize=(width, 0.88 * width + 0.3), layout="constrained")
    axes = figure.add_subplot()
    axes.set_facecolor("#EEEEEE")
    image = axes.imshow(errors, cmap="Blues", vmin=0, vmax=CHANCE)
    text = min(10.0, 0.72 * width * 72 / n * 0.62)
    for (i, j), error in np.ndenumerate(errors):
        if error >= WRITTEN_FROM:
            color = "white" if error > 0.55 * CHANCE else "black"
            axes.text(j, i, f"{error:.0f}", ha="center", va="center", color=color, fontsize=text * 0.9, gid="error")
    rows, columns = np.nonzero(np.isnan(errors))
    axes.scatter(columns, rows, s=text / 4, color="#AAAAAA", linewidths=0, gid="nothing compared")
    for axis in (axes.xaxis, axes.yaxis):
        axis.set_ticks(np.arange(n - 1) + 0.5, minor=True)
        axis.set_ticks(range(n), phones, fontsize=text)
        axis.set_tick_params(which="both", length=0)
    axes.grid(which="minor", color="white", linewidth=0.5)
    axes.xaxis.tick_top()
    axes.tick_params(axis="x", rotation=90 if max(map(len, phones)) > 2 else 0)
    axes.xaxis.set_label_position("top")
    axes.set(xlabel="phone of B", ylabel="phone of A and X", title=literal(title, 100))
    axes.spines[:].set_visible(False)
    bar = figure.colorbar(image, ax=axes, shrink=0.6, extend="max" if np.nanmax(errors) > CHANCE else "neither")
    bar.set_label("ABX error (%); 50 is chance")
    bar.outline.set_visible(False)
    return figure


def confusions(request: Request) -> Drawing:
    """The heat map of one layer."""
    if len(request.layers) != 1 or "/" not in request.layers[0]:
        raise InputError("confusions: give one layer and its folder, as in --layers none-2/quant2")
    folder, _, layer = request.layers[0].partition("/")
    table = request.results.root / folder / f"abx/{request.split}/{layer}.phones.csv"
    errors, worst = read(table, request.task), surest_first(table, request.task)[0]
    alt = (
        f"ABX error {request.task} speakers of {len(errors)} phones, two by two, {np.nanmean(errors):.1f} % in the "
        f"mean; the most surely confused is {worst.ax} with {worst.b}, {worst.error:.0f} % of {worst.cells} cells."
    )
    return Drawing(heat_map(ordered(errors), request.title, request.width or PAGE), alt)
