"""ABX errors against loops over every triple, and against fastabx fed its own way."""

from itertools import product
from unittest import mock

import numpy as np
import oracles.abx as oracle
import pytest
from evaluation.abx.synthetic import ALL, HEADER, both, by_hand, random_task, score, write_features, write_items

from resdavenet_vq.config import AbxScoring
from resdavenet_vq.errors import InputError
from resdavenet_vq.evaluation import bitrate, bootstrap, score_files
from resdavenet_vq.evaluation.abx import frames as abx_frames
from resdavenet_vq.evaluation.abx import score as abx
from resdavenet_vq.evaluation.abx.items import read_items
from resdavenet_vq.evaluation.symbols import LayerUnits
from resdavenet_vq.files import read_json


@pytest.mark.parametrize(
    ("layer", "distance"),
    [("conv2", "angular"), ("conv2", "euclidean"), ("quant2", "angular"), ("quant2", "identical")],
)
def test_errors_agree_with_loops_ties_included(tmp_path, layer, distance):
    codes = np.eye(3, dtype=np.float32) if layer == "quant2" else None  # distances 0 and 1/2 only: ties everywhere
    features, item, vectors, rows = random_task(np.random.default_rng(1), tmp_path, layer=layer, codes=codes)
    result = score(features, item, layer, ALL.model_copy(update={"distance": distance}))
    assert both(result) == pytest.approx(by_hand(vectors, rows, getattr(oracle, distance)), abs=1e-4)
    representation = {"conv2": "what enters quant2", "quant2": "code vectors"}[layer]
    named = {"lineage": "{2}", "layer": layer, "split": "split", "representation": representation}
    numbers = {"distance": f"{distance}, DTW", "items": 48, "items_used": 48, "frame_period": 0.02}
    assert result == result | named | numbers
    assert (result["bitrate"] or {}).get("symbols") == (None if codes is None else 3)


@pytest.mark.parametrize("size", [None, 2])
def test_fastabx_fed_from_folders_of_files_says_the_same(tmp_path, size):
    import fastabx
    import torch

    features, item, vectors, _ = random_task(np.random.default_rng(3), tmp_path, items=20)
    for name, frames in vectors.items():
        torch.save(torch.from_numpy(np.concatenate([frames, frames[-1:]])), tmp_path / f"{name}.pt")
    result = score(features, item, "conv2", AbxScoring(max_size_group=size, max_x_across=None))
    for speaker in ("within", "across"):
        expected = fastabx.zerospeech_abx(
            item, tmp_path, max_size_group=size, max_x_across=None, speaker=speaker, frequency=50, progress=False
        )
        assert result[f"{speaker}_error"] == pytest.approx(100 * expected, abs=1e-4)


def test_a_scorer_of_several_layers_and_conditions_writes_what_each_alone_writes(tmp_path):
    """Byte by byte; items are read once, and units are numbered once."""
    codebook = np.random.default_rng(2).normal(size=(5, 3)).astype(np.float32)
    features, item, *_ = random_task(np.random.default_rng(1), tmp_path, layer="quant2", codes=codebook)
    scorer = abx.Scorer(features, ALL, lineage="{2}", split="split")
    conditions, layers = ("triphone", "phoneme", "phoneme_any"), ("quant2", "onehot2", "segment2")
    with (
        mock.patch.object(abx, "read_items", side_effect=read_items) as items_read,
        mock.patch.object(abx.LayerUnits, "read", side_effect=LayerUnits.read) as numbered,
        mock.patch.object(abx.bitrate, "measure", side_effect=bitrate.measure) as measured,
    ):
        for condition, layer in product(conditions, layers):
            scorer.score(item, layer, tmp_path / f"together/{condition}/{layer}.json", condition=condition)
    assert [m.call_count for m in (items_read, numbered, measured)] == [1, 1, 2]
    what = {"lineage": "{2}", "split": "split"}
    for condition, layer in product(conditions, layers):
        of_one = abx.Scorer(features, ALL, **what)
        of_one.score(item, layer, tmp_path / f"alone/{condition}/{layer}.json", condition=condition)
    together, alone = (
        {path.relative_to(folder): path.read_bytes() for path in folder.rglob("*.*")}
        for folder in (tmp_path / "together", tmp_path / "alone")
    )
    assert together == alone
    assert len(alone) == 4 * len(conditions) * len(layers)


def test_scores_of_one_process_share_what_they_read_until_a_file_changes(tmp_path):
    codebook = np.random.default_rng(2).normal(size=(5, 3)).astype(np.float32)
    features, item, *_ = random_task(np.random.default_rng(1), tmp_path, layer="quant2", codes=codebook)
    (tmp_path / "other").mkdir()
    other, other_item, *_ = random_task(np.random.default_rng(4), tmp_path / "other", layer="quant2", codes=codebook)

    def errors(layer="quant2"):
        abx.score(features, item, layer, ALL, tmp_path / f"{layer}.json", lineage="{2}", split="split")
        return both(read_json(tmp_path / f"{layer}.json"))

    with mock.patch.object(abx, "read_items", side_effect=read_items) as items_read:
        first = errors()
        errors("onehot2")
        assert items_read.call_count == 1
        features.write_bytes(other.read_bytes())
        item.write_bytes(other_item.read_bytes())
        assert errors() != first
        assert items_read.call_count == 2
    abx.Scorer(other, ALL, lineage="{2}", split="split").score(other_item, "quant2", tmp_path / "alone.json")
    assert both(read_json(tmp_path / "alone.json")) == errors()


def test_the_seed_decides_the_subsample(tmp_path):
    rng = np.random.default_rng(4)
    rows, vectors = [], {}
    for u in range(60):
        vectors[f"u{u}"] = rng.normal(size=(20, 3)).astype(np.float32)
        rows += [
            f"u{u} {i / 25:.2f} {i / 25 + 0.08:.2f} p{rng.integers(3)} c{rng.integers(3)} n s{u % 6}" for i in range(8)
        ]
    item = write_items(tmp_path / "split.item", rows)
    features = write_features(tmp_path / "split.h5", "conv2", vectors, 0.02)
    first, *others = (
        score(features, item, "conv2", AbxScoring(max_size_group=3, max_x_across=2, seed=seed)) for seed in (0, 0, 0, 1)
    )
    assert all(other == first for other in others[:2])
    assert others[2]["across_error"] != first["across_error"]
    assert first["across_cells"] < score(features, item, "conv2")["across_cells"]


@pytest.mark.parametrize(("layer", "codes"), [("conv2", None), ("quant2", np.eye(3, dtype=np.float32))])
def test_without_items_there_is_a_reason_and_the_bitrate_alone(tmp_path, layer, codes):
    tables = ("phones", "speakers")
    features, item, *_ = random_task(np.random.default_rng(1), tmp_path, layer=layer, codes=codes)
    whole = score(features, item, layer)
    headers = [(tmp_path / f"result.{name}.csv").read_text().splitlines()[0] for name in tables]
    write_items(item, [])
    report = tmp_path / "split.report.json"
    report.write_text('{"items": 0, "not_available": "the split has no aligned phones"}')
    score(features, item, layer, report=report)
    result = score_files.read(tmp_path / "result.json")
    assert result["not_available"] == "the split has no aligned phones"
    assert both(result) == (None, None)
    assert [result[name] for name in ("items", "items_used", "within_cells", "speakers")] == [0] * 4
    assert result["bitrate"] == whole["bitrate"]
    of_bitrate = {name: bounds for name, bounds in whole["intervals"].items() if name.startswith("bitrate")}
    assert result["intervals"] == of_bitrate
    assert list(bootstrap.read(tmp_path / "result.json")) == list(of_bitrate)
    assert [(tmp_path / f"result.{name}.csv").read_text() for name in tables] == [f"{line}\n" for line in headers]


def test_an_item_file_without_items_is_refused_where_nothing_says_why(tmp_path):
    features, item, *_ = random_task(np.random.default_rng(1), tmp_path)
    write_items(item, [])
    with pytest.raises(InputError, match="holds no item"):
        score(features, item, "conv2")


def test_items_are_dropped_alike_for_all_layers_and_counted(tmp_path):
    rng = np.random.default_rng(6)
    rows = [f"u{u} {i / 10:.2f} {i / 10 + 0.09:.2f} p{i % 2} c n s{u}" for u in range(2) for i in range(9)]
    rows += ["u0 0.10 0.1399 p0 c n s0", "u1 0.10 0.1399 p0 c n s1", "u1 0.90 1.05 p0 c n s1"]
    item = write_items(tmp_path / "split.item", rows)
    counts = []
    for layer, period in (("conv1", 0.01), ("conv3", 0.04)):
        vectors = {f"u{u}": rng.normal(size=(round(1 / period), 3)) for u in range(2)}
        result = score(
            write_features(tmp_path / "split.h5", layer, vectors, period), item, layer, slowest_layer="quant3"
        )
        counts.append((result["items"], result["items_used"], result["items_dropped"]))
    assert counts == [(21, 18, {abx_frames.TOO_SHORT: 2, abx_frames.BEYOND: 1})] * 2


@pytest.mark.parametrize(
    ("text", "message"),
    [
        ("", "first line must name the columns"),
        ("#file onset offset\n", "first line must name the columns"),
        (HEADER, "holds no item"),
        (
            HEADER + "u 0 x p a b s\nu 0 0.1 p a b s\nu 0.2 0.1 p a b s\nu 0 1 p\nu NaN 1 p a b s\n",
            r"(?s)4 bad rows.*bad.item:2: .*'x'.*bad.item:4: .*bad.item:5: 4 fields.*bad.item:6",
        ),
    ],
)
def test_bad_item_files(tmp_path, text, message):
    path = tmp_path / "bad.item"
    path.write_text(text)
    with pytest.raises(InputError, match=message):
        read_items(path)


@pytest.mark.parametrize(
    ("layer", "settings", "slowest_layer", "message"),
    [
        *(
            (layer, {}, "quant2", rf"no features of '{source}' \(layers: conv2\)")
            for layer, source in (
                *(("onehot2", "quant2"), ("segment2", "quant2")),
                *((name, name) for name in ("quant3", "onehot", "onehot9", "segments2")),
            )
        ),
        ("conv2", {}, "quant1", r"abx\.scoring\.slowest_layer: conv2 is slower than quant1"),
        ("conv2", {"distance": "identical"}, "quant2", "compares units"),
        ("conv2", {"distance": "kl_symmetric"}, "quant2", "compares probabilities"),
        ("conv2", {"max_size_group": 1}, "quant2", "max_size_group: 1 leaves no A"),
    ],
)
def test_settings_that_do_not_suit_the_layer(tmp_path, layer, settings, slowest_layer, message):
    features, item, _, _ = random_task(np.random.default_rng(8), tmp_path)
    with pytest.raises(InputError, match=message):
        score(features, item, layer, AbxScoring(**settings), slowest_layer)


def test_items_that_are_not_the_features(tmp_path):
    features, item, _, _ = random_task(np.random.default_rng(8), tmp_path)
    item.write_text(item.read_text() + "v 0 0.1 p c n s\n")
    with pytest.raises(InputError, match=r"1 utterances of the item file are not in it; [^\n]*\nv$"):
        score(features, item, "conv2")
    with pytest.raises(InputError, match="no such file"):
        score(tmp_path / "absent.h5", item, "conv2")
    features.write_bytes(features.read_bytes()[:700])
    with pytest.raises(InputError, match=r"split\.h5: is damaged"):
        score(features, item, "conv2")


def test_frames_that_are_not_finite_are_refused(tmp_path):
    features, item, vectors, _ = random_task(np.random.default_rng(9), tmp_path)
    vectors["u3"][4, 1] = np.nan
    with pytest.raises(InputError, match="conv2 of utterance u3 holds values that are not finite"):
        score(write_features(features, "conv2", vectors, 0.02), item, "conv2")
