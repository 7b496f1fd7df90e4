"""A change re-runs what depends on it and nothing else: every key of the configuration, every module of the package, and what is no change.

Nothing is computed here: everything that a configuration asks for is marked as made, in a copy of the checkout, and then
Snakemake is asked what it would run. test_workflow.py does so after a run that has really taken place.
"""

import ast
import json
import os
import re
import shutil
import subprocess
import sys

import pytest
from workflow import planner
from workflow.staleness import REPO, TABLES, UNLISTED, World

from resdavenet_vq.fingerprint import RESULT_FREE

WORLDS = {name: World.named(name) for name in TABLES["worlds"]}


def folder_of(world, tmp):
    """A folder to run in, with the files that a world's corpus names."""
    folder = tmp / world.name
    for name in world.files:
        (folder / name).parent.mkdir(parents=True, exist_ok=True)
        (folder / name).write_text(f"{name}\n")
        os.truncate(folder / name, planner.SIZE)
    folder.mkdir(exist_ok=True)
    return folder


@pytest.fixture(scope="module")
def made(checkout, tmp_path_factory):
    """The jobs of a complete run of each world, by its name, and the folder of the worlds."""
    tmp = tmp_path_factory.mktemp("worlds")
    questions = [
        {"do": do, "folder": folder_of(world, tmp), "config": world.values, "targets": world.targets}
        for world in WORLDS.values()
        for do in ("pretend", "jobs")
    ]
    jobs = planner.ask(checkout, questions)[1::2]
    return {"folders": tmp, **{(name, "jobs"): answer for name, answer in zip(WORLDS, jobs, strict=True)}}


@pytest.fixture(scope="module")
def plans(checkout, made):
    """What each changed key would run, by world and key."""
    keys = [(world, entry, key) for world, entry, key in entries() if not entry.never]
    questions = [
        {
            "do": "plan",
            "folder": made["folders"] / world.name,
            "config": world.changed(key, entry),
            "targets": world.targets,
        }
        for world, entry, key in keys
    ]
    answers = planner.ask(checkout, questions)
    return {(world.name, key): answer for (world, _, key), answer in zip(keys, answers, strict=True)}


def entries():
    """Every key that has an entry in a world's table."""
    return [(world, entry, key) for world in WORLDS.values() for entry in world.entries for key in entry.keys]


# -- the configuration --------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("world", WORLDS.values(), ids=WORLDS)
def test_every_key_of_the_schema_has_an_entry_and_every_entry_a_key(world):
    listed = [key for entry in world.entries for key in entry.keys]
    assert sorted(listed) == sorted(set(listed)), "a key stands in two entries"
    assert set(listed) == set(world.leaves)


def test_who_reads_what_is_as_the_table_says(made):
    """The rules that follow each other, over all worlds, as read off the commands by hand."""
    found = {}
    for name in WORLDS:
        makers = {output: job["rule"] for job in made[name, "jobs"] for output in job["output"]}
        for job in made[name, "jobs"]:
            if job["output"]:
                for source in job["input"]:
                    if source in makers:
                        found.setdefault(makers[source], set()).add(job["rule"])
    assert found == {rule: set(text.split()) for rule, text in TABLES["follows"].items()}


CASES = [pytest.param(*case, id=f"{case[0].name}-{case[2]}") for case in entries() if not case[1].never]


@pytest.mark.parametrize(("world", "entry", "key"), CASES)
def test_a_changed_key_re_runs_what_depends_on_it_alone(world, entry, key, made, plans):
    jobs, plan = made[world.name, "jobs"], plans[world.name, key]
    before = {output for job in jobs for output in job["output"]}
    remade, added = stale_results(jobs, plan)
    stale = remade & before
    if entry.added == {"*"}:
        assert (stale, not added) == (set(), False)
        return
    assert added == entry.added
    for rule, parts in entry.remade.items():
        for part in parts:
            assert any(part in output for job in jobs if job["rule"] == rule for output in job["output"]), (
                f"{rule} makes no {part!r}"
            )
    first = {o for job in jobs for o in job["output"] if any(part in o for part in entry.remade.get(job["rule"], ()))}
    assert stale == behind(first, jobs) & {output for job in plan["jobs"] for output in job["output"]}
    for output in first & stale:
        reasons = plan["stale"][output]["reasons"]
        assert reasons or not plan["stale"][output]["why"], (
            f"{output}: `resdavenet-vq plan` names no key, module or file"
        )
        assert "other parameters" not in reasons


if UNLISTED:  # evaluations that were added without entries

    @pytest.mark.parametrize("section", UNLISTED)
    def test_a_key_of_an_evaluation_without_entries_re_runs_its_rule_alone(section, checkout, tmp_path):
        world = World.of_section(section)
        about = {"folder": folder_of(world, tmp_path), "targets": world.targets}
        questions = [{"do": "pretend", "config": world.values, **about}]
        questions += [
            {"do": "plan", "config": world.changed(key, entry), **about}
            for entry in world.entries
            for key in entry.keys
        ]
        for plan in planner.ask(checkout, questions)[1:]:
            assert {job["rule"] for job in plan["stale"].values()} == {f"score_{section}"}


def stale_results(jobs, plan):
    """What a plan would really make, and the rules of what was not made before.

    A job that makes several results leaves those that are as before. Snakemake must plan each job that has something to
    make, and none that has not, unless it reads what another makes, or no longer makes all that it did.
    """
    depends = {job["output"][0]: job.get("depends") for job in jobs if job["output"]}
    direct, batches = set(), {}
    for job in plan["jobs"]:
        if job["output"] and "depends" in job:
            changed = depends.get(job["output"][0]) != job["depends"]
            direct |= set(job["output"]) if changed else set()
            batches.setdefault((job["job"], *job["log"]), []).append(job)
        elif job["output"] and job["output"][0] in plan["stale"] and plan["stale"][job["output"][0]]["reasons"]:
            direct |= set(job["output"])
    remade = behind(direct, plan["jobs"])
    for results in batches.values():
        outputs = {output for job in results for output in job["output"]}
        planned = outputs & plan["stale"].keys()
        assert planned in (set(), outputs)
        if outputs & remade:
            assert planned, f"{results[0]['job']} is not planned"
        elif planned:
            about = plan["stale"][results[0]["output"][0]]
            read = {file for job in results for file in job["input"]}
            for_nothing = about["reasons"] and not read & plan["stale"].keys()
            fewer = all(reason.startswith(("no longer ", "other parameters")) for reason in about["reasons"])
            assert fewer or not for_nothing, about
    added = remade - {output for job in jobs for output in job["output"]}
    return remade, {job["rule"] for job in plan["jobs"] if added.intersection(job["output"])}


def behind(outputs, jobs):
    """These outputs, those made with them, and all that are made from them, directly or not."""
    seen, grown = set(outputs), True
    while grown:
        grown = False
        for job in jobs:
            if not seen.issuperset(job["output"]) and seen.intersection((*job["input"], *job["output"])):
                seen.update(job["output"])
                grown = True
    return seen


# -- the package's code -------------------------------------------------------------------------------------------------


def modules_of(package):
    """Every module of a package, relative to it, and its file."""
    files = {file.relative_to(package).with_suffix(""): file for file in sorted(package.rglob("*.py"))}
    return {
        ".".join(path.parts).removesuffix(".__init__"): file
        for path, file in files.items()
        if path.parts != ("__init__",)
    }


def watched(jobs):
    """Of each rule the modules in the parameter `code`, with their hashes, by the command that it runs."""
    found = {}
    for job in jobs:
        if job["shellcmd"]:
            command = re.search(r"-m resdavenet_vq ([\w-]+)", job["shellcmd"])[1]
            found.setdefault((job["rule"], command), {}).update(
                token.split(":") for token in job["params"]["code"].split()
            )
    return found


@pytest.fixture(scope="module")
def imported(checkout, made):
    """What Python really loads for each command, the modules without results and empty packages apart."""
    commands = sorted({command for name in WORLDS for _, command in watched(made[name, "jobs"])})
    run = subprocess.run(
        [sys.executable, REPO / "tests/workflow/imported.py", *commands],
        env=os.environ | {"PYTHONPATH": str(checkout)},
        capture_output=True,
        text=True,
        check=True,
    )
    return {
        command: {name for name in loaded if name.split(".")[0] not in RESULT_FREE | {"__main__"}}
        for command, loaded in json.loads(run.stdout).items()
    }


def test_each_rule_watches_the_modules_that_its_command_loads(checkout, made, imported):
    modules = modules_of(checkout / "resdavenet_vq")
    empty = {
        name
        for name, file in modules.items()
        if file.name == "__init__.py" and not ast.parse(file.read_text()).body[1:]
    }
    called = {
        rule: set(found.split()) for rules, found in TABLES["modules"]["called"].items() for rule in rules.split()
    }
    out = {}
    for module, entry in TABLES["modules"]["left_out"].items():
        for rule in entry["rules"].split():
            out.setdefault(rule, set()).add(module)
    differences = {}
    for name in WORLDS:
        for (rule, command), hashes in watched(made[name, "jobs"]).items():
            # the modules that read this world's corpus, or make it
            layouts = {
                module for module in hashes if rule.startswith("prepare") and module.startswith(("corpus.", "demo."))
            }
            more = hashes.keys() - imported[command] - called.get(rule, set()) - layouts - empty
            less = imported[command] - hashes.keys() - out.get(rule, set()) - empty
            if more or less:
                differences[name, rule] = {"watched, not loaded": sorted(more), "loaded, not watched": sorted(less)}
    assert not differences, "\n".join(f"{of}: {difference}" for of, difference in differences.items())


def test_a_changed_module_or_template_re_runs_the_rules_that_watch_it_alone(checkout, made, tmp_path):
    """Every module is changed by a harmless line; the reasons that Snakemake would give are the modules' new hashes."""
    world, package = WORLDS["demo"], checkout / "resdavenet_vq"
    about = {"folder": made["folders"] / "demo", "config": world.values, "targets": world.targets}
    texts = {name: file.read_text() for name, file in modules_of(package).items()}
    path = {name: str(file.relative_to(checkout)) for name, file in modules_of(package).items()}

    def edited(names, line):
        return {"do": "edit", "files": {path[name]: texts[name] + line for name in names}}

    some = (
        "evaluation.abx.score",
        "files",
        "training.train",
        "report.page",
        "demo.corpus",
        "corpus.flickr8k",
        "config",
        "commands.score",
    )
    questions = [
        edited(texts, "\n# a comment\n"),
        {"do": "plan", **about},
        edited(texts, "\nHARMLESS = 1\n"),
        {"do": "jobs", **about},
    ]
    questions.append(edited(texts, ""))
    for name in some:
        questions += [edited([name], "\nHARMLESS = 1\n"), {"do": "plan", **about}, edited([name], "")]
    template = "resdavenet_vq/report/templates/index.html"
    page = (checkout / template).read_text()
    questions += [{"do": "edit", "files": {template: f"{page}<!-- -->"}}, {"do": "plan", **about}]
    questions.append({"do": "edit", "files": {template: page}})
    _, commented, _, changed, _, *each, _, of_template, _ = planner.ask(checkout, questions)
    assert {job["rule"] for job in of_template["stale"].values()} == {"write_report"}

    assert commented["stale"] == {}
    before, after = watched(made["demo", "jobs"]), watched(changed)
    assert before.keys() == after.keys()
    for of in before:
        assert before[of].keys() == {
            name for name in after[of] if name in before[of] or not (package / name.replace(".", "/")).is_dir()
        }
        assert all(before[of][module] != after[of][module] for module in before[of]), of
    jobs = made["demo", "jobs"]
    for name, plan in zip(some, each[1::3], strict=True):
        first = {
            o
            for job in jobs
            for o in job["output"]
            if name in {token.split(":")[0] for token in job["params"].get("code", "").split()}
        }
        assert stale_results(jobs, plan)[0] == behind(first, jobs), name
        assert bool(first) == (name not in {"corpus.flickr8k", "config", "commands.score"}), name


# -- what is no change --------------------------------------------------------------------------------------------------


def test_nothing_is_stale_after_a_run_a_touch_a_copy_or_with_other_cores(checkout, made, tmp_path):
    world = WORLDS["demo"]
    folder = made["folders"] / "demo"
    copied, unrecorded = tmp_path / "copied", tmp_path / "unrecorded"
    shutil.copytree(folder, copied)
    for number, file in enumerate(
        sorted(copied.rglob("*"), reverse=True)
    ):  # as cp -r does without -p, in an unlucky order
        os.utime(file, (2e9 + number, 2e9 + number)) if ".snakemake" not in file.parts else None
    shutil.copytree(
        folder, unrecorded, ignore=shutil.ignore_patterns(".snakemake")
    )  # keeps times, as cp -a or rsync -a do
    another = tmp_path / "another/checkout"
    shutil.copytree(checkout, another)
    about = {"do": "plan", "config": world.values, "targets": world.targets}
    here = [
        {**about, "folder": folder},
        {**about, "folder": folder, "cores": 7},
        {
            **about,
            "folder": folder,
            "threads": {"train": 5, "prepare": 3, "make_corpus": 8},
        },  # as profiles/slurm sets them
        {**about, "folder": copied},
        {**about, "folder": unrecorded},
    ]
    for number, plan in enumerate(planner.ask(checkout, here)):
        assert plan["stale"] == {}, f"question {number}"
    for file in (p for p in checkout.rglob("*") if p.is_file()):
        file.touch()
    assert planner.ask(another, [{**about, "folder": folder}])[0]["stale"] == {}
    assert planner.ask(checkout, [{**about, "folder": folder}])[0]["stale"] == {}


def test_jobs_have_logs_and_benchmarks_by_rule_and_wildcards(made):
    for name in WORLDS:
        jobs = {(job["job"], job["benchmark"], *job["log"]): job for job in made[name, "jobs"] if job["shellcmd"]}
        assert len(jobs) == len({log for _, _, log in jobs}), "two jobs share a log"
        for (rule, benchmark, log), job in jobs.items():
            assert f"/logs/{rule}" in log, job
            assert f"/benchmarks/{rule}" in (benchmark or f"/benchmarks/{rule}"), job
