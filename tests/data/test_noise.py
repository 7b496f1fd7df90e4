"""Noisy copies of a split: the requested ratio, the same noise every time, and never the speaker's own voice."""

import json
import os
from dataclasses import replace
from itertools import pairwise

import numpy as np
import pytest
import soundfile
from clutter import litter
from hypothesis import given, settings
from hypothesis import strategies as st
from oracles.data import assert_same_store, make_manifest, prepared

from resdavenet_vq.config import AddedNoise, Preparation
from resdavenet_vq.corpus.manifest import Manifest
from resdavenet_vq.data import features
from resdavenet_vq.data import noise as noise_module
from resdavenet_vq.data.audio import read_wav
from resdavenet_vq.data.noise import Noisy, mixed, recordings
from resdavenet_vq.data.store import verify
from resdavenet_vq.errors import InputError

SETTINGS = Preparation(precision="float32")


@pytest.fixture(scope="module")
def folder(tmp_path_factory):
    """Recordings of noise, one of another rate and one shorter than any utterance, and a list of them."""
    folder, rng = tmp_path_factory.mktemp("noise"), np.random.default_rng(5)
    (folder / "cafe/more").mkdir(parents=True)
    soundfile.write(folder / "cafe/a.wav", 0.2 * rng.normal(size=30_000), 16000)
    soundfile.write(folder / "cafe/more/b.flac", 0.2 * rng.normal(size=900), 8000)
    (folder / "cafe/readme.txt").write_text("no recording\n")
    (folder / "list.txt").write_text("cafe/more/b.flac\n\ncafe/a.wav\n")
    return folder


def added(kind="white", snr_db=10.0, seed=1, folder=None):
    files, speakers = folder / "cafe" if kind == "cafe" else None, 2 if kind == "babble" else None
    return AddedNoise(kind=kind, snr_db=snr_db, seed=seed, babble_speakers=speakers, files=files)


KINDS = ("white", "babble", "cafe")


def noises(manifest, what, order=None):
    """{id: what was added to the utterance, double precision}, of the utterances in some order."""
    utterances = [manifest.utterances[i] for i in order] if order is not None else manifest.utterances
    source = Noisy(SETTINGS, what, Manifest(utterances))
    found = {}
    for row, utterance in enumerate(utterances):
        clean, rate = soundfile.read(utterance.wav, dtype="float64")
        assert rate == 16000
        found[utterance.id] = source.process(clean.astype(np.float32), row).astype(np.float64) - clean, clean
    return found


def ratio_db(noise, clean):
    """By its definition: energies about the mean."""
    energies = [((waveform - waveform.sum() / len(waveform)) ** 2).sum() for waveform in (clean, noise)]
    return 10 * np.log10(energies[0] / energies[1])


@pytest.mark.parametrize("kind", KINDS)
@pytest.mark.parametrize("snr_db", [-5.0, 0.0, 12.5, 40.0])
def test_the_ratio_is_the_one_asked_for(manifest, folder, kind, snr_db):
    for noise_, clean in noises(manifest, added(kind, snr_db, folder=folder)).values():
        assert ratio_db(noise_, clean) == pytest.approx(snr_db, abs=1e-3)


@given(st.integers(0, 2**32 - 1), st.floats(-60, 100), st.floats(-3, 3), st.floats(0.01, 1))
@settings(max_examples=50)
def test_the_ratio_whatever_the_levels_and_offsets(seed, snr_db, offset, level):
    rng = np.random.default_rng(seed)
    speech, other = level * rng.normal(size=500) + offset, 30 * rng.normal(size=500) - offset
    found = mixed(speech, other, snr_db).astype(np.float64) - speech
    if snr_db < 60:  # above, single precision of the sum is coarser than the noise
        assert ratio_db(found, speech) == pytest.approx(snr_db, abs=0.02 if snr_db > 40 else 1e-3)
    assert found.std() < 1.1 * level * 10 ** (-snr_db / 20) + 1e-6


@pytest.mark.parametrize("kind", KINDS)
def test_noise_is_only_scaled_for_another_ratio(manifest, folder, kind):
    loud, quiet = (noises(manifest, added(kind, snr_db, folder=folder)) for snr_db in (0.0, 20.0))
    for name in loud:
        np.testing.assert_allclose(loud[name][0], 10 * quiet[name][0], atol=1e-5)
    names = list(loud)
    for a, b in pairwise(names):
        n = min(len(loud[a][0]), len(loud[b][0]))
        assert abs(np.corrcoef(loud[a][0][:n], loud[b][0][:n])[0, 1]) < 0.9, "each utterance has a noise of its own"


@pytest.mark.parametrize("kind", KINDS)
def test_noise_follows_from_seed_id_and_kind_alone(manifest, folder, kind):
    what, order = added(kind, folder=folder), [5, 3, 0, 1, 2, 4, *range(6, 12)]
    once, again = noises(manifest, what), noises(manifest, what, order)
    for name in once:
        np.testing.assert_array_equal(once[name][0], again[name][0])
    other = noises(manifest, added(kind, seed=2, folder=folder))
    assert any((once[name][0] != other[name][0]).any() for name in once)


def tone_manifest(tmp_path, n=8, speakers=4):
    """Each utterance is a tone of its own frequency, a whole number of periods long, so that a mixture names its voices."""
    manifest = make_manifest(tmp_path / "corpus", n, seconds=0.1)
    utterances = []
    for i, utterance in enumerate(manifest.utterances):
        tone = (0.1 + 0.05 * i) * np.sin(2 * np.pi * (500 + 500 * i) * np.arange(3200) / 16000)
        soundfile.write(utterance.wav, tone, 16000, subtype="FLOAT")
        utterances.append(replace(utterance, speaker=f"s{i % speakers}"))
    return Manifest(utterances)


@pytest.mark.parametrize("seed", range(5))
def test_babble_is_other_speakers_equally_loud(tmp_path, seed):
    manifest, voices = tone_manifest(tmp_path), 3
    source = Noisy(SETTINGS, AddedNoise(kind="babble", snr_db=0.0, seed=seed, babble_speakers=voices), manifest)
    for row in range(8):
        clean = read_wav(manifest.utterances[row].wav)
        spectrum = np.abs(np.fft.rfft(source.process(clean, row) - clean))
        heard = np.flatnonzero(spectrum[100:1601:100] > 0.1 * spectrum.max()).tolist()  # bins of 5 Hz
        assert len(heard) == voices
        assert row not in heard
        assert len({number % 4 for number in heard} | {row % 4}) == voices + 1, "each voice is another speaker's"
        powers = spectrum[[100 * (number + 1) for number in heard]] ** 2
        np.testing.assert_allclose(powers, powers.mean(), rtol=1e-3)


def test_recordings_of_a_folder_or_a_list(folder):
    a, b = folder / "cafe/a.wav", folder / "cafe/more/b.flac"
    assert recordings(folder / "cafe") == [a, b]
    assert recordings(folder / "list.txt") == [b, a]


def test_what_systems_keep_in_a_folder_is_no_noise(tmp_path):
    soundfile.write(tmp_path / "a.wav", np.ones(100), 16000)
    litter(tmp_path, "a.wav")
    assert recordings(tmp_path) == [tmp_path / "a.wav"]


@pytest.mark.parametrize(("suffix", "kind"), [("mp3", "MP3"), ("caf", "CAF"), ("w64", "W64"), ("AIFC", "AIFF")])
def test_every_format_that_is_read_is_noise(tmp_path, suffix, kind):
    soundfile.write(tmp_path / f"a.{suffix}", np.sin(np.arange(4000)), 16000, format=kind)
    assert recordings(tmp_path) == [tmp_path / f"a.{suffix}"]


def test_noise_in_a_format_that_is_not_read_is_not_missed(tmp_path):
    soundfile.write(tmp_path / "a.wav", np.ones(100), 16000)
    (tmp_path / "b.m4a").write_bytes(b"\0\0\0\x18ftypM4A \0\0\0\0M4A mp42")
    with pytest.raises(InputError, match=r"^1 recordings of noise cannot be used:\n\S+/b\.m4a: "):
        recordings(tmp_path)


def test_a_recording_goes_round_from_a_random_place(manifest, folder):
    soundfile.write(folder / "ramp.wav", np.linspace(-0.5, 0.5, 1000), 16000, subtype="FLOAT")
    (folder / "ramp.txt").write_text("ramp.wav\n")
    what = AddedNoise(kind="ramp", snr_db=0.0, seed=1, files=folder / "ramp.txt")
    for found, _ in noises(manifest, what).values():
        falls = np.flatnonzero(np.diff(found) < -10 * np.abs(np.diff(found)).mean())
        assert (np.diff(falls) == 1000).all()
        assert len(falls) == len(found) // 1000 or len(falls) == len(found) // 1000 + 1


@pytest.mark.parametrize("kind", ["white", "babble"])
def test_a_store_with_noise(manifest, store, tmp_path, kind):
    """The features are those of the sum, everything else is as without noise, and workers change nothing."""
    noisy, again = (
        prepared(manifest, tmp_path, str(n), workers=n, added=added(kind), precision="float32") for n in (1, 2)
    )
    assert noisy.path.read_bytes() == again.path.read_bytes()
    assert verify(noisy.path) == []
    for name in ("ids", "image_ids", "image_index", "n_frames"):
        np.testing.assert_array_equal(getattr(noisy, name), getattr(store, name))
    assert all(noisy.image(i) == store.image(i) for i in range(len(store.image_ids)))
    assert json.loads((tmp_path / "1.json").read_text())["utterances"] == len(store)
    assert f'"kind":"{kind}","snr_db":10.0' in noisy.attributes["command"]
    added_noise = noises(manifest, added(kind))
    for i, name in enumerate(noisy.ids):
        noise, speech = added_noise[name]
        expected = features.log_mel((speech + noise).astype(np.float32))
        np.testing.assert_allclose(noisy.logmel(i), expected, atol=2e-3)
        assert np.abs(noisy.logmel(i) - store.logmel(i)).max() > 1


def test_an_utterance_is_cut_after_the_noise_is_added(manifest, tmp_path):
    options = {"added": added("babble"), "precision": "float32"}
    whole, cut = (prepared(manifest, tmp_path, str(n), max_frames=n, **options) for n in (2048, 20))
    for i in range(len(whole)):
        np.testing.assert_array_equal(whole.logmel(i)[:20], cut.logmel(i))


def test_silence_has_no_ratio(tmp_path):
    """A silent utterance is refused, and left out of the babble of others; noise that is silent is refused."""
    manifest = tone_manifest(tmp_path, 4, 4)
    soundfile.write(manifest.utterances[1].wav, np.zeros(3200), 16000)
    what = AddedNoise(kind="babble", snr_db=5.0, seed=0, babble_speakers=3)
    assert prepared(manifest, tmp_path, added=what, bad_rows="skip").ids == ["utt-0", "utt-2", "utt-3"]
    only = what.model_copy(update={"babble_speakers": 1})
    with pytest.raises(InputError, match=r"utt-0\): .*the noise is silent"):
        prepared(Manifest(manifest.utterances[:2]), tmp_path, "b", added=only)
    assert not (tmp_path / "b.h5").exists()


def test_what_is_refused(manifest, folder, tmp_path):
    crowd = AddedNoise(kind="babble", snr_db=0.0, seed=0, babble_speakers=3)
    with pytest.raises(InputError, match=r"babble of 3 .* needs 4 in the split, which has 3; lower noise\.babble_sp"):
        Noisy(SETTINGS, crowd, manifest)
    unknown = Manifest([replace(u, speaker=None) for u in manifest.utterances])
    with pytest.raises(InputError, match=r"12 have none:\nutt-0\n"):
        Noisy(SETTINGS, added("babble"), unknown)
    Noisy(SETTINGS, added("white"), unknown)
    (folder / "broken.wav").write_bytes(b"RIFF")
    (folder / "bad.txt").write_text("broken.wav\ncafe/a.wav\nabsent.wav\n")
    (folder / "latin.txt").write_bytes("cafe/a.wav\ncaf\u00e9.wav\n".encode("latin-1"))
    (folder / "empty.txt").write_text("\n \n")
    (folder / "odd.txt").write_text("pipe.wav\ncafe\ncafe/a.wav\n")
    os.mkfifo(folder / "pipe.wav")
    (folder / "pipes").mkdir()
    os.mkfifo(folder / "pipes/pipe.flac")
    for files, said in (
        ("nowhere", r"nowhere: no such file or folder of noise"),
        ("latin.txt", r"latin\.txt: is no list of recordings, not UTF-8 text \(byte 14\)"),
        ("empty.txt", r"empty\.txt: names no recording"),
        ("odd.txt", r"2 .*\n\S+/pipe\.wav: is no regular file\n\S+/cafe: is no regular file\n"),
        ("pipe.wav", r"pipe\.wav: no such file or folder of noise"),
        ("pipes", r"1 .*\n\S+/pipe\.flac: is no regular file\n"),
        ("bad.txt", r"2 .*\n\S+broken\.wav: .*\n\S+absent\.wav: no"),
    ):
        what = AddedNoise(kind="cafe", snr_db=0.0, seed=0, files=folder / files)
        with pytest.raises(InputError, match=said):
            prepared(manifest, tmp_path, added=what, bad_rows="skip")
    assert not (tmp_path / "a.h5").exists()


def test_a_row_that_is_refused_keeps_the_others_in_their_places(manifest, tmp_path):
    missing = replace(manifest.utterances[0], id="gone", wav=tmp_path / "gone.wav")
    with_gap = Manifest([manifest.utterances[0], missing, *manifest.utterances[1:]])
    stores = [prepared(rows, tmp_path, added=added(), bad_rows="skip") for rows in (with_gap, manifest)]
    assert_same_store(*stores)


def test_floats_of_any_level_are_mixed_or_refused():
    """A ratio is one of energies, so that levels do not matter until the sum is no audio."""
    rng = np.random.default_rng(0)
    speech, noise = (rng.normal(size=4000).astype(np.float32) for _ in range(2))
    expected = mixed(speech, noise, 10.0)
    for louder, noisier in ((1, 2.0**60), (2.0**28, 1), (2.0**-60, 2.0**31), (1, 2.0**-60)):
        levelled = mixed(np.float32(louder) * speech, np.float32(noisier) * noise, 10.0)
        assert levelled.dtype == np.float32
        np.testing.assert_allclose(levelled, louder * expected, rtol=1e-5, atol=1e-5 * louder)
    for one, other, ratio, fault in (
        (speech, noise, -300.0, "no level of audio"),
        (2.0**31 * speech, noise, -60.0, "no level of audio"),
        (speech, noise, -1000.0, "NaN or infinite|no level of audio"),
        (speech, np.float32("nan") * noise, 10.0, "NaN or infinite"),
        (speech, np.r_[noise[:-1], np.float32("inf")], 10.0, "NaN or infinite"),
        (np.r_[speech[:-1], np.float32("nan")], noise, 10.0, "NaN or infinite"),
        (speech, 0 * noise, 10.0, "the noise is silent"),
        (speech, 0 * noise + 0.25, 10.0, "the noise is silent"),
    ):
        with pytest.raises(InputError, match=fault):
            mixed(one.astype(np.float32), other.astype(np.float32), ratio)


def test_recordings_are_kept_up_to_a_number_of_bytes(folder, tmp_path, monkeypatch):
    opened, kept = [], noise_module._Recordings()

    def counted(path, **options):
        opened.append(path.stem)
        return read_wav(path, **options)

    monkeypatch.setattr(noise_module, "read_wav", counted)
    monkeypatch.setattr(noise_module, "KEPT_BYTES", 2 * 4000)
    paths = {name: tmp_path / f"{name}.wav" for name in "abcd"}
    for name, path in paths.items():
        soundfile.write(path, np.sin(np.arange(10_000 if name == "d" else 1000)), 16000)
    for name in "abcabcdabc":  # two are kept besides the one in use, the oldest goes first
        np.testing.assert_array_equal(kept[paths[name]], read_wav(paths[name]))
        assert sum(recording.nbytes for recording in kept._kept.values()) <= 2 * 4000 + kept[paths[name]].nbytes
    assert "".join(opened) == "abcdabc"
