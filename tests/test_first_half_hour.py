"""The first half hour on a GPU, on a CPU with next to no data: every measurement runs, and what goes wrong costs one number."""

import importlib
import json
import os
import subprocess
import sys
import time
from pathlib import Path
from unittest import mock

import broken_arms
import pytest
from training_child import start_forkserver

REPO = Path(__file__).resolve().parents[1]
SCRIPT = REPO / "benchmarks/first_half_hour.py"


def run(out, *options):
    """The finished script."""
    command = [sys.executable, SCRIPT, "--size", "toy", "--out", out, *options]
    environment = os.environ | {"PYTHONPATH": str(REPO), "OMP_NUM_THREADS": "1"}
    return subprocess.run(command, env=environment, capture_output=True, text=True, check=False)


@pytest.fixture(scope="module")
def script():
    with mock.patch.object(sys, "path", [*sys.path, str(SCRIPT.parent)]):
        start_forkserver()
        yield importlib.import_module("first_half_hour")


def test_every_measurement_runs_and_stands_beside_its_prediction(tmp_path):
    done = run(tmp_path / "out.json", "--deadline", "3000")
    result = json.loads((tmp_path / "out.json").read_text())
    assert done.returncode == 0, done.stdout + done.stderr
    measured = {row["name"]: row["measured"] for row in result["arms"]}
    assert {row["stage"] for row in result["arms"]} == {"correct", "ladder", "profile", "loader"}
    assert all(row["predicted"].keys() & row["measured"].keys() for row in result["arms"] if "2020" not in row["name"])
    assert not any("error" in numbers for numbers in measured.values())
    assert measured["small_network"] == {
        "largest_loss_difference": 0,  # the CPU beside itself
        "relative_gradient_difference": 0,
        "passed": True,
    }
    assert measured["resume"] == {"kills": 1, "passed": True}
    assert measured["lineages"]["loss_difference"] == 0
    assert measured["search two_stages"]["same"] > 0.9
    rows = [done.stdout.count(f"\n    {word} ") for word in ("predicted", "measured")]
    assert rows == [len(measured)] * 2


def test_predictions_are_written_before_anything_is_measured(script, tmp_path, monkeypatch):
    out = tmp_path / "out.json"
    monkeypatch.setattr(script, "conditions", lambda size: {"device": "none", "size": size})
    monkeypatch.setattr(os, "environ", dict(os.environ))
    monkeypatch.setattr(sys, "argv", ["", "--size", "toy", "--out", str(out), "--deadline", "0", "--stages", "ladder"])
    with pytest.raises(SystemExit) as ended:
        script.main()
    assert ended.value.code == 1
    result = json.loads(out.read_text())
    (row,) = result["arms"]
    assert row["predicted"]["pairs_per_s"] > 0
    assert row["measured"] == {"error": "not begun: the deadline was near"}


def test_the_plan_for_a_gpu_has_the_steps_that_decide_first(script):
    plan = script.plan("full", "h200")
    ladder = [one for one in plan if one.stage == "ladder"]
    assert [one.name for one in ladder[:3]] == [
        "ladder 64 bfloat16 compiled",
        "ladder 64 bfloat16",
        "ladder 64 bfloat16 compiled deterministic",
    ]
    assert len(ladder) == len({one.name for one in ladder}) == 3 * 4 * 2
    assert ladder[0].predicted["pairs_per_s"] == pytest.approx(3000, rel=0.05)
    assert len({(one.stage, one.name) for one in plan}) == len(plan)


@pytest.mark.parametrize(
    ("function", "error"),
    [
        (broken_arms.crashes, "the process ended with status -6"),
        (broken_arms.raises, "RuntimeError: CUDA error: an illegal memory access"),
        (broken_arms.hangs, "ended after 2 s"),
    ],
    ids=lambda x: getattr(x, "__name__", ""),
)
def test_a_measurement_that_fails_costs_its_own_number_alone(script, function, error):
    begun = time.monotonic()
    one = script.Arm("correct", function.__name__, function, {}, 60, {})
    assert script.in_a_process(one, "toy", 2 if function is broken_arms.hangs else 300) == {"error": error}
    assert time.monotonic() - begun < 300
