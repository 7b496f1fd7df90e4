"""Encoded HDF5 files: their owners, and writing them whole or not at all."""

import hashlib
import re
from pathlib import Path

import numpy as np
import pytest

from resdavenet_vq.encode.features import LayerFeatures, add_features, create_features
from resdavenet_vq.encode.hdf5 import create

PACKAGE = Path(__file__).resolve().parents[2] / "resdavenet_vq"
OWNERS = {f"encode/{name}.py" for name in ("hdf5", "codes", "features", "embeddings", "maps")}
"""Beside data/, with the store and the reader of 2020's files, and release/."""


def test_only_the_owners_of_formats_import_h5py():
    texts = {file.relative_to(PACKAGE).as_posix(): file.read_text(encoding="utf-8") for file in PACKAGE.rglob("*.py")}
    importers = {name for name, text in texts.items() if re.search(r"^\s*(import|from) h5py\b", text, re.MULTILINE)}
    assert OWNERS <= importers
    assert {name for name in importers - OWNERS if not name.startswith(("data/", "release/"))} == set()


def test_a_file_has_its_digest_beside_it_and_appears_whole(tmp_path):
    path = tmp_path / "f.h5"
    with pytest.raises(ZeroDivisionError), create(path):
        raise ZeroDivisionError
    assert list(tmp_path.iterdir()) == []
    rows = np.arange(6, dtype=np.float32).reshape(3, 2)
    with create_features(path, ["ä", "b"], np.array([0.5, 1])) as file:
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
