"""The one lock: it names its holder and ends with the process that holds it."""

import os
import signal
import time

import pytest
from training_child import in_fork

from resdavenet_vq.errors import InputError
from resdavenet_vq.files import lock


@pytest.fixture
def path(tmp_path):
    return tmp_path / "new" / "lock"


def hold_and_die(path, fork):
    with lock(path, "a.h5: is being made"):
        if fork and os.fork() == 0:
            time.sleep(3)
            os._exit(0)
        os.kill(os.getpid(), signal.SIGKILL)


def test_a_second_process_is_refused_at_once(path):
    def refused():
        start = time.monotonic()
        try:
            with lock(path, "a.h5: is being made"):
                os._exit(1)
        except InputError as e:
            expected = f"a.h5: is being made by process {parent} on {os.uname().nodename}, since "
            os._exit(0 if str(e).startswith(expected) and time.monotonic() - start < 2 else 2)

    parent = os.getpid()
    with lock(path, "a.h5: is being made"):
        assert in_fork(refused) == 0
    assert not path.exists()
    with lock(path, "a.h5: is being made"):
        pass


@pytest.mark.parametrize("outlived", [False, True], ids=["killed", "killed, outlived by a worker that it forked"])
def test_a_killed_holder_leaves_no_lock(path, outlived):
    assert in_fork(lambda: hold_and_die(path, outlived)) == -signal.SIGKILL
    assert path.exists()
    with lock(path, "a.h5: is being made"):
        pass


def test_contended_lock_admits_one_at_a_time(path):
    """Many processes that take and remove the same file: never two inside, whoever unlinks it meanwhile."""

    def work():
        for _ in range(50):
            try:
                with lock(path, "x"):
                    descriptor = os.open(inside, os.O_CREAT | os.O_EXCL)
                    os.close(descriptor)
                    inside.unlink()
            except InputError:
                continue
            except FileExistsError:
                os._exit(1)
        os._exit(0)

    inside = path.with_name("inside")
    children = []
    for _ in range(4):
        if (pid := os.fork()) == 0:
            work()
        children.append(pid)
    assert [os.waitstatus_to_exitcode(os.waitpid(pid, 0)[1]) for pid in children] == [0] * 4
