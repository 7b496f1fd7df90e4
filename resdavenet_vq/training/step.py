"""One step of training: forward, losses, gradients, update; and the sums over an epoch.

Nothing here is random but through generators seeded by f(seed, epoch, step), so that a step
is the same whichever process takes it, and whenever.
"""

from __future__ import annotations

import hashlib
from collections.abc import Iterable, Iterator
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any, NamedTuple, cast

import torch
from torch import Tensor, nn

from resdavenet_vq.data.features import PAD_VALUE
from resdavenet_vq.errors import InputError
from resdavenet_vq.model.audio import Layer
from resdavenet_vq.training import codebooks, compute, distributed
from resdavenet_vq.training.losses import TripletLosses, draw_impostors, pooled_similarity, triplet_losses

if TYPE_CHECKING:
    from resdavenet_vq import config
    from resdavenet_vq.data.dataset import Batch
    from resdavenet_vq.model.dual_encoder import DualEncoder
    from resdavenet_vq.model.quantizer import Quantizer

SHORTEST = 32
"""Frames that a batch is padded to at least: two at the slowest layer, so that batch normalisation has a variance even of a single pair."""


class StepLosses(NamedTuple):
    """The losses of one step."""

    total: Tensor
    """Scalar; its gradient, summed over processes, is that of the global batch's loss."""
    parts: Tensor
    """(4 + Q,) float64, without gradient: the four triplet losses and the commitment losses of the global batch."""
    counts: dict[str, Tensor]
    """(K,) int64 of each quantizer: this process's valid frames per code."""


@dataclass
class Tally:
    """Sums over the steps of an epoch so far."""

    parts: Tensor
    """(4 + Q,) float64: losses, each step weighted by its pairs."""
    counts: dict[str, Tensor]
    """(K,) int64 of each quantizer."""
    pairs: int = 0
    seconds: float = 0.0
    """Of the steps, waiting for data included."""
    waited: float = 0.0
    """Seconds of waiting for data."""

    @classmethod
    def empty(cls, model: DualEncoder, device: torch.device) -> Tally:
        """Nothing summed yet."""
        counts = {
            name: torch.zeros(len(q.codebook), dtype=torch.int64, device=device)
            for name, q in quantizers_of(model).items()
        }
        return cls(torch.zeros(4 + len(counts), dtype=torch.float64, device=device), counts)

    def add(self, losses: StepLosses, pairs: int) -> None:
        """One step more."""
        self.parts += losses.parts * pairs
        self.pairs += pairs
        for name, counts in losses.counts.items():
            self.counts[name] += counts

    def collect(self) -> None:
        """Process 0 takes the other processes' counts. Every process must call it."""
        for counts in self.counts.values():
            distributed.total(counts)
            if distributed.rank():
                counts.zero_()

    def to_dict(self) -> dict[str, Any]:
        """For a checkpoint, on the CPU."""
        counts = {name: x.cpu() for name, x in self.counts.items()}
        return {
            "parts": self.parts.cpu(),
            "counts": counts,
            "pairs": self.pairs,
            "seconds": self.seconds,
            "waited": self.waited,
        }

    @classmethod
    def from_dict(cls, values: dict[str, Any], device: torch.device) -> Tally:
        """From a checkpoint; the counts go to process 0."""
        counts = {name: x.to(device) * (distributed.rank() == 0) for name, x in values["counts"].items()}
        return cls(values["parts"].to(device), counts, values["pairs"], values["seconds"], values["waited"])

    def to_row(self) -> dict[str, float]:
        """The history's columns: means over pairs, of each quantizer the use of its codes, and the speed; of process 0 after `collect`."""
        means = (self.parts / self.pairs).tolist()
        triplets, commitments = means[:4], means[4:]
        row = {"loss": sum(triplets) + sum(commitments)} | dict(zip(TripletLosses._fields, triplets, strict=True))
        for (name, counts), commitment in zip(self.counts.items(), commitments, strict=True):
            share = counts / counts.sum().double()
            row |= {
                f"{name}_commitment": commitment,
                f"{name}_perplexity": torch.special.entr(share).sum().exp().item(),
                f"{name}_codes_used": int(share.count_nonzero()),
                f"{name}_top_share": share.max().item(),
            }
        return row | {"pairs_per_second": self.pairs / self.seconds, "data_wait": self.waited / self.seconds}


def quantizers_of(model: DualEncoder) -> dict[str, Quantizer]:
    """The quantizers that are on, by layer, in the order of the network."""
    return {name: cast("Quantizer", module) for name, module in model.audio.quantizers.items()}


def generator(*what: int | str) -> torch.Generator:
    """A generator whose draws follow from `what` alone: (purpose, seed, epoch, step)."""
    digest = hashlib.sha256(repr(what).encode()).digest()
    return torch.Generator().manual_seed(int.from_bytes(digest[:8], "little") >> 1)


def learning_rate(training: config.Training, epoch: int) -> float:
    """The learning rate of an epoch; epochs count from 1, so that the first plateau is one epoch shorter, as published."""
    return training.learning_rate * training.learning_rate_decay ** (epoch // training.learning_rate_decay_every)


def step_losses(
    model: DualEncoder,
    batch: Batch,
    n: int,
    position: tuple[int, int],
    recipe: config.Recipe,
    training: config.Training,
) -> StepLosses:
    """Forward and losses of one step, and the update of the codebooks.

    Parameters
    ----------
    model
        In training mode.
    batch
        This process's part of the global batch, on the model's device; it may be empty.
    n
        Pairs in the global batch.
    position
        Epoch (from 1) and step (from 0): what is random follows from them and the seed.
    recipe, training
        Settings.

    Nothing here waits for a GPU, but for a restart of dead codes. Numbers that are not finite show in the losses, and leave the codebooks as they were.
    """
    device = next(model.parameters()).device
    if len(batch.index) == 0:
        embeddings, commitments, counts, entering = _without_pairs(model, device)
    else:
        missing = max(0, SHORTEST - batch.logmel.shape[2])
        logmel = nn.functional.pad(batch.logmel.float(), (0, missing), value=PAD_VALUE[recipe.pad_value])
        with compute.autocast(training.compute, device):
            maps = model.image(batch.images)
            audio = model.audio(logmel, batch.n_frames, generator("jitter", training.seed, *position))
        embeddings = torch.cat([model.embed_image(maps), model.embed_speech(audio)], dim=1)
        layers = {name: layer for name, layer in audio.layers.items() if layer.counts is not None}
        commitments = [cast("Tensor", layer.commitment_loss) for layer in layers.values()]
        counts = {name: cast("Tensor", layer.counts) for name, layer in layers.items()}
        entering = {name: audio.layers[name.replace("quant", "conv")] for name in layers}
    if recipe.dead_codes == "restart" and codebooks.restart_is_due(position):
        for name, quantizer in quantizers_of(model).items():
            random = generator("restart", training.seed, *position, name)
            codebooks.restart_dead_codes(quantizer, entering[name].vectors, entering[name].n_frames, n, random)
    image, speech = distributed.gather(embeddings, n).chunk(2, dim=1)
    S = pooled_similarity(image, speech)
    impostors = draw_impostors(n, generator("impostors", training.seed, *position)).to(device, non_blocking=True)
    triplets = triplet_losses(S, impostors, training.margin, recipe.semi_hard)
    total, parts = triplets.sum(), torch.stack(triplets).detach().double()
    if commitments:
        here = torch.stack([c.sum() for c in counts.values()]).double()
        share = here / distributed.total(here.clone())
        own = torch.stack(commitments)
        total = total + (own * share).sum()
        parts = torch.cat([parts, distributed.total(own.detach() * share)])
    return StepLosses(total, parts, counts)


def _without_pairs(
    model: DualEncoder, device: torch.device
) -> tuple[Tensor, list[Tensor], dict[str, Tensor], dict[str, Layer]]:
    """What a process contributes whose part of the last short batch is empty: nothing, but its codebooks follow the others'."""
    quantized = {
        name: q(
            torch.zeros(1, q.codebook.shape[1], 1, device=device), torch.zeros(1, 1, dtype=torch.bool, device=device)
        )
        for name, q in quantizers_of(model).items()
    }
    embeddings = torch.zeros(0, 2 * model.settings.audio.widths[-1], device=device)
    nothing = torch.zeros(0, dtype=torch.int64, device=device)
    entering = {name: Layer(q.vectors[:0], nothing) for name, q in quantized.items()}
    return (
        embeddings,
        [q.commitment_loss for q in quantized.values()],
        {name: q.counts for name, q in quantized.items()},
        entering,
    )


def update(model: nn.Module, optimizer: torch.optim.Optimizer, losses: StepLosses) -> Tensor:
    """Gradients and the optimizer's step. Returns whether loss and gradients are finite, a scalar on the device."""
    optimizer.zero_grad(set_to_none=True)
    if losses.total.requires_grad:
        losses.total.backward()
    trained = [p for p in model.parameters() if p.requires_grad]
    distributed.sum_gradients(trained)
    optimizer.step()
    return losses.parts.sum().isfinite() & all_finite(p.grad for p in trained if p.grad is not None)


def all_finite(tensors: Iterable[Tensor]) -> Tensor:
    """Whether every floating tensor's norm is finite: a scalar on the device, without waiting for it."""
    floating = [x for x in tensors if x.is_floating_point()]
    return torch.stack(torch._foreach_norm(floating)).isfinite().all()  # noqa: SLF001 - all tensors at once


def not_finite(named: Iterable[tuple[str, Tensor]]) -> Iterator[str]:
    """Names of the tensors that hold an infinite number or NaN."""
    return (name for name, x in named if x.is_floating_point() and not x.isfinite().all())


def divergence(model: nn.Module, where: str) -> InputError:
    """What to tell when numbers are no longer finite."""
    tensors = list(not_finite([*model.named_parameters(), *model.named_buffers()]))
    found = f"; {len(tensors)} tensors of the model are not finite, the first is {tensors[0]}" if tensors else ""
    return InputError(
        f"training diverged at {where}: losses or gradients are not finite{found}. Nothing of it was saved. "
        "Lower training.learning_rate, and check the data with `resdavenet-vq verify`"
    )
