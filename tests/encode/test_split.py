"""What `encode` writes: against the model itself, the release's dump, and itself with other batches."""

import json
import multiprocessing
import os
import signal
import time
from functools import partial
from itertools import combinations
from pathlib import Path
from unittest import mock

import h5py
import numpy as np
import pytest
import soundfile
import torch
from encode.recordings import LAYERS, codes_of, model_of
from oracles.data import prepared, utterance
from PIL import Image

from resdavenet_vq.config import UNCUT, Recipe, Retrieval
from resdavenet_vq.corpus.manifest import Manifest, Utterance
from resdavenet_vq.data import images, loader
from resdavenet_vq.data.dataset import evaluation_images
from resdavenet_vq.data.store import Store
from resdavenet_vq.encode.features import LayerFeatures
from resdavenet_vq.encode.logmel import encode_logmel
from resdavenet_vq.encode.maps import MapsFile
from resdavenet_vq.encode.split import encode, padded_length
from resdavenet_vq.errors import InputError
from resdavenet_vq.evaluation import matchmap, retrieval, retrieval_files
from resdavenet_vq.model import checkpoint
from resdavenet_vq.model.audio import AudioEncoder
from resdavenet_vq.release.importing import import_released

DATA = Path(__file__).parents[1] / "golden"
SAMPLES = (4000, 6000, 4000, 100, 4100, 9000, 4000, 6000)
"""Equal lengths, less than a frame of the slowest layer, and one that is cut."""
MAX_FRAMES = 50


@pytest.fixture(scope="module")
def folder(tmp_path_factory):
    """A store of 8 utterances and 3 images, and a model."""
    folder = tmp_path_factory.mktemp("encode")
    rng = np.random.default_rng(0)
    utterances = []
    for i, n in enumerate(SAMPLES):
        soundfile.write(folder / f"u{i}.wav", rng.normal(size=n) * 0.1, 16000)
        image = None if i == 5 else folder / f"i{i % 3}.jpg"
        words = ((0.0, 0.1, "WORD"),)
        utterances.append(Utterance(f"u{i}", folder / f"u{i}.wav", image, image and image.name, "s", "Ü", words, None))
    for j in range(3):
        Image.fromarray(rng.integers(0, 255, (30, 40, 3), np.uint8)).save(folder / f"i{j}.jpg")
    prepared(Manifest(utterances), folder, "split", max_frames=MAX_FRAMES)
    checkpoint.save(folder / "model", model_of((2, 3)), {})
    return folder


@pytest.fixture(scope="module")
def run(folder):
    """Encodes the store with the model."""
    return partial(encode, folder / "model", folder / "split.h5")


@pytest.fixture(scope="module")
def encoded(folder, run):
    """All three files, and what the model gives for each utterance alone."""
    paths = {name: folder / f"{name}.h5" for name in ("embeddings", "codes", "features")}
    run(**paths, feature_layers=LAYERS)
    store, (model, _) = Store(folder / "split.h5"), checkpoint.load(folder / "model")
    with torch.inference_mode():
        logmels = [torch.from_numpy(store.logmel(i).astype(np.float32).T.copy())[None] for i in range(len(store))]
        alone = [model.audio(x, torch.tensor([x.shape[2]])) for x in logmels]
    return paths, store, model, alone


def test_embeddings(encoded):
    paths, store, model, alone = encoded
    with h5py.File(paths["embeddings"]) as f:
        assert list(f["ids"].asstr()) == [f"u{i}" for i in range(8)]
        assert list(f["image_ids"].asstr()) == store.image_ids
        assert f["image_index"][:].tolist() == store.image_index.tolist()
        assert f["image_index"][5] == -1
        assert (f["speech"].dtype, f["image"].shape) == (np.float32, (3, 10))
        vectors = torch.cat([model.embed_speech(out) for out in alone])
        np.testing.assert_allclose(f["speech"][:], vectors, rtol=1e-5, atol=1e-6)
        images = f["image"][:]
    with torch.inference_mode():
        for pixels, numbers in evaluation_images(store, model.settings.image, 1, 0):
            np.testing.assert_allclose(images[numbers], model.embed_image(model.image(pixels)), rtol=1e-5, atol=1e-6)


def test_maps_are_what_embeddings_are_the_means_of(run, encoded, tmp_path):
    paths, store, model, alone = encoded
    run(maps=tmp_path / "m.h5")
    with MapsFile(tmp_path / "m.h5") as maps, h5py.File(paths["embeddings"]) as f:
        assert (maps.ids, maps.image_ids, maps.frame_period) == (store.ids, store.image_ids, 0.16)
        assert maps.image_index.tolist() == store.image_index.tolist()
        for i, out in enumerate(alone):
            np.testing.assert_allclose(maps.frames(i), out.frames[0, :, : out.n_frames[0]].T, rtol=1e-5, atol=1e-6)
            np.testing.assert_allclose(maps.frames(i).mean(axis=0), f["speech"][i], rtol=1e-5, atol=1e-6)
        for pixels, (j,) in evaluation_images(store, model.settings.image, 1, 0):
            with torch.inference_mode():
                expected = model.image(pixels)[0].permute(1, 2, 0)
            np.testing.assert_allclose(maps.cells(j), expected, rtol=1e-5, atol=1e-6)
        assert maps.shape == expected.shape[:2]
        paired = store.image_index >= 0
        pooled = retrieval.evaluate(f["image"][:], f["speech"][:][paired], store.image_index[paired])
        assert matchmap.evaluate(maps, "sisa")[0] == pooled


def test_codes(encoded):
    paths, store, model, alone = encoded
    with h5py.File(paths["codes"]) as f:
        rows = [Utterance.from_dict(json.loads(row)) for row in f["manifest"].asstr()]
        assert rows == [store.utterance(i) for i in range(8)]
        assert sorted(name for name in f if isinstance(f[name], h5py.Group)) == ["quant2", "quant3"]
        for layer, stride in (("quant2", 2), ("quant3", 4)):
            group = f[layer]
            assert dict(group.attrs) == {"frame_period": 0.01 * stride, "stride": stride, "codebook_size": 12}
            np.testing.assert_array_equal(group["codebook"], model.audio.quantizers[layer].codebook)
            offsets = group["offsets"][:]
            assert np.diff(offsets).tolist() == np.maximum(store.n_frames // stride, 1).tolist()
            for i, out in enumerate(alone):
                expected = out.layers[layer].codes[0, : out.layers[layer].n_frames[0]]
                np.testing.assert_array_equal(group["codes"][offsets[i] : offsets[i + 1]], expected)


def test_features(encoded):
    paths, _, model, alone = encoded
    for layer, period in (("conv2", 0.02), ("quant2", 0.02), ("quant3", 0.04), ("conv5", 0.16)):
        with LayerFeatures(paths["features"], layer) as found:
            assert found.frame_period == period
            np.testing.assert_allclose(found.durations, np.minimum(SAMPLES, MAX_FRAMES * 160) / 16000)
            for (_, rows), out in zip(found, alone, strict=True):
                expected = out.layers[layer].vectors[0, :, : out.layers[layer].n_frames[0]].T
                np.testing.assert_allclose(rows, expected, rtol=1e-5, atol=1e-5)
            if layer.startswith("quant"):  # exactly vectors of the codebook: equal frames are equal units
                codebook = model.audio.quantizers[layer].codebook.numpy()
                assert all((rows[:, None] == codebook).all(2).any(1).all() for _, rows in found)


@pytest.mark.parametrize("frames_at_once", [1, 90, 10_000])
def test_nothing_depends_on_batch_mates(run, encoded, tmp_path, frames_at_once):
    paths, *_ = encoded
    again = {name: tmp_path / f"{name}.h5" for name in paths}
    run(**again, feature_layers=LAYERS, frames_at_once=frames_at_once)
    for name, path in again.items():
        with h5py.File(path) as a, h5py.File(paths[name]) as b:
            keys = []
            a.visit(keys.append)
            for x, y in [(a[key][:], b[key][:]) for key in keys if isinstance(a[key], h5py.Dataset)]:
                if x.dtype.kind == "f":
                    np.testing.assert_allclose(x, y, rtol=1e-5, atol=1e-6)
                else:
                    np.testing.assert_array_equal(x, y)


def test_few_lengths_are_encoded_and_little_of_them_is_padding():
    lengths = range(1, 5000)
    padded = [padded_length(n) for n in lengths]
    assert all(n <= length < n + max(16, n / 8) and length % 16 == 0 for n, length in zip(lengths, padded, strict=True))
    for n in (256, 512, 1024, 2048):
        assert len({length for length in padded if n < length <= 2 * n}) == 8


OUTPUTS = ("embeddings", "maps", "codes", "features")


def test_one_pass_writes_each_file_as_a_pass_of_its_own(run, tmp_path):
    """Byte by byte, for any choice of files."""
    layers = {"feature_layers": ("conv2", "quant3")}
    for name in OUTPUTS:
        run(**{name: tmp_path / f"{name}.h5"}, **layers)
    for n in range(2, len(OUTPUTS) + 1):
        for names in combinations(OUTPUTS, n):
            run(**{name: tmp_path / f"{name}.{n}" for name in names}, **layers)
            for name in names:
                assert (tmp_path / f"{name}.{n}").read_bytes() == (tmp_path / f"{name}.h5").read_bytes(), (name, names)


PADDED = Recipe(context="padded", pad_value="floor")


@pytest.mark.parametrize("options", [{}, {"frames_at_once": 1, "limit": 5}, {"frames_at_once": 120, "limit": 5}])
def test_context_changes_codes_near_the_end_of_short_utterances(run, encoded, tmp_path, options):
    """To those of a training batch: each utterance is at the left of as many frames as the store allows."""
    paths, store, model, _ = encoded
    cropped = codes_of(paths["codes"], "quant2")
    for recipe, value in ((PADDED, -80.0), (Recipe(context="padded"), 0.0)):
        run(codes=tmp_path / "c.h5", embeddings=tmp_path / "e.h5", recipe=recipe, **options)
        logmel = torch.full((8, 40, MAX_FRAMES), value)
        for i, n in enumerate(store.n_frames):
            logmel[i, :, :n] = torch.from_numpy(store.logmel(i).astype(np.float32)).T
        with torch.inference_mode():
            output = model.audio(logmel, torch.from_numpy(store.n_frames))
        for layer in ("quant2", "quant3"):
            for i, codes in enumerate(codes_of(tmp_path / "c.h5", layer).values()):
                np.testing.assert_array_equal(codes, output.layers[layer].codes[i, : len(codes)])
        padded = codes_of(tmp_path / "c.h5", "quant2")
        assert all(len(codes) == len(cropped[name]) for name, codes in padded.items())
        different = [i for i, (name, codes) in enumerate(padded.items()) if (codes != cropped[name]).any()]
        assert different or recipe != PADDED
        assert all(store.n_frames[i] < MAX_FRAMES for i in different)
        with h5py.File(tmp_path / "e.h5") as f:
            speech = model.embed_speech(output)[: len(padded)]
            np.testing.assert_allclose(f["speech"][:], speech, rtol=1e-4, atol=1e-5)


def test_a_split_that_is_never_cut_has_no_padded_context(folder, tmp_path):
    prepared(Manifest([utterance("a", folder / "u0.wav")]), tmp_path, "abx", max_frames=UNCUT)
    encode(folder / "model", tmp_path / "abx.h5", codes=tmp_path / "c.h5")
    with pytest.raises(InputError, match=r"abx\.h5: only ABX uses this split"):
        encode(folder / "model", tmp_path / "abx.h5", codes=tmp_path / "d.h5", recipe=PADDED)
    assert not (tmp_path / "d.h5").exists()


@pytest.mark.parametrize("recipe", [Recipe(), PADDED])
def test_a_limit_takes_the_first_utterances_and_reads_no_others(run, encoded, tmp_path, monkeypatch, recipe):
    numbers, original = [], Store.logmel
    monkeypatch.setattr(Store, "logmel", lambda self, number: numbers.append(number) or original(self, number))
    run(codes=tmp_path / "codes.h5", limit=3, recipe=recipe)
    assert sorted(numbers) == [0, 1, 2]
    for layer in ("quant2", "quant3"):
        few, expected = codes_of(tmp_path / "codes.h5", layer), codes_of(encoded[0]["codes"], layer)
        assert [*few] == ["u0", "u1", "u2"]
        assert recipe == PADDED or all(few[name].tolist() == expected[name].tolist() for name in few)


@pytest.fixture
def one_worker(monkeypatch):
    monkeypatch.setattr(os, "sched_getaffinity", lambda _: {0, 1})


@pytest.mark.usefixtures("one_worker")
def test_an_image_that_is_refused_is_named_in_one_line(run, tmp_path, monkeypatch):
    def refuse(_):
        raise InputError("cannot be decoded")

    monkeypatch.setattr(images, "decode", refuse)
    with pytest.raises(InputError, match=r"^\S+split\.h5: image i0\.jpg cannot be decoded; prepare the split again$"):
        run(embeddings=tmp_path / "e.h5", maps=tmp_path / "m.h5")
    assert list(tmp_path.iterdir()) == []


def in_worker(monkeypatch, act):
    """Does something in the worker that decodes the first image."""

    def decode(data, original=images.decode):
        if multiprocessing.parent_process() is not None:
            act()
        return original(data)

    monkeypatch.setattr(images, "decode", decode)


@pytest.mark.filterwarnings("ignore:.*use of fork")
@pytest.mark.parametrize(
    ("number", "message"),
    [(signal.SIGSTOP, "DataLoader worker has stalled for 1 s"), (signal.SIGKILL, "DataLoader worker ")],
)
@pytest.mark.usefixtures("one_worker")
def test_a_lost_worker_is_told_and_ends(run, tmp_path, monkeypatch, number, message):
    monkeypatch.setattr(loader, "STALLED_SECONDS", 1.0)
    pids = multiprocessing.get_context("fork").SimpleQueue()
    in_worker(monkeypatch, lambda: (pids.put(os.getpid()), os.kill(os.getpid(), number)))
    start = time.monotonic()
    with pytest.raises(InputError, match=rf"split\.h5: a data worker died or stalled \({message}.*same command again"):
        run(embeddings=tmp_path / "e.h5")
    assert time.monotonic() - start < 5
    assert list(tmp_path.iterdir()) == []
    with pytest.raises(ProcessLookupError):
        os.kill(pids.get(), 0)


@pytest.mark.filterwarnings("ignore:.*use of fork")
@pytest.mark.usefixtures("one_worker")
def test_a_damaged_image_ends_the_command_at_once(folder, tmp_path):
    """Also its workers, which a command would wait for when it ends."""
    data = bytearray((folder / "split.h5").read_bytes())
    data[data.index(b"JFIF") + 300] ^= 1
    (tmp_path / "split.h5").write_bytes(data)
    start = time.monotonic()
    with pytest.raises(InputError, match=r"^\S+split\.h5: .*image.*prepare the split again$") as error:
        encode(folder / "model", tmp_path / "split.h5", embeddings=tmp_path / "e.h5")
    assert multiprocessing.active_children() == [], error
    assert time.monotonic() - start < 2


def test_layers_after_the_last_written_one_are_not_computed(run, tmp_path):
    with mock.patch.object(AudioEncoder, "forward", autospec=True, side_effect=AudioEncoder.forward) as forward:
        run(features=tmp_path / "f.h5", feature_layers=("quant2", "conv2"))
        run(codes=tmp_path / "c.h5", features=tmp_path / "f.h5", feature_layers=("conv1",))
    assert {call.kwargs["until"] for call in forward.call_args_list} == {"quant2", "quant3"}


def test_logmel_baseline(folder, tmp_path):
    encode_logmel(folder / "split.h5", tmp_path / "logmel.h5")
    store = Store(folder / "split.h5")
    with LayerFeatures(tmp_path / "logmel.h5", "logmel") as found:
        assert (found.frame_period, found.width, found.ids) == (0.01, 40, store.ids)
        for i, (_, rows) in enumerate(found):
            np.testing.assert_array_equal(rows, store.logmel(i).astype(np.float32))


def test_the_dump_of_the_release(tmp_path):
    import_released(DATA / "reference_experiment", tmp_path / "model", allow_unknown=False)
    wavs = sorted((DATA / "abx_dump/wavs").glob("*.wav"))
    prepared(Manifest([utterance(wav.stem, wav) for wav in wavs]), tmp_path, "split", precision="float32")
    layers = ("quant2", "quant3", "conv2", "conv3", "conv4")
    encode(tmp_path / "model", tmp_path / "split.h5", features=tmp_path / "features.h5", feature_layers=layers)
    for layer in layers:
        with LayerFeatures(tmp_path / "features.h5", layer) as found:
            for name, rows in found:
                expected = np.loadtxt(DATA / f"abx_dump/{layer}/{name}.txt", ndmin=2)
                assert rows.shape == expected.shape
                far = np.flatnonzero(abs(rows - expected).max(axis=1) > (0.0011 if "conv" in layer else 0.0006))
                reach = {"2": 14, "3": 21, "4": 25}[layer[-1]]  # frames to the edge of the receptive field
                # the dump's padding reached only the ends
                assert len(far) == 0 or (name != "utt1" and far.min() >= len(rows) - reach)


def test_a_split_without_images_and_a_model_without_quantizers(folder, tmp_path):
    prepared(Manifest([utterance("a", folder / "u0.wav")]), tmp_path, "split")
    checkpoint.save(tmp_path / "model", model_of(()), {})
    files = {"embeddings": tmp_path / "e.h5", "maps": tmp_path / "m.h5", "codes": tmp_path / "c.h5"}
    encode(tmp_path / "model", tmp_path / "split.h5", **files)
    with MapsFile(files["maps"]) as maps:
        assert (maps.image_ids, maps.image_branch, len(maps.frames(0)) > 0) == ([], True, True)
    settings = Retrieval(split="split")
    assert retrieval_files.score(files["embeddings"], settings, tmp_path / "e.json", lineage="") is None
    assert matchmap.score(files["maps"], "misa", settings, tmp_path / "m.json", lineage="") is None
    reasons = {json.loads((tmp_path / f"{name}.json").read_text())["not_available"] for name in "em"}
    assert reasons == {"the split has no images"}
    with h5py.File(tmp_path / "e.h5") as f:
        assert (f["image"].shape, f["speech"].shape, f["image_index"][:].tolist()) == ((0, 10), (1, 10), [-1])
    with h5py.File(tmp_path / "c.h5") as f:
        assert sorted(f) == ["ids", "manifest"]


def test_errors_leave_no_file(folder, run, tmp_path):
    with pytest.raises(InputError, match=r"quant4 is off in this model \(on: quant2, quant3\)"):
        run(features=tmp_path / "f.h5", feature_layers=("quant4",))
    model, _ = checkpoint.load(folder / "model")
    with torch.no_grad():
        next(model.audio.parameters())[0] = torch.nan
    checkpoint.save(tmp_path / "model", model, {})
    files = {"features": tmp_path / "f.h5", "codes": tmp_path / "c.h5"}
    with pytest.raises(InputError, match=r"conv1 is not finite for utterance u3"):
        encode(tmp_path / "model", folder / "split.h5", **files, feature_layers=("quant2",))
    assert [path.name for path in tmp_path.iterdir()] == ["model"]
