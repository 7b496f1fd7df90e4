import os
import resource
import signal

import pytest
import torch
from training_child import in_fork

from resdavenet_vq import files
from resdavenet_vq.errors import InputError
from resdavenet_vq.training import state as module
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


def test_kill_at_every_write_fsync_and_rename(tmp_path):
    """Killed before the n-th of the relevant system calls, for every n: the old checkpoint or the new one."""
    seen = set()
    for n in range(100):
        state = State(tmp_path / str(n), {})
        state.save(content(1))

        def killed_save(n=n, state=state):
            left = [n]

            def counted(function):
                def call(*args, **kwargs):
                    if left[0] == 0:
                        os.kill(os.getpid(), signal.SIGKILL)
                    left[0] -= 1
                    return function(*args, **kwargs)

                return call

            save = torch.save

            def torn_save(value, path):
                counted(save)(value, path)
                whole = path.read_bytes()
                for part in (0, 1, len(whole) // 2, len(whole) - 1):
                    path.write_bytes(whole[:part])
                    counted(lambda: None)()
                path.write_bytes(whole)

            torch.save = torn_save
            os.fsync, os.replace, os.unlink = counted(os.fsync), counted(os.replace), counted(os.unlink)
            files.os.fsync, files.os.replace = os.fsync, os.replace
            module.sha256 = counted(module.sha256)
            state.save(content(2))

        status = in_fork(killed_save)
        loaded = state.load()
        seen.add(loaded["number"])
        assert torch.equal(loaded["weights"]["a"], torch.full((50,), float(loaded["number"])))
        state.save(content(3))  # and life goes on
        assert state.load()["number"] == 3
        assert len(list(state.folder.glob("*.pt"))) == 1
        assert not list(state.folder.glob(".*.tmp"))
        if status == 0:
            break
    assert n > 10
    assert seen == {1, 2}


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
            os._exit(7 if "cannot be written (File too large); raise the limit" in str(e) and "\n" not in str(e) else 8)

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
