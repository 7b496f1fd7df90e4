"""The shipped configurations of real corpora plan on files that stand in for the corpora."""

import subprocess
import sys
from pathlib import Path

import pytest
import yaml

from resdavenet_vq import config
from resdavenet_vq.workflow.plan import Plan

REPO = Path(__file__).resolve().parents[2]


def dry_run(folder, file):
    command = [
        sys.executable,
        "-m",
        "snakemake",
        "-n",
        "-q",
        "rules",
        "--snakefile",
        REPO / "Snakefile",
        "--directory",
        folder,
    ]
    return subprocess.run([*command, "--cores", "1", "--configfile", file], capture_output=True, text=True, check=False)


def with_data_in(folder, name):
    """A shipped configuration whose corpus lies in a folder."""
    file = folder / name
    file.write_text((REPO / "configs" / name).read_text().replace("/data/", f"{folder}/data/"))
    return file


def test_a_corpus_that_is_not_there_is_named(tmp_path):
    run = dry_run(tmp_path, with_data_in(tmp_path, "places.yaml"))
    assert run.returncode != 0
    assert f"{tmp_path}/data/PlacesAudio400k/metadata/" in run.stderr + run.stdout


@pytest.mark.parametrize("name", sorted(path.name for path in (REPO / "configs").glob("*.yaml")))
def test_a_configuration_plans_once_its_files_are_there(name, tmp_path):
    file = with_data_in(tmp_path, name)
    plan = Plan(config.read(yaml.safe_load(file.read_text())))
    for split in plan.config.corpus.splits:
        for path in map(Path, plan.corpus_files(split)):
            path.parent.mkdir(parents=True, exist_ok=True)
            path.touch() if path.suffix else path.mkdir(exist_ok=True)
    run = dry_run(tmp_path, file)
    assert run.returncode == 0, run.stdout + run.stderr
    jobs = {
        line.split()[0]: int(line.split()[1])
        for line in run.stdout.splitlines()
        if len(line.split()) == 2 and line.split()[1].isdigit()
    }
    assert jobs["train"] >= len(plan.lineages)
    assert jobs["score_retrieval"] == len(plan.lineages)
    assert 2 <= jobs["prepare"] <= len(plan.config.corpus.splits)
