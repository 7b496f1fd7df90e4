"""One step of training: forward pass, losses, gradients, update; and the totals of an epoch.

All random numbers come from generators seeded by (seed, epoch, step), so that a step is the same in every process and
after every interruption.
"""

from __future__ import annotations

import hashlib
from collections.abc import Iterable
from concurrent.futures import Executor
from contextlib import nullcontext
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any, NamedTuple, cast

import torch
from torch import Tensor, nn

from resdavenet_vq.data.features import PAD_VALUE
from resdavenet_vq.errors import InputError
from resdavenet_vq.training import codebooks, compute, distributed
from resdavenet_vq.training.augmentation import draw_masks
from resdavenet_vq.training.losses import TripletLosses, draw_impostors, pooled_similarity, triplet_losses

if TYPE_CHECKING:
    from resdavenet_vq import config
    from resdavenet_vq.data.dataset import Batch
    from resdavenet_vq.model.dual_encoder import DualEncoder
    from resdavenet_vq.model.quantizer import Quantizer

SHORTEST = 32
"""Batches are padded to at least so many frames: two at the slowest layer, so that a single pair has a variance."""


class ImageBranch(NamedTuple):
    """The image branch of a step, where a thread of its own computes it."""

    embeddings: Tensor
    """(B, D), with its graph."""
    leaf: Tensor
    """The same values, from which the losses are computed: their gradient goes to the thread."""
    thread: Executor


class StepLosses(NamedTuple):
    """The losses of one step."""

    total: Tensor
    """Scalar; its gradient, summed over processes, is that of the global batch's loss."""
    parts: Tensor
    """(4 + Q,) float64, without gradient: the four triplet losses and the commitment losses of the global batch."""
    counts: dict[str, Tensor]
    """(K,) int64 of each quantizer: this process's valid frames per code."""
    images: ImageBranch | None = None


@dataclass
class Totals:
    """Sums over the finished steps of an epoch."""

    parts: Tensor
    """(4 + Q,) float64: losses, each step weighted by its pairs."""
    counts: dict[str, Tensor]
    """(K,) int64 of each quantizer."""
    pairs: int = 0
    seconds: float = 0.0
    """Duration of the steps, waiting for data included."""
    waited: float = 0.0
    """Seconds spent waiting for data."""

    @classmethod
    def empty(cls, model: DualEncoder, device: torch.device) -> Totals:
        """Before the first step."""
        counts = {
            name: torch.zeros(len(q.codebook), dtype=torch.int64, device=device)
            for name, q in quantizers_of(model).items()
        }
        return cls(torch.zeros(4 + len(counts), dtype=torch.float64, device=device), counts)

    def add(self, losses: StepLosses, pairs: int) -> None:
        """Adds the losses of a step."""
        self.parts += losses.parts * pairs
        self.pairs += pairs
        for name, counts in losses.counts.items():
            self.counts[name] += counts

    def collect(self) -> None:
        """Adds the counts of all processes to those of process 0. Every process must call it."""
        for counts in self.counts.values():
            distributed.total(counts)
            if not distributed.is_first():
                counts.zero_()

    @classmethod
    def from_dict(cls, values: dict[str, Any], device: torch.device) -> Totals:
        """From a checkpoint; the counts go to process 0."""
        counts = {name: x.to(device) * distributed.is_first() for name, x in values["counts"].items()}
        return cls(**values | {"parts": values["parts"].to(device), "counts": counts})

    def to_row(self) -> dict[str, float]:
        """Columns of the history: means over pairs, use of codes, speed. Only valid in process 0 after `collect`."""
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
    """The quantizers that are on, by layer name, in the order of the network."""
    return {name: cast("Quantizer", module) for name, module in model.audio.quantizers.items()}


def generator(*key: int | str) -> torch.Generator:
    """A generator whose draws depend on `key` only: (purpose, seed, epoch, step)."""
    digest = hashlib.sha256(repr(key).encode()).digest()
    return torch.Generator().manual_seed(int.from_bytes(digest[:8], "little") >> 1)


def step_losses(
    model: DualEncoder,
    batch: Batch,
    n: int,
    position: tuple[int, int],
    recipe: config.Recipe,
    training: config.Training,
    beside: Executor | None = None,
) -> StepLosses:
    """Forward pass and losses of one step, and the update of the codebooks.

    `batch` is this process's part, perhaps empty and on the model's device, of a global batch of `n` pairs; `position`,
    the epoch (from 1) and the step (from 0), seeds the generators. `beside` computes the image branch while this thread
    computes the audio branch, with the same bits.

    Only a restart of dead codes waits for a GPU. Numbers that are not finite appear in the losses, and do not change
    the codebooks.
    """
    device = next(model.parameters()).device
    missing = max(0, SHORTEST - batch.logmel.shape[2])
    logmel = nn.functional.pad(batch.logmel.float(), (0, missing), value=PAD_VALUE[recipe.pad_value])
    masked = None
    if training.augmentation == "masks":
        random = generator("masks", training.seed, *position)
        masked = draw_masks(batch.n_frames, logmel.shape[1], logmel.shape[2], n, random)
    # a short last batch runs uncompiled: its shape alone would be compiled for minutes, while other processes wait
    eager = compute.uncompiled(training.compute) if n < training.batch_size else nullcontext()

    def embed_images() -> Tensor:
        with compute.autocast(training.compute, device):  # each thread has its own
            return model.embed_image(model.image(batch.images))

    with compute.autocast(training.compute, device), eager:
        images = beside.submit(embed_images).result if beside else embed_images
        jitter = generator("jitter", training.seed, *position)
        audio = model.audio(logmel, batch.n_frames, jitter, masked=masked)
        embedded = images()
    branch = None
    if beside and embedded.requires_grad:
        branch = ImageBranch(embedded, embedded.detach().requires_grad_(), beside)
    leaf = branch.leaf if branch else embedded
    embeddings, layers = torch.cat([leaf, model.embed_speech(audio)], dim=1), audio.layers
    if recipe.dead_codes == "restart" and codebooks.restart_is_due(position):
        for name, quantizer in quantizers_of(model).items():
            conv, random = layers["conv" + name[-1]], generator("restart", training.seed, *position, name)
            codebooks.restart_dead_codes(quantizer, conv.vectors, conv.n_frames, n, random)
    image, speech = distributed.gather(embeddings, n).chunk(2, dim=1)
    S = pooled_similarity(image, speech)
    impostors = draw_impostors(n, generator("impostors", training.seed, *position)).to(device, non_blocking=True)
    triplets = triplet_losses(S, impostors, training.margin, recipe.semi_hard)
    total, parts = triplets.sum(), torch.stack(triplets).detach().double()
    counts = {name: layer.counts for name, layer in layers.items() if layer.counts is not None}
    if counts:
        here = torch.stack([c.sum() for c in counts.values()]).double()
        share = here / distributed.total(here.clone())
        own = torch.stack([x.commitment_loss for x in layers.values() if x.commitment_loss is not None])
        total = total + (own * share).sum()
        parts = torch.cat([parts, distributed.total(own.detach() * share)])
    return StepLosses(total, parts, counts, branch)


def update(model: nn.Module, optimizer: torch.optim.Optimizer, losses: StepLosses) -> Tensor:
    """Gradients and optimizer step. Returns whether loss and gradients are finite, a scalar on the device."""
    optimizer.zero_grad(set_to_none=True)
    images = None
    if losses.images:
        embeddings, leaf, thread = losses.images
        (gradient,) = torch.autograd.grad(losses.total, leaf, retain_graph=True)
        images = thread.submit(embeddings.backward, gradient)
    if losses.total.requires_grad:
        losses.total.backward()
    if images:
        images.result()
    trained = [p for p in model.parameters() if p.requires_grad]
    distributed.sum_gradients(trained)
    optimizer.step()
    return losses.parts.sum().isfinite() & all_finite(p.grad for p in trained if p.grad is not None)


def all_finite(tensors: Iterable[Tensor]) -> Tensor:
    """Whether the norm of every floating-point tensor is finite: a scalar on the device, without waiting for it."""
    floating = [x for x in tensors if x.is_floating_point()]
    return torch.stack(torch._foreach_norm(floating)).isfinite().all()  # noqa: SLF001 - all tensors at once


def divergence(model: nn.Module, position: str) -> InputError:
    """The error when losses, gradients or anything that a checkpoint holds are not finite."""
    tensors = [*model.named_parameters(), *model.named_buffers()]
    names = [name for name, x in tensors if x.is_floating_point() and not x.isfinite().all()]
    detail = f"; {len(names)} tensors of the model are not finite, the first is {names[0]}" if names else ""
    return InputError(
        f"training diverged at {position}: losses, gradients or moments are not finite{detail}. Nothing of it was saved. "
        "Lower training.learning_rate, and check the data with `resdavenet-vq verify`"
    )
