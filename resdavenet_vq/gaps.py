"""Gaps of the tables of scores: scores that a split or a model has no data for, and what they need.

A score file says so itself (`not_available`). A gap has the same key as the scores that it stands for have in
scores.csv, so that tables, figures and pages look it up where they miss a score.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from pathlib import Path
from typing import Any, Literal, NamedTuple

import pandas as pd

from resdavenet_vq.evaluation import score_files
from resdavenet_vq.evaluation.availability import remedy
from resdavenet_vq.evaluation.summary import HELD_OUT, IMAGE_TO_SPEECH, MEAN, PUBLISHED, SPEECH_TO_IMAGE

type Task = Literal["retrieval", "abx", "words"]

type Place = tuple[str, str, str]
"""Task, split and condition of a score."""

PATTERNS: dict[Task, tuple[str, ...]] = {
    "retrieval": ("retrieval/{}.json",),
    "abx": ("abx/{}/*.json", "abx/{}/*/*.json"),
    "words": ("words/*/{}/summary.json",),
}
"""Where a system's scores of a split are."""

_TRACES: dict[Task, tuple[str, ...]] = {
    "retrieval": ("retrieval",),
    "abx": ("abx", "bitrate"),
    "words": ("words", "units"),
}
"""Tasks of scores.csv that are scored with each, some of them where it has gaps."""


class Gap(NamedTuple):
    """One score that is not available; the layer is empty for scores of a whole system."""

    task: Task
    split: str
    condition: str
    lineage: str
    layer: str
    needs: str
    """As `needs aligned words`."""

    @property
    def place(self) -> Place:
        """What is missing, whichever the system."""
        return self.task, self.split, self.condition


def read(root: Path, scores: pd.DataFrame) -> list[Gap]:
    """The gaps beside the `scores` of results/{corpus}, each once, in the order of tasks and files.

    Left out are files of systems and splits that scores.csv lacks though they have scores, as they are not evaluated any
    more, and noisy copies of splits, which have a table of their own. Raises InputError naming a file that is no score.
    """
    values = {
        task: [score_files.read(file) for pattern in patterns for file in sorted(root.glob(f"*/{pattern.format('*')}"))]
        for task, patterns in PATTERNS.items()
    }
    every = [value for some in values.values() for value in some]
    former = {value["lineage"] for value in every if _has_scores(value)} - set(scores["lineage"])
    gaps: dict[Gap, None] = {}
    for task, some in values.items():
        splits = {value.get("held_out_split", value["split"]) for value in some}
        scored = set(scores["split"][scores["task"].isin(_TRACES[task])])
        for value in some:
            split = value.get("held_out_split", value["split"])
            is_copy = any(split.startswith(f"{other}.") for other in splits)
            is_former = value["lineage"] in former or (scored and value["split"] not in scored)
            if not (is_copy or is_former):
                gaps |= dict.fromkeys(_gaps(task, value))
    return list(gaps)


def _has_scores(value: Mapping[str, Any]) -> bool:
    """Whether scores.csv has rows of a score file: of a layer always, of a whole system unless it is not available."""
    return "layer" in value or "not_available" not in value


def _gaps(task: Task, value: Mapping[str, Any]) -> Iterator[Gap]:
    """The gaps of one score file."""
    if not (reason := value.get("not_available")):
        return
    lineage, layer = value["lineage"], value.get("layer", "")
    if task == "words":
        splits = {PUBLISHED: value["split"], HELD_OUT: value["held_out_split"]}
        for condition in (condition for condition in splits if condition in reason):
            yield Gap(task, splits[condition], condition, lineage, layer, remedy(reason[condition]))
        return
    conditions: Sequence[str] = (IMAGE_TO_SPEECH, SPEECH_TO_IMAGE, MEAN)
    if task == "abx":
        items = value.get("condition", score_files.TRIPHONE)
        conditions = [f"{'' if items == score_files.TRIPHONE else f'{items}_'}{name}" for name in ("within", "across")]
    for condition in conditions:
        yield Gap(task, value["split"], condition, lineage, layer, remedy(reason))
