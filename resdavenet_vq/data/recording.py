"""One recording of any length, a block at a time: what is in memory does not grow with it.

Samples, features and refusals are those of `features.read_wav` and `features.log_mel`, bit for bit. A recording is read
three times where it is longer than `WHOLE` samples: for its length, mean and faults; for its loudest moment, which its decibels
refer to; and for its features.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator
from pathlib import Path

import numpy as np
import soxr

from resdavenet_vq.data import features

WHOLE = 1 << 23
"""Recordings of at most so many samples (almost nine minutes) are read at once."""

BLOCK = 1 << 18
"""Samples, at 16 kHz, in the blocks of longer ones."""


class Recording:
    """An audio file that was read through once and can be encoded.

    Attributes
    ----------
    path : Path
    n_samples : samples at 16 kHz
    n_frames : log-mel frames
    duration : seconds

    Raises InputError naming the file as `features.read_wav` does: missing, unreadable, truncated, not finite, of an unlikely
    rate, or, unless `allow_silent`, empty or constant.
    """

    def __init__(self, path: Path, *, allow_silent: bool = False, whole: int = WHOLE) -> None:
        self.path, self._whole = path, whole
        read, low, high = 0, np.inf, -np.inf
        finite = True
        with features.open_audio(path) as audio:
            self._rate, promised = audio.samplerate, audio.frames
            while len(block := features.read_mono(audio, BLOCK)):
                read, finite = read + len(block), finite and bool(np.isfinite(block).all())
                low, high = min(low, block.min()), max(high, block.max())
        constant = not read or bool(low == high)
        features.check_audio(path, read, promised, finite=finite, constant=constant, allow_silent=allow_silent)
        self.n_samples = int(read * features.SAMPLE_RATE / self._rate + 0.5)
        self.n_frames = features.frame_count(self.n_samples)
        self.duration = self.n_samples / features.SAMPLE_RATE

    def log_mel(self) -> Iterator[np.ndarray]:
        """The features in blocks (frames, 40) float32, one after another."""
        if self.n_samples <= self._whole:
            yield features.log_mel(features.read_wav(self.path))
            return
        # A sum of 16-bit samples is exact in double precision, in whatever order.
        mean = np.float32(sum(float(block.sum(dtype=np.float64)) for block in self._samples()) / self.n_samples)
        loudest = max(float(mel.max()) for mel in self._mel_power(mean))
        for mel in self._mel_power(mean):
            yield features.decibels(mel, loudest)

    def _mel_power(self, mean: np.float32) -> Iterator[np.ndarray]:
        return features.mel_power(self._samples(), self.n_samples, mean)

    def _samples(self) -> Iterator[np.ndarray]:
        """The audio at 16 kHz in blocks of equal length, the last one shorter."""
        return _of_equal_length(self._resampled(), BLOCK)

    def _resampled(self) -> Iterator[np.ndarray]:
        with features.open_audio(self.path) as audio:
            if self._rate == features.SAMPLE_RATE:
                while len(block := features.read_mono(audio, BLOCK)):
                    yield block
                return
            stream = soxr.ResampleStream(
                self._rate, features.SAMPLE_RATE, 1, dtype="float32", quality=features.RESAMPLER
            )
            while len(block := features.read_mono(audio, BLOCK)):
                yield stream.resample_chunk(block)
            yield stream.resample_chunk(np.empty(0, np.float32), last=True)


def _of_equal_length(blocks: Iterable[np.ndarray], length: int) -> Iterator[np.ndarray]:
    """The same samples in blocks of another length."""
    buffer = np.empty(0, np.float32)
    for block in blocks:
        buffer = np.concatenate([buffer, block])
        while len(buffer) >= length:
            yield buffer[:length]
            buffer = buffer[length:]
    if len(buffer):
        yield buffer
