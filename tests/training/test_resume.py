"""A training that is killed or stopped, or loses its workers, ends with the bits of an uninterrupted one."""

import os
import random
import shutil
import signal
import subprocess
import time
from unittest import mock

import numpy as np
import pytest
import torch
from training_child import MODEL, Child, history, train, write_stores

from resdavenet_vq.errors import InputError
from resdavenet_vq.training import train as module
from resdavenet_vq.training.state import State

STEPS = 15  # 3 epochs of 17 pairs in batches of 4


def result(folder, name="a"):
    """All that a finished training leaves, without times: weights, card, history, optimizer state."""
    out = folder / name / "model"
    (checkpoint,) = (folder / name / "state").glob("*/checkpoint-*.pt")
    state = torch.load(checkpoint, weights_only=True)
    state["history"] = [{k: v for k, v in row.items() if k not in module.TIMINGS} for row in state["history"]]
    files = [(out / name).read_bytes() for name in ("model.safetensors", "model.json")]
    return [*files, history(folder, name, timings=False), state]


def assert_equal(a, b):
    assert type(a) is type(b)
    if isinstance(a, dict):
        assert a.keys() == b.keys()
        for key in a:
            assert_equal(a[key], b[key])
    elif isinstance(a, list):
        for x, y in zip(a, b, strict=True):
            assert_equal(x, y)
    elif isinstance(a, torch.Tensor):
        assert torch.equal(a, b)
    else:
        assert a == b


@pytest.fixture(scope="module")
def unbroken(tmp_path_factory):
    folder = write_stores(tmp_path_factory.mktemp("unbroken"))
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(State, "discard", lambda _: None)
        train(folder, checkpoint_seconds=600)
    return result(folder)


def killed_at_random(stores, name, chance, **options):
    """Whether the training was killed, after a step has begun, by SIGKILL; otherwise it has ended before."""
    settings = {"workers": chance.choice((0, 1)), "checkpoint_seconds": chance.choice((0, 0, 600))}
    child = Child(stores, name, pause=0.005, **settings, **options)
    child.wait_for_step(chance.randint(1, STEPS))
    time.sleep(chance.uniform(0, 0.03))
    child.signal(signal.SIGKILL)
    status = child.end()
    assert status in (-signal.SIGKILL, 0), child.text
    return status != 0


@pytest.mark.parametrize(("trainings", "kills"), [(5, 2), pytest.param(50, 1, marks=pytest.mark.thorough)])
def test_kill_at_random_steps(stores, unbroken, trainings, kills):
    """So many trainings are each killed so many times, anywhere from the first step to the last checkpoint."""
    seed = time.time_ns()
    print(f"the seed is {seed}")
    chance, resumed = random.Random(seed), 0
    for number in range(trainings):
        name, left = f"a{number}", kills
        while left:
            if killed_at_random(stores, name, chance):
                left -= 1
            else:  # too late
                shutil.rmtree(stores / name)
                left = kills
        child = Child(stores, name)
        assert child.end() == 0, child.text
        resumed += child.count.value < STEPS
        assert_equal(result(stores, name), unbroken)
        shutil.rmtree(stores / name)
    print(f"{resumed} of {trainings} had a checkpoint to resume from")
    assert resumed


def test_every_setting_of_small_corpora_resumes_with_the_same_bits(stores, monkeypatch):
    """A length in steps, a cosine over it, masks, normalised features and patience, killed twice."""
    model = MODEL.model_copy(update={"audio": MODEL.audio.model_copy(update={"features": "normalized"})})
    options = {"model": model, "epochs": None, "steps": 13, "learning_rate_schedule": "cosine"}
    options |= {"augmentation": "masks", "patience": 5}
    monkeypatch.setattr(State, "discard", lambda _: None)
    train(stores, "whole", **options)
    (row,) = history(stores, "whole")[-1:]
    assert (row["epoch"], row["learning_rate"]) == (
        3,
        pytest.approx(2e-3 * (1 + np.cos(np.pi * 11 / 12)) / 2, rel=1e-5),
    )
    for step in (4, 7):
        child = Child(stores, pause=0.05, **options)
        child.wait_for_step(step)
        child.signal(signal.SIGKILL)
        assert child.end() == -signal.SIGKILL
    child = Child(stores, **options)
    assert child.end() == 0
    assert "resumes at epoch " in child.text
    assert_equal(result(stores), result(stores, "whole"))


@pytest.mark.parametrize("number", [signal.SIGTERM, signal.SIGINT])
def test_signal_to_the_whole_group(stores, unbroken, number):
    child = Child(stores, workers=1, pause=0.05, checkpoint_seconds=600)
    child.wait_for_step(7)
    child.signal(number)
    start = time.monotonic()
    assert child.end() == 1
    assert time.monotonic() - start < 10
    assert "Traceback" not in child.text
    assert f"{{2,3}}: stopped by {number.name} at epoch 2, step " in child.text.splitlines()[-1]
    child = Child(stores, checkpoint_seconds=600)
    assert child.end() == 0
    assert "resumes at epoch 2, step " in child.text
    assert child.count.value < STEPS - 5
    assert_equal(result(stores), unbroken)


def stop_in_validation(stores, **options):
    def interrupted(*args, recalls=module.recalls):
        os.kill(os.getpid(), signal.SIGTERM)
        return recalls(*args)

    expected = pytest.raises(InputError, match="stopped by SIGTERM at epoch 1, step 5")
    with mock.patch.object(module, "recalls", interrupted), expected:
        train(stores, **options)


def test_signal_during_validation(stores, unbroken, monkeypatch):
    monkeypatch.setattr(State, "discard", lambda _: None)
    stop_in_validation(stores, checkpoint_seconds=600)
    train(stores, checkpoint_seconds=600)
    assert_equal(result(stores), unbroken)


def data_worker_of(child):
    pgrep = subprocess.run(["pgrep", "-P", str(child.pid)], capture_output=True, text=True, check=True)
    return int(pgrep.stdout)


def test_killed_data_worker(stores):
    child = Child(stores, workers=1, pause=0.2, epochs=30)
    child.wait_for_step(2)
    os.kill(data_worker_of(child), signal.SIGKILL)
    assert child.end() == 1
    assert "a data worker died or stalled at epoch " in child.text
    assert "run the same command again to resume" in child.text
    assert "Traceback" not in child.text


def test_stopped_data_worker(stores):
    """Ended by the timeout, and neither the training nor the worker is left behind."""
    child = Child(stores, workers=1, pause=0.02, epochs=30, timeout=2)
    child.wait_for_step(2)
    worker = data_worker_of(child)
    os.kill(worker, signal.SIGSTOP)
    start = time.monotonic()
    assert child.end() == 1
    assert time.monotonic() - start < 20
    assert "a data worker died or stalled at epoch " in child.text
    assert "DataLoader worker has stalled for 2 s" in child.text
    assert "Traceback" not in child.text
    with pytest.raises(ProcessLookupError):
        os.kill(worker, 0)


def test_second_process_is_refused(stores):
    child = Child(stores, pause=0.2, epochs=30)
    child.wait_for_step(1)
    start = time.monotonic()
    with pytest.raises(InputError, match=f"this lineage is being trained by process {child.pid} on "):
        train(stores)
    assert time.monotonic() - start < 2
    child.signal(signal.SIGKILL)
    child.end()
    train(stores, epochs=1)  # the dead process's lock does not block


def test_other_settings_do_not_use_the_state(stores, capsys):
    stop_in_validation(stores, epochs=2)
    train(stores, epochs=1, learning_rate=1e-3, code="training.train:1a")
    log = capsys.readouterr().err
    assert "a checkpoint of a training with other settings, data or code is ignored: " in log
    assert "training.learning_rate 0.002 -> 0.001" in log
    assert 'code.training.train absent -> "1a"' in log
    assert "{2,3}: starts" in log
    assert len(list((stores / "a" / "state").glob("*/latest.json"))) == 1  # the other's, still there
    train(stores, epochs=2)
    assert "resumes at epoch 1, step 5" in capsys.readouterr().err
