"""From samples to log-mel features: the only short-time Fourier transform and the only mel scale.

Conventions: audio is mono float32 at 16 kHz; features are (T frames, M = 40 mel bands) float32 in dB
relative to the utterance's own maximum, in [-80, 0]. Frame f is centered on sample 160 f, so an
utterance of n samples has 1 + n // 160 frames (`frame_count`).
"""

from __future__ import annotations

import hashlib
import json
import math
from collections.abc import Iterable, Iterator
from functools import cache
from typing import TYPE_CHECKING, Any

import numpy as np
from numpy.lib.stride_tricks import sliding_window_view

from resdavenet_vq.errors import InputError

if TYPE_CHECKING:
    from scipy.sparse import csr_array

SAMPLE_RATE = 16_000
N_FFT = 400
WINDOW_LENGTH = 400
HOP_LENGTH = 160
N_MELS = 40
MEL_FMIN = 20.0
MEL_FMAX = SAMPLE_RATE / 2
PREEMPHASIS = 0.97
AMIN = 1e-10
TOP_DB = 80.0
PAD_VALUE = {"zero": 0.0, "floor": -TOP_DB}  # meaning of `recipe.pad_value`, in dB

EMPTY_LENGTH = 200  # zeros in place of empty audio
FRAME_PERIOD = HOP_LENGTH / SAMPLE_RATE  # seconds
RESAMPLER = "HQ"  # quality of soxr

PLOT_N_FFT = 1024
PLOT_WINDOW_LENGTH = 80
PLOT_HOP_LENGTH = 32
PLOT_FRAME_PERIOD = PLOT_HOP_LENGTH / SAMPLE_RATE  # seconds, of `plot_spectrogram`

SETTINGS: dict[str, Any] = {
    "sample_rate": SAMPLE_RATE,
    "resampler": f"soxr {RESAMPLER}",
    "n_fft": N_FFT,
    "window": "symmetric Hamming",
    "window_length": WINDOW_LENGTH,
    "hop_length": HOP_LENGTH,
    "padding": "centred, reflect",
    "preemphasis": PREEMPHASIS,
    "n_mels": N_MELS,
    "mel": "Slaney scale and norm",
    "mel_fmin": MEL_FMIN,
    "mel_fmax": MEL_FMAX,
    "amin": AMIN,
    "top_db": TOP_DB,
}
"""Everything that the features depend on, audio included."""

SETTINGS_HASH = hashlib.sha256(json.dumps(SETTINGS, sort_keys=True).encode()).hexdigest()[:16]
"""Features with equal hashes may meet in one model."""

HEAVY = ("scipy.fft", "scipy.sparse")
"""What computing features loads, when it begins: commands that only read or write them need half the time to start."""

_BLOCK = 128  # frames transformed at a time: fits in the cache, and bounds memory


def frame_count(n_samples: int) -> int:
    """Frames of an utterance of `n_samples` samples at 16 kHz."""
    return 1 + (n_samples or EMPTY_LENGTH) // HOP_LENGTH


def log_mel(samples: np.ndarray) -> np.ndarray:
    """Log-mel features (T, 40) float32 in [-80, 0] dB of audio as `audio.read_wav` gives it.

    A constant utterance is 0 dB throughout. Memory beyond the result stays bounded by the samples'.
    """
    return decibels(_mel_power(_frames(samples, N_FFT, HOP_LENGTH)))


def check(logmel: np.ndarray) -> None:
    """Raises InputError with the fault alone unless all values are from -80 to 0 dB."""
    if not -TOP_DB <= logmel.min() <= logmel.max() <= 0:  # false for NaN
        raise InputError("its features are not finite; what level does the audio have?")


def mel_power(blocks: Iterable[np.ndarray], n_samples: int, mean: np.float32) -> Iterator[np.ndarray]:
    """Mel power (frames, 40) of audio too long to hold; `decibels` of it, with the loudest, is `log_mel` bit for bit.

    The audio comes in `blocks`, the first of them longer than half a window; `mean` is that of all `n_samples`.
    """
    total, done, buffer = frame_count(n_samples), 0, np.empty(0, np.float32)
    for part in _padded(blocks, mean):
        buffer = np.concatenate([buffer, part])
        whole = max(0, (len(buffer) - N_FFT) // HOP_LENGTH + 1) // _BLOCK * _BLOCK  # in blocks as log_mel has them
        if whole:
            yield _mel_power(sliding_window_view(buffer, N_FFT)[: whole * HOP_LENGTH : HOP_LENGTH])
            done, buffer = done + whole, buffer[whole * HOP_LENGTH :]
    if done < total:
        yield _mel_power(sliding_window_view(buffer, N_FFT)[::HOP_LENGTH])


def decibels(power: np.ndarray, loudest: float | None = None) -> np.ndarray:
    """Decibels below the maximum, or below the `loudest` power of a whole of which this is a part; in place."""
    np.maximum(power, AMIN, out=power)
    power /= power.max() if loudest is None else np.float32(max(loudest, AMIN))
    np.log(power, out=power)
    power *= 10 / math.log(10)
    np.maximum(power, -TOP_DB, out=power)
    return power


def plot_spectrogram(samples: np.ndarray) -> np.ndarray:
    """A fine power spectrogram for drawing: (513 bins up to 8 kHz, frames of 2 ms) float32 in [-80, 0] dB."""
    frames = _frames(samples, PLOT_N_FFT, PLOT_HOP_LENGTH)
    spectrogram = np.concatenate([power for _, power in _power(frames, _window(PLOT_WINDOW_LENGTH, PLOT_N_FFT))])
    return decibels(spectrogram).T


def _frames(samples: np.ndarray, n_fft: int, hop: int) -> np.ndarray:
    """A view (T, n_fft) of the centered, pre-emphasised, reflect-padded audio; T = 1 + samples // hop."""
    y = samples if len(samples) else np.zeros(EMPTY_LENGTH, np.float32)
    y = y - y.mean(dtype=np.float64).astype(np.float32)
    n, half = len(y), n_fft // 2
    padded = np.empty(n + n_fft, np.float32)
    middle = padded[half : half + n]
    middle[0] = y[0]
    np.multiply(y[:-1], -PREEMPHASIS, out=middle[1:])
    middle[1:] += y[1:]
    if n > half:
        padded[:half] = middle[half:0:-1]
        padded[half + n :] = middle[-2 : -half - 2 : -1]
    else:
        padded = np.pad(middle, half, mode="reflect")
    return sliding_window_view(padded, n_fft)[::hop]


def _padded(blocks: Iterable[np.ndarray], mean: np.float32) -> Iterator[np.ndarray]:
    """The centered, pre-emphasised, reflect-padded audio of `_frames`, block by block."""
    half, before, tail = N_FFT // 2, None, np.empty(0, np.float32)
    for samples in blocks:
        y = samples - mean
        middle = np.empty_like(y)
        middle[0] = y[0] if before is None else before * -PREEMPHASIS + y[0]
        np.multiply(y[:-1], -PREEMPHASIS, out=middle[1:])
        middle[1:] += y[1:]
        if before is None:
            yield middle[half:0:-1]
        yield middle
        before, tail = y[-1], np.concatenate([tail, middle])[-half - 1 :]
    yield tail[-2 : -half - 2 : -1]


def _mel_power(frames: np.ndarray) -> np.ndarray:
    """Power (T, 40) in the mel bands of windows (T, 400)."""
    mel = np.empty((len(frames), N_MELS), np.float32)
    for start, power in _power(frames, _window(WINDOW_LENGTH, N_FFT)):
        mel[start : start + len(power)] = (_mel_bands() @ power.T).T
    return mel


def _power(frames: np.ndarray, window: np.ndarray) -> Iterator[tuple[int, np.ndarray]]:
    """Power spectra (at most _BLOCK frames, bins), each with the number of its first frame."""
    from scipy import fft  # takes three times as long to import as NumPy, and what reads features does without

    windowed = np.empty((min(_BLOCK, len(frames)), len(window)), np.float32)
    for start in range(0, len(frames), _BLOCK):
        block = frames[start : start + _BLOCK]
        spectrum = fft.rfft(np.multiply(block, window, out=windowed[: len(block)]), axis=1)
        power = np.square(spectrum.real)
        power += np.square(spectrum.imag)
        yield start, power


@cache
def _window(length: int, n_fft: int) -> np.ndarray:
    """A symmetric Hamming window in the middle of n_fft samples."""
    left = (n_fft - length) // 2
    return np.pad(np.hamming(length), (left, n_fft - length - left)).astype(np.float32)


@cache
def _mel_bands() -> csr_array:
    """Triangular filters (40, 201) on Slaney's mel scale, each of unit area; sparse: a bin feeds at most two bands."""
    from scipy.sparse import csr_array

    edges = _mel_to_hz(np.linspace(hz_to_mel(MEL_FMIN), hz_to_mel(MEL_FMAX), N_MELS + 2))
    bins = np.fft.rfftfreq(N_FFT, 1 / SAMPLE_RATE)
    rising = (bins - edges[:-2, None]) / np.diff(edges)[:-1, None]
    falling = (edges[2:, None] - bins) / np.diff(edges)[1:, None]
    weights = np.maximum(0, np.minimum(rising, falling)) * (2 / (edges[2:] - edges[:-2]))[:, None]
    return csr_array(weights.astype(np.float32))


# Slaney's scale: linear up to 1 kHz (3 mel per 200 Hz), then 27 mel per factor of 6.4.
def hz_to_mel(hz: float) -> float:
    """A frequency on Slaney's mel scale."""
    return hz * 3 / 200 if hz < 1000 else 15 + 27 * math.log(hz / 1000) / math.log(6.4)


def _mel_to_hz(mel: np.ndarray) -> np.ndarray:
    return np.where(mel < 15, mel * 200 / 3, 1000 * 6.4 ** ((mel - 15) / 27))
