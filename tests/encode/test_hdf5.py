"""Encoded HDF5 files: their owners, and writing them whole or not at all."""

import hashlib
import re
from pathlib import Path

import numpy as np
import pytest
from encoded import ORIGIN

from resdavenet_vq.encode.features import LayerFeatures, add_features, create_features
from resdavenet_vq.encode.hdf5 import create

PACKAGE = Path(__file__).resolve().parents[2] / "resdavenet_vq"
OWNERS = {"hdf5.py", "data/store_writer.py"} | {
    f"encode/{name}.py" for name in ("hdf5", "codes", "features", "embeddings", "maps")
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
