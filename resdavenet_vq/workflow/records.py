"""Results that Snakemake has no record of: the settings that they contain, compared with the configuration.

Snakemake runs a job again when its parameters differ from the recorded ones. Where its records were deleted or left
behind, it would accept any result that exists. Models, stores and scores contain the settings that they were made with,
so such a result is refused when they differ. Where there is a record nothing is compared, so this costs one look at
the disk per result. Like the plan, it imports nothing heavy.
"""

from __future__ import annotations

import json
import os
import re
import shlex
from base64 import urlsafe_b64encode
from collections.abc import Callable, Collection, Iterator, Mapping
from functools import cache
from pathlib import Path
from typing import Any, NamedTuple

from resdavenet_vq.config import Model
from resdavenet_vq.errors import InputError, listed
from resdavenet_vq.lineage import Lineage
from resdavenet_vq.workflow.batches import Batches
from resdavenet_vq.workflow.noise import NoisePlan
from resdavenet_vq.workflow.plan import Plan
from resdavenet_vq.workflow.trainings import training_of

METADATA = Path(".snakemake/metadata")
"""Where Snakemake keeps its records, below the working directory."""

HEADER_LENGTH = 8192
"""The first bytes of a store, with a line of JSON that describes it."""


class Result(NamedTuple):
    """A file that contains the settings that it was made with."""

    file: Path
    rule: str
    settings: Mapping[str, Any]
    """The settings that the configuration requests; a file may contain more or fewer."""
    read: Callable[[Path], Mapping[str, Any]]


def check(plan: Plan, forced: Collection[str] = ()) -> None:
    """Raises InputError if there are results without a record that were made with other settings.

    `forced` are the rules that run in any case, whose results may differ.
    """
    faults, rules = [], []
    for result in results(plan):
        if result.rule in forced or not result.file.is_file() or _has_record(result.file):
            continue
        for key, old, new in _differences(_contents(result), _plain(result.settings)):
            faults.append(f"{result.file}: {key} was {json.dumps(old)}, requested is {json.dumps(new)}")
            rules.append(result.rule)
    if faults:
        raise InputError(
            "These results were made with other settings than those requested, and Snakemake has no record of them "
            f"(its folder {METADATA.parent} was deleted, or left behind):\n{listed(faults)}\n"
            f"Delete them, or make them again with --forcerun {' '.join(dict.fromkeys(rules))}."
        )


def once(plan: Plan, workflow: Any) -> Callable[[], list[str]]:
    """An input function without inputs, which does this check of a Snakemake workflow when it is first called."""

    @cache
    def no_record_contradicts() -> list[str]:
        backend = workflow.workflow_settings.persistence_backend.name
        if workflow.is_main_process and backend == "FILE" and not workflow.dag_settings.forceall:
            check(plan, workflow.dag_settings.forcerun)
        return []

    return no_record_contradicts


def results(plan: Plan) -> Iterator[Result]:
    """All results of a plan that contain settings."""
    config = plan.config
    for split in config.corpus.splits:
        rule = "prepare_part" if plan.splits.parts(split) else "prepare"
        for store in plan.splits.stores(split):
            yield Result(Path(store), rule, json.loads(plan.splits.preparation(split)), _store)
    for lineage in plan.trained.values():
        yield Result(Path(plan.model(lineage)), "train", _training(plan, lineage), _card)
    words = config.words.model_dump(exclude={"max_utterances", "held_out_split"}) if config.words else {}
    words["frame_time"] = config.recipe.frame_time
    recalls = {"recall_at": config.retrieval.recall_at} if config.retrieval else {}
    abx = {"settings": config.abx.scoring.model_dump()}
    scores: dict[str, tuple[dict[str, Any], Callable[[Path], Any]]] = {
        "retrieval": (recalls, _retrieval),
        "matchmap": (recalls, _retrieval),
        "abx": (abx, _json),
        "words": (words, _json),
    }
    makers = Batches(plan).makers
    files = (*plan.retrieval, *plan.matchmaps, *plan.abx, *plan.words, *NoisePlan(plan).scores)
    for file in map(Path, dict.fromkeys(files)):
        kind = file.relative_to(plan.root).parts[1].removesuffix(".json")
        if kind in scores:
            yield Result(file, makers[str(file)], *scores[kind])


def _training(plan: Plan, lineage: Lineage) -> dict[str, Any]:
    training = training_of(plan.config.training, lineage)
    return {
        "model": plan.config.model.model_dump(mode="json"),
        "training": training.model_dump(mode="json", exclude={*training.without_effect, "overrides"}),
        "recipe": json.loads(plan.trainings.recipe(lineage.folder)),
    }


def _has_record(file: Path) -> bool:
    """Whether Snakemake (9.27, `FilePersistence`) has a record of a file: base64 of its path, cut to legal names."""
    length = os.pathconf(".", "PC_NAME_MAX") - 1
    text = urlsafe_b64encode(str(file).encode()).decode()
    *folders, name = (text[i : i + length] for i in range(0, len(text), length))
    return METADATA.joinpath(*(f"@{folder}" for folder in folders), name).is_file()


def _contents(result: Result) -> Mapping[str, Any]:
    """The settings in a file; none where it cannot be read, which its readers report better."""
    try:
        contents = result.read(result.file)
    except (OSError, ValueError, LookupError, TypeError, AttributeError, InputError):
        return {}
    return contents if isinstance(contents, Mapping) else {}


def _differences(old: Mapping[str, Any], new: Mapping[str, Any], prefix: str = "") -> Iterator[tuple[str, Any, Any]]:
    """The dotted keys that both have, where their values differ, with both values."""
    for key in new:
        if key not in old:
            continue
        if isinstance(old[key], Mapping) and isinstance(new[key], Mapping):
            yield from _differences(old[key], new[key], f"{prefix}{key}.")
        elif old[key] != new[key]:
            yield f"{prefix}{key}", old[key], new[key]


def _plain(settings: Mapping[str, Any]) -> dict[str, Any]:
    """Settings as JSON has them."""
    values: dict[str, Any] = json.loads(json.dumps(settings, default=str))
    return values


def _json(file: Path) -> Any:
    return json.loads(file.read_text(encoding="utf-8"))


def _card(file: Path) -> dict[str, Any]:
    """The settings in a model.json, in today's form where they are of an earlier version."""
    card = _json(file)
    return {**card, "model": Model.from_card(card["model"]).model_dump(mode="json")}


def _store(file: Path) -> dict[str, Any]:
    """The settings in a store's header."""
    with file.open("rb") as f:
        attributes = json.loads(f.read(HEADER_LENGTH).split(b"\n")[1])["attributes"]
    words = shlex.split(attributes["command"])
    options = json.loads(words[words.index("--settings") + 1]) if "--settings" in words else {}
    return {"image_size": None, **options, **attributes}


def _retrieval(file: Path) -> dict[str, Any]:
    """The values of k of the recalls in a file of retrieval scores."""
    scores = _json(file)["image_to_speech"]
    return {"recall_at": [int(match[1]) for key in scores if (match := re.fullmatch(r"recall_at_(\d+)", key))]}
