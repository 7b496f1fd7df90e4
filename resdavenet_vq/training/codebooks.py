"""Codebooks that are given life: dead codes restarted, new codebooks begun where the parent's frames are.

A code is *live* if its moving average of frames is at least LIVE_SHARE of the average code's. A dead one is the nearest
to hardly any frame, and so stays where no frames are. `recipe.dead_codes: restart` moves it to a random valid frame of the
current global batch, with the average code's size and the sum that goes with it. Random restarts are usual practice:
Jukebox (Dhariwal et al. 2020) takes them below one frame a batch, SoundStream (Zeghidour et al. 2021) below two, both in
every step. Here the threshold is relative, so that it means the same for any size of batch and codebook, and there is a
look every RESTART_EVERY steps: a code that was moved falls below the threshold again only if hardly any frame took it
in the 200 steps that its size takes to decay so far.

What is drawn follows from a generator, from frames numbered over the global batch: the same for any number of processes.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import TYPE_CHECKING

import numpy as np
import torch
from torch import Tensor

from resdavenet_vq.model import checkpoint
from resdavenet_vq.training import distributed

if TYPE_CHECKING:
    from pathlib import Path

    from resdavenet_vq.data.store import Store
    from resdavenet_vq.model.quantizer import Quantizer

LIVE_SHARE = 0.125
"""Of the average code's frames: what a live code has at least."""

RESTART_EVERY = 25
"""Steps of an epoch between two looks for dead codes."""

UTTERANCES = 256
"""Of the training split, whose frames begin new codebooks."""


def live(quantizer: Quantizer) -> Tensor:
    """Which codes (K,) are live."""
    return quantizer.cluster_size >= LIVE_SHARE * quantizer.cluster_size.mean()


def health(quantizers: Mapping[str, Quantizer]) -> dict[str, float]:
    """The history's column `quantN_live_codes` of each quantizer: how many codes are live after the epoch."""
    return {f"{name}_live_codes": int(live(quantizer).sum()) for name, quantizer in quantizers.items()}


def restart_is_due(position: tuple[int, int]) -> bool:
    """Whether dead codes are restarted in the step at (epoch from 1, step from 0): every so many, but not in the very first."""
    return position[1] % RESTART_EVERY == 0 and position != (1, 0)


@torch.no_grad()
def restart_dead_codes(
    quantizer: Quantizer, frames: Tensor, n_frames: Tensor, n: int, generator: torch.Generator
) -> None:
    """Moves every dead code to a random valid frame of the global batch; size and sum follow. Every process must call it.

    Frames that are not finite move nothing. Waits for a GPU.

    Parameters
    ----------
    frames
        (B, C, T): what enters the quantizer, of this process's part of the global batch, which may be empty.
    n_frames
        (B,) int64: valid frames.
    n
        Utterances in the global batch, of which process r has every world-th from the r-th on.
    generator
        On the CPU, alike in all processes.
    """
    dead = ~live(quantizer)
    if not dead.any():
        return
    drawn = _random_frames(frames, n_frames, n, len(dead), generator)
    _place(quantizer, dead & drawn.isfinite().all(dim=1), drawn, quantizer.cluster_size.mean())


def begin_at_parent(
    quantizers: Mapping[str, Quantizer], parent: Path, store: Store, generator: torch.Generator
) -> None:
    """Makes codebooks that the model in folder `parent` has not, or has in another shape, of frames that it makes of training utterances.

    The parent runs as in evaluation, each utterance by itself; a codebook gets random frames of what enters it
    (`convN` of the parent), each once if there are enough. Cluster sizes stay as they are, sums follow. Process 0 decides.
    """
    model, _ = checkpoint.load(parent)
    known = model.state_dict()
    names = {name: f"audio.quantizers.{name}.codebook" for name in quantizers}
    new = {
        name: q
        for name, q in quantizers.items()
        if names[name] not in known or known[names[name]].shape != q.codebook.shape
    }
    if not new:
        return
    drawn = {name: torch.zeros_like(q.codebook) for name, q in new.items()}
    if distributed.rank() == 0:
        device = next(iter(drawn.values())).device
        numbers = np.flatnonzero(store.image_index >= 0)
        chosen = numbers[torch.randperm(len(numbers), generator=generator)[:UTTERANCES].numpy()]
        entering: dict[str, list[Tensor]] = {name: [] for name in new}
        model.to(device)
        with torch.inference_mode():
            for number in chosen.tolist():
                logmel = torch.from_numpy(store.logmel(number).astype(np.float32)).T[None].to(device)
                output = model.audio(logmel, torch.tensor([logmel.shape[2]]), until="conv" + max(new)[-1])
                for name, parts in entering.items():
                    layer = output.layers["conv" + name[-1]]
                    parts.append(layer.vectors[0, :, : int(layer.n_frames[0])].T)
        for name, parts in entering.items():
            frames = torch.cat(parts)
            drawn[name].copy_(frames[_choose(len(frames), len(drawn[name]), generator).to(device)])
    for name, quantizer in new.items():
        everything = torch.ones_like(quantizer.cluster_size, dtype=torch.bool)
        _place(quantizer, everything, distributed.total(drawn[name]), quantizer.cluster_size)


@torch.no_grad()
def _place(quantizer: Quantizer, which: Tensor, vectors: Tensor, size: Tensor) -> None:
    """Puts the codes that `which` (K,) marks at their rows of `vectors` (K, C), with a cluster size, a scalar or (K,)."""
    quantizer.cluster_size.copy_(torch.where(which, size, quantizer.cluster_size))
    quantizer.codebook.copy_(torch.where(which[:, None], vectors, quantizer.codebook))
    quantizer.embedding_sum.copy_(
        torch.where(which[:, None], vectors * quantizer.cluster_size[:, None], quantizer.embedding_sum)
    )


def _random_frames(frames: Tensor, n_frames: Tensor, n: int, k: int, generator: torch.Generator) -> Tensor:
    """(k, C) float32: random valid ones of the global batch, the same in all processes."""
    rank, world = distributed.rank(), distributed.world()
    lengths = torch.zeros(n, dtype=torch.int64, device=frames.device)
    lengths[rank::world] = n_frames
    ends = distributed.total(lengths).cumsum(0).cpu()
    chosen = _choose(int(ends[-1]), k, generator)
    utterance = torch.searchsorted(ends, chosen, right=True)
    time = chosen - torch.cat([ends.new_zeros(1), ends])[utterance]
    mine = utterance % world == rank
    drawn = torch.zeros(k, frames.shape[1], device=frames.device)
    at = (utterance[mine] // world).to(frames.device), time[mine].to(frames.device)
    drawn[mine.to(frames.device)] = frames[at[0], :, at[1]].float()
    return distributed.total(drawn)


def _choose(n: int, k: int, generator: torch.Generator) -> Tensor:
    """So many of the numbers below n, each at most once if there are enough."""
    return torch.randperm(n, generator=generator)[:k] if n >= k else torch.randint(n, (k,), generator=generator)
