"""What must hold of the project's own files: import directions, pins, and nothing that belongs to one machine."""

import re
import subprocess
import sys
import tomllib
from pathlib import Path

import pytest
import yaml

REPO = Path(__file__).resolve().parents[1]
PINS = {
    name.lower(): version
    for name, _, version in (line.partition("==") for line in (REPO / "constraints.txt").read_text().split())
    if version
}
CONDA_NAMES = {
    "pytorch": "torch",
    "pysoundfile": "soundfile",
    "soxr-python": "soxr",
    "matplotlib-base": "matplotlib",
    "snakemake-minimal": "snakemake",
}


def requirements():
    project = tomllib.loads((REPO / "pyproject.toml").read_text())["project"]
    texts = [*project["dependencies"], *(r for extra in project["optional-dependencies"].values() for r in extra)]
    return {re.split(r"[<>=!~ ]", text)[0].lower() for text in texts}


def test_imports_go_in_the_allowed_directions():
    run = subprocess.run(
        [Path(sys.executable).with_name("lint-imports"), "--no-cache"],
        cwd=REPO,
        capture_output=True,
        text=True,
        check=False,
    )
    assert run.returncode == 0, run.stdout


def test_every_requirement_is_pinned():
    assert requirements() <= PINS.keys()


def test_the_conda_environment_has_the_same_pins():
    listed = yaml.safe_load((REPO / "envs/resdavenet-vq.yaml").read_text())["dependencies"]
    pip = next(entry["pip"] for entry in listed if isinstance(entry, dict))
    found = dict(
        spec.split("=") for spec in listed if isinstance(spec, str) and "=" in spec and not spec.startswith("python=")
    )
    found = {CONDA_NAMES.get(name, name): version for name, version in found.items()} | dict(
        spec.split("==") for spec in pip
    )
    assert found == {name: PINS[name] for name in found}
    runtime = tomllib.loads((REPO / "pyproject.toml").read_text())["project"]["dependencies"]
    assert {re.split(r"[<>=!~ ]", r)[0] for r in runtime} <= found.keys()


@pytest.mark.parametrize(
    "name",
    [
        "pyproject.toml",
        "constraints.txt",
        "Makefile",
        "scripts/bootstrap",
        ".ci/run",
        "envs/resdavenet-vq.yaml",
        "Containerfile",
    ],
)
def test_no_registry_is_named(name):
    assert not re.search(r"https?://|index-url|find-links", (REPO / name).read_text())


def test_the_bootstrap_says_how_to_get_a_python_where_there_is_none(tmp_path):
    """In a copy of the project, with a PATH that has shell tools and only a Python that does not run."""
    (tmp_path / "scripts").mkdir()
    (tmp_path / "scripts/bootstrap").write_text((REPO / "scripts/bootstrap").read_text())
    tools = tmp_path / "bin"
    tools.mkdir()
    for tool in ("bash", "dirname", "cat", "rm", "env", "touch"):
        (tools / tool).symlink_to(next(p for d in ("/bin", "/usr/bin") if (p := Path(d) / tool).exists()))
    broken = tools / "python3.12"
    broken.write_text("#!/bin/sh\nexit 127\n")
    broken.chmod(0o755)
    run = subprocess.run(
        [tools / "bash", tmp_path / "scripts/bootstrap"],
        env={"PATH": str(tools), "HOME": str(tmp_path)},
        capture_output=True,
        text=True,
        check=False,
    )
    assert run.returncode == 1
    assert "No usable Python 3.12 or newer was found" in run.stderr
    assert "make demo PYTHON=" in run.stderr
    assert not (tmp_path / ".venv").exists()
