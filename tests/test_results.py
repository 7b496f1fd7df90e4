"""What a folder of results holds, by the path convention."""

import json
from dataclasses import replace
from pathlib import Path

import pytest
from encoded import ORIGIN

from resdavenet_vq import results
from resdavenet_vq.errors import InputError


def test_a_split_is_one_file_or_the_folder_of_its_parts(tmp_path, monkeypatch):
    monkeypatch.setattr(results, "Store", Path)
    (tmp_path / "data/train").mkdir(parents=True)
    (tmp_path / "data/test.h5").touch()
    holder = results.find(tmp_path, [])
    stores = [holder.store(split) for split in ("train", "test", "val")]
    assert stores == [tmp_path / "data/train", tmp_path / "data/test.h5", None]


def test_scores_are_those_of_a_split_and_a_noisy_copy_is_another(tmp_path):
    for split in ("test", "test.white_0dB"):
        file = tmp_path / f"none/retrieval/{split}.json"
        file.parent.mkdir(parents=True, exist_ok=True)
        score = {"lineage": "{}", "not_available": "no images", "conditions": {"split": split}}
        file.write_text(json.dumps(score | {"origin": replace(ORIGIN, split=split).to_dict()}))
    (model,) = results.find(tmp_path, ["none"]).models
    scores = [model.retrieval(split) for split in ("test", "test.white_0dB", "val")]
    assert [score and score["split"] for score in scores] == ["test", "test.white_0dB", None]


def test_a_name_that_no_lineage_has_is_refused(tmp_path):
    with pytest.raises(InputError, match="system '32'"):
        results.find(tmp_path, ["none", "32"])
