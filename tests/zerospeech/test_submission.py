"""Submissions as they are written: the challenges' rules, the release's number format, the same bytes every time."""

import json
import re
import zipfile
from pathlib import Path

import numpy as np
import pytest
import yaml
from encoded import ORIGIN

from resdavenet_vq import config
from resdavenet_vq.config import Submission
from resdavenet_vq.encode.features import add_features, create_features
from resdavenet_vq.errors import InputError
from resdavenet_vq.workflow.plan import Plan
from resdavenet_vq.zerospeech import submission
from resdavenet_vq.zerospeech.validation import validate

DUMP = Path(__file__).parents[1] / "golden/abx_dump"
SETTINGS = Submission(author="A. Uthor", affiliation="Ünivérsity", abx_distance="dtw_cosine")


@pytest.fixture
def utterances():
    rng = np.random.default_rng(0)
    codebook = rng.normal(size=(5, 4)).astype(np.float32)
    return {name: codebook[rng.integers(0, 5, n)] for name, n in (("b", 7), ("c/a", 3), ("d", 1))}


def pack(tmp_path, utterances, layer="quant2", settings=SETTINGS, name="submission.zip", **options):
    out, rows = tmp_path / "out" / name, [*utterances.values()]
    with create_features(tmp_path / "f.h5", [*utterances], np.ones(len(rows)), ORIGIN) as file:
        written = add_features(file, layer, rows[0].shape[1], np.array([*map(len, rows)]), 0.02)
        written.write_each(range(len(rows)), rows)
    submission.pack(tmp_path / "f.h5", layer, settings, out, lineage="{2}->{2,3}", **options)
    return out


def test_a_submission_keeps_every_rule(tmp_path, utterances):
    out = pack(tmp_path, utterances)
    assert validate(out).problems == []
    with zipfile.ZipFile(out) as z:
        assert z.namelist() == ["metadata.yaml", "english/test/a.txt", "english/test/b.txt", "english/test/d.txt"]
        metadata = yaml.safe_load(z.read("metadata.yaml"))
        assert metadata["affiliation"] == "Ünivérsity"
        assert "{2}->{2,3}, layer quant2" in metadata["system description"]
        read = np.loadtxt(z.open("english/test/b.txt"))
    np.testing.assert_allclose(read, utterances["b"], atol=0.0005 + 1e-9)
    assert [p.name for p in out.parent.iterdir()] == ["submission.zip"]


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
    rows = np.ones((3, 2))
    for utterances, edition, message in (
        ({"a": rows[:, :1]}, 2019, "1 value a frame"),
        ({"a": rows, "x/a": rows}, 2019, r"a.txt would be in the submission twice"),
        ({"a": rows, "b": np.inf * rows}, 2019, "utterance b holds values that are not finite"),
        ({"a": rows, "d": rows[:1]}, 2021, r"quant2 of d has a single frame \(1 utterances have\)"),
        ({"/etc/a": rows}, 2021, "no path below a folder: /etc/a"),
        ({"../a": rows}, 2021, r"no path below a folder: \.\./a"),
    ):
        with pytest.raises(InputError, match=message):
            pack(tmp_path, utterances, edition=edition)
        assert not [*tmp_path.glob("out/*")]


def files_of(out):
    """Every file of a submission and its text, folder or zip."""
    if out.is_dir():
        return {path.relative_to(out).as_posix(): path.read_text() for path in sorted(out.rglob("*")) if path.is_file()}
    with zipfile.ZipFile(out) as z:
        return {name: z.read(name).decode() for name in z.namelist()}


def test_the_layout_of_2020(tmp_path, utterances):
    files = files_of(pack(tmp_path, utterances, edition=2020))
    texts = [name for name in files if name.startswith("2019/english/test/")]
    assert texts == [f"2019/english/test/{name}.txt" for name in "abd"]
    assert files.keys() - texts == {"metadata.yaml", "2019/metadata.yaml", "2019/code/README.txt"}
    who, task = (yaml.safe_load(files[name]) for name in ("metadata.yaml", "2019/metadata.yaml"))
    assert who == {"author": "A. Uthor", "affiliation": "Ünivérsity", "open source": True}
    hyperparameters = {
        "lineage": "{2}->{2,3}",
        "layer": "quant2",
        "seconds between frames": 0.02,
        "values per frame": 4,
    }
    assert task == {
        "abx distance": "dtw_cosine",
        "system description": task["system description"],
        "hyperparameters": hyperparameters,
        "using parallel train": False,
        "using external data": True,
    }


def test_the_layout_of_2021(tmp_path, utterances):
    long = {name: np.repeat(rows, 2, axis=0) for name, rows in utterances.items()}
    settings = SETTINGS.model_copy(update={"metric": "kl", "gpu_budget": 12.5})
    files = files_of(pack(tmp_path, long, edition=2021, settings=settings))
    assert [*files] == ["meta.yaml", "phonetic/b.txt", "phonetic/c/a.txt", "phonetic/d.txt"]
    meta = yaml.safe_load(files["meta.yaml"])
    assert meta["parameters"]["phonetic"] == {"metric": "kl", "frame_shift": 0.02}
    assert (meta["gpu_budget"], meta["open_source"], meta["author"]) == (12.5, True, "A. Uthor")
    read = np.loadtxt(files["phonetic/b.txt"].splitlines())
    np.testing.assert_allclose(read, long["b"], atol=0.0005 + 1e-9)
    in_split = files_of(pack(tmp_path, long, edition=2021, split="dev-clean"))
    assert [*in_split] == ["meta.yaml", "phonetic/c/a.txt", "phonetic/dev-clean/b.txt", "phonetic/dev-clean/d.txt"]


@pytest.mark.parametrize("edition", [2019, 2020, 2021])
def test_zips_and_folders_hold_the_same_and_are_accepted(tmp_path, utterances, edition):
    long = {name: np.repeat(rows, 2, axis=0) for name, rows in utterances.items()}
    zipped = pack(tmp_path, long, edition=edition)
    again = zipped.read_bytes()
    folder = pack(tmp_path, long, edition=edition, name="folder")
    assert files_of(zipped) == files_of(folder)
    for out in (zipped, folder):
        verdict = validate(out)
        assert (verdict.problems, verdict.edition) == ([], edition)
        assert (verdict.files, verdict.frames, verdict.width) == (3, 22, 4)
    assert pack(tmp_path, dict(reversed(long.items())), edition=edition).read_bytes() == again
    with pytest.raises(InputError, match="is there already"):
        pack(tmp_path, long, edition=edition, name="folder")


def plan(**settings):
    values = yaml.safe_load((Path(__file__).resolve().parents[2] / "config.yaml").read_text())
    values["abx"]["submission"] = settings
    return Plan(config.read(values))


def test_the_plan_asks_for_the_editions_by_name():
    assert all(re.fullmatch(r".*/quant[23]\.zip", name) for name in plan().submissions)
    some = plan(editions=[2019, 2021, 2021]).submissions
    assert len(some) == 2 * len(plan().submissions)
    assert {re.fullmatch(r".*/quant[23](.*)\.zip", name)[1] for name in some} == {"", ".zerospeech2021"}
    with pytest.raises(config.InputError, match=r"abx\.submission\.editions"):
        plan(editions=[2018])


def test_a_submission_depends_on_what_its_edition_says_alone():
    some = plan()
    assert json.loads(some.submission(2019)).keys() == {"author", "affiliation", "abx_distance"}
    other = plan(metric="kl", train_set="x", gpu_budget=3, editions=[2019, 2020])
    for edition in (2019, 2020):
        assert other.submission(edition) == some.submission(edition)
        assert plan(abx_distance="dtw_kl").submission(edition) != some.submission(edition)
    assert other.submission(2021) != some.submission(2021)
    assert plan(abx_distance="dtw_kl").submission(2021) == some.submission(2021)
