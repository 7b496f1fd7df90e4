"""Similarities of images and captions, and the losses on them.

Conventions: S is the (N, N) matrix of similarities; rows are images, columns captions; the
true pairs are its diagonal. A loss takes its anchors from the rows of the matrix that it is
given, so the captions' loss is that of the transposed matrix. A loss is the mean over all N
anchors. With one pair there is no impostor: every loss is 0.

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
    """Dot products, not normalised, of image vectors (I, D) and speech vectors (J, D): (I, J)."""
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
        Which of the three.

    Returns
    -------
    Tensor
        (I, J). The whole matchmap, I · J · positions · T numbers, is in memory meanwhile.
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
    """One impostor for each anchor, uniform over the other items.

    Returns (2, n) indices on the generator's device: columns for the rows, then rows for the
    columns. With n = 1 there is no other item and the anchor itself stands in.
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

    `masked`: an anchor with no such impostor contributes 0. `published`: every other entry,
    the true pair too, counts as 0, so that an impostor's score is never negative.
    """
    if len(S) == 1:
        return S.sum() * 0
    true = S.diagonal()
    excluded = S >= true[:, None]
    hardest = S.masked_fill(excluded, 0 if variant == "published" else -torch.inf).max(dim=1).values
    return (hardest - true + margin).clamp(min=0).mean()


def triplet_losses(S: Tensor, impostors: Tensor, margin: float, semi_hard: SemiHard) -> TripletLosses:
    """Both losses in both directions, from impostors (2, N) as `draw_impostors` gives them."""
    return TripletLosses(
        sampled_triplet(S, impostors[0], margin),
        sampled_triplet(S.T, impostors[1], margin),
        semi_hard_triplet(S, margin, semi_hard),
        semi_hard_triplet(S.T, margin, semi_hard),
    )
