"""The public encoder of speech: whatever form a recording has, its units are those of the file."""

import io
import re
import subprocess
import sys
from pathlib import Path

import numpy as np
import pytest
import soundfile
import torch

import resdavenet_vq
from resdavenet_vq import DualEncoder, InputError, SpeechEncoder
from resdavenet_vq.data.audio import read_wav
from resdavenet_vq.data.features import log_mel
from resdavenet_vq.encode.units import runs

REPO = Path(__file__).resolve().parents[2]


@pytest.fixture(scope="module")
def encoder(folder):
    return SpeechEncoder.from_pretrained(folder / "model")


def layers_of(encoder, path):
    """Every layer (F, C) and codes, by the network asked directly, one recording at a time."""
    logmel = log_mel(read_wav(path)).astype(np.float16).astype(np.float32)
    with torch.inference_mode():
        output = encoder._model.network.audio(torch.from_numpy(logmel.T.copy())[None], torch.tensor([len(logmel)]))
    return {
        name: (
            x.vectors[0, :, : int(x.n_frames)].T.numpy(),
            x.codes if x.codes is None else x.codes[0, : int(x.n_frames)].numpy(),
        )
        for name, x in output.layers.items()
    }


def test_every_form_of_a_recording_gives_the_units_of_the_file(encoder, wavs):
    for path in wavs[:2]:
        expected = encoder.encode(path).codes.tolist()
        assert len(set(expected)) > 1
        samples, ints = (soundfile.read(path, dtype=dtype)[0] for dtype in ("float32", "int16"))
        for form in (str(path), path.read_bytes(), io.BytesIO(path.read_bytes())):
            assert encoder.encode(form).codes.tolist() == expected
        with path.open("rb") as file:
            assert encoder.encode(file).codes.tolist() == expected
        forms = [samples, ints, ints.astype(np.int32) << 16, samples[None], samples[:, None], samples.astype(float)]
        forms += [torch.from_numpy(samples), torch.from_numpy(samples).requires_grad_(), torch.from_numpy(ints)]
        for form in forms:
            assert encoder.encode(form, sample_rate=16_000).codes.tolist() == expected


@pytest.mark.parametrize("rate", [8000, 22_050, 44_100])
def test_samples_of_other_rates_are_resampled_as_files_are(encoder, tmp_path, rate):
    samples = (np.random.default_rng(rate).normal(size=rate) * 3000).astype(np.int16)
    soundfile.write(tmp_path / "a.wav", samples, rate)
    file, array = encoder.encode(tmp_path / "a.wav"), encoder.encode(samples, sample_rate=float(rate))
    assert (array.codes.tolist(), array.duration) == (file.codes.tolist(), file.duration)


def test_a_list_is_as_if_each_were_alone(encoder, wavs):
    given = [*wavs, wavs[0].read_bytes(), soundfile.read(wavs[2])[0]]
    for layer in ("quant2", "quant3"):
        units = encoder.encode(given, layer, sample_rate=16_000)
        for one, path in zip(units, [*wavs, wavs[0], wavs[2]], strict=True):
            assert one.codes.tolist() == layers_of(encoder, path)[layer][1].tolist()
    assert [str(one.path) for one in units] == [*map(str, wavs), "recording 5", "recording 6"]
    assert [one["quant3"].codes.tolist() for one in encoder.encode_layers(wavs)] == [
        u.codes.tolist() for u in units[:5]
    ]
    np.testing.assert_allclose(encoder.embed(wavs), np.stack([encoder.embed(path) for path in wavs]), rtol=1e-5)
    assert encoder.encode([]) == []
    assert encoder.embed([]).shape == (0, 10)


def test_features_are_the_layers_and_the_embedding_their_mean(encoder, wavs):
    assert encoder.layers == ("conv1", "conv2", "quant2", "conv3", "quant3", "conv4", "conv5")
    for path in wavs:
        expected = layers_of(encoder, path)
        assert tuple(expected) == encoder.layers
        for name, (vectors, codes) in expected.items():
            frames = encoder.features(path, name)
            np.testing.assert_allclose(frames.vectors, vectors, rtol=1e-5, atol=1e-5)
            assert len(frames.onsets) == len(frames.offsets) == len(vectors)
            if codes is not None:
                np.testing.assert_array_equal(frames.vectors, encoder.codebook(name)[codes])
        np.testing.assert_array_equal(encoder.features(path).vectors, encoder.features(path, "conv5").vectors)
        np.testing.assert_allclose(encoder.embed(path), expected["conv5"][0].mean(axis=0), rtol=1e-5, atol=1e-6)


def test_units_in_runs_have_their_durations(encoder, wavs):
    units = encoder.encode(wavs[0])
    assert [run.frames for run in units.runs] == runs(units.codes).length.tolist()
    assert sum(run.duration for run in units.runs) == pytest.approx(units.offsets[-1])


def test_bfloat16_is_close(folder, encoder, wavs):
    other = SpeechEncoder.from_pretrained(folder / "model", device="cpu", dtype=torch.bfloat16)
    # conv2: behind a quantizer, a code that differs makes a leap
    exact, close = encoder.features(wavs[0], "conv2").vectors, other.features(wavs[0], "conv2").vectors
    assert close.dtype == np.float32
    assert 0 < np.abs(exact - close).max() < 0.05 * np.abs(exact).max()


@pytest.mark.parametrize(
    ("audio", "options", "message"),
    [
        (np.zeros(16_000), {}, r"^the recording: needs sample_rate=, in Hz; only files state their own$"),
        (np.zeros(0), {"sample_rate": 16_000}, "no samples"),
        (np.zeros(16_000), {"sample_rate": 16_000}, "silent, all samples are equal"),
        (np.array([0.1, np.nan] * 200), {"sample_rate": 16_000}, "contains NaN or infinite samples"),
        (np.array([0.1, np.inf] * 200), {"sample_rate": 16_000}, "contains NaN or infinite samples"),
        (np.eye(3), {"sample_rate": 16_000}, r"shape \(3, 3\) may be channels or several recordings"),
        (np.ones((2, 2, 2)), {"sample_rate": 16_000}, r"samples have the shape \(n,\), not \(2, 2, 2\)"),
        (np.arange(9), {"sample_rate": 16_000}, "samples of type int64 are not read; convert them to one of int16"),
        (np.arange(9) % 2 == 0, {"sample_rate": 16_000}, "samples of type bool are not read"),
        (np.arange(9.0), {"sample_rate": 16}, "a sample_rate of 16 Hz is not that of speech"),
        (np.arange(9.0), {"sample_rate": 16_000.5}, r"a sample_rate of 16000\.5 Hz"),
        (np.arange(9.0), {"sample_rate": "CD"}, "a sample_rate of CD Hz"),
        (torch.zeros(160), {}, "needs sample_rate="),
        ("0.wav", {"sample_rate": 16_000}, "sample_rate= is of arrays of samples; files state their own"),
        ("nowhere.wav", {}, r"nowhere\.wav: no such file"),
        (b"RIFF", {}, "^the recording: truncated"),
        (b"", {}, "^the recording: "),
        (io.StringIO("text"), {}, r"^the recording: is opened as text; open it with mode 'rb'"),
        (7, {}, "the recording: is of type int; give a path, an open file, bytes, an array of samples, or a list"),
        ([0.1, 0.2], {}, r"2 of 2 recordings cannot be used:\nrecording 0: is of type float"),
        (
            ["0.wav", b"x", "nowhere.wav"],
            {},
            r"2 of 3 recordings cannot be used:\nrecording 1: (.|\n)*nowhere\.wav: no such",
        ),
    ],
)
def test_what_cannot_be_encoded_is_named(encoder, folder, monkeypatch, audio, options, message):
    monkeypatch.chdir(folder)
    for call in (encoder.encode, encoder.encode_layers, encoder.features, encoder.embed):
        if isinstance(audio, io.StringIO):
            audio.seek(0)
        with pytest.raises(InputError, match=message) as e:
            call(audio, **options)
        assert "/tmp" not in str(e.value), "files that stand for bytes are ours alone"


def test_layers_that_are_not_there(folder, encoder, wavs):
    for call, message in (
        (lambda: encoder.encode(wavs[0], "conv2"), "conv2 has vectors but no codes"),
        (lambda: encoder.encode(wavs[0], "quant4"), r"quant4 is off in this model \(on: quant2, quant3\)"),
        (lambda: encoder.features(wavs[0], "conv7"), "'conv7' is no layer"),
        (lambda: encoder.codebook("quant5"), "quant5 is off"),
        (lambda: SpeechEncoder.from_pretrained(folder / "none").encode(wavs[0]), "no quantizer is on in this model"),
    ):
        with pytest.raises(InputError, match=message):
            call()
    assert SpeechEncoder.from_pretrained(folder / "none").features(wavs[0], "conv2").vectors.shape[1] == 6


def test_public_names_are_all_there_and_cost_nothing():
    code = (
        "import sys, resdavenet_vq\n"
        "print(sorted({'torch', 'numpy', 'h5py', 'pydantic', 'PIL'} & set(sys.modules)))\n"
        "print([name for name in resdavenet_vq.__all__ if getattr(resdavenet_vq, name) is None])"
    )
    done = subprocess.run([sys.executable, "-c", code], cwd=REPO, check=True, capture_output=True, text=True)
    assert done.stdout.split("\n")[:2] == ["[]", "[]"]
    assert not hasattr(resdavenet_vq, "load_model")
    assert (Path(resdavenet_vq.__file__).parent / "py.typed").exists()


def test_the_examples_of_the_page_run(folder, tmp_path, monkeypatch, capsys):
    """One after another, as a person would type them, with a small model and made-up files in the place of a run's."""
    for name, source in (("recording.wav", "0.wav"), ("picture.png", "0.png"), ("other.png", "1.png")):
        (tmp_path / name).write_bytes((folder / source).read_bytes())
    (tmp_path / "results/spoken_scenes/none-2-23").mkdir(parents=True)
    DualEncoder.from_pretrained(folder / "model").save_pretrained(tmp_path / "results/spoken_scenes/none-2-23/model")
    monkeypatch.chdir(tmp_path)
    for page in ("api.md", "units.md"):
        text = (REPO / "docs" / page).read_text()
        snippets = re.findall(r"^```python\n(.*?)^```", text, re.MULTILINE | re.DOTALL)
        variables = {}
        for snippet in snippets:
            exec(compile(snippet, f"docs/{page}", "exec"), variables)
        assert len(snippets) >= {"api.md": 7, "units.md": 1}[page]
    printed = capsys.readouterr().out
    assert "the recording: needs sample_rate=, in Hz; only files state their own" in printed
    assert printed.startswith(
        "SpeechEncoder(\n  lineage: {}->{2,3}\n  layers: conv1 (10 ms), conv2 (20 ms), quant2 (20 ms, 12"
    )
    assert sorted(path.name for path in Path("shared").iterdir()) == ["README.md", "model.json", "model.safetensors"]
