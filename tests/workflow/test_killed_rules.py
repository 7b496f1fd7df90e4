"""Snakemake killed in each rule that writes, when the command is about to give an output its name.

Commands run with the package of a copy of the checkout, in which Python reads a `sitecustomize.py`: it stops a command
there, for ever, and leaves a mark. Nothing in the package knows of it.
"""

import json
import shutil
import subprocess
import time
from pathlib import Path

import pytest
import yaml
from workflow import planner
from workflow.living import assert_still
from workflow.plans import values_of
from workflow.running import ENVIRONMENT, REPO, TINY, command

from resdavenet_vq import config
from resdavenet_vq.config import SpokenScenes
from resdavenet_vq.data.store import Store
from resdavenet_vq.demo import corpus as spoken_scenes

STOP = """
import os, sys, time
from pathlib import Path

outputs = [Path(path).absolute() for path in os.environ.get("STOPPED_OUTPUTS", "").split(os.pathsep) if path]
renames = iter(range(int(os.environ.get("STOPPED_BEFORE", "0")), 0, -1))

def stop(event, arguments):
    if event == "os.rename":
        target = Path(os.fsdecode(arguments[1])).absolute()
        if any(output.is_relative_to(target) for output in outputs) and next(renames, 0) == 1:
            Path(os.environ["STOPPED_MARK"]).touch()
            while True:
                time.sleep(0.05)

if sys.orig_argv[1:3] == ["-m", "resdavenet_vq"]:
    sys.addaudithook(stop)
"""

DEMO = {
    "lineages": ["{}->{2}"],
    "corpus": {"pairs": {"train": 24, "val": 12, "test": 12}, "word_lists": {"unseen": 8}},
    "preparation": {"rows_per_part": 12, "parts": {"train": 2}},
    "training": {"batch_size": 8},
    "noise": {"kinds": ["white"], "snr_db": [10.0], "scores": ["retrieval"]},
    "report": {"noise": True},
}
APART = ("logs", "benchmarks", "state", "digests.json")
"""What a killed run may change below results/CORPUS: what it said, and what a training goes on from."""


class Runs:
    """Runs of one configuration in one folder."""

    def __init__(self, checkout, folder, values, targets):
        self.checkout, self.folder = checkout, folder
        self.file = folder / "configuration.yaml"
        self.file.write_text(yaml.safe_dump(values))
        self.root = folder / "results" / values["corpus"]["name"]
        question = {"folder": folder, "config": values, "targets": targets}
        jobs, answer = planner.ask(checkout, [{"do": "jobs", **question}, {"do": "commands", **question}])
        self.templates = set(answer["templates"])
        self.makers = {output: job for job in jobs for output in job["output"]}
        self.jobs = {}
        for job in sorted(jobs, key=self._depth):
            if job["shellcmd"]:
                self.jobs.setdefault(job["rule"], job)

    def _depth(self, job):
        return 1 + max((self._depth(self.makers[file]) for file in job["input"] if file in self.makers), default=0)

    def start(self, *arguments, **stopped):
        words = command(self.folder, *arguments, configfiles=[self.file], checkout=self.checkout)
        variables = {f"STOPPED_{key.upper()}": str(value) for key, value in stopped.items()}
        pipes = {"stdout": subprocess.PIPE, "stderr": subprocess.STDOUT, "text": True}
        return subprocess.Popen(words, cwd=self.folder, env=ENVIRONMENT | variables, **pipes)

    def end(self, *arguments):
        run = self.start(*arguments)
        said = run.communicate(timeout=500)[0]
        assert run.returncode == 0, said

    def contents(self):
        """Every file of the results, but logs and the states of trainings."""
        return {
            str(path.relative_to(self.folder)): path.read_bytes()
            for path in self.root.rglob("*")
            if path.is_file() and path.relative_to(self.root).parts[0] not in APART
        }

    def kill(self, rule, times):
        """Kills Snakemake before a command's first rename of an output, then before its second, ...; then goes on."""
        job = self.jobs[rule]
        lacking = [file for file in job["input"] if not (self.folder / file).exists()]
        if lacking:
            self.end(*lacking)
        before, whole = self.contents(), {}
        for n in range(1, times + 1):
            mark = self.folder / f"stopped.{rule}.{n}"
            run = self.start(job["output"][0], before=n, outputs=":".join(job["output"]), mark=mark)
            while not mark.exists() and run.poll() is None:
                time.sleep(0.02)
            if run.poll() is not None:
                said = run.communicate()[0]
                assert (run.returncode, n > 1) == (0, True), said
                break
            run.kill()
            assert_still(run.pid, self.root)
            run.communicate()
            after = self.contents()
            assert before.items() <= after.items(), f"{rule} changed what was there"
            new = {path: content for path, content in after.items() if path not in before}
            whole |= {path: content for path, content in new.items() if not is_temporary(path)}
            self.end("--unlock")
        self.end(job["output"][0])
        after = self.contents()
        assert before.items() <= after.items(), rule
        assert whole.items() <= after.items(), f"{rule} was killed with an unfinished file under its name"
        assert not any(map(is_temporary, after)), f"{rule} left {[path for path in after if is_temporary(path)]}"


def is_temporary(path):
    """Hidden files are, but those that a part is kept by, and Snakemake's own."""
    return any(part.startswith(".") and part not in (".kept", ".snakemake_timestamp") for part in path.split("/"))


@pytest.fixture(scope="module")
def stopping(checkout, tmp_path_factory):
    """A checkout in which commands stop."""
    copy = tmp_path_factory.mktemp("stopping") / "checkout"
    shutil.copytree(checkout, copy)
    (copy / "sitecustomize.py").write_text(STOP)
    return copy


@pytest.fixture(scope="module")
def demo(stopping, tmp_path_factory):
    values = config.overlay([*(yaml.safe_load(file.read_text()) for file in TINY), DEMO])
    folder = tmp_path_factory.mktemp("demo")
    return Runs(stopping, folder, values, ["all", "noise", "figures", "tables"])


@pytest.fixture(scope="module")
def imported(stopping, tmp_path_factory):
    """A corpus and a model of others."""
    folder = tmp_path_factory.mktemp("imported")
    settings = SpokenScenes(layout="spoken_scenes", name="x", seed=3, pairs={"train": 1, "val": 8}, image_size=32)
    spoken_scenes.make(settings, "val", folder, 1)
    values = values_of(
        corpus=None,
        retrieval={"split": "val"},
        abx={"splits": ["val"]},
        words={"held_out_split": "val"},
        lineages=["{2,3}"],
        released={"{2,3}": str(REPO / "tests/golden/reference_experiment")},
    )
    metadata = dict.fromkeys(("train", "val", "test"), "val.json")
    values["corpus"] = {"layout": "places", "name": "x", "metadata": metadata}
    return Runs(stopping, folder, values, ["all"])


@pytest.fixture(scope="module")
def external(stopping, tmp_path_factory):
    """Units made elsewhere of a corpus that is made here: every utterance is one."""
    folder = tmp_path_factory.mktemp("external")
    few = {"corpus": DEMO["corpus"], "lineages": ["{}"], "abx": {"splits": ["test"], "convolutional_layers": []}}
    values = config.overlay([*(yaml.safe_load(file.read_text()) for file in TINY), few])
    root = Path("results", values["corpus"]["name"])
    stores = [str(root / f"data/{split}.h5") for split in ("train", "test")]
    Runs(stopping, folder, values, stores).end(*stores)
    for file in map(Path, stores):
        rows = [json.dumps({"id": name, "segments": [[0.0, 0.1, 0]]}) for name in Store(folder / file).ids]
        (folder / f"{file.stem}.jsonl").write_text("\n".join(rows))
    files = {file.stem: f"{file.stem}.jsonl" for file in map(Path, stores)}
    values["external"] = {"a": {"files": files, "format": "segments"}}
    return Runs(stopping, folder, values, ["all"])


def test_nothing_unfinished_has_a_name_and_the_same_line_goes_on(demo):
    demo.kill("make_corpus", 1)


@pytest.mark.thorough
def test_in_every_rule(demo, imported, external):
    faults, tried, templates = [], set(), set()
    for runs in (demo, imported, external):
        rules = [rule for rule in runs.jobs if rule not in tried]
        tried.update(rules)
        templates |= {runs.jobs[rule]["template"] for rule in rules}
        for rule in rules:
            try:
                runs.kill(rule, 2)
            except AssertionError as e:
                faults.append(str(e))
    assert faults == []
    assert templates == demo.templates
