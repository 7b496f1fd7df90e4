import contextlib
import struct
from pathlib import Path

import librosa
import numpy as np
import oracles.data as oracle_data
import pytest
import soundfile
from hypothesis import given, settings
from hypothesis import strategies as st

from resdavenet_vq.data import features
from resdavenet_vq.data.wav import read_plain
from resdavenet_vq.errors import InputError

GOLDEN = Path(__file__).parents[1] / "golden" / "features"
EXPECTED = np.load(GOLDEN / "expected.npz")


@pytest.mark.parametrize("name", sorted(p.stem for p in GOLDEN.glob("*.wav")))
def test_golden_log_mel(name):
    expected = EXPECTED[f"{name}.logmel"].T
    logmel = features.log_mel(features.read_wav(GOLDEN / f"{name}.wav"))
    if name == "long_16k":
        assert len(logmel) == 2101, "cut later, not here"
        logmel = logmel[:2048]
    assert logmel.dtype == np.float32
    assert logmel.shape == expected.shape == (EXPECTED[f"{name}.n_frames"], 40)
    if name.endswith("16k"):
        assert abs(logmel - expected).max() < 1e-3
    else:
        assert abs(logmel - expected)[expected > -80].max() < 0.05


def test_golden_plot_spectrogram():
    expected = np.load(GOLDEN / "plot_spectrogram.npz")["speechlike_16k"]
    spectrogram = features.plot_spectrogram(features.read_wav(GOLDEN / "speechlike_16k.wav"))
    assert spectrogram.shape == (513, 1 + 37920 // 32)
    assert abs(spectrogram[::4, ::4] - expected).max() < 0.01


@pytest.mark.parametrize("n", [1, 2, 159, 160, 199, 200, 201, 202, 400, 3000])
def test_log_mel_is_its_definition(n):
    samples = np.random.default_rng(n).normal(size=n).astype(np.float32) + 0.5
    logmel = features.log_mel(samples)
    assert len(logmel) == features.frame_count(n)
    expected = oracle_data.log_mel(samples)
    assert abs(logmel - expected)[expected > -60].max() < 4e-4
    assert (
        abs(logmel - expected).max() < 5e-3
    )  # two samples are a pure tone, with bands at the rounding error of float32


def test_mel_bands_are_librosas():
    expected = librosa.filters.mel(sr=16000, n_fft=400, n_mels=40, fmin=20, fmax=8000)
    assert abs(features._mel_bands().toarray() - expected).max() < 1e-8


@given(st.integers(0, 5000))
def test_frame_count(n):
    assert features.frame_count(n) == len(features._frames(np.zeros(n, np.float32), 400, 160))


@pytest.mark.parametrize("samples", [np.zeros(0), np.zeros(700), np.full(700, 0.3)])
def test_silence_is_all_0_db(samples):
    assert not features.log_mel(samples.astype(np.float32)).any()


def test_level_does_not_matter():
    samples = np.random.default_rng(0).normal(size=4000).astype(np.float32)
    assert abs(features.log_mel(samples) - features.log_mel(samples / 4)).max() < 1e-3


@pytest.mark.parametrize(
    ("subtype", "tolerance"), [("PCM_16", 1e-4), ("PCM_24", 1e-6), ("PCM_U8", 0.01), ("FLOAT", 1e-7), ("DOUBLE", 1e-7)]
)
def test_sample_formats(tmp_path, subtype, tolerance):
    samples = np.random.default_rng(0).uniform(-0.9, 0.9, 1000)
    soundfile.write(tmp_path / "a.wav", samples, 16000, subtype=subtype)
    audio = features.read_wav(tmp_path / "a.wav")
    assert audio.dtype == np.float32
    assert abs(audio - samples).max() < tolerance


def test_other_containers_are_read(tmp_path):
    soundfile.write(tmp_path / "a.flac", np.zeros((1600, 2)), 16000)
    assert len(features.read_wav(tmp_path / "a.flac")) == 1600


def wav_bytes(tmp_path, n=1000):
    soundfile.write(tmp_path / "whole.wav", np.random.default_rng(0).uniform(-0.9, 0.9, n), 16000)
    return (tmp_path / "whole.wav").read_bytes()


@pytest.mark.parametrize("cut", [0, 3, 11, 20, 43, 44, 45, 1000, 2043])
def test_truncated_wav_is_refused(tmp_path, cut):
    path = tmp_path / "short.wav"
    path.write_bytes(wav_bytes(tmp_path)[:cut])
    with pytest.raises(InputError, match=r"short\.wav: (is empty|truncated|cannot be read)"):
        features.read_wav(path)


@pytest.mark.parametrize("cut", [50, 500, 1200])
def test_truncated_flac_is_refused(tmp_path, cut):
    soundfile.write(tmp_path / "a.flac", np.random.default_rng(0).uniform(-0.9, 0.9, 1000), 16000)
    (tmp_path / "a.flac").write_bytes((tmp_path / "a.flac").read_bytes()[:cut])
    with pytest.raises(InputError, match=r"a\.flac: "):
        features.read_wav(tmp_path / "a.flac")


def test_bytes_after_the_audio_and_chunks_before_it_are_accepted(tmp_path):
    data = wav_bytes(tmp_path)
    extra = b"LIST" + struct.pack("<I", 5) + b"INFOx\0"
    data = data[:12] + extra + data[12:] + extra
    (tmp_path / "a.wav").write_bytes(data)
    assert len(features.read_wav(tmp_path / "a.wav")) == 1000


def test_faults_are_named(tmp_path):
    def refused(data, match, **options):
        path = tmp_path / "bad.wav"
        if isinstance(data, bytes):
            path.write_bytes(data)
        else:
            soundfile.write(path, *data, subtype="FLOAT")
        with pytest.raises(InputError, match=rf"bad\.wav: {match}"):
            features.read_wav(path, **options)

    refused(b"<html>", "cannot be read as audio")
    refused((np.array([0, np.nan, 1.0]), 16000), "contains NaN")
    refused((np.array([0, np.inf, 1.0]), 16000), "contains NaN")
    refused((np.zeros(0), 16000), "no samples", allow_silent=False)
    refused((np.full(100, 0.25), 44100), "silent", allow_silent=False)
    refused((np.zeros(100), 1), "a sample rate of 1 Hz")
    with pytest.raises(InputError, match="no such file"):
        features.read_wav(tmp_path / "none.wav")
    with pytest.raises(InputError, match=r"is no regular file|cannot be read"):
        features.read_wav(tmp_path)


@settings(deadline=None)  # a busy machine is no fault
@given(st.binary(max_size=200))
def test_any_bytes_are_read_or_refused(tmp_path_factory, data):
    path = tmp_path_factory.getbasetemp() / "fuzz.wav"
    path.write_bytes(b"RIFF\xff\0\0\0WAVE" + data)
    with contextlib.suppress(InputError):
        features.log_mel(features.read_wav(path))


@pytest.mark.parametrize("channels", [1, 2, 3])
@pytest.mark.parametrize(("rate", "n"), [(16000, 5000), (8000, 777), (44100, 1), (16000, 0), (2000, 400)])
def test_plain_wavs_give_the_numbers_of_libsndfile(tmp_path, channels, rate, n):
    sound = np.random.default_rng(0).integers(-(2**15), 2**15, (n, channels), np.int16)
    soundfile.write(tmp_path / "a.wav", sound, rate, subtype="PCM_16")
    found = read_plain(tmp_path / "a.wav")
    if not n:
        assert found is None
        return
    assert found[0] == rate
    np.testing.assert_array_equal(found[1], sound)
    if rate == 16000:
        expected, _ = soundfile.read(tmp_path / "a.wav", dtype="float32", always_2d=True)
        np.testing.assert_array_equal(
            features.read_wav(tmp_path / "a.wav"), expected[:, 0] if channels == 1 else expected.mean(axis=1)
        )


def chunk(name, data, size=None):
    return name + (len(data) if size is None else size).to_bytes(4, "little") + data


FMT = b"\1\0\1\0" + (16000).to_bytes(4, "little") + (32000).to_bytes(4, "little") + b"\2\0\20\0"


@pytest.mark.parametrize(
    ("content", "plain"),
    [
        (chunk(b"fmt ", FMT) + chunk(b"data", b"\1\2\3\4"), True),
        (chunk(b"LIST", b"odd") + b"\0" + chunk(b"fmt ", FMT + b"\0\0") + chunk(b"data", b"\1\2"), True),
        (chunk(b"data", b"\1\2") + chunk(b"fmt ", FMT), False),
        (chunk(b"fmt ", FMT) + chunk(b"data", b"\1\2\3"), False),
        (chunk(b"fmt ", FMT) + chunk(b"data", b"\1\2", 4), False),
        (chunk(b"fmt ", FMT) + chunk(b"data", b"\1\2", 0xFFFFFFFF), False),
        (chunk(b"fmt ", FMT) + chunk(b"data", b"\1\2") + chunk(b"LIST", b"more"), False),
        (chunk(b"fmt ", b"\3" + FMT[1:]) + chunk(b"data", b"\1\2"), False),
        (chunk(b"fmt ", FMT[:14] + b"\30\0") + chunk(b"data", b"\1\2\3"), False),
        (chunk(b"fmt ", FMT[:12] + b"\4\0\20\0") + chunk(b"data", b"\1\2\3\4"), False),
        (chunk(b"fmt ", FMT[:2] + b"\0\0" + FMT[4:]) + chunk(b"data", b"\1\2"), False),
        (chunk(b"fmt ", FMT[:10]), False),
        (b"", False),
    ],
)
def test_what_is_a_plain_wav(tmp_path, content, plain):
    path = tmp_path / "a.wav"
    path.write_bytes(b"RIFF" + (4 + len(content)).to_bytes(4, "little") + b"WAVE" + content)
    assert (read_plain(path) is not None) == plain
    assert read_plain(tmp_path) is None
    assert read_plain(tmp_path / "none.wav") is None
    path.write_bytes(b"RIFX" + path.read_bytes()[4:])
    assert read_plain(path) is None
