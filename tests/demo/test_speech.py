import sys
from itertools import pairwise

import numpy as np
import pytest
from demo.settings import LARGEST, settings

from resdavenet_vq.demo import captions, espeak, speech
from resdavenet_vq.errors import InputError

WORDS = ["on", "the", "left", "there", "is", "a", "bottle", ",", "next", "to", "the", "small", "house"]


@pytest.fixture(scope="module")
def utterances():
    return [speech.speak(WORDS, speech.speaker(n, 3), settings(), np.random.default_rng(n)) for n in range(10)]


def test_a_synthesis_does_not_depend_on_what_was_said_before():
    voices = [speech.speaker(n, 3).voice for n in (0, 11)]
    first = espeak.synthesize(WORDS, voices[0], 5)
    espeak.synthesize(["something", "else"], voices[1], 6)
    again = espeak.synthesize(WORDS, voices[0], 5)
    np.testing.assert_array_equal(again.samples, first.samples)
    assert again.segments == first.segments


@pytest.mark.parametrize("text", [" ".join(WORDS), "in the of the on the with the of a there is", "a", "and , and"])
def test_segments_tile_the_samples_and_every_word_has_its_own(text):
    words = text.split()
    synthesis = espeak.synthesize(words, speech.speaker(1, 3).voice, 1)
    segments = synthesis.segments
    assert segments[0].start == 0
    assert segments[-1].end == len(synthesis.samples)
    assert [s.start for s in segments[1:]] == [s.end for s in segments[:-1]]
    assert all(s.end > s.start for s in segments if s.phone != espeak.SILENCE)
    assert all((s.word is None) == (s.phone == espeak.SILENCE) for s in segments)
    assert segments[0].phone == segments[-1].phone == espeak.SILENCE
    assert not any(a.phone == b.phone == espeak.SILENCE for a, b in pairwise(segments))
    spoken = [s.word for s in segments if s.word is not None]
    assert spoken == sorted(spoken)
    assert set(spoken) == set(range(len(captions.words_of(words))))


def test_closures_belong_to_the_stop_that_ends_them():
    """No phone before a stop ends with more than a few zeros."""
    for number in range(6):
        synthesis = espeak.synthesize(WORDS, speech.speaker(number, 3).voice, number)
        for a, b in pairwise(synthesis.segments):
            if b.phone in espeak.STOPS and a.phone != espeak.SILENCE and a.phone not in espeak.STOPS:
                assert np.abs(synthesis.samples[a.end - 20 : a.end].astype(int)).max() > 1, (a, b)


def test_every_word_that_can_be_said_has_known_phones():
    words = sorted(captions.vocabulary(LARGEST)) + list(captions.OTHER_WORDS)
    for number, first in enumerate(range(0, len(words), 12)):
        synthesis = espeak.synthesize(words[first : first + 12], speech.speaker(number, 3).voice, 1)
        assert {s.phone for s in synthesis.segments} <= set(espeak.PHONES.values()) | {espeak.SILENCE}


def test_phones_tile_the_audio_and_words_are_ordered_and_cover_their_phones(utterances):
    for spoken in utterances:
        phones = spoken.phones
        assert phones[0].start == 0
        assert 0 <= len(spoken.samples) / speech.SAMPLE_RATE - phones[-1].end < 1e-4 + 1e-9
        assert [p.start for p in phones[1:]] == [p.end for p in phones[:-1]]
        assert all(p.end > p.start for p in phones)
        assert [w.label for w in spoken.words] == [w.upper() for w in captions.words_of(WORDS)]
        assert all(a.end <= b.start for a, b in pairwise(spoken.words))
        assert 0 < spoken.words[0].start
        assert spoken.words[-1].end < len(spoken.samples) / speech.SAMPLE_RATE
        for phone in spoken.phones:
            inside = [w for w in spoken.words if w.start <= phone.start and phone.end <= w.end]
            outside = [w for w in spoken.words if phone.end <= w.start or w.end <= phone.start]
            if phone.label == espeak.SILENCE:
                assert not inside or len(outside) == len(spoken.words) - 1  # a pause inside a word, if anywhere
            else:
                assert (len(inside), len(outside)) == (1, len(spoken.words) - 1)


def test_pauses_are_much_quieter_than_phones(utterances):
    for spoken in utterances:
        level = {}
        for silent in (True, False):
            parts = [
                spoken.samples[round(p.start * speech.SAMPLE_RATE) : round(p.end * speech.SAMPLE_RATE)]
                for p in spoken.phones
                if (p.label == espeak.SILENCE) == silent
            ]
            level[silent] = 20 * np.log10(np.sqrt((np.concatenate(parts).astype(float) ** 2).mean()))
        assert level[False] - level[True] > 12


def test_hisses_lie_where_the_phones_say(utterances):
    """/s/ is where high frequencies are: the alignment survives resampling, padding and noise."""
    for spoken in utterances:
        for phone in spoken.phones:
            if phone.label == "S" and phone.end - phone.start > 0.05:
                inside, before = (spectrum(spoken, middle) for middle in (phone.start + 0.025, phone.start - 0.025))
                assert inside > 4 * before


def spectrum(spoken, middle):
    """Share of the power above 3.5 kHz in 30 ms around a time."""
    first = round((middle - 0.015) * speech.SAMPLE_RATE)
    power = np.abs(np.fft.rfft(spoken.samples[first : first + 480] * np.hanning(480))) ** 2
    return power[105:].sum() / power.sum()


def test_utterances_of_a_speaker_vary_and_follow_from_their_seed():
    def say(seed, **changes):
        return speech.speak(["a", "cat"], speech.speaker(0, 3), settings(**changes), np.random.default_rng(seed))

    a, again, b = say(1), say(1), say(2)
    np.testing.assert_array_equal(a.samples, again.samples)
    assert a.phones == again.phones
    assert len(a.samples) != len(b.samples)
    for changes in ({"variability": 0.0}, {"tilt": 0.0}, {"reverberation": 1.0}, {"snr_db": (60.0, 60.0)}):
        other = say(1, **changes)
        assert other.samples.dtype == np.int16
        assert np.abs(other.samples).max() > 1000
        assert not np.array_equal(other.samples, a.samples)


def test_the_noise_has_the_asked_level():
    loud, quiet = (
        speech.speak(["a", "cat"], speech.speaker(0, 3), settings(snr_db=(snr, snr)), np.random.default_rng(1))
        for snr in (0.0, 30.0)
    )
    difference = (loud.samples.astype(float) - quiet.samples) / 32767
    signal = quiet.samples / 32767
    ratio = np.sqrt((difference**2).mean() / (signal**2).mean())
    assert ratio == pytest.approx(1 - 10 ** (-30 / 20), abs=0.05)


def test_speakers_are_the_same_however_many_there_are():
    some = [speech.speaker(n, 3) for n in range(60)]
    assert len({(s.voice, s.vocal_tract) for s in some}) == 60
    assert len({s.name for s in some}) == 60
    assert speech.speaker(7, 3) == some[7]
    assert speech.speaker(7, 4) != some[7]


def test_a_missing_synthesizer_says_what_to_install(monkeypatch):
    monkeypatch.setitem(sys.modules, "espeakng_loader", None)
    with pytest.raises(InputError, match=r"pip install 'resdavenet-vq\[demo\]'"):
        espeak.library_paths()
