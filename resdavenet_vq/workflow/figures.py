"""Which figures the target `figures` makes: of each, the arguments of `resdavenet-vq figure` and the files that it is made of.

Like the plan, it reads no file and imports nothing heavy.
"""

from __future__ import annotations

import shlex
from typing import NamedTuple

from resdavenet_vq.workflow.plan import Plan, as_json


class Drawing(NamedTuple):
    """One figure."""

    arguments: str
    inputs: tuple[str, ...]


def drawings(plan: Plan) -> dict[str, Drawing]:
    """The figures of a configuration, by the names of their files.

    Comparisons and trainings show all seeds; words and utterances are shown of the plan's examples.
    """
    summary: tuple[str, ...] = (str(plan.root / "summary.csv"),)
    column = ["--width", "3.3"]
    shown = ["--lineages", ",".join(lineage.folder for lineage in plan.examples)]
    every = ["--lineages", ",".join(lineage.folder for lineage in plan.lineages)]
    quantized = any(lineage.quantizers for lineage in plan.lineages)
    planned = {"retrieval": (["retrieval", *column], summary)}
    for split in plan.config.abx.splits:
        planned[f"abx-{split}"] = (["abx", "--split", split, *column], summary)
        if quantized:
            planned[f"bitrate-abx-{split}"] = (["bitrate-abx", "--split", split, *column], summary)
    planned["training"] = (["training", *every, *column], tuple(plan.models))
    if quantized:
        scored = tuple(plan.words_of(plan.examples))
        planned["words"] = (["words", *column], summary)
        planned["precision-recall"] = (["precision-recall", *shown, *column], scored)
        planned["words-above"] = (["words-above", *shown, *column], scored)
        planned["codebooks"] = (["codebooks", *every, *column], tuple(plan.models))
    planned |= _utterances(plan, [*shown, "--width", "7.0"])
    return {name: Drawing(shlex.join(arguments), inputs) for name, (arguments, inputs) in planned.items()}


def _utterances(plan: Plan, options: list[str]) -> dict[str, tuple[list[str], tuple[str, ...]]]:
    """Spectrograms with codes: of utterances, and of the places of keywords."""
    settings, split = plan.config.figures, plan.config.words.held_out_split
    inputs = (str(plan.root / f"data/{split}.h5"), *plan.shown_codes)
    common = ["--split", split, "--recipe", as_json(plan.config.recipe, "frame_time"), *options]
    planned = {"utterance-1": (["utterance", *common], inputs)}
    for number, identity in enumerate(settings.utterances, 1):
        planned[f"utterance-{number}"] = (["utterance", "--utterance", identity, *common], inputs)
    for word in settings.keywords:
        planned[f"keyword-{word}"] = (["keyword", "--word", word, "--places", str(settings.places), *common], inputs)
    return planned
