import hashlib
import json
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

from resdavenet_vq.corpus.manifest import Utterance
from resdavenet_vq.data import features, store_writer
from resdavenet_vq.data.audio import read_wav
from resdavenet_vq.data.store import Store, verify
from resdavenet_vq.data.store_format import FORMAT, HEADER_LENGTH, Header
from resdavenet_vq.data.store_writer import StoreWriter
from resdavenet_vq.errors import InputError


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


def test_every_flipped_bit_is_found(copy):
    whole = bytearray(copy.read_bytes())
    random = np.random.default_rng(0)
    missed = []
    places = [
        *random.integers(0, len(whole), 100),
        *random.integers(0, 12_000, 60),
        *random.integers(len(whole) - 6000, len(whole), 40),
    ]
    with copy.open("r+b") as f:
        for place in map(int, places):
            f.seek(place)
            f.write(bytes([whole[place] ^ (1 << random.integers(8))]))
            f.flush()
            if not verify(copy):
                missed.append(place)
            f.seek(place)
            f.write(whole[place : place + 1])
            f.flush()
    assert missed == []
    assert verify(copy) == []


def test_verify_names_what_is_damaged(copy, store):
    with h5py.File(copy) as f:
        logmel, image, ids = (f[name].id.get_offset() for name in ("logmel", "image", "ids"))
    whole = copy.read_bytes()

    def damaged(place):
        copy.write_bytes(whole[:place] + bytes([whole[place] ^ 1]) + whole[place + 1 :])
        return verify(copy)

    assert damaged(logmel) == [f"{copy}: features of utterance utt-0 (number 0) damaged"]
    assert damaged(image) == [f"{copy}: image {store.image_ids[0]} (number 0) damaged"]
    assert len(damaged(ids)) == 1
    assert "damaged outside" in damaged(ids)[0]
    assert verify(copy.with_name("none.h5")) == [f"{copy.with_name('none.h5')}: no such file; prepare the split first"]


@pytest.mark.parametrize("fraction", [0, 1e-4, 0.001, 0.01, 0.1, 0.5, 0.9, 0.99, 0.9999])
def test_truncated_files_are_refused_at_once(copy, fraction):
    with copy.open("r+b") as f:
        f.truncate(int(copy.stat().st_size * fraction))
    start = time.monotonic()
    with pytest.raises(InputError, match=r"copy\.h5: .*prepare the split again"):
        Store(copy)
    assert time.monotonic() - start < 1


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
