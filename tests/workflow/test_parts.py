"""Splits in parts as Snakemake runs them: appended rows re-do the last part alone, and touched files nothing."""

import json
import re

import pytest
import yaml
from workflow.planner import ask
from workflow.running import REPO, TINY, snakemake

from resdavenet_vq import config
from resdavenet_vq.data.store import Store, verify
from resdavenet_vq.errors import InputError
from resdavenet_vq.files import write_digest
from resdavenet_vq.workflow.plan import Plan

ROOT = "results/spoken_scenes"
VAL = f"{ROOT}/data/val.h5"


def changes(pairs=12, parts=3, **preparation):
    preparation |= {"rows_per_part": 5, "parts": {"train": parts}}
    return {"corpus": {"pairs": {"train": pairs, "val": 4, "test": 4}}, "preparation": preparation}


def targets(parts=3):
    return [f"{ROOT}/data/train/{part}.h5" for part in range(parts)]


@pytest.fixture(scope="module")
def run(forking):
    """The jobs that Snakemake runs in a folder, as (rule, part), and everything that it prints."""

    def run(folder, goals, values, *options, succeeds=True):
        (folder / "changes.yaml").write_text(yaml.safe_dump(values))
        files = [*TINY, folder / "changes.yaml"]
        output = snakemake(folder, *goals, *options, configfiles=files, succeeds=succeeds, **forking)
        blocks = [block for block in re.split(r"\n\[.*\]\n", output) if re.match(r"(?:local)?rule \w+:\n", block)]
        parts = [re.search(r"wildcards:.*part=(\d+)", block) for block in blocks]
        rules = [re.match(r"(?:local)?rule (\w+):", block)[1] for block in blocks]
        jobs = {(rule, part and part[1]) for rule, part in zip(rules, parts, strict=True)}
        return jobs, output

    return run


def parts_of(folder):
    """Bytes and inodes: a file that is written again has another inode. Snakemake itself sets the time of all outputs."""
    files = (folder / ROOT / "data/train").glob("*.h5*")
    return {path.name: (path.read_bytes(), path.stat().st_ino) for path in files}


def written(before, folder):
    """The numbers of parts with a file that was written."""
    return {name[0] for name, content in parts_of(folder).items() if before.get(name) != content}


@pytest.fixture(scope="module")
def folder(run, tmp_path_factory):
    folder = tmp_path_factory.mktemp("parts")
    jobs, output = run(folder, targets(), changes())
    assert jobs == {("make_corpus", None), *(("prepare_part", part) for part in "012")}, output
    return folder


def test_appended_rows_re_do_the_last_part_alone(folder, run):
    before = parts_of(folder)
    run(folder, targets(4), changes(17, 4))
    assert written(before, folder) == {"2", "3"}
    assert len(Store(folder / ROOT / "data/train")) == 17
    assert run(folder, targets(4), changes(17, 4), "-n")[0] == set()
    assert verify(folder / ROOT / "data/train") == []
    _, output = run(folder, targets(4), changes(21, 4), succeeds=False)
    logs = "".join(log.read_text() for log in (folder / ROOT / "logs/prepare_part/train").iterdir())
    assert "21 rows make 5 parts of 5, not 4; set preparation.parts.train to 5" in logs, output
    run(folder, targets(), changes())
    assert parts_of(folder).keys() == before.keys()
    assert {name: data for name, (data, _) in parts_of(folder).items()} == {n: data for n, (data, _) in before.items()}


def test_a_bad_wav_fails_its_own_part_and_the_rerun_does_that_one_alone(folder, run):
    wav = sorted((folder / ROOT / "corpus/train/wavs").rglob("*.wav"))[7]
    whole = wav.read_bytes()
    wav.write_bytes(whole[:3000])
    cut = changes(max_frames=100)
    run(folder, targets(), cut, "--keep-going", succeeds=False)
    assert f"{wav.name}: truncated" in (folder / ROOT / "logs/prepare_part/train/1.log").read_text()
    wav.write_bytes(whole)
    before = parts_of(folder)
    with pytest.raises(InputError, match=r"1\.h5: no such file"):
        Store(folder / ROOT / "data/train")
    assert run(folder, targets(), cut)[0] == {("prepare_part", "1")}
    assert written(before, folder) == {"1"}
    assert verify(folder / ROOT / "data/train") == []


def test_a_touched_corpus_re_runs_nothing_and_a_changed_one_what_reads_it(tmp_path, checkout):
    """Of an imported corpus of more than a megabyte: Snakemake compares the contents of smaller files only."""
    rows = [{"uttid": str(n), "wav": f"{n}.wav", "image": f"{n}.jpg"} for n in range(20_000)]
    for split in ("train", "val"):
        (tmp_path / f"{split}.json").write_text(json.dumps({"data": rows}))
    assert (tmp_path / "train.json").stat().st_size > 1_000_000
    values = yaml.safe_load((REPO / "config.yaml").read_text()) | {
        "corpus": {
            "layout": "places",
            "name": "imported",
            "metadata": {split: str(tmp_path / f"{split}.json") for split in ("train", "val")},
        },
        "preparation": {"rows_per_part": 10_000, "parts": {"train": 2}},
    }
    for section, keys in {
        "training": {"split": "train", "validation_split": "val"},
        "retrieval": {"split": "val"},
        "abx": {"splits": []},
        "words": {"split": "val", "held_out_split": "val"},
    }.items():
        values[section] = values[section] | keys
    goals = [f"results/imported/data/{file}.h5" for file in ("train/0", "train/1", "val")]
    question = {"folder": tmp_path, "config": values, "targets": goals}

    def stale():
        return {job["rule"] for job in ask(checkout, [{"do": "plan", **question}])[0]["stale"].values()}

    ask(checkout, [{"do": "pretend", **question}])
    assert stale() == set()
    (tmp_path / "train.json").touch()
    assert stale() == set()
    text = (tmp_path / "train.json").read_text()
    (tmp_path / "train.json").write_text(text.replace("19.wav", "18.wav", 1))
    assert stale() == {"prepare_part"}
    (tmp_path / "train.json").write_text(text)
    assert stale() == set()
    (tmp_path / "val.json").write_text(text.replace("19.wav", "18.wav", 1))
    assert stale() == {"prepare"}


@pytest.mark.parametrize("parts", [0, 2])
def test_a_touched_store_re_runs_nothing_and_a_changed_one_what_reads_it(tmp_path, checkout, parts):
    """Of more than a megabyte, in one file and in two parts."""
    values = yaml.safe_load((REPO / "config.yaml").read_text())
    values["preparation"] = {"rows_per_part": 5, "parts": {"test": parts}} if parts else {}
    stores = [tmp_path / store for store in Plan(config.read(values)).splits.stores("test")]
    for store in stores:
        store.parent.mkdir(parents=True, exist_ok=True)
        store.write_bytes(b"x" * 1_500_000)
        write_digest(store)
    folder = Plan(config.read(values)).lineages[0].folder
    goals = [f"{ROOT}/{folder}/embeddings/test.h5", f"{ROOT}/baseline/features/test.h5"]
    question = {"folder": tmp_path, "config": values, "targets": goals}

    def stale():
        return {job["rule"] for job in ask(checkout, [{"do": "plan", **question}])[0]["stale"].values()}

    ask(checkout, [{"do": "pretend", **question}])
    assert stale() == set()
    stores[-1].touch()
    assert stale() == set()
    stores[-1].write_bytes(b"y" + b"x" * 1_499_999)
    write_digest(stores[-1])
    assert stale() == {"encode_embeddings_maps_features", "encode_logmel"}


def planned(**preparation):
    values = yaml.safe_load((REPO / "config.yaml").read_text())
    return Plan(config.read(values | {"preparation": preparation}))


def test_the_paths_of_stores():
    plan = planned(rows_per_part=100, parts={"train": 2, "val": 1})
    root = "results/spoken_scenes/data"
    assert plan.splits.store("train") == f"{root}/train"
    assert plan.splits.stores("train") == [f"{root}/train/0.h5", f"{root}/train/1.h5"]
    assert plan.splits.store_digests("val") == [f"{root}/val/0.h5.sha256"]
    assert plan.splits.stores("test") == [plan.splits.store("test")] == [f"{root}/test.h5"]
    assert plan.splits.stores("test.white_0dB") == [f"{root}/test.white_0dB.h5"]


def test_parts_reach_no_command_that_they_do_not_concern():
    some, none = planned(rows_per_part=100, parts={"train": 2}), planned()
    for split in ("train", "unseen"):
        assert some.splits.preparation(split) == none.splits.preparation(split)
    assert planned(rows_per_part=5).splits.media("train") == planned().splits.media("train") != ""
    assert json.loads(planned().splits.media("train"))["pairs"]["train"] == 1


@pytest.mark.parametrize(
    ("preparation", "message"),
    [
        ({"parts": {"train": 2}}, "preparation.rows_per_part: missing; preparation.parts needs it"),
        ({"rows_per_part": 5, "parts": {"trian": 2}}, "preparation.parts: the corpus has no split 'trian'"),
        ({"rows_per_part": 0, "parts": {"train": 2}}, "preparation.rows_per_part: "),
        ({"rows_per_part": 5, "parts": {"train": 0}}, "preparation.parts.train: "),
    ],
)
def test_faulty_parts_are_named(preparation, message):
    with pytest.raises(InputError, match=re.escape(message)):
        planned(**preparation)
