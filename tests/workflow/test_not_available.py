"""Corpora without aligned words, phones, texts or images: every evaluation makes what does not need them."""

import json

import pandas as pd
import pytest
import yaml
from workflow.running import REPO, dry_runs, jobs_in, snakemake

from resdavenet_vq.config import SpokenScenes
from resdavenet_vq.data.store import Store
from resdavenet_vq.demo import corpus as spoken_scenes
from resdavenet_vq.evaluation.summary import read_comparison, read_scores

NAMES = {split: f"{split}.json" for split in ("train", "val")}
ALIGNED = ("text_alignment", "phone_alignment", "syllable_alignment", "asr_text", "text")


def corpus(folder, *removed):
    """Two splits in the layout of Places Audio, whose rows lack some fields."""
    settings = SpokenScenes(layout="spoken_scenes", name="scenes", seed=3, pairs={"train": 16, "val": 8}, image_size=48)
    for split in settings.pairs:
        spoken_scenes.make(settings, split, folder, 1)
        file = folder / f"{split}.json"
        values = json.loads(file.read_text())
        values["data"] = [{key: x for key, x in row.items() if key not in removed} for row in values["data"]]
        file.write_text(json.dumps(values))
    return {"layout": "places", "name": "mine", "metadata": NAMES}


def configuration(folder, **sections):
    """A small run of the corpus."""
    values = yaml.safe_load((REPO / "config.yaml").read_text())
    values["model"]["audio"]["widths"] = [8, 8, 8, 8, 8]
    values["model"]["image"] |= {"widths": [8, 8, 8, 8], "crop": 32, "resize": 36}
    values["model"]["quantizer"]["codebook_size"] = 16
    values["training"] |= {"epochs": 1, "batch_size": 8, "overrides": {}}
    values["baselines"] = dict.fromkeys(("normalized_logmel", "kmeans", "untrained"), False)
    values |= sections
    (folder / "mine.yaml").write_text(yaml.safe_dump(values))
    return [folder / "mine.yaml"]


@pytest.fixture(scope="module")
def without_alignments(forking, tmp_path_factory):
    """The results of a corpus as Places Audio is distributed."""
    folder = tmp_path_factory.mktemp("without_alignments")
    sections = {
        "lineages": ["{2}"],
        "retrieval": {"split": "val", "similarities": ["pooled"]},
        "abx": {"splits": ["val"], "conditions": ["triphone", "word"], "convolutional_layers": []},
        "words": {"split": "train", "held_out_split": "val"},
    }
    files = configuration(folder, corpus=corpus(folder, *ALIGNED), **sections)
    snakemake(folder, configfiles=files, **forking)
    return folder / "results/mine"


def test_without_alignments_there_are_retrieval_bitrates_and_the_usage_of_codes(without_alignments):
    scores = read_scores(without_alignments / "scores.csv")
    assert set(scores["task"]) == {"retrieval", "bitrate", "units", "layer"}
    of_model = scores[scores["lineage"] == "{2}"]
    assert set(of_model["task"]) == set(scores["task"])
    assert set(of_model.query("task == 'units'")["score"]) == {"perplexity", "codes_used", "top_share"}
    assert set(of_model.query("task == 'units'")["n"]) == {16}
    summary = pd.read_csv(without_alignments / "summary.csv", keep_default_na=False)
    rows = [["raw log-mel", "logmel"], ["{2}", ""], ["{2}", "quant2"]]
    assert summary[["lineage", "layer"]].to_numpy().tolist() == rows
    assert set(read_comparison(without_alignments / "comparison.csv")["task"]) == set(scores["task"])


def test_without_alignments_score_files_say_why(without_alignments):
    summary = json.loads((without_alignments / "2/words/quant2/val/summary.json").read_text())
    assert summary["not_available"] == dict.fromkeys(["published", "held_out"], "the split has no aligned words")
    for place, reason in (("", "phones"), ("word/", "words")):
        value = json.loads((without_alignments / f"2/abx/val/{place}quant2.json").read_text())
        assert value["not_available"] == f"the split has no aligned {reason}"
        assert value["bitrate"]["plain"] > 0
    report = json.loads((without_alignments / "items/val.report.json").read_text())
    assert report["not_available"] == "the split has no aligned phones"
    page = (without_alignments / "report/index.html").read_text()
    assert "needs aligned words" in page
    assert "needs aligned phones" in page


@pytest.fixture(scope="module")
def speech(tmp_path_factory):
    """A corpus of speech alone, with units made elsewhere and no model."""
    folder = tmp_path_factory.mktemp("speech")
    own = corpus(folder, "image")
    for split in NAMES:
        rows = json.loads((folder / f"{split}.json").read_text())["data"]
        segments = [[row["uttid"], i / 4, i / 4 + 0.25, i % 3] for row in rows for i in range(4)]
        table = pd.DataFrame(segments, columns=["utterance", "start", "end", "unit"])
        table.to_csv(folder / f"{split}.csv", index=False)
    external = {"mine": {"files": {split: f"{split}.csv" for split in NAMES}, "format": "segments"}}
    sections = {
        "lineages": [],
        "external": external,
        "retrieval": None,
        "abx": {"splits": ["val"], "convolutional_layers": []},
        "words": {"split": "train", "held_out_split": "val"},
    }
    files = configuration(folder, corpus=own, **sections)
    return folder, files


def test_speech_alone_has_the_scores_of_baselines_and_of_units_made_elsewhere(speech, forking):
    folder, files = speech
    snakemake(folder, configfiles=files, **forking)
    assert not len(Store(folder / "results/mine/data/val.h5").image_ids)
    scores = read_scores(folder / "results/mine/scores.csv")
    tasks = {name: set(rows["task"]) for name, rows in scores.groupby("lineage")}
    assert tasks == {"raw log-mel": {"abx", "layer"}, "mine": {"abx", "layer", "bitrate", "words", "units"}}
    pages = {file.name for file in (folder / "results/mine/report").glob("*.html")}
    assert {"index.html", "words.html", "abx.html"} <= pages
    assert "retrieval.html" not in pages


def test_training_on_speech_alone_is_refused_before_anything_is_prepared(speech, forking):
    folder, _ = speech
    off = dict.fromkeys(("retrieval", "abx", "words", "report"))
    own = {**corpus(folder, "image"), "name": "unpaired"}
    files = configuration(folder, corpus=own, lineages=["{}"], **off)
    output = snakemake(folder, "models", configfiles=files, succeeds=False, **forking)
    assert "training.split: 'train' has no images (the first 16 rows of train.json name none)" in output
    assert not (folder / "results/unpaired/data").exists()


def test_targets_of_what_is_off_say_so_and_the_rest_is_made(tmp_path):
    sections = dict.fromkeys(("words", "report")) | {"retrieval": {"split": "val"}, "abx": {"splits": ["val"]}}
    (file,) = configuration(tmp_path, corpus={"layout": "places", "name": "mine", "metadata": NAMES}, **sections)
    for name in NAMES.values():
        (tmp_path / name).write_text("{}")
    place = ["--snakefile", REPO / "Snakefile", "--cores", 2, "-q", "rules", "--configfile", file, "--"]
    targets = ("words", "report", "results/mine/none-2/words/quant2/val/summary.json", "all", "retrieval")
    answers = dry_runs(tmp_path, [[*place, target] for target in targets])
    for (status, output), section in zip(answers[:3], ("words", "report", "words"), strict=True):
        assert status == 1
        assert f"{section}: the configuration has no section `{section}`" in output
    (status, output), (of_retrieval, _) = answers[3:]
    assert status == of_retrieval == 0
    jobs = jobs_in(output)
    assert jobs["compare"] == jobs["summarize"] == jobs["score_retrieval"] / 3 == 1
    assert not {"detect_words", "encode_codes", "write_report"} & jobs.keys()
