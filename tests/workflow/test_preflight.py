"""What a look at the corpus's own files refuses, and what it leaves to others."""

import json
import re
from pathlib import Path

import pytest
import yaml
from workflow.plans import values_of
from workflow.running import REPO, dry_runs, snakemake

from resdavenet_vq import config
from resdavenet_vq.errors import InputError
from resdavenet_vq.workflow.dry_run import dry_run
from resdavenet_vq.workflow.plan import Plan
from resdavenet_vq.workflow.preflight import Preflight
from resdavenet_vq.workflow.refusals import message_alone

ROW = {"uttid": "u", "wav": "u.wav", "image": "u.png"}
SPLITS = ("train", "val", "test")


NAMES_NONE = "Files that the configuration names are not there."


def preflight(file="configs/small_corpus.yaml", **sections):
    corpus = {"layout": "places", "name": "mine", "metadata": {split: f"{split}.json" for split in SPLITS}}
    corpus |= sections.pop("corpus", {})
    return Preflight(Plan(config.read(config.overlay([values_of(file), {"corpus": corpus}, sections]))))


def write(split, *rows, prefix='{"audio_base_path": "/a", "data": [', encoding="utf-8"):
    Path(f"{split}.json").write_text(prefix + ", ".join(map(json.dumps, rows)) + "]}", encoding=encoding)


@pytest.fixture(autouse=True)
def folder(tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    return tmp_path


def refusal(check, *arguments):
    """The lines of the message that a check refuses a plan with."""
    with pytest.raises(InputError) as refused:
        check(*arguments)
    return str(refused.value).splitlines()


def make(*files):
    for file in map(Path, files):
        file.parent.mkdir(parents=True, exist_ok=True)
        file.touch()


def test_files_that_are_not_there_are_named_with_their_keys(folder):
    write("val", ROW)
    assert refusal(preflight().split, "train") == [
        NAMES_NONE,
        "corpus.metadata.train: train.json: no such file or folder",
        "corpus.metadata.test: test.json: no such file or folder",
        f"Relative paths start at {folder}; --directory names another folder.",
    ]
    assert preflight().split("val") == [], "that of another split does not matter"
    for split in ("train", "test"):
        write(split, ROW)
    assert preflight().split("train") == []
    assert refusal(preflight(corpus={"alignments": {"test": "tg"}}).split, "test")[:2] == [
        NAMES_NONE,
        "corpus.alignments.test: tg: no such file or folder",
    ]


def test_files_of_other_layouts_are_named_with_their_keys():
    flickr = {"layout": "flickr8k", "name": "f"} | {
        f"{kind}_folder": f"/nowhere/{kind}" for kind in ("audio", "text", "image")
    }
    checks = Preflight(Plan(config.read(values_of("configs/flickr8k.yaml") | {"corpus": flickr})))
    lines = refusal(checks.split, "train")
    assert "corpus.audio_folder: /nowhere/audio/wav2capt.txt: no such file or folder" in lines
    assert not any("--directory" in line for line in lines)
    coco = {
        "layout": "spoken_coco",
        "name": "c",
        "metadata": {"all": "/nowhere/a.json"},
        "karpathy_splits": "/nowhere/k.json",
    }
    checks = Preflight(Plan(config.read(values_of("configs/small_corpus.yaml") | {"corpus": coco})))
    assert refusal(checks.split, "train")[1:] == [
        "corpus.metadata.all: /nowhere/a.json: no such file or folder",
        "corpus.karpathy_splits: /nowhere/k.json: no such file or folder",
    ]


def everything():
    """The checks of a configuration that names files of all kinds, none of which is there."""
    values = {
        "lineages": ["{}", "{}->{2}", "{3}"],
        "corpus": {
            "items": {"test": "i/test.item", "test.word": "i/word.item"},
            "alignments": {"test": "tg"},
            "audio_base_path": "/",
        },
        "external": {
            "a": {"files": {"test": "u/a.km"}, "format": "km", "frame_period": 0.02, "codebook": "u/c.npy"},
            "b": {"files": {"val": "f"}, "format": "features_npy", "frame_period": 0.01},
        },
        "released": {"{}": "r/none.zip"},
        "noise": {"kinds": ["white", "street"], "files": {"street": "street", "crowd": "crowd"}},
        "model": {"image": {"weights": "w.pth"}},
        "abx": {"splits": ["test"], "conditions": ["triphone", "word"]},
    }
    return preflight("configs/places.yaml", **values)


MISSING = {
    "train.json": "corpus.metadata.train",
    "val.json": "corpus.metadata.val",
    "test.json": "corpus.metadata.test",
    "tg": "corpus.alignments.test",
    "i/test.item": "corpus.items.test",
    "i/word.item": "corpus.items.test.word",
    "u/a.km": "external.a.files.test",
    "u/a.tsv": "external.a.files.test",
    "u/c.npy": "external.a.codebook",
    "f": "external.b.files.val",
    "r/none.zip": "released.{}",
    "w.pth": "model.image.weights",
}
NEEDED = [
    ("split", ["test"], ["test.json", "tg"], "results/mine/data/test.h5"),
    ("copy", ["test.street_10dB"], ["test.json", "tg", "street"], "results/mine/data/test.street_10dB.h5"),
    ("copy", ["test.white_10dB"], ["test.json", "tg"], "results/mine/data/test.white_10dB.h5"),
    ("items", ["none", "test", "conv2", "triphone"], ["i/test.item"], "results/mine/none/abx/test/conv2.json"),
    ("items", ["none", "test", "conv2", "word"], ["i/word.item"], "results/mine/none/abx/test/word/conv2.json"),
    ("external", ["external-a", "test"], ["u/a.km", "u/a.tsv", "u/c.npy"], "results/mine/external-a/codes/test.h5"),
    ("external", ["external-b", "val"], ["f"], "results/mine/external-b/features/val.h5"),
    ("released", ["none"], ["r/none.zip"], "results/mine/none/model/model.json"),
    ("training", ["3"], ["w.pth"], "results/mine/3/model/model.json"),
]


@pytest.mark.parametrize(("check", "arguments", "files", "made"), NEEDED, ids=lambda value: str(value)[:30])
def test_a_missing_file_is_missed_by_what_is_made_of_it_alone(check, arguments, files, made, folder):
    check = getattr(everything(), check)
    for number, file in enumerate(files):
        make(*files[:number], *files[number + 1 :])
        lines = refusal(check, *arguments)
        there = {file for file in MISSING if Path(file).exists()}
        all_of_them = {
            **{name: key for name, key in MISSING.items() if name not in there},
            file: MISSING.get(file, "noise.files.street"),
        }
        assert lines[0] == NAMES_NONE
        assert lines[1:-1] == [f"{key}: {name}: no such file or folder" for name, key in all_of_them.items()]
        assert lines[-1].startswith(f"Relative paths start at {folder}")
        make(file)
        assert check(*arguments) == []
        for name in files:
            Path(name).unlink()
    make(made)
    assert check(*arguments) == [], "what is made needs no files"


def test_a_stage_after_the_first_needs_no_weights_and_a_corpus_that_is_made_here_no_files():
    assert everything().training("none-2") == []
    assert preflight().items("none", "test", "conv2", "triphone") == [], "items are made"
    assert Preflight(Plan(config.read(values_of()))).split("train") == []


@pytest.mark.parametrize("encoding", ["utf-8", "utf-8-sig"])
@pytest.mark.parametrize("row", [{"wav": "a.wav"}, {"wav": "a.wav", "image": None}, {"wav": "a.wav", "image": ""}])
def test_a_split_without_images_trains_nothing(row, encoding):
    write("train", *[row] * 30, encoding=encoding)
    write("val", ROW, row)
    with pytest.raises(InputError) as refused:
        preflight().training("none")
    first, remedy = str(refused.value).splitlines()
    assert first == "training.split: 'train' has no images (the first 20 rows of train.json name none)"
    assert "`lineages: []`" in remedy
    write("val", row)
    with pytest.raises(
        InputError, match=r"training.validation_split: 'val' has no images \(the first 1 rows of val.json"
    ):
        preflight().training("none")


@pytest.mark.parametrize("text", ['[{"wav": "a"}, {"wav": "b"}]', '{"wav": "a"}\n{"wav": "b"}\n'])
def test_the_forms_of_a_list(text):
    for split in SPLITS:
        Path(f"{split}.json").write_text(text)
    with pytest.raises(InputError, match=r"'train' has no images \(the first 2 rows of train.json"):
        preflight().training("none")


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
    assert preflight().training("none") == []


def test_files_that_are_not_there_are_not_looked_into():
    assert preflight().training("none") == []
    assert (
        preflight(
            preparation={"reader": "release_2020"}, corpus={"release_hdf5": dict.fromkeys(SPLITS, "x.json")}
        ).training("none")
        == []
    )


def test_a_refused_plan_is_one_message(folder, forking):
    """Of a dry run and of a run, with the status of a failure; a plan that needs none of the files is made."""
    corpus = {"layout": "places", "name": "mine", "metadata": {s: f"{s}.json" for s in SPLITS}}
    others = {"external": {"a": {"files": {"test": "u/a.km"}, "format": "km", "frame_period": 0.02}}, "words": None}
    Path("mine.yaml").write_text(yaml.safe_dump({"corpus": corpus} | others, sort_keys=False))
    write("val", {"wav": "a.wav"})
    make("results/mine/2/model/model.json", "results/mine/2/model/model.safetensors")
    train, val = "results/mine/data/train.h5", "results/mine/data/val.h5"
    cases = {
        train: "corpus.metadata.train: train.json: no such file or folder\ncorpus.metadata.test: test.json",
        "models": "training.validation_split: 'val' has no images",
        "results/mine/external-a/codes/test.h5": "external.a.files.test: u/a.km: no such file or folder",
        "words": "words: the configuration has no section `words`",
        "results/mine/2/words/quant2/val/summary.json": "words: the configuration has no section `words`",
    }
    place = ["--snakefile", str(REPO / "Snakefile"), "--configfile", "mine.yaml", "--config", "lineages=['{2}', '{}']"]
    of_a_model = "results/mine/2/retrieval/val.json"
    lines = [[*place, "--", target] for target in (val, of_a_model, *cases)]
    (fine, _), (scored, output), *refused = dry_runs(folder, lines)
    assert (fine, scored) == (0, 0), "a model is scored where what it was trained on is gone"
    assert "rule score_retrieval" in output
    run = snakemake(folder, train, succeeds=False, configfiles=["mine.yaml"], **forking)
    for (status, output), said in zip([*refused, (1, run)], [*cases.values(), cases[train]], strict=True):
        assert status == 1
        assert said in output, output
        assert not re.search(r"Traceback|Exception|InputError|Wildcards|File \"", output), output
    with pytest.raises(
        InputError, match=rf"^{NAMES_NONE}\ncorpus.metadata.train: train.json: [^$]*--directory names another folder.$"
    ):
        dry_run(REPO / "Snakefile", folder, [Path("mine.yaml")], [], [train])


def test_what_snakemake_says_of_other_errors_stays():
    for text in ("MissingInputException in rule a:\nMissing input files", "Error:\n  KeyError: 'a'\nWildcards:\n  b=c"):
        assert message_alone(text) == text
    assert message_alone("Error:\n  InputError: a\x1b\nb\nWildcards:\n  c=d\nTraceback:\n  File") == "a\\x1b\nb"
