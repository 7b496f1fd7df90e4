"""The one lock, and outputs that are whole or not there whatever happens to their writer."""

import contextlib
import errno
import fcntl
import itertools
import os
import re
import signal
import time
from pathlib import Path

import pytest
from training_child import in_fork

from resdavenet_vq import outputs
from resdavenet_vq.errors import InputError
from resdavenet_vq.files import atomic_folder, atomic_write, lock, together


@pytest.fixture
def path(tmp_path):
    return tmp_path / "new" / "lock"


@pytest.fixture(params=[None, errno.ENOLCK, errno.ENOSYS, errno.EOPNOTSUPP, 524], ids=lambda code: f"flock {code}")
def file_system(request, monkeypatch):
    """One with locks, and those without, which answer so; the remedy of a lock."""

    def flock(_, operation):
        if operation != fcntl.LOCK_UN:
            raise OSError(request.param, os.strerror(request.param))

    if request.param is None:
        return "wait until it ends, or stop it"
    monkeypatch.setattr(fcntl, "flock", flock)
    return "wait until it ends, or stop it; this file system has no locks: if it has ended, remove PATH"


def hold_and_die(path, fork):
    with lock(path, "a.h5: is being made"):
        if fork and os.fork() == 0:
            time.sleep(3)
            os._exit(0)
        os.kill(os.getpid(), signal.SIGKILL)


def test_a_second_process_is_refused_at_once(path, file_system):
    def refused():
        start = time.monotonic()
        try:
            with lock(path, "a.h5: is being made"):
                os._exit(1)
        except InputError as e:
            expected = f"a.h5: is being made by process {parent} on {os.uname().nodename}, since "
            is_expected = str(e).startswith(expected) and str(e).endswith(f"; {file_system.replace('PATH', str(path))}")
            os._exit(0 if is_expected and time.monotonic() - start < 2 else 2)

    parent = os.getpid()
    with lock(path, "a.h5: is being made"):
        assert in_fork(refused) == 0
    assert not path.exists()
    with lock(path, "a.h5: is being made"):
        pass


@pytest.mark.parametrize("outlived", [False, True], ids=["killed", "killed, outlived by a worker that it forked"])
@pytest.mark.usefixtures("file_system")
def test_a_killed_holder_leaves_no_lock(path, outlived):
    assert in_fork(lambda: hold_and_die(path, outlived)) == -signal.SIGKILL
    assert path.exists()
    with lock(path, "a.h5: is being made"):
        pass


@pytest.mark.usefixtures("file_system")
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


@pytest.mark.usefixtures("file_system")
def test_a_lock_leaves_nothing_beside_it(path):
    with lock(path, "x"):
        assert [*path.parent.iterdir()] == [path]
    assert not [*path.parent.iterdir()]


def test_a_lock_that_another_host_left(path, file_system):
    """Where there are locks it does not block; elsewhere nobody can know whether its process is at work."""
    path.parent.mkdir()
    path.write_text("12\nelsewhere\n")
    if "no locks" not in file_system:
        with lock(path, "x"):
            return
    message = rf"^x by process 12 on elsewhere, since .*; {re.escape(file_system.replace('PATH', str(path)))}$"
    with pytest.raises(InputError, match=message), lock(path, "x"):
        pytest.fail("two hold it")
    path.unlink()
    with lock(path, "x"):
        pass


def test_where_no_lock_can_be_written_the_output_is_named(tmp_path, monkeypatch):
    def refuse(path, *_):
        raise OSError(errno.EROFS, os.strerror(errno.EROFS), path)

    out = tmp_path / "a.h5"
    monkeypatch.setattr(os, "open", refuse)
    message = rf"^{out}: cannot be written \(Read-only file system\); choose another place$"
    with pytest.raises(InputError, match=message), lock(tmp_path / ".a.h5.lock", "a.h5: is being made", out):
        pytest.fail("nothing is locked")


def write_report(out, text):
    with atomic_folder(out, replace=True) as tmp:
        for name in ("a", "b"):
            (tmp / name).write_text(text)


def write_pair(folder, text):
    with together():
        for name in ("a", "b"):
            with atomic_write(folder / name) as tmp:
                tmp.write_text(text)


STEPS = ("mkdir", "rename", "replace", "unlink", "rmdir", "link", "fsync")


def killed_at(step, do):
    """Runs `do` in a fork that is killed before its system call number `step`; whether it was."""

    def work():
        calls = iter(range(1000))

        def counted(function):
            def call(*args, **kwargs):
                if next(calls) == step:
                    os.kill(os.getpid(), signal.SIGKILL)
                return function(*args, **kwargs)

            return call

        for name in STEPS:
            setattr(os, name, counted(getattr(os, name)))
        outputs._exchange = counted(outputs._exchange)
        do()

    return in_fork(work) == -signal.SIGKILL


@pytest.mark.parametrize("atomic", [True, False], ids=["exchange", "two renames"])
def test_a_folder_that_is_replaced_is_whole_whenever_its_writer_is_killed(tmp_path, monkeypatch, atomic):
    if not atomic:
        monkeypatch.setattr(outputs.ctypes, "CDLL", lambda *_, **__: None)
    out = tmp_path / "report"
    for step in itertools.count():
        write_report(out, "old")
        was_killed = killed_at(step, lambda: write_report(out, "new"))
        if atomic:
            assert {path.read_text() for path in out.iterdir()} in ({"old"}, {"new"})
            assert len(list(out.iterdir())) == 2
        with contextlib.suppress(InputError), atomic_folder(out, replace=True):  # the next run, which fails
            raise InputError
        assert [path.name for path in tmp_path.iterdir()] == ["report"]
        assert sorted(path.name for path in out.iterdir()) == ["a", "b"]
        if not was_killed:
            break
    assert step > 3


def test_several_files_are_whole_whenever_their_writer_is_killed_and_nothing_is_left(tmp_path):
    for step in itertools.count():
        write_pair(tmp_path, "old")
        was_killed = killed_at(step, lambda: write_pair(tmp_path, "new"))
        assert {(tmp_path / name).read_text() for name in "ab"} <= {"old", "new"}
        write_pair(tmp_path, "next")
        assert {path.name: path.read_text() for path in tmp_path.iterdir()} == {"a": "next", "b": "next"}
        if not was_killed:
            break
    assert step > 5


@pytest.mark.parametrize("blocked", ["a", "b"])
def test_together_or_not_at_all(tmp_path, blocked):
    write_pair(tmp_path, "old")

    def write():
        with together():
            for name in ("a", "b"):
                with atomic_write(tmp_path / name) as tmp:
                    tmp.write_text("new")
            (tmp_path / blocked).unlink()
            (tmp_path / blocked).mkdir()

    with pytest.raises(InputError, match=rf"/{blocked}: cannot be written"):
        write()
    other = {"a": "b", "b": "a"}[blocked]
    assert (tmp_path / other).read_text() == "old"
    assert sorted(path.name for path in tmp_path.iterdir()) == ["a", "b"]


def test_files_of_living_processes_and_recent_ones_of_other_hosts_stay(tmp_path):
    host = outputs.host()
    stay = [f".a.{host}.{os.getppid()}.tmp", ".a.elsewhere.12.tmp", f".a.b.{host}.999999999.tmp"]
    for name in [*stay, f".a.{host}.999999999.tmp", f".a.{host}.999999999.earlier"]:
        (tmp_path / name).write_text("x")
    write_pair(tmp_path, "new")
    assert sorted(path.name for path in tmp_path.iterdir()) == sorted([*stay, "a", "b"])


@pytest.mark.parametrize(
    ("make", "message"),
    [
        (lambda f: Path("/dev/null"), "/dev/null: is no regular file"),
        (lambda f: os.mkfifo(f / "pipe") or f / "pipe", "pipe: is no regular file"),
        (lambda f: f, "is a folder; choose another name"),
        (lambda f: Path(__file__) / "y", "a part of its path is a file"),
        (lambda f: f / ("n" * 300), "choose a shorter name"),
        (lambda f: f / "a\0b", "cannot hold a NUL character"),
        (lambda f: (f / "link").symlink_to(f / "nowhere") or f / "link", "is a link to .*nowhere, which is not there"),
    ],
)
def test_places_where_no_file_can_be(tmp_path, make, message):
    path = make(tmp_path)
    with pytest.raises(InputError, match=message), atomic_write(path):
        pytest.fail("nothing is written")
    assert Path("/dev/null").is_char_device()


def test_an_error_of_another_file_is_not_the_outputs(tmp_path):
    with pytest.raises(FileNotFoundError, match="input"), atomic_write(tmp_path / "out"):
        (tmp_path / "input").read_text()
    assert list(tmp_path.iterdir()) == []
