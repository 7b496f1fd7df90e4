"""Similarities of images and captions, and the losses on them.

Conventions: S is the (N, N) matrix of similarities; rows are images, columns are captions; the diagonal holds the true
pairs. The anchors of a loss are the rows of its matrix, so the transposed matrix has captions as anchors. A loss is the
mean over all N anchors. With one pair there is no impostor, and every loss is 0.

I images, J captions, D embedding.
"""

from __future__ import annotations

from typing import Any, Literal, NamedTuple

import torch
from torch import Tensor

from resdavenet_vq.model.precision import true_float32

SemiHard = Literal["published", "masked"]


class TripletLosses(NamedTuple):
    """The four triplet losses, scalars; `rows` have images as anchors, `columns` captions."""

    sampled_rows: Tensor
    sampled_columns: Tensor
    semi_hard_rows: Tensor
    semi_hard_columns: Tensor

    def sum(self) -> Tensor:
        """All four together."""
        return torch.stack(self).sum()


def pooled_similarity(image: Tensor, speech: Tensor) -> Tensor:
    """Dot products, not normalized, of image vectors (I, D) and speech vectors (J, D): (I, J).

    They and their gradients are computed in true float32, whatever the precision of the training.
    """
    S: Tensor = _DotProducts.apply(image, speech)
    return S


class _DotProducts(torch.autograd.Function):
    """A matrix product whose backward pass is in true float32 too: autograd's comes after the block has ended."""

    @staticmethod
    def forward(ctx: Any, image: Tensor, speech: Tensor) -> Tensor:
        ctx.save_for_backward(image, speech)
        with true_float32():
            return image @ speech.T

    @staticmethod
    def backward(ctx: Any, to_S: Tensor) -> tuple[Tensor, Tensor]:
        image, speech = ctx.saved_tensors
        with true_float32():
            return to_S @ speech, to_S.T @ image


def draw_impostors(n: int, generator: torch.Generator) -> Tensor:
    """Draws one impostor for each anchor, uniformly from the other items.

    Returns (2, n) indices on the device of the generator: columns for the rows, then rows for the columns. With n = 1
    the only index is that of the anchor.
    """
    if n == 1:
        return torch.zeros(2, 1, dtype=torch.int64, device=generator.device)
    draws = torch.randint(n - 1, (2, n), generator=generator, device=generator.device)
    return draws + (draws >= torch.arange(n, device=generator.device))


def sampled_triplet(S: Tensor, impostors: Tensor, margin: float) -> Tensor:
    """Triplet loss of the rows against given impostors (N,), column numbers."""
    if len(S) == 1:
        return S.sum() * 0
    return (S.gather(1, impostors[:, None])[:, 0] - S.diagonal() + margin).clamp(min=0).mean()


def semi_hard_triplet(S: Tensor, margin: float, variant: SemiHard) -> Tensor:
    """Triplet loss of the rows against the most similar impostor that is less similar than the true pair.

    `masked`: an anchor with no such impostor contributes 0. `published`: every other entry, also the true pair, is set
    to 0, so that the score of the impostor is never negative.
    """
    if len(S) == 1:
        return S.sum() * 0
    true = S.diagonal()
    excluded = S >= true[:, None]
    hardest = S.masked_fill(excluded, 0 if variant == "published" else -torch.inf).max(dim=1).values
    return (hardest - true + margin).clamp(min=0).mean()


def triplet_losses(S: Tensor, impostors: Tensor, margin: float, semi_hard: SemiHard) -> TripletLosses:
    """Both losses in both directions; `impostors` (2, N) as of `draw_impostors`."""
    return TripletLosses(
        sampled_triplet(S, impostors[0], margin),
        sampled_triplet(S.T, impostors[1], margin),
        semi_hard_triplet(S, margin, semi_hard),
        semi_hard_triplet(S.T, margin, semi_hard),
    )
