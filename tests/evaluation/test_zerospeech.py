"""Submissions: the challenge's rules, the release's number format, the same bytes every time."""

import zipfile
from pathlib import Path

import h5py
import numpy as np
import pytest
import yaml

from resdavenet_vq.config import Submission
from resdavenet_vq.errors import InputError
from resdavenet_vq.evaluation import zerospeech

DUMP = Path(__file__).parents[1] / "data/abx_dump"
SETTINGS = Submission(author="A. Uthor", affiliation="Ünivérsity", abx_distance="dtw_cosine")


def write_features(path, utterances, layer="quant2"):
    with h5py.File(path, "w") as f:
        f["ids"] = list(utterances)
        f["durations"] = np.ones(len(utterances))
        group = f.create_group(layer)
        group["vectors"] = np.concatenate(list(utterances.values())).astype(np.float32)
        group["offsets"] = np.cumsum([0, *(len(v) for v in utterances.values())])
        group.attrs["frame_period"] = 0.02
    return path


@pytest.fixture
def utterances():
    rng = np.random.default_rng(0)
    codebook = rng.normal(size=(5, 4)).astype(np.float32)
    return {name: codebook[rng.integers(0, 5, n)] for name, n in (("b", 7), ("c/a", 3), ("d", 1))}


def pack(tmp_path, utterances, layer="quant2", settings=SETTINGS):
    out = tmp_path / "out" / "submission.zip"
    zerospeech.pack(write_features(tmp_path / "f.h5", utterances, layer), layer, settings, out, lineage="{2}->{2,3}")
    return out


def test_a_submission_keeps_every_rule(tmp_path, utterances):
    out = pack(tmp_path, utterances)
    assert zerospeech.validate_2019(out) == []
    with zipfile.ZipFile(out) as z:
        assert z.namelist() == ["metadata.yaml", "english/test/a.txt", "english/test/b.txt", "english/test/d.txt"]
        metadata = yaml.safe_load(z.read("metadata.yaml"))
        assert metadata["affiliation"] == "Ünivérsity"
        assert "{2}->{2,3}, layer quant2" in metadata["system description"]
        read = np.array([[float(v) for v in line.split(" ")] for line in z.read("english/test/b.txt").decode().splitlines()])
    np.testing.assert_allclose(read, utterances["b"], atol=0.0005 + 1e-9)
    assert [p.name for p in out.parent.iterdir()] == ["submission.zip"]


def test_equal_features_give_equal_bytes(tmp_path, utterances):
    first = pack(tmp_path, utterances).read_bytes()
    assert pack(tmp_path, dict(reversed(utterances.items()))).read_bytes() == first


@pytest.mark.parametrize("layer", ["conv2", "quant2"])
def test_numbers_are_written_as_the_release_writes_them(tmp_path, layer):
    texts = {p.stem: p.read_text() for p in sorted((DUMP / layer).glob("*.txt"))}
    values = {name: np.array([line.split() for line in text.splitlines()], np.float32) for name, text in texts.items()}
    with zipfile.ZipFile(pack(tmp_path, values, layer)) as z:
        assert {name: z.read(f"english/test/{name}.txt").decode() for name in texts} == texts


@pytest.mark.parametrize("layer", ["conv2", "quant2"])
def test_zero_has_no_sign(tmp_path, layer):
    with zipfile.ZipFile(pack(tmp_path, {"a": np.array([[-0.0, -0.0004], [0.0006, 1e6]])}, layer)) as z:
        assert z.read("english/test/a.txt") == b"0.000 0.000\n0.001 1000000.000\n"


def test_what_cannot_be_submitted(tmp_path):
    with pytest.raises(InputError, match="1 value a frame"):
        pack(tmp_path, {"a": np.ones((3, 1))})
    with pytest.raises(InputError, match=r"a.txt would stand in the submission twice"):
        pack(tmp_path, {"a": np.ones((3, 2)), "x/a": np.ones((3, 2))})
    with pytest.raises(InputError, match="utterance b holds values that are not finite"):
        pack(tmp_path, {"a": np.ones((3, 2)), "b": np.full((3, 2), np.inf)})
    assert not (tmp_path / "out/submission.zip").exists()
    assert list((tmp_path / "out").iterdir()) == []


GOOD = {
    "author": "a",
    "affiliation": "b",
    "abx distance": "dtw_kl",
    "system description": "c",
    "open source": True,
    "using parallel train": False,
    "using external data": True,
}


@pytest.mark.parametrize(
    ("change", "problem"),
    [
        ({"author": None}, "'author' must be a text"),
        ({"affiliation": " "}, "'affiliation' must be a text"),
        ({"abx distance": "cosine"}, "'abx distance' must be one of dtw_cosine, dtw_kl, levenshtein, not 'cosine'"),
        ({"system description": 3}, "'system description' must be a text"),
        ({"open source": "yes"}, "'open source' must be true or false, not 'yes'"),
        ({"using parallel train": 0}, "'using parallel train' must be true or false"),
        ({"using external data": None}, "'using external data' must be true or false"),
        ({"colour": "red"}, "'colour' is not known"),
    ],
)
def test_each_metadata_rule_is_checked(tmp_path, change, problem):
    assert any(problem in p for p in problems(tmp_path, yaml.safe_dump(GOOD | change), {"a": "1 2\n"}))


@pytest.mark.parametrize("key", GOOD)
def test_each_missing_key_is_found(tmp_path, key):
    assert f"metadata.yaml: '{key}' is missing" in problems(
        tmp_path, yaml.safe_dump({k: v for k, v in GOOD.items() if k != key}), {"a": "1 2\n"}
    )


def problems(tmp_path, metadata, texts):
    path = tmp_path / "s.zip"
    with zipfile.ZipFile(path, "w") as z:
        if metadata is not None:
            z.writestr("metadata.yaml", metadata)
        for name, text in texts.items():
            z.writestr(f"english/test/{name}.txt", text)
    return zerospeech.validate_2019(path)


@pytest.mark.parametrize(
    ("metadata", "texts", "problem"),
    [
        (None, {"a": "1 2\n"}, "metadata.yaml: is missing"),
        ("[1, 2]", {"a": "1 2\n"}, "is no mapping"),
        ("a: [", {"a": "1 2\n"}, "is no YAML"),
        ("", {}, "english/test/: holds no file"),
        ("", {"a": ""}, "a.txt: is empty"),
        ("", {"a": "1\n2\n"}, "a.txt: has fewer than two columns"),
        ("", {"a": "1 2\n1 2 3\n"}, "a.txt: its lines have 2, 3 values"),
        ("", {"a": "1 2\n", "b": "1 2 3\n"}, "b.txt: has 3 columns, other files have 2"),
        ("", {"a": "1 2\n1 nan\n"}, "a.txt: line 2 is not made of numbers"),
        ("", {"a": "1  2\n"}, "a.txt: line 1 is not made of numbers"),
        ("", {"a": "1 2 \n"}, "a.txt: line 1 is not made of numbers"),
        ("", {"b/a": "1 2\n"}, "b/a.txt: is neither"),
    ],
)
def test_each_rule_of_the_files_is_checked(tmp_path, metadata, texts, problem):
    assert any(problem in p for p in problems(tmp_path, metadata, texts))
    assert problems(tmp_path, yaml.safe_dump(GOOD), {"a": "1 2\n", "b": "0.5 -1e-3\n"}) == []


def test_a_file_that_is_no_zip(tmp_path):
    (tmp_path / "s.zip").write_text("no")
    assert len(zerospeech.validate_2019(tmp_path / "s.zip")) == 1
    assert len(zerospeech.validate_2019(tmp_path / "absent.zip")) == 1
