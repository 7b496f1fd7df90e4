"""ABX error of a layer's frames, within and across speakers, scored with fastabx.

A and X are two tokens of one kind, B is a token of another; the error is the share of triples in which X is not nearer to A than to B, ties counting one half. Within: A, B and X of
one speaker; across: X of another. Errors are percentages: 50 is chance. `cells` describes how they are averaged.

The *condition* says what the tokens are, and whether all three stand between the same two phones:

- `triphone`: a phone with the two around it, in one context, the published condition;
- `phoneme`: a phone by itself, in one context; `phoneme_any`: in any;
- `word`, `syllable`: whole ones, in any context.

What is compared, by the name of the layer: `logmel`; `convN`, what enters quantizer N; `quantN`, its code vectors;
`onehotN`, its codes as such, two frames being equal or not (of one-hot vectors every distance is 0 or one and the same,
so that all distances give the error of `identical`); `segmentN`, its code vectors with repeats dropped; of what was made
elsewhere `features`, and `units`: its code vectors, or without these its codes as such.

The distance of two items is the mean frame distance along the cheapest DTW path. `frames` describes the frames of an
item. Which items are left out depends on times alone, and is the same for all layers: those shorter than a frame of
`slowest_layer`, and those that end later than such a frame after the audio (as after a cut). They are counted.

Frames of a quantized layer are looked up in the table of distances between its code vectors: the same distances, but
equal sequences of codes tie exactly, which rounding in a product of vectors would decide by chance.

Beside the scores `LAYER.json` are `LAYER.phones.csv` and `LAYER.speakers.csv`, the same error by pairs of phones and of
speakers, and `LAYER.bootstrap.csv`, its replicates (`samples`), and those of the bitrate over utterances.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from dataclasses import asdict, dataclass
from functools import lru_cache
from itertools import pairwise
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np

from resdavenet_vq.config import AbxScoring, Condition
from resdavenet_vq.data.features import FRAME_PERIOD
from resdavenet_vq.encode.features import FEATURES, LOGMEL, OTHERS, UNITS, LayerFeatures, is_quantized, source
from resdavenet_vq.encode.units import runs
from resdavenet_vq.errors import InputError, listed
from resdavenet_vq.evaluation import bitrate
from resdavenet_vq.evaluation.abx.columns import ItemTable
from resdavenet_vq.evaluation.abx.frames import gather, usable
from resdavenet_vq.evaluation.abx.items import read_items, why_none
from resdavenet_vq.evaluation.bootstrap import Replicates
from resdavenet_vq.evaluation.symbols import LayerUnits
from resdavenet_vq.files import atomic_write, reading, together, write_json
from resdavenet_vq.lineage import frame_stride

if TYPE_CHECKING:
    import polars as pl

    from resdavenet_vq.evaluation.abx.samples import Sample
    from resdavenet_vq.evaluation.abx.tasks import Groups

REPRESENTATIONS = {
    LOGMEL: "log-mel",
    UNITS: "units",
    FEATURES: "features",
    "onehot": "one-hot codes",
    "segment": "code vectors, repeats dropped",
    "quant": "code vectors",
}


IN_CONTEXT: frozenset[Condition] = frozenset({"triphone", "phoneme"})
"""The conditions in which all three of a triple stand between the same two phones."""


def validate(items: ItemTable, features: LayerFeatures, settings: AbxScoring) -> None:
    """Raises InputError where the items are not the features' or the settings do not suit the layer."""
    if missing := sorted(set(items.names["file"]) - set(features.ids)):
        raise InputError(
            f"{features.path}: {len(missing)} utterances of the item file are not in it; use the item file of this "
            f"split and encode the whole split\n{listed(missing)}"
        )
    if settings.distance == "identical" and not is_quantized(features.layer):
        raise InputError(
            f"abx.scoring.distance: 'identical' compares units, and {features.layer} has none; "
            "score a quantized layer or use 'angular'"
        )
    for key in ("max_size_group", "max_x_across"):
        if getattr(settings, key) == 1:
            raise InputError(f"abx.scoring.{key}: 1 leaves no A beside X; give at least 2, or null for all")
    if features.layer not in OTHERS and frame_stride(features.layer) > frame_stride(settings.slowest_layer):
        raise InputError(
            f"abx.scoring.slowest_layer: {features.layer} is slower than {settings.slowest_layer}; "
            "name the slowest layer that is compared"
        )


def has_no_vectors(features: LayerFeatures) -> bool:
    """Whether the rows are codes made elsewhere, whose numbers say nothing of how near they are."""
    return features.layer == UNITS and features.width == 1


def score(
    features: Path,
    items: Path,
    layer: str,
    settings: AbxScoring,
    out: Path,
    *,
    lineage: str,
    split: str,
    condition: Condition = "triphone",
    items_report: Path | None = None,
) -> None:
    """Scores one layer of a features file on an item file of a condition, as `Scorer.score` does.

    Calls of one process for the same file, as in a job of the workflow, share one scorer.
    """
    scorer = _scorer(features, settings, lineage, split, _version(features))
    scorer.score(items, layer, out, condition=condition, items_report=items_report)


type _Version = tuple[int, int, int]
"""Of a file: its inode, size and time, which a change would change."""


def _version(file: Path) -> _Version:
    with reading(file):
        state = file.stat()
    return state.st_ino, state.st_size, state.st_mtime_ns


@lru_cache(maxsize=1)
def _scorer(features: Path, settings: AbxScoring, lineage: str, split: str, _: _Version) -> Scorer:
    return Scorer(features, settings, lineage=lineage, split=split)


@dataclass
class _Compared:
    """The items of a condition, what was dropped of them, and the groups that cells are made of; the same for all layers."""

    n_items: int
    used: ItemTable
    dropped: dict[str, int]
    groups: Groups
    _sample: Sample | None = None

    def sample(self, cells: Mapping[str, pl.DataFrame]) -> Sample:
        """What is resampled of the cells, which are the same for all layers."""
        from resdavenet_vq.evaluation.abx import cells as abx_cells
        from resdavenet_vq.evaluation.abx import samples

        if self._sample is None:
            self._sample = samples.Sample(cells.values(), ("context",), abx_cells.PHONES)
        return self._sample


class Scorer:
    """Scores layers of one features file on item files.

    What layers and conditions share is computed once and kept: the items of each condition and their cells, and of each
    quantized layer the numbers of its units, one a frame, and its bitrate.
    """

    def __init__(self, features: Path, settings: AbxScoring, *, lineage: str, split: str) -> None:
        self._features, self._settings, self._lineage, self._split = features, settings, lineage, split
        self._items: dict[tuple[Path, _Version], ItemTable] = {}
        self._compared: dict[tuple[Path, _Version, bool], _Compared] = {}
        self._units: dict[str, LayerUnits] = {}
        self._bitrates: dict[tuple[str, bool], tuple[dict[str, Any], Mapping[tuple[str, str], np.ndarray]]] = {}

    def score(
        self,
        items: Path,
        layer: str,
        out: Path,
        *,
        condition: Condition = "triphone",
        items_report: Path | None = None,
    ) -> None:
        """Scores one layer on an item file of a condition; writes `out` (JSON) together with its tables.

        In `out` the errors, means over `within_cells` and `across_cells`, are null where no speaker, or pair of
        speakers, has a triple. The frame period of segments is that of their codes, their bitrate that of segments.
        Where the report of the item file says why it has no items, so does `out`: the tables have no rows, and the
        bitrate is there alone.
        """
        settings, split = self._settings, self._split
        segmented = layer.startswith("segment")
        not_available = why_none(items_report) if items_report else ""
        with LayerFeatures(self._features, source(layer)) as frames:
            frames.origin.check(self._features, lineage=self._lineage, split=split)
            tokens = ItemTable.of(()) if not_available else self._tokens(items)
            validate(tokens, frames, settings)
            distance = "identical" if layer.startswith("onehot") or has_no_vectors(frames) else settings.distance
            from resdavenet_vq.evaluation.abx import cells as abx_cells  # torch takes seconds, which bad input spares
            from resdavenet_vq.evaluation.abx.tasks import TASKS

            compared = self._compare(items, tokens, frames, condition, not_available)
            units = self._layer_units(frames) if is_quantized(layer) else None
            cells: dict[str, pl.DataFrame] = {}
            borrowed = 0
            if len(compared.used):
                sequences = gather(frames, compared.used, units, segmented=segmented)
                cells = abx_cells.score_cells(sequences, compared.groups, distance)
                borrowed = sequences.borrowed
            bits, replicates = None, Replicates()
            if units:
                bits, counted = self._bitrate(frames, units, segmented=segmented)
                for (coding, name), values in counted.items():
                    known = bits[coding] if name == "bits_per_second" else bits[name]
                    replicates.add(("bitrate", split, coding, name), known, values)
        errors: dict[str, float | None] = {
            task: abx_cells.mean_error(cells[task]) if task in cells else None for task in TASKS
        }
        sample = compared.sample(cells)
        for task, of_task in cells.items():
            name = task if condition == "triphone" else f"{condition}_{task}"
            replicates.add(("abx", split, name, "error"), errors[task], sample.errors(of_task))
        result = {
            "lineage": self._lineage,
            "origin": frames.origin.to_dict(),
            "layer": layer,
            "split": split,
            "condition": condition,
            "representation": REPRESENTATIONS.get(layer.rstrip("12345"), f"what enters quant{layer[-1]}"),
            "distance": f"{distance}, DTW",
            "frame_period": frames.frame_period,
            "slowest_period": _slowest_period(settings),
            **{f"{task}_error": error for task, error in errors.items()},
            **{f"{task}_cells": len(cells.get(task, ())) for task in TASKS},
            "items": compared.n_items,
            "items_used": len(compared.used),
            "items_dropped": compared.dropped,
            "items_without_own_frame": borrowed,
            "bitrate": bits,
            "speakers": len(sample.speakers.group),
            "contexts": len(sample.contexts.group),
            "intervals": replicates.intervals,
            "settings": settings.model_dump(mode="json", exclude={"slowest_layer"}),
            **({"not_available": not_available} if not_available else {}),
        }
        with together():
            for name, table in (("phones", abx_cells.by_phones(cells)), ("speakers", abx_cells.by_speakers(cells))):
                with atomic_write(out.with_suffix(f".{name}.csv")) as tmp:
                    table.write_csv(tmp)
            replicates.write(out)
            write_json(out, result)

    def _tokens(self, items: Path) -> ItemTable:
        if (key := (items, _version(items))) not in self._items:
            self._items[key] = read_items(items)
        return self._items[key]

    def _compare(
        self, items: Path, tokens: ItemTable, features: LayerFeatures, condition: Condition, not_available: str
    ) -> _Compared:
        """What is compared under a condition. Raises InputError where nothing is left, and nothing says why."""
        in_context = condition in IN_CONTEXT
        if (key := (items, _version(items), in_context)) not in self._compared:
            from resdavenet_vq.evaluation.abx import tasks

            durations = dict(zip(features.ids, features.durations.tolist(), strict=True))
            used, dropped = usable(tokens, durations, _slowest_period(self._settings))
            if not (len(used) or not_available):
                raise InputError(
                    f"{self._split}: no item is left to score ({dropped}); is it the item file of this split?"
                )
            groups = tasks.Groups.of(used, self._settings, in_context=in_context)
            if not (any(map(groups.count, tasks.TASKS)) or not_available):
                raise InputError(
                    f"{self._split}: {condition}: no three of {len(used)} items can be compared, two alike and one that "
                    "differs in its phone alone; ABX needs more utterances"
                )
            self._compared[key] = _Compared(len(tokens), used, dropped, groups)
        return self._compared[key]

    def _layer_units(self, features: LayerFeatures) -> LayerUnits:
        if features.layer not in self._units:
            self._units[features.layer] = LayerUnits.read(features)
        return self._units[features.layer]

    def _bitrate(
        self, features: LayerFeatures, units: LayerUnits, *, segmented: bool
    ) -> tuple[dict[str, Any], Mapping[tuple[str, str], np.ndarray]]:
        """The bitrate of a quantized layer, or of its segments, and its replicates."""
        if (key := (features.layer, segmented)) not in self._bitrates:
            durations = dict(zip(features.ids, features.durations.tolist(), strict=True))
            places = pairwise(features.offsets.tolist())
            codes = [(name, units.numbers[a:b]) for name, (a, b) in zip(features.ids, places, strict=True)]
            utterances: Iterable[bitrate.Utterance] = (
                ((name, runs(numbers).code) for name, numbers in codes)
                if segmented
                else ((name, numbers, features.begins(i)) for i, (name, numbers) in enumerate(codes))
            )
            counted = bitrate.Samples(durations)
            bits = asdict(bitrate.measure(utterances, durations, counted))
            self._bitrates[key] = bits, counted.replicates()
        return self._bitrates[key]


def _slowest_period(settings: AbxScoring) -> float:
    """Seconds a frame of the slowest layer that is compared."""
    return round(FRAME_PERIOD * frame_stride(settings.slowest_layer), 9)
