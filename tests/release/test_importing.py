"""Names of the 2020 release's tensors, and importing its experiments."""

import argparse
import hashlib
import json
import pickle
import re
import shutil
from pathlib import Path

import h5py
import numpy as np
import pytest
import torch
from clutter import litter
from oracles.data import prepared, utterance
from PIL import Image
from typer.testing import CliRunner

from resdavenet_vq.__main__ import app
from resdavenet_vq.config import ImageModel, Retrieval
from resdavenet_vq.corpus.manifest import Manifest
from resdavenet_vq.data.store_writer import StoreWriter
from resdavenet_vq.encode.split import encode
from resdavenet_vq.errors import InputError
from resdavenet_vq.evaluation.retrieval_files import score
from resdavenet_vq.lineage import Lineage
from resdavenet_vq.model import checkpoint
from resdavenet_vq.model.image import ImageEncoder
from resdavenet_vq.release import importing as released
from resdavenet_vq.release.importing import audio_state, image_state, import_released

DATA = Path(__file__).parents[1] / "golden"
EXPERIMENT = DATA / "reference_experiment"


def audio():
    return torch.load(EXPERIMENT / "models/best_audio_model.pth", weights_only=True)


def image(width):
    """The tensors of a released image model."""
    with torch.device("meta"):
        shapes = ImageEncoder(ImageModel(architecture="resnet50"), width).state_dict()
    return {name.removeprefix("trunk."): torch.zeros(x.shape, dtype=x.dtype) for name, x in shapes.items()}


@pytest.fixture
def folder(tmp_path):
    shutil.copytree(EXPERIMENT, tmp_path / "experiment")
    return tmp_path / "experiment"


def change_arguments(folder, **changes):
    arguments = pickle.loads((folder / "args.pkl").read_bytes())
    for name, value in changes.items():
        setattr(arguments, name, value)
    (folder / "args.pkl").write_bytes(pickle.dumps(arguments))


def archive(folder, path):
    form = {".zip": "zip", ".tar": "tar", ".gz": "gztar", ".bz2": "bztar"}[path.suffix]
    return Path(shutil.make_archive(str(path.with_name("a")), form, folder.parent, folder.name))


def test_names_are_strict():
    state = audio()
    renamed = audio_state(state)
    assert renamed["stages.0.0.weight"] is state["module.conv1.weight"]
    assert renamed["stages.3.0.shortcut.1.bias"] is state["module.layer3.0.downsample.1.bias"]
    assert renamed["stages.2.1.norm2.running_var"] is state["module.layer2.1.bn2.running_var"]
    assert renamed["quantizers.quant3.embedding_sum"] is state["module.quant3._ema_w"]
    assert len(renamed) == len(state) - 5  # batchnorm1, which nothing uses
    without_prefix = {name.removeprefix("module."): x for name, x in state.items()}
    assert audio_state(without_prefix).keys() == renamed.keys()


def test_everything_wrong_with_the_tensors_is_listed():
    state = audio()
    del state["module.bn1.bias"], state["module.quant2._ema_w"]
    state["module.layer2.1.conv2.weight"] = torch.zeros(24, 24, 1, 7)
    state["module.surprise"] = torch.zeros(3)
    state["module.layer1.0.bn1.weight"] = torch.zeros(16).double()
    with pytest.raises(InputError) as e:
        audio_state(state)
    assert str(e.value).splitlines()[1:] == [
        "bn1.bias: missing",
        "layer1.0.bn1.weight: is (16,) float64, should be (16,) float32",
        "layer2.1.conv2.weight: is (24, 24, 1, 7) float32, should be (24, 24, 1, 9) float32",
        "quant2._ema_w: missing",
        "surprise: not expected",
    ]
    with pytest.raises(InputError, match="not a released audio model"):
        audio_state({"conv1.weight": torch.zeros(3)})


def test_image_names_are_strict():
    state = {f"module.{name}": x for name, x in image(48).items()}
    renamed = image_state(state)
    assert renamed["trunk.layer4.2.conv3.weight"] is state["module.layer4.2.conv3.weight"]
    assert renamed["embedder.bias"] is state["module.embedder.bias"]
    del state["module.bn1.weight"]
    state["module.fc.weight"] = torch.zeros(1)
    with pytest.raises(InputError, match=r"image model have faults:\nbn1\.weight: missing\nfc\.weight: not expected"):
        image_state(state)
    with pytest.raises(InputError, match=r"embedder\.bias"):
        image_state({})


@pytest.mark.parametrize("suffix", ["zip", "tar", "tar.gz", "tar.bz2"])
def test_archives_give_what_the_folder_gives(folder, tmp_path, suffix, monkeypatch):
    path = archive(folder, tmp_path / f"a.{suffix}")
    with pytest.raises(InputError, match="not that of any of the ten released archives"):
        import_released(path, tmp_path / "out", allow_unknown=False)
    before = torch.get_rng_state()
    import_released(path, tmp_path / "out", allow_unknown=True)
    assert torch.equal(torch.get_rng_state(), before)
    import_released(EXPERIMENT, tmp_path / "expected", allow_unknown=False)
    assert (tmp_path / "out/model.safetensors").read_bytes() == (tmp_path / "expected/model.safetensors").read_bytes()
    md5 = hashlib.md5(path.read_bytes()).hexdigest()
    monkeypatch.setitem(released._LINEAGES, md5, "{2}->{2,3}")
    import_released(path, tmp_path / "out", allow_unknown=False)
    _, card = checkpoint.load(tmp_path / "out")
    assert card["provenance"] | {"file": path.name, "md5": md5, "lineage": "{2}->{2,3}"} == card["provenance"]
    assert str(tmp_path) not in json.dumps(card)
    monkeypatch.setitem(released._LINEAGES, md5, "{3}->{3}")
    with pytest.raises(InputError, match=r"has the quantizers \(2, 3\), but this archive's model is \{3\}->\{3\}"):
        import_released(path, tmp_path / "out", allow_unknown=False)


@pytest.mark.parametrize("suffix", ["zip", "tar.gz"])
def test_what_systems_keep_beside_an_experiment_is_none(folder, tmp_path, suffix):
    """A snapshot holds the experiment a second time."""
    litter(folder, "args.pkl")
    assert (folder / ".snapshot/args.pkl").is_file()
    import_released(archive(folder, tmp_path / f"a.{suffix}"), tmp_path / "out", allow_unknown=True)
    assert (tmp_path / "out/model.safetensors").is_file()


def test_an_unknown_archive_is_not_even_opened(folder, tmp_path, monkeypatch):
    path = archive(folder, tmp_path / "a.zip")
    monkeypatch.setattr(released, "from_archive", lambda _: pytest.fail("opened"))
    with pytest.raises(InputError, match="MD5 is"):
        import_released(path, tmp_path / "out", allow_unknown=False)
    assert not (tmp_path / "out").exists()


def test_image_and_audio_must_fit_together(folder, tmp_path):
    torch.save(image(64), folder / "models/best_image_model.pth")
    with pytest.raises(InputError, match=r"do not fit together:\nimage\.embedder\.bias: is \(64,\)"):
        import_released(folder, tmp_path / "other", allow_unknown=False)
    assert not (tmp_path / "other").exists()


def test_arguments_that_contradict_the_tensors(folder, tmp_path):
    wrong = {"layer_widths": "16,16,24,32,64", "layer_depths": [2, 2, 3, 2], "convsize": 7}
    change_arguments(folder, **wrong, VQ_turnon="0,1,0,0,0", VQ_sizes="32,32,64,32,32")
    with pytest.raises(InputError) as e:
        import_released(folder, tmp_path / "out", allow_unknown=False)
    assert re.findall(r"args\.pkl: (.*), but", str(e.value)) == [
        "layer_widths is (16, 16, 24, 32, 64)",
        "layer_depths is (2, 2, 3, 2)",
        "convsize is (7,)",
        "VQ_turnon is (0, 1, 0, 0, 0)",
        "VQ_sizes is (32, 32, 64, 32, 32)",
    ]
    assert str(e.value).endswith("but the tensors of models/best_audio_model.pth say (32, 32, 32, 32, 32)")
    assert not (tmp_path / "out").exists()


def test_settings_come_from_the_arguments(folder, tmp_path):
    change_arguments(
        folder, VQ_sizes=[8, 32, 32, 16, 16], VQ_commitment_cost=0.5, init_ema_mass=2, init_std=3.0, nonneg_init=True
    )
    (folder / "progress.pkl").unlink()
    import_released(folder, tmp_path / "out", allow_unknown=False)
    model, card = checkpoint.load(tmp_path / "out")
    expected = {"commitment_weight": 0.5, "init_mass": 2.0, "init_std": 3.0, "init_nonnegative": True}
    expected["codebook_size"] = (8, 32, 32, 16, 16)
    assert model.settings.quantizer.model_dump(include=set(expected)) == expected
    assert "best_epoch" not in card["provenance"]


@pytest.mark.parametrize("missing", ["args.pkl", "models/best_audio_model.pth"])
def test_missing_files(folder, tmp_path, missing):
    (folder / missing).unlink()
    with pytest.raises(InputError, match=rf"not a released experiment; it has no {missing}"):
        import_released(folder, tmp_path / "out", allow_unknown=False)
    with pytest.raises(InputError, match="no such file"):
        import_released(tmp_path / "nowhere.zip", tmp_path / "out", allow_unknown=False)


def test_a_namespace_of_other_versions(folder, tmp_path):
    arguments = argparse.Namespace(VQ_turnon=[0, 1, 1, 0, 0], seed=1.5, other=None)
    (folder / "args.pkl").write_bytes(pickle.dumps(arguments))
    import_released(folder, tmp_path / "out", allow_unknown=False)


def test_legacy_weights(folder, tmp_path):
    for name, new in (("legacy", False), ("new", True)):
        torch.save(audio(), folder / "models/best_audio_model.pth", _use_new_zipfile_serialization=new)
        import_released(folder, tmp_path / name, allow_unknown=False)
    legacy, new = ((tmp_path / name / "model.safetensors").read_bytes() for name in ("legacy", "new"))
    assert legacy == new


def test_weights_beside_the_rest_of_a_training(folder, tmp_path):
    models = []
    for name, value in (
        ("alone", audio()),
        ("beside", {"epoch": 3, "state_dict": audio(), "optimizer": {"state": {}}}),
    ):
        torch.save(value, folder / "models/best_audio_model.pth")
        import_released(folder, tmp_path / name, allow_unknown=False)
        models.append((tmp_path / name / "model.safetensors").read_bytes())
    assert models[0] == models[1]


def test_from_the_command_line_to_encoded_vectors(folder, tmp_path):
    path, options = archive(folder, tmp_path / "a.tar.gz"), ["--lineage", "23", "--allow-unknown"]
    run = CliRunner().invoke(app, ["import-released", str(path), "--out", str(tmp_path / "model"), *options])
    assert run.exit_code == 0, run.exception
    card = json.loads((tmp_path / "model/model.json").read_text())
    assert (card["lineage"], card["released"], card["provenance"]["file"]) == ("{2,3}", True, path.name)
    inputs = np.load(DATA / "audio_model/input.npz")
    with StoreWriter(tmp_path, "float32") as writer:
        for i, (logmel, n) in enumerate(zip(inputs["logmel"], inputs["n_frames"], strict=True)):
            writer.add(utterance(f"u{i}"), logmel[:, :n].T, 160 * (n - 1))
        writer.write(tmp_path / "split.h5", 2048, "test")
    encode(tmp_path / "model", tmp_path / "split.h5", embeddings=tmp_path / "embeddings.h5")
    expected = np.load(EXPERIMENT / "expected.npz")["output"]
    with h5py.File(tmp_path / "embeddings.h5") as f:
        whole = [i for i, n in enumerate(inputs["n_frames"]) if n == inputs["logmel"].shape[2]]
        assert whole
        for i in whole:  # the others were computed beside them, padded
            mean, atol = expected[i].mean(axis=(1, 2)), 1e-4 * np.abs(expected).max()
            np.testing.assert_allclose(f["speech"][i], mean, rtol=1e-4, atol=atol)


@pytest.mark.parametrize(
    ("start", "lineage", "message"),
    [
        ("", "{2}", r"its last stage is \{2,3\}, so it is not a model of \{2\}"),
        ("", "{}->{2,3}", r"training started from random weights, so it is not a model of \{\}->\{2,3\}"),
        ("/x/RDVQ_00000", "{2,3}", r"started from the weights of 'RDVQ_00000', so it is not a model of \{2,3\}"),
    ],
)
def test_another_lineage_is_refused(folder, tmp_path, start, lineage, message):
    change_arguments(folder, seed_dir=start)
    with pytest.raises(InputError, match=message):
        import_released(folder, tmp_path / "out", allow_unknown=False, lineage=Lineage.parse(lineage))
    assert not (tmp_path / "out").exists()
    right = Lineage.parse("{}->{2,3}" if start else "{2,3}")
    import_released(folder, tmp_path / "out", allow_unknown=False, lineage=right)


def test_a_known_archive_is_what_its_checksum_says(folder, tmp_path, monkeypatch):
    path = archive(folder, tmp_path / "a.zip")
    monkeypatch.setitem(released._LINEAGES, hashlib.md5(path.read_bytes()).hexdigest(), "{2}->{2,3}")
    with pytest.raises(InputError, match=r"is the released model of \{2\}->\{2,3\}, not of \{2,3\}"):
        import_released(path, tmp_path / "out", allow_unknown=False, lineage=Lineage.parse("{2,3}"))
    import_released(path, tmp_path / "out", allow_unknown=False, lineage=Lineage.parse("{2}->{2,3}"))


@pytest.mark.parametrize(
    ("progress", "rows"),
    [
        (None, []),
        ([], []),
        ([[0, 0, 0, None, 0.1]], []),
        ([["x"], 3, [1, 2]], []),
        ([[1, 10, 1, 0.5, 7.0], [2, 20, 1, 0.5, 8.0], [3, 30, 3, 0.75]], ["1,10,0.5", "2,20,", "3,30,0.75"]),
    ],
)
def test_the_history_is_what_the_progress_says(folder, tmp_path, progress, rows):
    if progress is None:
        (folder / "progress.pkl").unlink()
    else:
        (folder / "progress.pkl").write_bytes(pickle.dumps(progress))
    import_released(folder, tmp_path / "out", allow_unknown=False)
    assert (tmp_path / "out/history.csv").read_text().splitlines() == ["epoch,steps,mean_recall_at_10", *rows]


def test_embeddings_with_an_image_branch_and_without(folder, tmp_path):
    wavs, image_file = sorted((DATA / "abx_dump/wavs").glob("*.wav")), tmp_path / "i.png"
    Image.new("RGB", (8, 8)).save(image_file)
    prepared(Manifest([utterance(wav.stem, wav, image_file, wav.stem) for wav in wavs]), tmp_path, "split")
    for image_branch in (False, True):
        if image_branch:
            torch.save({f"module.{name}": x for name, x in image(48).items()}, folder / "models/best_image_model.pth")
        out = tmp_path / str(image_branch)
        import_released(folder, out, allow_unknown=False)
        assert json.loads((out / "model.json").read_text())["image_branch"] is image_branch
        encode(out, tmp_path / "split.h5", embeddings=tmp_path / "e.h5")
        with h5py.File(tmp_path / "e.h5") as f:
            assert f.attrs["image_branch"] == image_branch
            assert f["speech"].shape == (3, 48)
            assert f["image"].shape == (3 * image_branch, 48)
        score(tmp_path / "e.h5", Retrieval(split="split"), tmp_path / "scores.json", lineage="{2,3}")
        scores = json.loads((tmp_path / "scores.json").read_text())
        if image_branch:
            assert scores["image_to_speech"]["queries"] == 3
        else:
            assert scores["not_available"] == "the model has no image branch"
