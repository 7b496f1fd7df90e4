"""The figures that a configuration asks for."""

import pytest
from workflow.plans import plan_of

from resdavenet_vq.figures.registry import FIGURES
from resdavenet_vq.workflow.figures import planned_figures

ROOT = "results/spoken_scenes"


def planned(**sections):
    return planned_figures(plan_of(**{"lineages": ["{}", "{}->{2}"], "seeds": [8675309, 1]} | sections))


def test_every_figure_is_planned_with_what_it_reads():
    figures = planned(figures={"utterances": ["a b", "c"], "keywords": ["SNOW"]})
    of_scores = {
        "retrieval",
        "abx-test",
        "abx-unseen",
        "bitrate-abx-test",
        "bitrate-abx-unseen",
        "bitrate-words",
        "verdict",
    }
    scores = [f"{ROOT}/scores.csv", f"{ROOT}/comparison.csv"]
    assert {name for name, figure in figures.items() if figure.inputs == scores} == of_scores
    examples = {"utterance-1", "utterance-2", "keyword-1"}
    others = {"words", "training", "codebooks", "precision-recall", "words-above"}
    assert figures.keys() - of_scores == others | examples
    assert len(figures["training"].inputs) == 4
    shown, models = ("kmeans", "none-2"), ("none-2", "none-2-seed1")
    every = ("kmeans", "kmeans-of-untrained", "kmeans-of-none", "kmeans-k256", *models)
    assert figures["words-above"].inputs == [f"{ROOT}/{folder}/words/quant2/test/summary.json" for folder in shown]
    words = [f"{ROOT}/{folder}/words/quant2/test/summary.json" for folder in every]
    assert figures["words"].inputs == [*scores, *words]
    codes = [f"{ROOT}/{folder}/codes/test.h5" for folder in shown]
    assert figures["utterance-1"].data == [f"{ROOT}/data/test.h5", *codes]
    assert "--utterance=a b" in figures["utterance-1"].arguments
    assert all(figure.arguments[0] in FIGURES for figure in figures.values())


def test_without_quantizers_and_abx_there_are_fewer():
    figures = planned(lineages=["{}"], abx={"splits": []})
    assert figures.keys() == {"retrieval", "training", "utterance-1"}


@pytest.mark.parametrize(
    ("off", "missing"),
    [
        (["retrieval"], {"retrieval"}),
        (["words"], {"words", "bitrate-words", "precision-recall", "words-above"}),
        (["abx"], {"abx-test", "abx-unseen", "bitrate-abx-test", "bitrate-abx-unseen", "bitrate-words", "verdict"}),
    ],
)
def test_figures_of_an_evaluation_that_is_off_are_not_planned(off, missing):
    assert planned().keys() - planned(**dict.fromkeys(off)).keys() == missing


def test_without_evaluations_there_are_trainings_alone():
    """Nothing says whose utterances are shown."""
    assert planned(retrieval=None, words=None, abx=None).keys() == {"training", "codebooks"}


def test_utterances_are_of_the_first_split_that_is_evaluated():
    codes = [f"{ROOT}/{folder}/codes/unseen.h5" for folder in ("kmeans", "none-2")]
    utterance = planned(retrieval=None, words=None, abx={"splits": ["unseen"]})["utterance-1"]
    assert utterance.data == [f"{ROOT}/data/unseen.h5", *codes]
    assert utterance.arguments[utterance.arguments.index("--split") + 1] == "unseen"


def test_without_models_there_are_comparisons_alone():
    units = {"files": dict.fromkeys(("train", "test", "unseen"), "units.txt"), "format": "txt", "frame_period": 0.02}
    figures = planned(lineages=[], seeds=[], retrieval=None, external={"hubert": units})
    assert not {"retrieval", "training", "codebooks"} & figures.keys()
    assert {"abx-test", "verdict", "words", "utterance-1"} <= figures.keys()
    assert figures["utterance-1"].arguments[:3] == ["utterance", "--systems", "external-hubert"]
