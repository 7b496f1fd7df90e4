"""Which noisy copies and scores a configuration asks for, and what each depends on."""

import json
from pathlib import Path

import pytest
from workflow.plans import plan_of

from resdavenet_vq.errors import InputError
from resdavenet_vq.workflow.noise import NoisePlan

LAYERS = [("baseline", "logmel"), ("none-2", "quant2"), ("none-2-23", "quant2"), ("none-2-23", "quant3")]
WHITE = {"kinds": ["white"], "snr_db": [0]}


def names(**sections):
    return list(plan_of(**sections).splits.copies)


def test_copies_are_named_by_what_was_added():
    noise = WHITE | {"snr_db": [10, -2.5]}
    assert names(noise=noise) == ["test.white_10dB", "unseen.white_10dB", "test.white_-2.5dB", "unseen.white_-2.5dB"]
    assert len(names()) == 2 * 3 * 2


def test_only_splits_that_are_scored_have_copies():
    assert names(noise=WHITE | {"scores": ["abx"]}, abx={"splits": ["unseen"]}) == ["unseen.white_0dB"]
    assert names(noise=WHITE | {"scores": ["words"]}, words={"held_out_split": "val"}) == ["val.white_0dB"]


def test_a_copy_is_scored_where_splits_are_and_as_its_split():
    plan = plan_of(noise=WHITE, abx={"splits": ["test"]})
    noise = NoisePlan(plan)
    assert {path.removeprefix("results/spoken_scenes/") for path in noise.scores} == {
        place.format(split=split)
        for split in ("test", "test.white_0dB")
        for place in (
            *(f"{folder}/retrieval/{{split}}.json" for folder in ("none", "none-2", "none-2-23")),
            *(f"{folder}/abx/{{split}}/{layer}.json" for folder, layer in LAYERS),
            *(f"{folder}/words/{layer}/{{split}}/summary.json" for folder, layer in LAYERS[1:]),
        )
    }
    assert set(plan.retrieval + plan.words_of(plan.lineages)) <= set(noise.scores), (
        "clean scores are used, not made again"
    )
    assert set(json.loads(noise.conditions)) == {"test", "test.white_0dB"}
    assert plan.splits.items("test.white_0dB") == plan.splits.items("test")
    for settings, key in ((plan.retrieval_settings, "split"), (plan.words_settings, "held_out_split")):
        assert json.loads(settings("test.white_0dB")) == json.loads(settings("test")) | {key: "test.white_0dB"}


def test_what_is_off_has_no_noisy_copies_and_no_scores():
    plan = plan_of(noise=WHITE, words=None, retrieval={"split": "val"}, abx={"splits": ["unseen"]})
    assert list(plan.splits.copies) == ["val.white_0dB", "unseen.white_0dB"]
    assert {Path(path).relative_to(plan.root).parts[1] for path in NoisePlan(plan).scores} == {"retrieval", "abx"}
    nothing = NoisePlan(plan_of(noise=WHITE, words=None, retrieval=None, abx=None))
    assert (nothing.scores, nothing.plan.splits.copies) == ([], {})
    with pytest.raises(InputError, match=r"noise\.scores: retrieval, abx, words: the configuration scores nothing"):
        _ = nothing.target


def test_recordings_are_inputs(tmp_path):
    plan = plan_of(noise={"kinds": ["cafe", "white"], "files": {"cafe": str(tmp_path)}, "snr_db": [0]})
    noise = NoisePlan(plan)
    assert noise.files("test.cafe_0dB") == [*plan.splits.corpus_files("test"), str(tmp_path)]
    assert noise.files("test.white_0dB") == plan.splits.corpus_files("test")
    assert [json.loads(noise.added(f"test.{kind}_0dB"))["files"] for kind in ("cafe", "white")] == [str(tmp_path), None]
