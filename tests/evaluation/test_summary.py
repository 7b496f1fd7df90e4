"""The tables of scores: the spread over seeds against numpy, and what is wrong with a table."""

import math

import numpy as np
import pandas as pd
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from resdavenet_vq.errors import InputError
from resdavenet_vq.evaluation import comparison, summary
from resdavenet_vq.evaluation.comparison import compare
from resdavenet_vq.evaluation.summary import COLUMNS, SPREAD, SPREAD_KEYS, read_scores

SCORES = [
    ("raw log-mel", "", "abx", "logmel", "within", 14.5),
    ("{}", "1", "retrieval", "", "mean", 0.1),
    ("{}", "2", "retrieval", "", "mean", 0.3),
    ("{}", "3", "retrieval", "", "mean", 0.7),
    ("{}", "1", "abx", "conv2", "within", 8.25),
    ("{}", "2", "abx", "conv2", "within", 7.0),
    ("{2}", "", "abx", "quant2", "within", 0.12345678901234567),
]


def table(rows):
    keys = [("places", lineage, seed, task, layer, "test", how, "s") for lineage, seed, task, layer, how, _ in rows]
    return pd.DataFrame(
        [(*key, row[-1], "", "", 24) for key, row in zip(keys, rows, strict=True)], columns=list(COLUMNS)
    )


def test_every_score_has_its_mean_and_spread(tmp_path):
    table(SCORES).to_csv(tmp_path / "scores.csv", index=False)
    comparison.write(tmp_path / "scores.csv", [], {}, tmp_path / "comparison.csv", tmp_path / "differences.csv")
    spread = summary.read_comparison(tmp_path / "comparison.csv").set_index(list(SPREAD_KEYS))
    assert list(spread.columns) == ["seeds", *SPREAD, "low", "high"]
    several, values = spread.loc[("places", "{}", "retrieval", "", "test", "mean", "s")], np.array([0.1, 0.3, 0.7])
    assert several["seeds"] == "1 2 3"
    assert several[list(SPREAD)].tolist() == pytest.approx([values.mean(), values.std(ddof=1), 0.1, 0.7, 3])
    one = spread.loc[("places", "{2}", "abx", "quant2", "test", "within", "s")]
    assert one[["seeds", "mean", "min", "max", "n"]].tolist() == ["", *[0.12345678901234567] * 3, 1]
    assert math.isnan(one["std"])


@settings(max_examples=25)
@given(st.permutations(SCORES))
def test_no_order_of_rows_changes_a_spread(rows):
    by_key = [
        compare(table(some).replace("", pd.NA), {}).set_index(list(SPREAD_KEYS))[list(SPREAD)].sort_index()
        for some in (SCORES, rows)
    ]
    pd.testing.assert_frame_equal(*by_key, check_exact=True)


def test_faults_of_a_table_are_all_named(tmp_path):
    rows = table([*SCORES, SCORES[1]]).astype(object)
    rows.loc[0, "value"], rows.loc[1, "value"], rows.loc[2, "seed"] = "nan", "many", "first"
    rows.to_csv(tmp_path / "scores.csv", index=False)
    with pytest.raises(InputError) as e:
        read_scores(tmp_path / "scores.csv")
    text = str(e.value)
    assert "line 2: value is 'nan', not a finite number" in text
    assert "line 3: value is 'many'" in text
    assert "line 4: seed is 'first'" in text
    assert "line 9: places {} 1 retrieval test mean s is listed twice" in text
    rows.drop(columns="seed").to_csv(tmp_path / "old.csv", index=False)
    (tmp_path / "binary.csv").write_bytes(b"\xff\xfe\x00")
    column = "has no column 'seed'; summarize the scores again"
    for name, fault in {"old": column, "absent": "no such file", "binary": "not a table"}.items():
        with pytest.raises(InputError, match=fault):
            read_scores(tmp_path / f"{name}.csv")
