"""One table of every headline number: a row for each lineage and layer, joined by what the score files say of themselves.

Columns: `lineage`, `layer`, `frame_period` (seconds); retrieval of the lineage (shares of 1, repeated in each of its
rows): `retrieval_split`, `retrieval_images`, `retrieval_captions`, `mean_recall_at_10`, and for each direction
`recall_at_k`, `chance_recall_at_k` and `median_rank`; for each split of ABX `abx_{split}_within`, `_across` (percent),
`_items`, and of quantized layers `bitrate_{split}` with `_run_length`, `_factored` and `_segment` (bit/s); words:
the conditions, then `words_published_`, `words_held_out_` and `words_units_` with each number of the layer's summary. What was not scored is empty; `retrieval_not_available` says why a lineage has no retrieval.
The log-mel baseline comes first, then the lineages in the order of the files given.
"""

from __future__ import annotations

import csv
from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import Any

from resdavenet_vq.errors import InputError
from resdavenet_vq.evaluation.layers import LOGMEL, is_quantized
from resdavenet_vq.files import read_json, written_whole
from resdavenet_vq.stage import layer_position

WORD_CONDITIONS = ("split", "held_out_split", "utterances", "held_out_utterances", "min_occurrences", "f1_threshold", "best", "frame_time")

DIRECTIONS = ("image_to_speech", "speech_to_image")


def summarise(scores: Sequence[Path], out: Path) -> None:
    """Writes the table of some score files: retrieval.json, abx/{split}/{layer}.json and words/{layer}/summary.json.

    Raises InputError listing the files that are no scores, and those that say different things of one number.
    """
    rows: dict[tuple[str, str], dict[str, Any]] = {}
    whole_lineage: dict[str, dict[str, Any]] = {}
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
        row = rows.setdefault((lineage, layer), {}) if layer else whole_lineage.setdefault(lineage, {})
        if both := [name for name in columns.keys() & row.keys() if columns[name] != row[name]]:
            faults.append(f"{path}: another file says something else of {min(both)} of {lineage} {layer}".rstrip())
        row |= columns
    if faults:
        raise InputError("\n".join(faults))
    for lineage in whole_lineage:
        if not any(scored == lineage for scored, _ in rows):
            rows[lineage, ""] = {}
    _write(out, rows, whole_lineage)


def _write(out: Path, rows: dict[tuple[str, str], dict[str, Any]], whole_lineage: dict[str, dict[str, Any]]) -> None:
    """The table as CSV, numbers with all their digits."""
    order = list(dict.fromkeys([*whole_lineage, *(lineage for lineage, _ in rows)]))
    keys = sorted(rows, key=lambda key: (key[1] != LOGMEL, order.index(key[0]), _place(key[1])))
    table = [{"lineage": lineage, "layer": layer} | whole_lineage.get(lineage, {}) | rows[lineage, layer] for lineage, layer in keys]
    found = list(dict.fromkeys(name for row in table for name in row))
    groups = ("lineage", "layer", "frame_period", "retrieval_", "mean_", *DIRECTIONS, "abx_", "bitrate_", "words_")
    columns = sorted(found, key=lambda name: next(i for i, group in enumerate(groups) if name.startswith(group)))
    with written_whole(out) as beside, beside.open("w", encoding="utf-8", newline="") as f:
        writer = csv.DictWriter(f, columns or ["lineage", "layer"], restval="", lineterminator="\n")
        writer.writeheader()
        writer.writerows(table)


def _place(layer: str) -> tuple[int, bool]:
    """Layers in the order of the network."""
    return (layer_position(layer) if layer not in {LOGMEL, ""} else 0, is_quantized(layer))


def _retrieval(value: dict[str, Any]) -> Iterator[tuple[str, Any]]:
    """Columns of a retrieval.json."""
    yield "retrieval_split", value["split"]
    if "not_available" in value:
        yield "retrieval_not_available", value["not_available"]
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
