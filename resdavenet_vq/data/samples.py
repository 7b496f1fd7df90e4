"""Audio that is in memory already: arrays of samples, beside `recording` for files."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

import numpy as np
import soxr

from resdavenet_vq.data.audio import SAMPLE_RATES, check_samples
from resdavenet_vq.data.features import RESAMPLER, SAMPLE_RATE, frame_count, log_mel
from resdavenet_vq.data.features import check as check_features
from resdavenet_vq.errors import InputError

FULL_SCALE = {"int16": 2**15, "int32": 2**31}
"""Of integer samples."""

_FLOATS = ("float16", "float32", "float64")


class Samples:
    """Mono audio in an array of samples; `name` stands for its path in errors.

    Features are those of `Recording` from a file with these samples, bit for bit. It has `n_samples` at 16 kHz,
    `n_frames` of features, and a `duration` in seconds.
    """

    def __init__(self, samples: np.ndarray, sample_rate: float, name: str) -> None:
        self.path = Path(name)
        if sample_rate not in SAMPLE_RATES:
            limits = f"{SAMPLE_RATES[0]} to {SAMPLE_RATES[-1]}"
            raise InputError(
                f"{name}: a sample_rate of {sample_rate} Hz is not that of speech ({limits}, whole numbers)"
            )
        self._rate, self._samples = int(sample_rate), _mono(samples, name)
        x = self._samples
        low, high = (float(x.min()), float(x.max())) if len(x) else (0.0, 0.0)
        scale = FULL_SCALE.get(str(x.dtype), 1)
        check_samples(self.path, len(x), low / scale, high / scale, allow_silent=False)
        self.n_samples = int(len(x) * SAMPLE_RATE / self._rate + 0.5)
        self.n_frames = frame_count(self.n_samples)
        self.duration = self.n_samples / SAMPLE_RATE

    def log_mel(self) -> Iterator[np.ndarray]:
        """The features (T, 40) float32, in one block."""
        samples, scale = self._samples, FULL_SCALE.get(str(self._samples.dtype))
        samples = np.ascontiguousarray(samples, np.float32)
        if scale:
            samples = samples * np.float32(1 / scale)
        if self._rate != SAMPLE_RATE:
            samples = soxr.resample(samples, self._rate, SAMPLE_RATE, quality=RESAMPLER)
        logmel = log_mel(samples)
        try:
            check_features(logmel)
        except InputError as e:
            raise InputError(f"{self.path}: {e}") from None
        yield logmel


def _mono(samples: np.ndarray, name: str) -> np.ndarray:
    """The samples (n,). Raises InputError for values that are no audio, and where it is open which axis is time."""
    if samples.dtype.name not in (*FULL_SCALE, *_FLOATS):
        known = ", ".join((*FULL_SCALE, *_FLOATS))
        raise InputError(f"{name}: samples of type {samples.dtype} are not read; convert them to one of {known}")
    if samples.ndim == 2 and 1 in samples.shape:
        return samples.reshape(-1)
    if samples.ndim == 2:
        raise InputError(
            f"{name}: an array of shape {samples.shape} may be channels or several recordings; average its channels, "
            "as in samples.mean(axis=0), or give a list of arrays"
        )
    if samples.ndim != 1:
        raise InputError(f"{name}: samples have the shape (n,), not {samples.shape}")
    return samples
