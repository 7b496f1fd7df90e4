"""Snakemake and its training killed with no warning: the documented lines go on where it was."""

import os
import signal
import subprocess
import sys
import time
from pathlib import Path

import pandas as pd
import yaml

REPO = Path(__file__).resolve().parents[2]
EPOCHS = 8


def snakemake(folder, *arguments, **options):
    command = [sys.executable, "-m", "snakemake", "--snakefile", REPO / "Snakefile", "--directory", folder, "--cores", "2"]
    files = [REPO / "config.yaml", REPO / "tests/workflow/tiny.yaml", folder / "longer.yaml"]
    return subprocess.Popen(
        [*command, *arguments, "--configfile", *files],
        env=os.environ | {"OMP_NUM_THREADS": "1"},
        stdout=subprocess.PIPE,
        stderr=subprocess.STDOUT,
        text=True,
        **options,
    )


def test_a_killed_run_goes_on_by_the_documented_lines(tmp_path):
    (tmp_path / "longer.yaml").write_text(yaml.safe_dump({"training": {"overrides": {"{}": {"epochs": EPOCHS}}}}))
    root = tmp_path / "results/spoken_scenes"
    target = "results/spoken_scenes/none/model/model.json"
    log = root / "logs/train/none.log"

    first = snakemake(tmp_path, target, start_new_session=True)
    deadline = time.monotonic() + 120
    while not (log.exists() and f"epoch 2/{EPOCHS}: loss" in log.read_text()):
        assert first.poll() is None, first.communicate()[0]
        assert time.monotonic() < deadline, log.read_text() if log.exists() else "no log"
        time.sleep(0.05)
    os.killpg(first.pid, signal.SIGKILL)  # Snakemake, its job and the job's workers
    first.communicate()
    assert not (tmp_path / target).exists()
    assert not any(path.is_file() for path in (root / "none").rglob("*"))
    stores = {p: p.stat().st_mtime_ns for p in (root / "data").glob("*.h5")}

    unlocked = snakemake(tmp_path, "--unlock")
    assert unlocked.wait() == 0, unlocked.communicate()[0]
    second = snakemake(tmp_path, target)
    said = second.communicate(timeout=200)[0]
    assert second.returncode == 0, said
    assert "goes on at epoch" in log.read_text()
    assert pd.read_csv(root / "none/model/history.csv")["epoch"].to_list() == list(range(1, EPOCHS + 1))
    assert {p: p.stat().st_mtime_ns for p in (root / "data").glob("*.h5")} == stores, "finished work was done again"
