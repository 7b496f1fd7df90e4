"""From a wav file to log-mel features; the only module that knows the short-time Fourier transform.

Conventions: audio is mono float32 at 16 kHz; features are (T frames, M = 40 mel bands) float32 in dB
relative to the utterance's own maximum, in [-80, 0]. Frame f is centred on sample 160 f, so an
utterance of n samples has 1 + n // 160 frames (`frame_count`).
"""

from __future__ import annotations

import hashlib
import json
import math
import os
import stat
import struct
from collections.abc import Iterable, Iterator
from contextlib import contextmanager
from functools import cache
from pathlib import Path
from typing import Any

import numpy as np
import scipy.fft
import scipy.sparse
import soundfile
import soxr
from numpy.lib.stride_tricks import sliding_window_view

from resdavenet_vq.data.wav import read_plain
from resdavenet_vq.errors import InputError

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
PAD_VALUE = {"zero": 0.0, "floor": -TOP_DB}
"""What `recipe.pad_value` means in dB."""

EMPTY_LENGTH = 200
"""Empty audio counts as so many zeros."""

FRAME_PERIOD = HOP_LENGTH / SAMPLE_RATE
"""Seconds from one frame to the next."""

RESAMPLER = "HQ"
"""Of soxr."""

PLOT_N_FFT = 1024
PLOT_WINDOW_LENGTH = 80
PLOT_HOP_LENGTH = 32
PLOT_FRAME_PERIOD = PLOT_HOP_LENGTH / SAMPLE_RATE
"""Seconds from one column of `plot_spectrogram` to the next."""

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
"""Everything that the features depend on."""

SETTINGS_HASH = hashlib.sha256(json.dumps(SETTINGS, sort_keys=True).encode()).hexdigest()[:16]
"""Features with equal hashes may meet in one model."""

_SAMPLE_RATES = range(4_000, 384_001)  # a rate of 1 Hz would grow 16,000-fold
_BLOCK = 128  # frames transformed at a time: fits in the cache, and bounds memory


def read_wav(path: Path, *, allow_silent: bool = True) -> np.ndarray:
    """The audio of a file as float32 (samples,): channels averaged, resampled to 16 kHz (soxr HQ).

    Raises InputError naming the file: missing, unreadable, shorter than its header promises, not
    finite, of an unlikely sample rate, or, unless `allow_silent`, empty or constant.
    """
    plain = read_plain(path)
    if plain is not None and plain[0] in _SAMPLE_RATES:
        rate, promised, finite, samples = plain[0], len(plain[1]), True, _mono(plain[1])
    else:
        with open_audio(path) as audio:
            rate, promised = audio.samplerate, audio.frames
            samples = read_mono(audio)
        finite = bool(np.isfinite(samples).all())
    constant = not len(samples) or bool(samples.min() == samples.max())
    check_audio(path, len(samples), promised, finite=finite, constant=constant, allow_silent=allow_silent)
    if rate != SAMPLE_RATE and len(samples):
        samples = soxr.resample(samples, rate, SAMPLE_RATE, quality=RESAMPLER)
    return samples


@contextmanager
def open_audio(path: Path) -> Iterator[soundfile.SoundFile]:
    """An audio file to read from. Raises InputError naming it, here or while it is read: missing, unreadable, of an unlikely rate."""
    try:
        _check_header(path)
        with soundfile.SoundFile(path) as audio:
            if audio.samplerate not in _SAMPLE_RATES:
                raise InputError(
                    f"{path}: a sample rate of {audio.samplerate} Hz is not that of speech ({_SAMPLE_RATES[0]} to {_SAMPLE_RATES[-1]})"
                )
            yield audio
    except OSError as e:
        raise InputError(f"{path}: {_os_reason(e)}") from None
    except soundfile.LibsndfileError as e:
        raise InputError(f"{path}: cannot be read as audio ({e.error_string.rstrip('.')})") from None


def read_mono(audio: soundfile.SoundFile, most: int = -1) -> np.ndarray:
    """The next samples of a file, all or so many at most, as float32 (samples,) at its own rate: channels averaged."""
    if audio.subtype == "PCM_16":  # libsndfile makes the same floats, three times slower
        return _mono(audio.read(most, dtype="int16", always_2d=True))
    return _mono(audio.read(most, dtype="float32", always_2d=True))


def _mono(channels: np.ndarray) -> np.ndarray:
    """The mean of channels (samples, channels), int16 or float32, as float32 (samples,)."""
    if channels.dtype == np.int16:
        channels = channels.astype(np.float32)
        channels *= 1 / 32768
    mono: np.ndarray = channels[:, 0] if channels.shape[1] == 1 else channels.mean(axis=1)
    return mono


def check_audio(path: Path, n: int, promised: int, *, finite: bool, constant: bool, allow_silent: bool) -> None:
    """Raises InputError for audio that no utterance may have, of which `n` samples could be read."""
    if n != promised:
        raise InputError(f"{path}: truncated, {n} of {promised} samples could be read")
    if not finite:
        raise InputError(f"{path}: contains NaN or infinite samples")
    if not allow_silent and not n:
        raise InputError(f"{path}: no samples; set allow_silent to accept empty audio")
    if not allow_silent and constant:
        raise InputError(f"{path}: silent, all samples are equal; set allow_silent to accept it")


def length_of_wav(path: Path) -> int:
    """The 16 kHz samples that `read_wav` would give, by the file's header. Raises InputError naming the file."""
    try:
        _check_header(path)
        audio = soundfile.info(path)
    except OSError as e:
        raise InputError(f"{path}: {_os_reason(e)}") from None
    except soundfile.LibsndfileError as e:
        raise InputError(f"{path}: cannot be read as audio ({e.error_string.rstrip('.')})") from None
    return int(audio.frames * SAMPLE_RATE / audio.samplerate + 0.5)


def frame_count(n_samples: int) -> int:
    """Frames of an utterance of `n_samples` samples at 16 kHz."""
    return 1 + (n_samples or EMPTY_LENGTH) // HOP_LENGTH


def log_mel(samples: np.ndarray) -> np.ndarray:
    """Log-mel features (T, 40) float32 in [-80, 0] dB of audio as `read_wav` gives it.

    A constant utterance is 0 dB throughout. Memory beyond the result stays bounded by the samples'.
    """
    return decibels(_mel_power(_frames(samples, N_FFT, HOP_LENGTH)))


def mel_power(blocks: Iterable[np.ndarray], n_samples: int, mean: np.float32) -> Iterator[np.ndarray]:
    """Mel power (frames, 40) of audio too long to hold: `decibels` of it, with the largest power of all, is `log_mel` bit for bit.

    The audio comes in `blocks`, the first of them longer than half a window; `mean` is that of all `n_samples`.
    """
    total, done, buffer = frame_count(n_samples), 0, np.empty(0, np.float32)
    for part in _padded(blocks, mean):
        buffer = np.concatenate([buffer, part])
        whole = (
            max(0, (len(buffer) - N_FFT) // HOP_LENGTH + 1) // _BLOCK * _BLOCK
        )  # the transform sees the blocks that log_mel shows it
        if whole:
            yield _mel_power(sliding_window_view(buffer, N_FFT)[: whole * HOP_LENGTH : HOP_LENGTH])
            done, buffer = done + whole, buffer[whole * HOP_LENGTH :]
    if done < total:
        yield _mel_power(sliding_window_view(buffer, N_FFT)[::HOP_LENGTH])


def decibels(power: np.ndarray, loudest: float | None = None) -> np.ndarray:
    """Decibels below the maximum, or below the `loudest` power of a whole of which this is a part, at least -80; in place."""
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
    """A view (T, n_fft) of the centred, pre-emphasised, reflect-padded audio; T = 1 + samples // hop."""
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
    """The centred, pre-emphasised, reflect-padded audio of `_frames`, block by block."""
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
    windowed = np.empty((min(_BLOCK, len(frames)), len(window)), np.float32)
    for start in range(0, len(frames), _BLOCK):
        block = frames[start : start + _BLOCK]
        spectrum = scipy.fft.rfft(np.multiply(block, window, out=windowed[: len(block)]), axis=1)
        power = np.square(spectrum.real)
        power += np.square(spectrum.imag)
        yield start, power


@cache
def _window(length: int, n_fft: int) -> np.ndarray:
    """A symmetric Hamming window in the middle of n_fft samples."""
    left = (n_fft - length) // 2
    return np.pad(np.hamming(length), (left, n_fft - length - left)).astype(np.float32)


@cache
def _mel_bands() -> scipy.sparse.csr_array:
    """Triangular filters (40, 201) on Slaney's mel scale, each of unit area; sparse, as each bin feeds at most two bands."""
    edges = _slaney_to_hz(np.linspace(hz_to_mel(MEL_FMIN), hz_to_mel(MEL_FMAX), N_MELS + 2))
    bins = np.fft.rfftfreq(N_FFT, 1 / SAMPLE_RATE)
    rising = (bins - edges[:-2, None]) / np.diff(edges)[:-1, None]
    falling = (edges[2:, None] - bins) / np.diff(edges)[1:, None]
    weights = np.maximum(0, np.minimum(rising, falling)) * (2 / (edges[2:] - edges[:-2]))[:, None]
    return scipy.sparse.csr_array(weights.astype(np.float32))


# Slaney's scale: linear up to 1 kHz (3 mel per 200 Hz), then 27 mel per factor of 6.4.
def hz_to_mel(hz: float) -> float:
    """Slaney's mel scale: linear up to 1 kHz, logarithmic above."""
    return hz * 3 / 200 if hz < 1000 else 15 + 27 * math.log(hz / 1000) / math.log(6.4)


def _slaney_to_hz(mel: np.ndarray) -> np.ndarray:
    return np.where(mel < 15, mel * 200 / 3, 1000 * 6.4 ** ((mel - 15) / 27))


def _check_header(path: Path) -> None:
    """Compares a RIFF file's length with what its header promises: libsndfile reads a truncated file short without a word."""
    with path.open("rb") as f:
        status = os.fstat(f.fileno())
        if not stat.S_ISREG(status.st_mode):
            raise InputError(f"{path}: is no regular file")
        if status.st_size == 0:
            raise InputError(f"{path}: is empty (0 bytes)")
        head = f.read(12)
        if head[:4] != b"RIFF" or head[8:12] != b"WAVE":
            return  # other formats know their length, which the reader checks
        while len(header := f.read(8)) == 8:
            name, size = header[:4], struct.unpack("<I", header[4:])[0]
            if name == b"data":
                left = status.st_size - f.tell()
                if size > left and size != 0xFFFFFFFF:  # all ones: written to a pipe, promises nothing
                    raise InputError(
                        f"{path}: truncated, its header promises {size} bytes of audio and {left} are there"
                    )
                return
            f.seek(size + size % 2, 1)
    raise InputError(f"{path}: truncated, the header ends before any audio")


def _os_reason(error: OSError) -> str:
    return "no such file" if isinstance(error, FileNotFoundError) else f"cannot be read ({error.strerror or error})"
