"""Audio files: what is read and refused; recordings in blocks are the recording at once, bit for bit."""

import contextlib
import os
import struct
import tracemalloc
from pathlib import Path

import numpy as np
import pytest
import soundfile
from hypothesis import given, settings
from hypothesis import strategies as st

from resdavenet_vq.data import audio, features
from resdavenet_vq.data.audio import read_wav
from resdavenet_vq.data.recording import Recording
from resdavenet_vq.errors import InputError

WAVS = Path(__file__).parents[1] / "golden/features"


@pytest.mark.parametrize(
    ("subtype", "tolerance"), [("PCM_16", 1e-4), ("PCM_24", 1e-6), ("PCM_U8", 0.01), ("FLOAT", 1e-7), ("DOUBLE", 1e-7)]
)
def test_sample_formats(tmp_path, subtype, tolerance):
    samples = np.random.default_rng(0).uniform(-0.9, 0.9, 1000)
    soundfile.write(tmp_path / "a.wav", samples, 16000, subtype=subtype)
    read = read_wav(tmp_path / "a.wav")
    assert read.dtype == np.float32
    assert abs(read - samples).max() < tolerance


def test_other_containers_are_read(tmp_path):
    soundfile.write(tmp_path / "a.flac", np.zeros((1600, 2)), 16000)
    assert len(read_wav(tmp_path / "a.flac")) == 1600


def written(path):
    soundfile.write(path, np.random.default_rng(0).uniform(-0.9, 0.9, 1000), 16000)
    return path


@pytest.mark.parametrize("cut", [0, 3, 11, 20, 43, 44, 45, 1000, 2043])
def test_truncated_wav_is_refused(tmp_path, cut):
    path = written(tmp_path / "short.wav")
    os.truncate(path, cut)
    for read in (read_wav, Recording):
        with pytest.raises(InputError, match=r"short\.wav: (is empty|truncated|cannot be read)"):
            read(path)


@pytest.mark.parametrize("cut", [50, 500, 1200])
def test_truncated_flac_is_refused(tmp_path, cut):
    path = written(tmp_path / "a.flac")
    os.truncate(path, cut)
    with pytest.raises(InputError, match=r"a\.flac: "):
        read_wav(path)


def without_length(path, samples, rate=16000):
    """A FLAC file as encoders write it to a pipe: the number of samples (36 bits) and the checksum are 0."""
    soundfile.write(path, samples, rate)
    data = bytearray(path.read_bytes())
    data[21] &= 0xF0
    data[22:42] = bytes(20)
    path.write_bytes(data)
    return path


@pytest.mark.parametrize(("n", "channels", "rate"), [(50_000, 1, 16000), (1001, 1, 16000), (9999, 2, 44100)])
def test_flac_without_a_length_is_read_to_its_end(tmp_path, small_blocks, n, channels, rate):
    sound = noise(n, channels)
    path = without_length(tmp_path / "a.flac", sound, rate)
    soundfile.write(tmp_path / "b.flac", sound, rate)
    expected = read_wav(tmp_path / "b.flac")
    np.testing.assert_array_equal(read_wav(path), expected)
    assert audio.length_of_wav(path) == len(expected)
    recording = Recording(path, allow_silent=True, whole=0)
    assert recording.n_samples == len(expected)
    np.testing.assert_array_equal(np.concatenate([*recording.log_mel()]), features.log_mel(expected))
    whole = np.concatenate([*audio.read_channels(tmp_path / "b.flac", "int16")])
    np.testing.assert_array_equal(np.concatenate([*audio.read_channels(path, "int16")]), whole)


def test_flac_without_a_length_may_be_neither_cut_nor_damaged_nor_too_long(tmp_path, monkeypatch):
    path = without_length(tmp_path / "a.flac", noise(50_000))
    data = path.read_bytes()
    for bad in (*(data[:cut] for cut in (50, 5000, len(data) - 5)), data[:9000] + b"\0" + data[9001:]):
        path.write_bytes(bad)
        for read in (read_wav, Recording, audio.length_of_wav):
            with pytest.raises(InputError, match=r"a\.flac: cannot be read as audio \("):
                read(path)
    path.write_bytes(data)
    monkeypatch.setattr(audio, "MAX_SECONDS", 2)
    monkeypatch.setattr(audio, "MAX_RECORDING_SECONDS", 2)
    for read in (read_wav, Recording, audio.length_of_wav):
        with pytest.raises(
            InputError, match=r"has at least 50000 samples .*, more than the 32000 that are read; cut it"
        ):
            read(path)


def test_bytes_after_the_audio_and_chunks_before_it_are_accepted(tmp_path):
    data, extra = written(tmp_path / "a.wav").read_bytes(), b"LIST" + struct.pack("<I", 5) + b"INFOx\0"
    (tmp_path / "a.wav").write_bytes(data[:12] + extra + data[12:] + extra)
    assert len(read_wav(tmp_path / "a.wav")) == 1000


TONE = np.sin(np.arange(5000))


@pytest.mark.parametrize(
    ("content", "rate", "message"),
    [
        (b"\0\1\2" * 9, 0, "cannot be read as audio"),
        (np.r_[TONE, np.nan, TONE], 16000, "contains NaN or infinite"),
        (np.r_[TONE, np.inf, TONE], 16000, "contains NaN or infinite"),
        (np.zeros(0), 16000, "no samples"),
        (np.full(5000, 0.25), 44100, "silent, all samples are equal"),
        (np.zeros(100), 1, "a sample rate of 1 Hz"),
        (None, 0, "no such file"),
    ],
)
def test_faults_are_named_at_once_and_in_blocks(tmp_path, small_blocks, content, rate, message):
    path = tmp_path / "bad.wav"
    if isinstance(content, bytes):
        path.write_bytes(content)
    elif content is not None:
        soundfile.write(path, content, rate, subtype="FLOAT")
    for read in (lambda: Recording(path), lambda: read_wav(path, allow_silent=False)):
        with pytest.raises(InputError, match=rf"bad\.wav: {message}"):
            read()


def test_a_folder_is_no_audio(tmp_path):
    with pytest.raises(InputError, match=r"is no regular file|cannot be read"):
        read_wav(tmp_path)


@given(st.binary(max_size=200))
def test_any_bytes_are_read_or_refused(tmp_path_factory, data):
    path = tmp_path_factory.getbasetemp() / "fuzz.wav"
    path.write_bytes(b"RIFF\xff\0\0\0WAVE" + data)
    with contextlib.suppress(InputError):
        features.log_mel(read_wav(path))


@pytest.mark.parametrize("channels", [1, 2, 3])
@pytest.mark.parametrize(("rate", "n"), [(16000, 5000), (8000, 777), (44100, 1), (16000, 0), (2000, 400)])
def test_plain_wavs_give_the_numbers_of_libsndfile(tmp_path, channels, rate, n):
    sound = np.random.default_rng(0).integers(-(2**15), 2**15, (n, channels), np.int16)
    soundfile.write(tmp_path / "a.wav", sound, rate, subtype="PCM_16")
    plain = audio._read_plain(tmp_path / "a.wav")
    assert (plain is None) == (n == 0)
    if n:
        assert plain[0] == rate
        np.testing.assert_array_equal(plain[1], sound)
    if rate == 16000 and n:
        expected, _ = soundfile.read(tmp_path / "a.wav", dtype="float32", always_2d=True)
        expected = expected[:, 0] if channels == 1 else expected.mean(axis=1)
        np.testing.assert_array_equal(read_wav(tmp_path / "a.wav"), expected)


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
        (chunk(b"fmt ", FMT) + chunk(b"data", b"\1\2", 0xFFFFFFFF), True),
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
    assert (audio._read_plain(path) is not None) == plain
    assert audio._read_plain(tmp_path) is None
    assert audio._read_plain(tmp_path / "none.wav") is None
    path.write_bytes(b"RIFX" + path.read_bytes()[4:])
    assert audio._read_plain(path) is None


def noise(n, channels=1, seed=0):
    rng = np.random.default_rng(seed)
    return (rng.normal(size=(n, channels)) * rng.uniform(0.01, 0.3, (n, 1))).clip(-1, 1) + 0.05


@pytest.fixture
def small_blocks(monkeypatch):
    monkeypatch.setattr(audio, "BLOCK", 1000)


@pytest.mark.parametrize(
    "name", ["speechlike_16k", "speechlike_8k", "speechlike_44k", "stereo_16k", "offset_16k", "long_16k", "short_16k"]
)
def test_blocks_are_the_whole(name, small_blocks):
    path = WAVS / f"{name}.wav"
    whole = features.log_mel(read_wav(path))
    for long in (Recording(path, whole=0), Recording(path)):
        assert (long.n_samples, long.n_frames) == (len(read_wav(path)), len(whole))
        np.testing.assert_array_equal(np.concatenate([*long.log_mel()]), whole)


@pytest.mark.parametrize("subtype", ["PCM_16", "PCM_24", "FLOAT"])
@pytest.mark.parametrize("n", [1001, 160 * 128, 160 * 128 + 239, 160 * 128 + 240, 160 * 256 - 1, 50_000])
def test_lengths_around_the_blocks_of_the_transform(tmp_path, small_blocks, n, subtype):
    soundfile.write(tmp_path / "a.wav", noise(n), 16000, subtype)
    whole = features.log_mel(read_wav(tmp_path / "a.wav"))
    np.testing.assert_array_equal(np.concatenate([*Recording(tmp_path / "a.wav", whole=0).log_mel()]), whole)


@given(n=st.integers(1, 30_000), rate=st.sampled_from([8000, 11025, 16000, 22050, 44100, 48000]))
@settings(max_examples=40)
def test_the_length_is_known_beforehand_at_any_rate(tmp_path_factory, n, rate):
    path = tmp_path_factory.mktemp("r") / "a.flac"
    soundfile.write(path, noise(n, 2), rate)
    assert Recording(path, allow_silent=True).n_samples == len(read_wav(path))


def test_memory_does_not_grow_with_length(tmp_path):
    def peak(seconds):
        soundfile.write(tmp_path / "a.wav", np.tile(noise(16000), (seconds, 1)), 16000)
        tracemalloc.start()
        n = sum(len(block) for block in Recording(tmp_path / "a.wav", whole=0).log_mel())
        _, most = tracemalloc.get_traced_memory()
        tracemalloc.stop()
        assert n == 1 + 100 * seconds
        return most

    assert peak(240) < 1.2 * peak(60)


def test_silence_can_be_allowed(tmp_path):
    soundfile.write(tmp_path / "a.wav", np.zeros(3000), 16000)
    assert (np.concatenate([*Recording(tmp_path / "a.wav", allow_silent=True).log_mel()]) == 0).all()
