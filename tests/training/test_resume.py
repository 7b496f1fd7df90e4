"""A training that is killed or stopped, or loses its workers, ends with the bits of an uninterrupted one."""

import os
import random
import signal
import subprocess
import time
from unittest import mock

import pytest
import torch
from training_child import Child, history, train, write_stores

from resdavenet_vq.errors import InputError
from resdavenet_vq.training import train as module
from resdavenet_vq.training.state import State

KILLS = int(os.environ.get("RESDAVENET_VQ_KILLS", "4"))
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


def test_kill_at_random_steps(stores, unbroken):
    seed = time.time_ns()
    chance = random.Random(seed)
    for kill in range(KILLS):
        child = Child(stores, f"a{kill // 4}", workers=kill % 2)
        child.wait_for_step(chance.randint(1, 6))
        time.sleep(chance.uniform(0, 0.02))
        child.signal(signal.SIGKILL)
        child.end()
        if kill % 4 == 3 or kill == KILLS - 1:
            child = Child(stores, f"a{kill // 4}")
            assert child.end() == 0, (seed, child.text)
            assert_equal(result(stores, f"a{kill // 4}"), unbroken)


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


def test_killed_data_worker(stores):
    child = Child(stores, workers=1, pause=0.2, epochs=30)
    child.wait_for_step(2)
    pgrep = subprocess.run(["pgrep", "-P", str(child.pid)], capture_output=True, text=True, check=True)
    os.kill(int(pgrep.stdout), signal.SIGKILL)
    assert child.end() == 1
    assert "a data worker died at epoch " in child.text
    assert "run the same command again to resume" in child.text
    assert "Traceback" not in child.text


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
