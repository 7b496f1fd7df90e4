"""The figures of the target `figures`: the arguments of `resdavenet-vq figure` and the inputs of each.

Like the plan, it reads no file and imports nothing heavy.
"""

from __future__ import annotations

from collections.abc import Iterator
from typing import NamedTuple

from resdavenet_vq.figures.registry import FIGURES, Figure
from resdavenet_vq.workflow.plan import Plan, as_json


class PlannedFigure(NamedTuple):
    """One figure."""

    arguments: list[str]
    inputs: list[str]
    data: list[str]
    """Large files, with a digest beside each."""


def planned_figures(plan: Plan) -> dict[str, PlannedFigure]:
    """The figures of a configuration, by the names of their files.

    Comparisons and trainings are of all seeds; words and utterances of the plan's examples. A name has the number of an
    utterance or keyword in the configuration, since either may hold any character.
    """
    return {
        "-".join(filter(None, (figure.name, suffix))): PlannedFigure(
            [figure.name, *_options(plan, figure), *options], *_inputs(plan, figure)
        )
        for figure in FIGURES.values()
        if _is_scored(plan, figure)
        for suffix, options in _cases(plan, figure)
    }


def _is_scored(plan: Plan, figure: Figure) -> bool:
    """Whether the configuration has models and splits for a figure."""
    if figure.reads in {"noise", "phones"}:
        return False
    of_codes = figure.reads == "words" or figure.name in {"words", "bitrate-abx", "codebooks"}
    return not of_codes or any(lineage.quantizers for lineage in plan.lineages)


def _cases(plan: Plan, figure: Figure) -> Iterator[tuple[str, list[str]]]:
    """The end of the file's name, and the options, of each figure of an entry of the registry."""
    settings = plan.config.figures
    if figure.per_split:
        yield from ((split, ["--split", split]) for split in plan.config.abx.splits)
    elif figure.name == "utterance":
        yield from (
            (str(number), [f"--utterance={utterance_id}"]) for number, utterance_id in enumerate(settings.utterances, 1)
        )
        if not settings.utterances:
            yield "1", []
    elif figure.name == "keyword":
        for number, word in enumerate(settings.keywords, 1):
            yield str(number), [f"--word={word}", "--places", str(settings.places)]
    else:
        yield "", []


def _options(plan: Plan, figure: Figure) -> list[str]:
    """The options that all figures of an entry share."""
    lineages = plan.lineages if figure.reads == "histories" else plan.examples
    values = {
        "lineages": ",".join(lineage.folder for lineage in lineages),
        "recipe": as_json(plan.config.recipe, "frame_time"),
    }
    if figure.reads in {"words", "codes"}:
        values["split"] = plan.config.words.held_out_split
    return [part for name in figure.options if name in values for part in (f"--{name}", values[name])]


def _inputs(plan: Plan, figure: Figure) -> tuple[list[str], list[str]]:
    """The small and the large files that a figure reads."""
    match figure.reads:
        case "histories":
            return plan.models, []
        case "words":
            return plan.words_of(plan.examples), []
        case "codes":
            store = str(plan.root / f"data/{plan.config.words.held_out_split}.h5")
            return [], [store, *plan.shown_codes]
        case _:
            thresholds = plan.words if figure.name == "words" else []
            return [str(plan.root / "scores.csv"), *thresholds], []
