"""Numbers over seeds: against numpy, and by the laws of a comparison."""

import csv
import re

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from resdavenet_vq.errors import InputError
from resdavenet_vq.evaluation import comparison
from resdavenet_vq.evaluation.comparison import HEADLINES, Spread

COLUMNS = (
    "lineage",
    "seed",
    "layer",
    "frame_period",
    "retrieval_split",
    "mean_recall_at_10",
    "abx_test_within",
    "bitrate_test",
    "words_words",
)
ROWS = [
    ("raw log-mel", "", "logmel", "0.01", "", "", "14.5", "", ""),
    ("{}", "1", "conv2", "0.02", "test", "0.1", "8.25", "", ""),
    ("{}", "2", "conv2", "0.02", "test", "0.3", "7.0", "", ""),
    ("{}", "3", "conv2", "0.02", "test", "0.7", "", "", ""),
    ("{}->{2}", "1", "quant2", "0.02", "test", "0.123456789012345678", "9.5", "401.5", "80"),
    ("{2}", "", "quant2", "0.02", "", "", "9.0", "400.0", "81"),
]


def write(path, rows, columns=COLUMNS):
    with path.open("w", newline="") as f:
        csv.writer(f).writerows([columns, *rows])
    return path


def compared(tmp_path, rows):
    comparison.write(write(tmp_path / "summary.csv", rows), tmp_path / "comparison.csv")
    with (tmp_path / "comparison.csv").open(newline="") as f:
        return {(row["lineage"], row["layer"]): row for row in csv.DictReader(f)}


def test_every_number_has_its_mean_and_spread(tmp_path):
    table = compared(tmp_path, ROWS)
    assert list(table) == [("raw log-mel", "logmel"), ("{}", "conv2"), ("{}->{2}", "quant2"), ("{2}", "quant2")]
    several = table["{}", "conv2"]
    values = np.array([0.1, 0.3, 0.7])
    found = [float(several[f"mean_recall_at_10_{what}"]) for what in ("mean", "std", "min", "max", "n")]
    assert found == pytest.approx([values.mean(), values.std(ddof=1), 0.1, 0.7, 3])
    assert (several["seeds"], several["abx_test_within_n"], several["abx_test_within_mean"]) == ("1 2 3", "2", "7.625")
    assert (several["bitrate_test_mean"], several["bitrate_test_n"]) == ("", "")
    assert (table["{2}", "quant2"]["seeds"], table["{2}", "quant2"]["bitrate_test_n"]) == ("", "1")
    assert "words_words_mean" not in several  # no headline


def test_one_seed_gives_the_numbers_of_the_summary(tmp_path):
    one = [row for row in ROWS if row[1] in {"", "1"}]
    table = compared(tmp_path, one)
    for row in one:
        values, found = dict(zip(COLUMNS, row, strict=True)), table[row[0], row[2]]
        for name in ("mean_recall_at_10", "abx_test_within", "bitrate_test"):
            exact = str(float(values[name])) if values[name] else ""
            assert [found[f"{name}_{what}"] for what in ("mean", "min", "max", "std")] == [exact, exact, exact, ""]


@settings(deadline=None, max_examples=25)
@given(st.permutations(ROWS))
def test_no_order_of_rows_changes_a_number(tmp_path_factory, rows):
    folder = tmp_path_factory.getbasetemp()
    known, found = compared(folder, ROWS), compared(folder, rows)
    for key, row in known.items():
        assert {k: v for k, v in row.items() if k != "seeds"} == {k: v for k, v in found[key].items() if k != "seeds"}
        assert sorted(row["seeds"].split()) == sorted(found[key]["seeds"].split())


@given(st.lists(st.floats(-1e6, 1e6), min_size=1, max_size=6), st.randoms())
def test_a_spread_agrees_with_numpy_and_has_no_order(values, random):
    spread, shuffled = Spread(tuple(values)), list(values)
    random.shuffle(shuffled)
    assert (spread.mean, spread.std) == (Spread(tuple(shuffled)).mean, Spread(tuple(shuffled)).std)
    assert spread.mean == pytest.approx(np.mean(values), abs=1e-6)
    assert spread.std is None if len(values) == 1 else spread.std == pytest.approx(np.std(values, ddof=1), abs=1e-5)


@pytest.mark.parametrize(
    ("name", "is_headline"),
    [
        ("mean_recall_at_10", True),
        ("speech_to_image_median_rank", True),
        ("abx_dev_seen_2020_across", True),
        ("abx_test_items", False),
        ("bitrate_test_segment", True),
        ("words_held_out_chance_words_above_f1", True),
        ("words_min_occurrences", False),
        ("words_units_perplexity", True),
    ],
)
def test_headlines(name, is_headline):
    assert any(re.fullmatch(pattern, name) for pattern in HEADLINES) == is_headline


def test_faults_are_all_named(tmp_path):
    rows = [
        ("{}", "1", "conv2", "0.02", "test", "0.5", "nan", "", ""),
        ("{}", "1", "conv2", "0.02", "test", "many", "8", "", ""),
        ("{}", "2", "conv2", "0.04", "val", "0.5", "8", "", ""),
    ]
    with pytest.raises(InputError) as e:
        comparison.read(write(tmp_path / "summary.csv", rows))
    said = str(e.value)
    assert "line 2: abx_test_within is 'nan', not a finite number" in said
    assert "line 3: mean_recall_at_10 is 'many'" in said
    assert "line 3: {} conv2 with seed 1 stands in it twice" in said
    assert "line 4: frame_period is '0.04', and '0.02' with another seed of {} conv2" in said
    assert "line 4: retrieval_split is 'val', and 'test'" in said
    with pytest.raises(InputError, match="has no column 'seed'; summarise the scores again"):
        comparison.read(write(tmp_path / "old.csv", [("{}", "conv2")], ("lineage", "layer")))
    with pytest.raises(InputError, match="no such file"):
        comparison.read(tmp_path / "absent.csv")
    (tmp_path / "binary.csv").write_bytes(b"\xff\xfe\x00")
    with pytest.raises(InputError, match="not a table"):
        comparison.read(tmp_path / "binary.csv")
