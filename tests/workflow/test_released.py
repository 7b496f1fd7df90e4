"""A released model through the whole workflow: imported, evaluated and reported, and nothing trained."""

import json
import pickle
import shutil

import pytest
import yaml
from workflow.running import REPO, jobs_in, snakemake

from resdavenet_vq.evaluation.summary import read_scores

EXPERIMENT = REPO / "tests/golden/reference_experiment"

TINY = {
    "corpus": {"pairs": {"train": 8, "val": 8, "test": 8}, "word_lists": {"unseen": 4}, "image_size": 48},
    "lineages": ["{2,3}"],
    "released": {"{2, 3}": "released/experiment"},
    "abx": {"splits": ["test"], "convolutional_layers": []},
    "words": {"split": "test", "held_out_split": "test", "min_occurrences": 1},
    "report": {"utterances": 1},
    "baselines": {"kmeans": False, "untrained": False, "codebook_sizes": []},  # which read the training split
}


def run(folder, settings, *arguments, **changes):
    """What Snakemake prints, with these changes of the configuration."""
    (folder / "tiny.yaml").write_text(yaml.safe_dump(TINY | changes))
    files = [REPO / "config.yaml", folder / "tiny.yaml"]
    return snakemake(folder, *arguments, configfiles=files, **settings)


@pytest.fixture(scope="module")
def folder(tmp_path_factory):
    folder = tmp_path_factory.mktemp("released")
    shutil.copytree(EXPERIMENT, folder / "released/experiment")
    return folder


@pytest.fixture(scope="module")
def jobs(folder, forking):
    """The rules that a dry run would run."""
    return lambda *arguments, **changes: jobs_in(run(folder, forking, *arguments, "-n", "-q", "rules", **changes))


@pytest.fixture(scope="module")
def finished(folder, jobs, forking):
    planned = jobs()
    assert planned["import_released"] == 1
    assert "train" not in planned
    run(folder, forking)
    return folder


def test_everything_is_there_and_nothing_was_trained(finished):
    root = finished / "results/spoken_scenes"
    assert not (root / "logs/train").exists()
    assert sorted(file.stem for file in (root / "data").glob("*.h5")) == ["test"]
    card = json.loads((root / "23/model/model.json").read_text())
    assert (card["lineage"], card["released"], card["provenance"]["file"]) == ("{2,3}", True, "experiment")
    assert str(finished) not in json.dumps(card)
    scores = (
        read_scores(root / "scores.csv").query("layer == 'quant2'").set_index(["task", "condition", "score"])["value"]
    )
    assert scores["abx", "within", "error"] >= 0
    assert scores["bitrate", "plain", "bits_per_second"] > 0
    assert scores["words", "published", "words"] > 0
    assert (root / "23/abx/test/quant3.zip").stat().st_size
    pages = {file.name: file.read_text() for file in (root / "report").glob("*.html")}
    assert all("Retrieval on test: needs an image branch." in pages[name] for name in ("index.html", "retrieval.html"))
    assert "training.html" in pages  # R@10 by epoch, from progress.pkl


def test_it_is_imported_again_when_its_files_change_and_only_then(finished, jobs):
    progress = finished / "released/experiment/progress.pkl"
    progress.touch()
    assert jobs() == {}
    assert "import_released" not in jobs(words=TINY["words"] | {"min_occurrences": 2})
    progress.write_bytes(pickle.dumps([[1, 10, 1, 0.5, 1.0]]))
    assert jobs()["import_released"] == 1


def test_what_a_rule_leaves_beside_its_outputs_is_replaced(finished, forking):
    """Snakemake removes outputs only: the card beside a model stays, and so do the recordings of a corpus."""
    root = finished / "results/spoken_scenes"
    (root / "23/model/README.md").write_text("of an earlier model")
    (root / "corpus/test.json").unlink()
    recording = root / "corpus/test/wavs/000/test-000000.wav"
    recording.write_bytes(b"of an earlier corpus")
    targets = ("results/spoken_scenes/23/model/model.json", "results/spoken_scenes/corpus/test.json")
    run(finished, forking, *targets, "--force")
    assert "of an earlier" not in (root / "23/model/README.md").read_text()
    assert recording.read_bytes().startswith(b"RIFF")


def test_a_child_is_trained_from_an_imported_parent(jobs):
    planned = jobs("results/spoken_scenes/23-123/model/model.json", lineages=["{2,3}->{1,2,3}"])
    assert planned["train"] == 1
