"""Exported alignments say what the corpus says, in the forms that aligners write."""

import json

import oracles.report as oracle_report
import pytest
from encode.recordings import run

from resdavenet_vq.corpus import alignments, places
from resdavenet_vq.corpus.manifest import Manifest
from resdavenet_vq.encode.alignment_files import export_alignments
from resdavenet_vq.errors import InputError

ROWS = {
    "a": {"text_alignment": "0.1000__SAY__0.2501 0.2501__CHEESE__0.9", "phone_alignment": "0.0__SIL__0.1 0.1__S__0.31"},
    "sub/b": {"text_alignment": "10.12345__NO__11.5 11.4__NOW__12.0"},
    "c": {},
}


@pytest.fixture
def manifest(tmp_path):
    """A JSON file of three utterances: with words and phones, with words that overlap, with neither."""
    rows = [{"uttid": name, "wav": f"{name}.wav", "speaker": "s"} | row for name, row in ROWS.items()]
    for row in rows:
        path = tmp_path / row["wav"]
        path.parent.mkdir(exist_ok=True)
        path.write_bytes(b"RIFF")
    path = tmp_path / "dev.json"
    path.write_text(json.dumps({"audio_base_path": ".", "data": rows}))
    return path


def test_textgrids(manifest, tmp_path):
    assert export_alignments(manifest, "textgrid", tmp_path / "out") == 2
    assert sorted(str(p.relative_to(tmp_path / "out")) for p in (tmp_path / "out").rglob("*.*")) == [
        "a.TextGrid",
        "sub/b.TextGrid",
    ]
    tiers = oracle_report.read_long_textgrid((tmp_path / "out/a.TextGrid").read_text())
    assert tiers == {
        "words": [(0.0, 0.1, ""), (0.1, 0.2501, "SAY"), (0.2501, 0.9, "CHEESE")],
        "phones": [(0.0, 0.1, "SIL"), (0.1, 0.31, "S"), (0.31, 0.9, "")],
    }
    tiers = oracle_report.read_long_textgrid((tmp_path / "out/sub/b.TextGrid").read_text())
    assert tiers == {"words": [(0.0, 10.12345, ""), (10.12345, 11.5, "NO"), (11.5, 12.0, "NOW")]}


def test_ctm(manifest, tmp_path):
    done = run("export-alignments", manifest, "--out", tmp_path / "out", "--format", "ctm")
    assert (done.exit_code, done.stderr.splitlines()[-1]) == (0, f"written: {tmp_path / 'out'} (2 utterances)")
    assert {p.name: p.read_text().splitlines() for p in (tmp_path / "out").iterdir()} == {
        "words.ctm": [
            "a 1 0.100000 0.150100 SAY",
            "a 1 0.250100 0.649900 CHEESE",
            "sub/b 1 10.123450 1.376550 NO",
            "sub/b 1 11.400000 0.600000 NOW",
        ],
        "phones.ctm": ["a 1 0.000000 0.100000 SIL", "a 1 0.100000 0.210000 S"],
    }


@pytest.mark.parametrize(("form", "joined"), [("textgrid", "out"), ("ctm", "out/words.ctm")])
def test_they_are_read_back(manifest, tmp_path, form, joined):
    known = places.read(manifest).utterances[0]
    export_alignments(manifest, form, tmp_path / "out")
    bare = Manifest(places.read(manifest).utterances[:1])
    bare.utterances[0] = known.__class__.from_dict(known.to_dict() | {"words": None, "phones": None})
    alignments.join(bare, tmp_path / joined)
    (again,) = bare.utterances
    assert [w.label for w in again.words] == [w.label for w in known.words]
    for one, other in zip(again.words, known.words, strict=True):
        assert one[:2] == pytest.approx(other[:2], abs=1e-6)


def test_what_is_refused(manifest, tmp_path):
    values = json.loads(manifest.read_text())
    manifest.write_text(json.dumps(values | {"data": values["data"][2:]}))
    with pytest.raises(InputError, match="no utterance has aligned"):
        export_alignments(manifest, "ctm", tmp_path / "out")
    manifest.write_text(json.dumps(values | {"data": [values["data"][0] | {"uttid": "a b"}]}))
    with pytest.raises(InputError, match="the id 'a b' cannot be in one"):
        export_alignments(manifest, "ctm", tmp_path / "out")
    manifest.write_text(json.dumps(values | {"data": [values["data"][0] | {"uttid": "a" * 260}]}))
    with pytest.raises(InputError, match="cannot be names of files"):
        export_alignments(manifest, "textgrid", tmp_path / "out")
    manifest.write_text(json.dumps(values | {"data": [values["data"][0], {"uttid": "d", "wav": "../d.wav"}]}))
    with pytest.raises(InputError, match=r"dev\.json: rows that cannot be used; correct or remove them\nrow 1 \(d\)"):
        export_alignments(manifest, "textgrid", tmp_path / "out")
    assert not (tmp_path / "out").exists()
