"""What a look at the corpus's own files refuses, and what it leaves to others."""

import json
from pathlib import Path

import pytest
import yaml
from workflow.plans import values_of
from workflow.running import dry_runs

from resdavenet_vq import config
from resdavenet_vq.errors import InputError
from resdavenet_vq.workflow.plan import Plan
from resdavenet_vq.workflow.preflight import Preflight

ROW = {"uttid": "u", "wav": "u.wav", "image": "u.png"}
SPLITS = ("train", "val", "test")


def preflight(**sections):
    corpus = {"layout": "places", "name": "mine", "metadata": {split: f"{split}.json" for split in SPLITS}}
    corpus |= sections.pop("corpus", {})
    return Preflight(
        Plan(config.read(config.overlay([values_of("configs/small_corpus.yaml"), {"corpus": corpus}, sections])))
    )


def write(split, *rows, prefix='{"audio_base_path": "/a", "data": [', encoding="utf-8"):
    Path(f"{split}.json").write_text(prefix + ", ".join(map(json.dumps, rows)) + "]}", encoding=encoding)


@pytest.fixture(autouse=True)
def folder(tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    return tmp_path


def test_files_that_are_not_there_are_named_with_their_keys(folder):
    write("val", ROW)
    with pytest.raises(InputError) as refused:
        preflight().corpus_files("train")
    assert str(refused.value).splitlines() == [
        "Files of the corpus are not there.",
        "corpus.metadata.train: train.json: no such file or folder",
        "corpus.metadata.test: test.json: no such file or folder",
        f"Relative paths start at {folder}; --directory names another folder.",
    ]
    assert preflight().corpus_files("val") == [], "that of another split does not matter"
    for split in ("train", "test"):
        write(split, ROW)
    assert preflight().corpus_files("train") == []
    with pytest.raises(
        InputError, match=r"^Files of the corpus are not there.\ncorpus.alignments.test: tg: no such file or folder\n"
    ):
        preflight(corpus={"alignments": {"test": "tg"}}).corpus_files("test")


def test_files_of_other_layouts_are_named_with_their_keys(folder):
    flickr = {"layout": "flickr8k", "name": "f"} | {
        f"{kind}_folder": f"/nowhere/{kind}" for kind in ("audio", "text", "image")
    }
    values = values_of("configs/flickr8k.yaml") | {"corpus": flickr}
    with pytest.raises(InputError, match=r"corpus.audio_folder: /nowhere/audio/wav2capt.txt: no such file") as refused:
        Preflight(Plan(config.read(values))).corpus_files("train")
    assert "--directory" not in str(refused.value)
    coco = {
        "layout": "spoken_coco",
        "name": "c",
        "metadata": {"all": "/nowhere/a.json"},
        "karpathy_splits": "/nowhere/k.json",
    }
    values = values_of("configs/small_corpus.yaml") | {"corpus": coco}
    with pytest.raises(
        InputError, match=r"corpus.metadata.all: /nowhere/a.json: .*\ncorpus.karpathy_splits: /nowhere/k.json: "
    ):
        Preflight(Plan(config.read(values))).corpus_files("train")


def test_a_split_that_is_prepared_needs_no_files():
    checks = preflight()
    store = Path(checks.plan.splits.store("train"))
    store.parent.mkdir(parents=True)
    store.touch()
    assert checks.corpus_files("train") == []
    assert Preflight(Plan(config.read(values_of()))).corpus_files("train") == [], "nor does one that is made here"


@pytest.mark.parametrize("encoding", ["utf-8", "utf-8-sig"])
@pytest.mark.parametrize("row", [{"wav": "a.wav"}, {"wav": "a.wav", "image": None}, {"wav": "a.wav", "image": ""}])
def test_a_split_without_images_trains_nothing(row, encoding):
    write("train", *[row] * 30, encoding=encoding)
    write("val", ROW, row)
    with pytest.raises(InputError) as refused:
        preflight().pairs()
    first, remedy = str(refused.value).splitlines()
    assert first == "training.split: 'train' has no images (the first 20 rows of train.json name none)"
    assert "`lineages: []`" in remedy
    write("val", row)
    with pytest.raises(
        InputError, match=r"training.validation_split: 'val' has no images \(the first 1 rows of val.json"
    ):
        preflight().pairs()


@pytest.mark.parametrize("text", ['[{"wav": "a"}, {"wav": "b"}]', '{"wav": "a"}\n{"wav": "b"}\n'])
def test_the_forms_of_a_list(text):
    for split in SPLITS:
        Path(f"{split}.json").write_text(text)
    with pytest.raises(InputError, match=r"'train' has no images \(the first 2 rows of train.json"):
        preflight().pairs()


@pytest.mark.parametrize(
    "text",
    [
        '{"data": [{"image": "a.png", "captions": [{"wav": "a"}]}]}',
        '{"data": [{"wav": "a"}, {"wav": "b", "image": "b.png"}]}',
        '{"data": [' + '{"wav": "a", "image": "' + "x" * 100_000 + '"}]}',
        '{"data": []}',
        '{"rows": [{"wav": "a"}]}',
        "wav\na.wav\n",
        "",
        "\xff\xfe",
    ],
)
def test_what_it_cannot_tell_it_leaves_to_preparation(text):
    for split in SPLITS:
        Path(f"{split}.json").write_text(text, encoding="latin-1")
    assert preflight().pairs() == []


def test_files_that_are_not_there_are_not_looked_into():
    assert preflight().pairs() == []
    assert (
        preflight(
            preparation={"reader": "release_2020"}, corpus={"release_hdf5": dict.fromkeys(SPLITS, "x.json")}
        ).pairs()
        == []
    )


def test_a_dry_run_refuses_a_plan_that_cannot_work_and_no_other(folder):
    Path("mine.yaml").write_text(yaml.safe_dump({"corpus": {"layout": "places", "name": "mine", "metadata": {s: f"{s}.json" for s in SPLITS}}}))  # fmt: skip
    write("val", {"wav": "a.wav"})
    lines = [
        ["--configfile", "mine.yaml", "--", "results/mine/data/train.h5"],
        ["--configfile", "mine.yaml", "--", "results/mine/data/val.h5"],
        ["--configfile", "mine.yaml", "--", "models"],
    ]
    lines = [
        ["--snakefile", str(Path(config.__file__).parents[2] / "Snakefile"), "-q", "rules", *line] for line in lines
    ]
    (missing, said), (fine, _), (no_images, why) = dry_runs(folder, lines)
    assert (missing, fine, no_images) == (1, 0, 1)
    assert "corpus.metadata.train: train.json: no such file or folder" in said
    assert "training.validation_split: 'val' has no images" in why
