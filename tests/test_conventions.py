"""Files that other people's tools read: pre-commit, GitHub, the Snakemake workflow catalog. They say what the project says elsewhere."""

import re
import subprocess
from pathlib import Path

import pytest
import yaml

REPO = Path(__file__).resolve().parents[1]
GITHUB = REPO / ".github"
FILES = [*sorted(GITHUB.rglob("*.yml")), REPO / ".pre-commit-config.yaml", REPO / ".snakemake-workflow-catalog.yml"]


@pytest.mark.parametrize("file", FILES, ids=lambda file: file.name)
def test_a_file_is_yaml_and_names_files_of_the_project(file):
    text = file.read_text()
    assert isinstance(yaml.safe_load(text), dict)
    names = re.findall(
        r"(?<![\w/.{])(?:\.ci|docs|tests|envs|rules|scripts|\.venv)/[\w./-]*\w|\w+\.(?:md|txt|toml)\b", text
    )
    assert [name for name in names if not (REPO / name).exists()] == []


def test_hooks_of_pre_commit_are_checks_of_make():
    (repository,) = yaml.safe_load((REPO / ".pre-commit-config.yaml").read_text())["repos"]
    plan = subprocess.run(["make", "-n", "check"], cwd=REPO, capture_output=True, text=True, check=True).stdout
    entries = {hook["entry"] for hook in repository["hooks"]}
    assert repository["repo"] == "local"
    assert entries == set(re.findall(r"^\.venv/bin/.*", plan, re.MULTILINE)) - {".venv/bin/snakemake --lint"}


def test_ci_runs_what_contributing_says_and_builds_wheel_and_site():
    jobs = yaml.safe_load((GITHUB / "workflows/ci.yml").read_text())["jobs"]
    runs = {name: [step["run"] for step in job["steps"] if "run" in step] for name, job in jobs.items()}
    assert runs["tests"][-1] == "bash .ci/run"
    assert "python -m build" in runs["wheel"]
    assert runs["docs"] == ["make docs"]
    actions = [step["uses"] for job in jobs.values() for step in job["steps"] if "uses" in step]
    assert all(re.fullmatch(r"actions/[\w-]+@v\d+", action) for action in actions)


def test_the_catalog_promises_what_there_is():
    usage = yaml.safe_load((REPO / ".snakemake-workflow-catalog.yml").read_text())["usage"]
    deployment = usage["software-stack-deployment"]
    rules = "".join(path.read_text() for path in [REPO / "Snakefile", *(REPO / "rules").glob("*.smk")])
    assert deployment["conda"] == ("conda:" in rules)
    assert deployment["singularity"] == ("container:" in rules)
    assert usage["report"] == ("report(" in rules)
