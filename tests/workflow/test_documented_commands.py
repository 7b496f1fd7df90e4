"""Every command in the README and the docs is parsed as written, and what Snakemake would do is planned."""

import re
import shlex
import subprocess
from pathlib import Path

import pytest
import typer
import yaml
from workflow.running import REPO, dry_runs

from resdavenet_vq import __main__, config
from resdavenet_vq.workflow.plan import Plan

PAGES = [REPO / "README.md", REPO / "CONTRIBUTING.md", *sorted((REPO / "docs").rglob("*.md"))]


def commands():
    """{command line: page} of the fenced `sh` blocks, continuation lines joined and comments dropped."""
    found = {}
    for page in PAGES:
        for block in re.findall(r"^```sh\n(.*?)^```", page.read_text(), re.MULTILINE | re.DOTALL):
            for line in block.replace("\\\n", " ").splitlines():
                command = line.split("  #")[0].strip()
                if command and not command.startswith("#"):
                    found.setdefault(command, page.name)
    return found


COMMANDS = {command: tuple(shlex.split(command)) for command in sorted(commands())}


def of(program):
    return [pytest.param(words[1:], id=command) for command, words in COMMANDS.items() if words[0] == program]


@pytest.fixture(scope="module")
def checkout(tmp_path_factory):
    """The repository's files in a folder of their own, with empty files standing in for the corpora of configs/."""
    folder = tmp_path_factory.mktemp("checkout")
    for path in REPO.iterdir():
        if path.name not in {"configs", "results", ".snakemake"}:
            (folder / path.name).symlink_to(path)
    (folder / "configs").mkdir()
    for file in (REPO / "configs").glob("*.yaml"):
        copy = folder / "configs" / file.name
        copy.write_text(file.read_text().replace("/data/", f"{folder}/data/"))
        if "corpus" not in (values := yaml.safe_load(copy.read_text())):
            continue  # laid over another one
        plan = Plan(config.read(values))
        for path in (Path(p) for split in plan.config.corpus.splits for p in plan.splits.corpus_files(split)):
            path.parent.mkdir(parents=True, exist_ok=True)
            path.touch() if path.suffix else path.mkdir(exist_ok=True)
    (folder / "mine.yaml").write_text("words: {min_occurrences: 3}\n")
    return folder


@pytest.fixture(scope="module")
def planned(checkout):
    """Exit status and output of a dry run for each documented command of Snakemake."""
    lines = [words[1:] for words in COMMANDS.values() if words[0] == "snakemake"]
    return dict(zip(lines, dry_runs(checkout, [("-q", "rules", *line) for line in lines]), strict=True))


def test_there_are_commands_and_each_is_tried():
    assert {"make demo", "make test"} <= COMMANDS.keys()
    assert {words[0] for words in COMMANDS.values()} == {"make", "snakemake", "resdavenet-vq"}


@pytest.mark.parametrize("arguments", of("snakemake"))
def test_snakemake_plans_what_is_documented(arguments, planned):
    assert not any(a.startswith(("--lint", "--report")) for a in arguments), "how is this tested?"
    status, output = planned[arguments]
    assert status == 0, output


@pytest.mark.parametrize("arguments", of("resdavenet-vq"))
def test_a_command_takes_what_is_documented(arguments):
    """Everything is parsed and checked, and nothing is run."""
    name, *options = arguments
    typer.main.get_command(__main__.app).get_command(None, name).make_context(name, options)


@pytest.mark.parametrize("arguments", of("make"))
def test_make_has_what_is_documented(arguments):
    subprocess.run(["make", "-n", *arguments], cwd=REPO, capture_output=True, check=True)
