"""The overview: the verdict, then every score, systems and seeds compared, noise, and published figures beside."""

from __future__ import annotations

from collections.abc import Collection, Hashable, Iterable, Iterator, Mapping
from typing import Any, Literal, NamedTuple

import pandas as pd

from resdavenet_vq.figures import paper, registry
from resdavenet_vq.gaps import Place, Task
from resdavenet_vq.lineage import Lineage
from resdavenet_vq.report import columns, gaps, published, verdict
from resdavenet_vq.report.assets import Folder, Picture
from resdavenet_vq.report.columns import Column
from resdavenet_vq.report.sources import Sources
from resdavenet_vq.results import Layer, Results, split_name

type Key = tuple[str, str, str, str]
"""Task, split, condition and score."""

TASKS = ("layer", "retrieval", "retrieval_sisa", "retrieval_misa", "retrieval_sima", "abx", "bitrate", "words", "units")
"""In the order of the page; others come last."""

DEMO = "spoken_scenes"
"""The name of the corpus that the demo makes."""

CONDITIONS: dict[str, tuple[Task, tuple[str, ...]]] = {
    "Retrieval": ("retrieval", ("split", "images", "captions")),
    "ABX error": ("abx", ("distance",)),
    "Words": ("words", ("split", "held_out_split", "min_occurrences", "f1_threshold", "best", "frame_time")),
}
"""By group: the task, and the conditions that are listed if they are the same for all models."""


class Made(NamedTuple):
    """What made the numbers of a group: the command, its file, and the logs with its whole command lines."""

    command: str
    file: str
    logs: str


MADE = {
    "Retrieval": ("score-retrieval", "retrieval/SPLIT.json"),
    "ABX error": ("score-abx", "abx/SPLIT/LAYER.json"),
    "Bitrate": ("score-abx", "abx/SPLIT/LAYER.json"),
    "Words": ("detect-words", "words/LAYER/SPLIT/summary.json"),
    "Units": ("detect-words", "words/LAYER/SPLIT/summary.json"),
}
"""By group: the command of its numbers, and the file in the folder of a system."""


class Row(NamedTuple):
    """The scores of one layer of one model; those of the whole model have a row without a layer, above its layers'."""

    lineage: str
    layer: str
    scores: dict[Key, Any]
    bounds: dict[Key, tuple[float, float]]
    """The 95 % intervals of those scores that have one."""
    needs: dict[Place, str]
    """What scores that are not available need."""
    files: dict[Place, str]
    """The files of those scores whose command is known."""

    @property
    def seeds(self) -> int:
        """The number of seeds, of a row whose scores are (mean, standard deviation, seeds)."""
        return max(int(n) for *_, n in self.scores.values())


def content(results: Results, folder: Folder, sources: Sources, *, with_noise: bool) -> dict[str, Any]:
    """The values for the overview: the headline scores of every lineage and layer, and all scores with their meaning."""
    rows = _rows(results.scores, results.needs, sources)
    measured = set(results.scores["task"])
    keys = _keys(rows)
    headline = [(key, c) for key, c in keys if c.headline]
    return {
        "models": [model for model in results.models if isinstance(model.system, Lineage)],
        "is_demo": results.root.name == DEMO,
        "verdict": verdict.content(results, folder, sources),
        "headline": headline,
        "rows": [row for row in rows if any(key in row.scores or key[:3] in row.needs for key, _ in headline)] or rows,
        "groups": [
            _group(results, title, [(key, c) for key, c in keys if c.group == title], rows)
            for title in dict.fromkeys(c.group for _, c in keys if c.group)
        ],
        "gaps": gaps.lines(results),
        "measured": measured,
        "csv": folder.copy(results.root / "summary.csv", "tables/summary.csv"),
        "published": [group for group in published.GROUPS if group.task in measured],
        "spread": _spread(results.comparison),
        "pictures": list(_pictures(results, folder, "scores")),
        "noise": list(_pictures(results, folder, "noise")) if with_noise else [],
    }


def _rows(scores: pd.DataFrame, needs: Mapping[Layer, Mapping[Place, str]], sources: Sources) -> list[Row]:
    """Every model and layer; a lineage of several seeds is named with the seed."""
    seeds = scores.groupby("lineage")["seed"].nunique(dropna=False)
    entries, lineages, seed_of = [], dict[str, str](), dict[str, int | None]()
    for s in scores.to_dict("records"):
        name = f"{s['lineage']} (seed {s['seed']})" if seeds[s["lineage"]] > 1 else s["lineage"]
        lineages[name], seed_of[name] = s["lineage"], None if pd.isna(s["seed"]) else int(s["seed"])
        key = (s["task"], s["split"], s["condition"])
        entries.append((name, s["layer"], (*key, s["score"]), s["value"], _bounds(s)))
        if columns.has_n(s["task"], s["condition"]) and not pd.isna(s["n"]):
            entries.append((name, s["layer"], (*key, "n"), s["n"], None))
    rows = _by_layer(entries, {name for name, lineage in lineages.items() if needs.get((lineage, ""))})
    for row in rows:
        lineage = lineages[row.lineage]
        row.needs.update(needs.get((lineage, row.layer), {}))
        for place in dict.fromkeys(key[:3] for key in row.scores):
            if file := sources.file(lineage, row.layer, place, seed_of[row.lineage]):
                row.files[place] = file
    return rows


def _bounds(score: Mapping[Hashable, Any]) -> tuple[float, float] | None:
    """The interval of a row of scores.csv or comparison.csv, if there is one."""
    return None if pd.isna(score["low"]) or pd.isna(score["high"]) else (score["low"], score["high"])


def _by_layer(
    entries: Iterable[tuple[str, str, Key, Any, tuple[float, float] | None]], whole: Collection[str] = ()
) -> list[Row]:
    """The scores of each lineage: those of the whole model, if there are some or it is in `whole`, and of each layer."""
    models: dict[str, dict[str, Row]] = {}
    for name, layer, key, value, bounds in entries:
        layers = models.setdefault(name, {"": Row(name, "", {}, {}, {}, {})})
        row = layers.setdefault(layer, Row(name, layer, {}, {}, {}, {}))
        row.scores[key] = value
        row.bounds.update({key: bounds} if bounds else {})
    rows = [row for layers in models.values() for row in layers.values()]
    return [row for row in rows if row.scores or (not row.layer and row.lineage in whole)]


def _keys(rows: Iterable[Row]) -> list[tuple[Key, Column]]:
    """The scores that some row has, task by task, and their columns."""
    keys = list(dict.fromkeys(key for row in rows for key in row.scores))
    keys.sort(key=lambda key: TASKS.index(key[0]) if key[0] in TASKS else len(TASKS))
    return [(key, columns.column(*key)) for key in keys]


def _spread(table: pd.DataFrame) -> dict[str, Any] | None:
    """Mean and standard deviation of the headline scores of lineages with several seeds."""
    rows = _by_layer(
        (
            *(s["lineage"], s["layer"], (s["task"], s["split"], s["condition"], s["score"])),
            *((s["mean"], s["std"], s["n"]), _bounds(s)),
        )
        for s in table[table["n"] > 1].to_dict("records")
    )
    return {"rows": rows, "columns": [(key, c) for key, c in _keys(rows) if c.headline and c.group]} if rows else None


def _pictures(results: Results, folder: Folder, source: Literal["scores", "noise"]) -> Iterator[tuple[str, Picture]]:
    """The figures of the registry that compare models, with their titles."""
    table, column = (results.noise, "clean_split") if source == "noise" else (results.scores, "split")
    figures = [figure for figure in registry.FIGURES.values() if figure.on_page and figure.reads == source]
    cases = [(figure, "") for figure in figures if not figure.per_split]
    splits = map(str, table[column][table["task"] == "abx"].unique())
    cases += [(figure, split) for split in splits for figure in figures if figure.per_split]
    for figure, split in cases:
        if drawing := paper.draw_if_scored(figure.name, registry.Request(results, split=split)):
            name = "-".join(filter(None, ("compared", figure.name, split)))
            yield ", ".join(filter(None, (figure.title, split and split_name(split)))), folder.figure(name, drawing)


def _group(results: Results, title: str, keys: list[tuple[Key, Column]], rows: list[Row]) -> dict[str, Any]:
    """A table of one group; what is the same in all rows is listed above it, and rows without a score are left out."""
    rows = [row for row in rows if any(key in row.scores for key, _ in keys)]
    constant = [(key, c) for key, c in keys if len(rows) > 1 and len({row.scores.get(key) for row in rows}) == 1]
    rest = [key for key in keys if key not in constant]
    return {
        "title": title,
        "text": columns.TEXTS.get(title, ""),
        "made": _made(results, *MADE[title]) if title in MADE else None,
        "constant": [*_conditions(results, title), *((c.label, rows[0].scores[key], c.style) for key, c in constant)],
        "columns": rest,
        "rows": rows if rest else [],
        "whole": not any(row.layer for row in rows),
    }


def _made(results: Results, command: str, file: str) -> Made:
    root = f"results/{results.root.name}"
    return Made(command, f"{root}/SYSTEM/{file}", f"{root}/logs/{command.replace('-', '_')}*")


def _conditions(results: Results, title: str) -> Iterator[tuple[str, Any, str]]:
    """The conditions of a group that all its score files share: label, value and style."""
    if title in CONDITIONS:
        task, names = CONDITIONS[title]
        files = results.conditions(task)
        for name in names:
            values = {str(value[name]): value[name] for value in files if name in value}
            if len(values) == 1:
                yield name.replace("_", " ").replace("f1", "F1"), next(iter(values.values())), "plain"
