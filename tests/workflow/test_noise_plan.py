"""Which noisy copies and scores a configuration asks for, and what each depends on."""

import copy
import json
import re
from pathlib import Path

import pytest
import yaml

from resdavenet_vq import config
from resdavenet_vq.workflow.noise import NoisePlan
from resdavenet_vq.workflow.plan import Plan

LAYERS = [("baseline", "logmel"), ("none-2", "quant2"), ("none-2-23", "quant2"), ("none-2-23", "quant3")]
DEFAULT = yaml.safe_load((Path(__file__).resolve().parents[2] / "config.yaml").read_text())


def planned(noise=None, **sections):
    values = copy.deepcopy(DEFAULT) | ({} if noise is None else {"noise": noise})
    for name, changes in sections.items():
        values[name] = values.get(name, {}) | changes
    return NoisePlan(Plan(config.read(values)))


def names(**options):
    return list(planned(**options).plan.splits.copies)


def test_copies_are_named_by_what_was_added():
    noise = {"kinds": ["white"], "snr_db": [10, -2.5]}
    assert names(noise=noise) == ["test.white_10dB", "abx.white_10dB", "test.white_-2.5dB", "abx.white_-2.5dB"]
    assert len(names()) == 2 * 3 * 2


def test_only_splits_that_are_scored_have_copies():
    noise = {"kinds": ["white"], "snr_db": [0]}
    assert names(noise=noise | {"scores": ["abx"]}, abx={"splits": ["abx"]}) == ["abx.white_0dB"]
    assert names(noise=noise | {"scores": ["words"]}, words={"held_out_split": "val"}) == ["val.white_0dB"]


def test_a_copy_is_scored_where_splits_are_and_as_its_split():
    noise = planned({"kinds": ["white"], "snr_db": [0]}, abx={"splits": ["test"]})
    plan = noise.plan
    assert {path.removeprefix("results/spoken_scenes/") for path in noise.scores} == {
        place.format(split=split)
        for split in ("test", "test.white_0dB")
        for place in (
            *(f"{folder}/retrieval/{{split}}.json" for folder in ("none", "none-2", "none-2-23")),
            *(f"{folder}/abx/{{split}}/{layer}.json" for folder, layer in LAYERS),
            *(f"{folder}/words/{layer}/{{split}}/summary.json" for folder, layer in LAYERS[1:]),
        )
    }
    assert set(plan.retrieval + plan.words) <= set(noise.scores), "clean scores are used, not made again"
    assert set(json.loads(noise.conditions)) == {"test", "test.white_0dB"}
    assert plan.splits.items("test.white_0dB") == plan.splits.items("test")
    for settings, key in ((plan.retrieval_settings, "split"), (plan.words_settings, "held_out_split")):
        assert json.loads(settings("test.white_0dB")) == json.loads(settings("test")) | {key: "test.white_0dB"}


def test_what_is_added_depends_on_its_own_settings_alone():
    some = planned({"seed": 4})
    assert json.loads(some.added("test.white_0dB")) == {
        "kind": "white",
        "snr_db": 0.0,
        "seed": 4,
        "babble_speakers": None,
        "files": None,
    }
    assert some.added("test.white_0dB") == planned({"seed": 4, "babble_speakers": 2, "snr_db": [0]}).added(
        "test.white_0dB"
    )
    assert some.added("test.babble_0dB") != planned({"seed": 4, "babble_speakers": 2}).added("test.babble_0dB")
    assert some.added("test.white_0dB") != planned({"seed": 5}).added("test.white_0dB")


def test_a_copy_is_prepared_as_its_split_but_into_a_store_of_its_own():
    plan = planned(preparation={"reader": "files", "bad_rows": "skip"})
    for name, noisy in plan.plan.splits.copies.items():
        assert json.loads(plan.preparation(name)) == json.loads(plan.plan.splits.preparation(noisy.split)) | {
            "reader": "store"
        }
    assert (
        json.loads(plan.preparation("abx.white_0dB"))["max_frames"]
        > json.loads(plan.preparation("test.white_0dB"))["max_frames"]
    )


def test_recordings_are_inputs(tmp_path):
    plan = planned({"kinds": ["cafe", "white"], "files": {"cafe": str(tmp_path)}, "snr_db": [0]})
    assert plan.files("test.cafe_0dB") == [*plan.plan.splits.corpus_files("test"), str(tmp_path)]
    assert plan.files("test.white_0dB") == plan.plan.splits.corpus_files("test")
    assert json.loads(plan.added("test.cafe_0dB"))["files"] == str(tmp_path)
    assert json.loads(plan.added("test.white_0dB"))["files"] is None


@pytest.mark.parametrize(
    ("noise", "message"),
    [
        ({"kinds": ["pink"]}, "noise.kinds: 'pink' is none of white, babble; name its recordings in noise.files"),
        ({"kinds": ["white", "white"]}, "noise.kinds: white is listed twice"),
        ({"snr_db": [0, 10, 0]}, "noise.snr_db: 0.0 is listed twice"),
        ({"files": {"babble": "x"}}, "noise.files.babble: is generated, not read"),
        ({"snr_db": ["loud"]}, "noise.snr_db.0: input should be a valid number, not 'loud'"),
        ({"snr": [0]}, "noise.snr: no such key; did you mean 'snr_db'?"),
        ({"scores": ["words", "bitrate"]}, "noise.scores.1: input should be"),
    ],
)
def test_faults_are_named(noise, message):
    with pytest.raises(config.InputError, match=re.escape(message)):
        planned(noise)
