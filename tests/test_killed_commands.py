"""What a command leaves that is killed while it writes, the next run of the same command removes."""

import os
import random
import signal
import sys
import time

import pytest
import torch
from encode.recordings import model_of
from training_child import write_store

from resdavenet_vq import __main__
from resdavenet_vq.model import checkpoint

KILLS = 20


def begin(argv, log):
    """The command in a fork, which has everything imported."""
    if (pid := os.fork()) != 0:
        return pid
    try:
        os.dup2(os.open(log, os.O_CREAT | os.O_WRONLY | os.O_TRUNC), 2)
        sys.stderr = os.fdopen(2, "w", buffering=1, closefd=False)
        sys.argv = ["resdavenet-vq", *map(str, argv)]
        torch.set_num_threads(1)
        __main__.main()
    except SystemExit as e:
        os._exit(e.code or 0)
    finally:
        os._exit(2)


def is_running(pid):
    return os.waitid(os.P_PID, pid, os.WEXITED | os.WNOHANG | os.WNOWAIT) is None


@pytest.mark.filterwarnings("ignore:.*use of fork")
def test_nothing_is_left_beside_the_outputs(tmp_path):
    write_store(tmp_path / "split.h5", 120, 0)
    checkpoint.save(tmp_path / "model", model_of((2, 3)), {})
    folder, log, chance, left = tmp_path / "out", tmp_path / "log", random.Random(0), []
    folder.mkdir()
    out, inputs = folder / "f.h5", ["--model", tmp_path / "model", "--data", tmp_path / "split.h5"]
    argv = ["encode-split", *inputs, "--layers", "conv2,quant2", "--features", out, "--overwrite"]
    outputs = {out, folder / "f.h5.sha256"}
    while len(left) < KILLS:
        before = {*folder.iterdir()}
        pid = begin(argv, log)
        while {*folder.iterdir()} <= before and is_running(pid):
            time.sleep(0.0005)
        time.sleep(chance.uniform(0, 0.01))
        os.kill(pid, signal.SIGKILL)
        status = os.waitstatus_to_exitcode(os.waitpid(pid, 0)[1])
        if status == -signal.SIGKILL:
            left.append(len({*folder.iterdir()} - outputs))
        else:
            assert status == 0, log.read_text()
    assert sum(map(bool, left)) >= KILLS / 2, "killed before or after it wrote"
    assert os.waitstatus_to_exitcode(os.waitpid(begin(argv, log), 0)[1]) == 0, log.read_text()
    assert {*folder.iterdir()} == outputs
