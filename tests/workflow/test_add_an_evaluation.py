"""The evaluation of docs/add_an_evaluation.md, added to a copy of the project exactly as the page says, is one like any other."""

import json
import os
import re
import shutil
import subprocess
import sys
from pathlib import Path

import numpy as np
import pytest
from encoded import ORIGIN
from workflow import planner

from resdavenet_vq.corpus.manifest import Utterance
from resdavenet_vq.encode.codes import add_codes, create_codes

REPO = Path(__file__).resolve().parents[2]
PAGE = (REPO / "docs/add_an_evaluation.md").read_text()
SCRIPTS = Path(sys.executable).parent
STEP = re.compile(
    r"^(New:|Before `(?P<before>[^`]*)`|After `(?P<after>[^`]*)`)\n\n```python\n(?P<code>.*?)^```",
    re.MULTILINE | re.DOTALL,
)


def steps():
    """(file, where, code) of each block of code on the page."""
    for section in PAGE.split("\n## ")[1:]:
        if file := re.match(r"\d\. `(.+)`\n", section):
            blocks = list(STEP.finditer(section))
            assert len(blocks) == section.count("```") // 2, f"a block of {file[1]} does not say where it goes"
            yield from ((file[1], block, block["code"]) for block in blocks)


def contents(folder):
    return {str(f.relative_to(folder)): f.read_bytes() for f in folder.rglob("*") if f.is_file()}


@pytest.fixture(scope="module")
def extended(tmp_path_factory):
    """A copy of the project with the new evaluation, and the names of the files that differ."""
    copy = tmp_path_factory.mktemp("extended")
    for name in ("resdavenet_vq", "rules", "configs", "profiles", "envs", "tests/workflow", "tests/evaluation"):
        shutil.copytree(REPO / name, copy / name, ignore=shutil.ignore_patterns("__pycache__"))
    for name in ("Snakefile", "config.yaml", "pyproject.toml", "tests/encoded.py"):
        shutil.copy(REPO / name, copy / name)
    before = contents(copy)
    for name, where, code in steps():
        file = copy / name
        if where["before"] or where["after"]:
            anchor = f"{where['before'] or where['after']}\n"
            text = file.read_text()
            assert text.count(anchor) == 1, f"{name} has not one line {anchor!r}"
            file.write_text(text.replace(anchor, f"{code}\n\n{anchor}" if where["before"] else f"{anchor}{code}"))
        else:
            assert not file.exists()
            file.write_text(code)
    return copy, {name for name, text in contents(copy).items() if before.get(name) != text}


def check(folder, *command):
    environment = os.environ | {"PYTHONPATH": str(folder), "PYTHONDONTWRITEBYTECODE": "1"}
    run = subprocess.run(command, cwd=folder, env=environment, capture_output=True, text=True, check=False)
    assert run.returncode == 0, run.stdout + run.stderr
    return run.stdout


def test_six_files_are_all(extended):
    table = re.findall(r"^\| \d \| `(.+?)` \|", PAGE, re.MULTILINE)
    assert extended[1] == set(table)
    assert len(table) == 6


def test_its_own_test_and_the_demand_on_its_keys_pass(extended):
    tests = "tests/evaluation/test_run_length.py", "tests/workflow/test_staleness.py"
    check(
        extended[0], sys.executable, "-m", "pytest", "-p", "no:cacheprovider", *tests, "-k", "run_length or every_key"
    )


def test_its_files_are_clean(extended):
    copy, changed = extended
    python, rules = ([name for name in sorted(changed) if name.endswith(".py") == kind] for kind in (True, False))
    check(copy, SCRIPTS / "ruff", "check", "--no-cache", *python)
    check(copy, SCRIPTS / "ruff", "format", "--check", "--no-cache", *python)
    check(copy, SCRIPTS / "snakefmt", "--check", *rules)
    check(copy, SCRIPTS / "lint-imports", "--no-cache")


def test_its_target_is_planned_and_its_command_scores(extended, tmp_path):
    copy, folder = extended[0], tmp_path / "run"
    folder.mkdir()
    plan = {"do": "jobs", "folder": folder, "config": {"lineages": ["{2}"]}, "targets": ["run_length"]}
    jobs = [job for job in planner.ask(copy, [plan])[0] if job["rule"] == "score_run_length"]
    scored = {Path(job["output"][0]).parents[2].name for job in jobs}
    assert scored >= {"2", "kmeans", "kmeans-of-untrained"}
    (job,) = [job for job in jobs if "/2/run_length/" in job["output"][0]]
    codes = folder / job["input"][0]
    codes.parent.mkdir(parents=True)
    manifest = [Utterance("a", "a.wav", None, None, None, None, None, None).to_dict()]
    with create_codes(codes, ["a"], manifest, ORIGIN) as file:
        add_codes(file, "quant2", np.zeros((8, 4), np.float32), np.array([4]), 0.02).write(0, np.array([1, 1, 1, 2]))
    for made in (job["output"][0], job["log"][0]):
        (folder / made).parent.mkdir(parents=True)
    environment = os.environ | {"PYTHONPATH": str(copy), "PATH": f"{SCRIPTS}:{os.environ['PATH']}"}
    subprocess.run(["bash", "-c", job["shellcmd"]], cwd=folder, env=environment, check=True)
    assert all((folder / made).exists() for made in job["output"])
    score = json.loads((folder / job["output"][0]).read_text())
    assert score["mean_seconds"] == pytest.approx(0.04)
    assert (score["lineage"], score["layer"], score["settings"]) == ("{2}", "quant2", {"min_frames": 1})
