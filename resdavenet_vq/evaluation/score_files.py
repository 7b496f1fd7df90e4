"""From score files to the tables scores.csv, summary.csv and noise.csv of `summary`: each file says one score a row.

A new evaluation adds a function here that yields the rows of its files.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from pathlib import Path
from typing import Any, NamedTuple

import pandas as pd

from resdavenet_vq.encode.features import LOGMEL, OTHERS, is_quantized, source
from resdavenet_vq.encode.origin import Origin
from resdavenet_vq.errors import InputError, listed
from resdavenet_vq.evaluation import bootstrap, score_schema, summary
from resdavenet_vq.evaluation.summary import HELD_OUT, IMAGE_TO_SPEECH, MEAN, PUBLISHED, SPEECH_TO_IMAGE
from resdavenet_vq.files import read_json, together
from resdavenet_vq.lineage import Lineage, layer_position
from resdavenet_vq.system import notation

CONDITIONS = (
    *("images", "captions", "similarity", "representation", "distance", "frame_period", "items_used"),
    *("utterances", "held_out_utterances", "min_occurrences", "f1_threshold", "best", "frame_time"),
)
"""What a score file says of itself that must be the same for every seed of a lineage."""


TRIPHONE = "triphone"
"""The condition of ABX whose scores are called `within` and `across` alone."""


class Row(NamedTuple):
    """A score, as its file has it."""

    task: str
    split: str
    condition: str
    score: str
    value: float | None
    n: int | None = None


def read(path: Path) -> dict[str, Any]:
    """A score file, with its conditions beside its scores. Raises InputError naming it if it is none."""
    value: dict[str, Any] = read_json(path)
    score_schema.check(value, path)
    conditions: dict[str, Any] = value.get("conditions", {})
    return value | conditions


def retrieval_rows(value: Mapping[str, Any]) -> Iterator[Row]:
    """The scores of a retrieval/{split}.json, or of a matchmap/{split}/{similarity}.json."""
    if "not_available" in value:
        return
    task, split = f"retrieval_{value['matchmap']}" if "matchmap" in value else "retrieval", value["split"]
    forth, back = value[IMAGE_TO_SPEECH], value[SPEECH_TO_IMAGE]
    recalls = [name for name in forth if "recall_at_" in name]
    for direction, scores in ((IMAGE_TO_SPEECH, forth), (SPEECH_TO_IMAGE, back)):
        for name in (*recalls, "median_rank"):
            yield Row(task, split, direction, name, scores[name], scores["queries"])
    for name in recalls:
        yield Row(task, split, MEAN, name, (forth[name] + back[name]) / 2, forth["queries"] + back["queries"])


def abx_rows(value: Mapping[str, Any]) -> Iterator[Row]:
    """The scores of an abx/{split}/{layer}.json, or of an abx/{split}/{condition}/{layer}.json."""
    split, condition = value["split"], value.get("condition", TRIPHONE)
    prefix = "" if condition == TRIPHONE else f"{condition}_"
    yield Row("layer", "", "", "frame_period", value["frame_period"])
    for task in ("within", "across"):
        yield Row("abx", split, f"{prefix}{task}", "error", value[f"{task}_error"], value["items_used"])
    for condition in ("plain", "run_length", "factored", "segment") if value["bitrate"] else ():
        yield Row("bitrate", split, condition, "bits_per_second", value["bitrate"][condition])
    if value["bitrate"]:
        yield Row("bitrate", split, "segment", "units_per_second", value["bitrate"]["units_per_second"])


def words_rows(value: Mapping[str, Any]) -> Iterator[Row]:
    """The scores of a words/{layer}/{split}/summary.json."""
    yield Row("layer", "", "", "frame_period", value["frame_period"])
    for condition, split, n in (
        (PUBLISHED, value["split"], value["utterances"]),
        (HELD_OUT, value["held_out_split"], value["held_out_utterances"]),
    ):
        if value[condition] is None:
            continue
        for name, number in _flat(value[condition] | {"chance": value[condition]["chance"] or {}}):
            yield Row("words", split, condition, name, number, n)
    is_of_all = value[PUBLISHED] is None
    n = value.get("utterances_without_alignment") if is_of_all else value["utterances"]
    tiers = {tier: value["units"].get(tier, {}) for tier in ("words", "phones", "syllables")}
    for tier, scores in ({"": {name: x for name, x in value["units"].items() if name not in tiers}} | tiers).items():
        for name, number in _flat(scores):
            yield Row("units", value["split"], tier, name, number, n)


def _flat(values: Mapping[str, Any], prefix: str = "") -> Iterator[tuple[str, Any]]:
    """Names and numbers; those of nested dictionaries are joined by underscores."""
    for name, value in values.items():
        if isinstance(value, dict):
            yield from _flat(value, f"{prefix}{name}_")
        else:
            yield f"{prefix}{name}", value


def rows(value: Mapping[str, Any]) -> Iterator[Row]:
    """The scores of any score file."""
    if "within_error" in value:
        return abx_rows(value)
    return words_rows(value) if PUBLISHED in value else retrieval_rows(value)


def collect(
    files: Sequence[Path], corpus: str, seeds: Mapping[str, int], splits: Sequence[str] | None = None
) -> pd.DataFrame:
    """The rows of score files, as in scores.csv; of `splits` alone, if they are given.

    `seeds` are those of trained lineages by folder; another folder has that of its name, as in `none-2-seed7`, or none.
    Raises InputError listing the files that are no scores, those that disagree about a score, those whose conditions
    differ from another seed's, and those of another model than their folder's.
    """
    table: dict[tuple[Any, ...], tuple[Any, ...]] = {}
    conditions: dict[tuple[Any, ...], tuple[Path, dict[str, Any]]] = {}
    models = _Models()
    faults = []
    for path in files:
        try:
            value = read(path)
        except InputError as e:
            faults.append(str(e))
            continue
        made_by = Origin.from_dict(value["origin"])
        lineage, layer = value["lineage"], value.get("layer", "")
        split = value.get("held_out_split", value["split"])
        scores = list(rows(value))
        if splits is not None and split not in splits:
            faults.append(f"{path}: is no score of these splits (no {split!r}); score again")
            continue
        seed = seed_of(path, lineage, seeds)
        if fault := models.fault(path, lineage, seed, value["split"], made_by):
            faults.append(fault)
            continue
        for row in scores:
            key = (corpus, lineage, seed, row.task, layer, row.split, row.condition, row.score)
            if row.value is None or (splits is not None and row.split not in splits):
                continue
            low, high = value.get("intervals", {}).get(bootstrap.key(*row[:4]), (None, None))
            if table.setdefault(key, (row.value, low, high, row.n))[0] != row.value:
                score = " ".join(str(part) for part in key[1:] if part not in {"", None})
                faults.append(f"{path}: another file says something else of {score}")
        own = {name: value[name] for name in CONDITIONS if name in value}
        kind = lineage, layer, scores[-1].task if scores else "", value.get("condition", ""), split
        first, others = conditions.setdefault(kind, (path, own))
        faults += [
            f"{path}: {name} is {own.get(name)!r}, and {others.get(name)!r} in {first}, with another seed; score again"
            for name in dict.fromkeys([*own, *others])
            if own.get(name) != others.get(name)
        ]
    if faults:
        raise InputError(listed(faults))
    frame = pd.DataFrame(
        [(*key, *number) for key, number in table.items()], columns=list(summary.COLUMNS), dtype=object
    )
    return frame.astype({"seed": "Int64", "n": "Int64"}).pipe(_in_order)


class _Models:
    """Which model each lineage and seed has, by the scores that were read."""

    def __init__(self) -> None:
        self._model_of: dict[tuple[str, int | None], tuple[str, Path]] = {}
        self._place_of: dict[str, tuple[tuple[str, int | None], Path]] = {}

    def fault(self, path: Path, lineage: str, seed: int | None, split: str, origin: Origin) -> str:
        """What is wrong with a score of this lineage, seed and split that is made of files of this origin; "" if nothing.

        Other seeds, and other lineages, never have the same weights: one model under two is a copy.
        """
        try:
            origin.check(path, lineage=lineage, split=split)
        except InputError as e:
            return str(e)
        folders = [name for name in map(_folder_notation, path.parent.parts) if name]
        if folders and lineage not in folders:
            return f"{path}: is a score of the lineage {lineage}, in a folder of {folders[-1]}; score again"
        if not origin.model:
            return ""
        own = lineage, seed
        model, first = self._model_of.setdefault(own, (origin.model, path))
        if model != origin.model:
            both = f"{origin.model[:12]}, and {first} of {model[:12]}"
            return f"{path}: is of the model {both}, of one lineage and seed; encode and score both again"
        place, first = self._place_of.setdefault(origin.model, (own, path))
        if place != own:
            return f"{path}: is of the same model as {first}, of another lineage or seed; encode and score both again"
        return ""


def _folder_notation(folder: str) -> str:
    """The lineage whose folder may be called so, in notation; "" if none."""
    try:
        return notation(folder)
    except ValueError:
        return ""


def seed_of(path: Path, lineage: str, seeds: Mapping[str, int]) -> int | None:
    """The seed of the model whose folder a score file lies in: the nearest one named as the file's lineage is."""
    for folder in path.parent.parts[::-1]:
        try:
            parsed = Lineage.from_folder(folder)
        except ValueError:
            continue
        if str(parsed) == lineage:
            return seeds.get(folder, parsed.seed)
    return None


def _in_order(table: pd.DataFrame) -> pd.DataFrame:
    """The baseline first, then the models in the order of their first rows, each from its lowest layer up."""
    models = table.groupby(["lineage", "seed"], sort=False, dropna=False).ngroup().tolist()
    places = [(layer != LOGMEL, model, *_place(layer)) for model, layer in zip(models, table["layer"], strict=True)]
    return table.iloc[sorted(range(len(table)), key=places.__getitem__)].reset_index(drop=True)


def _place(layer: str) -> tuple[int, bool, bool, str]:
    """Layers in the order of the network; what is made of a layer comes after it."""
    position = layer_position(source(layer)) if layer not in {*OTHERS, ""} else 0
    return position, is_quantized(layer), layer != source(layer), layer


def summarize(files: Sequence[Path], corpus: str, seeds: Mapping[str, int], out: Path, pivot: Path) -> None:
    """Writes the scores of files as `out` (scores.csv), and their `pivot` (summary.csv)."""
    table = collect(files, corpus, seeds)
    with together():
        summary.write(table, out)
        summary.write(summary.pivot(table), pivot)


def summarize_noise(
    files: Sequence[Path],
    corpus: str,
    conditions: Mapping[str, Mapping[str, Any]],
    seeds: Mapping[str, int],
    out: Path,
) -> None:
    """Writes `noise.csv` of the score files of splits and of their noisy copies, from clean to the loudest noise.

    `conditions` says of each split `of` (the clean one), `kind` (`clean` for that itself) and `snr_db`.
    """
    table = collect(files, corpus, seeds, splits=list(conditions))
    for name, key in (("clean_split", "of"), ("kind", "kind"), ("snr_db", "snr_db")):
        table[name] = pd.Series([conditions[split][key] for split in table["split"]], dtype=object)
    kinds = list(dict.fromkeys([summary.CLEAN, *(condition["kind"] for condition in conditions.values())]))
    order = pd.DataFrame({"kind": table["kind"].map(kinds.index), "snr": -table["snr_db"].astype(float)})
    order = order.sort_values(["kind", "snr"], kind="stable")
    summary.write(table.loc[order.index].pipe(_in_order), out)
