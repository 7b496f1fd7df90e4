"""Snakemake killed with no warning: nothing of it goes on working, nothing unfinished has a final name, and the documented lines go on."""

import io
import json
import os
import signal
import subprocess
import sys
import time

import numpy as np
import pandas as pd
import pytest
import soundfile
import yaml
from PIL import Image
from workflow.living import HERE, MOST_SECONDS, assert_still, living, wait_for
from workflow.running import ENVIRONMENT, REPO, TINY, command

from resdavenet_vq.processes import GRACE, STARTER

EPOCHS = 24


def start(folder, *arguments, **settings):
    words = command(folder, *arguments, configfiles=[*TINY, folder / "longer.yaml"])
    return subprocess.Popen(
        words, env=ENVIRONMENT, stdout=subprocess.PIPE, stderr=subprocess.STDOUT, text=True, **settings
    )


def test_a_killed_run_goes_on_by_the_documented_lines(tmp_path):
    training = {"workers": 1, "overrides": {"{}": {"epochs": EPOCHS}}}
    (tmp_path / "longer.yaml").write_text(yaml.safe_dump({"training": training}))
    root = tmp_path / "results/spoken_scenes"
    target = "results/spoken_scenes/none/model/model.json"
    log = root / "logs/train/none.log"

    first = start(tmp_path, target)
    wait_for(
        lambda: (log.exists() and f"epoch 2/{EPOCHS}: loss" in log.read_text()) or first.poll() is not None,
        200,
        lambda: "no epoch",
    )
    assert first.poll() is None, first.communicate()[0]
    assert len(living(first.pid)) >= 2  # the training and its data worker
    first.kill()  # and nothing but Snakemake
    assert_still(first.pid, root)
    first.communicate()
    assert "stopped by SIGTERM" in log.read_text()
    assert not (tmp_path / target).exists()
    assert not any(path.is_file() for path in (root / "none").rglob("*"))
    stores = {p: p.stat().st_mtime_ns for p in (root / "data").glob("*.h5")}

    unlocked = start(tmp_path, "--unlock")
    assert unlocked.wait() == 0, unlocked.communicate()[0]
    second = start(tmp_path, target)
    said = second.communicate(timeout=300)[0]
    assert second.returncode == 0, said
    assert "resumes at epoch" in log.read_text()
    assert pd.read_csv(root / "none/model/history.csv")["epoch"].to_list() == list(range(1, EPOCHS + 1))
    assert {p: p.stat().st_mtime_ns for p in (root / "data").glob("*.h5")} == stores, "finished work was done again"


def test_ctrl_c_is_no_failure_and_the_same_command_goes_on(tmp_path):
    """A terminal sends SIGINT to Snakemake and to its jobs."""
    training = {"workers": 1, "overrides": {"{}": {"epochs": EPOCHS}}}
    (tmp_path / "longer.yaml").write_text(yaml.safe_dump({"training": training}))
    root = tmp_path / "results/spoken_scenes"
    target = "results/spoken_scenes/none/model/model.json"
    for name, text in (("make_corpus/val.log", ""), ("train/none.log", f"epoch 2/{EPOCHS}: loss")):
        run, log = start(tmp_path, target, start_new_session=True), root / "logs" / name
        wait_for(
            lambda log=log, text=text, run=run: (log.exists() and text in log.read_text()) or run.poll() is not None,
            200,
            lambda: "not so far",
        )
        assert run.poll() is None, run.communicate()[0]
        os.killpg(run.pid, signal.SIGINT)
        output = run.communicate(timeout=60)[0]
        assert run.returncode != 0
        assert "Interrupted; the same command goes on" in output, output
        assert "Fix what they name" not in output
    last = start(tmp_path, target)
    output = last.communicate(timeout=300)[0]
    assert last.returncode == 0, output
    assert "resumes at epoch" in log.read_text()


class Started:
    """A command in the place of a job, and a process in the place of its Snakemake."""

    def __init__(self, *arguments, host=HERE, folder=REPO):
        self.starter = subprocess.Popen(["sleep", "600"])
        self.process = subprocess.Popen(
            [sys.executable, *map(str, arguments)],
            cwd=folder,
            env=ENVIRONMENT | {STARTER: f"{host}:{self.starter.pid}", "PYTHONPATH": str(REPO)},
            stdout=subprocess.PIPE,
            stderr=subprocess.PIPE,
            text=True,
        )

    def __enter__(self):
        return self

    def __exit__(self, *_):
        for process in (self.starter, self.process):
            process.kill()
            process.communicate()

    def kill_starter(self):
        self.starter.kill()
        self.starter.wait()


def test_the_corpus_is_no_longer_made(tmp_path):
    settings = {"layout": "spoken_scenes", "name": "x", "seed": 1, "pairs": {"train": 4000}, "image_size": 48}
    command = ["make-corpus", "--split", "train", "--settings", json.dumps(settings), "--workers", 2, "--out", tmp_path]
    with Started("-m", "resdavenet_vq", *command) as job:
        wait_for(lambda: len(list(tmp_path.rglob("*.wav"))) > 4, 100, job.process.poll)
        job.kill_starter()
        assert_still(job.starter.pid, tmp_path)
    assert not list(tmp_path.glob("train.*"))  # what says that the split is there


@pytest.fixture
def manifest(tmp_path):
    """20,000 utterances, all of one file: more than is prepared in a minute."""
    soundfile.write(tmp_path / "a.wav", np.random.default_rng(0).normal(0, 0.1, 80_000), 16_000, subtype="PCM_16")
    with io.BytesIO() as f:
        Image.new("RGB", (300, 300), (200, 20, 20)).save(f, "JPEG")
        (tmp_path / "a.jpg").write_bytes(f.getvalue())
    rows = [
        {"uttid": f"u{i}", "speaker": "s", "wav": "a.wav", "image": "a.jpg", "asr_text": "a"} for i in range(20_000)
    ]
    path = tmp_path / "a.json"
    path.write_text(json.dumps({"audio_base_path": ".", "image_base_path": ".", "data": rows}))
    return path


def test_nothing_is_prepared_any_more(manifest, tmp_path):
    out, report = tmp_path / "out/a.h5", tmp_path / "out/a.report.json"
    out.parent.mkdir()
    command = ["prepare", "--manifest", manifest, "--out", out, "--report", report, "--workers", 2]
    with Started("-m", "resdavenet_vq", *command) as job:
        # the command, the server that forks workers, a tracker of resources, two workers
        wait_for(
            lambda: len(living(job.starter.pid)) >= 5 or job.process.poll() is not None,
            100,
            lambda: living(job.starter.pid),
        )
        assert job.process.poll() is None, job.process.communicate()
        job.kill_starter()
        assert_still(job.starter.pid, tmp_path)
    assert not out.exists()
    assert not report.exists()


def any_command(body):
    """A program whose command, whatever it is, does this."""
    return f"import signal, sys, time\nfrom pathlib import Path\nimport resdavenet_vq.__main__ as m\ndef app():\n {body}\nm.app = app\nm.main()"


def test_any_command_removes_what_is_half_written(tmp_path):
    body = (
        "from resdavenet_vq.files import atomic_write\n"
        f" with atomic_write(Path({str(tmp_path / 'a')!r})) as f: f.write_text('half'); print('up', flush=True); time.sleep(600)"
    )
    with Started("-c", any_command(body)) as job:
        assert job.process.stdout.readline() == "up\n"
        job.kill_starter()
        assert job.process.wait(MOST_SECONDS) == 128 + signal.SIGTERM
    assert not list(tmp_path.iterdir())


def test_every_process_of_torchrun_ends(tmp_path):
    program = tmp_path / "program.py"
    program.write_text(any_command("print('up', flush=True); time.sleep(600)"))
    with Started("-m", "torch.distributed.run", "--standalone", "--nproc-per-node", "2", program) as job:
        assert [job.process.stdout.readline() for _ in range(2)] == ["up\n"] * 2
        job.kill_starter()
        assert_still(job.starter.pid, tmp_path)
        assert job.process.wait(1) != 0


def test_a_command_that_does_not_obey_is_killed():
    with Started(
        "-c", any_command("signal.signal(signal.SIGTERM, signal.SIG_IGN); print('up', flush=True); time.sleep(600)")
    ) as job:
        assert job.process.stdout.readline() == "up\n"
        job.kill_starter()
        start = time.monotonic()
        assert job.process.wait(MOST_SECONDS) == -signal.SIGALRM
        assert time.monotonic() - start > GRACE / 2


def test_a_starter_of_another_host_is_not_looked_for():
    with Started("-c", any_command("print('up', flush=True); time.sleep(1)"), host="elsewhere") as job:
        assert job.process.stdout.readline() == "up\n"
        job.kill_starter()
        assert job.process.wait(60) == 0


def test_without_a_starter_a_command_runs():
    environment = {key: value for key, value in os.environ.items() if key != STARTER}
    assert (
        subprocess.run([sys.executable, "-c", any_command("pass")], cwd=REPO, env=environment, check=False).returncode
        == 0
    )


def test_a_system_that_cannot_wait_for_other_processes(monkeypatch):
    """macOS has no pidfd; some containers forbid it."""
    from resdavenet_vq import processes

    def forbidden(_):
        raise PermissionError

    monkeypatch.setattr(os, "pidfd_open", forbidden)
    process = subprocess.Popen(["sleep", "0.3"])
    wait = processes._wait_for(process.pid)
    start = time.monotonic()
    process.wait()
    wait()
    assert time.monotonic() - start < 2
