"""Charts that Plotly draws on a page, for hovering: their descriptions as plain values.

A table beside each has the same numbers.
"""

from __future__ import annotations

from collections.abc import Mapping
from importlib import metadata
from pathlib import Path
from typing import Any, NamedTuple
from urllib.parse import urlencode

import numpy as np
import pandas as pd
from matplotlib.ticker import MaxNLocator

from resdavenet_vq.errors import InputError
from resdavenet_vq.figures.charts import F1_LEVELS, Panel, equal_f1
from resdavenet_vq.figures.confusions import CHANCE, ordered
from resdavenet_vq.figures.style import LINES

SHADES = [[0, "#e1ecf7"], [0.5, "#4a90c4"], [1, "#08306b"]]
DARK_SHADES = [[0, "#232b36"], [0.5, "#3f86bd"], [1, "#e8f4ff"]]
"""Of heat maps, on a light and on a dark page: 0 is close to the page."""

_MARKERS = ("circle", "square", "diamond", "triangle-down", "triangle-up", "pentagon", "x")
_DASHES = ("solid", "dash", "dashdot", "dot", "longdash")


class Chart(NamedTuple):
    """A chart: the name of its element, what Plotly draws, what it shows in words, and its height in pixels.

    A trace's `meta.dark` has what is different on a dark page.
    """

    name: str
    figure: dict[str, Any]
    alt: str
    height: int = 380


def library() -> tuple[Path, Path]:
    """Plotly's script and its license, as installed. Raises InputError without them."""
    try:
        files = {Path(str(file)).name: Path(str(file.locate())) for file in metadata.files("plotly") or ()}
        return files["plotly.min.js"], files["LICENSE.txt"]
    except (metadata.PackageNotFoundError, KeyError):
        raise InputError(
            "plotly is not installed, or without its script; the report's charts need it: "
            "pip install 'resdavenet-vq[report]'"
        ) from None


def curves(panel: Panel, alt: str) -> Chart:
    """Curves over epochs; only finite values are drawn."""
    data = []
    for number, line in enumerate(panel.lines):
        finite = np.isfinite(line.y)
        color, symbol = LINES[number % len(LINES)], _MARKERS[number % len(_MARKERS)]
        look = {
            "mode": "lines+markers",
            "name": plain(line.name),
            "line": {"color": color, "dash": _DASHES[number % len(_DASHES)]},
            "marker": {"color": color, "symbol": symbol, "size": 6},
        }
        data.append(_scatter(line.x[finite], line.y[finite]) | look)
    vertical = _axis(f"{panel.unit}, logarithmic" if panel.log else panel.unit, type="log" if panel.log else "linear")
    if panel.y_limits and None not in panel.y_limits:
        vertical["range"] = list(panel.y_limits)
    elif panel.y_limits:
        vertical["rangemode"] = "tozero"
    if panel.log:
        vertical |= _log_ticks(np.concatenate([line.y for line in panel.lines]))
    layout = {"xaxis": _axis("Epoch", rangemode="tozero"), "yaxis": vertical, "hovermode": "x unified"}
    return Chart(f"chart-{panel.name}", {"data": data, "layout": layout}, alt, 340 + 12 * len(data))


def precision_recall(words: Mapping[str, pd.DataFrame], numbers: Mapping[str, int], alt: str) -> Chart:
    """A point for each word; hovering names it, a click opens it in the explorer.

    `numbers`: those of the layers in the explorer.
    """
    data: list[dict[str, Any]] = []
    for f1 in F1_LEVELS:
        recall, precision = equal_f1(f1, points=60)
        look = {"line": {"color": "#999999", "width": 2 if f1 == 0.5 else 1}, "hoverinfo": "skip", "showlegend": False}
        data.append(_scatter(recall.round(4), precision.round(4), mode="lines") | look)
    for number, (name, table) in enumerate(words.items()):
        layer, symbol = numbers.get(name), f"{_MARKERS[number % len(_MARKERS)]}-open"
        look = {
            "text": [
                f"{plain(word)}: F1 {100 * f1:.1f} %, code {code}"
                for word, f1, code in zip(table["word"], table["f1"], table["code"], strict=True)
            ],
            "customdata": [
                None if layer is None else "units.html#" + urlencode({"layer": layer, "word": word})
                for word in table["word"]
            ],
            "hovertemplate": "%{text}<br>precision %{y:.3f}, recall %{x:.3f}<extra></extra>",
            "marker": {"symbol": symbol, "size": 8, "color": LINES[number % len(LINES)]},
        }
        data.append(_scatter(table["recall"], table["precision"], mode="markers", name=plain(name)) | look)
    note = {"showarrow": False, "xanchor": "left", "font": {"size": 11}}
    layout = {
        "xaxis": _axis("Recall", range=[0, 1.01]),
        "yaxis": _axis("Precision", range=[0, 1.03]),
        "annotations": [{"x": 1, "y": f1 / (2 - f1), "text": f"F1 {f1}"} | note for f1 in F1_LEVELS],
        "hovermode": "closest",
        "margin": {"r": 52},
    }
    return Chart("chart-precision-recall", {"data": data, "layout": layout}, alt, 460)


def phone_errors(errors: pd.DataFrame, alt: str) -> Chart:
    """ABX errors of pairs of phones as a heat map; confused phones stand side by side."""
    errors = ordered(errors)
    phones = [plain(str(phone)) for phone in errors]
    trace = {
        "type": "heatmap",
        "x": phones,
        "y": phones,
        "z": [[round(error, 2) for error in row] for row in errors.to_numpy().tolist()],
        "zmin": 0,
        "zmax": CHANCE,
        "colorscale": SHADES,
        "meta": {"dark": {"colorscale": DARK_SHADES}},
        "hoverongaps": False,
        "xgap": 1,
        "ygap": 1,
        "hovertemplate": "A and X %{y}, B %{x}: %{z:.1f} %<extra></extra>",
        "colorbar": {"title": {"text": "error (%)", "side": "right"}, "thickness": 12, "outlinewidth": 0},
    }
    axis = {"type": "category", "tickmode": "linear", "tickfont": {"size": 10}, "showgrid": False, "ticks": ""}
    layout = {
        "xaxis": axis | _axis("phone of B", side="top"),
        "yaxis": axis | _axis("phone of A and X", autorange="reversed"),
        "margin": {"t": 60},
    }
    return Chart("chart-phones", {"data": [trace], "layout": layout}, alt, max(420, 15 * len(errors) + 120))


def plain(text: str) -> str:
    """Text of a corpus without the tags and codes that Plotly would interpret."""
    return str(text).replace("&", "&amp;").replace("<", "&lt;").replace(">", "&gt;").replace("%{", "% {")


def _axis(title: str, **more: Any) -> dict[str, Any]:
    return {"title": {"text": title}} | more


def _scatter(x: np.ndarray | pd.Series, y: np.ndarray | pd.Series, **look: Any) -> dict[str, Any]:
    return {"type": "scatter"} | look | {"x": x.tolist(), "y": y.tolist()}


def _log_ticks(values: np.ndarray) -> dict[str, Any]:
    """Ticks of a logarithmic axis at 1, 2, 5, 10, ..., or at round steps of a short one.

    And its range, a little more than that of the values (base 10, as Plotly wants it).
    """
    positive = values[np.isfinite(values) & (values > 0)]
    if not len(positive):
        return {}
    low, high = np.log10(positive.min()) - 0.06, np.log10(positive.max()) + 0.06
    if high - low < 0.7:
        ticks = [tick for tick in map(float, MaxNLocator(6).tick_values(10**low, 10**high)) if tick > 0]
    else:
        ticks = [m * 10.0**e for e in range(int(np.floor(low)), int(np.ceil(high)) + 1) for m in (1, 2, 5)]
    return {"range": [low, high], "tickvals": ticks, "ticktext": [f"{tick:g}" for tick in ticks]}
