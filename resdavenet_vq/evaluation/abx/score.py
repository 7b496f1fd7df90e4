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

from collections.abc import Iterable, Sequence
from dataclasses import asdict
from pathlib import Path

from resdavenet_vq.config import AbxScoring, Condition
from resdavenet_vq.data.features import FRAME_PERIOD
from resdavenet_vq.encode.features import FEATURES, LOGMEL, OTHERS, UNITS, LayerFeatures, is_quantized, source
from resdavenet_vq.encode.units import runs
from resdavenet_vq.errors import InputError, listed
from resdavenet_vq.evaluation import bitrate
from resdavenet_vq.evaluation.abx.frames import gather, usable
from resdavenet_vq.evaluation.abx.items import Item, read_items, why_none
from resdavenet_vq.evaluation.bootstrap import Replicates
from resdavenet_vq.files import atomic_write, together, write_json
from resdavenet_vq.lineage import frame_stride

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


def validate(items: Sequence[Item], features: LayerFeatures, settings: AbxScoring) -> None:
    """Raises InputError where the items are not the features' or the settings do not suit the layer."""
    if missing := sorted({item.file for item in items} - set(features.ids)):
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
    """Scores one layer of a features file on an item file of a condition; writes `out` (JSON) together with its tables.

    In `out` the errors, means over `within_cells` and `across_cells`, are null where no speaker, or pair of speakers,
    has a triple. The frame period of segments is that of their codes, their bitrate that of segments. Where the report
    of the item file says why it has no items, so does `out`: the tables have no rows, and the bitrate is there alone.
    """
    segmented = layer.startswith("segment")
    not_available = why_none(items_report) if items_report else ""
    with LayerFeatures(features, source(layer)) as frames:
        frames.origin.check(features, lineage=lineage, split=split)
        tokens = [] if not_available else read_items(items)
        validate(tokens, frames, settings)
        distance = "identical" if layer.startswith("onehot") or has_no_vectors(frames) else settings.distance
        from resdavenet_vq.evaluation.abx import cells as abx_cells  # torch takes seconds, which bad input spares
        from resdavenet_vq.evaluation.abx import samples

        slowest_period = round(FRAME_PERIOD * frame_stride(settings.slowest_layer), 9)
        durations = dict(zip(frames.ids, frames.durations.tolist(), strict=True))
        used, dropped = usable(tokens, durations, slowest_period)
        if not (used or not_available):
            raise InputError(f"{split}: no item is left to score ({dropped}); is it the item file of this split?")
        in_context = condition in IN_CONTEXT
        cells, borrowed = {}, 0
        if used:
            sequences = gather(frames, used, segmented=segmented)
            cells = abx_cells.score_cells(sequences, used, distance, settings, in_context=in_context)
            borrowed = sequences.borrowed
        if not (cells or not_available):
            raise InputError(
                f"{split}: {condition}: no three of {len(used)} items can be compared, two alike and one that differs "
                "in its phone alone; ABX needs more utterances"
            )
        units: Iterable[bitrate.Utterance] = (
            ((name, runs(rows).code) for name, rows in frames)
            if segmented
            else ((name, rows, frames.begins(i)) for i, (name, rows) in enumerate(frames))
        )
        bits, replicates = None, Replicates()
        if is_quantized(layer):
            counted = bitrate.Samples(durations)
            bits = asdict(bitrate.measure(units, durations, counted))
            for (coding, name), values in counted.replicates().items():
                known = bits[coding] if name == "bits_per_second" else bits[name]
                replicates.add(("bitrate", split, coding, name), known, values)
    errors = {task: abx_cells.mean_error(cells[task]) if task in cells else None for task in abx_cells.TASKS}
    sample = samples.Sample(cells.values(), abx_cells.CONTEXT if in_context else (), abx_cells.PHONES)
    for task, of_task in cells.items():
        name = task if condition == "triphone" else f"{condition}_{task}"
        replicates.add(("abx", split, name, "error"), errors[task], sample.errors(of_task))
    result = {
        "lineage": lineage,
        "origin": frames.origin.to_dict(),
        "layer": layer,
        "split": split,
        "condition": condition,
        "representation": REPRESENTATIONS.get(layer.rstrip("12345"), f"what enters quant{layer[-1]}"),
        "distance": f"{distance}, DTW",
        "frame_period": frames.frame_period,
        "slowest_period": slowest_period,
        **{f"{task}_error": error for task, error in errors.items()},
        **{f"{task}_cells": len(cells.get(task, ())) for task in abx_cells.TASKS},
        "items": len(tokens),
        "items_used": len(used),
        "items_dropped": dropped,
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
