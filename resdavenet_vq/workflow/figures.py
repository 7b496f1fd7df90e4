"""The figures of the target `figures`: the arguments of `resdavenet-vq figure` and the inputs of each.

Like the plan, it reads no file and imports nothing heavy.
"""

from __future__ import annotations

from typing import NamedTuple

from resdavenet_vq.config.section import as_json
from resdavenet_vq.figures.registry import FIGURES
from resdavenet_vq.workflow.pages import Pages
from resdavenet_vq.workflow.plan import Plan


class PlannedFigure(NamedTuple):
    """One figure."""

    arguments: list[str]
    inputs: list[str]
    data: list[str]
    """Large files, with a digest beside each."""


def planned_figures(plan: Plan) -> dict[str, PlannedFigure]:
    """The figures of a configuration, by the names of their files.

    Figures of an evaluation are planned where that is made. Comparisons and trainings are of all seeds; words and
    utterances of systems whose codes are shown. A name has the number of an utterance or keyword in the configuration,
    since either may hold any character.
    """
    pages = Pages(plan)
    settings, split = plan.config.figures, pages.split or ""
    every, examples = (
        ["--systems", ",".join(system.folder for system in systems)] for systems in (plan.lineages, pages.with_codes)
    )
    words = [*examples, "--split", split]
    codes = [*words, "--recipe", as_json(plan.config.recipe, "frame_time")]
    sources = {"scores": PlannedFigure([], [str(plan.root / name) for name in ("scores.csv", "comparison.csv")], [])}
    if plan.lineages:
        sources["histories"] = PlannedFigure(every, plan.models, [])
    if pages.with_codes:
        sources["words"] = PlannedFigure(words, plan.words_of(pages.with_codes), [])
        sources["codes"] = PlannedFigure(codes, [], [*plan.splits.stores(split), *pages.codes])
    numbered = {
        "utterance": [[f"--utterance={utterance_id}"] for utterance_id in settings.utterances] or [[]],
        "keyword": [[f"--word={word}", "--places", str(settings.places)] for word in settings.keywords],
    }
    made = {"retrieval": plan.retrieval, "abx": plan.abx, "words": plan.words}
    quantized = any(lineage.quantizers for lineage in plan.lineages)
    units = any(map(plan.unit_layers, plan.systems))
    planned = {}
    for figure in FIGURES.values():
        without_codes = figure.of_codes and not (quantized if figure.reads == "histories" else units)
        if figure.reads not in sources or without_codes or not all(made[evaluation] for evaluation in figure.of):
            continue
        cases = {figure.name: list[str]()}
        if figure.per_split:
            cases = {f"{figure.name}-{abx}": ["--split", abx] for abx in plan.triphone_splits}
        elif figure.name in numbered:
            cases = {f"{figure.name}-{n}": options for n, options in enumerate(numbered[figure.name], 1)}
        arguments, inputs, data = sources[figure.reads]
        thresholds = plan.words if figure.name == "words" else []
        for name, options in cases.items():
            planned[name] = PlannedFigure([figure.name, *arguments, *options], [*inputs, *thresholds], data)
    return planned
