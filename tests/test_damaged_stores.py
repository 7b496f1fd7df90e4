"""No command uses a store that has been damaged since it was prepared: it ends with one line that names the item."""

import json
import os
import random
import re
import shutil
import signal

import h5py
import pytest
import torch
from oracles.data import make_manifest, prepared
from report import made_up
from training_child import MODEL, TRAINING, Child, train, write_stores
from typer.testing import CliRunner

from resdavenet_vq.__main__ import app
from resdavenet_vq.data.store import Store
from resdavenet_vq.errors import InputError
from resdavenet_vq.model import checkpoint
from resdavenet_vq.model.dual_encoder import DualEncoder

DAMAGED = {
    "logmel": "features of utterance utt-0 (number 0) damaged",
    "image": "image 0.jpg (number 0) damaged",
    "manifest": "manifest row of utterance utt-0 (number 0) damaged",
    "ids": "ids damaged, or of another store than the header",
    "image_index": "image_index damaged, or of another store than the header",
}
AT_ONCE = ("ids", "image_index")
MODEL_OPTIONS = ["--model", "{folder}/model", "--data", "{store}"]
TRAIN = ["train", "--lineage", "23", "--model", MODEL.model_dump_json(), "--out", "{out}/model"]
TRAIN += ["--state", "{out}/state", "--training", TRAINING.model_dump_json()]
CLUSTERS = '{"quant2": 4}'
UNITS = '{"files": {"store": "{folder}/units.jsonl"}, "format": "jsonl", "frame_period": 0.02}'
IMPORT = ["import-units", "--name", "a", "--split", "store", "--settings", UNITS]
COMMANDS = {
    "train": ([*TRAIN, "--data", "{store}", "--validation", "{folder}/sound.h5"], ("logmel", "image")),
    "train, validation": ([*TRAIN, "--data", "{folder}/sound.h5", "--validation", "{store}"], ("logmel", "image")),
    "codes": (["encode-split", *MODEL_OPTIONS, "--codes", "{out}/a.h5"], ("logmel", "manifest")),
    "embeddings": (["encode-split", *MODEL_OPTIONS, "--embeddings", "{out}/a.h5"], ("logmel", "image")),
    "maps": (["encode-split", *MODEL_OPTIONS, "--maps", "{out}/a.h5"], ("logmel", "image")),
    "features": (["encode-split", *MODEL_OPTIONS, "--features", "{out}/a.h5", "--layers", "conv2"], ("logmel",)),
    "encode-logmel": (["encode-logmel", "--data", "{store}", "--out", "{out}/a.h5"], ("logmel",)),
    "make-untrained": (
        ["make-untrained", "--audio", MODEL.audio.model_dump_json(), "--data", "{store}", "--out", "{out}/model"],
        ("logmel",),
    ),
    "fit-kmeans": (
        ["fit-kmeans", "--system", "kmeans", "--layers", CLUSTERS, "--data", "{store}", "--out", "{out}/a.h5"],
        ("logmel",),
    ),
    "encode-kmeans": (
        ["encode-kmeans", "--clusters", "{folder}/kmeans.h5", "--data", "{store}", "--codes", "{out}/a.h5"],
        ("logmel", "manifest"),
    ),
    "import-units": (
        [*IMPORT, "--data", "{store}", "--codes", "{out}/a.h5", "--report", "{out}/b"],
        ("manifest",),
    ),
    "make-items": (
        [
            "make-items",
            "--data",
            "{store}",
            "--settings",
            "{}",
            "--of",
            "word",
            "--out",
            "{out}/a",
            "--report",
            "{out}/b",
        ],
        ("manifest",),
    ),
}
"""Each with what it reads, apart from what is compared as a store is opened."""


@pytest.fixture(scope="module")
def folder(tmp_path_factory):
    """A store, a model, clusters, and units made elsewhere."""
    folder = tmp_path_factory.mktemp("sound")
    prepared(make_manifest(folder / "corpus", 12), folder, "sound")
    torch.manual_seed(0)
    checkpoint.save(folder / "model", DualEncoder(MODEL, (2, 3)), {})
    store = Store(folder / "sound.h5")
    clusters = ["fit-kmeans", "--system", "kmeans", "--layers", CLUSTERS, "--data", store.path]
    app([*map(str, clusters), "--out", str(folder / "kmeans.h5")], standalone_mode=False)
    units = [{"id": i, "units": [1] * (n // 2)} for i, n in zip(store.ids, store.n_frames.tolist(), strict=True)]
    (folder / "units.jsonl").write_text("".join(f"{json.dumps(row)}\n" for row in units))
    return folder


def damage(path, name, size=1):
    """Changes the first bytes of a dataset."""
    with h5py.File(path) as f:
        place = f[name].id.get_offset()
    data = path.read_bytes()[place : place + size]
    with path.open("r+b") as f:
        f.seek(place)
        f.write(bytes([data[0] ^ 4]) if size == 1 else bytes(size))


def fault_of(arguments):
    """The message with which a command fails."""
    result = CliRunner().invoke(app, arguments)
    assert result.exit_code == 1
    assert isinstance(result.exception, InputError), result.exception
    return str(result.exception)


@pytest.mark.filterwarnings("ignore:.*use of fork")
@pytest.mark.parametrize(
    ("command", "what"), [(command, what) for command, (_, items) in COMMANDS.items() for what in (*items, *AT_ONCE)]
)
def test_a_command_names_what_is_damaged(folder, tmp_path, monkeypatch, command, what):
    monkeypatch.setattr(os, "sched_getaffinity", lambda _: {0})  # no worker processes
    store = shutil.copy(folder / "sound.h5", tmp_path / "store.h5")
    damage(store, what)
    out = tmp_path / "out"
    out.mkdir()
    places = {"{folder}": folder, "{store}": store, "{out}": out}
    arguments = [re.sub("{folder}|{store}|{out}", lambda m: str(places[m[0]]), text) for text in COMMANDS[command][0]]
    assert fault_of(arguments) == f"{store}: {DAMAGED[what]}; prepare the split again"
    left = {path.suffix for path in out.rglob("*") if path.is_file()}
    assert left <= {".pt"}, "only a training leaves something, its checkpoint"


@pytest.mark.parametrize("what", DAMAGED)
def test_the_report_names_what_is_damaged(tmp_path, what):
    (tmp_path / "corpus").mkdir()
    made_up.build(tmp_path / "results", made_up.utterances(tmp_path / "corpus", 4))
    damage(tmp_path / "results/data/test.h5", what)
    options = ["--results", str(tmp_path / "results"), "--systems", "none,none-2,none-2-23", "--split", "test"]
    fault = fault_of(["write-report", *options, "--settings", "{}", "--out", str(tmp_path / "report")])
    name = DAMAGED[what].replace("utt-0", "u0<i>").replace("0.jpg", "image 0")
    assert fault == f"{tmp_path}/results/data/test.h5: {name}; prepare the split again"
    assert not (tmp_path / "report").exists()


@pytest.mark.parametrize("workers", [0, 1])
def test_a_killed_training_does_not_resume_on_damaged_features(tmp_path, workers):
    stores = write_stores(tmp_path)
    child = Child(stores, workers=workers)
    child.wait_for_step(random.randint(2, 6))
    child.signal(signal.SIGKILL)
    child.end()
    before = Store(stores / "train.h5").sha256
    damage(stores / "train.h5", "logmel", 20_000)
    assert Store(stores / "train.h5").sha256 == before, "the damage is found as features are read, not by the header"
    child = Child(stores, workers=workers)
    assert child.end() == 1, child.text
    pattern = r"\S+train\.h5: features of utterance u\d \(number \d\) damaged; prepare the split again"
    assert re.fullmatch(pattern, child.text.splitlines()[-1])
    assert "Traceback" not in child.text
    assert not any((stores / "a/model").iterdir())


def test_the_card_has_the_checksum_of_what_was_read(tmp_path):
    stores = write_stores(tmp_path)
    train(stores, epochs=1)
    card = json.loads((stores / "a/model/model.json").read_text())
    assert card["data"] == {
        "training": Store(stores / "train.h5").sha256,
        "validation": Store(stores / "val.h5").sha256,
    }
