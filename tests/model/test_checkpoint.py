import copy
import json
import os
import re
from pathlib import Path

import numpy as np
import pytest
import torch
from data.hostile import most_memory

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
    *rows, more = str(e.value).splitlines()[1:]
    assert set(rows) >= {
        "audio.quantizers.quant2.codebook: not expected",
        "audio.quantizers.quant3.codebook: missing",
        "audio.stages.1.1.conv1.weight: missing",
    }
    assert (len(rows), more) == (20, "... and 51 more")


HUGE_CARDS = {
    "widths": {"audio": {"widths": [65536] * 5, "blocks_per_stage": 1, "kernel_size": 1001}},
    "blocks": {"audio": {"widths": [4, 4, 6, 6, 8], "blocks_per_stage": 100, "kernel_size": 3}},
    "codebook": {"quantizer": {"codebook_size": 16777216}},
    "image widths": {"image": {"architecture": "thin_resnet", "widths": [65536] * 4, "crop": 32, "resize": 32}},
    "widths beyond the bound": {"audio": {"widths": [2**40] * 5}},
    "blocks beyond the bound": {"audio": {"widths": [4, 4, 6, 6, 8], "blocks_per_stage": 10**9}},
    "numbers of 10,000 bits": {"quantizer": {"codebook_size": 2**10000}},
    "infinity": {"quantizer": {"init_std": 1e300}},
}


@pytest.mark.parametrize("kind", HUGE_CARDS)
def test_a_card_of_a_huge_model_is_refused_before_it_is_built(folder, kind):
    """A model of up to 10^14 bytes: no tensor of it is made."""
    change_card(folder, model=SETTINGS.model_dump(mode="json") | HUGE_CARDS[kind])
    Path("/proc/self/clear_refs").write_text("5")  # the most memory so far is that of now
    before = most_memory()
    with pytest.raises(
        InputError, match=r"not the weights of the model in model\.json|model\.json: 'model' has faults"
    ):
        checkpoint.load(folder)
    assert most_memory() - before < 1 << 28


CARDS = {
    "deep": (b"[" * 100_000, "nested too deeply"),
    "a key twice": (b'{"sha256": "a", "sha256": "b"}', "'sha256' is listed twice"),
    "NaN": (b'{"sha256": NaN}', "NaN is no finite number"),
    "infinity": (b'{"sha256": -Infinity}', "-Infinity is no finite number"),
    "5,000 digits": (b'{"sha256": ' + b"9" * 5000 + b"}", "cannot be read as JSON"),
    "no UTF-8": (b'{"sha256": "\xff"}', "not UTF-8"),
    "UTF-16": ('{"sha256": "a"}'.encode("utf-16"), "not UTF-8"),
    "empty": (b"", "malformed JSON at line 1"),
    "a list": (b"[1]", "it has no 'sha256'"),
    "a number": (b"3", "it has no 'sha256'"),
    "null": (b"null", "it has no 'sha256'"),
    "a checksum that is a number": (b'{"sha256": 3}', "it has no 'sha256'"),
    "a checksum that is long": (b'{"sha256": "' + b"a" * 10**6 + b'"}', "SHA-256 is"),
}


@pytest.mark.parametrize("kind", CARDS)
def test_a_card_that_is_no_card(folder, kind):
    content, message = CARDS[kind]
    (folder / "model.json").write_bytes(content)
    for use in (lambda: checkpoint.load(folder), lambda: checkpoint.warm_start(encoder(), folder)):
        with pytest.raises(InputError, match=message) as e:
            use()
        assert "model.json" in str(e.value)
        assert len(str(e.value)) < 1000


@pytest.mark.parametrize("share", [pytest.param(0.2), pytest.param(1, marks=pytest.mark.thorough)])
def test_a_fuzzed_card_gives_a_typed_error_or_the_model(folder, share):
    """Each value of the card replaced by each of many others, or a share of these cards."""
    random = np.random.default_rng(0)
    path = folder / "model.json"
    whole = json.loads(path.read_text())
    others = [None, True, -1, 0, 2**70, 1e308, "", "x" * 1000, [], [[]], {}, {"a": {}}, "IMAGENET1K_V1"]

    def places(value, path=()):
        yield path
        if isinstance(value, dict | list):
            for key in value if isinstance(value, dict) else range(len(value)):
                yield from places(value[key], (*path, key))

    faults = []
    for place in [*places(whole)][1:]:
        for other in others:
            if random.random() > share:
                continue
            card = copy.deepcopy(whole)
            inner = card
            for key in place[:-1]:
                inner = inner[key]
            inner[place[-1]] = other
            path.write_text(json.dumps(card))
            try:
                checkpoint.load(folder)
            except InputError as e:
                faults.append(str(e))
    assert len(faults) > 200 * share
    assert max(map(len, faults)) < 5000


def header(entries, length=None):
    text = json.dumps(entries).encode() if isinstance(entries, dict) else entries
    return (len(text) if length is None else length).to_bytes(8, "little") + text


ONE = {"dtype": "F32", "shape": [1], "data_offsets": [0, 4]}
FORGED = {
    "a length of 2**60": header({"a": ONE}, 1 << 60) + bytes(4),
    "a length of 2**64 - 1": header({"a": ONE}, (1 << 64) - 1) + bytes(4),
    "a length beyond the file": header({"a": ONE}, 10_000) + bytes(4),
    "overlaps": header({"a": ONE, "b": ONE}) + bytes(4),
    "a gap": header({"a": ONE, "b": ONE | {"data_offsets": [8, 12]}}) + bytes(12),
    "reversed offsets": header({"a": ONE | {"data_offsets": [4, 0]}}) + bytes(4),
    "negative offsets": header({"a": ONE | {"data_offsets": [-4, 0]}}) + bytes(4),
    "offsets beyond the file": header({"a": ONE | {"data_offsets": [0, 1 << 40], "shape": [1 << 38]}}) + bytes(4),
    "an unknown type": header({"a": ONE | {"dtype": "X9"}}) + bytes(4),
    "a type that PyTorch lacks": header({"a": ONE | {"dtype": "F6_E2M3"}}) + bytes(4),
    "a shape that overflows": header({"a": ONE | {"shape": [1 << 62, 8]}}) + bytes(4),
    "a negative shape": header({"a": ONE | {"shape": [-1]}}) + bytes(4),
    "a shape of nothing": header({"a": {"dtype": "F32", "shape": [0, 1 << 62], "data_offsets": [0, 0]}}),
    "no JSON": header(b"x" * 100),
    "deep JSON": header(b"[" * 100_000),
    "a list": header(b"[]"),
    "bytes after the end": header({"a": ONE}) + bytes(400),
    "nothing": b"",
    "seven bytes": bytes(7),
}


@pytest.mark.parametrize("kind", FORGED)
def test_forged_weights(folder, kind):
    """Their checksum is right, as one who forges writes it."""
    (folder / "model.safetensors").write_bytes(FORGED[kind])
    change_card(folder, sha256=checkpoint.sha256(folder / "model.safetensors"))
    with pytest.raises(InputError, match=r"model\.safetensors: not (a file of tensors|a safetensors file|the weights)"):
        checkpoint.load(folder)


@pytest.mark.parametrize("n", [pytest.param(40), pytest.param(1000, marks=pytest.mark.thorough)])
def test_flips_in_the_weights_and_their_header(folder, n):
    """Each is noticed; and where the checksum is made right, the header is refused or describes the same model."""
    path, random = folder / "model.safetensors", np.random.default_rng(0)
    whole, card = path.read_bytes(), (folder / "model.json").read_text()
    header_end = 8 + int.from_bytes(whole[:8], "little")
    refused = 0
    for place, bit in zip(random.integers(header_end, size=n), random.integers(8, size=n), strict=True):
        data = bytearray(whole)
        data[place] ^= 1 << bit
        path.write_bytes(data)
        (folder / "model.json").write_text(card)
        with pytest.raises(InputError, match="SHA-256 is"):
            checkpoint.load(folder)
        change_card(folder, sha256=checkpoint.sha256(path))
        try:
            checkpoint.load(folder)
        except InputError:
            refused += 1
    assert refused > 0.9 * n


@pytest.mark.parametrize("name", ["model.safetensors", "model.json"])
@pytest.mark.parametrize("kind", ["pipe", "folder"])
def test_no_regular_file(folder, name, kind):
    (folder / name).unlink()
    os.mkfifo(folder / name) if kind == "pipe" else (folder / name).mkdir()
    with pytest.raises(InputError, match=rf"{re.escape(name)}: (is no regular file|cannot be read|is a folder)"):
        checkpoint.load(folder)


def test_weights_that_are_no_safetensors(folder):
    (folder / "model.safetensors").write_bytes(b"something else")
    change_card(folder, sha256=checkpoint.sha256(folder / "model.safetensors"))
    with pytest.raises(InputError, match=r"not a file of tensors|not a safetensors file"):
        checkpoint.load(folder)


def test_an_interrupted_save_leaves_nothing_new(folder, monkeypatch):
    before = (folder / "model.safetensors").read_bytes()
    monkeypatch.setattr("os.fsync", lambda _: (_ for _ in ()).throw(OSError(28, "No space left on device")))
    with pytest.raises(InputError, match="No space"):
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
