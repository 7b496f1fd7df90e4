"""What `pip install resdavenet-vq` gives, without a checkout: the package, its commands, and the workflow of a project."""

import json
import os
import re
import shutil
import subprocess
import sys
import tarfile
import tomllib
import zipfile
from email.parser import Parser
from pathlib import Path

import numpy as np
import pytest
import soundfile
import yaml
from encode.recordings import model_of

from resdavenet_vq.__main__ import EXTRAS
from resdavenet_vq.model import checkpoint

REPO = Path(__file__).resolve().parents[1]
PROJECT = tomllib.loads((REPO / "pyproject.toml").read_text())["project"]
BUILT_FROM = (
    *("pyproject.toml", "setup.py", "MANIFEST.in", "README.md", "LICENSE", "CHANGELOG.md", "CITATION.cff", "Makefile"),
    *("constraints.txt", "requirements.txt", "Snakefile", "config.yaml", "configs", "envs", "profiles", "rules"),
    *("scripts", "docs", "resdavenet_vq"),
)


def python(*arguments, folder, packages=None, succeeds=True):
    """What a Python process prints, which finds its packages in a folder before those of this environment."""
    environment = {name: value for name, value in os.environ.items() if name != "PYTHONPATH"} | {"OMP_NUM_THREADS": "1"}
    environment |= {"PYTHONPATH": str(packages)} if packages else {}
    command = [sys.executable, *map(str, arguments)]
    run = subprocess.run(command, cwd=folder, env=environment, capture_output=True, text=True, check=False)
    assert (run.returncode == 0) == succeeds, run.stdout[-4000:] + run.stderr[-4000:]
    return run.stdout + run.stderr


@pytest.fixture(scope="module")
def built(tmp_path_factory):
    """The sdist of a copy of the project, and the wheel of the unpacked sdist."""
    folder = tmp_path_factory.mktemp("built")
    (folder / "copy").mkdir()
    for name in BUILT_FROM:
        if (REPO / name).is_dir():
            shutil.copytree(REPO / name, folder / "copy" / name, ignore=shutil.ignore_patterns("__pycache__"))
        else:
            shutil.copy(REPO / name, folder / "copy" / name)
    build = "import sys; from setuptools import build_meta; getattr(build_meta, sys.argv[1])(sys.argv[2])"
    python("-c", build, "build_sdist", folder, folder=folder / "copy")
    (sdist,) = folder.glob("*.tar.gz")
    with tarfile.open(sdist) as file:
        file.extractall(folder, filter="data")
    python("-c", build, "build_wheel", folder, folder=folder / sdist.name.removesuffix(".tar.gz"))
    (wheel,) = folder.glob("*.whl")
    return wheel


@pytest.fixture(scope="module")
def packages(built):
    """The folder that pip has installed the wheel into."""
    target = built.with_name("site")
    options = ("--quiet", "--no-index", "--no-deps", "--target", target)
    python("-m", "pip", "install", *options, built, folder=built.parent)
    return target


def test_the_wheel_has_the_package_the_workflow_and_the_license(built):
    names = set(zipfile.ZipFile(built).namelist())
    package = {
        str(f.relative_to(REPO))
        for f in (REPO / "resdavenet_vq").rglob("*")
        if f.is_file() and "__pycache__" not in f.parts
    }
    top = [REPO / "Snakefile", REPO / "config.yaml"]
    folders = [f for name in ("configs", "envs", "profiles", "rules") for f in (REPO / name).rglob("*") if f.is_file()]
    workflow = {f"resdavenet_vq/shipped/{f.relative_to(REPO)}" for f in (*top, *folders)}
    (dist_info,) = {name.partition("/")[0] for name in names if ".dist-info/" in name}
    about = {
        f"{dist_info}/{n}"
        for n in ("METADATA", "RECORD", "WHEEL", "entry_points.txt", "licenses/LICENSE", "top_level.txt")
    }
    assert names == package | workflow | about
    metadata = Parser().parsestr(zipfile.ZipFile(built).read(f"{dist_info}/METADATA").decode())
    assert metadata["License-Expression"] == "BSD-3-Clause"
    assert metadata["Keywords"]
    assert {"Typing :: Typed", "Programming Language :: Python :: 3.13"} <= set(metadata.get_all("Classifier"))
    assert set(metadata.get_all("Provides-Extra")) == PROJECT["optional-dependencies"].keys()


def test_a_project_plans_the_demo_and_runs_on_the_installed_package(packages, tmp_path):
    """The demo's jobs from its own settings; then two jobs of a small corpus, which print what the workflow prints."""
    said = python("-m", "resdavenet_vq", "init", "my project", folder=tmp_path, packages=packages)
    assert "next:    cd 'my project' && snakemake --cores all" in said.splitlines()
    project = tmp_path / "my project"
    assert {str(f.relative_to(project)) for f in project.rglob("*") if f.is_file()} == {
        *("Snakefile", "config.yaml", "profiles/default/config.yaml", "profiles/slurm/config.yaml")
    }
    assert yaml.safe_load((project / "config.yaml").read_text()) == yaml.safe_load((REPO / "config.yaml").read_text())
    shown = python("-m", "snakemake", "-n", "-q", "rules", folder=project, packages=packages)
    assert "profiles/default" in shown
    assert re.search(r"^write_report +1$", shown, re.MULTILINE)

    config = yaml.safe_load((project / "config.yaml").read_text())
    config["corpus"] |= {"name": "small", "pairs": {"train": 4, "val": 2, "test": 2}, "image_size": 32}
    (project / "config.yaml").write_text(yaml.safe_dump(config))
    target = "results/small/data/val.report.json"
    shown = python("-m", "snakemake", "-p", "--cores", "2", "--", target, folder=project, packages=packages)
    assert json.loads((project / target).read_text())["utterances"] == 2
    assert "Results: results/small\n" in shown, "the workflow's own handlers"
    planned = python("-m", "resdavenet_vq", "plan", target, folder=project, packages=packages)
    assert planned.startswith("Nothing would run: all of 2 jobs are done.\n")  # then how long it took
    where = "import resdavenet_vq.project as p; print(p.WORKFLOW)"
    assert python("-c", where, folder=project, packages=packages) == f"{packages}/resdavenet_vq/shipped\n"


@pytest.mark.thorough
def test_the_demo_of_a_project_runs_to_its_report(packages, tmp_path):
    """All rules, with the sizes of tests/workflow/tiny.yaml."""
    python("-m", "resdavenet_vq", "init", tmp_path, folder=tmp_path, packages=packages)
    tiny = REPO / "tests/workflow/tiny.yaml"
    shown = python("-m", "snakemake", "--cores", "2", "--configfile", tiny, folder=tmp_path, packages=packages)
    assert "Report: results/spoken_scenes/report/index.html" in shown
    assert (tmp_path / "results/spoken_scenes/summary.csv").exists()


@pytest.mark.parametrize("corpus", ["places", "spoken_coco", "flickr8k"])
def test_a_project_of_a_corpus_has_its_configuration(packages, tmp_path, corpus):
    said = python("-m", "resdavenet_vq", "init", tmp_path, "--corpus", corpus, folder=tmp_path, packages=packages)
    assert "once the paths in config.yaml are yours\n" in said
    text = (tmp_path / "config.yaml").read_text()
    assert yaml.safe_load(text) == yaml.safe_load((REPO / f"configs/{corpus}.yaml").read_text())
    assert "--configfile" not in text, "the settings are the project's own"
    assert "paths under `corpus`" in text


def test_a_project_of_a_folder_of_recordings_plans_with_the_files_that_it_describes(packages, tmp_path):
    python("-m", "resdavenet_vq", "init", tmp_path, "--corpus", "folder", folder=tmp_path, packages=packages)
    text = (tmp_path / "config.yaml").read_text()
    config, small = yaml.safe_load(text), yaml.safe_load((REPO / "configs/small_corpus.yaml").read_text())
    assert {key: value for key, value in config.items() if key != "corpus"} == small
    (example,) = re.findall(r'^#   (\{"data": \[\n(?:#.*\n)*?#   \]\})$', text, re.MULTILINE)
    row = json.loads(example.replace("\n#", "\n"))["data"][0]
    for folder in ("wavs", "images"):
        (tmp_path / folder).mkdir()
    soundfile.write(tmp_path / row["wav"], [0.0, 0.1] * 16000, 16000)
    python("-c", f"from PIL import Image; Image.new('RGB', (80, 80)).save({row['image']!r})", folder=tmp_path)
    for split in config["corpus"]["metadata"].values():
        (tmp_path / split).write_text(example.replace("\n#", "\n"))
    shown = python("-m", "snakemake", "-n", "-q", "rules", folder=tmp_path, packages=packages)
    assert re.search(r"^train +2$", shown, re.MULTILINE)
    target = "results/mine/data/test.report.json"
    python("-m", "snakemake", "-q", "--cores", "1", "--", target, folder=tmp_path, packages=packages)
    assert json.loads((tmp_path / target).read_text())["utterances"] == 1


def test_conda_environments_which_lack_the_package_are_refused_in_a_line(packages, tmp_path):
    python("-m", "resdavenet_vq", "init", tmp_path, folder=tmp_path, packages=packages)
    options = ("-n", "--software-deployment-method", "conda")
    shown = python("-m", "snakemake", *options, folder=tmp_path, packages=packages, succeeds=False)
    assert "--software-deployment-method conda have no resdavenet-vq: use a checkout" in shown


@pytest.mark.parametrize("name", ["Snakefile", "profiles/slurm/config.yaml"])
def test_init_replaces_no_file(tmp_path, name):
    (tmp_path / name).parent.mkdir(parents=True, exist_ok=True)
    (tmp_path / name).write_text("mine")
    said = python("-m", "resdavenet_vq", "init", tmp_path, folder=REPO, packages=REPO, succeeds=False)
    said_before = f"{tmp_path / name} is there already; choose another place, or replace it with --overwrite"
    assert said == f"error: {said_before}\n"
    assert [f.name for f in tmp_path.rglob("*") if f.is_file()] == [Path(name).name]
    assert (tmp_path / name).read_text() == "mine"


WITHOUT = """
import sys
from importlib.abc import MetaPathFinder

class Without(MetaPathFinder):
    def find_spec(self, name, path=None, target=None):
        if name.partition(".")[0] in {names!r}:
            raise ModuleNotFoundError(f"No module named {{name!r}}", name=name)

sys.meta_path.insert(0, Without())
from resdavenet_vq.__main__ import main
sys.argv[0] = "resdavenet-vq"
main()
"""


def test_every_optional_package_is_of_the_extra_that_messages_name():
    """And the others of no extra: `EXTRAS` and pyproject.toml say the same."""
    for extra in ("demo", "hub", "report", "workflow"):
        listed = {re.split(r"[<>=!~ ]", text)[0] for text in PROJECT["optional-dependencies"][extra]}
        assert {name for name, of in EXTRAS.items() if of == extra} == {
            name.replace("-", "_") for name in listed if "[" not in name
        }


def test_who_only_encodes_needs_none_of_the_optional_packages(tmp_path):
    checkpoint.save(tmp_path / "model", model_of((2, 3)), {"lineage": "{}->{2,3}"})
    soundfile.write(tmp_path / "a.wav", np.random.default_rng(0).uniform(-0.5, 0.5, 16000), 16000)
    code = WITHOUT.format(names=set(EXTRAS))
    arguments = ("encode", tmp_path / "a.wav", "--model", tmp_path / "model")
    alone = python("-c", code, *arguments, folder=REPO, packages=REPO)
    assert alone == python("-m", "resdavenet_vq", *arguments, folder=REPO, packages=REPO)
    assert '"quant2"' in alone


@pytest.mark.parametrize(
    ("name", "extra", "arguments"),
    [
        ("snakemake", "workflow", ["plan"]),
        ("matplotlib", "report", ["figure", "learning-curves", "--results", ".", "--out", "a.pdf"]),
    ],
)
def test_a_missing_package_is_one_line_with_its_remedy(tmp_path, name, extra, arguments):
    (tmp_path / "Snakefile").touch()
    said = python("-c", WITHOUT.format(names={name}), *arguments, folder=tmp_path, packages=REPO, succeeds=False)
    assert said == f"error: {name} is not installed, and this command needs it: pip install 'resdavenet-vq[{extra}]'\n"
