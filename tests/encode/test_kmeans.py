"""Baselines: normalized log-mel, clusters of windows and of layers, and the network before training."""

import subprocess
import sys
import tracemalloc
from functools import partial

import numpy as np
import pytest
import torch
from encode.recordings import model_of, run
from hypothesis import given, settings
from hypothesis import strategies as st
from hypothesis.extra import numpy as arrays
from oracles import kmeans as oracle
from training_child import MODEL, write_store

from resdavenet_vq.commands import baselines  # noqa: F401 - it adds its commands
from resdavenet_vq.data.store import Store
from resdavenet_vq.encode import kmeans
from resdavenet_vq.encode.activations import Activations
from resdavenet_vq.encode.codes import CodesFile
from resdavenet_vq.encode.features import LayerFeatures
from resdavenet_vq.encode.logmel import LogMelWindows, encode_logmel, normalized, windows
from resdavenet_vq.encode.split import encode as encode_split
from resdavenet_vq.encode.untrained import make_untrained
from resdavenet_vq.errors import InputError
from resdavenet_vq.files import sha256
from resdavenet_vq.model import checkpoint

LAYERS = ("quant1", "quant2", "quant3")
SIZES = dict.fromkeys(LAYERS, 7)
FEATURES = arrays.arrays(np.float16, st.tuples(st.integers(1, 40), st.just(3)), elements=st.floats(-80, 0, width=16))


@pytest.fixture(scope="module")
def folder(tmp_path_factory):
    """Three stores of noise, of which train.h5 is clustered; a model, and the clusters of windows and of its layers."""
    folder = tmp_path_factory.mktemp("kmeans")
    for seed, (name, n) in enumerate({"train": 20, "test": 6, "other": 20}.items()):
        write_store(folder / f"{name}.h5", n, seed)
    checkpoint.save(folder / "model", model_of(()), {"lineage": "{}"})
    fit(folder, "kmeans.h5")
    kmeans.fit(
        Activations(folder / "model", Store(folder / "train.h5"), LAYERS[1:]),
        {"quant2": 7, "quant3": 5},
        folder / "of.h5",
        utterances=20,
        seed=0,
        lineage="k-means of {}",
    )
    return folder


def fit(folder, out, store="train", **changes):
    options = {"utterances": 20, "seed": 0, "lineage": "k-means of log-mel"} | changes
    kmeans.fit(LogMelWindows(Store(folder / f"{store}.h5"), LAYERS), SIZES, folder / out, **options)
    return folder / out


def centers(path):
    with kmeans.Clusters(path) as file:
        return file.centers


# -- frames -----------------------------------------------------------------------------------------------------------


@given(FEATURES)
@settings(max_examples=50)
def test_normalized_features_are_the_definition(features):
    found, expected = normalized(features), np.array(oracle.normalized(features))
    assert found.dtype == np.float32
    np.testing.assert_allclose(found, expected, rtol=1e-5, atol=1e-5)


def test_a_band_of_one_value_is_zero():
    features = np.full((50, 40), -33.3, np.float16)
    features[:, 3] = np.linspace(-80, 0, 50)
    found = normalized(features)
    assert not found[:, [0, 39]].any()
    assert (found[:, 3].mean(), found[:, 3].std()) == (pytest.approx(0, abs=1e-6), pytest.approx(1))


@given(FEATURES, st.sampled_from([1, 2, 4, 8]))
@settings(max_examples=50)
def test_windows_are_the_definition(features, stride):
    found = windows(features, stride)
    assert len(found) == max(1, len(features) // stride)
    for f, row in enumerate(found.tolist()):
        assert row == oracle.window(features.tolist(), f, stride)


def test_windows_have_five_frames_at_20_ms_and_nine_at_40(folder):
    frames = LogMelWindows(Store(folder / "train.h5"), LAYERS).of(0)
    assert [some.shape[1] for some in frames.values()] == [40, 5 * 40, 9 * 40]


def test_frames_of_a_network_are_what_enters_its_quantizers(folder, tmp_path):
    encode_split(folder / "model", folder / "test.h5", features=tmp_path / "f.h5", feature_layers=["conv2", "conv3"])
    frames = Activations(folder / "model", Store(folder / "test.h5"), LAYERS[1:])
    for layer, source in (("quant2", "conv2"), ("quant3", "conv3")):
        with LayerFeatures(tmp_path / "f.h5", source) as file:
            for i, (_, rows) in enumerate(file):
                np.testing.assert_allclose(frames.of(i)[layer], rows, rtol=1e-4, atol=1e-5)


def test_normalized_log_mel_is_a_baseline_of_its_own(folder, tmp_path):
    encode_logmel(folder / "test.h5", tmp_path / "f.h5", normalize=True)
    store = Store(folder / "test.h5")
    with LayerFeatures(tmp_path / "f.h5", "logmel") as file:
        assert file.origin.lineage == "normalized log-mel"
        for i, (_, rows) in enumerate(file):
            np.testing.assert_array_equal(rows, normalized(store.logmel(i)))


# -- clusters ---------------------------------------------------------------------------------------------------------


def test_clusters_depend_on_data_and_seed_alone(folder, tmp_path):
    first = (folder / "kmeans.h5").read_bytes()
    assert fit(folder, tmp_path / "again.h5").read_bytes() == first
    other = centers(fit(folder, tmp_path / "seed.h5", seed=1))
    assert all((other[layer] != centers(folder / "kmeans.h5")[layer]).any() for layer in LAYERS)


def test_clusters_are_as_good_as_those_of_all_frames_at_once(tmp_path):
    """Within two percent of the inertia of scikit-learn's KMeans, which has all frames in memory."""
    from sklearn.cluster import KMeans

    store, k = made_of_blobs(tmp_path), 12
    frames = LogMelWindows(Store(store), ["quant2"])
    kmeans.fit(frames, {"quant2": k}, tmp_path / "k.h5", utterances=100, seed=0, lineage="k-means of log-mel")
    every = np.concatenate([frames.of(i)["quant2"] for i in range(len(frames.data))])
    found = np.min(((every[:, None] - centers(tmp_path / "k.h5")["quant2"]) ** 2).sum(2), axis=1).mean()
    best = KMeans(k, n_init=3, random_state=0).fit(every).inertia_ / len(every)
    assert found < 1.02 * best


def made_of_blobs(folder):
    """A store of speech-like features: segments of random length, each near one of a few spectra."""
    random = np.random.default_rng(0)
    spectra = random.uniform(-70, -10, (8, 40))

    def spoil(_, features):
        for start in range(0, len(features), 7):
            features[start : start + 7] = spectra[random.integers(8)] + random.normal(
                0, 4, features[start : start + 7].shape
            )
        np.clip(features, -80, 0, out=features)

    return write_store(folder / "blobs.h5", 60, 0, spoil=spoil)


def test_a_center_is_near_the_mean_of_its_frames(folder):
    frames = LogMelWindows(Store(folder / "train.h5"), LAYERS)
    every = np.concatenate([frames.of(i)["quant1"] for i in range(20)])
    units = kmeans.nearest(every, centers(folder / "kmeans.h5")["quant1"])
    for k, center in enumerate(centers(folder / "kmeans.h5")["quant1"]):
        assert np.linalg.norm(every[units == k].mean(axis=0) - center) < 0.5 * np.linalg.norm(center)


def test_no_more_utterances_are_read_than_asked_for(folder, tmp_path):
    read = set()

    class Watched(LogMelWindows):
        def of(self, number):
            read.add(number)
            return super().of(number)

    frames = Watched(Store(folder / "train.h5"), LAYERS)
    kmeans.fit(frames, SIZES, tmp_path / "k.h5", utterances=5, seed=0, lineage="k-means of log-mel")
    assert len(read) == 5
    other = set(read)
    read.clear()
    kmeans.fit(frames, SIZES, tmp_path / "k.h5", utterances=5, seed=1, lineage="k-means of log-mel")
    assert read != other, "random ones"


def test_no_array_is_larger_than_the_sample_or_a_batch(tmp_path, monkeypatch):
    """With ten times the utterances no array that is sampled, fitted or compared is larger."""
    import sklearn.cluster

    start, partial_fit, nearest = (
        sklearn.cluster.kmeans_plusplus,
        sklearn.cluster.MiniBatchKMeans.partial_fit,
        kmeans.nearest,
    )
    lengths = {}

    def watch(kind, rows):
        lengths[kind] = max(lengths.get(kind, 0), len(rows))
        return rows

    monkeypatch.setattr(sklearn.cluster, "kmeans_plusplus", lambda x, *k, **seed: start(watch("sample", x), *k, **seed))
    monkeypatch.setattr(
        sklearn.cluster.MiniBatchKMeans, "partial_fit", lambda self, x: partial_fit(self, watch("batch", x))
    )
    monkeypatch.setattr(kmeans, "nearest", lambda x, table: nearest(watch("compared", x), table))
    for n in (30, 300):
        lengths.clear()
        frames = LogMelWindows(Store(write_store(tmp_path / f"{n}.h5", n, 0)), ["quant2"])
        kmeans.fit(frames, {"quant2": 7}, tmp_path / "k.h5", utterances=n, seed=0, lineage="k-means of log-mel")
        assert sorted(lengths) == ["batch", "compared", "sample"]
        assert lengths["sample"] <= 1.5 * kmeans.SAMPLE_FRAMES * 7
        assert max(lengths["batch"], lengths["compared"]) <= kmeans.BATCH_FRAMES * 7 + 70 // 2


def test_memory_has_a_bound_that_the_number_of_utterances_does_not_move(tmp_path, monkeypatch):
    """The sample, a batch and what is kept: all that is allocated at a time, for six times the utterances."""
    frames = {n: LogMelWindows(Store(write_store(tmp_path / f"{n}.h5", n, 0)), ["quant2"]) for n in (20, 120)}

    def peak(n, kept):
        monkeypatch.setattr(kmeans, "KEPT_BYTES", kept)
        tracemalloc.start()
        try:
            kmeans.fit(frames[n], {"quant2": 7}, tmp_path / "k.h5", utterances=n, seed=0, lineage="k-means of log-mel")
            return tracemalloc.get_traced_memory()[1]
        finally:
            tracemalloc.stop()

    peak(20, 0)  # modules are imported
    nothing, kept, all_of_them = peak(120, 0), peak(120, 1_000_000), peak(120, 1 << 28)
    assert nothing < peak(20, 0) + 100_000
    assert nothing < kept < nothing + 1_100_000
    assert all_of_them > nothing + 1_500_000, "or else nothing would be seen here"


def test_frames_that_are_kept_change_nothing(folder, tmp_path, monkeypatch):
    made, of = [], LogMelWindows.of
    monkeypatch.setattr(LogMelWindows, "of", lambda self, number: (made.append(number), of(self, number))[1])
    files = {}
    for kept in (0, 60_000, 1 << 28):
        made.clear()
        monkeypatch.setattr(kmeans, "KEPT_BYTES", kept)
        files[kept] = fit(folder, tmp_path / "k.h5").read_bytes(), len(made)
    assert len({content for content, _ in files.values()}) == 1
    assert files[0][1] > files[60_000][1] > files[1 << 28][1] == 20


def test_clusters_are_of_the_split_that_is_given_and_say_so(folder, tmp_path):
    """Nothing of another split moves a center: with the other splits gone, the file is the same."""
    (tmp_path / "alone").mkdir()
    (tmp_path / "alone/train.h5").write_bytes((folder / "train.h5").read_bytes())
    assert fit(tmp_path / "alone", "kmeans.h5").read_bytes() == (folder / "kmeans.h5").read_bytes()
    assert fit(folder, tmp_path / "other.h5", store="other").read_bytes() != (folder / "kmeans.h5").read_bytes()
    for name in ("kmeans.h5", "of.h5"):
        with kmeans.Clusters(folder / name) as file:
            assert (file.origin.split, file.origin.data) == ("train", Store(folder / "train.h5").sha256)


def test_where_there_are_fewer_frames_than_clusters_each_frame_is_one(folder, tmp_path):
    store = Store(write_store(tmp_path / "few.h5", 1, 0, frames=(33, 34)))
    frames = LogMelWindows(store, ["quant3"])
    kmeans.fit(frames, {"quant3": 1000}, tmp_path / "k.h5", utterances=9, seed=0, lineage="k-means of log-mel")
    found = centers(tmp_path / "k.h5")["quant3"]
    assert len(found) == 8
    assert sorted(map(tuple, found)) == sorted(map(tuple, frames.of(0)["quant3"]))


# -- codes ------------------------------------------------------------------------------------------------------------


@given(
    arrays.arrays(np.float32, (9, 4), elements=st.floats(-9, 9, width=32)),
    arrays.arrays(np.float32, (5, 4), elements=st.floats(-9, 9, width=32)),
)
def test_a_code_is_that_of_the_nearest_center(frames, table):
    for frame, unit in zip(frames, kmeans.nearest(frames, table), strict=True):
        distances = oracle.squared_distances(frame, table)
        assert distances[unit] <= min(distances) + 1e-3


def test_of_equal_centers_the_first_is_nearest(monkeypatch):
    monkeypatch.setattr(kmeans, "ROWS", 2)
    frames, table = np.arange(5, dtype=np.float32)[:, None], np.array([[3.0], [0], [3]], np.float32)
    assert kmeans.nearest(frames, table).tolist() == [1, 1, 0, 0, 0]
    assert kmeans.nearest(frames[:0], table).shape == (0,)


@pytest.mark.parametrize("clusters", ["kmeans.h5", "of.h5"])
def test_codes_and_features_of_a_split(folder, tmp_path, clusters):
    store = Store(folder / "test.h5")
    kinds = {"kmeans.h5": partial(LogMelWindows, store), "of.h5": partial(Activations, folder / "model", store)}
    tables = centers(folder / clusters)
    frames = kinds[clusters]([*tables])
    paths = {"codes": tmp_path / "c.h5", "features": tmp_path / "f.h5"}
    kmeans.encode(frames, folder / clusters, limit=4, **paths)
    for layer, table in tables.items():
        with CodesFile(paths["codes"], layer) as codes, LayerFeatures(paths["features"], layer) as features:
            assert (codes.ids, features.ids) == (store.ids[:4], store.ids)
            assert codes.frame_period == features.frame_period == {"1": 0.01, "2": 0.02, "3": 0.04}[layer[-1]]
            np.testing.assert_array_equal(codes.codebook, table)
            assert [row["id"] for row in codes.manifest(0, 4)] == store.ids[:4]
            assert codes.origin == features.origin
            assert codes.origin.model == sha256(folder / clusters)
            assert (codes.origin.lineage, codes.origin.split) == (
                {"kmeans.h5": "k-means of log-mel", "of.h5": "k-means of {}"}[clusters],
                "test",
            )
            for i, units in enumerate(codes.codes(0, 4)):
                np.testing.assert_array_equal(units, kmeans.nearest(frames.of(i)[layer], table))
                np.testing.assert_array_equal(features.rows(i), table[units])


# -- the network before training --------------------------------------------------------------------------------------


def test_the_untrained_network_depends_on_the_seed_and_not_on_the_global_one(folder, tmp_path):
    for name, seed in (("a", 0), ("b", 0), ("c", 1)):
        torch.rand(1)
        make_untrained(MODEL.audio, folder / "train.h5", tmp_path / name, seed=seed)
    weights = [(tmp_path / name / "model.safetensors").read_bytes() for name in "abc"]
    assert weights[0] == weights[1] != weights[2]
    network, card = checkpoint.load(tmp_path / "a")
    assert (card["lineage"], card["image_branch"], network.quantizers) == ("untrained", False, ())
    assert all(norm.momentum == 0.1 for norm in network.modules() if isinstance(norm, torch.nn.BatchNorm2d))


def test_activations_of_the_untrained_network_have_the_scale_of_training(folder, tmp_path):
    """In the stem, before its ReLU: mean 0 and variance 1 over utterances; so about half of all frames are 0 behind it."""
    make_untrained(MODEL.audio, folder / "train.h5", tmp_path / "model", seed=0)
    frames = Activations(tmp_path / "model", Store(folder / "train.h5"), ["quant1"])
    every = np.concatenate([frames.of(i)["quant1"] for i in range(20)])
    assert 0.4 < (every == 0).mean() < 0.6
    assert 0.5 < (every**2).mean() * 2 < 2


# -- the command line -------------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("arguments", "fault"),
    [
        (["fit-kmeans", "--system", "kmeans", "--layers", '{"conv2": 3}'], '--layers: .*write {"quant2": 1024}'),
        (["fit-kmeans", "--system", "kmeans", "--layers", '{"quant9": 3}'], '--layers: .*write {"quant2": 1024}'),
        (["fit-kmeans", "--system", "kmeans", "--layers", '{"quant2": 0}'], '--layers: .*write {"quant2": 1024}'),
        (["fit-kmeans", "--system", "kmeans", "--layers", "[]"], '--layers: .*write {"quant2": 1024}'),
        (
            ["fit-kmeans", "--system", "kmeens", "--layers", '{"quant2": 3}'],
            "--system: 'kmeens' is no lineage's folder",
        ),
    ],
)
def test_a_wrong_layer_or_system_is_one_clear_line(folder, tmp_path, arguments, fault):
    result = run(*arguments, "--data", folder / "train.h5", "--out", tmp_path / "k.h5")
    with pytest.raises(InputError, match=fault) as caught:
        raise result.exception
    assert len(str(caught.value).splitlines()) == 1
    assert not (tmp_path / "k.h5").exists()


def test_clusters_of_other_frames_are_refused(folder, tmp_path):
    store = Store(folder / "test.h5")
    for clusters, frames in (
        ("of.h5", LogMelWindows(store, LAYERS)),
        ("kmeans.h5", Activations(folder / "model", store, LAYERS)),
    ):
        with pytest.raises(InputError, match=f"{clusters}: are clusters of .* not of .*fit them again"):
            kmeans.encode(frames, folder / clusters, codes=tmp_path / "c.h5")
    with pytest.raises(InputError, match="encode-kmeans needs --codes or --features"):
        raise run("encode-kmeans", "--clusters", folder / "kmeans.h5", "--data", folder / "test.h5").exception
    with pytest.raises(InputError, match="holds clusters, not codes"):
        CodesFile(folder / "kmeans.h5", "quant2")


def test_the_commands_and_that_log_mel_needs_no_pytorch(folder, tmp_path):
    """In a process of its own: other tests import PyTorch."""
    code = (
        "import sys; from resdavenet_vq.__main__ import app\n"
        f"folder, out = {str(folder)!r}, {str(tmp_path)!r}\n"
        "def run(*words): app([*words], standalone_mode=False)\n"
        "data = ['--data', f'{folder}/train.h5']\n"
        "run('encode-logmel', '--normalized', *data, '--out', f'{out}/n.h5')\n"
        "run('fit-kmeans', '--system', 'kmeans', '--layers', '{\"quant2\": 7}', '--utterances', '9', *data, '--out', f'{out}/k.h5')\n"
        "files = ['--codes', f'{out}/c.h5', '--features', f'{out}/f.h5']\n"
        "run('encode-kmeans', '--clusters', f'{out}/k.h5', *data, *files)\n"
        "assert 'torch' not in sys.modules"
    )
    subprocess.run([sys.executable, "-c", code], check=True)
    with CodesFile(tmp_path / "c.h5", "quant2") as codes, LayerFeatures(tmp_path / "f.h5", "quant2") as features:
        assert codes.ids == features.ids
