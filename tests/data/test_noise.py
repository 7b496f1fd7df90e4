"""Noisy copies of a split: the requested ratio, the same noise every time, and never the speaker's own voice."""

import json
from itertools import pairwise

import numpy as np
import pytest
import soundfile
from hypothesis import given, settings
from hypothesis import strategies as st
from oracles.data import make_manifest

from resdavenet_vq.config import AddedNoise, Preparation
from resdavenet_vq.corpus.manifest import Manifest
from resdavenet_vq.data import features, noise, preparation
from resdavenet_vq.data.audio import read_wav
from resdavenet_vq.data.noise import Noisy, mixed, recordings
from resdavenet_vq.data.store import Store, verify
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
    return AddedNoise(
        kind=kind,
        snr_db=snr_db,
        seed=seed,
        babble_speakers=2 if kind == "babble" else None,
        files=folder / "cafe" if folder else None,
    )


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
    for noise_, clean in noises(manifest, added(kind, snr_db, folder=folder if kind == "cafe" else None)).values():
        assert ratio_db(noise_, clean) == pytest.approx(snr_db, abs=1e-3)


@given(st.integers(0, 2**32 - 1), st.floats(-60, 100), st.floats(-3, 3), st.floats(0.01, 1))
@settings(max_examples=50, deadline=None)
def test_the_ratio_whatever_the_levels_and_offsets(seed, snr_db, offset, level):
    rng = np.random.default_rng(seed)
    speech, other = level * rng.normal(size=500) + offset, 30 * rng.normal(size=500) - offset
    found = mixed(speech, other, snr_db).astype(np.float64) - speech
    if snr_db < 60:  # above, single precision of the sum is coarser than the noise
        assert ratio_db(found, speech) == pytest.approx(snr_db, abs=0.02 if snr_db > 40 else 1e-3)
    assert found.std() < 1.1 * level * 10 ** (-snr_db / 20) + 1e-6


@pytest.mark.parametrize("kind", KINDS)
def test_noise_is_only_scaled_for_another_ratio(manifest, folder, kind):
    some = folder if kind == "cafe" else None
    loud, quiet = noises(manifest, added(kind, 0.0, folder=some)), noises(manifest, added(kind, 20.0, folder=some))
    for name in loud:
        np.testing.assert_allclose(loud[name][0], 10 * quiet[name][0], atol=1e-5)
    names = list(loud)
    for a, b in pairwise(names):
        n = min(len(loud[a][0]), len(loud[b][0]))
        assert abs(np.corrcoef(loud[a][0][:n], loud[b][0][:n])[0, 1]) < 0.9, "each utterance has a noise of its own"


@pytest.mark.parametrize("kind", KINDS)
def test_noise_follows_from_seed_id_and_kind_alone(manifest, folder, kind):
    some = folder if kind == "cafe" else None
    once, again = (
        noises(manifest, added(kind, folder=some)),
        noises(manifest, added(kind, folder=some), order=[5, 3, 0, 1, 2, 4, *range(6, 12)]),
    )
    for name in once:
        np.testing.assert_array_equal(once[name][0], again[name][0])
    other = noises(manifest, added(kind, seed=2, folder=some))
    assert any((once[name][0] != other[name][0]).any() for name in once)


def tone_manifest(tmp_path, n=8, speakers=4):
    """Each utterance is a tone of its own frequency, a whole number of periods long, so that a mixture names its voices."""
    manifest = make_manifest(tmp_path / "corpus", n, seconds=0.1)
    utterances = []
    for i, utterance in enumerate(manifest.utterances):
        tone = (0.1 + 0.05 * i) * np.sin(2 * np.pi * (500 + 500 * i) * np.arange(3200) / 16000)
        soundfile.write(utterance.wav, tone, 16000, subtype="FLOAT")
        changed = utterance.to_dict() | {"speaker": f"s{i % speakers}"}
        utterances.append(type(utterance).from_dict(changed))
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
    with pytest.raises(InputError, match="nowhere: no such file or folder of noise"):
        recordings(folder / "nowhere")


def test_a_recording_goes_round_from_a_random_place(manifest, folder):
    soundfile.write(folder / "ramp.wav", np.linspace(-0.5, 0.5, 1000), 16000, subtype="FLOAT")
    (folder / "ramp.txt").write_text("ramp.wav\n")
    what = AddedNoise(kind="ramp", snr_db=0.0, seed=1, files=folder / "ramp.txt")
    for found, _ in noises(manifest, what).values():
        falls = np.flatnonzero(np.diff(found) < -10 * np.abs(np.diff(found)).mean())
        assert (np.diff(falls) == 1000).all()
        assert len(falls) == len(found) // 1000 or len(falls) == len(found) // 1000 + 1


@pytest.mark.parametrize("kind", ["white", "babble"])
def test_a_store_with_noise(manifest, store_path, tmp_path, kind):
    """The features are those of the sum, everything else is as without noise, and workers change nothing."""
    what = added(kind)
    for workers in (1, 2):
        noise.prepare(
            manifest,
            Preparation(precision="float32"),
            what,
            tmp_path / f"{workers}.h5",
            tmp_path / f"{workers}.json",
            workers,
        )
    assert (tmp_path / "1.h5").read_bytes() == (tmp_path / "2.h5").read_bytes()
    assert verify(tmp_path / "1.h5") == []
    found, clean = Store(tmp_path / "1.h5"), Store(store_path)
    assert (found.ids, found.image_ids, found.image_index.tolist()) == (
        clean.ids,
        clean.image_ids,
        clean.image_index.tolist(),
    )
    assert [found.image(i) for i in range(len(found.image_ids))] == [
        clean.image(i) for i in range(len(clean.image_ids))
    ]
    assert found.n_frames.tolist() == clean.n_frames.tolist()
    assert json.loads((tmp_path / "1.json").read_text())["utterances"] == len(clean)
    assert f'"kind":"{kind}","snr_db":10.0' in found.attributes["command"]
    added_noise = noises(manifest, what)
    for i, name in enumerate(found.ids):
        noise_, speech = added_noise[name]
        expected = features.log_mel((speech + noise_).astype(np.float32))
        np.testing.assert_allclose(found.logmel(i), expected, atol=2e-3)
        assert np.abs(found.logmel(i) - clean.logmel(i)).max() > 1


def test_an_utterance_is_cut_after_the_noise_is_added(manifest, tmp_path):
    whole, cut = (Preparation(precision="float32", max_frames=frames) for frames in (2048, 20))
    for name, settings_ in (("whole", whole), ("cut", cut)):
        noise.prepare(manifest, settings_, added("babble"), tmp_path / f"{name}.h5", tmp_path / f"{name}.json", 1)
    a, b = Store(tmp_path / "whole.h5"), Store(tmp_path / "cut.h5")
    for i in range(len(a)):
        np.testing.assert_array_equal(a.logmel(i)[:20], b.logmel(i))


def test_silence_has_no_ratio(tmp_path):
    """A silent utterance is refused, and left out of the babble of others; noise that is silent is refused."""
    manifest = tone_manifest(tmp_path, 4, 4)
    soundfile.write(manifest.utterances[1].wav, np.zeros(3200), 16000)
    what = AddedNoise(kind="babble", snr_db=5.0, seed=0, babble_speakers=3)
    noise.prepare(manifest, Preparation(bad_rows="skip"), what, tmp_path / "a.h5", tmp_path / "a.json", 1)
    assert Store(tmp_path / "a.h5").ids == ["utt-0", "utt-2", "utt-3"]
    only = AddedNoise(kind="babble", snr_db=5.0, seed=0, babble_speakers=1)
    with pytest.raises(InputError, match=r"utt-0\): .*the noise is silent"):
        noise.prepare(
            Manifest(manifest.utterances[:2]),
            Preparation(),
            only,
            tmp_path / "b.h5",
            tmp_path / "b.json",
            1,
        )
    assert not (tmp_path / "b.h5").exists()


def test_what_is_refused(manifest, folder, tmp_path):
    crowd = AddedNoise(kind="babble", snr_db=0.0, seed=0, babble_speakers=3)
    with pytest.raises(
        InputError, match=r"babble of 3 other speakers needs 4 in the split, which has 3; lower noise\.babble_speakers"
    ):
        Noisy(SETTINGS, crowd, manifest)
    unknown = Manifest([type(u).from_dict(u.to_dict() | {"speaker": None}) for u in manifest.utterances])
    with pytest.raises(InputError, match=r"12 have none:\nutt-0\n"):
        Noisy(SETTINGS, added("babble"), unknown)
    Noisy(SETTINGS, added("white"), unknown)
    (folder / "broken.wav").write_bytes(b"RIFF")
    (folder / "bad.txt").write_text("broken.wav\ncafe/a.wav\nabsent.wav\n")
    for files, said in (
        ("nowhere", r"nowhere: no such file or folder of noise"),
        ("bad.txt", r"2 .*\n\S+broken\.wav: .*\n\S+absent\.wav: no"),
    ):
        with pytest.raises(InputError, match=said):
            noise.prepare(
                manifest,
                Preparation(bad_rows="skip"),
                AddedNoise(kind="cafe", snr_db=0.0, seed=0, files=folder / files),
                tmp_path / "a.h5",
                tmp_path / "a.json",
                1,
            )
    assert not (tmp_path / "a.h5").exists()


def test_a_row_that_is_refused_keeps_the_others_in_their_places(manifest, tmp_path):
    missing = type(manifest.utterances[0]).from_dict(
        manifest.utterances[0].to_dict() | {"id": "gone", "wav": str(tmp_path / "gone.wav")}
    )
    with_gap = Manifest([manifest.utterances[0], missing, *manifest.utterances[1:]])
    for name, rows in (("gap", with_gap), ("whole", manifest)):
        noise.prepare(
            rows, Preparation(bad_rows="skip"), added(), tmp_path / f"{name}.h5", tmp_path / f"{name}.json", 1
        )
    a, b = Store(tmp_path / "gap.h5"), Store(tmp_path / "whole.h5")
    assert a.ids == b.ids
    for i in range(len(a)):
        np.testing.assert_array_equal(a.logmel(i), b.logmel(i))


def test_a_clean_preparation_does_not_know_of_noise():
    assert not hasattr(preparation, "noise")
