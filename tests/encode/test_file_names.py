"""Files that are called after utterances: each has its own, below the folder, or nothing is written."""

import os

import numpy as np
import pytest
from encoded import ORIGIN
from oracles.data import utterance
from typer.testing import CliRunner

from resdavenet_vq.__main__ import app
from resdavenet_vq.config import Submission
from resdavenet_vq.encode import file_names
from resdavenet_vq.encode.audio_files import audio_files
from resdavenet_vq.encode.codes import add_codes, create_codes
from resdavenet_vq.encode.exports import export_units
from resdavenet_vq.encode.features import add_features, create_features
from resdavenet_vq.encode.file_names import check_ids, new_file
from resdavenet_vq.errors import InputError
from resdavenet_vq.zerospeech.submission import pack


def codes_of(folder, ids):
    with create_codes(folder / "dev.h5", ids, [utterance(name).to_dict() for name in ids], ORIGIN) as file:
        out = add_codes(file, "quant2", np.eye(3, dtype=np.float32), np.full(len(ids), 2), 0.02)
        out.write_each(range(len(ids)), [[0, 1]] * len(ids))
    return folder / "dev.h5"


def features_of(folder, ids):
    with create_features(folder / "f.h5", ids, np.ones(len(ids)), ORIGIN) as file:
        out = add_features(file, "conv2", 3, np.full(len(ids), 2), 0.02)
        out.write_each(range(len(ids)), [np.eye(2, 3, dtype=np.float32)] * len(ids))
    return folder / "f.h5"


EXPORTS = {
    "textgrid": lambda folder, ids: export_units(codes_of(folder, ids), [], "textgrid", folder / "out"),
    "npy": lambda folder, ids: export_units(codes_of(folder, ids), [], "npy", folder / "out"),
    "segmentation": lambda folder, ids: export_units(
        codes_of(folder, ids), [], "segmentation", folder / "out", features=features_of(folder, ids)
    ),
    "submission": lambda folder, ids: pack(
        features_of(folder, ids), "conv2", Submission(), folder / "out", lineage="{2}", edition=2021, split="dev"
    ),
}
NAMES = {
    "above": "../up",
    "absolute": "/etc/passwd",
    "nothing between": "a//b",
    "nothing at the end": "a/",
    "here": "./a",
    "empty": "",
    "long": "x" * 252,
    "long folder": "x" * 256 + "/a",
    "long in bytes": "é" * 126,
}


@pytest.mark.parametrize("kind", NAMES)
@pytest.mark.parametrize("form", EXPORTS)
def test_an_id_that_is_no_name_of_a_file(tmp_path, form, kind):
    with pytest.raises(
        InputError, match=r"ids that cannot be names of files; .*\n(no path below|longer than 255)"
    ) as e:
        EXPORTS[form](tmp_path, ["a", NAMES[kind]])
    assert len(str(e.value)) < 500
    assert not (tmp_path / "out").exists()


def test_the_codebook_is_not_overwritten_by_an_utterance_of_its_name(tmp_path):
    with pytest.raises(InputError, match=r"codebook\.npy: another file has this name"):
        EXPORTS["npy"](tmp_path, ["a", "codebook"])
    assert not (tmp_path / "out").exists()
    EXPORTS["textgrid"](tmp_path, ["a", "codebook"])


@pytest.mark.parametrize("ids", [["a", "a.npy/b"], ["a.npy/b", "a"]])
def test_a_file_and_a_folder_of_one_name(tmp_path, ids):
    with pytest.raises(InputError, match=r"a\.npy(/b\.npy)?: another file has this name"):
        EXPORTS["npy"](tmp_path, ids)
    assert not (tmp_path / "out").exists()


@pytest.mark.parametrize("form", EXPORTS)
def test_a_file_and_a_folder_that_differ_by_the_suffix(tmp_path, form):
    EXPORTS[form](tmp_path, ["a", "a/b"] if form != "segmentation" else ["a", "b"])
    assert len([path for path in (tmp_path / "out").rglob("*") if path.is_file()]) >= 2


@pytest.mark.parametrize("form", EXPORTS)
def test_ids_that_a_disk_does_not_distinguish(tmp_path, form, monkeypatch):
    """On a disk that takes upper and lower case for one."""

    def exists(path):
        return path.parent.is_dir() and path.name.casefold() in {p.name.casefold() for p in path.parent.iterdir()}

    EXPORTS[form](tmp_path, ["a", "A", "b.", "b"])
    assert (tmp_path / "out").is_dir()
    (tmp_path / "again").mkdir()
    monkeypatch.setattr(file_names.Path, "exists", exists)
    with pytest.raises(InputError, match="another file has this name on this disk"):
        EXPORTS[form](tmp_path / "again", ["a", "A", "b.", "b"])
    assert not os.path.exists(tmp_path / "again/out")  # noqa: PTH110 (the patched one)


def test_names_of_files_that_are_no_utf_8(latin_wav, tmp_path):
    with pytest.raises(InputError, match=r"\n.*caf\\xe9\.wav: its name is not UTF-8; rename it$"):
        audio_files(tmp_path / "wavs").check()
    for more in ([], ["--out", str(tmp_path / "out")]):
        run = CliRunner().invoke(app, ["encode", str(latin_wav), "--model", "none", *more])
        assert isinstance(run.exception, InputError)
        assert "caf\\xe9.wav" in str(run.exception)


@pytest.mark.parametrize("name", ["a\0b", "a\ud800b", os.fsdecode(b"a\xff")])
def test_ids_that_are_no_text(tmp_path, name):
    with pytest.raises(InputError, match=r"no text in UTF-8: a\\(x00b|ud800b|xff)") as e:
        check_ids([name], tmp_path, "")
    assert str(e.value).isascii()


def test_a_new_file(tmp_path):
    path = new_file(tmp_path, "a/b.txt")
    path.touch()
    with pytest.raises(InputError, match="another file"):
        new_file(tmp_path, "a/b.txt")
    with pytest.raises(InputError, match="another file"):
        new_file(tmp_path, "a/b.txt/c")
