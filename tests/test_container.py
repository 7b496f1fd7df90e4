"""The container's recipe agrees with the repository, as far as can be seen without building it."""

import re
import shlex
import tomllib
from pathlib import Path

import yaml

REPO = Path(__file__).resolve().parents[1]
RECIPE = [line for line in (REPO / "Containerfile").read_text().splitlines() if line and not line.startswith("#")]
PROJECT = tomllib.loads((REPO / "pyproject.toml").read_text())["project"]


def lines(instruction):
    return [shlex.split(line)[1:] for line in RECIPE if line.startswith(f"{instruction} ")]


def copied():
    return [source for *sources, _ in lines("COPY") for source in sources]


def test_the_base_is_the_python_of_the_conda_environment():
    ((base,),) = lines("FROM")
    assert "/" not in base  # no registry's host
    version = re.fullmatch(r"python:(\d+\.\d+)-slim@sha256:[0-9a-f]{64}", base).group(1)
    assert f"python={version}" in yaml.safe_load((REPO / "envs/resdavenet-vq.yaml").read_text())["dependencies"]
    assert PROJECT["requires-python"] == f">={version}"


def test_what_is_copied_is_there():
    assert all((REPO / source).exists() for source in copied())


def test_everything_that_a_run_reads_is_copied_and_let_through():
    included = re.findall(r'^\s*(?:include|configfile): .*?"([^"]+)"', (REPO / "Snakefile").read_text(), re.MULTILINE)
    environments = {
        f"envs/{name}"
        for f in (REPO / "rules").glob("*.smk")
        for name in re.findall(r'"\.\./envs/([^"]+)"', f.read_text())
    }
    needed = {
        *included,
        *environments,
        "Snakefile",
        "config.yaml",
        "profiles/default/config.yaml",
        "resdavenet_vq/__main__.py",
        PROJECT["readme"],
    }
    assert all(any(Path(path).is_relative_to(source) for source in copied()) for path in needed), needed
    let_through = [line[1:] for line in (REPO / ".dockerignore").read_text().splitlines() if line.startswith("!")]
    assert all(any(Path(source).is_relative_to(entry) for entry in let_through) for source in copied())


def test_each_file_is_installed_by_its_checksum():
    packages, project = [words[2:] for words in lines("RUN") if words[:2] == ["pip", "install"]]
    assert packages == ["--no-cache-dir", "--require-hashes", "--requirement", "requirements.txt"]
    assert project == ["--no-cache-dir", "--no-deps", "--no-build-isolation", "--editable", "."]


def test_it_starts_the_workflow_where_it_was_copied():
    (entry,) = [line for line in RECIPE if line.startswith("ENTRYPOINT")]
    folder = lines("WORKDIR")[0][0]
    assert f'"{folder}/Snakefile"' in entry
