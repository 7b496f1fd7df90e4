"""Score files to tables, from files like those the scorers write."""

import hashlib
import json
import re
from dataclasses import replace

import pandas as pd
import pytest
from encoded import ORIGIN

from resdavenet_vq.errors import InputError
from resdavenet_vq.evaluation import comparison, score_files
from resdavenet_vq.evaluation.comparison import compare
from resdavenet_vq.evaluation.summary import COLUMNS, KEYS, read_comparison, read_differences, read_noise, read_scores

NOISE = {
    "test": {"of": "test", "kind": "clean", "snr_db": None},
    "test.white_20dB": {"of": "test", "kind": "white", "snr_db": 20.0},
    "test.white_0dB": {"of": "test", "kind": "white", "snr_db": 0.0},
    "test.babble_0dB": {"of": "test", "kind": "babble", "snr_db": 0.0},
}

EXAMPLES = {"image_to_speech": {"hits": [], "misses": []}, "speech_to_image": {"hits": [], "misses": []}}


def origin(lineage, split="test", model=None):
    """Of the files that were scored; each lineage has a model of its own."""
    model = "" if lineage == "raw log-mel" else model or hashlib.sha256(lineage.encode()).hexdigest()
    return {"lineage": lineage, "origin": replace(ORIGIN, model=model, lineage=lineage, split=split).to_dict()}


def retrieval(lineage, forth=0.5, back=0.6, split="test", **more):
    directions = {
        name: {
            "recall_at_1": recall / 2,
            "recall_at_10": recall,
            "chance_recall_at_1": 0.005,
            "chance_recall_at_10": 0.05,
        }
        | {"median_rank": 7.0, "mean_rank": 9.0, "queries": 200, "items": 200, "ties": 0}
        for name, recall in (("image_to_speech", forth), ("speech_to_image", back))
    }
    task = f"retrieval_{more['matchmap']}" if "matchmap" in more else "retrieval"
    intervals = {"intervals": {f"{task}|{split}|mean|recall_at_10": [0.45, 0.65]}}
    conditions = intervals | {"conditions": {"split": split, "images": 200}, "examples": EXAMPLES}
    return origin(lineage, split) | directions | conditions | more


def abx(lineage, layer, split="test", within=1.5, **more):
    bits = {"plain": 100.0, "run_length": 90.0, "factored": 95.0, "segment": 60.0, "units_per_second": 12.0, "rows": 1}
    keys = origin(lineage, split) | {"layer": layer, "split": split, "distance": "angular, DTW", "frame_period": 0.02}
    scores = {"within_error": within, "across_error": None, "items": 6001, "items_used": 6000}
    scores |= {"representation": "made up", "items_dropped": {"short": 1}, "intervals": {}}
    return keys | scores | {"bitrate": bits if layer.startswith("quant") else None} | more


def words(lineage, layer, held_out_split="test", above=20, **more):
    keys = origin(lineage, "train") | {"layer": layer, "split": "train", "held_out_split": held_out_split, "best": 250}
    counts = {"frame_period": 0.02, "utterances": 300, "held_out_utterances": 100, "f1_threshold": 0.5}
    published = {"words": 80, "words_above_f1": 30, "mean_f1": 0.4, "words_above_precision": 9}
    scores = {
        "published": published | {"chance": {"words": 80, "words_above_f1": 1, "mean_f1": 0.5}},
        "held_out": {"words": 40, "words_above_f1": above, "mean_f1": above / 40, "chance": None},
        "units": {"perplexity": 30.5, "words": {"purity": 0.25, "boundaries": {"found": 7}}},
        "intervals": {f"words|{held_out_split}|held_out|words_above_f1": [15.5, 24.5]},
    }
    return keys | counts | scores | more


def write(folder, files):
    for name, value in files.items():
        (folder / name).parent.mkdir(parents=True, exist_ok=True)
        (folder / name).write_text(json.dumps(value))
    return [folder / name for name in files]


@pytest.fixture
def tables(tmp_path):
    """scores.csv and its pivot, of some score files."""

    def summarize(files, seeds=None):
        named = files if isinstance(files, dict) else {f"{i}.json": value for i, value in enumerate(files)}
        paths = write(tmp_path, named)
        score_files.summarize(paths, "places", seeds or {}, tmp_path / "out/scores.csv", tmp_path / "out/summary.csv")
        wide = pd.read_csv(tmp_path / "out/summary.csv", keep_default_na=False)
        return read_scores(tmp_path / "out/scores.csv"), wide

    return summarize


def number(scores, lineage, layer, split, *rest):
    """The value and n of the one row with these keys."""
    names = ["lineage", "layer", "split", "task", "condition", "score"]
    (row,) = scores[(scores[names] == [lineage, layer, split, *rest]).all(axis=1)].itertuples()
    return row.value, None if row.n is pd.NA else row.n


def test_every_score_has_its_row(tables):
    scores, _ = tables(
        [
            *(retrieval("{}"), retrieval("{}", 0.25, 0.75, matchmap="misa"), abx("{}", "conv2", within=9.25)),
            *(abx("{2}", layer, split) for layer in ("quant2", "conv3", "conv2") for split in ("test", "abx")),
            *(abx("raw log-mel", "logmel"), words("{2}", "quant2")),
        ]
    )
    assert list(scores.columns) == list(COLUMNS)
    assert set(scores["corpus"]) == {"places"}
    assert list(dict.fromkeys(zip(scores["lineage"], scores["layer"], strict=True))) == [
        *(("raw log-mel", "logmel"), ("{}", ""), ("{}", "conv2")),
        *(("{2}", "conv2"), ("{2}", "quant2"), ("{2}", "conv3")),
    ]
    for expected, *key in (
        ((0.25, 200), "{}", "", "test", "retrieval", "image_to_speech", "recall_at_1"),
        ((7.0, 200), "{}", "", "test", "retrieval", "speech_to_image", "median_rank"),
        ((0.55, 400), "{}", "", "test", "retrieval", "mean", "recall_at_10"),
        ((0.05, 400), "{}", "", "test", "retrieval", "mean", "chance_recall_at_10"),
        ((0.75, 200), "{}", "", "test", "retrieval_misa", "speech_to_image", "recall_at_10"),
        ((9.25, 6000), "{}", "conv2", "test", "abx", "within", "error"),
        ((100.0, None), "{2}", "quant2", "abx", "bitrate", "plain", "bits_per_second"),
        ((9, 300), "{2}", "quant2", "train", "words", "published", "words_above_precision"),
        ((0.5, 300), "{2}", "quant2", "train", "words", "published", "chance_mean_f1"),
        ((20, 100), "{2}", "quant2", "test", "words", "held_out", "words_above_f1"),
        ((30.5, 300), "{2}", "quant2", "train", "units", "", "perplexity"),
        ((0.25, 300), "{2}", "quant2", "train", "units", "words", "purity"),
        ((7, 300), "{2}", "quant2", "train", "units", "words", "boundaries_found"),
        ((0.02, None), "{2}", "quant2", "", "layer", "", "frame_period"),
    ):
        assert number(scores, *key) == expected
    assert not (scores["condition"] == "across").any()  # not a number: no row


def test_abx_in_other_conditions_has_rows_of_its_own(tables):
    """With the items of each condition, and one bitrate for all."""
    kinds = {"triphone": (1.5, 6000), "phoneme": (2.5, 5000), "phoneme_any": (9.5, 5000), "word": (0.5, 900)}
    files = {
        f"none-2/abx/test/{kind}/quant2.json": abx(
            "{}->{2}", "quant2", within=error, condition=kind, across_error=error + 1, items_used=n
        )
        for kind, (error, n) in kinds.items()
    }
    scores, wide = tables(files)
    for kind, (error, n) in kinds.items():
        prefix = "" if kind == "triphone" else f"{kind}_"
        for task, value in ((f"{prefix}within", error), (f"{prefix}across", error + 1)):
            assert number(scores, "{}->{2}", "quant2", "test", "abx", task, "error") == (value, n)
    assert (scores["task"] == "bitrate").sum() == 5  # of each kind one, and units a second
    assert len(wide) == 1


@pytest.mark.parametrize("direction", ["image_to_speech", "speech_to_image"])
def test_a_recall_of_one_direction_alone_is_no_score(tables, direction):
    value = retrieval("{2}")
    del value[direction]["recall_at_1"]
    with pytest.raises(InputError, match=r"a\.json: is no score of this software .*other recalls of captions"):
        tables({"a.json": value})


def test_another_condition_of_abx_is_no_score(tables):
    with pytest.raises(InputError, match=r"is no score of this software \(condition: "):
        tables([abx("{2}", "quant2", condition="diphone")])


def test_syllables_are_a_tier_of_units(tables):
    about = {"units": {"perplexity": 3.0, "syllables": {"nmi": 0.5, "boundaries": {"r_value": 0.25}}}}
    scores, _ = tables([words("{2}", "quant2", **about)])
    key = "{2}", "quant2", "train", "units"
    assert number(scores, *key, "syllables", "nmi") == (0.5, 300)
    assert number(scores, *key, "syllables", "boundaries_r_value") == (0.25, 300)


def test_intervals_stand_beside_their_scores_and_are_required(tables, tmp_path):
    scores, _ = tables([retrieval("{2}"), retrieval("{2}", matchmap="misa"), words("{2}", "quant2")])
    known = scores.dropna(subset="low")[["task", "condition", "score", "low", "high"]]
    assert known.to_numpy().tolist() == [
        ["retrieval", "mean", "recall_at_10", 0.45, 0.65],
        ["retrieval_misa", "mean", "recall_at_10", 0.45, 0.65],
        ["words", "held_out", "words_above_f1", 15.5, 24.5],
    ]
    for name, value in (
        ("retrieval", retrieval("{2}")),
        ("abx", abx("{2}", "quant2")),
        ("words", words("{2}", "quant2")),
    ):
        key = "a|b|c|d"
        for broken in (None, {key: [1]}, {key: [2, 1]}, {key: [1, None]}):
            other = {k: v for k, v in value.items() if k != "intervals"} | ({"intervals": broken} if broken else {})
            (tmp_path / f"{name}.json").write_text(json.dumps(other))
            with pytest.raises(InputError, match=rf"{name}\.json: is no score of this software .*intervals"):
                score_files.read(tmp_path / f"{name}.json")


def test_the_summary_has_a_row_a_layer_and_a_column_a_score(tables):
    _, wide = tables([retrieval("{2}"), words("{2}", "quant2"), abx("{2}", "conv2")])
    assert wide[["lineage", "layer"]].to_numpy().tolist() == [["{2}", ""], ["{2}", "conv2"], ["{2}", "quant2"]]
    assert wide["retrieval test mean recall_at_10"].tolist() == ["0.55", "", ""]
    assert wide["words test held_out words_above_f1"].tolist() == ["", "", "20"]
    assert wide["units train perplexity"].tolist() == ["", "", "30.5"]


def test_models_that_differ_in_their_seed_have_their_own_rows(tables):
    files = {
        "23-seed5/none/retrieval/test.json": retrieval("{}", 0.5),
        "23-seed5/none-seed3/retrieval/test.json": retrieval("{}", 0.7) | origin("{}", model="3"),
        "23-seed5/none-seed3/abx/2/conv2.json": abx("{}", "conv2", "2")
        | origin("{}", "2", model="3"),  # as a lineage is called
        "23-seed5/2/abx/test/conv2.json": abx("{2}", "conv2"),
        "23-seed5/baseline/abx/test/logmel.json": abx("raw log-mel", "logmel"),
    }

    def values(seeds, order=1):
        scores, wide = tables(dict(list(files.items())[::order]), seeds)
        assert set(wide["seed"]) == set(scores["seed"].astype("string").fillna(""))
        recall = scores[(scores["condition"] == "image_to_speech") & (scores["score"] == "recall_at_10")]
        return set(scores["seed"].dropna()), dict(zip(recall["seed"].fillna(-1), recall["value"], strict=True))

    assert values({"none": 42, "none-seed3": 3}) == ({3, 42}, {42: 0.5, 3: 0.7})
    assert values({"none": 42}, order=-1) == ({3, 42}, {42: 0.5, 3: 0.7})
    assert values(None) == ({3}, {-1: 0.5, 3: 0.7})


def test_no_scores_no_rows(tables):
    scores, wide = tables([origin("{}") | {"not_available": "no images", "conditions": {"split": "test"}}])
    assert (len(scores), len(wide), len(compare(scores, {}))) == (0, 0, 0)


REASON = "the split has no aligned words"


def test_what_is_not_available_has_no_rows_and_the_rest_has(tables):
    none = abx("{2}", "quant2", within=None, items=0, items_used=0, not_available="the split has no aligned phones")
    held_out = words("{2}", "quant2", held_out=None, not_available={"held_out": REASON})
    both = dict.fromkeys(["published", "held_out"])
    bare = words("{}", "quant2", **both, not_available=dict.fromkeys(both, REASON))
    bare |= {"utterances": 0, "utterances_without_alignment": 300}
    bare["units"].pop("words")
    scores, wide = tables([none, held_out, bare])
    of_task = {name: rows["task"].value_counts().to_dict() for name, rows in scores.groupby("lineage")}
    assert of_task == {"{}": {"layer": 1, "units": 1}, "{2}": {"layer": 1, "bitrate": 5, "words": 7, "units": 3}}
    assert set(scores.query("task == 'words'")["condition"]) == {"published"}
    assert number(scores, "{}", "quant2", "train", "units", "", "perplexity") == (30.5, 300)
    assert wide[["lineage", "layer"]].to_numpy().tolist() == [["{2}", "quant2"], ["{}", "quant2"]]


@pytest.mark.parametrize(
    "value",
    [
        words("{2}", "quant2", published=None),
        words("{2}", "quant2", held_out=None, not_available={"published": REASON, "held_out": REASON}),
        words("{2}", "quant2", not_available={"held_out": REASON}),
        words("{2}", "quant2", held_out=None, not_available="no words"),
        abx("{2}", "quant2", not_available="the split has no aligned phones"),
    ],
)
def test_what_is_not_available_has_a_reason_and_no_scores(tmp_path, value):
    (tmp_path / "a.json").write_text(json.dumps(value))
    with pytest.raises(InputError, match=r"a\.json: is no score of this software"):
        score_files.read(tmp_path / "a.json")


def test_nothing_evaluated_makes_tables_of_a_header_each(tmp_path):
    names = ("scores", "summary", "comparison", "differences")
    scores, pivot, spread, differences = (tmp_path / f"{name}.csv" for name in names)
    score_files.summarize([], "places", {}, scores, pivot)
    comparison.write(scores, [], {}, spread, differences)
    assert read_scores(scores).empty
    assert read_comparison(spread).empty
    assert read_differences(differences).empty
    assert pivot.read_text() == "lineage,seed,layer\n"


def test_one_number_may_be_in_two_files(tables):
    scores, _ = tables([words("{2}", "quant2"), words("{2}", "quant2", "test.white_0dB", above=3)])
    assert (scores["condition"] == "published").sum() == 7


def test_faults_are_all_reported(tables, tmp_path):
    files = {
        "0.json": {},
        "2/1.json": abx("{2}", "quant2"),
        "2/2.json": abx("{2}", "quant2", within=3.0),
        "3.json": [1],
        "4.json": retrieval("{2}") | {"conditions": None},
        "2-seed5/5.json": abx("{2}", "quant2", distance="identical, DTW") | origin("{2}", model="5"),
        "2/6.json": words("{2}", "quant2"),
        "2-seed5/6.json": words("{2}", "quant2", f1_threshold=0.4) | origin("{2}", "train", "5"),
    }
    with pytest.raises(InputError) as e:
        tables(files)
    text = str(e.value)
    for name in ("0", "3", "4"):
        assert f"{name}.json: is no score of this software" in text
    assert "2/2.json: another file says something else of {2} abx quant2 test within error" in text
    assert "2-seed5/5.json: distance is 'identical, DTW', and 'angular, DTW' in" in text
    assert "2-seed5/6.json: f1_threshold is 0.4, and 0.5 in" in text
    assert len(text.splitlines()) == 6
    assert not (tmp_path / "out/scores.csv").exists()
    with pytest.raises(InputError, match="no such file"):
        score_files.collect([tmp_path / "absent.json"], "places", {})


def noise_table(folder, files, **seeds):
    score_files.summarize_noise(write(folder, files), "places", NOISE, seeds, folder / "noise.csv")
    return read_noise(folder / "noise.csv")


def test_noisy_copies_follow_their_split_from_clean_to_the_loudest(tmp_path):
    files = {
        "2/retrieval/c.json": retrieval("{2}", 0.2, 0.3, "test.white_0dB"),
        "2/retrieval/b.json": retrieval("{2}", 0.4, 0.5, "test.white_20dB"),
        "2/retrieval/a.json": retrieval("{2}", 0.5, 0.7),
        "2/words/b.json": words("{2}", "quant2", "test.babble_0dB", above=3),
        "2/words/a.json": words("{2}", "quant2"),
        "2-seed7/retrieval/a.json": retrieval("{2}") | origin("{2}", model="7"),
        "baseline/abx.json": abx("raw log-mel", "logmel", "test.white_0dB"),
    }
    noise = noise_table(tmp_path, files, **{"2": 3})
    assert not noise.duplicated(list(KEYS)).any()
    assert set(noise["clean_split"]) == {"test"}
    condition = noise[["lineage", "seed", "task", "kind", "snr_db"]].astype(object).fillna("").drop_duplicates()
    assert list(condition.itertuples(index=False, name=None)) == [
        ("raw log-mel", "", "abx", "white", 0.0),
        ("{2}", 3, "retrieval", "clean", ""),
        ("{2}", 3, "retrieval", "white", 20.0),
        ("{2}", 3, "retrieval", "white", 0.0),
        ("{2}", 3, "words", "clean", ""),
        ("{2}", 3, "words", "babble", 0.0),
        ("{2}", 7, "retrieval", "clean", ""),
    ]
    above = noise.loc[noise["score"] == "words_above_f1", ["condition", "kind", "value"]]
    assert above.to_numpy().tolist() == [["held_out", "clean", 20.0], ["held_out", "babble", 3.0]]


def test_all_that_is_no_score_of_these_splits_is_named(tmp_path):
    files = {"a.json": [1], "b.json": retrieval("{2}", split="test.pink_3dB"), "c.json": retrieval("{2}")}
    with pytest.raises(InputError, match=r"(?s)a\.json: is no score .*b\.json: is no score .*'test.pink_3dB'") as e:
        noise_table(tmp_path, files)
    assert "c.json" not in str(e.value)
    assert not (tmp_path / "noise.csv").exists()


def test_scores_of_another_model_never_share_a_row(tables, tmp_path):
    """Of one lineage and seed, in another lineage's folder, under another seed, and of another split or no model."""
    copied = retrieval("{2}", 0.3)
    files = {
        "2/retrieval/a.json": retrieval("{2}"),
        "2/abx/test/quant2.json": abx("{2}", "quant2") | origin("{2}", model="other"),
        "2-seed7/retrieval/a.json": copied,
        "3/retrieval/a.json": copied,
        "3/retrieval/b.json": retrieval("{3}") | {"lineage": "{2}"},
        "2/abx/test/conv2.json": abx("{2}", "conv2") | origin("{2}", "train"),
        "2/retrieval/b.json": {name: value for name, value in copied.items() if name != "origin"},
        "baseline/retrieval/b.json": copied,
    }
    with pytest.raises(InputError) as e:
        tables(files)
    lines = str(e.value).splitlines()
    for line, (name, fault) in zip(
        lines,
        [
            ("2/abx/test/quant2.json", "is of the model other, and .*2/retrieval/a.json of"),
            ("2-seed7/retrieval/a.json", "is of the same model as .*2/retrieval/a.json, of another lineage or seed"),
            ("3/retrieval/a.json", r"is a score of the lineage \{2\}, in a folder of \{3\}"),
            ("3/retrieval/b.json", r"is of the lineage \{3\}, not \{2\}"),
            ("2/abx/test/conv2.json", "is of the split train, not test"),
            ("2/retrieval/b.json", "is no score of this software"),
            ("baseline/retrieval/b.json", r"is a score of the lineage \{2\}, in a folder of raw log-mel"),
        ],
        strict=True,
    ):
        assert re.search(f"{name}: {fault}", line), line
    assert not (tmp_path / "out/scores.csv").exists()


def test_a_lineage_of_one_seed_may_have_two_folders(tables):
    files = {"2/retrieval/a.json": retrieval("{2}"), "2-seed3/retrieval/a.json": retrieval("{2}")}
    scores, _ = tables(files, {"2": 3})
    assert set(scores["seed"]) == {3}


def test_units_without_scores_of_a_tier_are_refused(tmp_path):
    value = words("{}->{2}", "quant2")
    value["units"] = {"frames": 5, "words": None}
    path = tmp_path / "summary.json"
    path.write_text(json.dumps(value))
    with pytest.raises(InputError, match=r"summary\.json: is no score of this software .*has no scores of words"):
        score_files.collect([path], "c", {})
