"""Masks on training utterances, `training.augmentation: masks`: not in the paper of ResDAVEnet-VQ.

As in SpecAugment (Park et al. 2019), without its warping: in every step each utterance loses one band of adjacent mel
bands and one stretch of time, of random widths that may be 0. What is masked becomes the utterance's mean.
"""

from __future__ import annotations

import torch
from torch import Tensor

from resdavenet_vq.training import distributed

WIDEST_BAND = 6
"""Mel bands, of 40."""

LONGEST_STRETCH = 12
"""Frames of 10 ms: less than most words."""

LARGEST_SHARE = 0.2
"""Of an utterance's frames."""


def draw_masks(n_frames: Tensor, bands: int, frames: int, n: int, generator: torch.Generator) -> Tensor:
    """Where the utterances of this process are masked: (B, bands, frames) bool.

    `n_frames` (B,) are their lengths; they are every world-th of the global batch of `n` from the rank-th on. The draws
    are made for the global batch, and do not depend on how far it is padded: `generator` is on the CPU, with the same
    state in all processes.
    """
    draws = torch.rand(4, n, generator=generator, dtype=torch.float64)[:, distributed.rank() :: distributed.world()]
    width, place, length, time = draws.to(n_frames.device, non_blocking=True)
    longest = (n_frames * LARGEST_SHARE).floor().clamp(max=LONGEST_STRETCH)
    band = _stretch(width, place, torch.full_like(longest, WIDEST_BAND), torch.full_like(longest, bands), bands)
    stretch = _stretch(length, time, longest, n_frames, frames)
    return band[:, :, None] | stretch[:, None]


def _stretch(width: Tensor, place: Tensor, longest: Tensor, end: Tensor, size: int) -> Tensor:
    """(B, size) bool: stretches of 0 to `longest` (B,) places before `end` (B,), by draws (B,) from 0 to below 1."""
    n = (width * (longest + 1)).floor()
    start = (place * (end - n + 1)).floor()
    places = torch.arange(size, device=width.device)
    return (places >= start[:, None]) & (places < (start + n)[:, None])
