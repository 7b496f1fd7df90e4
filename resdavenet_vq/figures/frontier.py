"""Systems compared at equal bitrate: ABX error, and words detected, against the bits a second that units take.

A point is one layer of one system, the mean over its seeds, and a bar its 95 % interval. A line joins what belongs
together: clusters of one layer's rate over codebook sizes, or the layers of one system. Systems of one family share a
color, layers a marker. What has no bitrate, as log-mel features, is a level. Drawn from comparison.csv.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from typing import Any, NamedTuple

from matplotlib.figure import Figure
from matplotlib.lines import Line2D
from matplotlib.ticker import MaxNLocator

from resdavenet_vq.encode.features import FEATURES, LOGMEL, source
from resdavenet_vq.evaluation.summary import HELD_OUT, PUBLISHED
from resdavenet_vq.figures.registry import Request
from resdavenet_vq.figures.style import DASHES, LINES, MARKERS, Drawing, legend_below, readable_log, styled
from resdavenet_vq.results import Layer, Results, Score, split_name, with_arrows
from resdavenet_vq.system import Reference, System, is_untrained, named

GREYS = ("#000000", "#666666", "#999999")
"""Colors of baselines; the others have those of LINES, but for black."""

LEVELS = ("--", ":", "-.")
"""Dashes of what has no bitrate."""


class Panel(NamedTuple):
    """One chart: its title, what stands at its vertical axis, and bitrates and scores by system and layer."""

    title: str
    unit: str
    bits: dict[Layer, Score]
    scores: dict[Layer, Score]

    @property
    def points(self) -> list[Layer]:
        """What has a bitrate and a score."""
        return [layer for layer in self.bits if layer in self.scores]

    @property
    def levels(self) -> dict[Layer, Score]:
        """The features that have a score and no bitrate."""
        return {at: s for at, s in self.scores.items() if at[1] in {LOGMEL, FEATURES} and at not in self.bits}


class Curve(NamedTuple):
    """What is joined by a line: a family of systems, and its points."""

    family: str
    points: list[Layer]


def bitrate_abx(request: Request) -> Drawing | None:
    """Bitrate against ABX error of all units on a split, within and across speakers."""
    panels = [_abx(request.results, request.split, c, f"{c} speakers") for c in ("within", "across")]
    return _draw(request, panels, f"ABX error in percent against bitrate on {split_name(request.split)}")


def bitrate_words(request: Request) -> Drawing | None:
    """Bitrate against the words that single codes detect, where the codes were chosen and held out."""
    panels = [
        _words(request.results, PUBLISHED, "where codes were chosen"),
        _words(request.results, HELD_OUT, "held out"),
    ]
    return _draw(request, panels, "Words detected against bitrate")


def verdict(request: Request) -> Drawing | None:
    """Bitrate against the ABX error across speakers on the first and the last split, and against words held out.

    Codes themselves, without further representations of them, and nothing untrained.
    """
    splits = request.results.splits("abx")
    panels = [
        _abx(request.results, split, "across", f"ABX across speakers, {split_name(split)}")
        for split in dict.fromkeys(splits[:1] + splits[-1:])
    ]
    panels.append(_words(request.results, HELD_OUT, "Words held out"))
    return _draw(request, [_without_variants(panel) for panel in panels], "Against bitrate")


def _without_variants(panel: Panel) -> Panel:
    """A panel without further representations of a layer's codes, and without what is untrained."""
    chosen = {at: s for at, s in panel.scores.items() if source(at[1]) == at[1] and not is_untrained(at[0])}
    return panel._replace(scores=chosen)


def word_scores(results: Results, condition: str) -> tuple[str, dict[Layer, Score]]:
    """The words that single codes detect, and the split: the expected number where there is one, else the count."""
    rows = results.scores[(results.scores["task"] == "words") & (results.scores["condition"] == condition)]
    split = str(next(iter(rows["split"]), ""))
    names = ("expected_words_above_f1", "words_above_f1")
    return split, next((some for name in names if (some := results.means("words", split, condition, name))), {})


def _abx(results: Results, split: str, condition: str, title: str) -> Panel:
    bits = results.means("bitrate", split, "plain", "bits_per_second")
    return Panel(title, "ABX error (%)", bits, results.means("abx", split, condition, "error"))


def _words(results: Results, condition: str, title: str) -> Panel:
    """Bitrates are of the same split, or of the first that has some."""
    split, scores = word_scores(results, condition)
    splits = results.splits("bitrate")
    rate = split if split in splits else next(iter(splits), "")
    return Panel(title, "Words detected", results.means("bitrate", rate, "plain", "bits_per_second"), scores)


def _draw(request: Request, candidates: Sequence[Panel], about: str) -> Drawing | None:
    """The panels that have points, side by side."""
    panels = [panel for panel in candidates if panel.points]
    if not panels:
        return None
    width, paper = request.width, request.width is not None
    points = list(dict.fromkeys(point for panel in panels for point in panel.points))
    looks = _looks(points)
    markers = {layer: MARKERS[i % len(MARKERS)] for i, layer in enumerate(sorted({layer for _, layer in points}))}
    size = (width, min(0.62 * width, 2.4)) if width else (3.6 * len(panels) + 0.4, 3.5)
    with styled(paper=paper):
        figure = Figure(figsize=size, layout="constrained")
        same = len({panel.unit for panel in panels}) == 1
        all_axes = figure.subplots(1, len(panels), sharey=same, squeeze=False)[0]
        for axes, panel in zip(all_axes, panels, strict=True):
            _fill(axes, panel, looks, markers, paper=paper)
        for axes, panel in zip(all_axes[: 1 if same else None], panels, strict=False):
            axes.set(ylabel=panel.unit, ylim=(0, None))
        levels = dict.fromkeys(layer for panel in panels for layer in panel.levels)
        line: dict[str, Any] = {"linewidth": 1.0 if paper else 1.5, "markersize": 3.5 if paper else 5.0}
        handles = [Line2D([], [], label=with_arrows(family), **look, **line) for family, look in looks.items()]
        handles += [
            Line2D([], [], label=f"{lineage} (level)", color="#777777", linestyle=LEVELS[i % len(LEVELS)], linewidth=1)
            for i, (lineage, _) in enumerate(levels)
        ]
        handles += [
            Line2D([], [], label=layer, marker=marker, color="#555555", linestyle="none", markersize=line["markersize"])
            for layer, marker in markers.items()
        ]
        legend_below(figure, handles, paper=paper)
    return Drawing(figure, f"{about}. {' '.join(_described(panels))}")


def _fill(axes: Any, panel: Panel, looks: dict[str, dict[str, Any]], markers: dict[str, str], *, paper: bool) -> None:
    """The levels, lines, points and bars of one chart."""
    for i, (_, level) in enumerate(panel.levels.items()):
        axes.axhline(level.value, color="#777777", linewidth=1, linestyle=LEVELS[i % len(LEVELS)], gid="level")
        if level.bounds:
            axes.axhspan(*level.bounds, color="#777777", alpha=0.12, linewidth=0, gid="level's interval")
    for family, layers in curves(panel):
        xs, ys = ([scores[layer].value for layer in layers] for scores in (panel.bits, panel.scores))
        axes.plot(xs, ys, **looks[family], linewidth=0.9 if paper else 1.4, gid="curve")
    for layer in panel.points:
        x, y, look = panel.bits[layer], panel.scores[layer], looks[_family(layer[0])]
        bars = {
            name: [[max(s.value - s.low, 0)], [max(s.high - s.value, 0)]]
            for name, s in (("xerr", x), ("yerr", y))
            if s.bounds
        }
        mark = {"color": look["color"], "marker": markers[layer[1]], "markersize": 3.2 if paper else 5.0}
        drawn = axes.errorbar(x.value, y.value, **bars, **mark, linestyle="none", elinewidth=0.8 if paper else 1.2)
        drawn.lines[0].set_gid("point")
    axes.set(xscale="log", title=panel.title, xlabel="Bitrate (bit/s, log)")
    axes.margins(0.12)
    axes.yaxis.set_major_locator(MaxNLocator(6, steps=[1, 2, 2.5, 5, 10], integer=True))
    readable_log(axes.xaxis)
    axes.grid(visible=True)


def curves(panel: Panel) -> Iterator[Curve]:
    """What lines join, each from the lowest bitrate up: of a family of several systems, each layer over the systems."""
    families: dict[str, list[Layer]] = {}
    for layer in sorted(panel.points, key=lambda layer: panel.bits[layer].value):
        families.setdefault(_family(layer[0]), []).append(layer)
    for family, points in families.items():
        several = len({system for system, _ in points}) > 1
        for name in dict.fromkeys(layer for _, layer in points) if several else [""]:
            yield Curve(family, [point for point in points if not several or point[1] == name])


def _looks(points: Sequence[Layer]) -> dict[str, dict[str, Any]]:
    """Color and dash of each family: baselines are grey and dashed, models have colors, and what was made elsewhere too."""
    kinds: dict[str, System | None] = {_family(name): named(name) for name, _ in points}
    colors, looks = [color for color in LINES if color != GREYS[0]], dict[str, dict[str, Any]]()
    baselines = [f for f, system in kinds.items() if isinstance(system, Reference) and not system.is_external]
    for i, family in enumerate(baselines):
        looks[family] = {"color": GREYS[i % len(GREYS)], "linestyle": DASHES[1 + i % (len(DASHES) - 1)]}
    for i, family in enumerate(family for family in kinds if family not in baselines):
        looks[family] = {"color": colors[i % len(colors)], "linestyle": DASHES[i // len(colors) % len(DASHES)]}
    return {family: looks[family] for family in kinds}


def _family(name: str) -> str:
    """The family of a system in notation; a model is alone."""
    system = named(name)
    return system.family if isinstance(system, Reference) else name


def _described(panels: Sequence[Panel]) -> Iterator[str]:
    """What each panel shows, in words."""
    for panel in panels:
        points = [
            f"{with_arrows(' '.join(layer))} {panel.bits[layer].value:.3g} bit/s, {text(panel.scores[layer])}"
            for layer in panel.points
        ]
        levels = [f"{with_arrows(system)} {text(score)}" for (system, _), score in panel.levels.items()]
        yield f"{panel.title}, {panel.unit}: {'; '.join([*levels, *points])}."


def text(score: Score) -> str:
    """A score with three digits and its interval."""
    bounds = score.bounds
    return f"{score.value:.3g}" + (f" [{bounds[0]:.3g}, {bounds[1]:.3g}]" if bounds else "")
