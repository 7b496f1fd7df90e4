import hashlib
import json
import os
import resource
import shutil
import signal
import subprocess
import sys
import zipfile
from collections import Counter
from pathlib import Path

import numpy as np
import pytest
import torch
from training_child import in_fork

from resdavenet_vq.config import AudioModel, ImageModel, Model, QuantizerModel, Recipe, Training
from resdavenet_vq.errors import InputError
from resdavenet_vq.training.state import Run, State


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


LATEST = {
    "a list": [],
    "a number": 3,
    "null": None,
    "nothing in it": {},
    "no number": {"file": "checkpoint-000001.pt", "sha256": "{sha256}"},
    "a number as text": {"number": "1", "file": "checkpoint-000001.pt", "sha256": "{sha256}"},
    "no file": {"number": 1, "sha256": "{sha256}"},
    "a list of files": {"number": 1, "file": ["checkpoint-000001.pt"], "sha256": "{sha256}"},
    "a file above": {"number": 1, "file": "../checkpoint-000001.pt", "sha256": "{sha256}"},
    "an absolute file": {"number": 1, "file": "{folder}/checkpoint-000001.pt", "sha256": "{sha256}"},
    "another file": {"number": 1, "file": "identity.json", "sha256": "{sha256}"},
    "a negative number": {"number": -1, "file": "checkpoint-000001.pt", "sha256": "{sha256}"},
    "no checksum": {"number": 1, "file": "checkpoint-000001.pt"},
    "a checksum of null": {"number": 1, "file": "checkpoint-000001.pt", "sha256": None},
    "a checksum of another file": {"number": 1, "file": "checkpoint-000001.pt", "sha256": "{sha256}0"},
}


@pytest.mark.parametrize("kind", LATEST)
def test_a_latest_json_of_another_form(tmp_path, kind):
    state = State(tmp_path, {})
    state.save(content(1))
    path = state.folder / "latest.json"
    sha256 = json.loads(path.read_text())["sha256"]
    (tmp_path / "checkpoint-000001.pt").write_bytes((state.folder / "checkpoint-000001.pt").read_bytes())
    text = json.dumps(LATEST[kind]).replace("{sha256}", sha256).replace("{folder}", str(tmp_path))
    path.write_text(text)
    with pytest.raises(InputError, match=r"damaged .*; remove .* to train from the start"):
        state.load()


@pytest.mark.parametrize("text", ["", "{", "\0", "[" * 100_000, '{"number": 1, "number": 2}', '{"number": NaN}'])
def test_a_latest_json_that_is_no_json(tmp_path, text):
    state = State(tmp_path, {})
    state.save(content(1))
    (state.folder / "latest.json").write_text(text)
    for use in (state.load, lambda: state.save(content(2))):
        with pytest.raises(InputError, match=r"latest\.json: (malformed JSON|cannot be read as JSON)"):
            use()


class Calls:
    def __init__(self, function, *arguments):
        self.call = function, arguments

    def __reduce__(self):
        return self.call


PICKLES = {
    "os.system": lambda c: Calls(os.system, f"touch {c}"),
    "eval": lambda c: Calls(eval, f"open({str(c)!r}, 'w')"),
    "exec": lambda c: Calls(exec, f"open({str(c)!r}, 'w')"),
    "subprocess": lambda c: Calls(subprocess.call, ["touch", str(c)]),
    "open": lambda c: Calls(open, str(c), "w"),
    "import": lambda c: Calls(__import__, "antigravity"),
    "getattr": lambda c: Calls(getattr, "x", "upper"),
    "torch.load": lambda c: Calls(torch.load, str(c)),
    "torch.save": lambda c: Calls(torch.save, 1, str(c)),
    "inside": lambda c: {"model": [{"x": Calls(os.system, f"touch {c}")}]},
    "a path": lambda c: {"x": Path(c)},
    "a module": lambda c: torch.nn.Linear(1, 1),
    "numpy": lambda c: Calls(np.load, str(c)),
    "a list": lambda c: [1],
    "a number": lambda c: 1,
}


@pytest.mark.parametrize("zipped", [True, False])
@pytest.mark.parametrize("kind", PICKLES)
def test_hostile_checkpoints_whose_checksum_is_right(tmp_path, kind, zipped):
    state, canary = State(tmp_path, {}), tmp_path / "canary"
    state.save(content(1))
    path = state.folder / "checkpoint-000001.pt"
    torch.save(PICKLES[kind](canary), path, _use_new_zipfile_serialization=zipped)
    manifest = {"number": 1, "file": path.name, "sha256": hashlib.sha256(path.read_bytes()).hexdigest()}
    (state.folder / "latest.json").write_text(json.dumps(manifest))
    with pytest.raises(
        InputError, match=r"checkpoint-000001\.pt: the checkpoint is damaged \(.*\); remove .* to train"
    ):
        state.load()
    assert not canary.exists()


def test_a_checkpoint_that_unpacks_to_more_than_it_has(tmp_path):
    state = State(tmp_path, {})
    state.save(content(1))
    path = state.folder / "checkpoint-000001.pt"
    with zipfile.ZipFile(path) as z:
        entries = {name: z.read(name) for name in z.namelist()}
    with zipfile.ZipFile(path, "w", zipfile.ZIP_DEFLATED) as z:
        for name, data in entries.items():
            z.writestr(name, data + bytes(1 << 24) if name.endswith("/0") else data)
    manifest = {"number": 1, "file": path.name, "sha256": hashlib.sha256(path.read_bytes()).hexdigest()}
    (state.folder / "latest.json").write_text(json.dumps(manifest))
    with pytest.raises(InputError, match=r"would unpack to .* remove .* to train from the start"):
        state.load()


@pytest.mark.parametrize("n", [pytest.param(100), pytest.param(1000, marks=pytest.mark.thorough)])
def test_flips_in_a_checkpoint(tmp_path, n):
    """Each is noticed; and where the checksum is made right, the result is a state or a typed error."""
    state, random = State(tmp_path, {}), np.random.default_rng(0)
    state.save(content(1))
    path = state.folder / "checkpoint-000001.pt"
    whole, latest = path.read_bytes(), (state.folder / "latest.json").read_text()
    outcomes = Counter()
    for place, bit in zip(random.integers(len(whole), size=n), random.integers(8, size=n), strict=True):
        data = bytearray(whole)
        data[place] ^= 1 << bit
        path.write_bytes(data)
        (state.folder / "latest.json").write_text(latest)
        with pytest.raises(InputError, match="its bytes have changed"):
            state.load()
        manifest = {"number": 1, "file": path.name, "sha256": hashlib.sha256(data).hexdigest()}
        (state.folder / "latest.json").write_text(json.dumps(manifest))
        try:
            outcomes[type(state.load())] += 1
        except InputError:
            outcomes[InputError] += 1
    assert set(outcomes) <= {dict, InputError}
    assert outcomes.total() == n


@pytest.mark.parametrize("text", ["[]", "3", "{", "", "[" * 100_000, '{"a":' * 2000 + "1" + "}" * 2000, None])
def test_a_damaged_identity_of_another_training_does_not_stop_this_one(tmp_path, text):
    old, new = State(tmp_path, {"a": 1}), State(tmp_path, {"a": 2})
    old.save(content(1))
    identity = old.folder / "identity.json"
    identity.unlink() if text is None else identity.write_text(text)
    (line,) = new.others()
    assert line.startswith(f"{old.folder}: a checkpoint of a training with other settings, data or code is ignored")
    assert len(line) < 500


@pytest.mark.parametrize("key", ["model", "optimizer", "totals", "epoch", "step", "history", "best", "best_epoch"])
@pytest.mark.parametrize("value", [None, "x", 0.5])
def test_a_state_of_another_form_is_not_resumed(key, value):
    def run():
        audio = AudioModel(widths=(4, 4, 4, 4, 8), blocks_per_stage=1, kernel_size=3)
        image = ImageModel(architecture="thin_resnet", widths=(4, 4, 4, 4))
        settings = Model(audio=audio, image=image, quantizer=QuantizerModel(codebook_size=4))
        training = Training(split="train", validation_split="val")
        return Run.start(settings, (2,), Recipe(), training, None, torch.device("cpu"))

    saved = run().to_dict()
    run().resume(saved)
    with pytest.raises(InputError, match=r"the checkpoint is not of this training.*remove its folder"):
        run().resume(saved | {key: value})
    with pytest.raises(InputError, match="the checkpoint is not of this training"):
        run().resume({name: v for name, v in saved.items() if name != key})


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
