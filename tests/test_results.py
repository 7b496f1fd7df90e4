"""What a folder of results holds, by the path convention."""

import json
from dataclasses import replace
from pathlib import Path

import pytest
from encoded import ORIGIN
from report.made_up import abx

from resdavenet_vq import results
from resdavenet_vq.config import ITEMS_OF
from resdavenet_vq.errors import InputError
from resdavenet_vq.evaluation import score_files
from resdavenet_vq.files import write_json
from resdavenet_vq.report import columns


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


def test_abx_is_by_split_and_condition(tmp_path):
    """Triphones in the folder of the split, the others below it, in the order of the conditions."""
    rows = []
    for condition, folder in (("word", "word/"), ("triphone", ""), ("phoneme_any", "phoneme_any/")):
        file = tmp_path / f"2/abx/test/{folder}quant2.json"
        origin = replace(ORIGIN, lineage="{2}", split="test")
        write_json(file, abx(origin, "quant2", 9, quantized=True) | {"condition": condition})
        file.with_suffix(".phones.csv").touch()
        rows.append(file)
    score_files.summarize(rows, "made", {}, tmp_path / "scores.csv", tmp_path / "summary.csv")
    found = results.find(tmp_path, ["2"]).abx
    assert list(found) == [("test", "triphone"), ("test", "phoneme_any"), ("test", "word")]
    assert [[result["condition"] for result in of_split] for of_split in found.values()] == [
        ["triphone"],
        ["phoneme_any"],
        ["word"],
    ]
    assert found["test", "word"][0]["phones"] == tmp_path / "2/abx/test/word/quant2.phones.csv"
    assert {results.TRIPHONES, *columns.ABX_ITEMS} == set(ITEMS_OF), "each has a name on pages"
