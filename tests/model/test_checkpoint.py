import json

import pytest
import torch

from resdavenet_vq.config import AudioModel, ImageModel, Model, QuantizerModel
from resdavenet_vq.errors import InputError
from resdavenet_vq.model import checkpoint
from resdavenet_vq.model.dual_encoder import DualEncoder

SETTINGS = Model(
    audio=AudioModel(widths=(4, 4, 6, 6, 8), blocks_per_stage=1, kernel_size=3),
    image=ImageModel(architecture="thin_resnet", widths=(4, 4, 4, 4), crop=32, resize=32),
    quantizer=QuantizerModel(codebook_size=9),
)


def encoder(quantizers=(2,), seed=0, settings=SETTINGS, **changes):
    torch.manual_seed(seed)
    return DualEncoder(settings, quantizers, **changes)


def logmel():
    return torch.randn(3, 40, 40, generator=torch.Generator().manual_seed(0)), torch.tensor([40, 17, 5])


def images():
    return torch.randint(0, 256, (2, 3, 32, 32), generator=torch.Generator().manual_seed(0)).to(torch.uint8)


@pytest.fixture
def folder(tmp_path):
    checkpoint.save(tmp_path / "model", encoder(), {"epoch": 3})
    return tmp_path / "model"


def test_speech_vector_is_the_mean_of_valid_frames():
    model = encoder().eval()
    out = model.audio(*logmel())
    vectors = model.embed_speech(out)
    assert out.n_frames.tolist() == [2, 1, 1]
    for b, n in enumerate(out.n_frames):
        torch.testing.assert_close(vectors[b], out.frames[b, :, :n].mean(dim=1))


def test_image_vector_is_the_mean_over_positions():
    maps = encoder().eval().image(images())
    assert maps.shape == (2, 8, 2, 2)
    torch.testing.assert_close(DualEncoder.embed_image(maps), maps.flatten(2).mean(dim=2))


def test_round_trip(folder):
    before = torch.get_rng_state()
    model, card = checkpoint.load(folder)
    assert torch.equal(torch.get_rng_state(), before)
    expected = encoder().eval()
    assert (model.training, model.quantizers, model.settings) == (False, (2,), SETTINGS)
    assert (card["epoch"], card["quantizers"], card["image_branch"]) == (3, [2], True)
    assert all(torch.equal(x, model.state_dict()[name]) for name, x in expected.state_dict().items())
    assert torch.equal(model.audio(*logmel()).frames, expected.audio(*logmel()).frames)
    assert sorted(p.name for p in folder.iterdir()) == ["model.json", "model.safetensors"]


def test_saving_is_deterministic(folder, tmp_path):
    channels_last = encoder().to(memory_format=torch.channels_last)
    checkpoint.save(tmp_path / "again", channels_last, {"epoch": 3})
    for name in ("model.json", "model.safetensors"):
        assert (folder / name).read_bytes() == (tmp_path / "again" / name).read_bytes()


def test_without_an_image_branch(folder, tmp_path):
    checkpoint.save(tmp_path, encoder(image_branch=False), {})
    for path, audio_only in ((tmp_path, False), (folder, True)):
        model, card = checkpoint.load(path, audio_only=audio_only)
        assert card["image_branch"] is audio_only
        assert all(torch.equal(x, encoder().state_dict()[name]) for name, x in model.state_dict().items())
        assert model.audio(*logmel()).frames.shape == (3, 8, 3)
        with pytest.raises(InputError, match="no image branch"):
            model.image(images())


def test_missing_files(folder):
    (folder / "model.safetensors").unlink()
    with pytest.raises(InputError, match=r"model\.safetensors: no such file"):
        checkpoint.load(folder)
    with pytest.raises(InputError, match=r"model\.json: no such file"):
        checkpoint.load(folder / "nowhere")


@pytest.mark.parametrize("offset", [0, 9, 100, -1])
def test_a_flipped_bit_is_refused_before_parsing(folder, offset, monkeypatch):
    monkeypatch.setattr("safetensors.torch.load_file", lambda _: pytest.fail("parsed"))
    path = folder / "model.safetensors"
    data = bytearray(path.read_bytes())
    data[offset] ^= 1
    path.write_bytes(data)
    with pytest.raises(InputError, match=r"SHA-256 is .* the file is damaged or belongs to another model"):
        checkpoint.load(folder)
    with pytest.raises(InputError, match="SHA-256"):
        checkpoint.warm_start(encoder(), folder)


def change_card(folder, **changes):
    path = folder / "model.json"
    card = json.loads(path.read_text()) | changes
    path.write_text(json.dumps({key: x for key, x in card.items() if x is not None}))


@pytest.mark.parametrize(
    ("changes", "message"),
    [
        ({"sha256": None}, "sha256"),
        ({"quantizers": [6]}, "numbers from 1 to 5"),
        ({"quantizers": "2"}, "numbers from 1 to 5"),
        ({"model": None}, "does not describe a model"),
        ({"image_branch": None}, "does not describe a model"),
        ({"model": {"audio": {"widths": [1, 2]}}}, r"model\.json: 'model' has faults\n(.*\n)*image: missing"),
    ],
)
def test_a_card_that_describes_no_model(folder, changes, message):
    change_card(folder, **changes)
    with pytest.raises(InputError, match=message):
        checkpoint.load(folder)


def test_weights_of_another_model_are_all_listed(folder):
    audio = {"widths": [4, 4, 6, 6, 9], "kernel_size": 3}
    change_card(folder, quantizers=[3], model=SETTINGS.model_dump(mode="json") | {"audio": audio})
    with pytest.raises(InputError) as e:
        checkpoint.load(folder)
    assert set(str(e.value).splitlines()) >= {
        "audio.quantizers.quant2.codebook: not expected",
        "audio.quantizers.quant3.codebook: missing",
        "audio.stages.1.1.conv1.weight: missing",
        "image.embedder.bias: is (8,) float32, should be (9,) float32",
    }


def test_weights_that_are_no_safetensors(folder):
    (folder / "model.safetensors").write_bytes(b"something else")
    change_card(folder, sha256=checkpoint.sha256(folder / "model.safetensors"))
    with pytest.raises(InputError, match="not a safetensors file"):
        checkpoint.load(folder)


def test_an_interrupted_save_leaves_nothing_new(folder, monkeypatch):
    before = (folder / "model.safetensors").read_bytes()
    monkeypatch.setattr("os.fsync", lambda _: (_ for _ in ()).throw(OSError(28, "No space left on device")))
    with pytest.raises(OSError, match="No space"):
        checkpoint.save(folder, encoder(seed=5), {})
    assert (folder / "model.safetensors").read_bytes() == before
    assert sorted(p.name for p in folder.iterdir()) == ["model.json", "model.safetensors"]
    monkeypatch.undo()
    checkpoint.load(folder)


def test_a_child_without_a_new_quantizer_equals_its_parent(folder):
    child = encoder(seed=7)
    checkpoint.warm_start(child, folder)
    parent, _ = checkpoint.load(folder)
    assert all(torch.equal(x, parent.state_dict()[name]) for name, x in child.state_dict().items())
    child.eval()
    assert torch.equal(child.audio(*logmel()).frames, parent.audio(*logmel()).frames)
    assert torch.equal(child.image(images()), parent.image(images()))


def test_warm_start_copies_what_fits_and_keeps_the_rest(folder):
    settings = SETTINGS.model_copy(update={"quantizer": QuantizerModel(codebook_size=(9, 5, 5, 9, 9))})
    child, initial = encoder((2, 3), 7, settings), encoder((2, 3), 7, settings)
    checkpoint.warm_start(child, folder)
    parent = encoder().state_dict()
    for name, x in child.state_dict().items():
        assert torch.equal(x, (initial.state_dict() if "quantizers" in name else parent)[name]), name
