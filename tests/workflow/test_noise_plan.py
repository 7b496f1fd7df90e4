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

DEFAULT = yaml.safe_load((Path(__file__).resolve().parents[2] / "config.yaml").read_text())


def planned(noise=None, **sections):
    values = copy.deepcopy(DEFAULT) | ({} if noise is None else {"noise": noise})
    for name, changes in sections.items():
        values[name] = values.get(name, {}) | changes
    return NoisePlan(Plan(config.read(values)))


def test_copies_are_named_by_what_was_added():
    plan = planned({"kinds": ["white"], "snr_db": [10, -2.5]})
    assert list(plan.copies) == ["test.white_10dB", "abx.white_10dB", "test.white_-2.5dB", "abx.white_-2.5dB"]
    assert [name for name in (*plan.copies, "test", "test.white_5dB") if re.fullmatch(plan.pattern, name)] == list(
        plan.copies
    )
    assert len(planned().copies) == 2 * 3 * 2


def test_only_splits_of_wanted_scores_have_copies():
    assert set(planned({"scores": ["abx"], "abx_splits": ["abx"], "kinds": ["white"], "snr_db": [0]}).copies) == {
        "abx.white_0dB"
    }
    assert set(
        planned({"scores": ["words"], "kinds": ["white"], "snr_db": [0]}, words={"held_out_split": "val"}).copies
    ) == {"val.white_0dB"}


def test_scores_without_noise_keep_their_places():
    plan = planned({"kinds": ["white"], "snr_db": [0]}, abx={"splits": ["test"]})
    root = "results/spoken_scenes"
    assert set(plan.scores) == {
        *(
            f"{root}/{folder}/{part}retrieval.json"
            for folder in ("none", "none-2", "none-2-23")
            for part in ("", "noise/test.white_0dB/")
        ),
        *(
            f"{root}/{folder}/{place.format(layer=layer)}"
            for folder, layer in (("none-2", "quant2"), ("none-2-23", "quant2"), ("none-2-23", "quant3"))
            for place in (
                "abx/test/{layer}.json",
                "noise/test.white_0dB/abx/{layer}.json",
                "words/{layer}/summary.json",
                "noise/test.white_0dB/words/{layer}/summary.json",
            )
        ),
        f"{root}/baseline/abx/test/logmel.json",
        f"{root}/baseline/noise/test.white_0dB/abx/logmel.json",
    }
    assert set(plan.plan.retrieval + plan.plan.words) <= set(plan.scores), (
        "what the rest of the workflow makes is used, not made again"
    )
    assert set(json.loads(plan.conditions)) == {"test", "test.white_0dB"}


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
    for name, noisy in plan.copies.items():
        assert json.loads(plan.preparation(name)) == json.loads(plan.plan.preparation(noisy.split)) | {
            "reader": "store"
        }
    assert (
        json.loads(plan.preparation("abx.white_0dB"))["max_frames"]
        > json.loads(plan.preparation("test.white_0dB"))["max_frames"]
    )


def test_words_and_retrieval_are_scored_on_the_copy():
    plan = planned()
    words = json.loads(plan.words("test.white_0dB"))
    assert (words["split"], words["held_out_split"]) == ("train", "test.white_0dB")
    assert json.loads(plan.retrieval("test.white_0dB")) == {"split": "test.white_0dB", "recall_at": [1, 5, 10]}


def test_recordings_are_inputs(tmp_path):
    (tmp_path / "a.wav").touch()
    plan = planned({"kinds": ["cafe", "white"], "files": {"cafe": str(tmp_path)}, "snr_db": [0]})
    assert plan.files("test.cafe_0dB") == [*plan.plan.corpus_files("test"), str(tmp_path / "a.wav")]
    assert plan.files("test.white_0dB") == plan.plan.corpus_files("test")
    assert json.loads(plan.added("test.cafe_0dB"))["files"] == str(tmp_path)
    assert json.loads(plan.added("test.white_0dB"))["files"] is None


@pytest.mark.parametrize(
    ("noise", "message"),
    [
        ({"kinds": ["pink"]}, "noise.kinds: 'pink' is none of white, babble; name its recordings in noise.files"),
        ({"kinds": ["white", "white"]}, "noise.kinds: white stands in it twice"),
        ({"snr_db": [0, 10, 0]}, "noise.snr_db: 0.0 stands in it twice"),
        ({"files": {"babble": "x"}}, "noise.files.babble: is made, not read"),
        ({"abx_splits": ["val"]}, "noise.abx_splits: 'val' does not stand in abx.splits"),
        ({"snr_db": ["loud"]}, "noise.snr_db.0: input should be a valid number, not 'loud'"),
        ({"snr": [0]}, "noise.snr: no such key; did you mean 'snr_db'?"),
        ({"scores": ["words", "bitrate"]}, "noise.scores.1: input should be"),
    ],
)
def test_faults_are_named(noise, message):
    with pytest.raises(config.InputError, match=re.escape(message)):
        planned(noise)
