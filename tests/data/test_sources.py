"""The three readers give the same, and the files of the 2020 release are read with suspicion."""

import json
import os
import pickle
import shutil
from contextlib import closing
from pathlib import Path

import h5py
import numpy as np
import oracles.data as oracle_data
import pytest
import soundfile
from oracles.data import IMAGE, all_batches, assert_same_batches, assert_same_store, make_manifest, write_release

from resdavenet_vq.corpus.manifest import Manifest, Refusal
from resdavenet_vq.data.dataset import training_batches
from resdavenet_vq.data.loader import shielded
from resdavenet_vq.data.release_2020 import MAX_IMAGE_BYTES
from resdavenet_vq.data.store import Store, verify
from resdavenet_vq.data.store_format import HEADER_LENGTH, Header
from resdavenet_vq.errors import InputError

READERS = ("store", "files", "release_2020")
OUTSIDE = ("files", "release_2020")


@pytest.fixture(scope="module")
def corpus(tmp_path_factory):
    folder = tmp_path_factory.mktemp("sources")
    manifest = make_manifest(folder / "corpus", 12)
    return manifest, write_release(folder / "release", manifest.utterances)


@pytest.fixture
def own(tmp_path):
    """A corpus and its release that a test may spoil."""
    manifest = make_manifest(tmp_path / "corpus", 6)
    return manifest, write_release(tmp_path / "release", manifest.utterances)


def prepared(corpus, folder, reader, **options):
    manifest, release = corpus
    release = release if reader == "release_2020" else None
    return oracle_data.prepared(manifest, folder, reader, release=release, reader=reader, **options)


@pytest.fixture(scope="module")
def stores(corpus, tmp_path_factory):
    folder = tmp_path_factory.mktemp("readers")
    return {reader: prepared(corpus, folder, reader) for reader in READERS}


@pytest.mark.parametrize("reader", OUTSIDE)
@pytest.mark.parametrize("settings", [{}, {"precision": "float32"}, {"max_frames": 40}])
def test_all_readers_hold_the_same(corpus, tmp_path, reader, settings):
    inside, outside = (prepared(corpus, tmp_path, r, **settings) for r in ("store", reader))
    assert_same_store(inside, outside)
    reports = [json.loads(store.path.with_suffix(".json").read_text()) for store in (inside, outside)]
    assert reports[0] == reports[1]
    assert verify(outside.path) == []
    assert not {"logmel", "image"} & Header.read(outside.path).places.keys()
    with h5py.File(outside.path) as f:
        assert f.attrs["reader"] == reader


def training(store, workers):
    return training_batches(store, IMAGE, batch_size=4, pad_to="batch", pad_value=0.0, seed=1, epoch=2, workers=workers)


@pytest.mark.filterwarnings("ignore:.*use of fork")
@pytest.mark.parametrize("workers", [0, 1])
@pytest.mark.parametrize("reader", OUTSIDE)
def test_all_readers_give_the_same_batches(stores, reader, workers):
    assert_same_batches(all_batches(stores[reader], workers), all_batches(stores["store"]))


@pytest.mark.parametrize("reader", OUTSIDE)
def test_workers_do_not_change_a_byte(corpus, stores, tmp_path, reader):
    again = prepared(corpus, tmp_path, reader, workers=2)
    assert again.path.read_bytes() == stores[reader].path.read_bytes()


@pytest.mark.filterwarnings("ignore:.*use of fork")
@pytest.mark.parametrize("reader", READERS)
def test_they_are_pickled_and_forked(stores, reader):
    store = stores[reader]
    again, expected = pickle.loads(pickle.dumps(store)), store.logmel(3)
    np.testing.assert_array_equal(again.logmel(3), expected)
    child = os.fork()
    if child == 0:
        os._exit(0 if np.array_equal(store.logmel(3), expected) and store.image(1) == again.image(1) else 1)
    assert os.waitpid(child, 0)[1] == 0


@pytest.mark.parametrize("change", ["changed", "vanished", "truncated"])
def test_media_that_changed_are_named(own, tmp_path, change):
    store = prepared(own, tmp_path, "files")
    utterance = store.utterance(2)
    for path in (utterance.wav, utterance.image):
        before = path.read_bytes()
        if change == "vanished":
            path.unlink()
        else:
            path.write_bytes(before[:-2] + (b"\x01\x02" if change == "changed" else b""))
        message = rf"^{path}: .*; {store.path} was prepared from it: .*prepare the split again$"
        with pytest.raises(InputError, match=message):
            list(training(store, workers=0))
        assert [path.name in line for line in verify(store.path)] == [True]
        path.write_bytes(before)
    assert verify(store.path) == []


@pytest.mark.filterwarnings("ignore:.*use of fork")
def test_media_that_changed_are_named_by_a_worker(own, tmp_path):
    store = prepared(own, tmp_path, "files")
    wav = store.utterance(2).wav
    wav.write_bytes(wav.read_bytes()[:-2] + b"\x01\x02")
    with (
        pytest.raises(InputError, match=rf"{wav}: has changed"),
        closing(shielded(training(store, workers=1))) as batches,
    ):
        list(batches)


def test_a_release_that_changed_is_named(own, tmp_path):
    store, (_, release) = prepared(own, tmp_path, "release_2020"), own
    with h5py.File(release.with_name("audio.h5"), "r+") as f:
        f["melspec"][2, 7, 9] -= 0.001 if f["melspec"][2, 7, 9] > -40 else -0.001
    with h5py.File(release.with_name("image.h5"), "r+") as f:
        f["image"][0] = f["image"][2]
    again = Store(store.path)
    with pytest.raises(InputError, match=r"audio\.h5: has changed, in utterance utt-2; .*prepare the split again"):
        again.logmel(2)
    with pytest.raises(InputError, match=r"image\.h5: has changed, in image 0.jpg; .*prepare the split again"):
        again.image(0)
    again.logmel(1)
    assert len(verify(store.path)) == 2
    release.unlink()
    with pytest.raises(InputError, match=r"split\.json: no such file"):
        Store(store.path)


def test_rows_that_the_corpus_refused_are_rows_of_the_release(corpus, stores, tmp_path):
    (manifest, release), gone = corpus, {1, 4}
    rest = [u for row, u in enumerate(manifest.utterances) if row not in gone]
    refused = [Refusal(row, "", "x", "of no use") for row in sorted(gone)]
    store = prepared((Manifest(rest, refused), release), tmp_path, "release_2020", bad_rows="skip")
    assert store.ids == [u.id for u in rest]
    for utterance in rest:
        i, j = store.index(utterance.id), stores["store"].index(utterance.id)
        np.testing.assert_array_equal(store.logmel(i), stores["store"].logmel(j))
        if utterance.image:
            assert store.image(int(store.image_index[i])) == utterance.image.read_bytes()


def test_without_wav_files_lengths_are_those_of_the_frames(own, tmp_path):
    expected = prepared(own, tmp_path, "store")
    shutil.rmtree(own[0].utterances[0].wav.parent)
    store = prepared(own, tmp_path, "release_2020")
    np.testing.assert_array_equal(store.n_frames, expected.n_frames)
    np.testing.assert_array_equal(store.n_samples, (expected.n_frames - 1) * 160)
    report = json.loads(store.path.with_suffix(".json").read_text())
    assert report["counted"]["no wav file: the length is that of the frames"] == 6
    assert report["noticed"]["no wav file: the length is that of the frames"] == store.ids
    assert own[0].noticed == {}, "the manifest is left as it was"


def test_rows_in_another_order_are_refused(own, tmp_path):
    manifest, release = own
    soundfile.write(manifest.utterances[3].wav, 0.1 * np.random.default_rng(1).normal(size=9000), 16000)
    with h5py.File(release.with_name("image.h5"), "r+") as f:
        f["image"][1] = f["image"][2]
    with pytest.raises(InputError) as caught:
        prepared(own, tmp_path, "release_2020")
    lines = str(caught.value).splitlines()
    assert lines[0] == "2 of 6 rows cannot be used:"
    assert "row 1 (utt-1)" in lines[1]
    assert "image.h5: differs from the image of an earlier row" in lines[1]
    assert "row 3 (utt-3)" in lines[2]
    assert f"audio.h5: the row has 44 frames where {manifest.utterances[3].wav} has 57" in lines[2]


def test_a_row_count_that_differs_is_refused(corpus, tmp_path):
    manifest, release = corpus
    with pytest.raises(InputError, match=r"audio\.h5: melspec has the shape \(12, .*\) instead of \(11, 40, 2048\)"):
        prepared((Manifest(manifest.utterances[1:]), release), tmp_path, "release_2020")


def test_the_json_must_be_given_and_name_both_files(corpus, tmp_path):
    with pytest.raises(InputError, match=r"release_2020 needs corpus\.release_hdf5"):
        prepared((corpus[0], None), tmp_path, "release_2020")
    for content in ("[]", '{"audio_hdf5_path": "audio.h5"}', '{"audio_hdf5_path": 3, "image_hdf5_path": "a"}'):
        (tmp_path / "a.json").write_text(content)
        with pytest.raises(InputError, match=r"a\.json: must be an object that names two files"):
            prepared((corpus[0], tmp_path / "a.json"), tmp_path, "release_2020")


def replaced(name, make):
    """Replaces a dataset; `make` gets the file, the old dataset and the folder of a canary."""

    def change(file, folder):
        old = file[name][()]
        del file[name]
        make(file, old, folder)

    return change


def created(name, shape=None, dtype=None, **how):
    """Replaces a dataset by another."""
    return replaced(name, lambda file, old, _: file.create_dataset(name, shape or old.shape, dtype, **how))


def external_storage(file, old, folder):
    old.tofile(folder / "canary.bin")
    file.create_dataset("melspec", old.shape, old.dtype, external=[(str(folder / "canary.bin"), 0, h5py.h5f.UNLIMITED)])


def virtual(file, old, folder):
    with h5py.File(folder / "canary.h5", "w") as canary:
        canary["melspec"] = old
    layout = h5py.VirtualLayout(old.shape, old.dtype)
    layout[:] = h5py.VirtualSource(folder / "canary.h5", "melspec", old.shape)
    file.create_virtual_dataset("melspec", layout)


def external_link(name):
    def make(file, old, folder):
        with h5py.File(folder / "canary.h5", "w") as canary:
            canary[name] = np.zeros(old.shape)
        file[name] = h5py.ExternalLink(folder / "canary.h5", f"/{name}")

    return replaced(name, make)


def soft_link(file, old, folder):
    file["other"] = old
    file["melspec"] = h5py.SoftLink("/other")


def value(name, place, new):
    def change(file, folder):
        file[name][place] = new

    return change


CHUNK = (1, 40, 2048)
AUDIO = [
    (external_link("melspec"), "melspec is a link to elsewhere"),
    (replaced("melspec", soft_link), "melspec is a link to elsewhere"),
    (replaced("melspec", external_storage), "melspec keeps its data in other files"),
    (replaced("melspec", virtual), "melspec keeps its data in other files"),
    (created("melspec", (1 << 40, 40, 2048), "f4", chunks=CHUNK), "has the shape"),
    (created("melspec", (6, 40, 1 << 40), "f4", chunks=CHUNK), "has the shape"),
    (created("melspec_len", (1 << 50,), "i8", chunks=(8,)), "has the shape"),
    (created("melspec", dtype="f4", compression="gzip"), "is compressed"),
    (created("melspec", dtype="f4", chunks=(600, 40, 2048), maxshape=(None, 40, 2048)), "huge"),
    (created("melspec", dtype="f8"), "must be float32"),
    (replaced("melspec", lambda file, *_: file.create_group("melspec")), "is no dataset"),
    (replaced("melspec", lambda *_: None), "has no melspec"),
    (created("melspec_len", dtype="S9"), "melspec_len must be int64"),
    (value("melspec_len", 1, 2049), "row 1 of melspec_len is 2049, not 1 to 2048 frames"),
    (value("melspec_len", 1, -1), "row 1 of melspec_len is -1, not"),
    (value("melspec_len", 1, 0), "row 1 of melspec_len is 0, not"),
    (value("melspec", (1, 3, 4), np.nan), "row 1 of melspec contains NaN"),
    (value("melspec", (1, 3, 4), -np.inf), "row 1 of melspec contains NaN"),
    (value("melspec", (1, 3, 4), 3.0), "row 1 of melspec has values outside of -80 to 0"),
    (value("melspec", 1, 0), "row 1 of melspec is 0 dB throughout"),
]
VLEN = h5py.special_dtype(vlen=np.uint8)


def chunked(file, old, folder):
    file.create_dataset("image", old.shape, VLEN, chunks=(2,))[:] = old


IMAGES = [
    (external_link("image"), "image is a link to elsewhere"),
    (created("image", (6, 9), "u1"), "has the shape"),
    (created("image", (6,), "u1"), "must be uint8 of variable length"),
    (created("image", (1 << 50,), VLEN, chunks=(2,)), "has the shape"),
    (created("image", (6,), VLEN), "was never written"),
    (replaced("image", chunked), "is not contiguous"),
    (value("image", 1, np.frombuffer(b"<html>", np.uint8)), "is not an image but a web page"),
    (value("image", 1, np.zeros(0, np.uint8)), "is empty"),
]
HOSTILE = [("audio.h5", *case) for case in AUDIO] + [("image.h5", *case) for case in IMAGES]


@pytest.mark.parametrize(("name", "change", "reason"), HOSTILE)
def test_hostile_files_are_refused(own, tmp_path, name, change, reason):
    path = own[1].with_name(name)
    with h5py.File(path, "r+") as f:
        change(f, tmp_path)
    with pytest.raises(InputError, match=rf"{path}: .*{reason}"):
        prepared(own, tmp_path, "release_2020")
    assert not (tmp_path / "release_2020.h5").exists()


@pytest.mark.parametrize(
    ("at", "forged", "reason"),
    [
        (0, 1 << 31, f"has {1 << 31} bytes, more than {MAX_IMAGE_BYTES}"),
        (0, 5000, "is damaged"),
        (4, 1 << 28, "is damaged"),
    ],
)
def test_forged_places_of_images_are_refused_in_little_memory(own, tmp_path, at, forged, reason):
    path = own[1].with_name("image.h5")
    with h5py.File(path) as f:
        place = f["image"].id.get_offset()
    content = bytearray(path.read_bytes())
    content[place + 16 + at : place + 20 + at] = forged.to_bytes(4, "little")
    path.write_bytes(content)
    with pytest.raises(InputError, match=rf"1 of 6 rows cannot be used:\nrow 1 .*{path}: .*{reason}"):
        prepared(own, tmp_path, "release_2020")


@pytest.mark.parametrize("fraction", [0, 0.001, 0.5, 0.99])
@pytest.mark.parametrize("name", ["audio.h5", "image.h5"])
def test_truncated_release_files_are_refused(own, tmp_path, name, fraction):
    path = own[1].with_name(name)
    with path.open("r+b") as f:
        f.truncate(int(fraction * path.stat().st_size))
    with pytest.raises(InputError, match=str(path)):
        prepared(own, tmp_path, "release_2020")
    path.unlink()
    with pytest.raises(InputError, match=f"{path}: no such file"):
        prepared(own, tmp_path, "release_2020")
    os.mkfifo(path)
    with pytest.raises(InputError, match=f"{path}: is no regular file"):
        prepared(own, tmp_path, "release_2020")


def test_flipped_bytes_of_a_container_are_found(stores, tmp_path):
    random = np.random.default_rng(0)
    for reader in OUTSIDE:
        path = Path(shutil.copy(stores[reader].path, tmp_path))
        whole = path.read_bytes()
        for place in [*random.integers(0, len(whole), 20).tolist(), HEADER_LENGTH + 5]:
            path.write_bytes(whole[:place] + bytes([whole[place] ^ 4]) + whole[place + 1 :])
            assert verify(path), place
