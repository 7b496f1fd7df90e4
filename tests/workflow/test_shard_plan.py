"""What shards' jobs are given: which splits have some, and what makes one stale."""

import json
import os
import re
from pathlib import Path

import pytest
import yaml

from resdavenet_vq import config
from resdavenet_vq.errors import InputError
from resdavenet_vq.workflow.plan import Plan
from resdavenet_vq.workflow.shards import ScatterPlan

REPO = Path(__file__).resolve().parents[2]


def scatter(file="config.yaml", corpus=None, preparation=None):
    values = yaml.safe_load((REPO / file).read_text())
    values["corpus"] |= corpus or {}
    values["preparation"] = values.get("preparation", {}) | (preparation or {})
    return ScatterPlan(Plan(config.read(values)))


def test_splits_are_whole_unless_asked():
    plain = scatter()
    for some in (plain.preparing, plain.making):
        assert not re.fullmatch(some.pattern, "train")
        assert some.of("train") == 1
        assert re.fullmatch(f"data/({some.whole_pattern})\\.h5", "data/train.h5")


@pytest.mark.parametrize("suffix", [".h5", ".report.json"])
def test_every_split_is_either_whole_or_divided(suffix):
    some = scatter(preparation={"shards": {"train": 3, "val": 1}}).preparing
    for split, shards in {"train": 3, "val": 1, "test": 1, "abx": 1}.items():
        assert some.of(split) == shards == len(some.files(split, suffix))
        assert bool(re.fullmatch(f"(?:{some.pattern}){re.escape(suffix)}", split + suffix)) == (shards > 1)
        assert bool(re.fullmatch(f"(?:{some.whole_pattern}){re.escape(suffix)}", split + suffix)) == (shards == 1)
    for other in ("train2", "train.noisy", "my_train"):  # copies with noise and the like
        assert re.fullmatch(f"(?:{some.whole_pattern}){re.escape(suffix)}", other + suffix)
    everywhere = scatter(preparation={"shards": 7}).preparing
    assert {everywhere.of(split) for split in ("train", "abx")} == {7}
    assert everywhere.files("val", suffix)[6] == f"results/spoken_scenes/data/val/6{suffix}"


@pytest.mark.parametrize("shards", [0, -1, 1.5, "many", {"train": 0}, {"trian": 2}])
def test_faulty_numbers_of_shards_are_named(shards):
    for where in ("corpus", "preparation"):
        with pytest.raises(InputError, match=rf"{where}\.shards(\.train)?: ") as caught:
            scatter(**{where: {"shards": shards}})
        assert "constrained" not in str(caught.value)


def test_shards_reach_no_command_that_they_do_not_concern():
    one, many = scatter(), scatter(corpus={"shards": 5}, preparation={"shards": 9})
    for split in ("train", "abx"):
        assert one.plan.preparation(split) == many.plan.preparation(split)
        assert one.plan.corpus_of(split) == many.plan.corpus_of(split)
        assert "shards" not in one.plan.preparation(split) + one.plan.corpus_of(split)
    assert config.Preparation.from_json(many.preparation("train")).bad_rows == "stop"


def test_the_policy_for_bad_rows_makes_no_shard_stale():
    assert scatter(preparation={"bad_rows": "skip"}).preparation("train") == scatter().preparation("train")
    assert scatter(preparation={"max_frames": 5}).preparation("train") != scatter().preparation("train")


@pytest.mark.parametrize(("split", "number"), [("train", 2000), ("abx", 200)])
def test_shards_of_the_demo_corpus_share_its_utterances(split, number):
    some = scatter(corpus={"shards": 7})
    numbers = [range(*map(int, some.corpus_numbers(split, str(shard)).split(":"))) for shard in range(7)]
    assert sorted(n for own in numbers for n in own) == list(range(number))
    assert config.SpokenScenes.from_json(some.corpus_settings(split)).splits[-1] == split


def test_more_pairs_concern_the_shards_that_get_them():
    few, more = (scatter(corpus={"shards": 4, "pairs": {"train": n, "val": 5, "test": 5}}) for n in (10, 11))
    assert few.corpus_settings("train") == more.corpus_settings("train")
    changed = [s for s in "0123" if few.corpus_numbers("train", s) != more.corpus_numbers("train", s)]
    assert changed == ["2"]
    assert (
        scatter(corpus={"shards": 99, "pairs": {"train": 3, "val": 5, "test": 5}}).corpus_numbers("train", "50")
        == "50:0:99"
    )


def test_media_that_are_made_here_make_shards_stale_and_imported_ones_do_not():
    assert scatter().media("train") != scatter(corpus={"seed": 2}).media("train")
    assert scatter().media_code == ("demo.corpus",)
    imported = scatter("configs/places.yaml")
    assert (imported.media("train"), imported.media_code) == ("", ())


def test_digests_are_read_again_when_they_were_dealt_again(tmp_path):
    some, dealt = scatter(preparation={"shards": 2}).preparing, tmp_path / "rows.json"
    dealt.write_text(json.dumps({"order": "o", "shards": ["a", "b"]}))
    assert (some.digest(str(dealt)), some.digest(str(dealt), "1")) == ("o", "b")
    dealt.write_text(json.dumps({"order": "p", "shards": ["a", "c"]}))
    os.utime(dealt, ns=(1, 1))
    assert (some.digest(str(dealt)), some.digest(str(dealt), 1)) == ("p", "c")
