"""Exports say what the codes file says, in the form that others read."""

import json
import re

import numpy as np
import oracles.report as oracle_report
import pytest
from encode.recordings import run
from encoded import ORIGIN, changed
from oracles.data import utterance

from resdavenet_vq.corpus import textgrid
from resdavenet_vq.corpus.manifest import Interval
from resdavenet_vq.encode.codes import add_codes, create_codes
from resdavenet_vq.encode.exports import export_units
from resdavenet_vq.encode.features import add_features, create_features
from resdavenet_vq.errors import InputError

WORDS = (Interval(0.01, 0.05, "SAY"), Interval(0.04, 0.09, 'A "B"'))
CODES = {"a": {2: [3, 3, 3, 1, 1], 3: [0, 7]}, "sub/b": {2: [2], 3: [4]}}
CODEBOOK = {2: np.eye(5, 3, dtype=np.float32), 3: np.arange(16, dtype=np.float32).reshape(8, 2)}


@pytest.fixture
def codes(tmp_path):
    """A codes file of two utterances, the first with words that overlap."""
    path, words = tmp_path / "dev.h5", {"a": WORDS}
    rows = [utterance(name, words=words.get(name)).to_dict() for name in CODES]
    with create_codes(path, list(CODES), rows, ORIGIN) as file:
        for n in (2, 3):
            lengths = np.array([len(codes[n]) for codes in CODES.values()])
            out = add_codes(file, f"quant{n}", CODEBOOK[n], lengths, 0.01 * 2 ** (n - 1))
            out.write_each([0, 1], [codes[n] for codes in CODES.values()])
    return path


def write_features(path, frames, ids=("sub/b", "a"), layer="conv2", origin=ORIGIN):
    """A features file in another order."""
    with create_features(path, ids, np.ones(len(ids)), origin) as file:
        out = add_features(file, layer, 3, np.array([len(frames[name]) for name in ids]), 0.02)
        out.write_each(range(len(ids)), [frames[name] for name in ids])
    return path


FRAMES = {
    name: np.random.default_rng(i).normal(size=(len(codes[2]), 3)) for i, (name, codes) in enumerate(CODES.items())
}


def test_textgrids(codes, tmp_path):
    assert export_units(codes, [], "textgrid", tmp_path / "out") == 2
    text = (tmp_path / "out/a.TextGrid").read_text()
    assert list(textgrid.read(tmp_path / "out/a.TextGrid")) == ["words", "quant2", "quant3"]
    tiers = oracle_report.read_long_textgrid(text)
    assert tiers["quant2"] == [(0.0, 0.06, "3"), (0.06, 0.1, "1")]
    assert tiers["quant3"] == [(0.0, 0.04, "0"), (0.04, 0.08, "7"), (0.08, 0.1, "")]
    assert tiers["words"] == [(0.0, 0.01, ""), (0.01, 0.05, "SAY"), (0.05, 0.09, 'A "B"'), (0.09, 0.1, "")]
    assert list(textgrid.read(tmp_path / "out/sub/b.TextGrid")) == ["quant2", "quant3"]
    export_units(codes, ["quant2"], "textgrid", tmp_path / "centred", frame_time="centred")
    assert textgrid.read(tmp_path / "centred/a.TextGrid")["quant2"] == (
        Interval(0.0, 0.05, "3"),
        Interval(0.05, 0.09, "1"),
    )


def test_jsonl(codes, tmp_path):
    export_units(codes, ["quant2"], "jsonl", tmp_path / "out.jsonl")
    first, second = map(json.loads, (tmp_path / "out.jsonl").read_text().splitlines())
    units = {"units": [3, 1], "durations": [0.06, 0.04], "frames": [3, 2]}
    assert first == {"id": "a", "layer": "quant2", "frame_period": 0.02, **units}
    assert (second["id"], second["units"]) == ("sub/b", [2])
    with pytest.raises(InputError, match=r"/out\.jsonl is there already; .* --overwrite$"):
        export_units(codes, [], "jsonl", tmp_path / "out.jsonl")
    assert len((tmp_path / "out.jsonl").read_text().splitlines()) == 2
    export_units(codes, [], "jsonl", tmp_path / "out.jsonl", overwrite=True)
    assert len((tmp_path / "out.jsonl").read_text().splitlines()) == 4


def test_arrays(codes, tmp_path):
    export_units(codes, ["quant3"], "npy", tmp_path / "out")
    files = {path.relative_to(tmp_path / "out").as_posix() for path in (tmp_path / "out").rglob("*.npy")}
    assert files == {"quant3/a.npy", "quant3/codebook.npy", "quant3/sub/b.npy"}
    codes_of_a = np.load(tmp_path / "out/quant3/a.npy")
    assert (codes_of_a.dtype, codes_of_a.tolist()) == (np.int32, [0, 7])
    np.testing.assert_array_equal(np.load(tmp_path / "out/quant3/codebook.npy"), CODEBOOK[3])


@pytest.mark.parametrize("arrays", ["txt", "npy"])
def test_segmentation_folders(codes, tmp_path, arrays):
    """Read as the segmentation tool does: `np.load` of the codebook, `np.loadtxt` or `np.load` of each utterance."""
    features = write_features(tmp_path / "f.h5", FRAMES)
    export_units(codes, ["quant2"], "segmentation", tmp_path / "out", features=features, arrays=arrays)
    read = np.loadtxt if arrays == "txt" else np.load
    np.testing.assert_array_equal(np.load(tmp_path / "out/embedding.npy"), CODEBOOK[2])
    for name, base in (("a", "a"), ("sub/b", "b")):
        indices = read(tmp_path / f"out/dev/indices/{base}.{arrays}")
        assert np.atleast_1d(indices).tolist() == CODES[name][2]
        frames = np.atleast_2d(read(tmp_path / f"out/dev/prequant/{base}.{arrays}"))
        np.testing.assert_array_equal(frames.astype(np.float32), FRAMES[name].astype(np.float32))
    assert {p.name for p in (tmp_path / "out").iterdir()} == {"embedding.npy", "dev"}


def test_segmentation_needs_fitting_features(codes, tmp_path):
    fitting = write_features(tmp_path / "f.h5", FRAMES)
    fewer = write_features(tmp_path / "g.h5", FRAMES, ids=("a",))
    shorter = write_features(tmp_path / "h.h5", {name: rows[:1] for name, rows in FRAMES.items()})
    for layers, form, features, message in (
        (["quant2"], "segmentation", None, "segmentation needs --features"),
        (["quant2"], "npy", fitting, "other formats take none"),
        ([], "segmentation", fitting, "segmentation is of one layer; choose among quant2, quant3"),
        (["quant3"], "segmentation", fitting, "holds no features of 'conv3'"),
        (["quant2"], "segmentation", fewer, r"lacks 1 utterances of .*dev\.h5, the first sub/b"),
        (["quant2"], "segmentation", shorter, "a has 1 frames, and 5 codes"),
    ):
        with pytest.raises(InputError, match=message):
            export_units(codes, layers, form, tmp_path / "out", features=features)
    assert not (tmp_path / "out").exists()


@pytest.mark.parametrize("name", ["/etc/passwd", "../up", "a//b", "x/../../y"])
def test_ids_that_are_no_names_of_files(codes, tmp_path, name):
    with changed(codes) as f:
        f["ids"][1] = name
    with pytest.raises(InputError, match=re.escape(f"no path below a folder: {name}")):
        export_units(codes, [], "textgrid", tmp_path / "out")
    assert not (tmp_path / "out").exists()
    assert export_units(codes, [], "jsonl", tmp_path / "out.jsonl") == 2


def test_ids_that_would_share_a_file(codes, tmp_path):
    with changed(codes) as f:
        f["ids"][1] = "sub/a"
    frames = {"a": FRAMES["a"], "sub/a": FRAMES["sub/b"]}
    features = write_features(tmp_path / "f.h5", frames, ids=("a", "sub/a"))
    with pytest.raises(InputError, match="two utterances would be written to a"):
        export_units(codes, ["quant2"], "segmentation", tmp_path / "out", features=features)
    export_units(codes, ["quant2"], "npy", tmp_path / "out")


def test_layers_and_files_that_are_not_there(codes, tmp_path):
    (tmp_path / "mine").mkdir()
    (tmp_path / "mine/file").touch()
    with create_codes(tmp_path / "empty.h5", [], [], ORIGIN):
        pass
    for file, layers, out, message in (
        (codes, ["quant4"], "out", r"holds no codes of 'quant4' \(layers: quant2, quant3\)"),
        (tmp_path / "none.h5", [], "out", "no such file"),
        (codes, [], "mine", "mine: is there already"),  # a folder may hold other files, so it is never replaced
        (tmp_path / "empty.h5", [], "out", "no quantizer is on"),
    ):
        with pytest.raises(InputError, match=message):
            export_units(file, layers, "npy", tmp_path / out, overwrite=True)


def test_on_the_command_line(codes, tmp_path):
    result = run("export-units", "--codes", codes, "--format", "textgrid", "--out", tmp_path / "out")
    assert result.exit_code == 0
    assert "2 utterances" in result.stderr
    assert (tmp_path / "out/a.TextGrid").is_file()
