"""The conditions of ABX beside triphones: by loops, by fastabx's own function, and by what must hold between them."""

import json
from decimal import Decimal

import fastabx
import numpy as np
import oracles.abx as oracle
import polars as pl
import pytest
import torch
from evaluation.abx.synthetic import ALL, both, random_task, score, tokens, write_features, write_items
from hypothesis import given, settings
from hypothesis import strategies as st

from resdavenet_vq.config import AbxScoring
from resdavenet_vq.errors import InputError
from resdavenet_vq.evaluation.abx import tasks
from resdavenet_vq.evaluation.abx.columns import Item, ItemTable

VECTORS = np.eye(3, dtype=np.float32)


@pytest.mark.parametrize("condition", ["phoneme_any", "word", "syllable"])
@pytest.mark.parametrize("codes", [None, VECTORS])
def test_errors_in_any_context_agree_with_loops_ties_included(tmp_path, condition, codes):
    layer = "conv2" if codes is None else "quant2"
    features, item, vectors, rows = random_task(np.random.default_rng(1), tmp_path, layer=layer, codes=codes)
    expected = oracle.abx(oracle.anywhere(tokens(vectors, rows)), oracle.angular)
    result = score(features, item, layer, condition=condition)
    assert both(result) == pytest.approx(expected, abs=1e-4)
    assert result["condition"] == condition
    assert both(score(features, item, layer, condition="phoneme")) != pytest.approx(expected, abs=0.1)


@pytest.mark.parametrize(("condition", "context"), [("phoneme", "within"), ("phoneme_any", "any")])
def test_fastabx_says_the_same_of_phonemes(tmp_path, condition, context):
    features, item, vectors, _ = random_task(np.random.default_rng(3), tmp_path, utterances=9, items=12)
    for name, frames in vectors.items():
        torch.save(torch.from_numpy(np.concatenate([frames, frames[-1:]])), tmp_path / f"{name}.pt")
    result = score(features, item, "conv2", condition=condition)
    for speaker in ("within", "across"):
        expected = fastabx.zerospeech_abx(
            item, tmp_path, max_size_group=None, max_x_across=None, speaker=speaker, context=context, progress=False
        )
        assert result[f"{speaker}_error"] == pytest.approx(100 * expected, abs=1e-4)


@given(st.integers(0, 2**32 - 1))
@settings(max_examples=6)
def test_in_one_context_any_context_is_the_same_and_order_is_nothing(tmp_path, seed):
    rng = np.random.default_rng(seed)
    features, item, _, rows = random_task(rng, tmp_path, layer="quant2", codes=VECTORS)
    write_items(item, [" ".join((*row[:4], "c", "n", row[6])) for row in rows])
    in_context = score(features, item, "quant2", condition="phoneme")
    anywhere = score(features, item, "quant2", condition="phoneme_any")
    intervals = {name.replace("phoneme_", "phoneme_any_"): bounds for name, bounds in in_context["intervals"].items()}
    assert {name.split("|")[2] for name in intervals} >= {"phoneme_any_within", "phoneme_any_across"}
    assert anywhere == in_context | {"condition": "phoneme_any", "intervals": intervals}
    for condition in ("phoneme", "phoneme_any"):
        write_items(item, [" ".join(rows[i]) for i in range(len(rows))])
        first = both(score(features, item, "quant2", condition=condition))
        write_items(item, [" ".join(rows[i]) for i in rng.permutation(len(rows))])
        assert both(score(features, item, "quant2", condition=condition)) == pytest.approx(first, abs=1e-4)


@pytest.mark.parametrize("in_context", [True, False])
@pytest.mark.parametrize("limits", [(None, None), (4, None), (None, 3), (4, 3)])
@pytest.mark.parametrize("at_once", [1, 50, 10**9])
def test_cells_are_those_of_fastabx_in_blocks_of_any_size(monkeypatch, limits, in_context, at_once):
    """Which takes tokens and speakers after it has listed all: the same ones, in the same order."""
    monkeypatch.setattr(tasks, "AT_ONCE", at_once)
    rng, n, context = np.random.default_rng(5), 600, ["previous", "following"] if in_context else []
    names = {"phone": 4, "speaker": 9, "previous": 3, "following": 2}
    labels = pl.DataFrame({name: [f"{name[0]}{i}" for i in rng.integers(0, k, n)] for name, k in names.items()})
    dataset = fastabx.Dataset.from_numpy(np.zeros((n, 1)), labels)

    class InOrder(fastabx.Subsampler):
        def __call__(self, cells, *, with_across):
            keys = [name for name in cells.collect_schema().names() if not name.startswith("index_")]
            return super().__call__(cells.sort(keys), with_across=with_across).sort(keys)

    items = ItemTable.of(
        Item("u", Decimal(0), Decimal(1), *row)
        for row in labels.select("phone", "previous", "following", "speaker").rows()
    )
    settings = AbxScoring(max_size_group=limits[0], max_x_across=limits[1], seed=7)
    groups = tasks.Groups.of(items, settings, in_context=in_context)
    for name, by, across in (("within", ["speaker"], []), ("across", [], ["speaker"])):
        own = fastabx.Task(dataset, on="phone", by=[*context, *by], across=across, subsampler=InOrder(*limits, seed=7))
        blocks = list(groups.blocks(name))
        a, b, x = (np.concatenate(each) for each in zip(*blocks, strict=True))
        assert len(a) == groups.count(name) == len(own.cells)
        assert len(blocks) == 1 or at_once < 10**9
        for role, of in zip("abx", (a, b, x), strict=True):
            assert groups.tokens.gather(of).to_list() == own.cells[f"index_{role}"].to_list()
        for column, of in (("phone", a), ("phone_b", b), ("speaker", a), *([("speaker_x", x)] if across else [])):
            whose = groups.phone if column.startswith("phone") else groups.speaker
            known = groups.phones if column.startswith("phone") else groups.speakers
            assert [known[i] for i in whose[of]] == own.cells[column].to_list()


def test_one_speaker_has_no_error_across(tmp_path):
    rng = np.random.default_rng(7)
    item = write_items(tmp_path / "split.item", [f"u 0.{i} 0.{i}9 p{i % 2} c{i} n s" for i in range(8)])
    features = write_features(tmp_path / "split.h5", "conv2", {"u": rng.normal(size=(50, 3))}, 0.02)
    result = score(features, item, "conv2", condition="phoneme_any")
    assert (result["across_error"], result["across_cells"], result["within_cells"]) == (None, 0, 2)
    with pytest.raises(InputError, match="split: phoneme: no three of 8 items can be compared"):
        score(features, item, "conv2", condition="phoneme")


def test_short_phonemes_are_dropped_alike_for_all_layers_and_counted(tmp_path):
    rng = np.random.default_rng(6)
    rows = [f"u{i % 2} 0.{i} 0.{i}3 p{i % 3} c n s{i % 2}" for i in range(9)]  # 30 ms each
    rows += [f"u{i % 2} 0.{i}3 0.{i}9 p{i % 3} c n s{i % 2}" for i in range(9)]
    item = write_items(tmp_path / "split.item", rows)
    vectors = {f"u{u}": rng.normal(size=(100, 3)) for u in range(2)}
    result = score(
        write_features(tmp_path / "split.h5", "conv1", vectors, 0.01), item, "conv1", ALL, "quant3", "phoneme_any"
    )
    assert (result["items"], result["items_used"]) == (18, 9)
    assert result["items_dropped"]["shorter than a frame of the slowest layer"] == 9
    assert json.loads((tmp_path / "result.json").read_text()) == result
