"""The verdict: what the numbers say in one figure, one short table, and sentences that each follow from an interval.

Rows of the table are the baselines and models, means over seeds, and what was made elsewhere; clusters of further
codebook sizes, and what enters the quantizers of a model that has some, are in the long tables alone. Sentences are about
the last model with quantizers: its words and its phones beside clusters of the same rate and codebook size, its retrieval
beside that of the model it began with, and what enters its quantizers beside normalized log-mel features.
"""

from __future__ import annotations

import itertools
import math
from collections.abc import Iterator
from typing import Any, NamedTuple

from resdavenet_vq.encode.features import LOGMEL
from resdavenet_vq.evaluation.summary import HELD_OUT, MEAN, PUBLISHED
from resdavenet_vq.figures import frontier, paper, registry
from resdavenet_vq.lineage import Lineage
from resdavenet_vq.report.assets import Folder
from resdavenet_vq.results import Layer, Results, Score, is_of_sweep, named, with_arrows
from resdavenet_vq.system import NORMALIZED, Reference

EXPECTED = "expected_words_above_f1", "words_above_f1"
"""Scores of words: the first that was scored is told."""


class Column(NamedTuple):
    """One score: its group and name in the head, how it is rounded, and its numbers by system and layer."""

    group: str
    name: str
    style: str
    scores: dict[Layer, Score]


class Row(NamedTuple):
    """A layer of a system with the scores of each column; those of the whole system are in its first row alone."""

    system: str
    layer: str
    kind: str
    """`baseline`, `model` or `external`."""
    scores: list[Score | None]


class Difference(NamedTuple):
    """How much higher a score of the first system is than that of the second."""

    value: float
    low: float
    high: float

    @property
    def is_clear(self) -> bool:
        """Whether the interval has no 0."""
        return self.low > 0 or self.high < 0


def content(results: Results, folder: Folder) -> dict[str, Any]:
    """The values for the page's beginning."""
    columns = [column for column in _columns(results) if column.scores]
    drawing = paper.draw_if_scored("verdict", registry.Request(results))
    return {
        "picture": folder.figure("verdict", drawing) if drawing else None,
        "columns": columns,
        "rows": _rows(results, columns),
        "sentences": list(sentences(results)),
    }


def _columns(results: Results) -> Iterator[Column]:
    """Retrieval, ABX on the first and the last split, rates, and words."""
    for split in results.splits("retrieval"):
        recall = results.means("retrieval", split, MEAN, "recall_at_10")
        yield Column("", "R@10 (%)", "tenth", {layer: score * 100 for layer, score in recall.items()})
    for split in _splits(results):
        for speakers in ("within", "across"):
            errors = results.means("abx", split, speakers, "error")
            yield Column(f"ABX error on {split} (%)", speakers, "tenth", errors)
    for split in _splits(results)[:1]:
        yield Column("Rate", "bit/s", "count", results.means("bitrate", split, "plain", "bits_per_second"))
        yield Column("Rate", "units/s", "tenth", results.means("bitrate", split, "segment", "units_per_second"))
    for condition, name in ((PUBLISHED, "where chosen"), (HELD_OUT, "held out")):
        yield Column("Words detected", name, "tenth", frontier.word_scores(results, condition)[1])


def _splits(results: Results) -> list[str]:
    """The first and the last split of ABX: in the demo, of words that were trained on and that were not."""
    splits = results.splits("abx")
    return list(dict.fromkeys(splits[:1] + splits[-1:]))


def _rows(results: Results, columns: list[Column]) -> list[Row]:
    """The layers that are shown, system by system."""
    table = results.comparison
    every = dict.fromkeys(zip(table["lineage"], table["layer"], strict=True))
    layers: dict[str, list[str]] = {}
    for system, layer in every:
        if not is_of_sweep(system):
            layers.setdefault(system, []).append(layer)
    rows = []
    for system, names in layers.items():
        chosen = [name for name in names if name and _is_short(system, name)] or [""]
        for layer in chosen:
            whole = [column.scores.get((system, "")) if layer == chosen[0] else None for column in columns]
            own = [column.scores.get((system, layer)) for column in columns]
            scores = [one or other for one, other in zip(own, whole, strict=True)]
            if any(scores):
                rows.append(Row(system, layer, _kind(system), scores))
    return rows


def _is_short(system: str, layer: str) -> bool:
    """Whether the short table has this layer: of a model with quantizers, only these."""
    found = named(system)
    return not isinstance(found, Lineage) or not found.quantizers or layer in found.quantized_layers


def _kind(system: str) -> str:
    found = named(system)
    if not isinstance(found, Reference):
        return "model"
    return "external" if found.is_external else "baseline"


# -- sentences ------------------------------------------------------------------------------------------------


def sentences(results: Results) -> Iterator[tuple[str, list[str]]]:
    """Sentences by what they are about; without paired differences there are none."""
    models = [found for name in results.comparison["lineage"].unique() if isinstance(found := named(name), Lineage)]
    quantized = [model for model in models if model.quantizers]
    last = (quantized or models)[-1:]
    for title, some in (
        ("Words", [text for model in last for text in _words(results, model)]),
        ("Phones", [text for model in last for text in _phones(results, model)]),
        ("Retrieval", [text for model in last for text in _stages(results, model)]),
        ("Grounding", [text for model in last for text in _grounding(results, model)]),
    ):
        if some:
            yield title, some


def _words(results: Results, model: Lineage) -> Iterator[str]:
    """Words that quantizers detect, beside clusters: held out where that was compared."""
    second = str(Reference.kmeans())
    for layer in model.quantized_layers:
        for condition, where in ((HELD_OUT, "held out"), (PUBLISHED, "where codes were chosen")):
            split, _ = frontier.word_scores(results, condition)
            found = (_difference(results, ("words", layer, split, condition, s), str(model), second) for s in EXPECTED)
            if (d := next(filter(None, found), None)) is None:
                continue
            name, clusters = f"{layer} of {with_arrows(str(model))}", f"{second} at its rate and codebook size"
            if d.is_clear:
                more = "more" if d.value > 0 else "fewer"
                yield f"{name} detects {more} words ({where}) than {clusters}: {_signed(d)}."
            else:
                yield f"{name} cannot be told from {clusters} by words ({where}): {_signed(d)} contains 0."
            break


def _phones(results: Results, model: Lineage) -> Iterator[str]:
    """The ABX error of quantizers beside that of clusters."""
    second = str(Reference.kmeans())
    for layer in model.quantized_layers:
        yield from _errors(results, model, layer, second)


def _grounding(results: Results, model: Lineage) -> Iterator[str]:
    """The ABX error of what enters the quantizers, beside that of normalized features."""
    every = results.comparison[["lineage", "layer"]].itertuples(index=False, name=None)
    for layer in dict.fromkeys(layer for lineage, layer in every if lineage == str(model) and layer.startswith("conv")):
        yield from _errors(results, model, layer, str(Reference(NORMALIZED)))


def _errors(results: Results, model: Lineage, layer: str, second: str) -> Iterator[str]:
    """One sentence about ABX errors across speakers on the first and the last split, where they were scored."""
    parts = []
    for split in _splits(results):
        d = _difference(results, ("abx", layer, split, "across", "error"), str(model), second)
        errors = results.means("abx", split, "across", "error")
        own, other = errors.get((str(model), layer)), errors.get((second, LOGMEL))
        if d and d.is_clear:
            parts.append(f"is {'better' if d.value < 0 else 'worse'} than {second} on {split} ({_signed(d)} points)")
        elif d:
            parts.append(f"cannot be told from {second} on {split} ({_signed(d)} contains 0)")
        elif own and other and own.bounds and other.bounds:
            parts.append(_apart(own, other, second, split))
    if parts:
        yield f"In ABX across speakers, {layer} of {with_arrows(str(model))} {' and '.join(parts)}."


def _apart(own: Score, other: Score, second: str, split: str) -> str:
    """What two intervals say where nothing was paired: if they overlap, nothing."""
    numbers = " against ".join(f"{s.value:.1f} [{s.low:.1f}, {s.high:.1f}]" for s in (own, other))
    if own.high < other.low or other.high < own.low:
        return f"is {'better' if own.value < other.value else 'worse'} than {second} on {split} ({numbers})"
    return f"is as {second} on {split} as far as intervals tell ({numbers}: they overlap)"


def _stages(results: Results, model: Lineage) -> Iterator[str]:
    """R@10 of each stage beside that of the model it began with, in points of percent."""
    chain = [model]
    while chain[0].parent:
        chain.insert(0, chain[0].parent)
    for parent, child in itertools.pairwise(chain):
        for split in results.splits("retrieval"):
            key = ("retrieval", "", split, MEAN, "recall_at_10")
            if (d := _difference(results, key, str(child), str(parent), 100)) is None:
                continue
            name, other = with_arrows(str(child)), with_arrows(str(parent))
            if d.is_clear:
                better = "better" if d.value > 0 else "worse"
                yield f"In R@10 on {split}, {name} is {better} than {other} ({_signed(d)} points)."
            else:
                yield f"In R@10 on {split}, {name} cannot be told from {other} ({_signed(d)} contains 0)."


def _difference(
    results: Results, key: tuple[str, str, str, str, str], first: str, second: str, factor: float = 1.0
) -> Difference | None:
    """The paired difference of a task, layer, split, condition and score, whichever of the two comes first."""
    table = results.differences
    for sign, names in ((1, (first, second)), (-1, (second, first))):
        rows = table
        for name, value in zip(
            ("task", "layer", "split", "condition", "score", "first", "second"), (*key, *names), strict=True
        ):
            rows = rows[rows[name] == value]
        if len(rows):
            middle, *ends = (float(number) * sign * factor for number in rows.iloc[0][["value", "low", "high"]])
            return None if math.isnan(middle + sum(ends)) else Difference(middle, min(ends), max(ends))
    return None


def _signed(d: Difference) -> str:
    """A difference and its interval, with a proper minus: `+4.1 [+0.3, +8.0]`; no bound is rounded to 0."""
    digits = 1 if min(abs(d.low), abs(d.high)) >= 0.05 else 2
    return f"{d.value:+.{digits}f} [{d.low:+.{digits}f}, {d.high:+.{digits}f}]".replace("-", "\N{MINUS SIGN}")
