"""Every command in the README and the docs plans or explains itself, as written."""

import os
import re
import shlex
import subprocess
import sys
from pathlib import Path

import pytest
import yaml

from resdavenet_vq import config
from resdavenet_vq.workflow.plan import Plan

REPO = Path(__file__).resolve().parents[2]
PAGES = [REPO / "README.md", REPO / "CONTRIBUTING.md", *sorted((REPO / "docs").glob("*.md"))]
SCRIPTS = Path(sys.executable).parent


def commands():
    """(page, command line) of every fenced `sh` block, continuation lines joined and comments dropped."""
    found = []
    for page in PAGES:
        for block in re.findall(r"^```sh\n(.*?)^```", page.read_text(), re.MULTILINE | re.DOTALL):
            for line in block.replace("\\\n", " ").splitlines():
                command = line.split("  #")[0].strip()
                if command and not command.startswith("#"):
                    found.append((page.name, command))
    return sorted(set(found))


@pytest.fixture(scope="module")
def checkout(tmp_path_factory):
    """The repository's files in a folder of their own, with empty files standing in for the corpora of configs/."""
    folder = tmp_path_factory.mktemp("checkout")
    for name in (
        "Snakefile",
        "rules",
        "config.yaml",
        "profiles",
        "resdavenet_vq",
        "envs",
        "Makefile",
        "pyproject.toml",
        "constraints.txt",
        "scripts",
    ):
        (folder / name).symlink_to(REPO / name)
    (folder / "configs").mkdir()
    for file in (REPO / "configs").glob("*.yaml"):
        copy = folder / "configs" / file.name
        copy.write_text(file.read_text().replace("/data/", f"{folder}/data/"))
        plan = Plan(config.read(yaml.safe_load(copy.read_text())))
        for path in (Path(p) for split in plan.config.corpus.splits for p in plan.corpus_files(split)):
            path.parent.mkdir(parents=True, exist_ok=True)
            path.touch() if path.suffix else path.mkdir(exist_ok=True)
    (folder / "mine.yaml").write_text("words: {min_occurrences: 3}\n")
    return folder


def test_there_are_commands():
    assert {"make demo", "make test"} <= {command for _, command in commands()}


@pytest.mark.parametrize(("page", "command"), commands())
def test_a_documented_command_works_as_written(page, command, checkout):
    program, *arguments = shlex.split(command)
    match program:
        case "make":
            run = ["make", "-n", *arguments]
        case "snakemake" if "--lint" in arguments or any(a.startswith("--report") for a in arguments):
            pytest.fail(f"{page}: how is {command!r} tested?")
        case "snakemake":
            run = [sys.executable, "-m", "snakemake", "-n", "-q", "rules", *(a for a in arguments if a != "-n")]
        case "resdavenet-vq" | "python":
            tail = arguments if program == "resdavenet-vq" else arguments[2:]
            run = [sys.executable, "-m", "resdavenet_vq", tail[0], "--help"]
        case "bash":
            assert (REPO / arguments[0]).is_file()
            run = ["bash", "-n", REPO / arguments[0]]
        case _:
            pytest.fail(f"{page}: no test knows how to try {command!r}")
    done = subprocess.run(
        run,
        cwd=checkout,
        env=os.environ | {"PATH": f"{SCRIPTS}:{os.environ['PATH']}", "PYTHONPATH": str(REPO)},
        capture_output=True,
        text=True,
        check=False,
    )
    assert done.returncode == 0, done.stdout + done.stderr
    if program == "resdavenet-vq":
        options = {a.split("=")[0] for a in arguments if a.startswith("--")}
        assert all(option in done.stdout for option in options), done.stdout
