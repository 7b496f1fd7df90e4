"""How a training is started: one process, several on a machine by torchrun, several nodes by srun."""

import json
import os
import re
import subprocess
import sys
from pathlib import Path

import pandas as pd
import pytest
import yaml
from safetensors.torch import load_file
from training_child import write_store

from resdavenet_vq.files import write_digest
from resdavenet_vq.workflow.jobs import launcher

REPO = Path(__file__).resolve().parents[2]
MODEL = "results/spoken_scenes/23/model"


@pytest.mark.parametrize(
    ("resources", "expected"),
    [
        ({}, "python"),
        ({"gpu": 0}, "python"),
        ({"gpu": 1, "mem_mb": 5}, "python"),
        ({"gpu": 4}, "torchrun --standalone --nproc-per-node 4"),
        (
            {"mpi": "srun", "nodes": 2, "tasks_per_node": 4, "gpu": 0},
            "srun --kill-on-bad-exit=1 --nodes 2 --ntasks-per-node 4 python",
        ),
        ({"mpi": "srun", "nodes": 2, "tasks": 2, "gpu": 0}, "srun --kill-on-bad-exit=1 --nodes 2 --ntasks 2 python"),
    ],
)
def test_what_starts_the_processes(resources, expected):
    assert launcher(resources) == expected


TWICE = """
rule prepare:
    output:
        "out",
    shell:
        "echo {resources.mem_mb} {resources.runtime} >> attempts; [ $(wc -l < attempts) -ge 2 ] && touch {output}"
"""


def test_a_job_gets_more_memory_and_time_with_each_attempt(tmp_path):
    """By the profile for SLURM, though run on this machine."""
    profile = yaml.safe_load((REPO / "profiles/slurm/config.yaml").read_text())
    here = {key: value for key, value in profile.items() if key != "executor" and not key.startswith("slurm")}
    (tmp_path / "config.yaml").write_text(yaml.safe_dump(here | {"cores": 1, "latency-wait": 1}))
    (tmp_path / "Snakefile").write_text(TWICE)
    command = [sys.executable, "-m", "snakemake", "--workflow-profile", tmp_path]
    run = subprocess.run(command, cwd=tmp_path, capture_output=True, text=True, check=False)
    assert run.returncode == 0, run.stderr
    assert (tmp_path / "attempts").read_text().split("\n")[:2] == ["8000 720", "16000 1440"]


@pytest.fixture(scope="module")
def prepared(tmp_path_factory):
    """A folder with two tiny stores where the workflow has them, and a configuration for two GPUs."""
    folder = tmp_path_factory.mktemp("launched")
    data = folder / "results/spoken_scenes/data"
    data.mkdir(parents=True)
    write_store(data / "train.h5", 18, 0)
    write_store(data / "val.h5", 12, 1)
    write_digest(data / "train.h5")
    write_digest(data / "val.h5")
    values = yaml.safe_load((REPO / "config.yaml").read_text())
    values["lineages"] = ["{2,3}"]
    values["model"] = {
        "audio": {"widths": [16] * 5, "blocks_per_stage": 1},
        "image": {
            "architecture": "thin_resnet",
            "widths": [16] * 4,
            "crop": 32,
            "resize": 36,
            "training_crop": "same_scale",
        },
        "quantizer": {"codebook_size": 12, "init_nonnegative": True},
    }
    values["training"] |= {"gpus": 2, "epochs": 1, "batch_size": 8, "workers": 0, "overrides": {}}
    (folder / "two.yaml").write_text(yaml.safe_dump(values))
    return folder


def snakemake(folder, *arguments, gpus=2):
    command = [
        sys.executable,
        "-m",
        "snakemake",
        "--snakefile",
        REPO / "Snakefile",
        "--directory",
        folder,
        "--cores",
        "8",
    ]
    limits = ["--resources", f"gpu={gpus}", "--allowed-rules", "train", "--configfile", folder / "two.yaml"]
    environment = os.environ | {"CUDA_VISIBLE_DEVICES": ""}
    return subprocess.run(
        [*map(str, command), *arguments, *map(str, limits), "--", f"{MODEL}/model.json"],
        env=environment,
        capture_output=True,
        text=True,
        check=False,
    )


def shell_command(run):
    """What a dry run would have started."""
    assert run.returncode == 0, run.stdout + run.stderr
    return re.search(r"^Shell command: (.*) -m resdavenet_vq train ", run.stdout + run.stderr, re.MULTILINE).group(1)


def test_a_training_in_two_processes_of_torchrun(prepared):
    """Gloo on the CPU in the place of NCCL; the rule's own command otherwise."""
    run = snakemake(prepared, "-p")
    log = "".join(path.read_text() for path in prepared.glob("results/spoken_scenes/logs/train/*.log"))
    assert run.returncode == 0, run.stderr + log
    assert "torchrun --standalone --nproc-per-node 2 -m resdavenet_vq train" in run.stderr
    assert "{2,3}: starts on cpu, with 2 processes" in log
    out = prepared / MODEL
    assert sorted(path.name for path in out.iterdir()) == ["history.csv", "model.json", "model.safetensors"]
    assert json.loads((out / "model.json").read_text())["lineage"] == "{2,3}"
    assert len(pd.read_csv(out / "history.csv")) == 1
    assert all(x.isfinite().all() for x in load_file(out / "model.safetensors").values())
    # another number of GPUs is no reason to train again
    again = snakemake(prepared, "-n", gpus=0)
    assert again.returncode == 0, again.stderr
    assert "Nothing to be done" in again.stdout + again.stderr


@pytest.mark.parametrize(
    ("gpus", "expected"), [(0, "python"), (1, "python"), (2, "torchrun --standalone --nproc-per-node 2")]
)
def test_fewer_gpus_are_used_where_there_are_fewer(prepared, gpus, expected):
    assert shell_command(snakemake(prepared, "-n", "-p", "--forcerun", "train", gpus=gpus)) == expected


@pytest.mark.parametrize(("number", "processes"), [(0, "--ntasks-per-node 4"), (1, "--ntasks 2")])
def test_several_nodes_follow_from_the_profile(prepared, number, processes):
    lines = [
        line.strip(" #")
        for line in (REPO / "profiles/slurm/config.yaml").read_text().splitlines()
        if line.strip().startswith("# train: {")
    ]
    resources = yaml.safe_load(lines[number])["train"]
    wanted = [f"train:{key}={value}" for key, value in resources.items() if key != "runtime"]
    run = snakemake(prepared, "-n", "-p", "--forcerun", "train", "--set-resources", *wanted, gpus=8)
    assert shell_command(run) == f"srun --kill-on-bad-exit=1 --nodes 2 {processes} python"


def test_profiles_name_rules_that_there_are():
    rules = set(
        re.findall(r"^rule (\w+):", "\n".join(f.read_text() for f in (REPO / "rules").glob("*.smk")), re.MULTILINE)
    )
    profile = yaml.safe_load((REPO / "profiles/slurm/config.yaml").read_text())
    default = yaml.safe_load((REPO / "profiles/default/config.yaml").read_text())
    named = {*profile["set-resources"], *profile["set-threads"], *default["set-resources"]}
    text = (REPO / "profiles/slurm/config.yaml").read_text()
    named |= set(re.search(r"slurm-array-jobs: (\S+)", text).group(1).split(","))
    named |= set(re.findall(r"(\w+): scores\b", text))
    assert named <= rules
    assert not {"cores", "resources"} & profile.keys()  # they would limit the whole cluster
    blocks = [
        block
        for f in (REPO / "rules").glob("*.smk")
        for block in re.split(r"^rule ", f.read_text(), flags=re.MULTILINE)[1:]
    ]
    wide = {block.partition(":")[0] for block in blocks if "threads: workflow.cores" in block}
    assert wide == profile["set-threads"].keys()
    on_gpus = {block.partition(":")[0] for block in blocks if "gpu=" in block}
    assert on_gpus == {"train", *(rule for rule in profile["set-resources"] if rule.startswith("encode_"))}
