"""The workflow by its profile on a real SLURM: jobs and what they ask for, tries, requeues, kills, and a training over two nodes."""

import contextlib
import csv
import os
import re
import signal
import subprocess
import sys
import time
from pathlib import Path

import pandas as pd
import pytest
import yaml
from cluster import slurm
from workflow.running import write_stores

from resdavenet_vq import config
from resdavenet_vq.training.train import TIMINGS
from resdavenet_vq.workflow.batches import Batches
from resdavenet_vq.workflow.plan import Plan

REPO = Path(__file__).resolve().parents[2]
PROFILE = REPO / "profiles/slurm/config.yaml"
EPOCHS = 16
TABLE = "results/spoken_scenes/summary.csv"

pytestmark = pytest.mark.skipif(
    bool(slurm.missing()),
    reason=f"SLURM is not installed: no {', '.join(slurm.missing())} (Debian: apt-get install {slurm.PACKAGES})",
)


@pytest.fixture(scope="module")
def cluster(tmp_path_factory):
    folder = tmp_path_factory.mktemp("cluster")
    with slurm.cluster(folder) as running, contextlib.ExitStack() as runs:
        running.runs = runs
        yield running
    assert not running.processes()


def rules(*files):
    """Rules that start a command, and the names of their files; those of a configuration's batches."""
    values = config.overlay([yaml.safe_load(file.read_text()) for file in files])
    names = {batch.name: "batches" for batch in Batches(Plan(config.read(values))).all}
    for file in (REPO / "rules").glob("*.smk"):
        for block in re.split(r"^(?=rule |use rule )", file.read_text(), flags=re.MULTILINE)[1:]:
            if "shell:" in block or block.startswith("use"):
                names[re.match(r"(?:use rule \w+ as|rule) (\w+)", block)[1]] = file.stem
    return names


def documented(beginning):
    """The value of a commented line of the profile, as YAML has it."""
    (line,) = [
        line.strip().removeprefix("# ")
        for line in PROFILE.read_text().splitlines()
        if line.strip().startswith(f"# {beginning}")
    ]
    return yaml.safe_load(line)


def write_profile(folder, **set_resources):
    """The profile, for a site without accounting, with more cores than it has and other resources for some rules."""
    values = yaml.safe_load(PROFILE.read_text()) | documented("slurm-status-command") | {"latency-wait": 5}
    for rule, resources in set_resources.items():
        values["set-resources"][rule] = values["set-resources"].get(rule, {}) | resources
    folder.mkdir(exist_ok=True)
    (folder / "config.yaml").write_text(yaml.safe_dump(values))
    return folder


class Snakemake:
    """A run that may be waited for; its words are in a file."""

    def __init__(self, cluster, folder, *arguments, program=("-m", "snakemake"), checkout=REPO):
        self.said = folder / f"snakemake.{time.monotonic_ns()}.txt"
        command = [sys.executable, *program, "--snakefile", checkout / "Snakefile", "--directory", folder, *arguments]
        with self.said.open("w") as out:
            self.process = subprocess.Popen(
                [str(word) for word in command],
                stdout=out,
                stderr=out,
                env=cluster.environment | {"OMP_NUM_THREADS": "1"},
            )
        cluster.runs.callback(self.kill)

    def kill(self):
        self.process.kill()
        self.process.wait()

    def end(self, seconds=400):
        """Everything that it said; it must end well."""
        status = self.process.wait(seconds)
        text = self.said.read_text()
        assert status == 0, text[-8000:]
        return text


def on_slurm(cluster, folder, profile, *arguments, checkout=REPO):
    """A run by a profile."""
    program = (REPO / "tests/cluster/impatient.py",)
    return Snakemake(cluster, folder, "--workflow-profile", profile, *arguments, program=program, checkout=checkout)


def wait_for(condition, run, seconds=120):
    """The condition's value as soon as it is true; the run must go on meanwhile."""
    deadline = time.monotonic() + seconds
    while not (value := condition()):
        assert run.process.poll() is None, run.said.read_text()[-8000:]
        assert time.monotonic() < deadline, run.said.read_text()[-8000:]
        time.sleep(0.02)
    return value


def workers(cluster, command):
    """Processes of a job that do the package's command."""
    return [
        pid
        for pid, line in cluster.processes().items()
        if f"-m resdavenet_vq {command} " in line and "python" in line.split()[0]
    ]


def environment(pid):
    """Of a process that is running."""
    return dict(entry.split("=", 1) for entry in Path(f"/proc/{pid}/environ").read_text().split("\0") if "=" in entry)


def read(path):
    """A log, also when there is none yet."""
    with contextlib.suppress(FileNotFoundError):
        return path.read_text()
    return ""


def asked(job):
    """MB of memory, time, partition and cores of a job; SLURM shows 64000 MB as 62.50G."""
    memory = job["MinMemoryNode"]
    megabytes = float(memory[:-1]) * {"M": 1, "G": 1024}[memory[-1]]
    return pytest.approx(megabytes, rel=1e-3), job["TimeLimit"], job["Partition"], job["CPUs/Task"]


def by_rule(jobs):
    """Jobs by the rule or group that the plugin says they are for."""
    found = {}
    for job in jobs:
        found.setdefault(job["Comment"].split("_wildcards")[0].removeprefix("rule_"), []).append(job)
    return found


def test_the_workflow_from_the_corpus_to_the_table(cluster, tmp_path):
    """With a job killed in its first try, which is done again with twice the memory and time."""
    (tmp_path / "few.yaml").write_text(
        yaml.safe_dump(
            {
                "lineages": ["{}"],
                "retrieval": {"split": "val", "similarities": ["pooled"]},
                "words": {"held_out_split": "val"},
                "abx": {"splits": ["val"], "convolutional_layers": []},
            }
        )
    )
    files = ["--configfile", REPO / "config.yaml", REPO / "tests/workflow/tiny.yaml", tmp_path / "few.yaml"]
    gpu = documented("slurm_partition: gpu")
    profile = write_profile(tmp_path / "profile", train=gpu, encode=gpu)
    alone = {"train", "encode_embeddings_maps", "summarize"}
    grouped = [
        "--groups",
        *(
            f"{rule}={'data' if file in ('corpus', 'data') else 'scores'}"
            for rule, file in rules(*files[1:]).items()
            if rule not in alone
        ),
    ]
    before = len(cluster.jobs())
    run = on_slurm(
        cluster, tmp_path, profile, *grouped, "--group-components", "data=9", "scores=9", *files, "--", TABLE
    )
    (victim,) = wait_for(lambda: workers(cluster, "batch encode_embeddings_maps"), run, 300)
    seen = environment(victim)
    os.kill(victim, signal.SIGKILL)
    run.end()

    assert {"{}", "raw log-mel", "normalized log-mel"} == set(pd.read_csv(tmp_path / TABLE)["lineage"])
    assert seen["GRANTED_GPUS"] == "0"
    jobs = by_rule(cluster.jobs()[before:])
    (training,) = jobs["train"]
    assert training["JobState"] == "COMPLETED"
    assert training["TresPerJob"] == "gres:gpu:1"
    assert asked(training) == (64000, "2-00:00:00", "gpu", "1")
    first, second = jobs["encode_embeddings_maps"]
    assert (first["JobState"], second["JobState"]) == ("FAILED", "COMPLETED")
    assert asked(first) == (8000, "04:00:00", "gpu", "1")
    assert asked(second) == (16000, "08:00:00", "gpu", "1")
    (summary,) = jobs["summarize"]
    assert asked(summary) == (4000, "01:00:00", "main", "1")
    assert "TresPerJob" not in summary
    assert all(
        job["JobState"] == "COMPLETED" for rule in jobs if rule != "encode_embeddings_maps" for job in jobs[rule]
    )
    # neither cluster, tries nor GPUs make anything stale
    again = Snakemake(cluster, tmp_path, "--dry-run", "--cores", "1", *files, "--", TABLE)
    assert "Nothing to be done" in again.end()


@pytest.fixture(scope="module")
def stores(tmp_path_factory):
    return write_stores(tmp_path_factory.mktemp("stores"), {"train": 40, "val": 12}, epochs=EPOCHS, workers=1)


class Training:
    """The training of `stores` in a folder of its own."""

    def __init__(self, stores, folder, **changes):
        self.folder = folder
        self.model = folder / "results/spoken_scenes/23/model"
        self.log = folder / "results/spoken_scenes/logs/train/23.log"
        (folder / "results/spoken_scenes").mkdir(parents=True)
        (folder / "results/spoken_scenes/data").symlink_to(stores / "results/spoken_scenes/data")
        values = yaml.safe_load((stores / "config.yaml").read_text())
        values["training"] |= changes
        (folder / "config.yaml").write_text(yaml.safe_dump(values))
        only = ["--allowed-rules", "train", "--configfile", folder / "config.yaml"]
        self.target = [*only, "--", "results/spoken_scenes/23/model/model.json"]

    def epochs_done(self):
        return read(self.log).count(": loss ")

    def result(self):
        """Weights, card and history, without times and devices."""
        with (self.model / "history.csv").open() as f:
            history = [{k: v for k, v in row.items() if k not in TIMINGS} for row in csv.DictReader(f)]
        return (self.model / "model.safetensors").read_bytes(), (self.model / "model.json").read_bytes(), history


def test_a_training_requeued_killed_and_orphaned_ends_like_an_unbroken_one(cluster, stores, tmp_path):
    profile = write_profile(tmp_path / "profile")
    training = Training(stores, tmp_path / "broken")
    before = len(cluster.jobs())
    run = on_slurm(cluster, training.folder, profile, *training.target)

    # the cluster takes the job back and starts it again: SIGTERM
    wait_for(lambda: training.epochs_done() >= 2, run)
    (job,) = cluster.jobs()[before:]
    cluster.ask("scontrol", "requeue", job["JobId"])
    wait_for(lambda: "resumes at epoch" in read(training.log) and training.epochs_done() >= 2, run)
    (job,) = cluster.jobs()[before:]
    assert (job["Restarts"], job["JobState"]) == ("1", "RUNNING")

    # the process is killed outright: Snakemake submits the job again
    os.kill(workers(cluster, "train")[0], signal.SIGKILL)
    training.log.unlink()
    wait_for(lambda: "resumes at epoch" in read(training.log) and training.epochs_done() >= 2, run)
    assert len(cluster.jobs()[before:]) == 2
    assert cluster.jobs()[before]["JobState"] == "FAILED"

    # Snakemake itself is killed: its job goes on in the cluster until it is cancelled, as documented
    run.kill()
    assert not training.model.is_dir() or not list(training.model.iterdir())
    cluster.ask("scancel", "--user", str(os.getuid()))
    deadline = time.monotonic() + 60
    while cluster.ask("squeue", "-h", "-t", "running,completing").strip():
        assert time.monotonic() < deadline
        time.sleep(0.1)
    assert not workers(cluster, "train")
    assert "stopped by SIGTERM" in read(training.log)
    training.log.unlink()
    Snakemake(cluster, training.folder, "--unlock", *training.target[:-2]).end()
    on_slurm(cluster, training.folder, profile, *training.target).end()
    assert "resumes at epoch" in read(training.log)

    unbroken = Training(stores, tmp_path / "unbroken")
    Snakemake(cluster, unbroken.folder, "--cores", "1", *unbroken.target).end()
    assert "goes on" not in read(unbroken.log)
    assert training.result() == unbroken.result()


def test_a_training_over_two_nodes(cluster, stores, tmp_path):
    """Gloo on CPUs; the profile's own line."""
    line = documented("train: {mpi: srun, nodes: 2, tasks: 2")["train"]
    training = Training(stores, tmp_path / "two", epochs=2)
    before = len(cluster.jobs())
    said = on_slurm(cluster, training.folder, write_profile(tmp_path / "profile", train=line), *training.target).end()
    assert "srun --kill-on-bad-exit=1 --nodes 2 --ntasks 2 python -m resdavenet_vq train" in said
    assert "{2,3}: starts on cpu, with 2 processes" in read(training.log)
    (job,) = cluster.jobs()[before:]
    assert (job["JobState"], job["NumNodes"], job["NumTasks"]) == ("COMPLETED", "2", "2")
    assert len(pd.read_csv(training.model / "history.csv")) == 2


@pytest.mark.thorough
def test_nothing_in_a_name_runs_on_the_way_to_a_job(cluster, tmp_path):
    """Neither where jobs are submitted nor where they run: the plugin writes names of folders and files into scripts."""
    hostile = 'two  words ü; "$(touch CANARY)" `touch CANARY`'
    checkout, folder = tmp_path / f"checkout {hostile}", tmp_path / f"run {hostile}"
    checkout.mkdir()
    for name in ("Snakefile", "rules", "config.yaml", "configs", "profiles", "envs", "resdavenet_vq"):
        (checkout / name).symlink_to(REPO / name)
    folder.mkdir()
    few = folder / f"few {hostile}.yaml"
    few.write_text(
        yaml.safe_dump({"corpus": {"pairs": {"train": 2, "val": 2, "test": 2}, "word_lists": {"unseen": 2}}})
    )
    files = ["--configfile", REPO / "config.yaml", few]
    target = "results/spoken_scenes/corpus/val.json"
    profile = write_profile(tmp_path / "profile")
    on_slurm(cluster, folder, profile, *files, "--", target, checkout=checkout).end()
    assert (folder / target).is_file()
    assert not list(tmp_path.rglob("CANARY")), "something in a name ran"
    assert not list(Path.cwd().glob("CANARY"))
    # an apostrophe would end Snakemake's own quotes
    apart = few.rename(tmp_path / "it's few.yaml")
    other = target.replace("val", "test")
    run = on_slurm(cluster, folder, profile, *files[:-1], apart, "--", other, checkout=checkout)
    assert run.process.wait(60) == 1
    assert f"give them other names:\n{apart}: has '" in run.said.read_text()


def test_nothing_is_left_of_a_cluster(tmp_path):
    """Neither daemons nor jobs."""
    with slurm.cluster(tmp_path / "short") as running:
        running.ask("sbatch", "--wrap", "sleep 60")
        assert len(running.processes()) > len(slurm.NODES)
    assert not running.processes()


def test_nothing_is_left_of_a_cluster_whose_test_is_killed(tmp_path):
    code = "import sys, time, slurm, pathlib\nwith slurm.cluster(pathlib.Path(sys.argv[1])): print('up', flush=True); time.sleep(600)"
    command = [sys.executable, "-c", code, tmp_path / "killed"]
    with subprocess.Popen(command, stdout=subprocess.PIPE, cwd=Path(slurm.__file__).parent) as user:
        assert user.stdout.readline() == b"up\n"
        user.kill()
    deadline = time.monotonic() + 30
    while slurm.processes(tmp_path / "killed"):
        assert time.monotonic() < deadline
        time.sleep(0.1)
