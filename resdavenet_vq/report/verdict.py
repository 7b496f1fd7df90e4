"""The verdict: what the numbers say in one figure, one short table, and sentences that each follow from an interval.

Rows of the table are baselines and models, means over seeds, and what was made elsewhere: of all models the quantizers,
of the last one also what enters them. What is untrained, clusters of further codebook sizes, and further representations
of codes are in the long tables alone. Sentences are about the last model with quantizers: its words and its phones beside
clusters of the same rate and codebook size, its retrieval beside that of the model it began with, and what enters its
quantizers beside normalized log-mel features. Each names the intervals of the differences that it rests on.
"""

from __future__ import annotations

import itertools
import math
from collections.abc import Iterable, Iterator, Mapping
from typing import Any, NamedTuple

from resdavenet_vq.evaluation.summary import HELD_OUT, MEAN, PUBLISHED
from resdavenet_vq.figures import frontier, paper, registry
from resdavenet_vq.gaps import Place
from resdavenet_vq.lineage import Lineage
from resdavenet_vq.report.assets import Folder
from resdavenet_vq.report.sources import Sources
from resdavenet_vq.results import Layer, Results, Score, split_name, with_arrows
from resdavenet_vq.system import NORMALIZED, Reference, is_of_sweep, is_untrained, named

EXPECTED = "expected_words_above_f1", "words_above_f1"
"""Scores of words: the first that was scored is told."""

KINDS = "baseline", "model", "external"
"""Of rows, in their order."""

UNCLEAR = "cannot be told from"
"""What an interval with 0 in it says."""

ALIKE = "with the same rate and codebook size"
"""Which clusters a quantizer is compared with."""


class Column(NamedTuple):
    """One score: its group and name in the head, how it is rounded, and its numbers by system and layer."""

    group: str
    name: str
    style: str
    scores: dict[Layer, Score]
    place: Place
    """What gaps of it are called."""


class Row(NamedTuple):
    """A layer of a system with the scores of each column; those of the whole system are in its first row alone."""

    system: str
    layer: str
    kind: str
    """One of KINDS."""
    scores: list[Score | None]
    needs: list[str]
    """Of each column, what a score needs that is not available; empty where nothing is known."""
    files: list[str]
    """Of each column, the file of its score where its command is known; else empty."""


class Difference(NamedTuple):
    """How much higher a score of the first system is than that of the second."""

    value: float
    low: float
    high: float

    @property
    def is_clear(self) -> bool:
        """Whether the interval has no 0."""
        return self.low > 0 or self.high < 0


def content(results: Results, folder: Folder, sources: Sources) -> dict[str, Any]:
    """The values for the page's beginning."""
    columns = [column for column in _columns(results) if column.scores]
    drawing = paper.draw_if_scored("verdict", registry.Request(results))
    return {
        "picture": folder.figure("verdict", drawing) if drawing else None,
        "columns": columns,
        "rows": _rows(results, columns, sources),
        "tasks": {column.place[0] for column in columns},
        "sentences": list(sentences(results)),
    }


def _columns(results: Results) -> Iterator[Column]:
    """Retrieval, ABX on the first and the last split, rates, and words."""
    for split in results.splits("retrieval"):
        recall = results.means("retrieval", split, MEAN, "recall_at_10")
        percent = {layer: score * 100 for layer, score in recall.items()}
        yield Column("", "R@10 (%)", "tenth", percent, ("retrieval", split, MEAN))
    for split in _splits(results):
        for speakers in ("within", "across"):
            errors = results.means("abx", split, speakers, "error")
            yield Column(f"ABX error on {split_name(split)} (%)", speakers, "tenth", errors, ("abx", split, speakers))
    for split in (_splits(results) or results.splits("bitrate"))[:1]:
        for name, style, condition, score in (
            ("bit/s", "count", "plain", "bits_per_second"),
            ("units/s", "tenth", "segment", "units_per_second"),
        ):
            rates = results.means("bitrate", split, condition, score)
            yield Column("Rate", name, style, rates, ("bitrate", split, condition))
    for condition, name in ((PUBLISHED, "where chosen"), (HELD_OUT, "held out")):
        split, scores = frontier.word_scores(results, condition)
        yield Column(f"Words detected{_of_words(results)}", name, "tenth", scores, ("words", split, condition))


def _of_words(results: Results) -> str:
    """` of 68`, the number of words that are scored, where it is one for all units."""
    totals = {
        s.value for split in results.splits("words") for s in results.means("words", split, PUBLISHED, "words").values()
    }
    return f" of {totals.pop():.0f}" if len(totals) == 1 else ""


def _splits(results: Results) -> list[str]:
    """The first and the last split of ABX: in the demo, of words that were trained on and that were not."""
    splits = results.splits("abx")
    return list(dict.fromkeys(splits[:1] + splits[-1:]))


def _rows(results: Results, columns: list[Column], sources: Sources) -> list[Row]:
    """The layers that are shown, system by system: baselines, models, and what was made elsewhere."""
    table = results.comparison
    layers: dict[str, list[str]] = {}
    for system, layer in dict.fromkeys(zip(table["lineage"], table["layer"], strict=True)):
        layers.setdefault(system, []).append(layer)
    last = _last(results)
    rows = []
    for system in sorted(filter(_is_short, layers), key=lambda system: KINDS.index(_kind(system))):
        chosen = [name for name in layers[system] if name and _is_shown(system, name, last)] or [""]
        for layer in sorted(chosen):
            whole = [column.scores.get((system, "")) if layer == min(chosen) else None for column in columns]
            own = [column.scores.get((system, layer)) for column in columns]
            scores = [one or other for one, other in zip(own, whole, strict=True)]
            missing = results.needs.get((system, layer), {})
            if layer == min(chosen):
                missing = results.needs.get((system, ""), {}) | missing
            if any(scores):
                needs = [missing.get(column.place, "") for column in columns]
                files = [
                    sources.file(system, layer if own_score else "", column.place)
                    for column, own_score in zip(columns, own, strict=True)
                ]
                rows.append(Row(system, layer, _kind(system), scores, needs, files))
    return rows


def _is_short(notation: str) -> bool:
    """Whether the short table has a system: none that is untrained, and no clusters of further codebook sizes."""
    return not is_of_sweep(notation) and not is_untrained(notation)


def _is_shown(system: str, layer: str, last: Lineage | None) -> bool:
    """Whether the short table has a layer: of a model its quantizers, of the last one also what enters them."""
    found = named(system)
    if not isinstance(found, Lineage):
        return True
    return layer in found.quantized_layers or (found == last and layer.startswith("conv"))


def _last(results: Results) -> Lineage | None:
    """The model that sentences are about: the last one with quantizers, or without any the last."""
    models = [found for name in results.comparison["lineage"].unique() if isinstance(found := named(name), Lineage)]
    return next(iter([model for model in models if model.quantizers][-1:] or models[-1:]), None)


def _kind(system: str) -> str:
    found = named(system)
    if not isinstance(found, Reference):
        return "model"
    return "external" if found.is_external else "baseline"


# -- sentences ------------------------------------------------------------------------------------------------


def sentences(results: Results) -> Iterator[tuple[str, list[str]]]:
    """Sentences by what they are about; without paired differences there are none."""
    if (model := _last(results)) is None:
        return
    for title, some in (
        ("Words", _words(results, model)),
        ("Phones", _phones(results, model)),
        ("Retrieval", _stages(results, model)),
        ("Grounding", _grounding(results, model)),
    ):
        if texts := list(some):
            yield title, texts


def _words(results: Results, model: Lineage) -> Iterator[str]:
    """Words that quantizers detect, beside clusters: held out where that was compared."""
    clusters, name = str(Reference.kmeans()), with_arrows(str(model))
    for condition, where in ((HELD_OUT, "Held out"), (PUBLISHED, "Where codes were chosen")):
        split, _ = frontier.word_scores(results, condition)
        found: dict[str, Difference | None] = {}
        for layer in model.quantized_layers:
            some = (_difference(results, ("words", layer, split, condition, s), str(model), clusters) for s in EXPECTED)
            found[layer] = next(filter(None, some), None)
        clauses, of, beside = list[str](), f" of {name}", f"{clusters} {ALIKE}"
        for outcome, claims in _by_outcome(found, "more words than", "fewer words than"):
            verb = "" if outcome == UNCLEAR else "detects " if len(claims) == 1 else "detect "
            numbers = ", ".join(map(_signed, claims.values()))
            clauses.append(f"{' and '.join(claims)}{of} {verb}{outcome} {beside} ({numbers})")
            of, beside = "", "them"
        if clauses:
            yield f"{where}, {'; '.join(clauses)}."
            return


def _phones(results: Results, model: Lineage) -> Iterator[str]:
    """The ABX errors of quantizers beside those of clusters."""
    return _errors(results, model, model.quantized_layers, str(Reference.kmeans()), f" {ALIKE}")


def _grounding(results: Results, model: Lineage) -> Iterator[str]:
    """The ABX errors of what enters the quantizers, beside those of normalized features."""
    every = results.comparison[["lineage", "layer"]].itertuples(index=False, name=None)
    layers = sorted({layer for lineage, layer in every if lineage == str(model) and layer.startswith("conv")})
    return _errors(results, model, layers, str(Reference(NORMALIZED)))


def _errors(results: Results, model: Lineage, layers: Iterable[str], second: str, which: str = "") -> Iterator[str]:
    """A sentence about the ABX errors of each layer, within and across speakers, on the first and the last split."""
    places = list(itertools.product(_splits(results), ("within", "across")))
    for layer in layers:
        keys = {(split, speakers): ("abx", layer, split, speakers, "error") for split, speakers in places}
        found = {place: _difference(results, key, str(model), second) for place, key in keys.items()}
        clauses, beside = list[str](), f"{second}{which}"
        for outcome, claims in _by_outcome(found, "is worse than", "is better than"):
            parts = []
            for split, some in itertools.groupby(claims.items(), lambda claim: claim[0][0]):
                numbers = [f"{speakers} speakers {_signed(d)}" for (_, speakers), d in some]
                parts.append(f"on {split_name(split)} ({', '.join(numbers)})")
            clauses.append(f"{outcome} {beside} {' and '.join(parts)}")
            beside = "them"
        if clauses:
            yield f"In ABX error, in points, {layer} of {with_arrows(str(model))} {', and '.join(clauses)}."


def _stages(results: Results, model: Lineage) -> Iterator[str]:
    """R@10 of each stage beside that of the model it began with, in points of percent."""
    chain = [model]
    while chain[0].parent:
        chain.insert(0, chain[0].parent)
    for split in results.splits("retrieval"):
        key, clauses = ("retrieval", "", split, MEAN, "recall_at_10"), list[str]()
        for parent, child in itertools.pairwise(map(str, chain)):
            found = {child: _difference(results, key, child, parent, 100)}
            clauses += [
                f"{with_arrows(child)} {outcome} {with_arrows(parent)} ({_signed(claims[child])})"
                for outcome, claims in _by_outcome(found, "is better than", "is worse than")
            ]
        if clauses:
            yield f"In R@10 on {split_name(split)}, in points, {', and '.join(clauses)}."


def _by_outcome[Place](
    found: Mapping[Place, Difference | None], more: str, less: str
) -> Iterator[tuple[str, dict[Place, Difference]]]:
    """Differences that say the same, and what: `more` or `less` where the interval has no 0."""
    claims = {at: d for at, d in found.items() if d}
    outcomes = {at: (more if d.value > 0 else less) if d.is_clear else UNCLEAR for at, d in claims.items()}
    for outcome in dict.fromkeys(outcomes.values()):
        yield outcome, {at: d for at, d in claims.items() if outcomes[at] == outcome}


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
    """A difference and its interval, with a proper minus: `+4.1 [+0.3, +8.0]`; no bound without 0 is rounded to it."""
    digits = next((n for n in (1, 2, 3) if not d.is_clear or min(abs(round(x, n)) for x in d[1:]) > 0), 4)
    value, low, high = (f"{round(x, digits) + 0.0:+.{digits}f}" for x in d)
    return f"{value} [{low}, {high}]".replace("-", "\N{MINUS SIGN}")
