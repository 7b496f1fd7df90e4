"""The verdict: rows that are few, and sentences that say no more than an interval does."""

import pandas as pd
import pytest
from figures.made_up import made_up_results, rows
from report.made_up import DIFFERENCES

from resdavenet_vq.report import assets, verdict

LAST, KMEANS = "{}->{2}->{2,3}", "k-means of log-mel"

SCORES = pd.DataFrame(
    [
        *rows("raw log-mel", "logmel", within=[14], across=[20]),
        *rows("normalized log-mel", "logmel", within=[10], across=[12]),
        *rows(KMEANS, "quant2", within=[12], across=[16], bits=[480], units=[50], held_out=[9]),
        *rows(f"{KMEANS}, 64 codes", "quant2", within=[16], across=[20], bits=[250], held_out=[1]),
        *rows("{}", "conv2", recall=[0.5, 0.7], within=[6], across=[8]),
        *rows("{}->{2}", "conv2", recall=[0.65], within=[6], across=[8]),
        *rows("{}->{2}", "quant2", within=[9], across=[12], bits=[440], words=[9], held_out=[7]),
        *rows(LAST, "conv2", recall=[0.7], within=[6], across=[8]),
        *rows(LAST, "conv3", within=[6], across=[11.9]),
        *rows(LAST, "quant2", within=[9], across=[12], bits=[440], words=[8], held_out=[7]),
        *rows(LAST, "quant3", within=[11], across=[14], bits=[200], words=[33], held_out=[31]),
        *rows("hubert", "units", within=[8], across=[10], bits=[310], held_out=[20]),
    ]
)


def said(differences=DIFFERENCES, bounded=(), scores=SCORES):
    """All sentences by their titles."""
    return dict(verdict.sentences(made_up_results(scores, bounded=bounded, differences=differences)))


@pytest.fixture
def content(tmp_path):
    results = made_up_results(SCORES, bounded=[LAST], differences=DIFFERENCES)
    return verdict.content(results, assets.Folder(tmp_path))


def test_the_table_has_units_and_baselines_but_no_further_sizes_and_no_inner_layers_of_units(content):
    assert [(row.system, row.layer, row.kind) for row in content["rows"]] == [
        ("raw log-mel", "logmel", "baseline"),
        ("normalized log-mel", "logmel", "baseline"),
        (KMEANS, "quant2", "baseline"),
        ("{}", "conv2", "model"),
        ("{}->{2}", "quant2", "model"),
        (LAST, "quant2", "model"),
        (LAST, "quant3", "model"),
        ("hubert", "units", "external"),
    ]
    heads = [f"{c.group} {c.name}".strip() for c in content["columns"]]
    errors = [f"ABX error on test (%) {speakers}" for speakers in ("within", "across")]
    words = ["Words detected where chosen", "Words detected held out"]
    assert heads == ["R@10 (%)", *errors, "Rate bit/s", "Rate units/s", *words]
    numbers = {(row.system, row.layer): [score and score.value for score in row.scores] for row in content["rows"]}
    assert numbers["{}", "conv2"] == [pytest.approx(60), 6, 8, None, None, None, None], "the mean over seeds"
    assert numbers[LAST, "quant2"] == [pytest.approx(70), 9, 12, 440, None, 8, 7]
    assert numbers[LAST, "quant3"] == [None, 11, 14, 200, None, 33, 31], "R@10 is the model's, said once"
    assert numbers[KMEANS, "quant2"] == [None, 12, 16, 480, 50, None, 9]
    assert content["rows"][6].scores[6].bounds == pytest.approx((27.9, 38.75))
    assert content["rows"][0].scores[1].bounds is None
    assert content["picture"].alt


def test_sentences_are_of_paired_differences():
    name = "{} → {2} → {2,3}"
    assert said() == {
        "Words": [
            (
                f"quant2 of {name} cannot be told from {KMEANS} at its rate and codebook size by words (held out): "
                "−2.0 [−5.0, +1.0] contains 0."
            ),
            (
                f"quant3 of {name} detects more words (held out) than {KMEANS} at its rate and codebook size: "
                "+24.1 [+19.2, +29.0]."
            ),
        ],
        "Phones": [
            f"In ABX across speakers, quant2 of {name} is worse than {KMEANS} on test (+1.3 [+0.4, +2.2] points)."
        ],
        "Retrieval": [
            "In R@10 on test, {} → {2} cannot be told from {} (+1.0 [−3.0, +5.0] contains 0).",
            f"In R@10 on test, {name} is better than {{}} → {{2}} (+4.1 [+0.3, +8.0] points).",
        ],
        "Grounding": [
            (
                f"In ABX across speakers, conv2 of {name} is better than normalized log-mel on test "
                "(−1.5 [−2.5, −0.5] points)."
            )
        ],
    }


def test_where_nothing_is_paired_two_intervals_speak_only_if_they_are_apart():
    bounded = [LAST, "normalized log-mel"]
    assert said(differences=()) == {}
    conv2, conv3 = said(differences=(), bounded=bounded)["Grounding"]
    assert conv2.endswith(
        "conv2 of {} → {2} → {2,3} is better than normalized log-mel on test (8.0 [7.2, 10.0] against "
        "12.0 [10.8, 15.0])."
    )
    assert "is as normalized log-mel on test as far as intervals tell (11.9 [10.7, 14.9] against" in conv3


def test_a_bound_near_0_is_not_rounded_to_it():
    row = DIFFERENCES[2] | {"value": 0.5, "low": 0.01, "high": 1.0}
    assert "is worse than k-means of log-mel on test (+0.50 [+0.01, +1.00] points)" in said([row])["Phones"][0]


@pytest.mark.parametrize("sign", [1, -1])
def test_better_and_worse_follow_the_sign_whatever_comes_first(sign):
    row = DIFFERENCES[2]
    ends = sorted([sign * row["low"], sign * row["high"]])
    turned = row | {"value": sign * row["value"], "low": ends[0], "high": ends[1]}
    verdicts = [said([turned]), said([row | {"first": row["second"], "second": row["first"]}])]
    assert ("worse" if sign > 0 else "better") in verdicts[0]["Phones"][0]
    assert "better" in verdicts[1]["Phones"][0]


def test_of_models_without_quantizers_retrieval_alone_is_told():
    scores = SCORES[SCORES["lineage"].isin(["{}", "raw log-mel"])]
    assert said(scores=scores) == {}
