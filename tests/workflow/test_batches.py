"""Jobs that make several results: what belongs together, and that each makes again what has changed alone."""

import json
import shlex
from contextlib import nullcontext
from pathlib import Path

import pytest
from workflow.plans import values_of

from resdavenet_vq import config
from resdavenet_vq.commands import batch as command
from resdavenet_vq.errors import InputError
from resdavenet_vq.workflow import batch
from resdavenet_vq.workflow.batches import Batches
from resdavenet_vq.workflow.noise import NoisePlan
from resdavenet_vq.workflow.pages import Pages
from resdavenet_vq.workflow.plan import Plan
from resdavenet_vq.workflow.task import Item, Result, Task


def plan(**sections):
    return Plan(config.read(values_of(**sections)))


@pytest.mark.parametrize(
    "sections",
    [
        {},
        {"seeds": [8675309, 1]},
        {"retrieval": None, "report": None},
        {"words": None},
        {"lineages": []},
        {"abx": {"splits": [], "convolutional_layers": []}},
        {"baselines": {"kmeans_of": []}},
    ],
    ids=str,
)
def test_every_result_of_a_plan_has_one_rule(sections):
    some = plan(**sections)
    rules, pages = Batches(some), Pages(some)
    outputs = [
        file.replace("{folder}", folder).replace("{split}", split)
        for rule in rules.all
        for file in rule.outputs
        for folder in rule.folders or ("",)
        for split in rule.splits or ("",)
    ]
    assert len(outputs) == len(set(outputs)) == len(rules.makers)
    asked = {*some.retrieval, *some.matchmaps, *some.abx, *some.submissions, *some.words, *some.replicates}
    asked |= {*NoisePlan(some).scores, *pages.codes, *pages.maps}
    assert asked <= set(outputs)
    assert len({rule.name for rule in rules.all}) == len(rules.all)
    for rule in rules.all:
        assert rules.named(rule.name) is rule


@pytest.mark.parametrize("sections", [{}, {"seeds": [8675309, 1]}], ids=str)
def test_every_score_and_model_has_the_command_line_of_its_job(sections):
    some = plan(**sections)
    rules = Batches(some)
    for file in (*some.retrieval, *some.matchmaps, *some.abx, *some.submissions, *some.words):
        rule, log, words = rules.command_lines[file]
        assert rule == rules.makers[file]
        assert {file, str(Path(file).parent)} & set(words)
        assert log.startswith(f"{some.root}/logs/{rule}")
        assert "{" not in log
    for lineage in some.trained:
        assert rules.command_lines[f"{some.root}/{lineage}/model/model.json"][0] == "train"


def test_a_rule_without_a_name_is_an_error():
    with pytest.raises(InputError, match="no_such_rule"):
        Batches(plan()).named("no_such_rule")


# -- a job --------------------------------------------------------------------------------------------------------------


def task(root, name, inputs=(), settings="{}", code="evaluation.words"):
    """A command `write` with two results."""
    results = tuple(
        Result(Item("abx", name, layer=layer), (str(root / name / layer),), ((f"--{layer}", "1"),))
        for layer in ("a", "b")
    )
    options = (("--name", name), ("--settings", settings))
    return Task("write", options, results, tuple(map(str, inputs)), (), (code,))


class Commands:
    """What ran; each command writes the files of the results that it was asked for."""

    def __init__(self, root):
        self.root, self.lines, self.failing = root, [], set()

    def __call__(self, words):
        self.lines.append(shlex.join(words))
        name = words[words.index("--name") + 1]
        if name in self.failing:
            raise InputError(f"{name}: is broken")
        for layer in ("a", "b"):
            if f"--{layer}" in words:
                (self.root / name).mkdir(exist_ok=True)
                (self.root / name / layer).write_text(json.dumps(self.lines))


def run(root, commands, tasks):
    commands.lines.clear()
    said = []
    batch.run(tasks, root, commands, said.append)
    return said


def test_a_job_makes_what_changed_alone_with_one_command(tmp_path):
    source = tmp_path / "source.sha256"
    source.write_text("1")
    commands = Commands(tmp_path)
    tasks = [task(tmp_path, "x", [source]), task(tmp_path, "y")]
    run(tmp_path, commands, tasks)
    assert commands.lines == [
        "write --name x --settings '{}' --a 1 --b 1",
        "write --name y --settings '{}' --a 1 --b 1",
    ]
    for file in ("x/a", "x/b", "y/a", "y/b"):
        (tmp_path / file).unlink()  # as Snakemake does
    said = run(tmp_path, commands, tasks)
    assert commands.lines == []
    assert said == [f"unchanged: {tmp_path / file}" for file in ("x/a", "x/b", "y/a", "y/b")]

    source.write_text("2")
    (tmp_path / "y/b").write_text("by hand")
    said = run(tmp_path, commands, tasks)
    assert commands.lines == ["write --name x --settings '{}' --a 1 --b 1", "write --name y --settings '{}' --b 1"]
    run(tmp_path, commands, [tasks[0], task(tmp_path, "y", settings='{"k": 1}')])
    assert commands.lines == ["""write --name y --settings '{"k": 1}' --a 1 --b 1"""]
    run(tmp_path, commands, [tasks[0], task(tmp_path, "y", settings='{"k": 1}', code="evaluation.units")])
    assert commands.lines == ["""write --name y --settings '{"k": 1}' --a 1 --b 1"""]


def test_after_a_failure_the_others_run_and_what_reads_the_failed_one_does_not(tmp_path):
    commands = Commands(tmp_path)
    commands.failing = {"x"}
    tasks = [task(tmp_path, "x"), task(tmp_path, "y"), task(tmp_path, "z", [tmp_path / "x/a"])]
    with pytest.raises(InputError, match=r"^x: is broken$"):
        run(tmp_path, commands, tasks)
    assert [shlex.split(line)[2] for line in commands.lines] == ["x", "y"]
    Path(tmp_path / "y/a").unlink()  # Snakemake deletes what a failed job made
    commands.failing = set()
    run(tmp_path, commands, tasks)
    assert [shlex.split(line)[2] for line in commands.lines] == ["x", "z"]
    assert (tmp_path / "y/a").exists()


@pytest.mark.parametrize("status", [None, 0, 3])
def test_an_exit_status_is_a_failure_as_in_a_process_of_its_own(monkeypatch, status):
    monkeypatch.setattr(command, "app", lambda words, standalone_mode: status)
    with pytest.raises(InputError, match=r"^score-abx: exit status 3$") if status else nullcontext():
        command._call(["score-abx", "--layer", "conv2"])
