"""A recording in blocks is the recording at once, bit for bit, and takes no more memory for being long."""

import tracemalloc
from pathlib import Path

import numpy as np
import pytest
import soundfile
from hypothesis import given, settings
from hypothesis import strategies as st

from resdavenet_vq.data import features, recording
from resdavenet_vq.data.recording import Recording
from resdavenet_vq.errors import InputError

WAVS = Path(__file__).parents[1] / "golden/features"


def noise(n, channels=1, seed=0):
    rng = np.random.default_rng(seed)
    return (rng.normal(size=(n, channels)) * rng.uniform(0.01, 0.3, (n, 1))).clip(-1, 1) + 0.05


@pytest.fixture
def small_blocks(monkeypatch):
    monkeypatch.setattr(recording, "BLOCK", 1000)


@pytest.mark.parametrize(
    "name", ["speechlike_16k", "speechlike_8k", "speechlike_44k", "stereo_16k", "offset_16k", "long_16k", "short_16k"]
)
def test_blocks_are_the_whole(name, small_blocks):
    path = WAVS / f"{name}.wav"
    whole = features.log_mel(features.read_wav(path))
    for long in (Recording(path, whole=0), Recording(path)):
        assert (long.n_samples, long.n_frames) == (len(features.read_wav(path)), len(whole))
        np.testing.assert_array_equal(np.concatenate([*long.log_mel()]), whole)


@pytest.mark.parametrize("subtype", ["PCM_16", "PCM_24", "FLOAT"])
@pytest.mark.parametrize("n", [1001, 160 * 128, 160 * 128 + 239, 160 * 128 + 240, 160 * 256 - 1, 50_000])
def test_lengths_around_the_blocks_of_the_transform(tmp_path, small_blocks, n, subtype):
    soundfile.write(tmp_path / "a.wav", noise(n), 16000, subtype)
    whole = features.log_mel(features.read_wav(tmp_path / "a.wav"))
    np.testing.assert_array_equal(np.concatenate([*Recording(tmp_path / "a.wav", whole=0).log_mel()]), whole)


@given(n=st.integers(1, 30_000), rate=st.sampled_from([8000, 11025, 16000, 22050, 44100, 48000]))
@settings(max_examples=40, deadline=None)
def test_the_length_is_known_beforehand_at_any_rate(tmp_path_factory, n, rate):
    path = tmp_path_factory.mktemp("r") / "a.flac"
    soundfile.write(path, noise(n, 2), rate)
    assert Recording(path, allow_silent=True).n_samples == len(features.read_wav(path))


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


@pytest.mark.parametrize(
    ("samples", "message"),
    [
        (np.zeros((0, 1)), "no samples; set allow_silent"),
        (np.full((5000, 1), 0.25), "silent, all samples are equal"),
        (np.r_[noise(4000), np.full((3, 1), np.nan), noise(10)], "NaN or infinite"),
    ],
)
def test_what_preparation_refuses_is_refused_here(tmp_path, small_blocks, samples, message):
    path = tmp_path / "a.wav"
    soundfile.write(path, samples, 16000, "FLOAT")
    for read in (lambda: Recording(path), lambda: features.read_wav(path, allow_silent=False)):
        with pytest.raises(InputError, match=rf"a\.wav: .*{message}"):
            read()


def test_missing_truncated_and_foreign_files(tmp_path):
    soundfile.write(tmp_path / "cut.wav", noise(5000), 16000)
    (tmp_path / "cut.wav").write_bytes((tmp_path / "cut.wav").read_bytes()[:4000])
    (tmp_path / "text.wav").write_text("hello")
    for name, message in (
        ("cut.wav", "truncated"),
        ("text.wav", "cannot be read as audio"),
        ("none.wav", "no such file"),
    ):
        with pytest.raises(InputError, match=message):
            Recording(tmp_path / name)


def test_silence_can_be_allowed(tmp_path):
    soundfile.write(tmp_path / "a.wav", np.zeros(3000), 16000)
    assert (np.concatenate([*Recording(tmp_path / "a.wav", allow_silent=True).log_mel()]) == 0).all()
