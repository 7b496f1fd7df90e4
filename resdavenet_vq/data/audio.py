"""From audio files to mono float32 samples at 16 kHz: the only module that opens audio."""

from __future__ import annotations

import os
import stat
import struct
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import BinaryIO

import numpy as np
import soundfile
import soxr

from resdavenet_vq import files
from resdavenet_vq.data.features import RESAMPLER, SAMPLE_RATE, decibels, frame_count, log_mel, mel_power
from resdavenet_vq.errors import InputError

WHOLE = 1 << 23  # longest recording, in samples, that is read at once: almost nine minutes

BLOCK = 1 << 18  # samples at 16 kHz in the blocks of longer ones

_SAMPLE_RATES = range(4_000, 384_001)  # a rate of 1 Hz would grow 16,000-fold
_PCM, _BITS = 1, 16


def read_wav(path: Path, *, allow_silent: bool = True) -> np.ndarray:
    """The audio of a file as float32 (samples,): channels averaged, resampled to 16 kHz (soxr HQ).

    Raises InputError naming the file: missing, unreadable, shorter than its header promises, not
    finite, of an unlikely sample rate, or, unless `allow_silent`, empty or constant.
    """
    plain = _read_plain(path)
    if plain is not None and plain[0] in _SAMPLE_RATES:
        rate, n_promised, samples = plain[0], len(plain[1]), _mono(plain[1])
    else:
        with _open(path) as audio:
            rate, n_promised, samples = audio.samplerate, audio.frames, _read_mono(audio)
    low, high = (samples.min(), samples.max()) if len(samples) else (0, 0)
    _check_samples(path, len(samples), n_promised, low, high, allow_silent=allow_silent)
    if rate != SAMPLE_RATE and len(samples):
        samples = soxr.resample(samples, rate, SAMPLE_RATE, quality=RESAMPLER)
    return samples


def length_of_wav(path: Path) -> int:
    """The number of 16 kHz samples that `read_wav` would give, by the header. Raises InputError naming the file."""
    with _opening(path):
        audio = soundfile.info(path)
    return int(audio.frames * SAMPLE_RATE / audio.samplerate + 0.5)


@contextmanager
def _open(path: Path) -> Iterator[soundfile.SoundFile]:
    """Raises InputError naming the file: missing, unreadable even later, or of an unlikely rate."""
    with _opening(path), soundfile.SoundFile(path) as audio:
        if audio.samplerate not in _SAMPLE_RATES:
            limits = f"{_SAMPLE_RATES[0]} to {_SAMPLE_RATES[-1]}"
            raise InputError(f"{path}: a sample rate of {audio.samplerate} Hz is not that of speech ({limits})")
        yield audio


def _read_mono(audio: soundfile.SoundFile, limit: int = -1) -> np.ndarray:
    """The next samples of a file, at most `limit`, as float32 (samples,) at its own rate: channels averaged."""
    dtype = "int16" if audio.subtype == "PCM_16" else "float32"  # libsndfile makes the same floats, three times slower
    return _mono(audio.read(limit, dtype=dtype, always_2d=True))


def _read_blocks(path: Path) -> Iterator[np.ndarray]:
    with _open(path) as audio:
        while len(block := _read_mono(audio, BLOCK)):
            yield block


class Recording:
    """One audio file of any length, read a block at a time: the memory needed does not grow with it.

    Samples, features and refusals are those of `read_wav` and `log_mel`, bit for bit. A recording longer than `WHOLE`
    is read three times: for its length, mean and faults; for its loudest moment, which its decibels refer to; and for
    its features. It has `n_samples` at 16 kHz, `n_frames` of features, and a `duration` in seconds.
    """

    def __init__(self, path: Path, *, allow_silent: bool = False, whole: int = WHOLE) -> None:
        self.path, self._whole = path, whole
        with _open(path) as audio:
            self._rate, n_promised = audio.samplerate, audio.frames
        n, low, high = 0, np.inf, -np.inf
        for block in _read_blocks(path):
            n, low, high = n + len(block), np.minimum(low, block.min()), np.maximum(high, block.max())
        _check_samples(path, n, n_promised, low, high, allow_silent=allow_silent)
        self.n_samples = int(n * SAMPLE_RATE / self._rate + 0.5)
        self.n_frames = frame_count(self.n_samples)
        self.duration = self.n_samples / SAMPLE_RATE

    def log_mel(self) -> Iterator[np.ndarray]:
        """The features in blocks (frames, 40) float32, one after another."""
        if self.n_samples <= self._whole:
            yield log_mel(read_wav(self.path))
            return
        # A sum of 16-bit samples is exact in double precision, in whatever order.
        mean = np.float32(sum(float(block.sum(dtype=np.float64)) for block in self._samples()) / self.n_samples)
        loudest = max(float(mel.max()) for mel in mel_power(self._samples(), self.n_samples, mean))
        for mel in mel_power(self._samples(), self.n_samples, mean):
            yield decibels(mel, loudest)

    def _samples(self) -> Iterator[np.ndarray]:
        """The audio at 16 kHz in blocks of equal length, the last one shorter."""
        buffer = np.empty(0, np.float32)
        for block in self._resampled():
            buffer = np.concatenate([buffer, block])
            while len(buffer) >= BLOCK:
                yield buffer[:BLOCK]
                buffer = buffer[BLOCK:]
        if len(buffer):
            yield buffer

    def _resampled(self) -> Iterator[np.ndarray]:
        if self._rate == SAMPLE_RATE:
            yield from _read_blocks(self.path)
            return
        stream = soxr.ResampleStream(self._rate, SAMPLE_RATE, 1, dtype="float32", quality=RESAMPLER)
        for block in _read_blocks(self.path):
            yield stream.resample_chunk(block)
        yield stream.resample_chunk(np.empty(0, np.float32), last=True)


def _mono(channels: np.ndarray) -> np.ndarray:
    """The mean of channels (samples, channels), int16 or float32, as float32 (samples,)."""
    if channels.dtype == np.int16:
        channels = channels.astype(np.float32)
        channels *= 1 / 32768
    mono: np.ndarray = channels[:, 0] if channels.shape[1] == 1 else channels.mean(axis=1)
    return mono


def _check_samples(path: Path, n: int, n_promised: int, low: float, high: float, *, allow_silent: bool) -> None:
    """Raises InputError for audio that no utterance may have, of which `n` samples from low to high could be read."""
    if n != n_promised:
        raise InputError(f"{path}: truncated, {n} of {n_promised} samples could be read")
    if n and not np.isfinite([low, high]).all():
        raise InputError(f"{path}: contains NaN or infinite samples")
    if not allow_silent and not n:
        raise InputError(f"{path}: no samples")
    if not allow_silent and low == high:
        raise InputError(f"{path}: silent, all samples are equal")


@contextmanager
def _opening(path: Path) -> Iterator[None]:
    """Checks the header first, and makes InputErrors of what the system and libsndfile raise."""
    try:
        with files.reading(path):
            with path.open("rb") as file:
                _parse_header(path, file)
            yield
    except soundfile.LibsndfileError as e:
        raise InputError(f"{path}: cannot be read as audio ({e.error_string.rstrip('.')})") from None


def _read_plain(path: Path) -> tuple[int, np.ndarray] | None:
    """The sample rate and the samples, int16 (samples, channels), of a plain wav file; None for any other.

    Most speech corpora are such files, and libsndfile takes three times as long to give the same numbers. Whatever else
    a file is, and any fault, is left to `_open`.
    """
    try:
        with path.open("rb") as file:
            plain = _parse_header(path, file)
            if plain is None:
                return None
            rate, n_channels, start = plain
            file.seek(start)
            samples = np.fromfile(file, "<i2")
            size = os.fstat(file.fileno()).st_size
    except (OSError, InputError):
        return None
    return (rate, samples.reshape(-1, n_channels)) if 2 * len(samples) == size - start else None


def _parse_header(path: Path, file: BinaryIO) -> tuple[int, int, int] | None:
    """The rate, the channels and the first sample's byte of 16-bit PCM that reaches to the end of a wav file.

    None for any other file. Raises InputError for a RIFF file that is shorter than its header promises.

    libsndfile silently returns fewer samples for a truncated file. Other formats state their length, which is checked
    after reading.
    """
    status = os.fstat(file.fileno())
    if not stat.S_ISREG(status.st_mode):
        raise InputError(f"{path}: is no regular file")
    if status.st_size == 0:
        raise InputError(f"{path}: is empty (0 bytes)")
    head = file.read(12)
    if head[:4] != b"RIFF" or head[8:12] != b"WAVE":
        return None
    form = b""
    while len(header := file.read(8)) == 8:
        name, size = struct.unpack("<4sI", header)
        start = file.tell()
        if name == b"data":
            left = status.st_size - start
            if size > left and size != 0xFFFFFFFF:  # all ones: written to a pipe, promises nothing
                raise InputError(f"{path}: truncated, its header promises {size} bytes of audio and {left} are there")
            return _plain(form, start, size) if size == left else None
        if name == b"fmt " and size >= 16:
            form = file.read(16)
        file.seek(start + size + size % 2)
    raise InputError(f"{path}: truncated, the header ends before any audio")


def _plain(form: bytes, start: int, size: int) -> tuple[int, int, int] | None:
    if len(form) < 16:
        return None
    tag, channels, rate, _, width, bits = struct.unpack("<HHIIHH", form)
    is_plain = tag == _PCM and bits == _BITS and channels and width == channels * _BITS // 8
    return (rate, channels, start) if is_plain and size and size % width == 0 else None
