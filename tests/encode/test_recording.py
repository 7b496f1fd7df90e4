"""Units of recordings: against the workflow's own codes, the network asked directly, and the dump of the release."""

import json
import os
import subprocess
import sys
from pathlib import Path

import numpy as np
import pytest
import soundfile
import torch
from encode.recordings import LAYERS, LENGTHS, codes_of, model_of, run

from resdavenet_vq import SpeechEncoder
from resdavenet_vq.config import Recipe
from resdavenet_vq.corpus import textgrid
from resdavenet_vq.data import features
from resdavenet_vq.data.audio import read_wav
from resdavenet_vq.data.recording import Recording
from resdavenet_vq.encode import recording as recordings
from resdavenet_vq.encode.recording import RecordingEncoder
from resdavenet_vq.encode.split import encode
from resdavenet_vq.errors import InputError
from resdavenet_vq.model import checkpoint
from resdavenet_vq.model.audio import ReceptiveField

REPO = Path(__file__).resolve().parents[2]
DATA = REPO / "tests/golden"


def test_units_are_those_of_the_workflow(folder, workflows):
    model = SpeechEncoder.from_pretrained(folder / "model")
    for layer, period in (("quant2", 0.02), ("quant3", 0.04)):
        for name, expected in codes_of(workflows[0], layer).items():
            found = model.encode(folder / "wavs" / f"{name}.wav", layer)
            np.testing.assert_array_equal(found.codes, expected)
            assert (found.layer, found.frame_period, found.duration) == (layer, period, LENGTHS[name] / 16000)
    assert model.encode(str(folder / "wavs/a.wav")).layer == "quant2"


def test_frames_and_runs_have_their_times(folder):
    found = SpeechEncoder.from_pretrained(folder / "model").encode(folder / "wavs/a.wav")
    np.testing.assert_allclose(found.onsets, 0.02 * np.arange(len(found.codes)))
    np.testing.assert_allclose(found.offsets, found.onsets + 0.02)
    codes, _, _, frames = zip(*found.runs, strict=True)
    assert np.repeat(codes, frames).tolist() == found.codes.tolist()
    assert all(a.offset == b.onset and a.code != b.code for a, b in zip(found.runs, found.runs[1:], strict=False))
    assert all(run.offset - run.onset == pytest.approx(0.02 * run.frames) for run in found.runs)
    centred = SpeechEncoder.from_pretrained(folder / "model").encode(folder / "wavs/a.wav", frame_time="centred")
    assert (centred.onsets[0], centred.onsets[1], centred.offsets[0]) == (0, 0.01, 0.01)


def layers_of(model, logmel):
    with torch.inference_mode():
        return model.network.audio(torch.from_numpy(logmel.T.copy())[None], torch.tensor([len(logmel)])).layers


@pytest.mark.parametrize("frames_at_once", [1, 16, 50, 333, 1 << 20])
@pytest.mark.parametrize("whole", [0, 1 << 30])
@pytest.mark.parametrize("name_of_model", ["model", "normalized"])
def test_pieces_are_one_pass(folder, name_of_model, frames_at_once, whole):
    """However a recording is cut, also where its features are computed block by block, and normalised as a whole."""
    model = RecordingEncoder.load(folder / name_of_model)
    for name in ("sub/deep/e.x", "sub/d", "b"):
        recording = Recording(folder / "wavs" / f"{name}.wav", whole=whole if LENGTHS[name] > 1000 else 1 << 30)
        logmel = model.rounded(features.log_mel(read_wav(recording.path)))
        once = layers_of(model, logmel)
        parts = [*model.parts(recording, LAYERS, frames_at_once)]
        for layer in LAYERS:
            n = int(once[layer].n_frames)
            starts = np.cumsum([0, *(len(part[layer].vectors) for part in parts)])
            numbers = [part[layer].start for part in parts if len(part[layer].vectors)]
            assert numbers == sorted({*starts[:-1].tolist()} - {n})
            vectors = np.concatenate([part[layer].vectors for part in parts])
            np.testing.assert_allclose(vectors, once[layer].vectors[0, :, :n].T, rtol=1e-5, atol=1e-5)
            if once[layer].codes is not None:
                found = np.concatenate([part[layer].codes for part in parts])
                np.testing.assert_array_equal(found, once[layer].codes[0, :n])


def test_normalised_units_are_those_of_the_workflow(folder, tmp_path):
    """In batches, one by one, and in a padded context whose padding is 0 after normalisation whatever it was."""
    model = SpeechEncoder.from_pretrained(folder / "normalized")
    for switches in ({"context": "cropped"}, {"context": "padded"}, {"context": "padded", "pad_value": "floor"}):
        name = "-".join(switches.values())
        encode(folder / "normalized", folder / "split.h5", codes=tmp_path / name, recipe=Recipe(**switches))
    for name in LENGTHS:
        found = model.encode(folder / "wavs" / f"{name}.wav", "quant3")
        np.testing.assert_array_equal(found.codes, codes_of(tmp_path / "cropped", "quant3")[name])
        np.testing.assert_array_equal(
            codes_of(tmp_path / "padded", "quant3")[name], codes_of(tmp_path / "padded-floor", "quant3")[name]
        )


def test_pieces_without_their_context_would_differ(folder, monkeypatch):
    """So that the test above can fail."""
    model, recording = RecordingEncoder.load(folder / "model"), Recording(folder / "wavs/sub/deep/e.x.wav")
    right = np.concatenate([part["quant3"].codes for part in model.parts(recording, ["quant3"], 64)])
    monkeypatch.setattr(recordings, "receptive_field", lambda *_: ReceptiveField(0, 0))
    wrong = np.concatenate([part["quant3"].codes for part in model.parts(recording, ["quant3"], 64)])
    assert (right != wrong).any()


def test_any_rate_and_channels_as_preparation_reads_them(folder, tmp_path):
    rng = np.random.default_rng(1)
    model = RecordingEncoder.load(folder / "model")
    for rate, channels, name in ((44_100, 2, "s.flac"), (8000, 1, "n.wav"), (22_050, 3, "t.wav")):
        path = tmp_path / name
        soundfile.write(path, rng.normal(size=(rate, channels)) * 0.1, rate)
        logmel = model.rounded(features.log_mel(read_wav(path)))
        expected = layers_of(model, logmel)["quant2"]
        assert (
            model.units(Recording(path), ["quant2"])["quant2"].codes.tolist()
            == expected.codes[0, : int(expected.n_frames)].tolist()
        )


def test_features_are_rounded_as_the_models_were(folder, tmp_path):
    model = model_of((2,))
    for card, precision in (
        ({}, "float16"),
        ({"released": True}, "float32"),
        ({"features": {"precision": "float32"}}, "float32"),
    ):
        checkpoint.save(tmp_path / precision, model, card)
        assert RecordingEncoder.load(tmp_path / precision).precision == precision
    assert RecordingEncoder.load(folder / "model", precision="float32").precision == "float32"


def test_models_files_and_layers_that_cannot_be_used(folder, tmp_path):
    soundfile.write(tmp_path / "still.wav", np.zeros(9000), 16000)
    broken = model_of((2,))
    with torch.no_grad():
        next(broken.audio.parameters())[0] = torch.nan
    checkpoint.save(tmp_path / "broken", broken, {})
    wav = folder / "wavs/a.wav"
    for model, path, layer, message in (
        (folder / "none", wav, None, "no quantizer is on in this model"),
        (tmp_path / "nowhere", wav, None, r"nowhere.model\.json: no such file"),
        (folder / "model", tmp_path / "none.wav", None, r"none\.wav: no such file"),
        (folder / "model", tmp_path / "still.wav", None, r"still\.wav: silent"),
        (tmp_path / "broken", wav, None, r"conv1 is not finite for .*a\.wav; was the model trained to divergence"),
        (folder / "model", wav, "quant4", r"quant4 is off in this model \(on: quant2, quant3\)"),
        (folder / "model", wav, "conv2", "conv2 has vectors but no codes; units are those of quant2, quant3"),
        (folder / "model", wav, "quant9", "'quant9' is no layer"),
    ):
        with pytest.raises(InputError, match=message):
            SpeechEncoder.from_pretrained(model).encode(path, layer)


@pytest.mark.parametrize("form", ["json", "jsonl", "textgrid", "npy"])
def test_encode_prints_and_writes_every_format(folder, workflows, tmp_path, form):
    options = ["encode", folder / "wavs/a.wav", "--model", folder / "model", "--format", form]
    assert run(*options, "--out", tmp_path).exit_code == 0
    quant2, quant3 = (codes_of(workflows[0], layer)["a"].tolist() for layer in ("quant2", "quant3"))
    if form in ("json", "jsonl"):
        assert run(*options).stdout == (tmp_path / f"a.{form}").read_text()
    match form:
        case "json":
            value = json.loads((tmp_path / "a.json").read_text())
            assert value["duration"] == LENGTHS["a"] / 16000
            codes = {name: layer["codes"] for name, layer in value["layers"].items()}
            assert codes == {"quant2": quant2, "quant3": quant3}
            assert value["layers"]["quant3"]["units"][0]["onset"] == 0
        case "jsonl":
            row, other = map(json.loads, (tmp_path / "a.jsonl").read_text().splitlines())
            assert (row["id"], row["layer"], other["id"], other["layer"]) == ("a", "quant2", "a", "quant3")
            assert np.repeat(row["units"], row["frames"]).tolist() == quant2
            assert sum(row["durations"]) == pytest.approx(0.02 * sum(row["frames"]))
        case "npy":
            assert np.load(tmp_path / "a.quant2.npy").tolist() == quant2
            assert np.load(tmp_path / "a.quant3.npy").tolist() == quant3
        case _:
            tiers = textgrid.read(tmp_path / "a.TextGrid")
            assert list(tiers) == ["quant2", "quant3"]
            frames = [round((interval.end - interval.start) / 0.02) for interval in tiers["quant2"]]
            assert np.repeat([int(interval.label) for interval in tiers["quant2"]], frames).tolist() == quant2


def test_encode_takes_several_files_and_layers(folder):
    options = ("--model", folder / "model", "--layer", "quant2", "--format", "jsonl")
    lines = run("encode", folder / "wavs/a.wav", folder / "wavs/b.wav", *options).stdout.splitlines()
    assert [(row["id"], row["layer"]) for row in map(json.loads, lines)] == [("a", "quant2"), ("b", "quant2")]


def test_encode_refuses_results_that_would_overwrite_each_other_or_have_no_place(folder, tmp_path):
    files = [folder / "wavs/a.wav", tmp_path / "a.flac"]
    assert isinstance(run("encode", *files, "--model", folder / "model", "--out", tmp_path / "o").exception, InputError)
    assert "needs --out" in str(run("encode", files[0], "--model", folder / "model", "--format", "npy").exception)


def test_importing_the_package_is_light():
    code = (
        "import sys, resdavenet_vq; assert resdavenet_vq.InputError\n"
        "assert not {'torch', 'numpy', 'h5py', 'pydantic'} & set(sys.modules), sys.modules.keys()\n"
        "from resdavenet_vq.encode import audio_files, codes, embeddings, exports, features, maps, units\n"
        "from resdavenet_vq.zerospeech import submission, validation\n"
        "assert 'torch' not in sys.modules"
    )
    subprocess.run([sys.executable, "-c", code], cwd=REPO, check=True)


@pytest.mark.parametrize("seconds", [600, pytest.param(3600, marks=pytest.mark.thorough)])
def test_long_recordings_are_encoded_in_the_memory_of_a_piece(folder, tmp_path, seconds):
    """Speech, or what is like it, of ten minutes and an hour, needs no more memory than of two minutes."""
    speech, rate = soundfile.read(DATA / "features/speechlike_16k.wav", dtype="int16")
    for name, length in (("short", 120), ("long", seconds)):
        with soundfile.SoundFile(tmp_path / f"{name}.wav", "w", rate, 1) as out:
            while out.frames < length * rate:
                out.write(speech)
    code = (
        "import sys; from data.hostile import most_memory; from resdavenet_vq import SpeechEncoder\n"
        "model = SpeechEncoder.from_pretrained(sys.argv[1])\n"
        "for path in sys.argv[2:]: print(len(model.encode(path).codes), most_memory())"
    )
    environment = os.environ | {"PYTHONPATH": f"{REPO}:{REPO / 'tests'}"}
    command = [sys.executable, "-c", code, folder / "model", *(tmp_path / f"{name}.wav" for name in ("short", "long"))]
    done = subprocess.run(command, env=environment, check=True, capture_output=True, text=True)
    (_, before), (n, most) = (map(int, line.split()) for line in done.stdout.splitlines())
    assert n >= 50 * seconds
    assert most - before < 50_000_000, "an hour is 230 MB as floats, and its features 58 MB"
