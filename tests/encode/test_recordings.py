"""`encode`: several recordings, bad ones among them, and results that are there already."""

import json

import pytest
from encode.recordings import run

from resdavenet_vq.errors import InputError


@pytest.fixture
def wavs(folder, tmp_path):
    """Two good recordings, and two that are none."""
    (tmp_path / "wavs").mkdir()
    for name in ("a", "b"):
        (tmp_path / f"wavs/{name}.wav").write_bytes((folder / f"wavs/{name}.wav").read_bytes())
    (tmp_path / "wavs/bad.wav").write_text("none")
    return [tmp_path / "wavs" / name for name in ("a.wav", "bad.wav", "gone.wav", "b.wav")]


def encode(folder, files, *options):
    return run("encode", *files, "--model", folder / "model", *options)


def test_bad_recordings_are_told_together_and_nothing_is_written(folder, wavs, tmp_path):
    for options in (["--out", tmp_path / "out"], []):
        done = encode(folder, wavs, *options)
        assert isinstance(done.exception, InputError)
        lines = str(done.exception).splitlines()
        assert lines[0] == "2 of 4 files cannot be used:"
        assert lines[1].startswith(f"{wavs[1]}: is not audio but a text file")
        assert lines[2:] == [
            f"{wavs[2]}: no such file",
            "Nothing is encoded; --skip-bad encodes the others.",
        ]
        assert done.stdout == ""
    assert not (tmp_path / "out").exists()


def test_the_others_are_encoded_and_the_command_fails_all_the_same(folder, wavs, tmp_path):
    done = encode(folder, wavs, "--out", tmp_path / "out", "--skip-bad")
    assert str(done.exception).startswith(f"2 of 4 files cannot be used:\n{wavs[1]}: ")
    assert isinstance(done.exception, InputError)
    assert f"written: {tmp_path}/out (2 recordings)\n{tmp_path}/out/a.json\n{tmp_path}/out/b.json\n" in done.stderr
    assert "encode: 2 files in " in done.stderr  # where no terminal shows a bar
    alone = encode(folder, wavs[:1]).stdout
    assert (tmp_path / "out/a.json").read_text() == alone
    lines = encode(folder, wavs, "--skip-bad", "--format", "jsonl", "--layer", "quant2").stdout.splitlines()
    assert [json.loads(line)["id"] for line in lines] == ["a", "b"]


@pytest.mark.parametrize(
    ("form", "results"),
    [("json", ["a.json"]), ("textgrid", ["a.TextGrid"]), ("npy", ["a.quant2.npy", "a.quant3.npy"])],
)
def test_results_that_are_there_are_replaced_only_if_told(folder, wavs, tmp_path, form, results):
    options = ["--out", tmp_path, "--format", form]
    mine = tmp_path / results[-1]
    mine.write_text("mine")
    said = str(encode(folder, wavs[:1], *options).exception)
    assert said == f"{mine} is there already; choose another place, or replace it with --overwrite"
    assert mine.read_text() == "mine"
    assert not [name for name in results[:-1] if (tmp_path / name).exists()]
    done = encode(folder, wavs[:1], *options, "--overwrite")
    assert done.exit_code == 0
    assert done.stderr.splitlines() == [
        f"written: {tmp_path} (1 recording)",
        *(str(tmp_path / name) for name in results),
    ]
    assert mine.read_bytes() != b"mine"


def test_what_is_no_recording_is_told_with_what_to_do(folder, wavs, tmp_path):
    (tmp_path / "other").mkdir()
    (tmp_path / "other/a.flac").write_text("")
    files = [wavs[0].parent, "-", tmp_path / "*.wav", wavs[0], tmp_path / "other/a.flac"]
    done = run("encode", "--model", folder / "model", "--out", tmp_path / "out", "--skip-bad", "--", *files)
    assert str(done.exception).splitlines() == [
        f"{files[0]}: is a folder; use encode-folder --wavs {files[0]}",
        "-: standard input is not read; give a file",
        f"{files[2]}: no file matches this pattern",
        f"{files[3]} and {files[4]}: results would both be called a; rename one, or use encode-folder",
    ]
