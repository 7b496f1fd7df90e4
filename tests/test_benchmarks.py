"""Every benchmark runs with next to no data, has the rows that the aims name, and the table in its README.md is that of the recorded results."""

import importlib
import json
import os
import subprocess
import sys
from pathlib import Path

import pytest

REPO = Path(__file__).resolve().parents[1]
FOLDER = REPO / "benchmarks"
sys.path.append(str(FOLDER))  # where scripts of this folder find each other

aims, everything, measuring = (importlib.import_module(name) for name in ("aims", "all", "measuring"))

LONG = {"jobs.py", "startup.py", "retrieval.py", "training.py", "checksums.py"}
"""Those of more than about ten processor seconds, most of which start processes."""


def small(script, results):
    """The output of a benchmark with the arguments with which it is tried."""
    command = [sys.executable, FOLDER / script, *everything.BENCHMARKS[script][1].split()]
    environment = os.environ | {"PYTHONPATH": str(REPO), "BENCHMARK_RESULTS": str(results)}
    done = subprocess.run(command, env=environment, cwd=results, capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stderr
    return done.stdout


@pytest.mark.parametrize(
    "script",
    [pytest.param(name, marks=pytest.mark.thorough) if name in LONG else name for name in everything.BENCHMARKS],
)
def test_a_benchmark_runs_and_has_the_rows_that_the_aims_name(script, tmp_path):
    before = {path: path.read_bytes() for path in measuring.RESULTS.iterdir()}
    printed = small(script, tmp_path)
    results = {path.stem: json.loads(path.read_text()) for path in tmp_path.glob("*.json")}
    stem = Path(script).stem
    for result in results.values():
        for row in result["rows"]:
            for unit in {"cpu_seconds", "wall_seconds"} & row.keys():
                assert all(seconds >= 0 for seconds in row[unit].values()), row
                assert "package" in row[unit], row
    for aim in aims.AIMS:
        if aim.result in results:
            (row,) = (row for row in results[aim.result]["rows"] if row["what"] == aim.what)
            assert aim.number(row) >= 0 or aim.key == "added"
        elif aim.result == stem:  # a benchmark that records nothing unless it is whole
            assert aim.what in printed
    assert {path: path.read_bytes() for path in measuring.RESULTS.iterdir()} == before


def test_all_runs_the_benchmark_of_every_aim():
    scripts = [(FOLDER / script).read_text() for script in everything.BENCHMARKS]
    without = {aim.result for aim in aims.AIMS if not any(f'write("{aim.result}"' in text for text in scripts)}
    assert without == {"training_cpu", "training_h200", "encoding_demo"}  # whose names are put together
    assert {"training.py", "encoding.py"} <= everything.BENCHMARKS.keys()


def test_the_table_is_that_of_the_recorded_results():
    assert aims.README.read_text() == aims.page(), "run python benchmarks/aims.py"


def test_the_table_has_each_aim_and_marks_what_misses_it(tmp_path):
    rows = [
        {"what": "recall from similarities", "cpu_seconds": {"2020": 0.5, "package": 0.02}, "ratio": 25.0},
        {"what": "recall from vectors", "cpu_seconds": {"2020": 0.6, "package": 0.3}, "ratio": 2.0},
        {"what": "other", "ratio": 1},
    ]
    (tmp_path / "retrieval.json").write_text(json.dumps({"date": "2026-01-02", "rows": rows}))
    missed = [{"what": "bitrate", "cpu_seconds": {"2020": 2, "package": 1}, "ratio": 2.0}]
    missed += [{"what": "ABX, the layer that adds most", "added": 0.123}]
    (tmp_path / "abx.json").write_text(json.dumps({"date": "2026-01-03", "rows": missed}))
    lines = aims.table(tmp_path).splitlines()
    assert len(lines) == 2 + len(aims.AIMS)
    assert "| `retrieval` | recall from similarities | ≥ 20 × | 25 × | 0.5 s | 0.02 s | 2026-01-02 |" in lines
    assert "| `abx` | bitrate | ≥ 20 × | **2 ×** | 2 s | 1 s | 2026-01-03 |" in lines
    assert "| `abx` | ABX, the layer that adds most | ≤ 10 % | **12.3 %** |  |  | 2026-01-03 |" in lines
    assert sum("not measured yet" in line for line in lines) == len(aims.AIMS) - 4


def test_the_cost_of_work_has_that_of_processes_that_have_ended_and_of_those_that_run():
    loop = "import time\nwhile time.process_time() < 0.5: pass\nprint('done', flush=True)\ninput()"

    def ended():
        subprocess.run([sys.executable, "-c", loop], input=b"\n", capture_output=True, check=True)

    running = []

    def started():
        running.append(subprocess.Popen([sys.executable, "-c", loop], stdin=subprocess.PIPE, stdout=subprocess.PIPE))
        running[-1].stdout.readline()

    assert 0.45 <= measuring.cost(ended).cpu <= 1
    assert 0.45 <= measuring.cost(started).cpu <= 1
    running[-1].communicate(b"\n")
    assert measuring.cost(lambda: None).cpu < 0.05


def test_sides_take_turns_and_medians_count():
    order = []
    sides = {"2020": lambda: order.append("2020"), "package": lambda: order.append("package")}
    seconds = measuring.measure(sides, repeats=2, warm_up=1)
    assert order == ["2020", "package"] * 3
    assert {unit: [*by_side] for unit, by_side in seconds.items()} == {
        "cpu_seconds": ["2020", "package"],
        "wall_seconds": ["2020", "package"],
    }
    costs = {
        "2020": [measuring.Cost(6, 1), measuring.Cost(2, 9), measuring.Cost(3, 5)],
        "package": [measuring.Cost(1, 5)],
    }
    row = measuring.row("sum", measuring.medians(costs), size=7)
    assert row["ratio"] == 3
    assert measuring.row("sum", measuring.medians(costs), by="wall_seconds")["ratio"] == 1
    assert row["size"] == 7


def test_a_process_that_fails_stops_a_benchmark():
    with pytest.raises(RuntimeError, match=r"exit status 3\nno data"):
        measuring.run([sys.executable, "-c", "import sys; print('no data', file=sys.stderr); sys.exit(3)"])
    code = "import os; print(os.environ['OMP_NUM_THREADS'])"
    assert measuring.run([sys.executable, "-c", code]) == "1\n"


def test_a_process_costs_what_its_orphans_cost_and_other_children_are_let_be():
    loop = "import time\nwhile time.process_time() < 0.5: pass"
    command = [sys.executable, "-c", f"import subprocess, sys; subprocess.Popen([sys.executable, '-c', {loop!r}])"]
    with subprocess.Popen(["sleep", "60"]) as other:
        assert 0.5 <= measuring.cost(lambda: measuring.run(command)).cpu <= 1.5
        assert other.poll() is None
        other.kill()
