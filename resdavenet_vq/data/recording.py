"""Recordings of any length, read a block at a time."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import numpy as np
import soxr

from resdavenet_vq import files
from resdavenet_vq.data import audio
from resdavenet_vq.data.audio import check_samples, open_audio, read_blocks, read_wav
from resdavenet_vq.data.features import RESAMPLER, SAMPLE_RATE, decibels, frame_count, log_mel, mel_power
from resdavenet_vq.data.features import check as check_features
from resdavenet_vq.errors import InputError


class Recording:
    """One audio file of any length, read a block at a time: the memory needed does not grow with it.

    Samples, features and refusals are those of `read_wav` and `log_mel`, bit for bit. A recording longer than `audio.WHOLE`
    is read three times: for its length, mean and faults; for its loudest moment, which its decibels refer to; and for
    its features. It has `n_samples` at 16 kHz, `n_frames` of features, and a `duration` in seconds.
    """

    def __init__(self, path: Path, *, allow_silent: bool = False, whole: int = audio.WHOLE) -> None:
        self.path, self._whole = path, whole
        with open_audio(path, audio.MAX_RECORDING_SECONDS) as file:
            self._rate = file.samplerate
        self._version = _version(path)
        n, low, high = 0, np.inf, -np.inf
        for block in read_blocks(path):
            n, low, high = n + len(block), np.minimum(low, block.min()), np.maximum(high, block.max())
        check_samples(path, n, low, high, allow_silent=allow_silent)
        self.n_samples = int(n * SAMPLE_RATE / self._rate + 0.5)
        self.n_frames = frame_count(self.n_samples)
        self.duration = self.n_samples / SAMPLE_RATE

    def log_mel(self) -> Iterator[np.ndarray]:
        """The features in blocks (frames, 40) float32, one after another.

        Raises InputError if the file has changed since it was read through.
        """
        if self.n_samples <= self._whole:
            with self._unchanged():
                samples = read_wav(self.path)
                self._check_end(len(samples))
            yield self._checked(log_mel(samples))
            return
        # A sum of 16-bit samples is exact in double precision, in whatever order.
        mean = np.float32(sum(float(block.sum(dtype=np.float64)) for block in self._samples()) / self.n_samples)
        loudest = max(float(mel.max()) for mel in mel_power(self._samples(), self.n_samples, mean))
        for mel in mel_power(self._samples(), self.n_samples, mean):
            yield self._checked(decibels(mel, loudest))

    def _checked(self, logmel: np.ndarray) -> np.ndarray:
        try:
            check_features(logmel)
        except InputError as e:
            raise InputError(f"{self.path}: {e}") from None
        return logmel

    def _samples(self) -> Iterator[np.ndarray]:
        """The audio at 16 kHz in blocks of equal length, the last one shorter."""
        buffer, n = np.empty(0, np.float32), 0
        with self._unchanged():
            for block in self._resampled():
                n += len(block)
                if n > self.n_samples:
                    break
                buffer = np.concatenate([buffer, block])
                while len(buffer) >= audio.BLOCK:
                    yield buffer[: audio.BLOCK]
                    buffer = buffer[audio.BLOCK :]
            self._check_end(n)
            if len(buffer):
                yield buffer

    @contextmanager
    def _unchanged(self) -> Iterator[None]:
        """Tells every InputError of the block as a change, as the file could be read before."""
        try:
            yield
        except InputError as e:
            fault = str(e).removeprefix(f"{self.path}: ")
            raise InputError(f"{self.path}: changed while it was read ({fault}); run it again") from None

    def _check_end(self, n: int) -> None:
        if n != self.n_samples or _version(self.path) != self._version:
            raise InputError("another length, size or time")

    def _resampled(self) -> Iterator[np.ndarray]:
        if self._rate == SAMPLE_RATE:
            yield from read_blocks(self.path)
            return
        stream = soxr.ResampleStream(self._rate, SAMPLE_RATE, 1, dtype="float32", quality=RESAMPLER)
        for block in read_blocks(self.path):
            yield stream.resample_chunk(block)
        yield stream.resample_chunk(np.empty(0, np.float32), last=True)


def _version(path: Path) -> tuple[int, ...]:
    """What tells whether a file was changed or replaced."""
    with files.reading(path):
        status = path.stat()
    return status.st_dev, status.st_ino, status.st_size, status.st_mtime_ns


def read_through(path: Path) -> Recording | str:
    """The recording, or why it cannot be used."""
    try:
        return Recording(path)
    except InputError as e:
        return str(e).removeprefix(f"{path}: ")
