"""ABX error of a layer's frames, within and across speakers, scored with fastabx.

A and X are two tokens of one triphone, B is a token of a triphone that differs from it in the middle phone; the
error is the share of triples in which X is not nearer to A than to B, ties counting one half. Within: A, B and X of
one speaker; across: X of another. Errors are averaged over contexts, then over speakers, then over pairs of phones,
as in the ZeroSpeech challenges, and are percentages: 50 is chance.

The distance of two items is the mean frame distance along the cheapest DTW path. Frame f of a layer with period p
stands for the time (f + 1/2)p, and an item is the frames whose times lie in [onset, offset]. Where an item reaches
beyond the last frame of its utterance it ends there; an item wholly beyond it is that last frame. So every item that
lasts at least one frame has a frame, and which items are left out depends on times alone: those shorter than a frame
of the slowest layer compared, or that end later than such a frame after the audio (as after a cut), are dropped for
every layer alike, and counted.

Of a quantized layer the frames are looked up in the table of distances between its code vectors: the same
distances, but equal sequences of codes tie exactly, which rounding in a product of vectors would decide by chance.
"""

from __future__ import annotations

import math
import sys
from collections import Counter
from collections.abc import Sequence
from dataclasses import asdict, dataclass
from decimal import Decimal
from pathlib import Path
from typing import Any, NamedTuple

import numpy as np

from resdavenet_vq import files
from resdavenet_vq.config import AbxScoring
from resdavenet_vq.errors import InputError
from resdavenet_vq.evaluation import bitrate
from resdavenet_vq.evaluation.items import Item, read_items
from resdavenet_vq.evaluation.layers import LOGMEL, LayerFeatures, is_quantized

TOO_SHORT = "shorter than a frame of the slowest layer"
BEYOND = "beyond the end of the audio"


class Errors(NamedTuple):
    """ABX errors in percent; None where no speaker (pair) has a triple. And how many cells they average."""

    within: float | None
    across: float | None
    within_cells: int
    across_cells: int


@dataclass(frozen=True)
class Result:
    """The ABX error of a layer and every condition of it; the JSON's keys."""

    lineage: str
    layer: str
    split: str
    representation: str
    distance: str
    frame_period: float
    slowest_period: float
    within_error: float | None
    across_error: float | None
    within_cells: int
    across_cells: int
    items: int
    items_used: int
    items_dropped: dict[str, int]
    bitrate: bitrate.Bitrate | None
    settings: dict[str, Any]


def validate(items: Sequence[Item], features: LayerFeatures, settings: AbxScoring) -> None:
    """Raises InputError where the items are not the features' or the settings do not suit the layer."""
    if missing := sorted({item.file for item in items} - set(features.ids)):
        raise InputError(
            f"{features.path}: {len(missing)} utterances of the item file are not in it: {', '.join(missing[:10])}"
            f"{', ...' if len(missing) > 10 else ''}; use the item file of this split and encode the whole split"
        )
    if settings.distance == "identical" and not is_quantized(features.layer):
        raise InputError(
            f"abx.distance: 'identical' compares units, and {features.layer} has none; score a quantized layer or use 'angular'"
        )
    for key in ("max_size_group", "max_x_across"):
        if getattr(settings, key) == 1:
            raise InputError(f"abx.{key}: 1 leaves no A beside X; give at least 2, or null for all")


def frames(item: Item, period: Decimal, n_frames: int) -> tuple[int, int]:
    """The item's first frame and the one after its last, of an utterance with `n_frames` (at least 1) frames."""
    start = math.ceil(item.onset / period - Decimal("0.5"))
    end = math.floor(item.offset / period - Decimal("0.5")) + 1
    return min(start, n_frames - 1), min(end, n_frames)


def usable(items: Sequence[Item], durations: dict[str, float], slowest_period: float) -> tuple[list[Item], dict[str, int]]:
    """The items that every layer up to `slowest_period` can score, and how many were dropped for which reason."""
    period = _decimal(slowest_period)
    ends = {name: _decimal(seconds) + period for name, seconds in durations.items()}
    reasons = [TOO_SHORT if i.offset - i.onset < period else BEYOND if i.offset > ends[i.file] else None for i in items]
    counts = Counter(reasons)
    return [i for i, reason in zip(items, reasons, strict=True) if reason is None], {r: counts[r] for r in (TOO_SHORT, BEYOND)}


def errors(rows: np.ndarray, ranges: Sequence[tuple[int, int]], items: Sequence[Item], settings: AbxScoring, *, quantized: bool) -> Errors:
    """ABX errors of `items`, item i being rows[start:end] of its range: rows are (frames, width) float32."""
    import polars as pl
    from fastabx import Dataset, InMemoryAccessor, Score, Subsampler, Task
    from fastabx.utils import resolve_device
    from fastabx.verify import EmptyTaskError

    if settings.distance == "kl_symmetric" and (rows.min() < 0 or np.abs(rows.sum(axis=1) - 1).max() > 1e-3):
        raise InputError("abx.distance: 'kl_symmetric' compares probabilities, and these frames are none; use 'angular' or 'euclidean'")
    distance: Any = settings.distance
    device = resolve_device(None)
    if quantized:
        codes, vectors = _codes(rows)
        table = _distance_table(pl.Series(vectors.ravel()).to_torch().reshape(vectors.shape).to(device), settings.distance)
        data = pl.Series(codes).to_torch().reshape(-1, 1)

        def distance(x: Any, y: Any) -> Any:
            """Frame distances (n1, n2, s1, s2) of codes (n1, s1, 1) and (n2, s2, 1)."""
            (n1, s1, _), (n2, s2, _) = x.shape, y.shape
            return table[x.reshape(-1)][:, y.reshape(-1)].view(n1, s1, n2, s2).transpose(1, 2)

    else:
        data = pl.Series(rows.ravel()).to_torch().reshape(rows.shape)

    class Ordered(Subsampler):
        """Subsamples cells in a fixed order: fastabx's own changes from run to run, and with it, whatever the seed, the choice of X."""

        def __call__(self, lazy_cells: pl.LazyFrame, *, with_across: bool) -> pl.LazyFrame:
            keys = [name for name in lazy_cells.collect_schema().names() if not name.startswith("index_")]
            chosen: pl.LazyFrame = super().__call__(lazy_cells.sort(keys), with_across=with_across)
            return chosen.sort(keys)

    labels = pl.DataFrame(
        {
            "#phone": [i.phone for i in items],
            "prev-phone": [i.previous for i in items],
            "next-phone": [i.following for i in items],
            "speaker": [i.speaker for i in items],
        }
    )
    dataset = Dataset(labels, InMemoryAccessor(dict(enumerate(ranges)), data, device))
    subsampler = Ordered(settings.max_size_group, settings.max_x_across, settings.seed)
    contexts = ["prev-phone", "next-phone"]
    found: list[tuple[float | None, int]] = []
    for by, across in (([*contexts, "speaker"], []), (contexts, ["speaker"])):
        try:
            task = Task(dataset, on="#phone", by=by, across=across, subsampler=subsampler)
        except EmptyTaskError:
            found.append((None, 0))
            continue
        score = Score(task, distance, progress=sys.stderr.isatty())
        found.append((100 * score.collapse(levels=[("next-phone", "prev-phone"), "speaker"]), len(task)))
    (within, within_cells), (across_error, across_cells) = found
    return Errors(within, across_error, within_cells, across_cells)


def _codes(rows: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    """The code (T,) int64 of each row and the vectors (K, C) of the codes."""
    known: dict[bytes, int] = {}
    codes = bitrate.symbols(rows, known)
    return codes, np.frombuffer(b"".join(known), rows.dtype).reshape(len(known), -1).copy()


def _distance_table(vectors: Any, distance: str) -> Any:
    """The distances that fastabx gives to all pairs of (K, C) vectors: (K, K), exactly 0 on the diagonal."""
    from fastabx.accessor import normalize_with_singularity
    from fastabx.distance import distance_function

    if distance == "identical":
        table = vectors.new_ones(len(vectors), len(vectors))
    else:
        vectors = normalize_with_singularity(vectors) if distance == "angular" else vectors
        table = distance_function(distance)(vectors[None], vectors[None])[0, 0]
    return table.fill_diagonal_(0)


def evaluate(
    features: LayerFeatures, items: Sequence[Item], settings: AbxScoring, slowest_period: float, *, lineage: str, split: str
) -> Result:
    """Scores checked items; see the module for the conventions."""
    durations = dict(zip(features.ids, features.durations.tolist(), strict=True))
    used, dropped = usable(items, durations, slowest_period)
    if not used:
        raise InputError(f"{split}: no item is left to score ({dropped}); is it the item file of this split?")
    ranges, rows = _gather(features, used)
    quantized = is_quantized(features.layer)
    found = errors(rows, ranges, used, settings, quantized=quantized)
    if found.within is None and found.across is None:
        raise InputError(f"{split}: no two of {len(used)} items differ in their phone alone; ABX needs more utterances")
    layer = features.layer
    return Result(
        lineage=lineage,
        layer=layer,
        split=split,
        representation="code vectors" if quantized else "log-mel" if layer == LOGMEL else f"what enters quant{layer[4:]}",
        distance=f"{settings.distance}, DTW",
        frame_period=features.frame_period,
        slowest_period=slowest_period,
        within_error=found.within,
        across_error=found.across,
        within_cells=found.within_cells,
        across_cells=found.across_cells,
        items=len(items),
        items_used=len(used),
        items_dropped=dropped,
        bitrate=bitrate.of(features, durations) if quantized else None,
        settings=settings.model_dump(mode="json"),
    )


def _gather(features: LayerFeatures, items: Sequence[Item]) -> tuple[list[tuple[int, int]], np.ndarray]:
    """Frames (total, width) of the utterances that have items, and each item's range in them."""
    number = {name: i for i, name in enumerate(features.ids)}
    wanted = sorted({number[item.file] for item in items})
    lengths = np.diff(features.offsets)
    if empty := [features.ids[i] for i in wanted if lengths[i] == 0]:
        raise InputError(f"{features.path}: {features.layer} has no frame of utterance {empty[0]}; encode the split again")
    first = dict(zip(wanted, np.concatenate([[0], np.cumsum(lengths[wanted])]).tolist(), strict=False))
    rows = np.empty((int(lengths[wanted].sum()), features.width), np.float32)
    for i in wanted:
        rows[first[i] : first[i] + lengths[i]] = features.rows(i)
    period, ranges = _decimal(features.frame_period), []
    for item in items:
        i = number[item.file]
        start, end = frames(item, period, int(lengths[i]))
        ranges.append((first[i] + start, first[i] + end))
    return ranges, rows


def score(
    features: Path, items: Path, layer: str, settings: AbxScoring, out: Path, *, lineage: str, split: str, slowest_period: float
) -> None:
    """Scores one layer of a features file against an item file and writes `out` (JSON).

    `slowest_period` is the frame period, in seconds, of the slowest of the layers that are to be compared.
    """
    with LayerFeatures(features, layer) as layer_features:
        if slowest_period < layer_features.frame_period:
            raise InputError(
                f"{layer}: its frame period {layer_features.frame_period:g} s is longer than the slowest compared, {slowest_period:g} s"
            )
        tokens = read_items(items)
        validate(tokens, layer_features, settings)
        result = evaluate(layer_features, tokens, settings, slowest_period, lineage=lineage, split=split)
    files.write_json(out, asdict(result))


def _decimal(seconds: float) -> Decimal:
    """The decimal number that a time was written as."""
    return Decimal(str(round(float(seconds), 9)))
