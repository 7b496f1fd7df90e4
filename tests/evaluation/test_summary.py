"""The table of all scores, from files like those the scorers write."""

import csv
import json

import pytest

from resdavenet_vq.errors import InputError
from resdavenet_vq.evaluation.summary import WORD_CONDITIONS, summarise


def direction(recall):
    return {f"recall_at_{k}": recall for k in (1, 5, 10)} | {
        "chance_recall_at_10": 0.05,
        "median_rank": 7.0,
        "mean_rank": 9.0,
        "ties": 0,
    }


def retrieval(lineage, there=0.5, back=0.6):
    conditions = {"split": "test", "images": 200, "captions": 201, "similarity": "dot product"}
    return {
        "lineage": lineage,
        "image_to_speech": direction(there),
        "speech_to_image": direction(back),
        "conditions": conditions,
        "examples": {},
    }


def abx(lineage, layer, split, within=1.5):
    bits = (
        {"plain": 100.0, "run_length": 90.0, "factored": 95.0, "segment": 60.0, "rows": 1}
        if layer.startswith("quant")
        else None
    )
    common = {"lineage": lineage, "layer": layer, "split": split, "distance": "angular, DTW", "frame_period": 0.02}
    common["representation"] = f"what {layer} is"
    return common | {"within_error": within, "across_error": None, "items_used": 6000, "bitrate": bits}


def words(lineage, layer):
    conditions = {"layer": layer, "frame_period": 0.02, "stop_words": ["A"], "codebook_size": 1024} | dict.fromkeys(
        WORD_CONDITIONS, 3
    )
    parts = {
        "published": {"detected": 28, "chance": {"detected": 0}},
        "held_out": {"mean_f1_of_best": 0.45, "chance": None},
        "units": {"used": 300},
    }
    return {"lineage": lineage, "conditions": conditions} | parts


@pytest.fixture
def table(tmp_path):
    def write(values):
        paths = [tmp_path / f"{i}.json" for i in range(len(values))]
        for path, value in zip(paths, values, strict=True):
            path.write_text(json.dumps(value))
        summarise(paths, tmp_path / "out/summary.csv")
        with (tmp_path / "out/summary.csv").open(newline="") as f:
            return list(csv.DictReader(f))

    return write


def test_scores_of_the_matchmap_have_columns_of_their_own(table):
    (row,) = table([retrieval("{}"), retrieval("{}", 0.25, 0.75) | {"matchmap": "misa"}])
    assert float(row["mean_recall_at_10"]) == pytest.approx(0.55)
    assert (row["matchmap_misa_image_to_speech_recall_at_5"], row["matchmap_misa_speech_to_image_recall_at_1"]) == (
        "0.25",
        "0.75",
    )
    assert float(row["matchmap_misa_mean_recall_at_10"]) == 0.5
    assert row["retrieval_images"] == "200"


def test_one_row_for_each_lineage_and_layer(table):
    rows = table(
        [
            retrieval("{}"),
            retrieval("{}->{2}", there=0.25, back=0.75),
            *(abx("{}->{2}", layer, split) for layer in ("quant2", "conv3", "conv2") for split in ("test", "abx")),
            abx("{}", "conv2", "test", within=9.25),
            abx("raw log-mel", "logmel", "test"),
            words("{}->{2}", "quant2"),
        ]
    )
    assert [(row["lineage"], row["layer"]) for row in rows] == [
        ("raw log-mel", "logmel"),
        ("{}", "conv2"),
        ("{}->{2}", "conv2"),
        ("{}->{2}", "quant2"),
        ("{}->{2}", "conv3"),
    ]
    logmel, first, _, quant2, _ = rows
    assert (first["mean_recall_at_10"], first["image_to_speech_recall_at_1"], first["abx_test_within"]) == (
        "0.55",
        "0.5",
        "9.25",
    )
    assert (quant2["mean_recall_at_10"], quant2["mean_chance_recall_at_10"], quant2["retrieval_split"]) == (
        "0.5",
        "0.05",
        "test",
    )
    assert (quant2["abx_abx_within"], quant2["abx_test_across"], quant2["abx_test_items"]) == ("1.5", "", "6000")
    assert (quant2["bitrate_test"], quant2["bitrate_abx_segment"], first["bitrate_test"]) == ("100.0", "60.0", "")
    assert (
        quant2["words_published_detected"],
        quant2["words_published_chance_detected"],
        quant2["words_units_used"],
    ) == ("28", "0", "300")
    assert (quant2["words_held_out_mean_f1_of_best"], quant2["words_held_out_chance"], quant2["words_best"]) == (
        "0.45",
        "",
        "3",
    )
    assert (logmel["mean_recall_at_10"], logmel["words_published_detected"], logmel["frame_period"]) == ("", "", "0.02")
    groups = [name.split("_")[0] for name in rows[0]]
    assert sorted(groups, key=groups.index) == groups  # columns of one kind stand together


def test_a_lineage_with_retrieval_alone_has_a_row(table):
    (row,) = table([retrieval("{}")])
    assert (row["lineage"], row["layer"], row["speech_to_image_recall_at_5"]) == ("{}", "", "0.6")


def test_models_that_differ_in_their_seed_have_their_own_rows(tmp_path):
    found = {
        "none/retrieval.json": retrieval("{}", there=0.5),
        "none-seed3/retrieval.json": retrieval("{}", there=0.7),
        "none-seed3/abx/2/conv2.json": abx("{}", "conv2", "2", within=7.0),  # a split may be called what a lineage is
        "2/abx/test/conv2.json": abx("{2}", "conv2", "test"),
        "baseline/abx/test/logmel.json": abx("raw log-mel", "logmel", "test"),
    }
    for name, value in found.items():
        path = tmp_path / "results/23-seed5" / name
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_text(json.dumps(value))

    def rows(seeds, order=1):
        summarise(
            [tmp_path / "results/23-seed5" / name for name in list(found)[::order]], tmp_path / "summary.csv", seeds
        )
        with (tmp_path / "summary.csv").open(newline="") as f:
            return {
                (r["lineage"], r["seed"], r["layer"]): (r["mean_recall_at_10"], r.get("abx_2_within"))
                for r in csv.DictReader(f)
            }

    expected = {
        ("raw log-mel", "", "logmel"): ("", ""),
        ("{}", "42", ""): ("0.55", ""),
        ("{}", "3", "conv2"): ("0.6499999999999999", "7.0"),
        ("{2}", "", "conv2"): ("", ""),
    }
    assert rows({"none": 42, "none-seed3": 3}) == rows({"none": 42, "none-seed3": 3}, order=-1) == expected
    assert rows(None).keys() == {(lineage, seed.replace("42", ""), layer) for lineage, seed, layer in expected}


def test_no_scores_no_rows(table):
    assert table([]) == []


def test_faults_are_all_reported(table, tmp_path):
    with pytest.raises(InputError) as e:
        table(
            [
                {},
                abx("{2}", "quant2", "test"),
                abx("{2}", "quant2", "test", within=3.0),
                [1],
                retrieval("{2}") | {"conditions": None},
            ]
        )
    text = str(e.value)
    assert "0.json: is no score" in text
    assert "2.json: another file says something else of abx_test_within of {2} quant2" in text
    assert "3.json: is no score" in text
    assert "4.json: is no score" in text
    assert not (tmp_path / "out/summary.csv").exists()
    with pytest.raises(InputError, match="no such file"):
        summarise([tmp_path / "absent.json"], tmp_path / "summary.csv")
