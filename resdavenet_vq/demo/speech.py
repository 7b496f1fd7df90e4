"""Synthetic speakers, and utterances of theirs with exact word and phone times.

A speaker is a voice of the synthesizer with settings of its own and a vocal-tract factor: the samples are taken for
ones at `factor` times their rate, which shifts formants and pitch by that factor and divides all times by it. Every
utterance varies the speaker a little and adds a spectral tilt, colored noise and, if configured, a room: the
synthesizer alone repeats itself so exactly that a phone test within speakers has nothing to find.
"""

from __future__ import annotations

import math
from collections.abc import Sequence
from typing import NamedTuple

import numpy as np
import soxr
from scipy import fft

from resdavenet_vq.config import SpokenScenes
from resdavenet_vq.corpus.manifest import Interval
from resdavenet_vq.demo import espeak
from resdavenet_vq.demo.espeak import PAUSE, Voice

SAMPLE_RATE = 16000

VARIANTS = (
    "m1", "f1", "m3", "f2", "m4", "f3", "m6", "f5", "m7", "Annie",
    "m8", "klatt2", "Alex", "steph", "Mike", "f4", "klatt4", "Andrea", "adam", "Alicia",
)  # fmt: skip
"""The synthesizer's intelligible variants: no whisperers, croakers and robots."""

_SPEAKER_STREAM = 77  # sets the draws of speakers apart from those of utterances

# Ranges from which a speaker is drawn, in espeak-ng's scales; the rate is in words a minute.
_VOCAL_TRACT = (0.9, 1.1)
_PITCH = (38, 64)
_PITCH_RANGE = (35, 75)
_RATE = (160, 200)

# How far an utterance departs from its speaker at variability 1.
_VOCAL_TRACT_VARIES = 0.06
_PITCH_VARIES = 12.0
_PITCH_RANGE_VARIES = 15.0
_RATE_VARIES = 0.15
_SCALE_LIMITS = (10, 95)
_SILENCE_BEFORE = (0.05, 0.2)  # seconds
_SILENCE_AFTER = (0.15, 0.3)
_LEVEL_DB = (-26.0, -20.0)  # root mean square, re full scale
_ROOM_SECONDS = (0.1, 0.35)  # until its echo is 60 dB down
_ROOM_GAP = 0.003
_ROOM_DB = (-12.0, -3.0)
_SIXTY_DB = 6.9  # ln(1000)
_NOISE_CORNER_HZ = 5.0
_NOISE_SLOPE = (0.0, 0.45)


class Speaker(NamedTuple):
    """A synthetic speaker."""

    name: str
    voice: Voice
    vocal_tract: float


class Speech(NamedTuple):
    """An utterance: samples (n,) int16 at SAMPLE_RATE, and its words and phones in order, in seconds.

    The phones tile the audio from 0 to its end, pauses being SIL. A word goes from the start of its first phone to the
    end of its last. Times have a resolution of 0.1 ms.
    """

    samples: np.ndarray
    words: tuple[Interval, ...]
    phones: tuple[Interval, ...]


def speaker(number: int, seed: int) -> Speaker:
    """The speaker of that number, from 0 without end: the same however many there are."""
    rng = np.random.default_rng([seed, _SPEAKER_STREAM, number])
    scales = [int(rng.integers(*limits)) for limits in (_PITCH, _PITCH_RANGE, _RATE)]
    voice = Voice(VARIANTS[number % len(VARIANTS)], *scales)
    return Speaker(f"spk{number:03d}", voice, float(rng.uniform(*_VOCAL_TRACT)))


def speak(words: Sequence[str], speaker: Speaker, settings: SpokenScenes, rng: np.random.Generator) -> Speech:
    """The words (lower case, PAUSE between phrases) as `speaker` says them this once."""
    voice, vocal_tract = _vary(speaker, settings.variability, rng)
    synthesis = espeak.synthesize(words, voice, seed=int(rng.integers(1, 2**31 - 1)))
    input_rate = synthesis.sample_rate * vocal_tract
    clean = soxr.resample(synthesis.samples.astype(np.float32) / 32768, input_rate, SAMPLE_RATE)

    n_before, n_after = (int(rng.uniform(*seconds) * SAMPLE_RATE) for seconds in (_SILENCE_BEFORE, _SILENCE_AFTER))
    clean = np.pad(clean, (n_before, n_after))
    samples = _recorded(clean, settings, rng)

    phones = _phones(synthesis.segments, n_before / SAMPLE_RATE, input_rate, len(samples) / SAMPLE_RATE)
    return Speech(
        np.round(np.clip(samples, -1, 1) * 32767).astype(np.int16),
        words=_words([word.upper() for word in words if word != PAUSE], synthesis.segments, phones),
        phones=tuple(phones),
    )


def _vary(speaker: Speaker, variability: float, rng: np.random.Generator) -> tuple[Voice, float]:
    """The speaker's voice and vocal tract in one utterance."""
    vocal_tract, pitch, pitch_range, rate = (variability * rng.uniform(-1, 1) for _ in range(4))
    voice = speaker.voice._replace(
        pitch=int(np.clip(speaker.voice.pitch + _PITCH_VARIES * pitch, *_SCALE_LIMITS)),
        pitch_range=int(np.clip(speaker.voice.pitch_range + _PITCH_RANGE_VARIES * pitch_range, *_SCALE_LIMITS)),
        rate=int(speaker.voice.rate * (1 + _RATE_VARIES * rate)),
    )
    return voice, speaker.vocal_tract * (1 + _VOCAL_TRACT_VARIES * vocal_tract)


def _recorded(clean: np.ndarray, settings: SpokenScenes, rng: np.random.Generator) -> np.ndarray:
    """The clean samples (n,) float32 as a microphone in some place has them; the length and all times stay."""
    samples = _in_a_room(clean, rng) if rng.random() < settings.reverberation else clean
    tilt = rng.uniform(-settings.tilt, settings.tilt)
    samples = samples + np.float32(tilt) * np.pad(samples, (1, 0))[:-1]
    samples = samples / _rms(samples) * _gain(rng.uniform(*_LEVEL_DB))
    noise = _coloured_noise(len(samples), rng)
    return samples + noise * _rms(samples) * _gain(-rng.uniform(*settings.snr_db))


def _in_a_room(samples: np.ndarray, rng: np.random.Generator) -> np.ndarray:
    """With an exponentially decaying echo of noise."""
    n = int(rng.uniform(*_ROOM_SECONDS) * SAMPLE_RATE)
    echo = rng.standard_normal(n) * np.exp(-_SIXTY_DB * np.arange(n) / n)
    echo[: int(_ROOM_GAP * SAMPLE_RATE)] = 0
    echo *= _gain(rng.uniform(*_ROOM_DB)) / np.sqrt((echo**2).sum())
    echo[0] = 1
    size = fft.next_fast_len(len(samples) + n, real=True)
    wet: np.ndarray = fft.irfft(fft.rfft(samples, size) * fft.rfft(echo.astype(np.float32), size), size)
    return wet[: len(samples)]


def _coloured_noise(n: int, rng: np.random.Generator) -> np.ndarray:
    """Noise (n,) of deviation 1, falling with frequency, each time by another slope."""
    size = fft.next_fast_len(n, real=True)
    spectrum = fft.rfft(rng.standard_normal(size, np.float32))
    frequencies = np.arange(len(spectrum), dtype=np.float32) * (SAMPLE_RATE / size)
    spectrum *= np.maximum(1, frequencies / _NOISE_CORNER_HZ) ** -np.float32(rng.uniform(*_NOISE_SLOPE))
    noise: np.ndarray = fft.irfft(spectrum, size)[:n]
    noise /= noise.std()
    return noise


def _phones(segments: list[espeak.Segment], before: float, rate: float, duration: float) -> list[Interval]:
    """One interval a segment, in seconds of the final audio; the first and last pause reach to its ends."""
    inner = [round(before + segment.start / rate, 4) for segment in segments[1:]]
    end_of_audio = math.floor(duration * 10000) / 10000  # rounded down: nothing is past the end
    labels = [segment.phone for segment in segments]
    return list(map(Interval, [0.0, *inner], [*inner, end_of_audio], labels))


def _words(words: list[str], segments: list[espeak.Segment], phones: list[Interval]) -> tuple[Interval, ...]:
    """Each word from the start of its first phone to the end of its last."""
    own = [[p for s, p in zip(segments, phones, strict=True) if s.word == number] for number in range(len(words))]
    return tuple(Interval(parts[0].start, parts[-1].end, word) for parts, word in zip(own, words, strict=True))


def _rms(samples: np.ndarray) -> float:
    return float(np.sqrt((samples**2).mean()))


def _gain(decibels: float) -> float:
    return float(10 ** (decibels / 20))
