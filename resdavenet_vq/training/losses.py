"""Similarities of images and captions, and the losses on them.

Conventions: S is the (N, N) matrix of similarities; rows are images, columns are captions; the diagonal holds the true
pairs. The anchors of a loss are the rows of its matrix, so the transposed matrix has captions as anchors. A loss is the
mean over all N anchors. With one pair there is no impostor, and every loss is 0.

I images, J captions, D embedding, T frames of the last layer.
"""

from __future__ import annotations

from typing import Literal, NamedTuple

import torch
from torch import Tensor

SemiHard = Literal["published", "masked"]
Matchmap = Literal["SISA", "MISA", "SIMA"]


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
    """Dot products, not normalized, of image vectors (I, D) and speech vectors (J, D): (I, J)."""
    return image @ speech.T


def matchmap_similarity(maps: Tensor, frames: Tensor, n_frames: Tensor, kind: Matchmap) -> Tensor:
    """Similarities from the matchmap, the dot products of every image position and every valid frame.

    SISA is the mean over both, MISA the mean over frames of the best position, SIMA the mean over
    positions of the best frame. At least one frame of each caption counts.

    Parameters
    ----------
    maps
        Image maps (I, D, height, width).
    frames
        Speech frames (J, D, T).
    n_frames
        Valid frames of each caption (J,).
    kind
        The pooling.

    Returns
    -------
    Tensor
        (I, J). The whole matchmap, I · J · positions · T numbers, is in memory.
    """
    matchmap = torch.einsum("idp,jdt->ijpt", maps.flatten(2), frames)
    n_frames = n_frames.clamp(min=1)
    invalid = torch.arange(frames.shape[-1], device=frames.device) >= n_frames[:, None, None]  # (J, 1, T)
    match kind:
        case "SIMA":
            return matchmap.masked_fill(invalid, -torch.inf).amax(dim=3).mean(dim=2)
        case "MISA":
            over_positions = matchmap.amax(dim=2)
        case "SISA":
            over_positions = matchmap.mean(dim=2)
    return over_positions.masked_fill(invalid.squeeze(1), 0).sum(dim=2) / n_frames


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
