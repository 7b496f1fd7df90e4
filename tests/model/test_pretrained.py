"""Pretrained weights of the image network, from a local file and from a server that is not there."""

import hashlib
import io
import pickle
import tarfile
import threading
import zipfile
from argparse import Namespace
from functools import partial
from http.server import SimpleHTTPRequestHandler, ThreadingHTTPServer

import numpy as np
import pytest
import torch
from safetensors.torch import save_file
from torchvision.models.resnet import resnet50

from resdavenet_vq import download
from resdavenet_vq.config import AudioModel, ImageModel, Model, QuantizerModel, Recipe, Training
from resdavenet_vq.errors import InputError
from resdavenet_vq.model import checkpoint, pretrained
from resdavenet_vq.model.dual_encoder import DualEncoder
from resdavenet_vq.training.state import Run

THIN = {"architecture": "thin_resnet", "widths": (4, 4, 4, 4)}


def encoder(**image):
    audio = AudioModel(widths=(4, 4, 4, 4, 8), blocks_per_stage=1)
    torch.manual_seed(0)
    return DualEncoder(Model(audio=audio, image=ImageModel(**image), quantizer=QuantizerModel(codebook_size=4)), ())


def thin_state():
    torch.manual_seed(1)
    return {
        name: torch.rand_like(x.float()).to(x.dtype) for name, x in encoder(**THIN).image.trunk.state_dict().items()
    }


def assert_loaded(model, state):
    own = model.image.trunk.state_dict()
    assert own
    assert all(torch.equal(x, state[name]) for name, x in own.items())


@pytest.fixture(scope="module")
def resnet():
    torch.manual_seed(1)
    return resnet50(weights=None).state_dict()


@pytest.mark.parametrize(("save", "suffix"), [(torch.save, "pth"), (save_file, "safetensors")])
def test_a_local_file(tmp_path, save, suffix):
    file = tmp_path / f"thin.{suffix}"
    save(thin_state(), file)
    model = encoder(**THIN, weights=str(file))
    pretrained.load_trunk(model)
    assert_loaded(model, thin_state())
    assert pretrained.sha256_of(model.settings.image) == hashlib.sha256(file.read_bytes()).hexdigest()
    save({name: x for name, x in thin_state().items() if not name.endswith("num_batches_tracked")}, file)
    model = encoder(**THIN, weights=str(file))  # as files from before 2018
    pretrained.load_trunk(model)
    assert (model.image.trunk.bn1.num_batches_tracked == 0).all()


def parallel(state):
    return {f"module.{name}": x for name, x in state.items()}


SGD = {"state": {0: {"momentum_buffer": torch.zeros(3)}}, "param_groups": [{"lr": 0.1, "params": [0]}]}
TRAININGS = {
    "state_dict": lambda state: {"epoch": 90, "arch": "resnet50", "state_dict": parallel(state), "optimizer": SGD},
    "model_state_dict": lambda state: {"epoch": 90, "model_state_dict": state, "loss": 0.5},
    "model": lambda state: {"model": state, "optimizer": SGD, "best": torch.tensor(76.1)},
    "model and its average": lambda state: {"model": state, "model_ema": {name: x + 1 for name, x in state.items()}},
    "parallel": parallel,
    "parameters": lambda state: {name: torch.nn.Parameter(x, requires_grad=False) for name, x in state.items()},
}


@pytest.mark.parametrize("around", TRAININGS.values(), ids=TRAININGS)
@pytest.mark.parametrize("new", [True, False], ids=["zip", "before 2020"])
def test_what_trainings_write_around_the_tensors(tmp_path, around, new):
    file = tmp_path / "checkpoint.pth.tar"
    torch.save(around(thin_state()), file, _use_new_zipfile_serialization=new)
    model = encoder(**THIN, weights=str(file))
    pretrained.load_trunk(model)
    assert_loaded(model, thin_state())


@pytest.mark.parametrize("kind", [torch.float16, torch.bfloat16])
def test_weights_of_16_bits(tmp_path, kind):
    state = {name: x.to(kind) if x.is_floating_point() else x for name, x in thin_state().items()}
    torch.save(state, tmp_path / "thin.pth")
    model = encoder(**THIN, weights=str(tmp_path / "thin.pth"))
    pretrained.load_trunk(model)
    assert_loaded(model, {name: x.float() if x.is_floating_point() else x for name, x in state.items()})


@pytest.mark.parametrize(("save", "name"), [(save_file, "pytorch_model.bin"), (torch.save, "thin.safetensors")])
def test_a_suffix_says_nothing(tmp_path, save, name):
    save(thin_state(), tmp_path / name)
    model = encoder(**THIN, weights=str(tmp_path / name))
    pretrained.load_trunk(model)
    assert_loaded(model, thin_state())


def test_random_weights_stay():
    model = encoder(**THIN)
    before = {name: x.clone() for name, x in model.state_dict().items()}
    pretrained.load_trunk(model)
    assert all(torch.equal(x, before[name]) for name, x in model.state_dict().items())
    assert pretrained.sha256_of(model.settings.image) is None


def test_names_are_strict_but_for_the_classifier(tmp_path):
    file = tmp_path / "thin.pth"
    other = {"fc.weight": torch.zeros(3, 3), "surprise": torch.zeros(1), "bn1.bias": torch.full((4,), torch.nan)}
    state = thin_state() | other
    del state["conv1.weight"]
    torch.save(state, file)
    with pytest.raises(InputError) as e:
        pretrained.load_trunk(encoder(**THIN, weights=str(file)))
    assert str(e.value).splitlines() == [
        f"{file}: not the weights of a thin_resnet:",
        "conv1.weight: missing",
        "surprise: not expected",
        "bn1.bias: not finite",
    ]


class Canary:
    def __reduce__(self):
        return (open, ("canary", "w"))


@pytest.mark.parametrize("suffix", ["pth", "safetensors"])
@pytest.mark.parametrize("content", [b"", b"<html>", Canary, [1, 2]])
def test_files_of_something_else(content, suffix, tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    if not isinstance(content, bytes):
        data = io.BytesIO()
        torch.save(content() if callable(content) else content, data)
        content = data.getvalue()
    (tmp_path / f"w.{suffix}").write_bytes(content)
    with pytest.raises(InputError, match=rf"^w\.{suffix}: (not a file of tensors|does not hold tensors)"):
        pretrained.load_trunk(encoder(**THIN, weights=f"w.{suffix}"))
    assert not (tmp_path / "canary").exists()


def tar_of(path):
    with tarfile.open(path, "w") as tar:
        for name in ("sys_info", "pickle", "tensors", "storages"):
            (path.parent / name).write_bytes(pickle.dumps({"protocol_version": 1000}, 2))
            tar.add(path.parent / name, name)


OTHERS = {
    "module": (lambda path: torch.save(torch.nn.Linear(2, 2), path), "holds torch.nn.modules.linear.Linear, an obj"),
    "module before 2020": (
        lambda path: torch.save(torch.nn.Linear(2, 2), path, _use_new_zipfile_serialization=False),
        "holds torch.nn.modules.linear.Linear, an object of Python, which could run code; if you trust it, save its t",
    ),
    "namespace": (
        lambda path: torch.save({"args": Namespace(), "model": {}}, path),
        "holds argparse.Namespace, an obj",
    ),
    "numpy": (lambda path: torch.save({"model": {}, "best": np.float64(1)}, path), "holds numpy._core.multiarray.scal"),
    "TorchScript": (
        lambda path: torch.jit.trace(torch.relu, torch.ones(1)).save(str(path)),
        "a TorchScript program; if you",
    ),
    "tar": (
        tar_of,
        "a tar archive, as PyTorch of 2016 wrote it, or of other files; unpack it, or save its tensors alone",
    ),
    "npz": (lambda path: np.savez(path.open("wb"), a=np.ones(2)), "a zip archive of other files: a.npy"),
    "pointer": (
        lambda path: path.write_bytes(b"version https://git-lfs.github.com"),
        "begins with b'version https://'",
    ),
    "gzip": (lambda path: path.write_bytes(b"\x1f\x8b\x08\0"), r"it begins with b'\x1f\x8b\x08\x00'"),
}


@pytest.mark.filterwarnings("ignore:.*torch.jit")
@pytest.mark.parametrize(("write", "message"), OTHERS.values(), ids=OTHERS)
def test_weights_of_another_kind_are_refused_by_name(tmp_path, write, message):
    file = tmp_path / "weights.pth"
    write(file)
    with pytest.raises(InputError) as caught:
        pretrained.load_trunk(encoder(**THIN, weights=str(file)))
    text = str(caught.value)
    assert text.startswith(f"{file}: not a file of tensors (")
    assert message in text
    assert "weights_only" not in text, "an advice to run its code"
    assert "\n" not in text


def test_a_corrupted_and_a_missing_file(tmp_path):
    file = tmp_path / "thin.pth"
    torch.save(thin_state(), file)
    file.write_bytes(file.read_bytes()[:-1000])
    with pytest.raises(InputError, match=r"thin\.pth: not a file of tensors"):
        pretrained.load_trunk(encoder(**THIN, weights=str(file)))
    with pytest.raises(InputError, match=r"model\.image\.weights: .*nowhere\.pth: no such file"):
        pretrained.load_trunk(encoder(**THIN, weights=str(tmp_path / "nowhere.pth")))


class Quiet(SimpleHTTPRequestHandler):
    def log_message(self, *_):
        pass


@pytest.fixture
def imagenet(tmp_path, monkeypatch, resnet):
    """Settings of ImageNet weights, the file that stands in for them on a server, and the place it is kept in."""
    monkeypatch.setattr(torch.hub, "get_dir", lambda: str(tmp_path / "hub"))
    monkeypatch.setattr(download, "WAIT", 0)
    data = io.BytesIO()
    torch.save(resnet, data)
    name = f"resnet50-{hashlib.sha256(data.getvalue()).hexdigest()[:8]}.pth"
    served = tmp_path / name
    served.write_bytes(data.getvalue())
    with ThreadingHTTPServer(("127.0.0.1", 0), partial(Quiet, directory=tmp_path)) as server:
        monkeypatch.setattr(pretrained, "imagenet_url", lambda: f"http://127.0.0.1:{server.server_port}/{name}")
        thread = threading.Thread(target=server.serve_forever, args=(0.01,))
        thread.start()
        yield (
            ImageModel(architecture="resnet50", weights="IMAGENET1K_V1"),
            served,
            tmp_path / "hub/checkpoints" / name,
        )
        server.shutdown()
        thread.join()


def test_imagenet_weights_are_downloaded_once(imagenet, resnet):
    image, served, kept = imagenet
    model = encoder(**image.model_dump(include={"architecture", "weights"}))
    pretrained.load_trunk(model)
    assert_loaded(model, resnet)
    served.unlink()
    assert pretrained.sha256_of(image) == hashlib.sha256(kept.read_bytes()).hexdigest()


def test_a_damaged_download_and_a_damaged_copy_are_refused(imagenet, monkeypatch):
    monkeypatch.setattr(torch, "load", lambda *_, **__: pytest.fail("parsed"))
    image, served, kept = imagenet
    good = served.read_bytes()
    served.write_bytes(good[:-1] + b"x")
    model = encoder(**image.model_dump(include={"architecture", "weights"}))
    for use in (lambda: pretrained.sha256_of(image), lambda: pretrained.load_trunk(model)):
        with pytest.raises(InputError, match=r"is not resnet50-\w+\.pth: its SHA-256 begins with \w{8}, not \w{8}"):
            use()
        assert not list(kept.parent.iterdir())
    kept.write_bytes(good[:-1] + b"x")
    for use in (lambda: pretrained.sha256_of(image), lambda: pretrained.load_trunk(model)):
        with pytest.raises(InputError, match=r"SHA-256 begins with \w{8}, not \w{8}; move it away"):
            use()


def test_a_server_that_sends_more_is_cut_off(imagenet, monkeypatch):
    monkeypatch.setattr(pretrained, "LARGEST", 1000)
    image, _, kept = imagenet
    with pytest.raises(InputError, match=r"announces \d+ bytes, and resnet50-\w+\.pth has at most 1000"):
        pretrained.sha256_of(image)
    assert not list(kept.parent.iterdir())


def test_without_a_network_it_is_said_how_to_go_on(imagenet):
    image, served, _ = imagenet
    served.unlink()
    message = rf"answers 404.* set model\.image\.weights to its path; its SHA-256 begins with {served.stem[-8:]}"
    with pytest.raises(InputError, match=message):
        pretrained.sha256_of(image)


def test_torchvision_s_address_has_the_checksum():
    assert pretrained.imagenet_url().endswith("/resnet50-0676ba61.pth")


def test_a_first_stage_starts_from_them_and_a_child_from_its_parent(tmp_path):
    torch.save(thin_state(), tmp_path / "thin.pth")
    settings = encoder(**THIN, weights=str(tmp_path / "thin.pth")).settings
    training = Training(split="train", validation_split="val")
    first = Run.start(settings, (), Recipe(), training, None, torch.device("cpu"))
    assert_loaded(first.model, thin_state())
    with torch.no_grad():
        first.model.image.trunk.conv1.weight += 1
    checkpoint.save(tmp_path / "parent", first.model, {})
    child = Run.start(settings, (2,), Recipe(), training, tmp_path / "parent", torch.device("cpu"))
    assert torch.equal(child.model.image.trunk.conv1.weight, first.model.image.trunk.conv1.weight)


def test_a_tensor_that_claims_more_than_it_has_and_a_file_that_unpacks_to_more(tmp_path):
    file = tmp_path / "thin.pth"
    torch.save(thin_state() | {"conv1.weight": torch.zeros(1).expand(1 << 40)}, file)
    with pytest.raises(InputError, match=r"conv1\.weight is not a plain tensor"):
        pretrained.load_trunk(encoder(**THIN, weights=str(file)))
    torch.save(thin_state(), file)
    with zipfile.ZipFile(file) as z:
        entries = {name: z.read(name) for name in z.namelist()}
    with zipfile.ZipFile(file, "w", zipfile.ZIP_DEFLATED) as z:
        for name, data in entries.items():
            z.writestr(name, data + bytes(1 << 24) * name.endswith("/0"))
    with pytest.raises(InputError, match=r"not a file of tensors .would unpack to"):
        pretrained.load_trunk(encoder(**THIN, weights=str(file)))
