"""Pooling and losses of a training step, forward and backward: the package against the plain arithmetic of 2020.

    python benchmarks/losses.py [--batch 64] [--frames 128] [--dim 1024] [--rounds 15] [--threads 1]

The baseline is what the 2020 release does after its networks: the mean of each utterance's valid frames in a loop over
the batch, one matrix product for all pairs, impostors drawn in a loop and read from S by index, a 0/1 mask for the
semi-hard ones. `pairs` has a dot product for each pair instead, and a loop over anchors. All sides take the same
outputs of the networks, and with the same impostors their losses and gradients agree. Times are medians, in turn.
"""

from __future__ import annotations

import argparse
import random
from typing import TYPE_CHECKING

import torch
from measuring import measure, row, write
from torch import Tensor

from resdavenet_vq.model.audio import AudioOutput
from resdavenet_vq.model.dual_encoder import DualEncoder
from resdavenet_vq.training.losses import draw_impostors, pooled_similarity, triplet_losses
from resdavenet_vq.training.step import generator

if TYPE_CHECKING:
    from collections.abc import Callable

MARGIN = 1.0


def drawn_in_a_loop(n: int) -> list[int]:
    """An impostor of each anchor."""
    return [(i + 1 + random.randrange(n - 1)) % n for i in range(n)]


def plain_vectors(maps: Tensor, frames: Tensor, n_frames: list[int]) -> tuple[Tensor, Tensor]:
    """Pooled images and utterances, (n, D) each."""
    speech = [frames[i, :, : max(1, n_frames[i])].mean(dim=1) for i in range(len(frames))]
    return maps.mean(dim=(2, 3)), torch.stack(speech)


def plain_losses(maps: Tensor, frames: Tensor, n_frames: list[int], impostors: list[list[int]]) -> Tensor:
    """The four losses together; impostors are columns of the rows, and rows of the columns."""
    image, speech = plain_vectors(maps, frames, n_frames)
    S = image @ speech.t()
    loss = torch.zeros(())
    for scores, numbers in zip((S, S.t()), impostors, strict=True):
        true = scores.diag()
        sampled = scores[range(len(scores)), numbers]
        semi_hard = (scores * (scores < true[:, None]).float()).max(dim=1).values
        loss = loss + (sampled - true + MARGIN).clamp(min=0).mean() + (semi_hard - true + MARGIN).clamp(min=0).mean()
    return loss


def losses_by_pairs(maps: Tensor, frames: Tensor, n_frames: list[int], impostors: list[list[int]]) -> Tensor:
    """The same by a dot product for each pair and a loop over anchors."""
    image, speech = plain_vectors(maps, frames, n_frames)
    n = len(image)
    S = torch.stack([torch.stack([torch.dot(i, s) for s in speech]) for i in image])
    loss = torch.zeros(())
    for scores, numbers in zip((S, S.t()), impostors, strict=True):
        for i in range(n):
            true = scores[i, i]
            semi_hard = (scores[i] * (scores[i] < true).float()).max()
            for impostor in (scores[i, numbers[i]], semi_hard):
                loss = loss + (impostor - true + MARGIN).clamp(min=0) / n
    return loss


def losses(maps: Tensor, frames: Tensor, n_frames: Tensor, impostors: Tensor) -> Tensor:
    """The package's."""
    image, speech = DualEncoder.embed_image(maps), DualEncoder.embed_speech(AudioOutput(frames, n_frames, {}))
    return triplet_losses(pooled_similarity(image, speech), impostors, MARGIN, "published").sum()


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--batch", type=int, default=64)
    parser.add_argument("--frames", type=int, default=128, help="T of the last layer; 128 of 2,048 log-mel frames")
    parser.add_argument("--dim", type=int, default=1024)
    parser.add_argument("--rounds", type=int, default=15)
    parser.add_argument("--threads", type=int, default=1)
    options = parser.parse_args()
    torch.set_num_threads(options.threads)
    torch.manual_seed(0)
    random.seed(0)
    maps = (torch.randn(options.batch, options.dim, 7, 7) / options.dim**0.5).requires_grad_()
    frames = torch.randn(options.batch, options.dim, options.frames).requires_grad_()
    n_frames = torch.randint(options.frames // 8, options.frames + 1, (options.batch,))
    lengths = n_frames.tolist()
    impostors = draw_impostors(options.batch, generator("impostors", 0))

    def gradients(loss: Tensor) -> tuple[Tensor, ...]:
        return (loss, *torch.autograd.grad(loss, (maps, frames)))

    expected = gradients(losses(maps, frames, n_frames, impostors))
    for plain in (plain_losses, losses_by_pairs):
        for ours, theirs in zip(expected, gradients(plain(maps, frames, lengths, impostors.tolist())), strict=True):
            torch.testing.assert_close(ours, theirs, rtol=1e-4, atol=1e-6)

    def with_draws(plain: Callable[..., Tensor]) -> object:
        drawn = [drawn_in_a_loop(options.batch) for _ in range(2)]
        return gradients(plain(maps, frames, lengths, drawn))

    def package() -> object:
        drawn = draw_impostors(options.batch, generator("impostors", 0))
        return gradients(losses(maps, frames, n_frames, drawn))

    sides: dict[str, Callable[[], object]] = {
        "2020": lambda: with_draws(plain_losses),
        "pairs": lambda: with_draws(losses_by_pairs),
        "package": package,
    }
    rows = [row("pooling and losses", measure(sides, options.rounds))]
    sizes = {key: getattr(options, key) for key in ("batch", "frames", "dim", "rounds", "threads")}
    write("losses", sizes | {"torch": torch.__version__, "rows": rows})


if __name__ == "__main__":
    main()
