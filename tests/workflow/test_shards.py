"""Corpus and preparation in shards, as jobs: only those run again whose rows changed, and no result depends on them."""

import copy
import json
import os
import re
import subprocess
import sys
from pathlib import Path

import numpy as np
import pytest
import yaml

from resdavenet_vq.data.store import Store, verify
from resdavenet_vq.errors import InputError

REPO = Path(__file__).resolve().parents[2]
ROOT = "results/spoken_scenes"
TRAIN = f"{ROOT}/data/train.h5"
SMALL = {"corpus": {"pairs": {"train": 12, "val": 4, "test": 4}, "word_lists": {}}, "abx": {"splits": []}}
SHARDED = {"corpus": {"shards": {"train": 3}}, "preparation": {"shards": {"train": 4}}}


def run(folder, *arguments, changes=SHARDED, code=0):
    """Runs Snakemake in a folder; returns what was run: {(rule, shard)}."""
    (folder / "changes.yaml").write_text(
        yaml.safe_dump(SMALL | changes | {"corpus": SMALL["corpus"] | changes.get("corpus", {})})
    )
    files = [REPO / "config.yaml", REPO / "tests/workflow/tiny.yaml", folder / "changes.yaml"]
    command = [
        sys.executable,
        "-m",
        "snakemake",
        "--snakefile",
        REPO / "Snakefile",
        "--directory",
        folder,
        "--cores",
        "2",
    ]
    done = subprocess.run(
        [*command, *arguments, "--configfile", *files],
        cwd=folder,
        env=os.environ | {"OMP_NUM_THREADS": "1"},
        capture_output=True,
        text=True,
        check=False,
    )
    said = done.stdout + done.stderr
    assert done.returncode == code, said
    blocks = re.split(r"\n\[.*\]\n", said)
    jobs = [re.search(r"(?:localrule|rule|checkpoint|localcheckpoint) (\w+):\n", block) for block in blocks]
    shards = [re.search(r"wildcards:.*shard=(\d+)", block) for block in blocks]
    return {(job[1], shard and int(shard[1])) for job, shard in zip(jobs, shards, strict=True) if job} - {
        ("all", None)
    }, said


@pytest.fixture(scope="module")
def folder(tmp_path_factory):
    folder = tmp_path_factory.mktemp("shards")
    jobs, said = run(folder, TRAIN)
    assert {rule for rule, _ in jobs} == {
        "make_corpus_shard",
        "gather_corpus",
        "deal_rows",
        "prepare_shard",
        "gather_shards",
    }
    assert len(jobs) == 3 + 1 + 1 + 4 + 1, said
    return folder


@pytest.fixture(scope="module")
def corpus(folder):
    return folder / ROOT / "corpus/train.json"


def shards_of(folder):
    return {p.name: (p.read_bytes(), p.stat().st_mtime_ns) for p in (folder / ROOT / "data/train").glob("*.h5")}


def test_the_split_is_the_one_prepared_at_once(folder, tmp_path):
    run(tmp_path, TRAIN, changes={})
    assert not (tmp_path / ROOT / "data/train").exists(), "one shard is no shard"
    one, other = Store(tmp_path / TRAIN), Store(folder / TRAIN)
    for suffix in ("json", "item"):
        assert (tmp_path / ROOT / f"corpus/train.{suffix}").read_bytes() == (
            folder / ROOT / f"corpus/train.{suffix}"
        ).read_bytes()
    assert one.ids == other.ids
    assert all(one.logmel(n).tobytes() == other.logmel(n).tobytes() for n in range(12))
    np.testing.assert_array_equal(one.image_index, other.image_index)
    assert verify(folder / TRAIN) == []
    reports = [json.loads((f / ROOT / "data/train.report.json").read_text()) for f in (tmp_path, folder)]
    assert reports[0] == reports[1]


def edit(content):
    content["data"][7]["asr_text"] = "another text"


def remove(content):
    del content["data"][7]


def add(content):
    content["data"].insert(3, copy.deepcopy(content["data"][5]) | {"uttid": "added"})


@pytest.mark.parametrize("change", [edit, remove, add])
def test_a_changed_row_re_does_one_shard_and_the_store_that_points_to_all(folder, corpus, change):
    before, text = shards_of(folder), corpus.read_text()
    content = json.loads(text)
    change(content)
    corpus.write_text(json.dumps(content, indent=1))
    jobs, _ = run(folder, TRAIN)
    (shard,) = (shard for rule, shard in jobs if rule == "prepare_shard")
    assert jobs == {("deal_rows", None), ("prepare_shard", shard), ("gather_shards", None)}
    assert [name for name, found in shards_of(folder).items() if found != before[name]] == [f"{shard}.h5"]
    assert verify(folder / TRAIN) == []
    assert len(Store(folder / TRAIN)) == len(content["data"])
    assert run(folder, TRAIN, "-n")[0] == set()
    corpus.write_text(text)
    assert run(folder, TRAIN)[0] == jobs
    assert {name: data for name, (data, _) in shards_of(folder).items()} == {
        name: data for name, (data, _) in before.items()
    }


def test_touching_the_corpus_and_changing_the_policy_re_do_no_shard(folder, corpus):
    corpus.touch()
    skip = {**SHARDED, "preparation": {"shards": {"train": 4}, "bad_rows": "skip"}}
    assert run(folder, TRAIN, "-n")[0] == set()
    assert run(folder, TRAIN, "-n", changes=skip)[0] == {("gather_shards", None)}


def test_another_setting_re_does_all_shards(folder):
    other = {**SHARDED, "preparation": {"shards": {"train": 4}, "max_frames": 100}}
    assert run(folder, TRAIN, "-n", changes=other)[0] == {("prepare_shard", n) for n in range(4)} | {
        ("gather_shards", None)
    }


def test_more_pairs_make_the_new_ones_shards_alone(folder):
    more = {**SHARDED, "corpus": {"shards": {"train": 3}, "pairs": {"train": 13, "val": 4, "test": 4}}}
    assert {job for job in run(folder, TRAIN, "-n", changes=more)[0] if job[0] == "make_corpus_shard"} == {
        ("make_corpus_shard", 0)
    }


def test_a_bad_wav_fails_its_own_shard_and_the_rerun_does_that_one_alone(folder, corpus):
    before, wavs = shards_of(folder), sorted((corpus.parent / "train/wavs").rglob("*.wav"))
    whole = wavs[4].read_bytes()
    wavs[4].write_bytes(whole[:3000])
    cut = {**SHARDED, "preparation": {"shards": {"train": 4}, "max_frames": 100}}
    _, said = run(folder, TRAIN, changes=cut, code=1)
    assert f"{wavs[4].name}: truncated" in said
    left = shards_of(folder)
    assert len(left) == 3
    wavs[4].write_bytes(whole)
    with pytest.raises(InputError, match="remove that and prepare the split again"):
        Store(folder / TRAIN)
    jobs, said = run(folder, TRAIN, changes=cut)
    assert sorted(rule for rule, _ in jobs) == ["gather_shards", "prepare_shard"], said
    after = shards_of(folder)
    assert {name: after[name] for name in left} == left, "finished shards are not done again"
    assert verify(folder / TRAIN) == []
    assert after.keys() == before.keys()
