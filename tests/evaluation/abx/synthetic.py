"""Random features and items, and their scores by the package and by hand."""

import json
from dataclasses import replace

import numpy as np
import oracles.abx as oracle
from encoded import ORIGIN

from resdavenet_vq.config import AbxScoring
from resdavenet_vq.encode.features import add_features, create_features
from resdavenet_vq.evaluation.abx import score as abx

ALL = AbxScoring(max_size_group=None, max_x_across=None)
HEADER = "#file onset offset #phone prev-phone next-phone speaker\n"


def write_features(path, layer, utterances, period, durations=None, origin=None):
    """A features file of {id: (frames, width)}."""
    vectors = [*utterances.values()]
    seconds = np.array(durations or [len(v) * period for v in vectors], float)
    with create_features(path, list(utterances), seconds, origin or replace(ORIGIN, split="split")) as file:
        rows = add_features(file, layer, np.shape(vectors[0])[1], np.array([*map(len, vectors)]), period)
        rows.write_each(range(len(vectors)), vectors)
    return path


def write_items(path, rows):
    path.write_text("".join([HEADER, *(f"{row}\n" for row in rows)]))
    return path


def random_task(rng, tmp_path, *, layer="conv2", utterances=6, items=8, period=0.02, codes=None):
    """Random features and items: two speakers, two contexts, three phones."""
    vectors = {}
    rows = []
    for u in range(utterances):
        n = int(rng.integers(20, 30))
        frames = rng.normal(size=(n, 3)).astype(np.float32)
        vectors[f"u{u}"] = frames if codes is None else codes[rng.integers(0, len(codes), n)]
        for _ in range(items):
            onset = float(rng.uniform(0, n * period - 0.1))
            offset = min(onset + float(rng.uniform(0.025, 0.1)), n * period)
            labels = f"p{rng.integers(3)}", f"c{rng.integers(2)}", "n", f"s{u % 2}"
            rows.append((f"u{u}", f"{onset:.4f}", f"{offset:.4f}", *labels))
    item = write_items(tmp_path / "split.item", map(" ".join, rows))
    return write_features(tmp_path / "split.h5", layer, vectors, period), item, vectors, rows


def score(features, item, layer, settings=ALL, slowest_layer="quant2", condition="triphone", report=None):
    out, settings = item.parent / "result.json", settings.model_copy(update={"slowest_layer": slowest_layer})
    what = {"lineage": "{2}", "split": "split", "condition": condition}
    abx.score(features, item, layer, settings, out, **what, items_report=report)
    return json.loads(out.read_text())


def both(result):
    return result["within_error"], result["across_error"]


def tokens(vectors, rows, period="0.02"):
    """What the oracle compares: each item's frames and labels."""
    return [
        (vectors[name][oracle.frames_of(onset, offset, period, len(vectors[name]))].astype(float).tolist(), *labels)
        for name, onset, offset, *labels in rows
    ]


def segmented(vectors, rows, period=0.02):
    found = []
    for name, onset, offset, *labels in rows:
        rest = oracle.without_repeats(vectors[name])
        inside = oracle.segments_of(onset, offset, f"{round(len(vectors[name]) * period, 9)}", len(rest))
        found.append(([rest[i].astype(float).tolist() for i in inside], *labels))
    return found


def by_hand(vectors, rows, distance, period="0.02"):
    """Errors within and across."""
    return oracle.abx(tokens(vectors, rows, period), distance)
