"""Folders of recordings, against the workflow's own features and codes, and the dump of the release."""

import json
import os
import re
from pathlib import Path

import numpy as np
import pytest
import soundfile
from clutter import litter
from encode.recordings import LAYERS, LENGTHS, codes_of, run

from resdavenet_vq.encode.features import LayerFeatures
from resdavenet_vq.encode.folder import _read_through, encode_folder
from resdavenet_vq.errors import InputError
from resdavenet_vq.release.importing import import_released

DATA = Path(__file__).parents[1] / "golden"


@pytest.mark.parametrize("frames_at_once", [1 << 14, 130, 64])
def test_a_folder_gives_the_features_and_codes_of_the_workflow(folder, workflows, tmp_path, frames_at_once):
    files = {"features": tmp_path / "f.h5", "codes": tmp_path / "c.h5"}
    encode_folder(folder / "model", folder / "wavs", layers=LAYERS, **files, frames_at_once=frames_at_once)
    for layer in LAYERS:
        with LayerFeatures(tmp_path / "f.h5", layer) as found, LayerFeatures(workflows[1], layer) as expected:
            assert (found.ids, found.frame_period) == (sorted(LENGTHS), expected.frame_period)
            assert found.durations.tolist() == [LENGTHS[name] / 16000 for name in found.ids]
            rows_of = dict(expected)
            for name, rows in found:
                np.testing.assert_allclose(rows, rows_of[name], rtol=1e-5, atol=1e-5)
    for layer in ("quant2", "quant3"):
        expected = codes_of(workflows[0], layer)
        for name, codes in codes_of(tmp_path / "c.h5", layer).items():
            np.testing.assert_array_equal(codes, expected[name])


def test_the_dump_of_the_release(tmp_path):
    """`utt1` agrees to the 3 decimals printed; the release padded the two others, so that their ends differ."""
    import_released(DATA / "reference_experiment", tmp_path / "model", allow_unknown=False)
    layers = ("quant2", "quant3", "conv2", "conv3", "conv4")
    encode_folder(tmp_path / "model", DATA / "abx_dump/wavs", layers=layers, text=tmp_path / "text")
    for layer in layers:
        assert {path.name for path in (tmp_path / "text" / layer).iterdir()} == {"utt0.txt", "utt1.txt", "utt2.txt"}
        found, expected = (
            np.loadtxt(folder / layer / "utt1.txt", ndmin=2) for folder in (tmp_path / "text", DATA / "abx_dump")
        )
        assert found.shape == expected.shape
        assert abs(found - expected).max() < 0.0011  # a unit in the last decimal
        assert re.fullmatch(r"(-?\d+\.\d{3}[ \n])+", (tmp_path / "text" / layer / "utt1.txt").read_text())


def test_long_recordings_are_not_cut(folder, tmp_path):
    rng = np.random.default_rng(0)
    (tmp_path / "wavs").mkdir()
    soundfile.write(tmp_path / "wavs/long.wav", rng.normal(size=30 * 16000) * 0.1, 16000)
    encode_folder(folder / "model", tmp_path / "wavs", layers=["quant2"], features=tmp_path / "f.h5")
    with LayerFeatures(tmp_path / "f.h5", "quant2") as found:
        assert found.offsets.tolist() == [0, 1500]


def test_all_bad_rows_are_told_at_once(folder, tmp_path):
    wavs = tmp_path / "wavs"
    wavs.mkdir()
    for i in range(25):
        (wavs / f"bad{i:02}.wav").write_bytes(b"RIFF")
    (wavs / "good.wav").write_bytes((folder / "wavs/a.wav").read_bytes())
    with pytest.raises(InputError) as caught:
        encode_folder(folder / "model", wavs, layers=["quant2"], features=tmp_path / "f.h5")
    lines = str(caught.value).splitlines()
    assert lines[0] == f"{wavs}: 25 of 26 files cannot be used:"
    assert "bad00.wav: truncated, its 4 bytes are less than any header of audio" in lines[1]
    assert lines[-3] == "... and 5 more"
    assert lines[-1] == f"All of them are in {tmp_path / 'f.refused.json'}."
    assert len(json.loads((tmp_path / "f.refused.json").read_text())) == 25
    assert not (tmp_path / "f.h5").exists()
    _, left_out = encode_folder(folder / "model", wavs, layers=["quant2"], features=tmp_path / "f.h5", bad_rows="skip")
    assert left_out.splitlines() == [
        "25 of 26 files are left out:",
        *lines[1:-2],
        f"All of them are in {tmp_path / 'f.refused.json'}.",
    ]
    rows = json.loads((tmp_path / "f.refused.json").read_text())
    assert [Path(row["file"]).name for row in rows] == [f"bad{i:02}.wav" for i in range(25)]
    with LayerFeatures(tmp_path / "f.h5", "quant2") as found:
        assert found.ids == ["good"]
    for path in wavs.glob("bad*"):
        path.unlink()
    with pytest.raises(InputError, match=r"/f\.h5 is there already; .* --overwrite$"):
        encode_folder(folder / "model", wavs, layers=["quant2"], features=tmp_path / "f.h5")
    assert encode_folder(folder / "model", wavs, layers=["quant2"], features=tmp_path / "f.h5", overwrite=True) == (
        1,
        "",
    )
    assert not (tmp_path / "f.refused.json").exists()


def test_what_is_no_regular_file_is_left_out_at_once(folder, tmp_path):
    wavs = tmp_path / "wavs"
    wavs.mkdir()
    os.mkfifo(wavs / "pipe.wav")
    (wavs / "device.wav").symlink_to("/dev/zero")
    (wavs / "good.wav").write_bytes((folder / "wavs/a.wav").read_bytes())
    _, left_out = encode_folder(folder / "model", wavs, layers=["quant2"], features=tmp_path / "f.h5", bad_rows="skip")
    assert left_out.splitlines()[1:-1] == [f"{wavs / name}.wav: is no regular file" for name in ("device", "pipe")]
    (wavs / "good.wav").unlink()
    (tmp_path / "f.h5").unlink()
    with pytest.raises(InputError, match=r"^All 2 have one fault: is no regular file\.\n"):
        encode_folder(folder / "model", wavs, layers=["quant2"], features=tmp_path / "f.h5", bad_rows="skip")


@pytest.mark.parametrize("frames_at_once", [1 << 14, 64])
@pytest.mark.parametrize("change", ["shorter", "longer", "truncated", "gone", "touched"])
def test_a_recording_that_changes_after_it_was_read_through(folder, tmp_path, monkeypatch, change, frames_at_once):
    wavs, path = tmp_path / "wavs", tmp_path / "wavs/a.wav"
    wavs.mkdir()
    soundfile.write(path, np.sin(np.arange(30_000)), 16000)

    def reading_through(*arguments):
        results = _read_through(*arguments)
        match change:
            case "gone":
                path.unlink()
            case "truncated":
                os.truncate(path, 40_000)
            case "touched":
                os.utime(path, ns=(0, 0))
            case _:
                soundfile.write(path, np.sin(np.arange(20_000 if change == "shorter" else 40_000)), 16000)
        return results

    monkeypatch.setattr("resdavenet_vq.encode.folder._read_through", reading_through)
    options = {"layers": ["quant2"], "features": tmp_path / "f.h5", "frames_at_once": frames_at_once}
    with pytest.raises(InputError, match=r"/a\.wav: changed while it was read \(.+\); run it again$"):
        encode_folder(folder / "model", wavs, bad_rows="skip", **options)
    assert [*tmp_path.iterdir()] == [wavs]


def test_ids_and_requests_that_do_not_fit(folder, tmp_path):
    wavs, out = tmp_path / "wavs", {"features": tmp_path / "f.h5"}
    (wavs / "x").mkdir(parents=True)
    for name in ("a.wav", "x/a.wav", "a.WAV"):
        (wavs / name).write_bytes((folder / "wavs/a.wav").read_bytes())
    model, layers = folder / "model", ["quant2"]
    for path, options, message in (
        (wavs, {"layers": layers, **out}, r"/a\.wav: has the id of .*/a\.WAV \(a\); rename or remove one\n"),
        (tmp_path / "none", {"layers": layers, **out}, "no such folder"),
        (model, {"layers": layers, **out}, "holds no audio"),
        (wavs, {"layers": layers}, "say where the result goes"),
        (wavs, out, "go together"),
        (wavs, {"layers": layers, "codes": tmp_path / "c.h5"}, "go together"),
        (wavs, {"layers": ["quant4"], **out}, "quant4 is off"),
        (wavs, {"layers": ["quant9"], **out}, "'quant9' is no layer"),
    ):
        with pytest.raises(InputError, match=message):
            encode_folder(model, path, **options)
    (wavs / "a.WAV").unlink()
    with pytest.raises(InputError, match=r"x/a\.wav: has the id of \S+/wavs/a\.wav \(a\); .*, or let ids be paths\n"):
        encode_folder(model, wavs, layers=layers, ids="name", **out)
    encode_folder(model, wavs / "x", layers=layers, ids="name", **out)
    (tmp_path / "text").mkdir()
    (tmp_path / "text/mine.txt").write_text("")
    with pytest.raises(InputError, match="text: is there already"):
        encode_folder(model, wavs, layers=["quant2"], text=tmp_path / "text")
    assert sorted(path.name for path in tmp_path.iterdir()) == ["f.h5", "f.h5.sha256", "text", "wavs"]


def test_on_the_command_line(folder, tmp_path):
    (tmp_path / "wavs").mkdir()
    (tmp_path / "wavs/bad.wav").write_text("")
    (tmp_path / "wavs/a.wav").write_bytes((folder / "wavs/a.wav").read_bytes())
    arguments = ["encode-folder", "--model", folder / "model", "--wavs", tmp_path / "wavs", "--layers", "conv2,quant2"]
    arguments += ["--out", tmp_path / "f.h5"]
    assert "1 of 2 files cannot be used" in str(run(*arguments).exception)
    done = run(*arguments, "--bad-rows", "skip", "--text", tmp_path / "text")
    assert done.exit_code == 0
    assert "1 of 2 files are left out:" in done.stderr
    assert f"All of them are in {tmp_path / 'f.refused.json'}." in done.stderr
    assert (tmp_path / "text/conv2/a.txt").is_file()


def test_an_id_of_two_files_costs_the_second_alone(folder, tmp_path):
    wavs, out = tmp_path / "wavs", {"codes": tmp_path / "c.h5"}
    for name in ("a/x.wav", "b/x.wav", "b/y.wav"):
        (wavs / name).parent.mkdir(parents=True, exist_ok=True)
        (wavs / name).write_bytes((folder / "wavs/a.wav").read_bytes())
    (wavs / "bad.wav").write_text("")
    left_out = encode_folder(folder / "model", wavs, ids="name", bad_rows="skip", **out)[1].splitlines()
    assert left_out[0] == "2 of 4 files are left out:"
    assert left_out[1].startswith(f"{wavs}/b/x.wav: has the id of {wavs}/a/x.wav (x); ")
    assert left_out[2].startswith(f"{wavs}/bad.wav: ")
    assert [Path(row["file"]).name for row in json.loads((tmp_path / "c.refused.json").read_text())] == [
        "x.wav",
        "bad.wav",
    ]
    assert sorted(codes_of(tmp_path / "c.h5", "quant2")) == ["x", "y"]


def test_a_name_that_is_no_utf_8_costs_no_other_file(folder, latin_wav, tmp_path):
    wavs = latin_wav.parent
    (wavs / "a.wav").write_bytes((folder / "wavs/a.wav").read_bytes())
    encode_folder(folder / "model", wavs, codes=tmp_path / "c.h5", bad_rows="skip")
    assert json.loads((tmp_path / "c.refused.json").read_text()) == [
        {"file": f"{wavs}/caf\\xe9.wav", "reason": "its name is not UTF-8; rename it"}
    ]
    assert [*codes_of(tmp_path / "c.h5", "quant2")] == ["a"]


def test_a_folder_from_a_mac_and_a_phone(folder, tmp_path):
    wavs = tmp_path / "wavs"
    wavs.mkdir()
    (wavs / "a.wav").write_bytes((folder / "wavs/a.wav").read_bytes())
    (wavs / "memo.m4a").write_bytes(b"\0\0\0\x18ftypM4A ")
    litter(wavs, "a.wav")
    arguments = ["encode-folder", "--model", folder / "model", "--wavs", wavs, "--codes", tmp_path / "c.h5"]
    done = run(*arguments)
    assert done.exit_code == 0
    assert f"{wavs}: audio in formats that are not read is passed over (1 .m4a); convert it: ffmpeg " in done.stderr
    assert done.stderr.endswith(f"written: {tmp_path}/c.h5 (1 recording)\n")
    assert [*codes_of(tmp_path / "c.h5", "quant2")] == ["a"]
    before = (tmp_path / "c.h5").read_bytes()
    assert "c.h5 is there already" in str(run(*arguments).exception)
    assert run(*arguments, "--overwrite").exit_code == 0
    assert (tmp_path / "c.h5").read_bytes() == before
