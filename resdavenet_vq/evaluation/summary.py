"""One table of every headline number: a row for each lineage, seed and layer, joined by what the score files say of themselves.

Columns: `lineage`, `seed` (of the training; empty for imported models and the baseline), `layer`, `frame_period` (seconds); retrieval of the lineage (shares of 1, repeated in each of its
rows): `retrieval_split`, `retrieval_images`, `retrieval_captions`, `mean_recall_at_10`, and for each direction
`recall_at_k`, `chance_recall_at_k` and `median_rank`, of a score of the matchmap `matchmap_{similarity}_` with each recall; for each split of ABX `abx_{split}_within`, `_across` (percent),
`_items`, for all of them `abx_representation` and `abx_distance`, and of quantized layers `bitrate_{split}` with `_run_length`, `_factored` and `_segment` (bit/s); words:
the conditions, then `words_published_`, `words_held_out_` and `words_units_` with each number of the layer's summary. What was not scored is empty; `retrieval_not_available` says why a lineage has no retrieval.
The log-mel baseline comes first, then the lineages in the order of the files given.
"""

from __future__ import annotations

import csv
from collections.abc import Iterator, Mapping, Sequence
from pathlib import Path
from typing import Any

from resdavenet_vq.encode.features import LOGMEL, is_quantized, source
from resdavenet_vq.errors import InputError
from resdavenet_vq.files import atomic_write, read_json
from resdavenet_vq.lineage import Lineage, layer_position

WORD_CONDITIONS = (
    "split",
    "held_out_split",
    "utterances",
    "held_out_utterances",
    "min_occurrences",
    "f1_threshold",
    "best",
    "frame_time",
)

DIRECTIONS = ("image_to_speech", "speech_to_image")


def summarise(scores: Sequence[Path], out: Path, seeds: Mapping[str, int] | None = None) -> None:
    """Writes the table of some score files: retrieval.json, matchmap/{similarity}.json, abx/{split}/{layer}.json and words/{layer}/summary.json.

    `seeds` has the seed of each trained lineage by its folder. A folder that it does not name has the seed that it bears,
    as in `none-2-seed7`, or none. Raises InputError listing the files that are no scores, and those that say different
    things of one number.
    """
    rows: dict[tuple[str, int | None, str], dict[str, Any]] = {}
    whole_model: dict[tuple[str, int | None], dict[str, Any]] = {}
    faults = []
    for path in scores:
        value = read_json(path)
        try:
            said = value | value.get("conditions", {})
            lineage, layer = said["lineage"], said.get("layer", "")
            columns = dict(
                _retrieval(said)
                if {"image_to_speech", "not_available"} & said.keys()
                else _abx(said)
                if "within_error" in said
                else _words(said)
            )
        except (KeyError, TypeError, AttributeError) as e:
            faults.append(f"{path}: is no score of this software (no {e}); score again")
            continue
        seed = seed_of(path, lineage, seeds or {})
        row = rows.setdefault((lineage, seed, layer), {}) if layer else whole_model.setdefault((lineage, seed), {})
        if both := [name for name in columns.keys() & row.keys() if columns[name] != row[name]]:
            which = f"{lineage} {layer}".rstrip() + (f" with seed {seed}" if seed is not None else "")
            faults.append(f"{path}: another file says something else of {min(both)} of {which}")
        row |= columns
    if faults:
        raise InputError("\n".join(faults))
    for lineage, seed in whole_model:
        if not any(scored[:2] == (lineage, seed) for scored in rows):
            rows[lineage, seed, ""] = {}
    _write(out, rows, whole_model)


def seed_of(path: Path, lineage: str, seeds: Mapping[str, int]) -> int | None:
    """The seed of the model whose folder a score file lies in: the nearest one named as the file's lineage is."""
    for folder in path.parent.parts[::-1]:
        try:
            found = Lineage.from_folder(folder)
        except ValueError:
            continue
        if str(found) == lineage:
            return seeds.get(folder, found.seed)
    return None


def _write(
    out: Path,
    rows: dict[tuple[str, int | None, str], dict[str, Any]],
    whole_model: dict[tuple[str, int | None], dict[str, Any]],
) -> None:
    """The table as CSV, numbers with all their digits."""
    order = list(dict.fromkeys([*whole_model, *(key[:2] for key in rows)]))
    keys = sorted(rows, key=lambda key: (key[2] != LOGMEL, order.index(key[:2]), _place(key[2])))
    table = [
        {"lineage": lineage, "seed": "" if seed is None else seed, "layer": layer}
        | whole_model.get((lineage, seed), {})
        | rows[lineage, seed, layer]
        for lineage, seed, layer in keys
    ]
    found = list(dict.fromkeys(name for row in table for name in row))
    groups = (
        "lineage",
        "seed",
        "layer",
        "frame_period",
        "retrieval_",
        "mean_",
        *DIRECTIONS,
        "matchmap_",
        "abx_",
        "bitrate_",
        "words_",
    )
    columns = sorted(
        found, key=lambda name: next((i for i, group in enumerate(groups) if name.startswith(group)), len(groups))
    )
    with atomic_write(out) as tmp, tmp.open("w", encoding="utf-8", newline="") as f:
        writer = csv.DictWriter(f, columns or ["lineage", "seed", "layer"], restval="", lineterminator="\n")
        writer.writeheader()
        writer.writerows(table)


def _place(layer: str) -> tuple[int, bool, bool, str]:
    """Layers in the order of the network; what is made of a layer comes after it."""
    return (
        layer_position(source(layer)) if layer not in {LOGMEL, ""} else 0,
        is_quantized(layer),
        layer != source(layer),
        layer,
    )


def _retrieval(value: dict[str, Any]) -> Iterator[tuple[str, Any]]:
    """Columns of a retrieval.json or a matchmap/{similarity}.json."""
    yield "retrieval_split", value["split"]
    if "not_available" in value:
        yield "retrieval_not_available", value["not_available"]
        return
    if "matchmap" in value:
        recalls = [
            (direction, name) for direction in DIRECTIONS for name in value[direction] if name.startswith("recall_at")
        ]
        yield from (
            (f"matchmap_{value['matchmap']}_{direction}_{name}", value[direction][name]) for direction, name in recalls
        )
        yield f"matchmap_{value['matchmap']}_mean_recall_at_10", _mean(value, "recall_at_10")
        return
    yield "retrieval_images", value["images"]
    yield "retrieval_captions", value["captions"]
    yield "mean_recall_at_10", _mean(value, "recall_at_10")
    yield "mean_chance_recall_at_10", _mean(value, "chance_recall_at_10")
    for direction in DIRECTIONS:
        for name, number in value[direction].items():
            if "recall_at" in name or name == "median_rank":
                yield f"{direction}_{name}", number


def _mean(value: dict[str, Any], name: str) -> float | None:
    """The mean of both directions, if this k was asked for."""
    both = [value[direction].get(name) for direction in DIRECTIONS]
    return None if None in both else sum(both) / 2


def _abx(value: dict[str, Any]) -> Iterator[tuple[str, Any]]:
    """Columns of an abx/{split}/{layer}.json."""
    split = value["split"]
    yield "frame_period", value["frame_period"]
    yield "abx_representation", value["representation"]
    yield "abx_distance", value["distance"]
    yield f"abx_{split}_within", value["within_error"]
    yield f"abx_{split}_across", value["across_error"]
    yield f"abx_{split}_items", value["items_used"]
    if bits := value["bitrate"]:
        yield f"bitrate_{split}", bits["plain"]
        for kind in ("run_length", "factored", "segment"):
            yield f"bitrate_{split}_{kind}", bits[kind]


def _words(value: dict[str, Any]) -> Iterator[tuple[str, Any]]:
    """Columns of a words/{layer}/summary.json."""
    yield "frame_period", value["frame_period"]
    for name in WORD_CONDITIONS:
        yield f"words_{name}", value[name]
    for part in ("published", "held_out", "units"):
        yield from _flat(value[part], f"words_{part}")


def _flat(value: dict[str, Any], prefix: str) -> Iterator[tuple[str, Any]]:
    """Numbers and texts in nested dictionaries, under the names on the way joined by underscores."""
    for key, part in value.items():
        if isinstance(part, dict):
            yield from _flat(part, f"{prefix}_{key}")
        elif not isinstance(part, list):
            yield f"{prefix}_{key}", part
