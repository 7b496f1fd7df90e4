"""Which phones a layer confuses: the ABX error of every pair of phones as a heat map.

The row is the phone of A and X, the column that of B: dark where X is as near to the other phone as to its own. Phones
that are confused stand side by side (an average-linkage tree of the errors, its leaves in the order that joins the
nearest). The colors go from white to dark blue, safe for color-blind readers, and end at 50 %, chance; the larger
errors are written out. A pair of phones without comparable tokens is grey with a dot.
"""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path
from typing import Literal

import numpy as np
import pandas as pd
from matplotlib.figure import Figure
from scipy.cluster import hierarchy
from scipy.spatial.distance import squareform

from resdavenet_vq.errors import InputError
from resdavenet_vq.figures.style import Drawing, styled

CHANCE = 50.0
"""Percent."""

WRITTEN_FROM = 10.0
"""Errors from this percentage on are written into their cells."""

type Task = Literal["within", "across"]


@dataclass(frozen=True)
class Confusions:
    """`errors[i, j]` (P, P) in percent, of A and X with `phones[i]` and B with `phones[j]`.

    NaN where nothing was compared.
    """

    phones: tuple[str, ...]
    errors: np.ndarray

    @property
    def ordered(self) -> Confusions:
        """With confused phones side by side."""
        if len(self.phones) < 3:
            return self
        filled = np.where(np.isnan(self.errors), np.nanmean(self.errors), self.errors)
        apart = np.maximum(100 - (filled + filled.T) / 2, 0)
        np.fill_diagonal(apart, 0)
        order = hierarchy.leaves_list(
            hierarchy.linkage(squareform(apart, checks=False), "average", optimal_ordering=True)
        )
        return Confusions(tuple(self.phones[i] for i in order), self.errors[np.ix_(order, order)])


def read(table: Path, task: Task) -> Confusions:
    """The errors of a task in a file abx/{split}/{layer}.phones.csv.

    Raises InputError for another file, or without errors of that task.
    """
    try:
        rows = pd.read_csv(
            table, keep_default_na=False, na_values={f"{task}_error": [""]}
        )  # NA is a phone like any other
        rows = rows[["phone_ax", "phone_b", f"{task}_error"]].astype({"phone_ax": str, "phone_b": str})
    except FileNotFoundError:
        raise InputError(f"{table}: no such file; score ABX first") from None
    except (ValueError, KeyError, UnicodeDecodeError) as e:
        raise InputError(f"{table}: no table of ABX errors by phones ({e}); give an abx/*/*.phones.csv") from None
    if not np.isfinite(rows[f"{task}_error"].to_numpy(float)).any():
        raise InputError(f"{table}: has no error {task} speakers: no phones could be compared")
    phones = tuple(sorted({*rows["phone_ax"], *rows["phone_b"]}))
    number = {phone: i for i, phone in enumerate(phones)}
    errors = np.full((len(phones), len(phones)), np.nan)
    errors[rows["phone_ax"].map(number), rows["phone_b"].map(number)] = rows[f"{task}_error"]
    return Confusions(phones, errors)


def heat_map(confusions: Confusions, title: str = "", width: float | None = None) -> Figure:
    """The picture; `width` in inches for a paper, else as wide as its phones need on a screen."""
    phones, errors = confusions.ordered.phones, confusions.ordered.errors
    n, paper = len(phones), width is not None
    inches = width or max(4.0, 1.5 + 0.24 * n)
    with styled(paper=paper):
        figure = Figure(figsize=(inches, 0.88 * inches + 0.3), layout="constrained")
        axes = figure.add_subplot()
        axes.set_facecolor("#EEEEEE")
        image = axes.imshow(errors, cmap="Blues", vmin=0, vmax=CHANCE)
        text = min(10.0, 0.72 * inches * 72 / n * 0.62)
        for (i, j), error in np.ndenumerate(errors):
            if error >= WRITTEN_FROM:
                color = "white" if error > 0.55 * CHANCE else "black"
                axes.text(j, i, f"{error:.0f}", ha="center", va="center", color=color, fontsize=text * 0.9, gid="error")
        rows, columns = np.nonzero(np.isnan(errors))
        axes.scatter(columns, rows, s=text / 4, color="#AAAAAA", linewidths=0, gid="nothing compared")
        axes.set_xticks(np.arange(n - 1) + 0.5, minor=True)
        axes.set_yticks(np.arange(n - 1) + 0.5, minor=True)
        axes.grid(which="minor", color="white", linewidth=0.5)
        for axis in (axes.xaxis, axes.yaxis):
            axis.set_ticks(range(n), phones, fontsize=text)
            axis.set_tick_params(which="both", length=0)
        axes.tick_params(
            axis="x",
            rotation=90 if max(map(len, phones)) > 2 else 0,
            top=True,
            labeltop=True,
            bottom=False,
            labelbottom=False,
        )
        axes.set_xlabel("phone of B")
        axes.xaxis.set_label_position("top")
        axes.set_ylabel("phone of A and X")
        axes.spines[:].set_visible(False)
        bar = figure.colorbar(image, ax=axes, shrink=0.6, extend="max" if np.nanmax(errors) > CHANCE else "neither")
        bar.set_label("ABX error (%); 50 is chance")
        bar.outline.set_visible(False)
        if title:
            axes.set_title(title)
    return figure


def draw(table: Path, task: Task, title: str = "", width: float | None = None) -> Drawing:
    """The heat map of a table, and its description."""
    confusions = read(table, task)
    phones, errors = confusions.phones, confusions.errors
    i, j = np.unravel_index(np.nanargmax(errors), errors.shape)
    alt = (
        f"ABX error {task} speakers of {len(phones)} phones, two by two, {np.nanmean(errors):.1f} % in the mean; "
        f"the most confused is {phones[i]} with {phones[j]}, {errors[i, j]:.0f} %."
    )
    return Drawing(heat_map(confusions, title, width), alt)
