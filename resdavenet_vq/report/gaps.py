"""What was not measured, in plain lines for the pages: of which systems, on which split, and what it needs."""

from __future__ import annotations

from resdavenet_vq.evaluation.summary import HELD_OUT
from resdavenet_vq.gaps import Gap, Task
from resdavenet_vq.report import columns
from resdavenet_vq.results import Results, split_name, with_arrows


def lines(results: Results, *tasks: Task) -> list[str]:
    """A line for each evaluation, split and need, of some tasks or all: `ABX on test: needs aligned phones.`

    Systems are named where others have a score.
    """
    scored = set(results.comparison[["task", "split", "condition"]].itertuples(index=False, name=None))
    systems: dict[tuple[str, str, str], list[str]] = {}
    partly = set()
    for gap in results.gaps:
        if gap.task in (tasks or (gap.task,)):
            key = _title(gap), gap.split, gap.needs
            systems.setdefault(key, []).append(with_arrows(gap.lineage))
            partly |= {key} if gap.place in scored else set()
    texts = []
    for key, names in systems.items():
        title, split, needs = key
        who = f", {', '.join(dict.fromkeys(names))}" if key in partly else ""
        texts.append(f"{title} on {split_name(split)}{who}: {needs}.")
    return texts


def _title(gap: Gap) -> str:
    """The evaluation that a gap is of."""
    if gap.task == "words":
        return "Words held out" if gap.condition == HELD_OUT else "Words"
    if gap.task == "retrieval":
        return "Retrieval"
    items = gap.condition.rpartition("_")[0]
    return f"ABX of {columns.ABX_ITEMS.get(items, items)}" if items else "ABX"
