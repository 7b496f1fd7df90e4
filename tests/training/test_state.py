import os
import resource
import shutil
import signal
import sys
from collections import Counter

import pytest
import torch
from training_child import in_fork

from resdavenet_vq.errors import InputError
from resdavenet_vq.training.state import State


def content(number):
    return {"number": number, "weights": {"a": torch.full((50,), float(number))}, "history": [{"epoch": 1}]}


def test_what_was_saved_is_loaded(tmp_path):
    state = State(tmp_path, {"a": 1})
    assert state.load() is None
    for number in range(3):
        state.save(content(number))
    loaded = state.load()
    assert loaded["number"] == 2
    assert torch.equal(loaded["weights"]["a"], torch.full((50,), 2.0))
    assert sorted(p.name for p in state.folder.iterdir()) == ["checkpoint-000003.pt", "identity.json", "latest.json"]
    state.discard()
    assert state.load() is None
    assert [p.name for p in state.folder.iterdir()] == ["identity.json"]


CHANGES = {"open", "write", "close", "__exit__", "fsync", "replace", "rename", "link", "unlink", "mkdir", "rmdir"}
"""Functions of the operating system, and methods of its files, that change what is on the disk."""

RECORDS = {"write_record", "write_end_of_file"}
"""Methods by which torch.save writes a file part by part."""


def killer(n, log):
    """A profiler that kills this process before the n-th call of CHANGES, so after the one before it.

    Python tells of methods of the extension that torch.save uses when they return, so it is killed after these.
    """

    def profile(_, event, function):
        if event == "c_call" and function.__name__ in CHANGES:
            relevant = (function.__module__ or type(function.__self__).__module__) in ("posix", "_io")
        else:
            relevant = event == "c_return" and function.__name__ in RECORDS
        if relevant:
            if len(log) == n:
                os.kill(os.getpid(), signal.SIGKILL)
            log.append(function.__name__)

    return profile


def test_kill_at_every_write_fsync_and_rename(tmp_path):
    """The old checkpoint remains or the new one, and the next one is saved as if nothing had been."""
    first = State(tmp_path / "first", {})
    first.save(content(1))
    calls = []
    sys.setprofile(killer(10**6, calls))
    try:
        State(tmp_path / "whole", {}).save(content(1))
    finally:
        sys.setprofile(None)
    print(Counter(calls))
    assert {"write", "fsync", "replace", "unlink"} | RECORDS <= set(calls)
    seen = []
    for n in range(10**6):
        shutil.copytree(first.root, tmp_path / str(n))
        state = State(tmp_path / str(n), {})

        def killed_save(n=n, state=state):
            sys.setprofile(killer(n, []))
            state.save(content(2))

        status = in_fork(killed_save)
        loaded = state.load()
        seen.append(loaded["number"])
        assert torch.equal(loaded["weights"]["a"], torch.full((50,), float(loaded["number"])))
        state.save(content(3))
        assert state.load()["number"] == 3
        assert len(list(state.folder.glob("*.pt"))) == 1
        assert not list(state.folder.glob(".*.tmp"))
        if status == 0:
            break
    assert n >= len(calls)
    assert seen == sorted(seen)
    assert set(seen) == {1, 2}


def test_full_disk(tmp_path):
    """A limit on the size of files stands for the full disk: what was there stays, nothing partial gets a name."""
    state = State(tmp_path, {})
    state.save(content(1))
    before = {p.name: p.read_bytes() for p in state.folder.iterdir()}

    def save():
        signal.signal(signal.SIGXFSZ, signal.SIG_IGN)
        resource.setrlimit(resource.RLIMIT_FSIZE, (1000, resource.RLIM_INFINITY))
        try:
            state.save(content(2))
        except InputError as e:
            os._exit(7 if "free some disk space" in str(e) and "\n" not in str(e) else 8)

    assert in_fork(save) == 7
    assert {p.name: p.read_bytes() for p in state.folder.iterdir()} == before


@pytest.mark.parametrize("damage", ["flip", "truncate", "remove"])
def test_damaged_checkpoint_is_refused(tmp_path, damage):
    state = State(tmp_path, {})
    state.save(content(1))
    (path,) = state.folder.glob("*.pt")
    data = bytearray(path.read_bytes())
    if damage == "flip":
        data[len(data) // 2] ^= 1
    path.write_bytes(data[:100] if damage == "truncate" else data)
    if damage == "remove":
        path.unlink()
    with pytest.raises(InputError, match=r"checkpoint-000001.pt: .* damaged .* remove .* to train from the start"):
        state.load()


def test_another_identity_has_another_state(tmp_path):
    old = State(tmp_path, {"training": {"epochs": 6}, "parent": None})
    new = State(tmp_path, {"training": {"epochs": 12}, "parent": "ab"})
    old.save(content(1))
    assert new.load() is None
    (line,) = new.others()
    assert str(old.folder) in line
    assert 'parent null -> "ab"; training.epochs 6 -> 12' in line
    assert old.others() == []
    assert State(tmp_path, {"parent": None, "training": {"epochs": 6}}).load()["number"] == 1
