"""The verdict: rows that are few, and sentences that say no more than an interval does."""

import pandas as pd
import pytest
from figures.made_up import made_up_results, rows
from report.made_up import DIFFERENCES
from workflow.plans import plan_of

from resdavenet_vq.__main__ import app
from resdavenet_vq.report import assets, columns, overview, verdict
from resdavenet_vq.report.sources import Sources
from resdavenet_vq.workflow.batches import Batches

LAST, KMEANS = "{}->{2}->{2,3}", "k-means of log-mel"

SCORES = pd.DataFrame(
    [
        *rows("raw log-mel", "logmel", within=[14], across=[20]),
        *rows("normalized log-mel", "logmel", within=[10], across=[12]),
        *rows(KMEANS, "quant2", within=[12], across=[16], bits=[480], units=[50], held_out=[9]),
        *rows(f"{KMEANS}, 64 codes", "quant2", within=[16], across=[20], bits=[250], held_out=[1]),
        *rows("untrained", "conv2", within=[12], across=[15]),
        *rows("k-means of untrained", "quant2", within=[12], across=[15], bits=[470], held_out=[3]),
        *rows("{}", "conv2", recall=[0.5, 0.7], within=[6], across=[8]),
        *rows("{}->{2}", "conv2", recall=[0.65], within=[6], across=[8]),
        *rows("{}->{2}", "quant2", within=[9], across=[12], bits=[440], words=[9], held_out=[7]),
        *rows(LAST, "conv2", recall=[0.7], within=[6], across=[8]),
        *rows(LAST, "conv3", within=[6], across=[11.9]),
        *rows(LAST, "quant2", within=[9], across=[12], bits=[440], words=[8], held_out=[7]),
        *rows(LAST, "onehot2", within=[13], across=[17]),
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
    return verdict.content(results, assets.Folder(tmp_path), Sources(results, {}))


def test_the_table_has_units_and_baselines_and_of_the_last_model_what_enters_its_quantizers(content):
    assert [(row.system, row.layer, row.kind) for row in content["rows"]] == [
        ("raw log-mel", "logmel", "baseline"),
        ("normalized log-mel", "logmel", "baseline"),
        (KMEANS, "quant2", "baseline"),
        ("{}", "", "model"),
        ("{}->{2}", "quant2", "model"),
        (LAST, "conv2", "model"),
        (LAST, "conv3", "model"),
        (LAST, "quant2", "model"),
        (LAST, "quant3", "model"),
        ("hubert", "units", "external"),
    ]
    heads = [f"{c.group} {c.name}".strip() for c in content["columns"]]
    errors = [f"ABX error on test (%) {speakers}" for speakers in ("within", "across")]
    words = ["Words detected where chosen", "Words detected held out"]
    assert heads == ["R@10 (%)", *errors, "Rate bit/s", "Rate units/s", *words]
    numbers = {(row.system, row.layer): [score and score.value for score in row.scores] for row in content["rows"]}
    assert numbers["{}", ""] == [pytest.approx(60), None, None, None, None, None, None], "the mean over seeds"
    assert numbers[LAST, "conv2"] == [pytest.approx(70), 6, 8, None, None, None, None]
    assert numbers[LAST, "quant2"] == [None, 9, 12, 440, None, 8, 7], "R@10 is the model's, said once"
    assert numbers[LAST, "quant3"] == [None, 11, 14, 200, None, 33, 31]
    assert numbers[KMEANS, "quant2"] == [None, 12, 16, 480, 50, None, 9]
    assert content["rows"][8].scores[6].bounds == pytest.approx((27.9, 38.75))
    assert content["rows"][0].scores[1].bounds is None
    assert content["picture"].alt


def test_sentences_are_of_paired_differences():
    name, alike = "{} → {2} → {2,3}", f"{KMEANS} with the same rate and codebook size"
    assert said() == {
        "Words": [
            (
                f"Held out, quant2 of {name} cannot be told from {alike} (−2.0 [−5.0, +1.0]); "
                "quant3 detects more words than them (+24.1 [+19.2, +29.0])."
            )
        ],
        "Phones": [
            f"In ABX error, in points, quant2 of {name} is worse than {alike} on test (across speakers +1.3 [+0.4, +2.2])."
        ],
        "Retrieval": [
            (
                "In R@10 on test, in points, {} → {2} cannot be told from {} (+1.0 [−3.0, +5.0]), "
                f"and {name} is better than {{}} → {{2}} (+4.1 [+0.3, +8.0])."
            )
        ],
        "Grounding": [
            (
                f"In ABX error, in points, conv2 of {name} is better than normalized log-mel on test "
                "(across speakers −1.5 [−2.5, −0.5])."
            )
        ],
    }


def _claim(layer, condition, split="test", second=KMEANS, bounds=(1.0, 3.0), task="abx", score="error"):
    low, high = bounds
    keys = {"corpus": "spoken_scenes", "task": task, "layer": layer, "split": split, "condition": condition}
    return keys | {"score": score, "first": LAST, "second": second, "value": 2.0, "low": low, "high": high}


def test_a_demo_has_at_most_six_sentences_however_its_scores_differ():
    """Two quantizers, two splits of ABX, and two layers that enter quantizers."""
    splits = pd.concat([SCORES, SCORES[SCORES["task"] == "abx"].assign(split="abx")])
    signs = [(1.0, 3.0), (-1.0, 3.0)]
    places = [(split, speakers) for split in ("test", "abx") for speakers in ("within", "across")]
    pairs = [("conv2", "normalized log-mel"), ("conv3", "normalized log-mel"), ("quant2", KMEANS), ("quant3", KMEANS)]
    rows = [
        *(_claim(a, at, split, b, signs[i % 2]) for a, b in pairs for i, (split, at) in enumerate(places)),
        *(row for row in DIFFERENCES if row["task"] != "abx"),
    ]
    found = said(rows, scores=splits)
    assert {title: len(texts) for title, texts in found.items()} == {
        "Words": 1,
        "Phones": 2,
        "Retrieval": 1,
        "Grounding": 2,
    }
    assert found["Phones"][0] == (
        f"In ABX error, in points, quant2 of {{}} → {{2}} → {{2,3}} is worse than {KMEANS} with the same rate and "
        "codebook size on test (within speakers +2.0 [+1.0, +3.0]) and on split abx (within speakers +2.0 [+1.0, +3.0]), and "
        "cannot be told from them on test (across speakers +2.0 [−1.0, +3.0]) and on split abx (across speakers "
        "+2.0 [−1.0, +3.0])."
    )


def test_quantizers_that_detect_as_many_words_are_told_together():
    rows = [_claim(f"quant{n}", "held_out", task="words", score="words_above_f1") for n in (2, 3)]
    (text,) = said(rows)["Words"]
    assert text.startswith("Held out, quant2 and quant3 of {} → {2} → {2,3} detect more words than k-means")
    assert text.endswith("(+2.0 [+1.0, +3.0], +2.0 [+1.0, +3.0]).")


def test_where_nothing_is_paired_nothing_is_said():
    assert said(differences=(), bounded=[LAST, "normalized log-mel"]) == {}


@pytest.mark.parametrize(
    ("low", "high", "text"),
    [
        (0.01, 1.0, "is worse than .*(across speakers +0.50 [+0.01, +1.00])"),
        (0.001, 1.0, "is worse than .*(across speakers +0.500 [+0.001, +1.000])"),
        (0.0, 1.0, "cannot be told from .*(across speakers +0.5 [+0.0, +1.0])"),
        (-0.01, 1.0, "cannot be told from .*(across speakers +0.5 [+0.0, +1.0])"),
    ],
)
def test_a_bound_near_0_is_rounded_to_it_only_where_the_interval_has_0(low, high, text):
    row = DIFFERENCES[2] | {"value": 0.5, "low": low, "high": high}
    outcome, numbers = text.split(".*")
    sentence = said([row])["Phones"][0]
    assert outcome in sentence
    assert numbers in sentence


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


def test_numbers_name_the_command_that_makes_them_and_its_logs():
    batches = Batches(plan_of()).all
    commands = {command for command, _ in overview.MADE.values()}
    assert commands <= {
        command.name or command.callback.__name__.replace("_", "-") for command in app.registered_commands
    }
    assert {command.replace("-", "_") for command in commands} <= {batch.family for batch in batches}
    assert all(batch.label.startswith(batch.family) for batch in batches)
    assert overview.MADE.keys() == columns.TEXTS.keys()
