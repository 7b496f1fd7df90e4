"""Encoded HDF5 files: their owners, and writing them whole or not at all."""

import hashlib
import re
import resource
import weakref
from pathlib import Path

import h5py
import numpy as np
import pytest
from encoded import ORIGIN

from resdavenet_vq.encode import hdf5_output
from resdavenet_vq.encode.embeddings import Pairs, create_embeddings
from resdavenet_vq.encode.features import LayerFeatures, add_features, create_features
from resdavenet_vq.encode.hdf5_output import Rows, create
from resdavenet_vq.encode.maps import create_maps
from resdavenet_vq.errors import InputError

PACKAGE = Path(__file__).resolve().parents[2] / "resdavenet_vq"
OWNERS = {"hdf5.py", "data/store_writer.py"} | {
    f"encode/{name}.py" for name in ("hdf5_output", "codes", "features", "embeddings", "maps")
}
"""Of which `hdf5.py` alone opens files for reading."""


def test_only_the_owners_of_formats_import_h5py():
    texts = {file.relative_to(PACKAGE).as_posix(): file.read_text(encoding="utf-8") for file in PACKAGE.rglob("*.py")}
    importers = {name for name, text in texts.items() if re.search(r"^\s*(import|from) h5py\b", text, re.MULTILINE)}
    assert importers == OWNERS
    opening = {name for name in importers if re.search(r"h5py\.File\((?!.*\"(w|r\+)\")", texts[name])}
    assert opening == {"hdf5.py"}


def test_a_file_has_its_digest_beside_it_and_appears_whole(tmp_path):
    path = tmp_path / "f.h5"
    with pytest.raises(ZeroDivisionError), create(path, "features", ORIGIN):
        raise ZeroDivisionError
    assert list(tmp_path.iterdir()) == []
    rows = np.arange(6, dtype=np.float32).reshape(3, 2)
    with create_features(path, ["ä", "b"], np.array([0.5, 1]), ORIGIN) as file:
        layer = add_features(file, "conv2", 2, np.array([1, 2]), 0.02)
        layer.write(0, rows[:1])
        layer.write(1, rows[2:], start=1)
        layer.write(1, rows[1:2])
        with pytest.raises(AssertionError):
            layer.write(0, rows)
        assert not path.exists()
    digest = hashlib.sha256(path.read_bytes()).hexdigest()
    assert (tmp_path / "f.h5.sha256").read_text() == f"{digest}  f.h5\n"
    with LayerFeatures(path, "conv2") as features:
        assert (features.ids, features.durations.tolist(), features.frame_period) == (["ä", "b"], [0.5, 1], 0.02)
        np.testing.assert_array_equal(features.rows(1), rows[1:])
        np.testing.assert_array_equal(features.mapped(), rows)


def fill_embeddings(path, n):
    with create_embeddings(path, Pairs([str(i) for i in range(n)], [], np.full(n, -1), False), 25_600, ORIGIN) as file:
        for i in range(n):
            yield i
            file.write_speech([i], np.ones((1, 25_600), np.float32))


def fill_cells(path, n):
    pairs = Pairs(["a"], [str(i) for i in range(n)], np.zeros(1, np.int64), True)
    with create_maps(path, pairs, np.ones(1, np.int64), 256, 0.16, ORIGIN) as file:
        for i in range(n):
            yield i
            file.write_cells(i, np.ones((10, 10, 256), np.float32))


def fill_rows(path, n):
    with create_features(path, [str(i) for i in range(n)], np.ones(n), ORIGIN) as file:
        rows = add_features(file, "conv2", 256, np.full(n, 100), 0.01)
        for i in range(n):
            yield i
            rows.write(i, np.ones((100, 256), np.float32))


@pytest.mark.parametrize("fill", [fill_rows, fill_embeddings, fill_cells])
def test_a_file_that_takes_no_more_is_told_at_the_next_batch_that_is_written(tmp_path, monkeypatch, fill):
    monkeypatch.setattr(hdf5_output, "WAITING_BYTES", 1 << 16)
    begun, written = [], fill(tmp_path / "f.h5", 50)
    before = resource.getrlimit(resource.RLIMIT_FSIZE)
    resource.setrlimit(resource.RLIMIT_FSIZE, (1 << 20, before[1]))
    try:
        with pytest.raises(InputError, match=r"/f\.h5: cannot be written \(File too large\); raise the limit"):
            begun.extend(written)
    finally:
        resource.setrlimit(resource.RLIMIT_FSIZE, before)
    assert len(begun) < 14
    assert list(tmp_path.iterdir()) == []


def rows_of_utterances(folder, order, monkeypatch):
    """The rows of six utterances that are given in an order, and how often HDF5 was called to write them."""
    writes, original = [], h5py.Dataset.__setitem__
    monkeypatch.setattr(
        h5py.Dataset, "__setitem__", lambda self, rows, values: writes.append(rows) or original(self, rows, values)
    )
    n_rows = np.array([3, 1, 0, 4, 2, 5])
    whole = np.arange(15 * 2, dtype=np.float32).reshape(15, 2)
    offsets = np.concatenate([[0], np.cumsum(n_rows)])
    with create(folder / "a.h5", "features", ORIGIN) as file:
        rows = Rows(file.create_group("conv2"), "vectors", n_rows, 2)
        for i in order:
            rows.write(i, whole[offsets[i] : offsets[i + 1]])
    with h5py.File(folder / "a.h5") as file:
        np.testing.assert_array_equal(file["conv2/vectors"][:], whole)
    return len(writes)


def test_neighbors_are_written_together_in_whatever_order_they_come(tmp_path, monkeypatch):
    assert rows_of_utterances(tmp_path, [3, 0, 5, 1, 4, 2], monkeypatch) == 3  # the first, those before, those behind


@pytest.mark.parametrize(("waiting", "writes"), [(8, 3), (4, 5)])
def test_as_many_rows_wait_as_memory_is_meant_for_them(tmp_path, monkeypatch, waiting, writes):
    """Of 8: utterance 0, those up to 4, and 5; of 4, fewer than utterance 5 has: each by itself."""
    monkeypatch.setattr(hdf5_output, "WAITING_BYTES", waiting * 2 * 4)
    assert rows_of_utterances(tmp_path, [0, 1, 2, 3, 4, 5], monkeypatch) == writes


def test_rows_that_wait_keep_no_array_in_memory(tmp_path):
    """Arrays that were kept, among those of the network, took 1.1 GB for 24,000 utterances of 2 s."""
    with create(tmp_path / "a.h5", "features", ORIGIN) as file:
        rows = Rows(file.create_group("conv2"), "vectors", np.array([1, 1, 2]), 2)
        for i in range(2):
            batch = np.full((50, 2), i, np.float32)
            rows.write(i, batch[:1])
            kept = weakref.ref(batch)
            del batch
            assert kept() is None
        rows.write(2, np.full((2, 2), 2))
    with h5py.File(tmp_path / "a.h5") as file:
        assert file["conv2/vectors"][:, 0].tolist() == [0, 1, 2, 2]
