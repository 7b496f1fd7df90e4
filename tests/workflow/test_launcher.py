"""How a training is started: one process, several on a machine by torchrun, several nodes by srun."""

import json
import os
import re
import subprocess
import sys
from types import SimpleNamespace

import pandas as pd
import pytest
import yaml
from safetensors.torch import load_file
from workflow.plans import plan_of
from workflow.running import REPO, dry_runs, snakemake, write_stores

from resdavenet_vq.errors import InputError
from resdavenet_vq.workflow.batches import Batches
from resdavenet_vq.workflow.jobs import check_names, launcher

MODEL = "results/spoken_scenes/23/model"


@pytest.mark.parametrize(
    ("resources", "expected"),
    [
        ({}, "env CUDA_VISIBLE_DEVICES= python"),
        ({"gpu": 0}, "env CUDA_VISIBLE_DEVICES= python"),
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
    assert launcher(resources) == expected.split()


def test_what_job_scripts_cannot_have_is_refused():
    check_names(["/a b", "/$(touch a)", '/"ü"'])
    with pytest.raises(InputError, match=r"(?s)other names:\n/it's: has '\n/a\\b: has \\$"):
        check_names(["/a b", "/it's", "/a\\b"])


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


NO_GPU = {"CUDA_VISIBLE_DEVICES": ""}
FEWER = {
    0: "env CUDA_VISIBLE_DEVICES= python",
    1: "python",
    2: "torchrun --standalone --nproc-per-node 2",
}
"""What starts a training for two GPUs where there are so many."""
NODES = {0: "--ntasks-per-node 4", 1: "--ntasks 2"}
"""Options of srun by the number of the line for several nodes in profiles/slurm."""


def nodes_of_the_profile(number):
    """What sets the resources of that line."""
    text = (REPO / "profiles/slurm/config.yaml").read_text()
    lines = [line.strip(" #") for line in text.splitlines() if line.strip().startswith("# train: {")]
    resources = yaml.safe_load(lines[number])["train"]
    return [f"train:{key}={value}" for key, value in resources.items() if key != "runtime"]


@pytest.fixture(scope="module")
def trained(tmp_path_factory):
    """A folder with a training of two processes, and what Snakemake said."""
    folder = write_stores(tmp_path_factory.mktemp("launched"), {"train": 18, "val": 12}, gpus=2, epochs=1, workers=0)
    words = [f"{MODEL}/model.json", "-p", "--resources", "gpu=2", "--allowed-rules", "train"]
    files = [folder / "config.yaml"]
    return folder, snakemake(folder, *words, cores=8, configfiles=files, environment=os.environ | NO_GPU)


@pytest.fixture(scope="module")
def planned(trained):
    """What dry runs after the training say: as it is, trained again with fewer GPUs, and on several nodes."""
    again = ["-p", "--forcerun", "train"]
    cases = {"as it is": (0, []), **{("fewer", n): (n, again) for n in FEWER}}
    cases |= {("nodes", n): (8, [*again, "--set-resources", *nodes_of_the_profile(n)]) for n in NODES}
    folder = trained[0]
    place = ["--snakefile", REPO / "Snakefile", "--configfile", folder / "config.yaml", "--cores", 8]
    place += ["--allowed-rules", "train", "--resources"]
    lines = [[f"{MODEL}/model.json", *options, *place, f"gpu={gpus}"] for gpus, options in cases.values()]
    answers = dry_runs(folder, lines, **NO_GPU)
    assert [status for status, _ in answers] == [0] * len(cases), answers
    return dict(zip(cases, (output for _, output in answers), strict=True))


def launcher_of(output):
    """What a dry run would have started."""
    return re.search(r"^Shell command: (.*) -m resdavenet_vq train ", output, re.MULTILINE)[1]


def test_a_training_in_two_processes_of_torchrun(trained, planned):
    """Gloo on the CPU in the place of NCCL; the rule's own command otherwise."""
    prepared, output = trained
    assert "torchrun --standalone --nproc-per-node 2 -m resdavenet_vq train" in output
    log = (prepared / "results/spoken_scenes/logs/train/23.log").read_text()
    assert "{2,3}: starts on cpu, with 2 processes" in log
    out = prepared / MODEL
    assert sorted(path.name for path in out.iterdir()) == [
        "README.md",
        "history.csv",
        "model.json",
        "model.safetensors",
    ]
    assert json.loads((out / "model.json").read_text())["lineage"] == "{2,3}"
    assert len(pd.read_csv(out / "history.csv")) == 1
    assert all(x.isfinite().all() for x in load_file(out / "model.safetensors").values())
    # another number of GPUs is no reason to train again
    assert "Nothing to be done" in planned["as it is"]


@pytest.mark.parametrize("gpus", FEWER)
def test_fewer_gpus_are_used_where_there_are_fewer(planned, gpus):
    assert launcher_of(planned["fewer", gpus]) == FEWER[gpus]


@pytest.mark.parametrize("number", NODES)
def test_several_nodes_follow_from_the_profile(planned, number):
    expected = f"srun --kill-on-bad-exit=1 --nodes 2 {NODES[number]} python"
    assert launcher_of(planned["nodes", number]) == expected


def test_profiles_name_rules_that_there_are():
    files = "\n".join(file.read_text() for file in (REPO / "rules").glob("*.smk"))
    rules = set(re.findall(r"^(?:use rule \w+ as|rule) (\w+)\b", files, re.MULTILINE))
    batches = Batches(plan_of(training={"gpus": 1})).all
    rules |= {name for batch in batches for name in (batch.family, batch.name)}
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
    wide = {block.partition(":")[0] for block in blocks if "threads: all_cores" in block}
    assert wide == profile["set-threads"].keys()
    on_gpus = {
        batch.family
        for batch in batches
        for folder in batch.folders or ("",)
        if batch.gpus(SimpleNamespace(folder=folder, split=(*batch.splits, "")[0]))
    }
    assert on_gpus == {"make_untrained", "encode", "fit_kmeans", "encode_kmeans"}
    assert on_gpus | {"train"} <= profile["set-resources"].keys()
    comment = " ".join(text.replace("#", " ").split())
    assert "to train, encode, make_untrained, fit_kmeans and encode_kmeans" in comment
