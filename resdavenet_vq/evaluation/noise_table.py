"""The table of scores under noise: a row for each lineage, layer, kind of noise and signal-to-noise ratio.

Columns: `lineage`, `seed`, `layer`; `kind` (`clean` without noise) and `snr_db` (empty without noise); retrieval of the
lineage, repeated in each of its rows: `mean_recall_at_k`, what chance earns, `mean_chance_recall_at_k`, and both directions'
`recall_at_k`, shares of 1; for each split of ABX `abx_{split}_within` and `_across`, percent; `words` spoken in the held-out split, `words_above_f1` detected there by codes that were
chosen without noise, and their `words_mean_f1`. What was not scored is empty. The log-mel baseline comes first, then the
lineages in the order of the files; rows of one go from clean to the loudest noise, kind by kind.
"""

from __future__ import annotations

import csv
import math
from collections.abc import Iterator, Mapping, Sequence
from pathlib import Path
from typing import Any, NamedTuple

from resdavenet_vq.encode.features import LOGMEL
from resdavenet_vq.errors import InputError
from resdavenet_vq.evaluation.summary import DIRECTIONS, seed_of
from resdavenet_vq.files import atomic_write, read_json
from resdavenet_vq.lineage import layer_position

CLEAN = "clean"


class _Key(NamedTuple):
    lineage: str
    seed: int | None
    layer: str
    kind: str
    snr_db: float | None


def write(
    scores: Sequence[Path],
    conditions: Mapping[str, Mapping[str, Any]],
    out: Path,
    seeds: Mapping[str, int] | None = None,
) -> None:
    """Writes the table of score files of clean splits and of their noisy copies.

    `conditions` tells of each split `of` (the clean one), `kind` and `snr_db`; `seeds` has the seed of each trained lineage
    by its folder. Raises InputError listing the files that are no scores of these splits.
    """
    rows: dict[_Key, dict[str, Any]] = {}
    retrieval: dict[_Key, dict[str, Any]] = {}
    faults = []
    for path in scores:
        value = read_json(path)
        try:
            said = value | value.get("conditions", {})
            condition = conditions[said["held_out_split"] if "held_out_split" in said else said["split"]]
            seed = seed_of(path, said["lineage"], seeds or {})
            key = _Key(said["lineage"], seed, said.get("layer", ""), condition["kind"], condition["snr_db"])
            columns = dict(_columns(said, condition["of"]))
        except (KeyError, TypeError, AttributeError) as e:
            faults.append(f"{path}: is no score of these splits (no {e}); score again")
            continue
        (rows if key.layer else retrieval).setdefault(key, {}).update(columns)
    if faults:
        raise InputError("\n".join(faults))
    layers: dict[tuple[str, int | None], dict[str, None]] = {(key.lineage, key.seed): {} for key in (*retrieval, *rows)}
    for key in rows:
        layers[key.lineage, key.seed][key.layer] = None
    for key, columns in retrieval.items():
        for layer in layers[key.lineage, key.seed] or [""]:
            rows.setdefault(key._replace(layer=layer), {}).update(columns)
    kinds = list(dict.fromkeys([CLEAN, *(condition["kind"] for condition in conditions.values())]))
    _write(out, rows, list(layers), kinds)


def _columns(said: dict[str, Any], split: str) -> Iterator[tuple[str, Any]]:
    """Columns of a score file; `split` is the clean one."""
    if "within_error" in said:
        yield f"abx_{split}_within", said["within_error"]
        yield f"abx_{split}_across", said["across_error"]
    elif "held_out_split" in said:
        held_out = said["held_out"]
        yield from (
            ("words", held_out["words"]),
            ("words_above_f1", held_out["words_above_f1"]),
            ("words_mean_f1", held_out["mean_f1"]),
        )
    elif "not_available" not in said:
        there, back = (said[direction] for direction in DIRECTIONS)
        for name in (name for name in there if name.startswith("recall_at_")):
            yield f"mean_{name}", (there[name] + back[name]) / 2
            yield f"mean_chance_{name}", (there[f"chance_{name}"] + back[f"chance_{name}"]) / 2
            yield f"{DIRECTIONS[0]}_{name}", there[name]
            yield f"{DIRECTIONS[1]}_{name}", back[name]


def _write(
    out: Path, rows: Mapping[_Key, dict[str, Any]], models: Sequence[tuple[str, int | None]], kinds: Sequence[str]
) -> None:
    """The table as CSV, numbers with all their digits."""

    def place(key: _Key) -> tuple[Any, ...]:
        position = layer_position(key.layer) if key.layer not in {LOGMEL, ""} else 0
        return (
            key.layer != LOGMEL,
            models.index(key[:2]),
            position,
            key.layer,
            kinds.index(key.kind),
            -(math.inf if key.snr_db is None else key.snr_db),
        )

    table = [
        {name: "" if part is None else part for name, part in key._asdict().items()} | rows[key]
        for key in sorted(rows, key=place)
    ]
    columns = list(dict.fromkeys([*_Key._fields, *(name for row in table for name in row)]))
    groups = (*_Key._fields, "mean_", *DIRECTIONS, "abx_", "words")
    columns.sort(key=lambda name: next(i for i, group in enumerate(groups) if name.startswith(group)))
    with atomic_write(out) as tmp, tmp.open("w", encoding="utf-8", newline="") as f:
        writer = csv.DictWriter(f, columns, restval="", lineterminator="\n")
        writer.writeheader()
        writer.writerows(table)
