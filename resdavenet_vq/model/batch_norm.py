"""Batch normalization whose statistics can be those of a batch that several processes share.

Legend of shapes: B images or utterances, C channels, H and W rows and columns (H = 1 for speech).
"""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import torch
from torch import Tensor, nn
from torch.nn import functional

OVER = (0, 2, 3)
"""Dimensions of (B, C, H, W) that statistics are taken over, padded frames included, as published."""

type Reduction = Callable[[Tensor], Tensor]


class BatchNorm2d(nn.BatchNorm2d):
    """PyTorch's batch normalization; with `reduce_statistics`, over the batch of all processes.

    In training, mean and variance are then those of the global batch, and so are the running statistics, which are equal
    in all processes. `reduce_statistics` takes a flat float64 tensor and returns its sum over processes; it is called
    once in each forward and once in each backward pass in training, also where a process has no part of the batch.

    Without it, a process that has no part of the batch passes it on, and its running statistics do not change.
    """

    def __init__(self, width: int) -> None:
        super().__init__(width)
        self.reduce_statistics: Reduction | None = None

    def forward(self, x: Tensor) -> Tensor:
        """(B, C, H, W), B perhaps 0."""
        if not self.training:
            return super().forward(x)
        if self.reduce_statistics is None:
            return super().forward(x) if len(x) else x
        mean, variance, n = _statistics(x, self.reduce_statistics)
        with torch.no_grad():
            self.num_batches_tracked.add_(1)  # type: ignore[union-attr] # a buffer
            self.running_mean.lerp_(mean, self.momentum)  # type: ignore[arg-type, union-attr]
            self.running_var.lerp_(variance * (n / (n - 1)), self.momentum)  # type: ignore[arg-type, union-attr]
        normalized: Tensor = _Normalization.apply(
            x, self.weight, self.bias, mean, variance, n, self.eps, self.reduce_statistics
        )
        return normalized


@torch.no_grad()
def _statistics(x: Tensor, reduce: Reduction) -> tuple[Tensor, Tensor, Tensor]:
    """Mean and variance (C,), biased, and the number of values, a scalar, over all processes; float32.

    The sums of squares about 0 are float64: what they lose where a mean is large is far below float32.
    """
    n = x.numel() // x.shape[1]
    if n:
        variance, mean = (s.double() for s in torch.var_mean(x.float(), OVER, correction=0))
    else:
        variance = mean = x.new_zeros(x.shape[1], dtype=torch.float64)
    sums = reduce(torch.cat([n * mean, n * (variance + mean.square()), torch.full_like(mean[:1], n)]))
    mean, square = (sums[:-1] / sums[-1]).chunk(2)
    return mean.float(), (square - mean.square()).clamp(min=0).float(), sums[-1].float()


class _Normalization(torch.autograd.Function):
    """Normalization by statistics of the global batch, with the gradient through them (Ioffe and Szegedy, 2015).

    The gradients of weight and bias are those of this process's part, as everywhere in a training.
    """

    @staticmethod
    def forward(
        ctx: Any,
        x: Tensor,
        weight: Tensor,
        bias: Tensor,
        mean: Tensor,
        variance: Tensor,
        n: Tensor,
        epsilon: float,
        reduce: Reduction,
    ) -> Tensor:
        ctx.save_for_backward(x, weight, mean, torch.rsqrt(variance + epsilon), n)
        ctx.reduce = reduce
        return functional.batch_norm(x, mean, variance, weight, bias, training=False, eps=epsilon)

    @staticmethod
    def backward(ctx: Any, gradient: Tensor) -> tuple[Tensor | None, ...]:
        x, weight, mean, scale, n = ctx.saved_tensors
        gradient = gradient.float()
        normalized = (x.float() - mean[:, None, None]) * scale[:, None, None]
        to_bias, to_weight = gradient.sum(OVER), (gradient * normalized).sum(OVER)
        means = ctx.reduce(torch.cat([to_bias, to_weight]).double()).float() / n
        of_bias, of_weight = (m[:, None, None] for m in means.chunk(2))
        to_x = (gradient - of_bias - normalized * of_weight) * (weight * scale)[:, None, None]
        return to_x.to(x.dtype), to_weight, to_bias, None, None, None, None, None
