import contextlib
import dataclasses
import hashlib
import json
import os
import pickle
import shutil
import time
import tracemalloc
import zlib
from pathlib import Path

import h5py
import numpy as np
import oracles.data as oracle_data
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from oracles.data import assert_same_store, prepared, write_release

from resdavenet_vq.corpus.manifest import Utterance
from resdavenet_vq.data import features, store_writer
from resdavenet_vq.data.audio import read_wav
from resdavenet_vq.data.store import Store, verify
from resdavenet_vq.data.store_format import FORMAT, HEADER_LENGTH, Header
from resdavenet_vq.data.store_writer import StoreWriter
from resdavenet_vq.errors import InputError

OUTSIDE = ("files", "release_2020")


def forge(path, change):
    """Changes the header and gives it a right checksum, as an attacker would. `change` gets its JSON and the content."""
    head, content = path.read_bytes()[:HEADER_LENGTH], bytearray(path.read_bytes()[HEADER_LENGTH:])
    values = json.loads(head.split(b"\n")[1])
    change(values, content)
    values["sha256"] = hashlib.sha256(content).hexdigest()
    text = f"{FORMAT}\n{json.dumps(values, sort_keys=True)}\n".encode()
    path.write_bytes((text + hashlib.sha256(text).hexdigest().encode() + b"\n").ljust(HEADER_LENGTH, b"\0") + content)


@pytest.fixture
def copy(store_path, tmp_path):
    return shutil.copy(store_path, tmp_path / "copy.h5")


def test_what_was_written_is_read(store, store_path, manifest):
    expected = oracle_data.store_content(store_path)
    assert store.ids == list(expected) == [u.id for u in manifest.utterances]
    for number, utterance in enumerate(manifest.utterances):
        row, logmel, image = expected[utterance.id]
        assert store.utterance(number) == utterance == Utterance.from_dict(row)
        audio = read_wav(utterance.wav)
        np.testing.assert_array_equal(store.logmel(number), features.log_mel(audio).astype(np.float16))
        np.testing.assert_array_equal(store.logmel(number), logmel)
        assert store.n_frames[number] == len(logmel)
        assert store.n_samples[number] == len(audio)
        if utterance.image is None:
            assert store.image_index[number] == -1
            assert image is None
        else:
            image_number = int(store.image_index[number])
            assert store.image_ids[image_number] == utterance.image_id
            assert store.image(image_number) == image == utterance.image.read_bytes()
        assert store.index(utterance.id) == number
    with pytest.raises(InputError, match="has no utterance 'nobody'"):
        store.index("nobody")
    assert len(set(store.image_ids)) == len(store.image_ids)


def test_closed_stores_leave_no_descriptor(store_path):
    before = len(list(Path("/proc/self/fd").iterdir()))
    for _ in range(20):
        Store(store_path)
    assert len(list(Path("/proc/self/fd").iterdir())) == before


def flips(path, n, seed=0):
    """Flips n bits of a file, one at a time, a third of them in its header and in HDF5's structure; yields the places."""
    whole, random = path.read_bytes(), np.random.default_rng(seed)
    some = n // 6
    places = [
        *random.integers(0, len(whole), n - 2 * some),
        *random.integers(0, 12_000, some),
        *random.integers(len(whole) - 6000, len(whole), some),
    ]
    with path.open("r+b") as f:
        for place in map(int, places):
            f.seek(place)
            f.write(bytes([whole[place] ^ (1 << random.integers(8))]))
            f.flush()
            yield place
            f.seek(place)
            f.write(whole[place : place + 1])
            f.flush()


def all_that_is_read(path):
    """Everything that a store gives, by what it is called; what raises InputError is left out."""
    found = {}

    def keep(name, read):
        with contextlib.suppress(InputError):
            found[name] = read()

    keep("store", lambda: Store(path))
    if store := found.pop("store", None):
        for name in ("ids", "image_ids", "attributes", "precision", "sha256"):
            keep(name, lambda name=name: getattr(store, name))
        for name in ("image_index", "n_frames", "n_samples"):
            keep(name, lambda name=name: getattr(store, name).tolist())
        for i in range(len(store)):
            keep(f"logmel {i}", lambda i=i: store.logmel(i).tobytes())
            keep(f"utterance {i}", lambda i=i: store.utterance(i))
        for i in range(len(store.image_ids)):
            keep(f"image {i}", lambda i=i: store.image(i))
    return found


def is_read(path):
    """A function: whether a byte of a store is of the header or of a dataset, and not of HDF5's structure."""
    with h5py.File(path) as f:
        places = [(d.id.get_offset(), d.id.get_storage_size()) for d in f.values() if d.size]
    stretches = [(0, HEADER_LENGTH), *places]
    return lambda place: any(start <= place < start + size for start, size in stretches)


def test_every_flipped_bit_is_found(copy):
    assert [place for place in flips(copy, 1000) if not verify(copy)] == []
    assert verify(copy) == []


@pytest.mark.parametrize(
    ("reader", "n"),
    [
        ("store", 1000),
        *((reader, 200) for reader in OUTSIDE),
        *(pytest.param(reader, 1000, marks=pytest.mark.thorough) for reader in OUTSIDE),
    ],
)
def test_a_flipped_bit_never_gives_another_value(manifest, tmp_path, reader, n):
    release = write_release(tmp_path / "release", manifest.utterances) if reader == "release_2020" else None
    path = prepared(manifest, tmp_path, reader=reader, release=release).path
    sound, used = all_that_is_read(path), is_read(path)
    assert len(sound) == 8 + 2 * len(manifest.utterances) + len(sound["image_ids"])
    others, unnoticed = [], []
    for place in flips(path, n):
        found = all_that_is_read(path)
        others += [(place, name) for name, value in found.items() if value != sound[name]]
        unnoticed += [place] * (used(place) and len(found) == len(sound))
    assert (others, unnoticed) == ([], [])
    assert all_that_is_read(path) == sound


def place_in(path, name):
    """Where a dataset begins in the file."""
    with h5py.File(path) as f:
        return f[name].id.get_offset()


def overwrite(path, place, data):
    with path.open("r+b") as f:
        f.seek(place)
        f.write(data)


def flip(path, place):
    overwrite(path, place, bytes([path.read_bytes()[place] ^ 1]))


ITEMS = {
    "logmel": "features of utterance utt-0 (number 0) damaged",
    "manifest": "manifest row of utterance utt-0 (number 0) damaged",
    "image": "image 0.jpg (number 0) damaged",
}
COLUMNS = ("ids", "image_ids", "image_index", "n_samples", "ids_offsets", "logmel_offsets", "manifest_offsets")
COLUMNS += ("image_offsets", "image_ids_offsets", "logmel_crc32", "manifest_crc32", "image_crc32")


@pytest.mark.parametrize("name", [*ITEMS, *COLUMNS])
def test_what_is_damaged_is_named(copy, name):
    flip(copy, place_in(copy, name))
    what = ITEMS.get(name, f"{name} damaged, or of another store than the header")
    fault = f"{copy}: {what}; prepare the split again"
    assert verify(copy) == [fault]
    read = {"logmel": Store.logmel, "manifest": Store.utterance, "image": Store.image}.get(name, Store.index)
    with pytest.raises(InputError) as caught:
        read(Store(copy), 0)
    assert str(caught.value) == fault


def test_all_damaged_items_are_named(copy):
    place = place_in(copy, "logmel")
    overwrite(copy, place, bytes(7000))
    faults = verify(copy)
    assert len(faults) == 3
    assert [fault.split()[4] for fault in faults] == ["utt-0", "utt-1", "utt-2"]


def test_damage_of_what_is_not_read_is_found(copy, store):
    flip(copy, HEADER_LENGTH + 5)
    assert verify(copy) == [
        f"{copy}: damaged in HDF5's own structure, which this software does not read; prepare the split again"
    ]
    assert_same_store(Store(copy), store)
    none = copy.with_name("none.h5")
    assert verify(none) == [f"{none}: no such file; prepare the split first"]


@pytest.fixture
def twin(manifest, tmp_path):
    """A store of the same sizes as that of `manifest`, with other features, images and rows."""
    random = np.random.default_rng(1)

    store = prepared(manifest, tmp_path, "sound")
    with StoreWriter(tmp_path, "float16") as writer:
        for i in range(len(store)):
            utterance, number = store.utterance(i), int(store.image_index[i])
            if number >= 0:
                writer.add_image(utterance.image_id, random.bytes(len(store.image(number))))
            row = dataclasses.replace(utterance, text=utterance.text and utterance.text[::-1])
            writer.add(row, store.logmel(i)[::-1], int(store.n_samples[i]))
        writer.write(tmp_path / "twin.h5", 2048, store.attributes["command"])
    return tmp_path / "twin.h5"


def test_other_data_behind_the_same_header_is_refused(copy, store, twin):
    assert twin.stat().st_size == copy.stat().st_size
    assert Store(twin).sha256 != store.sha256
    whole, other = copy.read_bytes(), twin.read_bytes()
    overwrite(copy, HEADER_LENGTH, other[HEADER_LENGTH:])
    with pytest.raises(InputError, match=r"copy\.h5: \w+_crc32 damaged, or of another store than the header"):
        Store(copy)
    for name, read in (("logmel", Store.logmel), ("image", Store.image), ("manifest", Store.utterance)):
        copy.write_bytes(whole)
        start = place_in(copy, name)
        size = h5py.File(copy)[name].id.get_storage_size()
        overwrite(copy, start, other[start : start + size])
        for i in range(len(store.image_ids)):
            with pytest.raises(InputError, match=r"copy\.h5: .*damaged; prepare the split again"):
                read(Store(copy), i)


def test_the_checksum_is_of_all_that_is_read(manifest, store, twin, tmp_path):
    """It differs where anything that is read does, and where the same bytes mean something else; in nothing else."""
    again = prepared(manifest, tmp_path, "again")
    assert again.sha256 == store.sha256
    flip(again.path, HEADER_LENGTH + 5)
    assert Store(again.path).sha256 == store.sha256
    rows = [dataclasses.replace(manifest.utterances[0], text="another"), *manifest.utterances[1:]]
    others = [
        Store(twin),
        prepared(dataclasses.replace(manifest, utterances=rows), tmp_path, "b"),
        prepared(manifest, tmp_path, "c", precision="float32"),
        prepared(manifest, tmp_path, "d", max_frames=2047),
        prepared(manifest, tmp_path, "e", reader="files"),
        prepared(manifest, tmp_path, "f", reader="files", precision="float32"),
    ]
    assert len({store.sha256, *(other.sha256 for other in others)}) == 7


def test_a_store_that_is_replaced_does_not_change_under_its_readers(copy, twin):
    open_before = Store(copy)
    pickled, features = pickle.dumps(open_before), open_before.logmel(0).tobytes()
    twin.replace(copy)
    assert open_before.logmel(0).tobytes() == features
    with pytest.raises(InputError, match=r"copy\.h5: was replaced while it was open; run the same command again"):
        pickle.loads(pickled)


def test_stores_of_an_earlier_version_are_named_as_such(copy):
    overwrite(copy, 0, b"resdavenet-vq store 1")
    with pytest.raises(InputError, match=r"was prepared by an earlier version, .*; prepare the split again"):
        Store(copy)
    assert len(verify(copy)) == 1


@pytest.mark.parametrize("read", [Store, verify])
def test_a_pipe_is_refused_at_once(tmp_path, read):
    os.mkfifo(tmp_path / "pipe.h5")
    (tmp_path / "folder").mkdir()
    os.mkfifo(tmp_path / "folder/0.h5")
    for path, name in ((tmp_path / "pipe.h5", "pipe"), (tmp_path / "folder", "0")):
        with pytest.raises(InputError, match=rf"{name}\.h5: is no regular file"):
            raise InputError(*verify(path)) if read is verify else Store(path)


def test_truncated_files_are_refused_at_once(copy):
    whole = copy.stat().st_size
    fractions = [0, 1e-4, 0.001, 0.01, 0.1, 0.5, 0.9, 0.99, 0.9999, *np.random.default_rng(0).random(200)]
    for fraction in sorted(fractions, reverse=True):
        os.truncate(copy, int(whole * fraction))
        start = time.monotonic()
        with pytest.raises(InputError, match=r"copy\.h5: .*prepare the split again"):
            Store(copy)
        assert time.monotonic() - start < 1
        assert len(verify(copy)) == 1


def test_a_file_truncated_while_it_is_open_is_refused(copy, store):
    whole = copy.read_bytes()
    for size in np.random.default_rng(0).integers(0, len(whole), 100).tolist():
        copy.write_bytes(whole)
        opened = Store(copy)
        os.truncate(copy, size)
        for i in range(len(store)):
            if size < place_in(store.path, "logmel") + 80 * int(store.n_frames[: i + 1].sum()):
                with pytest.raises(InputError, match=r"copy\.h5: was truncated while it was open"):
                    opened.logmel(i)
            else:
                assert opened.logmel(i).tobytes() == store.logmel(i).tobytes()


def test_a_tail_of_zeros_is_found(copy):
    size = copy.stat().st_size
    with copy.open("r+b") as f:
        f.truncate(size // 2)
        f.truncate(size)
    assert verify(copy)


def test_foreign_files_are_refused(tmp_path):
    with h5py.File(tmp_path / "foreign.h5", "w") as f:
        f["melspec"] = np.zeros((3, 40, 2048), np.float32)
    (tmp_path / "text.h5").write_text("no HDF5 at all")
    (tmp_path / "empty.h5").touch()
    for path in tmp_path.iterdir():
        with pytest.raises(InputError, match="is no store of this software"):
            Store(path)
    with pytest.raises(InputError, match="no such file"):
        Store(tmp_path / "none.h5")
    (tmp_path / "folder").mkdir()
    with pytest.raises(InputError, match="has no parts of a store"):
        Store(tmp_path / "folder")


def entry(name, part, value):
    def change(values, _):
        values["datasets"][name][part] = value

    return change


def element(name, number, value):
    def change(values, content):
        at = values["datasets"][name][0] - HEADER_LENGTH
        array = np.frombuffer(content, "<i8", values["datasets"][name][1][0], at)
        array[number] = value
        values["datasets"][name][3] = hashlib.sha256(array).hexdigest()

    return change


def attribute(name, value):
    def change(values, _):
        values["attributes"][name] = value

    return change


@pytest.mark.parametrize(
    ("change", "reason"),
    [
        (entry("ids", 0, 1 << 50), "ids reaches beyond the file"),
        (entry("ids", 0, -1), "ids reaches beyond the file"),
        (entry("ids", 0, "1e3"), "the header is damaged"),
        (entry("ids", 1, [1 << 80]), "ids reaches beyond the file"),
        (entry("ids", 1, [-1]), "ids reaches beyond the file"),
        (entry("ids", 1, []), "a dataset is missing"),
        (entry("ids", 1, [3, 3]), "ids is uint8"),
        (entry("ids", 2, "O"), "the header is damaged"),
        (entry("n_samples", 2, "<u4"), "n_samples is uint32"),
        (entry("logmel", 1, [500, 80]), "logmel is float16"),
        (entry("logmel", 1, [1 << 40, 40]), "logmel reaches beyond the file"),
        (entry("logmel", 2, "<i8"), "logmel is int64"),
        (entry("image_index", 1, [5]), "does not fit"),
        (entry("image_offsets", 1, [0]), "does not fit"),
        (lambda values, _: values["datasets"].pop("manifest"), "a dataset is missing"),
        (lambda values, _: values["datasets"].pop("n_samples"), "a dataset is missing"),
        (lambda values, _: values["datasets"].update(more=[9000, [1], "<i8", ""]), "more is int64"),
        (lambda values, _: values.pop("datasets"), "the header is damaged"),
        (lambda values, _: values.update(bytes=10**30), "truncated or changed"),
        (element("logmel_offsets", 1, -5), "offsets of logmel are damaged"),
        (element("logmel_offsets", 1, 1 << 60), "offsets of logmel are damaged"),
        (element("logmel_offsets", -1, 1 << 60), "offsets of logmel are damaged"),
        (element("logmel_offsets", 1, 0), "has no frames"),
        (element("image_offsets", 0, 1), "offsets of image are damaged"),
        (element("image_index", 0, 99), "names an image that is not there"),
        (element("n_samples", 0, -1), "negative length"),
        (attribute("complete", False), "is incomplete"),
        (lambda values, _: values["attributes"].pop("complete"), "the header is damaged"),
        (attribute("max_frames", 5), "more than max_frames"),
        (attribute("max_frames", "many"), "the header is damaged"),
        (attribute("features", []), "the header is damaged"),
        (attribute("features_hash", "0123"), r"other settings \(unknown\)"),
    ],
)
def test_hostile_headers_are_refused(copy, change, reason):
    forge(copy, change)
    with pytest.raises(InputError, match=rf"copy\.h5: .*{reason}.*prepare the split again"):
        Store(copy)


def test_a_forged_header_that_changes_nothing_is_read(copy):
    forge(copy, lambda *_: None)
    assert verify(copy) == []


def test_features_of_other_settings_are_refused(copy):
    def change(values, _):
        values["attributes"]["features"]["n_mels"] = 80
        values["attributes"]["features_hash"] = "0123"

    forge(copy, change)
    with pytest.raises(InputError, match=r"other settings \(n_mels 80 instead of 40\)"):
        Store(copy)


def test_the_hdf5_library_never_sees_a_store_that_is_read(copy, store, monkeypatch):
    with h5py.File(copy, "r+") as f:
        del f["ids"]
        f["ids"] = h5py.ExternalLink("/etc/canary.h5", "/ids")
    monkeypatch.setattr(h5py, "File", None)
    if copy.stat().st_size == store.path.stat().st_size:
        assert Store(copy).ids == store.ids
    assert verify(copy)


def test_header_and_hdf5_agree(store):
    places = Header.read(store.path).places
    with h5py.File(store.path) as f:
        assert set(f) == set(places)
        for name, dataset in f.items():
            assert (dataset.shape, dataset.dtype) == places[name][1:3]
            assert dataset.id.get_offset() == places[name].offset
            is_column = name not in ("logmel", "manifest", "image")
            assert places[name].sha256 == (hashlib.sha256(dataset[()]).hexdigest() if is_column else "")
        assert json.loads(f.attrs["features"]) == store.attributes["features"] == features.SETTINGS
        assert f.attrs["max_frames"] == store.attributes["max_frames"] == 2048
        assert f.attrs["complete"]


texts = st.text(st.characters(codec="utf-8"), max_size=5)


@settings(max_examples=30)
@given(
    rows=st.lists(
        st.tuples(texts, st.integers(1, 30), st.integers(-1, 3)), min_size=1, max_size=8, unique_by=lambda row: row[0]
    ),
    image_files=st.lists(st.binary(max_size=50), min_size=4, max_size=4),
    precision=st.sampled_from(["float16", "float32"]),
)
def test_any_lengths_make_a_round_trip(tmp_path_factory, rows, image_files, precision):
    path = tmp_path_factory.getbasetemp() / "hypothesis.h5"
    random = np.random.default_rng(0)
    logmels = [random.uniform(-80, 0, (n, 40)).astype(precision) for _, n, _ in rows]
    with StoreWriter(path.parent, precision) as writer:
        for number, data in enumerate(image_files):
            writer.add_image(f"image {number}", data)
        for (name, n, image), logmel in zip(rows, logmels, strict=True):
            writer.add(oracle_data.utterance(name, image_id=None if image < 0 else f"image {image}"), logmel, 160 * n)
        assert writer.write(path, 30, "test") == (len(rows), len({image for *_, image in rows} - {-1}))
    store = Store(path)
    assert store.ids == [name for name, *_ in rows]
    assert store.image_ids == [f"image {i}" for i in dict.fromkeys(image for *_, image in rows if image >= 0)], (
        "those shown, in order"
    )
    for number, (_, _, image) in enumerate(rows):
        np.testing.assert_array_equal(store.logmel(number), logmels[number])
        assert store.logmel(number).dtype == precision
        if image >= 0:
            assert store.image(int(store.image_index[number])) == image_files[image]
    assert [p.name for p in path.parent.glob(".hypothesis*")] == []


def test_a_write_that_reads_back_differently_leaves_nothing(tmp_path, monkeypatch):
    path = tmp_path / "a.h5"
    path.write_text("earlier")
    monkeypatch.setattr(zlib, "crc32", lambda _: 1)
    with StoreWriter(tmp_path, "float16") as writer:
        writer.add(oracle_data.utterance("a"), np.zeros((3, 40)), 480)
        monkeypatch.undo()
        with pytest.raises(InputError, match=r"what was read back is not what was written: .*features of utterance a"):
            writer.write(path, 2048, "test")
    assert path.read_text() == "earlier"
    assert list(tmp_path.iterdir()) == [path]


def test_memory_of_writing_does_not_grow_with_the_store(tmp_path):
    peaks = []
    for n in (30, 300):
        logmel = np.zeros((1000, 40), np.float16)
        tracemalloc.start()
        with StoreWriter(tmp_path, "float16") as writer:
            for i in range(n):
                writer.add(oracle_data.utterance(str(i)), logmel, 160_000)
            writer.write(tmp_path / "big.h5", 2048, "test")
        peaks.append(tracemalloc.get_traced_memory()[1])
        tracemalloc.stop()
    assert (tmp_path / "big.h5").stat().st_size > 300 * 80_000
    assert peaks[1] < peaks[0] + 1_000_000
    assert store_writer._BLOCK <= 1 << 20
