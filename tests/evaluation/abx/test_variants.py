"""One-hot codes, segments, and laws of the ABX error."""

import numpy as np
import oracles.abx as oracle
import pytest
from evaluation.abx.synthetic import ALL, both, by_hand, random_task, score, segmented, write_features, write_items
from hypothesis import given, settings
from hypothesis import strategies as st

from resdavenet_vq.config import AbxScoring

VECTORS = np.array([[1, 0, 0], [0.9, 0.1, 0], [0, 0, 1], [0, 1, 1]], np.float32)
EXACT = {"angular": np.eye(4), "euclidean": np.array([[0.0], [1], [3], [4]]), "identical": VECTORS}
"""Codes whose distances have no rounding, so that the same sequences tie in any arithmetic."""

DISTANCES = ("angular", "euclidean", "identical")


@pytest.mark.parametrize("distance", DISTANCES)
def test_one_hot_codes_are_equal_or_not_whatever_the_distance(tmp_path, distance):
    features, item, vectors, rows = random_task(np.random.default_rng(1), tmp_path, layer="quant2", codes=VECTORS)
    result = score(features, item, "onehot2", ALL.model_copy(update={"distance": distance}))
    assert both(result) == pytest.approx(by_hand(vectors, rows, oracle.identical), abs=1e-4)
    named = {"layer": "onehot2", "representation": "one-hot codes", "distance": "identical, DTW"}
    assert result == result | named
    quantized = score(features, item, "quant2", ALL.model_copy(update={"distance": distance}))
    assert result["bitrate"] == quantized["bitrate"]
    assert (both(result) == both(quantized)) == (distance == "identical")


@pytest.mark.parametrize("distance", DISTANCES)
def test_segments_agree_with_loops(tmp_path, distance):
    codes = EXACT[distance]
    features, item, vectors, rows = random_task(np.random.default_rng(3), tmp_path, layer="quant2", codes=codes)
    result = score(features, item, "segment2", ALL.model_copy(update={"distance": distance}))
    assert both(result) == pytest.approx(oracle.abx(segmented(vectors, rows), getattr(oracle, distance)), abs=1e-4)
    named = {"layer": "segment2", "representation": "code vectors, repeats dropped", "frame_period": 0.02}
    assert result == result | named
    quantized = score(features, item, "quant2")["bitrate"]
    assert result["bitrate"]["rows"] == result["bitrate"]["runs"] == quantized["runs"]
    for name in ("plain", "run_length", "factored", "segment"):  # no repeats: nothing is left to tell them apart
        assert result["bitrate"][name] == pytest.approx(quantized["segment"])


def test_the_same_items_are_used_for_every_representation(tmp_path):
    rng = np.random.default_rng(4)
    features, item, _, rows = random_task(rng, tmp_path, layer="quant2", codes=VECTORS)
    more = ("u0", "0.1", "0.1399", "p0", "c0", "n", "s0"), ("u1", "0.3", "9.9", "p0", "c0", "n", "s1")
    write_items(item, map(" ".join, [*rows, *more]))
    results = [score(features, item, layer, slowest_layer="quant3") for layer in ("quant2", "onehot2", "segment2")]
    dropped = results[0]["items_dropped"]
    assert min(dropped.values()) >= 1
    for key in ("items", "items_used", "items_dropped", "within_cells", "across_cells"):
        assert all(r[key] == results[0][key] for r in results)
    assert results[0]["items"] == results[0]["items_used"] + sum(dropped.values()) == 50


def test_items_between_segments_are_counted(tmp_path):
    codes = np.repeat(VECTORS, 10, axis=0)  # four segments in 0.8 s
    rows = [f"u{u} 0.{i}0 0.{i}6 p{i % 2} c n s{u}" for u in range(2) for i in range(6)]
    item = write_items(tmp_path / "split.item", rows)
    features = write_features(tmp_path / "split.h5", "quant2", {"u0": codes, "u1": codes}, 0.02)
    assert score(features, item, "segment2")["items_without_own_frame"] == 6  # segments stand at 0, 0.2, 0.4 and 0.6 s
    assert score(features, item, "quant2")["items_without_own_frame"] == 0


@settings(max_examples=15)
@given(st.integers(0, 2**32 - 1))
def test_names_and_order_mean_nothing(tmp_path, seed):
    rng = np.random.default_rng(seed)
    layer, codes = [("conv2", None), ("quant2", VECTORS), ("segment2", VECTORS)][seed % 3]
    features, item, vectors, rows = random_task(rng, tmp_path, layer=layer.replace("segment", "quant"), codes=codes)
    expected = both(score(features, item, layer))
    renamed = [(f, a, b, "PQR"[-int(p[1])], "XY"[1 - int(c[1])], n, s[::-1]) for f, a, b, p, c, n, s in rows]
    write_items(item, [" ".join(renamed[i]) for i in rng.permutation(len(rows))])
    write_features(features, layer.replace("segment", "quant"), {k: vectors[k] for k in reversed(vectors)}, 0.02)
    assert both(score(features, item, layer)) == pytest.approx(expected, abs=1e-4)


@pytest.mark.parametrize("layer", ["conv2", "quant2"])
def test_a_turn_of_the_axes_and_a_scale_mean_nothing(tmp_path, layer):
    rng = np.random.default_rng(6)
    features, item, vectors, _ = random_task(rng, tmp_path, layer=layer, codes=VECTORS if layer == "quant2" else None)
    expected = both(score(features, item, layer))
    turn = np.array([[0, 2, 0], [0, 0, -2], [2, 0, 0]], np.float32)
    write_features(features, layer, {name: frames @ turn for name, frames in vectors.items()}, 0.02)
    assert both(score(features, item, layer)) == pytest.approx(expected, abs=1e-3)


@pytest.mark.parametrize("fill", [None, 0.0])
def test_a_large_layer_is_normalized_piece_by_piece(tmp_path, monkeypatch, fill):
    from resdavenet_vq.evaluation.abx import cells as abx_cells

    features, item, vectors, rows = random_task(np.random.default_rng(11), tmp_path)
    if fill is not None:
        for frames in vectors.values():
            frames[::4] = fill
        write_features(features, "conv2", vectors, 0.02)
    at_once = both(score(features, item, "conv2"))
    monkeypatch.setattr(abx_cells, "NORMALIZED_AT_ONCE", 0)
    before = features.read_bytes()
    assert both(score(features, item, "conv2")) == pytest.approx(at_once, abs=1e-4)
    assert features.read_bytes() == before
    if fill is None:
        assert at_once == pytest.approx(by_hand(vectors, rows, oracle.angular), abs=1e-4)


def test_null_frames_have_the_direction_of_equal_values(tmp_path):
    """A ReLU can leave a frame of zeros, which has no direction of its own; fastabx decides so."""
    features, item, vectors, _ = random_task(np.random.default_rng(7), tmp_path)
    found = []
    for fill in (0, 1):
        for frames in vectors.values():
            frames[::3] = fill
        found.append(both(score(write_features(features, "conv2", vectors, 0.02), item, "conv2")))
    assert found[0] == pytest.approx(found[1], abs=1e-3)


def test_probabilities_have_a_distance_of_their_own(tmp_path):
    features, item, vectors, _ = random_task(np.random.default_rng(9), tmp_path)
    shares = {name: np.exp(v) / np.exp(v).sum(axis=1, keepdims=True) for name, v in vectors.items()}
    write_features(features, "conv2", shares, 0.02)
    assert 0 <= score(features, item, "conv2", AbxScoring(distance="kl_symmetric"))["within_error"] <= 100
