"""The table of scores under noise, from files like those the scorers write."""

import csv
import json

import pytest

from resdavenet_vq.errors import InputError
from resdavenet_vq.evaluation import noise_table

CONDITIONS = {
    "test": {"of": "test", "kind": "clean", "snr_db": None},
    "test.white_20dB": {"of": "test", "kind": "white", "snr_db": 20.0},
    "test.white_0dB": {"of": "test", "kind": "white", "snr_db": 0.0},
    "test.babble_0dB": {"of": "test", "kind": "babble", "snr_db": 0.0},
    "abx": {"of": "abx", "kind": "clean", "snr_db": None},
    "abx.white_0dB": {"of": "abx", "kind": "white", "snr_db": 0.0},
}


def retrieval(lineage, split, there, back):
    return {
        "lineage": lineage,
        "image_to_speech": {"recall_at_10": there, "chance_recall_at_10": 0.1},
        "speech_to_image": {"recall_at_10": back, "chance_recall_at_10": 0.1},
        "conditions": {"split": split},
    }


def abx(lineage, split, layer, within):
    return {"lineage": lineage, "split": split, "layer": layer, "within_error": within, "across_error": within + 1}


def words(lineage, held_out, layer, above):
    part = {"words": 40, "words_above_f1": above, "mean_f1": above / 40}
    return {
        "lineage": lineage,
        "layer": layer,
        "split": "train",
        "held_out_split": held_out,
        "published": {},
        "held_out": part,
    }


def table(folder, files, **more):
    """The rows of the table of {path: score}."""
    for name, value in files.items():
        (folder / name).parent.mkdir(parents=True, exist_ok=True)
        (folder / name).write_text(json.dumps(value))
    noise_table.write([folder / name for name in files], CONDITIONS, folder / "noise.csv", **more)
    with (folder / "noise.csv").open(newline="") as f:
        return list(csv.DictReader(f))


def keys(rows):
    return [(row["lineage"], row["seed"], row["layer"], row["kind"], row["snr_db"]) for row in rows]


def test_a_row_for_each_lineage_layer_kind_and_ratio_from_clean_to_the_loudest(tmp_path):
    rows = table(
        tmp_path,
        {
            "none/retrieval.json": retrieval("{}", "test", 0.8, 0.8),
            "2/retrieval.json": retrieval("{2}", "test", 0.5, 0.7),
            "2/noise/a.json": retrieval("{2}", "test.white_0dB", 0.2, 0.3),
            "2/noise/b.json": retrieval("{2}", "test.white_20dB", 0.4, 0.5),
            "2/words.json": words("{2}", "test", "quant2", 20),
            "2/noise/words.json": words("{2}", "test.babble_0dB", "quant2", 3),
            "2/abx.json": abx("{2}", "abx", "quant2", 4.5),
            "2/noise/abx.json": abx("{2}", "abx.white_0dB", "quant2", 30.5),
            "baseline/abx.json": abx("raw log-mel", "abx", "logmel", 9.0),
        },
    )
    assert keys(rows) == [
        ("raw log-mel", "", "logmel", "clean", ""),
        ("{}", "", "", "clean", ""),
        ("{2}", "", "quant2", "clean", ""),
        ("{2}", "", "quant2", "white", "20.0"),
        ("{2}", "", "quant2", "white", "0.0"),
        ("{2}", "", "quant2", "babble", "0.0"),
    ]
    clean, quiet, loud, babble = rows[2:]
    assert float(clean["mean_recall_at_10"]) == pytest.approx(0.6)
    assert (clean["image_to_speech_recall_at_10"], loud["speech_to_image_recall_at_10"]) == ("0.5", "0.3")
    assert (clean["abx_abx_within"], clean["abx_abx_across"], loud["abx_abx_within"], quiet["abx_abx_within"]) == (
        "4.5",
        "5.5",
        "30.5",
        "",
    )
    assert (clean["words"], clean["words_above_f1"], babble["words_above_f1"], babble["mean_recall_at_10"]) == (
        "40",
        "20",
        "3",
        "",
    )
    assert float(babble["words_mean_f1"]) == 3 / 40
    assert {name: clean[name] for name in clean if "chance" in name} == {"mean_chance_recall_at_10": "0.1"}


def test_seeds_stand_apart(tmp_path):
    files = {f"{folder}/retrieval.json": retrieval("{2}", "test", 0.5, 0.7) for folder in ("2", "2-seed7")}
    assert [row["seed"] for row in table(tmp_path, files, seeds={"2": 3})] == ["3", "7"]


def test_a_model_without_images_has_no_retrieval(tmp_path):
    (row,) = table(
        tmp_path, {"2/r.json": {"lineage": "{2}", "not_available": "no image branch", "conditions": {"split": "test"}}}
    )
    assert keys([row]) == [("{2}", "", "", "clean", "")]


def test_all_that_is_no_such_score_is_named(tmp_path):
    files = {"a.json": [1], "b.json": retrieval("{2}", "test.pink_3dB", 0, 0), "c.json": retrieval("{2}", "test", 0, 0)}
    with pytest.raises(
        InputError, match=r"(?s)a\.json: is no score of these splits .*b\.json: .*no 'test.pink_3dB'"
    ) as caught:
        table(tmp_path, files)
    assert "c.json" not in str(caught.value)
    assert not (tmp_path / "noise.csv").exists()
