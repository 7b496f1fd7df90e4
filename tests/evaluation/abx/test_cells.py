"""The tables of pairs: they take the error apart, and it can be put together again. And what is borrowed from fastabx."""

from collections import defaultdict
from fractions import Fraction
from importlib.metadata import version

import numpy as np
import oracles.abx as oracle
import pandas as pd
import pytest
from evaluation.abx.synthetic import random_task, score, tokens, write_features, write_items
from hypothesis import given, settings
from hypothesis import strategies as st

VECTORS = np.eye(3, dtype=np.float32)


def tables(item):
    files = (item.parent / f"result.{name}.csv" for name in ("phones", "speakers"))
    return [pd.read_csv(file, keep_default_na=False, na_values=[""]) for file in files]


def speakers_by_hand(found):
    """{(speaker of A and B, of X): (error in percent, weight, cells)} of one task's cells, weights in fractions."""
    pairs = defaultdict(lambda: defaultdict(list))
    for a, b, ab, *rest in found:
        pairs[a, b][ab].append((a, b, ab, *rest))
    groups = defaultdict(list)
    for of_pair in pairs.values():
        for keys in of_pair.values():
            for key in keys:
                groups[key[2], key[4]].append((found[key], Fraction(1, len(pairs) * len(of_pair) * len(keys))))
    weights = {speakers: float(sum(w for _, w in cells)) for speakers, cells in groups.items()}
    sums = {speakers: 100 * sum(e * float(w) for e, w in cells) for speakers, cells in groups.items()}
    return {speakers: (sums[speakers] / w, w, len(groups[speakers])) for speakers, w in weights.items()}


@pytest.mark.parametrize("codes", [None, VECTORS])
def test_tables_like_the_oracle(tmp_path, codes):
    layer = "conv2" if codes is None else "quant2"
    features, item, vectors, rows = random_task(np.random.default_rng(1), tmp_path, layer=layer, codes=codes)
    score(features, item, layer)
    phones, speakers = tables(item)
    cells = oracle.cells(tokens(vectors, rows), oracle.angular)
    for task in ("within", "across"):
        expected = oracle.by_phones(cells[task])
        got = phones.set_index(["phone_ax", "phone_b"])[f"{task}_error"].dropna()
        assert got.to_dict() == pytest.approx(expected, abs=1e-4)
        assert phones[f"{task}_cells"].sum() == len(cells[task])
    expected = speakers_by_hand(cells["within"]) | speakers_by_hand(cells["across"])
    got = {(row.speaker_ab, row.speaker_x): (row.error, row.weight, row.cells) for row in speakers.itertuples()}
    assert got.keys() == expected.keys()
    for pair, values in expected.items():
        assert got[pair] == pytest.approx(values, abs=1e-4)


@settings(max_examples=12)
@given(st.integers(0, 2**32 - 1), st.integers(2, 12))
def test_the_mean_of_the_pairs_is_the_error(tmp_path, seed, utterances):
    layer, of, codes = (("conv2", "conv2", None), ("quant2", "quant2", VECTORS), ("segment2", "quant2", VECTORS))[
        seed % 3
    ]
    rng = np.random.default_rng(seed)
    features, item, _, _ = random_task(rng, tmp_path, layer=of, codes=codes, utterances=utterances)
    result = score(features, item, layer)
    phones, speakers = tables(item)
    within = speakers["speaker_ab"] == speakers["speaker_x"]
    for task, rows in (("within", speakers[within]), ("across", speakers[~within])):
        if result[f"{task}_error"] is None:
            assert rows.empty
            assert phones[f"{task}_error"].isna().all()
            continue
        assert phones[f"{task}_error"].mean() == pytest.approx(result[f"{task}_error"], abs=1e-9)
        assert rows["weight"].sum() == pytest.approx(1)
        assert (rows["error"] * rows["weight"]).sum() == pytest.approx(result[f"{task}_error"], abs=1e-9)
        assert phones[f"{task}_cells"].sum() == rows["cells"].sum() == result[f"{task}_cells"]


def test_a_task_without_cells_is_empty_in_the_tables(tmp_path):
    rng = np.random.default_rng(7)
    item = write_items(tmp_path / "split.item", [f"u 0.{i} 0.{i}9 p{i % 2} c n s" for i in range(8)])
    result = score(write_features(tmp_path / "split.h5", "conv2", {"u": rng.normal(size=(50, 3))}, 0.02), item, "conv2")
    phones, speakers = tables(item)
    assert phones[["phone_ax", "phone_b"]].to_numpy().tolist() == [["p0", "p1"], ["p1", "p0"]]
    assert (result["across_error"], result["across_cells"]) == (None, 0)
    assert phones["within_error"].mean() == pytest.approx(result["within_error"])
    assert phones["across_error"].isna().all()
    assert phones["across_cells"].tolist() == [0, 0]
    assert speakers[["speaker_ab", "speaker_x", "weight", "cells"]].to_numpy().tolist() == [["s", "s", 1.0, 2]]


def test_phones_named_like_nothing_stay_phones(tmp_path):
    rng = np.random.default_rng(8)
    names = ("NA", "null", 'a,"b')
    rows = [f"u{i % 2} 0.{i} 0.{i}9 {names[i // 2 % 3]} c n s{i % 2}" for i in range(9)]
    item = write_items(tmp_path / "split.item", rows)
    vectors = {f"u{u}": rng.normal(size=(60, 3)) for u in range(2)}
    score(write_features(tmp_path / "split.h5", "conv2", vectors, 0.02), item, "conv2")
    assert set(tables(item)[0]["phone_ax"]) <= set(names)


def test_what_is_borrowed_from_fastabx_is_of_a_known_version():
    """`distance_function` and the attribute `data` of an accessor are not public: look at both before this line changes."""
    assert version("fastabx") == "0.9.0"
