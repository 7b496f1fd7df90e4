"""Restart of dead codes; initialization of new codebooks from the parent's activations.

A code is *live* if its moving average of frames is at least LIVE_SHARE of the average over all codes. A dead code is
nearest to hardly any frame, so it does not move. `recipe.dead_codes: restart` moves it to a random valid frame of the
current global batch and gives it the average cluster size, as Jukebox (Dhariwal et al. 2020) and SoundStream (Zeghidour
et al. 2021) do, but with a relative threshold, which does not depend on the sizes of batch and codebook. A restarted
code that no frame takes falls below it again after about 200 steps.

Frames are numbered over the global batch before they are drawn: the draw is the same for any number of processes.
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

RESTART_EVERY = 25
"""Steps between two checks for dead codes."""

UTTERANCES = 256
"""Training utterances whose frames initialize new codebooks."""


def live(quantizer: Quantizer) -> Tensor:
    """Which codes (K,) are live."""
    return quantizer.cluster_size >= LIVE_SHARE * quantizer.cluster_size.mean()


def live_codes(quantizers: Mapping[str, Quantizer]) -> dict[str, float]:
    """Columns of the history: `quantN_live_codes` of each quantizer, the number of live codes after the epoch."""
    return {f"{name}_live_codes": int(live(quantizer).sum()) for name, quantizer in quantizers.items()}


def restart_is_due(position: tuple[int, int]) -> bool:
    """Whether dead codes are restarted in the step at (epoch from 1, step from 0); never in the first step of all."""
    return position[1] % RESTART_EVERY == 0 and position != (1, 0)


@torch.no_grad()
def restart_dead_codes(
    quantizer: Quantizer, frames: Tensor, n_frames: Tensor, n: int, generator: torch.Generator
) -> None:
    """Moves every dead code to a random valid frame of the global batch. Every process must call it; waits for a GPU.

    `frames` (B, C, T) is the input of the quantizer for this process's part, which may be empty, of the global batch of
    `n` utterances: every world-th from the rank-th on. `n_frames` (B,) int64 of them are valid; those that are not
    finite are ignored. `generator` is on the CPU, with the same state in all processes.
    """
    dead = ~live(quantizer)
    if not dead.any():
        return
    drawn = _random_frames(frames, n_frames, n, len(dead), generator)
    _move(quantizer, dead & drawn.isfinite().all(dim=1), drawn, quantizer.cluster_size.mean())


def initialize_from_parent(
    quantizers: Mapping[str, Quantizer], parent: Path, store: Store, generator: torch.Generator
) -> None:
    """Initializes codebooks that the model in folder `parent` lacks, or has in another shape, from its activations.

    The parent encodes training utterances one by one, in evaluation mode; a codebook gets random frames of its input
    (`convN` of the parent), each at most once if there are enough. Cluster sizes do not change. Process 0 draws.
    """
    model, _ = checkpoint.load(parent)
    shapes = {name: x.shape for name, x in model.state_dict().items()}
    new = {
        name: q for name, q in quantizers.items() if shapes.get(f"audio.quantizers.{name}.codebook") != q.codebook.shape
    }
    if not new:
        return
    drawn = {name: torch.zeros_like(q.codebook) for name, q in new.items()}
    if distributed.is_first():
        device = next(iter(drawn.values())).device
        numbers = np.flatnonzero(store.image_index >= 0)
        chosen = numbers[torch.randperm(len(numbers), generator=generator)[:UTTERANCES].numpy()]
        inputs: dict[str, list[Tensor]] = {name: [] for name in new}
        model.to(device)
        with torch.inference_mode():
            for number in chosen.tolist():
                logmel = torch.from_numpy(store.logmel(number).astype(np.float32)).T[None].to(device)
                output = model.audio(logmel, torch.tensor([logmel.shape[2]]), until="conv" + max(new)[-1])
                for name, parts in inputs.items():
                    layer = output.layers["conv" + name[-1]]
                    parts.append(layer.vectors[0, :, : int(layer.n_frames[0])].T)
        for name, parts in inputs.items():
            frames = torch.cat(parts)
            drawn[name].copy_(frames[_choose(len(frames), len(drawn[name]), generator).to(device)])
    for name, quantizer in new.items():
        all_codes = torch.ones_like(quantizer.cluster_size, dtype=torch.bool)
        _move(quantizer, all_codes, distributed.total(drawn[name]), quantizer.cluster_size)


@torch.no_grad()
def _move(quantizer: Quantizer, which: Tensor, vectors: Tensor, size: Tensor) -> None:
    """Moves the codes marked in `which` (K,) to rows of `vectors` (K, C), with cluster size `size`, scalar or (K,)."""
    quantizer.cluster_size.copy_(torch.where(which, size, quantizer.cluster_size))
    quantizer.codebook.copy_(torch.where(which[:, None], vectors, quantizer.codebook))
    quantizer.embedding_sum.copy_(
        torch.where(which[:, None], vectors * quantizer.cluster_size[:, None], quantizer.embedding_sum)
    )


def _random_frames(frames: Tensor, n_frames: Tensor, n: int, k: int, generator: torch.Generator) -> Tensor:
    """(k, C) float32: random valid frames of the global batch, the same in all processes."""
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
    """K random numbers below n, each at most once if there are enough."""
    return torch.randperm(n, generator=generator)[:k] if n >= k else torch.randint(n, (k,), generator=generator)
