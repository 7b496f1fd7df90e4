"""Vector quantization with a codebook that follows its frames by moving averages.

Legend of shapes: B utterances, C channels, T frames, K codes.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Any, NamedTuple

import numpy as np
import torch
from torch import Tensor, nn
from torch.nn import functional

from resdavenet_vq.model.precision import true_float32

if TYPE_CHECKING:
    from collections.abc import Callable

    from resdavenet_vq.config import QuantizerModel

DISTANCES_AT_ONCE = {"cpu": 1 << 20, "cuda": 1 << 25}
"""Maximum number of frame-to-code distances in memory, by kind of device: 4 MB fit into the cache of a CPU."""


BINS = {"cpu": (1, 1), "cuda": (32, 4096)}
"""Over how many bins the frames of a code, and padded frames, are spread before they are summed, by kind of device.

The deterministic sums of a GPU add up the frames of a bin one after another. One bin for all padding, or for a popular
code, would hold up the rest of the GPU for milliseconds.
"""


def codebook_size(settings: QuantizerModel, position: int) -> int:
    """K of the quantizer at a position from 1 to 5."""
    sizes = settings.codebook_size
    return sizes if isinstance(sizes, int) else sizes[position - 1]


class Quantized(NamedTuple):
    """Frames replaced by their nearest codes."""

    vectors: Tensor
    """(B, C, T) float32: each frame's code vector; in training the gradient passes straight through to the frames."""
    codes: Tensor
    """(B, T) int64: numbers of the codes, also of padded frames."""
    commitment_loss: Tensor
    """Scalar: weight times the mean squared difference of this process's valid frames and their codes."""
    counts: Tensor
    """(K,) int64: this process's valid frames per code; their sum is the weight of the loss among processes."""


class Quantizer(nn.Module):
    """Replaces each frame by the nearest vector of a codebook, and in training moves the codebook after its frames.

    The codebook is not a parameter of the optimizer. A forward pass in training first assigns codes with the old
    codebook, then updates it in place. Everything is computed in true float32, also under autocast.

    `dim` is C, `size` is K. Where several processes train together, `reduce_statistics` takes one flat float32 tensor,
    this process's K counts and then K·C sums of frames, and returns the sum over all processes; it is called once in
    each forward pass in training.
    """

    codebook: Tensor
    """(K, C) float32: `embedding_sum / cluster_size` as of the last update."""
    cluster_size: Tensor
    """(K,) float32: moving average of the number of frames per code, smoothed after each update."""
    embedding_sum: Tensor
    """(K, C) float32: moving average of the sum of the frames per code."""

    def __init__(self, dim: int, size: int, settings: QuantizerModel) -> None:
        super().__init__()
        self.decay, self.epsilon, self.commitment_weight = settings.decay, settings.epsilon, settings.commitment_weight
        self.reduce_statistics: Callable[[Tensor], Tensor] | None = None
        self.register_buffer("codebook", torch.empty(size, dim))
        self.register_buffer("cluster_size", torch.full((size,), settings.init_mass))
        self.register_buffer("embedding_sum", torch.empty(size, dim))
        if not self.codebook.is_meta:  # shapes alone: see `initialize`
            codebook = self.codebook.normal_().mul_(settings.init_std)
            if settings.init_nonnegative:
                codebook.clamp_(min=0)
            torch.mul(codebook, settings.init_mass, out=self.embedding_sum)

    def forward(self, x: Tensor, mask: Tensor) -> Quantized:
        """Quantizes frames (B, C, T); the mask (B, T) is true for valid frames.

        Padded frames are quantized too, but count neither in the loss nor in the statistics.
        If a valid frame of any process is not finite, the codebook does not change, and the loss of that process is not
        finite: the caller must check it. No operation waits for a GPU.
        """
        with torch.autocast(x.device.type, enabled=False):
            frames = x.float().transpose(1, 2)  # (B, T, C)
            codes = nearest(frames.detach(), self.codebook)
            vectors = functional.embedding(codes, self.codebook)  # (B, T, C)
            bins = spread_bins(codes.flatten(), mask.flatten(), len(self.codebook))
            counts = _sums_by_code(torch.ones_like(bins), bins, len(self.codebook))
            weights = mask * (self.commitment_weight / (counts.sum().clamp(min=1) * len(self.codebook[0])))  # (B, T)
            if self.training:
                self._update(frames.detach(), bins, counts)
            vectors, loss = _StraightThrough.apply(frames, vectors, weights)
        return Quantized(vectors.transpose(1, 2), codes, loss, counts)

    @torch.no_grad()
    def _update(self, frames: Tensor, bins: Tensor, counts: Tensor) -> None:
        """Updates the averages with frames (B, T, C), of which `counts` (K,) have each code; `bins` as of `spread_bins`."""
        size, dim = self.codebook.shape
        sums = _sums_by_code(frames.flatten(0, 1), bins, size)
        statistics = torch.cat([counts.to(sums.dtype), sums.flatten()])
        if self.reduce_statistics is not None:
            statistics = self.reduce_statistics(statistics)
        mass = torch.lerp(statistics[:size], self.cluster_size, self.decay)
        total = mass.sum()
        cluster_size = (mass + self.epsilon) / (total + size * self.epsilon) * total
        embedding_sum = torch.lerp(self.embedding_sum, statistics[size:].view(size, dim), 1 - self.decay)
        finite = statistics.isfinite().all()  # stays on the device: to branch on it would wait for a GPU
        for buffer, moved in (
            (self.cluster_size, cluster_size),
            (self.embedding_sum, embedding_sum),
            (self.codebook, embedding_sum / cluster_size[:, None]),
        ):
            torch.where(finite, moved, buffer, out=buffer)


def spread_bins(codes: Tensor, mask: Tensor, size: int) -> Tensor:
    """The bins (n,) of frames with these codes (n,), below `size`, of which `mask` (n,) are valid: see BINS.

    With g bins for a code and p for padding, code c has the bins c g to c g + g - 1, and padding the p last ones.
    """
    of_code, of_padding = BINS[codes.device.type]
    number = torch.arange(len(codes), device=codes.device)
    return torch.where(mask, codes * of_code + number % of_code, size * of_code + number % of_padding)


def _sums_by_code(values: Tensor, bins: Tensor, size: int) -> Tensor:
    """Sums (K, ...) of the values (n, ...) of the frames of each of `size` codes, which lie in `bins` of `spread_bins`."""
    of_code, of_padding = BINS[values.device.type]
    parts = values.new_zeros(size * of_code + of_padding, *values.shape[1:]).index_add_(0, bins, values)
    return parts[: size * of_code].view(size, of_code, *values.shape[1:]).sum(dim=1)


class _StraightThrough(torch.autograd.Function):
    """The code vectors and their weighted squared distance from the frames.

    In the backward pass, the gradient of the code vectors is passed to the frames unchanged. One function for both
    needs half as many passes over the frames as autograd.
    """

    @staticmethod
    def forward(ctx: Any, frames: Tensor, vectors: Tensor, weights: Tensor) -> tuple[Tensor, Tensor]:
        """Frames and vectors (B, T, C) and weights (B, T)."""
        difference = frames - vectors
        ctx.save_for_backward(difference, weights)
        distances = torch.linalg.vector_norm(difference, dim=2).square()
        return vectors.view_as(vectors), torch.where(weights > 0, distances * weights, 0).sum()

    @staticmethod
    def backward(ctx: Any, to_vectors: Tensor, to_loss: Tensor) -> tuple[Tensor, None, None]:
        difference, weights = ctx.saved_tensors
        return torch.addcmul(to_vectors, difference, (2 * to_loss * weights)[:, :, None]), None, None


@torch.no_grad()
def nearest(frames: Tensor, codebook: Tensor) -> Tensor:
    """Numbers (...) of the rows of a codebook (K, C) that are nearest to frames (..., C) by squared Euclidean distance.

    Ties go to the lowest number. Memory is bounded; TF32 and bfloat16 are never used.
    """
    flat = frames.reshape(-1, codebook.shape[1])
    rows = max(1, DISTANCES_AT_ONCE[frames.device.type] // len(codebook))
    distances = flat.new_empty(min(rows, len(flat)), len(codebook))  # reused: fresh memory costs as much as the product
    codes = flat.new_empty(len(flat), dtype=torch.int64)
    norms = codebook.square().sum(dim=1)
    # |x - e|² = |x|² + |e|² - 2 x·e, and |x|² is the same for all codes
    with torch.autocast(frames.device.type, enabled=False), true_float32():
        for part, numbers in zip(flat.split(rows), codes.split(rows), strict=True):
            _lowest(torch.addmm(norms, part, codebook.T, alpha=-2, out=distances[: len(part)]), numbers)
    return codes.view(frames.shape[:-1])


def _lowest(distances: Tensor, numbers: Tensor) -> None:
    """Writes the column of the lowest distance of each row (n, K) into `numbers` (n,) int64; of equals the first."""
    if distances.device.type == "cpu":
        np.argmin(distances.numpy(), axis=1, out=numbers.numpy())  # torch's takes ten times as long
    else:
        torch.argmin(distances, dim=1, out=numbers)
