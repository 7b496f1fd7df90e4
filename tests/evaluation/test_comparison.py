"""Scores over seeds and differences of systems, from files like those the scorers write."""

import numpy as np
import pandas as pd
import pytest
from evaluation.test_score_files import abx, origin, retrieval, words, write

from resdavenet_vq.errors import InputError
from resdavenet_vq.evaluation import bootstrap, comparison, score_files, summary
from resdavenet_vq.evaluation.bootstrap import REPLICATES, Replicates
from resdavenet_vq.evaluation.comparison import Estimate

RECALL = "retrieval", "test", "mean", "recall_at_10"
ABOVE = "words", "test", "held_out", "words_above_f1"


def noise(seed=0):
    values = np.random.default_rng(seed).normal(size=REPLICATES)
    return (values - values.mean()) / values.std(ddof=1)


@pytest.fixture
def compared(tmp_path):
    """comparison.csv and differences.csv of score files, and of the replicates of some of their scores."""

    def compare(files, samples):
        paths = write(tmp_path, files)
        for path in paths:
            table = Replicates()
            for name, values in samples.get(str(path.relative_to(tmp_path)), {}).items():
                table.add(name, 0.0, values)
            table.write(path)
        out = [tmp_path / f"{name}.csv" for name in ("scores", "summary", "comparison", "differences")]
        score_files.summarize(paths, "places", {}, out[0], out[1])
        comparison.write(out[0], paths, {}, out[2], out[3])
        return summary.read_comparison(out[2]), summary.read_differences(out[3])

    return compare


def row(table, name, **more):
    keys = dict(zip(("task", "split", "condition", "score"), name, strict=True)) | more
    found = table[(table[list(keys)] == list(keys.values())).all(axis=1)]
    assert len(found) == 1
    return found.iloc[0]


def test_one_seed_has_the_interval_of_its_score_and_several_that_of_both_errors(compared):
    files = {
        "none/retrieval/test.json": retrieval("{}", 0.5, 0.6),
        "2/retrieval/test.json": retrieval("{2}", 0.6, 0.7),
        "2-seed5/retrieval/test.json": retrieval("{2}", 0.7, 0.8) | origin("{2}", model="5"),
        "2-seed6/retrieval/test.json": retrieval("{2}", 0.8, 0.9) | origin("{2}", model="6"),
    }
    values = {name: {RECALL: 0.5 + 0.03 * noise()} for name in files}
    spread, differences = compared(files, values)
    one, three = row(spread, RECALL, lineage="{}"), row(spread, RECALL, lineage="{2}")
    assert (one["low"], one["high"]) == (0.45, 0.65)  # as its file says
    variance = 0.01 / 3 + 0.03**2
    freedom = variance**2 / ((0.01 / 3) ** 2 / 2)
    half = float(comparison.stdtrit(freedom, 0.975)) * variance**0.5
    assert (three["low"], three["high"]) == pytest.approx((0.75 - half, 0.75 + half), rel=1e-5)
    assert 2.5 < freedom < 4  # so that the quantile is well above that of a normal distribution
    assert spread[spread["score"] == "median_rank"]["low"].isna().all()
    (difference,) = differences.to_dict("records")
    half = float(comparison.stdtrit(2, 0.975)) * (0.01 / 3) ** 0.5  # the same utterances: only seeds are left
    expected = {"first": "{2}", "second": "{}", "score": "recall_at_10", "layer": ""}
    assert difference == difference | expected
    assert [difference[name] for name in ("value", "low", "high")] == pytest.approx([0.2, 0.2 - half, 0.2 + half])


def test_a_difference_is_of_the_same_utterances(compared):
    files = {
        "baseline/abx/test/conv2.json": abx("raw log-mel", "conv2", within=9.0),
        "none/abx/test/conv2.json": abx("{}", "conv2", within=5.0),
        "2/abx/test/conv2.json": abx("{2}", "conv2", within=5.0),
        "2/abx/test/quant2.json": abx("{2}", "quant2", within=4.0),
    }
    error = "abx", "test", "within", "error"
    shared, own = noise(), noise(1)
    values = [9 + 2 * shared, 5 + 2 * shared + 0.1 * own, 5 + 2 * shared + 0.1 * own, 4 + shared]
    spread, found = compared(files, {name: {error: some} for name, some in zip(files, values, strict=True)})
    assert list(found.columns) == list(summary.DIFFERENCE_COLUMNS)
    systems = list(found[["first", "second"]].itertuples(index=False, name=None))
    assert systems == [("{}", "raw log-mel"), ("{2}", "raw log-mel"), ("{2}", "{}")]  # of quant2 there is one system
    first = row(found, error, first="{}", second="raw log-mel")
    assert first["value"] == -4
    assert first["high"] - first["low"] == pytest.approx(0.4, rel=0.1)  # not that of 2
    same = row(found, error, first="{2}", second="{}")
    assert (same["value"], same["low"], same["high"]) == (0, 0, 0)
    assert set(spread[spread["task"] == "bitrate"]["score"]) == {"bits_per_second", "units_per_second"}


def test_layers_without_codes_are_compared_with_the_features_that_they_are_made_of(compared):
    files = {
        "baseline/abx/test/logmel.json": abx("raw log-mel", "logmel", within=9.0),
        "baseline-normalized/abx/test/logmel.json": abx("normalized log-mel", "logmel", within=7.0),
        "2/abx/test/conv2.json": abx("{2}", "conv2", within=4.0),
        "2/abx/test/quant2.json": abx("{2}", "quant2", within=6.0),
        "2/abx/test/onehot2.json": abx("{2}", "onehot2", within=6.0),
    }
    within, shared = ("abx", "test", "within", "error"), noise()
    _, found = compared(files, {name: {within: i * 0.1 + shared} for i, name in enumerate(files)})
    assert list(found[["layer", "first", "second"]].itertuples(index=False, name=None)) == [
        ("logmel", "normalized log-mel", "raw log-mel"),
        ("conv2", "{2}", "raw log-mel"),
        ("conv2", "{2}", "normalized log-mel"),
    ]
    first = row(found, within, first="{2}", second="normalized log-mel")
    assert [first["value"], first["low"], first["high"]] == pytest.approx([-3, -3, -3]), "the same was drawn for both"


def test_only_headline_scores_have_differences(compared):
    files = {f"{name}/words.json": words(f"{{{name}}}", "quant2") for name in "23"}
    more = ("words", "train", "published", "mean_f1"), ("units", "train", "words", "purity")
    others = ("units", "train", "", "perplexity"), ("words", "test", "held_out", "words")
    values = {name: {key: noise() for key in (ABOVE, *more, *others)} for name in files}
    _, found = compared(files, values)
    assert set(found[["task", "split", "condition", "score"]].itertuples(index=False, name=None)) == {ABOVE, *more}


def test_what_has_no_replicates_has_no_interval_and_a_missing_table_is_an_error(compared, tmp_path):
    files = {
        "2/words.json": words("{2}", "quant2"),
        "2-seed5/words.json": words("{2}", "quant2", above=30) | origin("{2}", "train", "5"),
        "3/words.json": words("{3}", "quant2"),
    }
    spread, found = compared(files, {"2/words.json": {ABOVE: noise()}})
    assert row(spread, ABOVE, lineage="{2}")[["low", "high"]].isna().all()  # one of two seeds has none
    assert row(spread, ABOVE, lineage="{3}")["low"] == 15.5
    assert found.empty
    (tmp_path / "3/words.bootstrap.csv").unlink()
    with pytest.raises(InputError, match=r"3/words\.bootstrap\.csv: no such file, .*score again"):
        comparison.read_replicates([tmp_path / name for name in files], {})


def test_replicates_that_are_not_a_number_are_left_out():
    values = np.where(np.arange(REPLICATES) % 2, np.nan, 3 + noise())
    low, high = Estimate(3.0, (), values).interval()
    assert (low, high) == pytest.approx(bootstrap.interval(values, 3.0))
    assert Estimate(3.0, (), np.full(REPLICATES, np.nan)).interval() == (None, None)
    assert Estimate(3.0, (), None).interval() == (None, None)
    half = np.diff(Estimate(3.0, ((1e-12, 2),), values).interval()) / 2
    assert half == pytest.approx(1.96 * np.nanstd(values, ddof=1), rel=1e-3)  # seeds that agree: utterances alone
    assert pd.notna(low)
