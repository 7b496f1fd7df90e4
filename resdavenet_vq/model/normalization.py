"""Normalisation of log-mel features: `model.audio.features: normalized`.

Each mel band of each utterance gets mean 0 and variance 1 over the utterance's own frames, and its padding becomes 0:
what the microphone, the gain and the channel add to every frame of a band in dB is gone. Sums are float64, so that the
result does not depend on padding, on batch mates, or on whether a recording is read whole or block by block.

Legend of shapes: B utterances, M mel bands, T frames.
"""

from __future__ import annotations

from collections.abc import Iterable
from typing import NamedTuple, Self

import torch
from torch import Tensor

SMALLEST_DEVIATION = 0.1
"""In dB: bands that vary less are divided by it, so that silent ones stay silent and a constant one becomes 0.

Features of float16 have steps of 0.03 to 0.06 dB in the range of speech, which should not be amplified.
"""


class Statistics(NamedTuple):
    """What normalisation subtracts, and divides by."""

    mean: Tensor
    """(B, M) float64."""
    deviation: Tensor
    """(B, M) float64, at least SMALLEST_DEVIATION."""

    @classmethod
    def of(cls, logmel: Tensor, n_frames: Tensor) -> Self:
        """Of features (B, M, T), of which the first `n_frames` (B,) of each utterance are valid."""
        valid = _valid(logmel, n_frames)
        n = n_frames.clamp(min=1)[:, None]
        x = torch.where(valid, logmel, 0).double()
        mean = x.sum(dim=2) / n
        squares = x.sub_(mean[:, :, None]).masked_fill_(~valid, 0).square_().sum(dim=2)  # x is our own: no new memory
        return cls(mean, (squares / n).sqrt().clamp(min=SMALLEST_DEVIATION))

    @classmethod
    def of_blocks(cls, blocks: Iterable[Tensor]) -> Self:
        """Of one recording (B = 1), whose frames come in blocks (T, M), one after another."""
        n, shift = 0, torch.zeros(())
        total = squares = torch.zeros((), dtype=torch.float64)
        for block in filter(len, blocks):
            shift = shift if n else block[0].double()  # sums of small numbers keep their digits
            x = block.double() - shift
            n, total, squares = n + len(x), total + x.sum(dim=0), squares + x.square().sum(dim=0)
        mean = total / n
        variance = (squares / n - mean.square()).clamp(min=0)
        return cls((mean + shift)[None], variance.sqrt().clamp(min=SMALLEST_DEVIATION)[None])


def normalized(logmel: Tensor, n_frames: Tensor, statistics: Statistics | None = None) -> Tensor:
    """Features (B, M, T), normalised, float32; 0 from `n_frames` (B,) on.

    `statistics` are those of the whole recordings where `logmel` has only pieces of them.
    """
    mean, deviation = (x.float()[:, :, None] for x in statistics or Statistics.of(logmel, n_frames))
    return (logmel.float() - mean).div_(deviation).masked_fill_(~_valid(logmel, n_frames), 0)


def _valid(logmel: Tensor, n_frames: Tensor) -> Tensor:
    """Which frames are the utterances' own: (B, 1, T) bool."""
    return (torch.arange(logmel.shape[2], device=logmel.device) < n_frames[:, None])[:, None]
