"""A training under way: everything that changes from step to step, and its form in a checkpoint."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any

import torch
from torch import Tensor

from resdavenet_vq.model import checkpoint, pretrained
from resdavenet_vq.model.dual_encoder import DualEncoder
from resdavenet_vq.training import compute, distributed
from resdavenet_vq.training.step import Tally, quantizers_of

if TYPE_CHECKING:
    from pathlib import Path

    from resdavenet_vq import config


@dataclass
class Run:
    """Model, optimizer and position. There is no state of a random generator: draws are functions of the position."""

    model: DualEncoder
    optimizer: torch.optim.Optimizer
    tally: Tally
    device: torch.device
    epoch: int = 1
    """The epoch at hand."""
    step: int = 0
    """How many of its steps are done."""
    history: list[dict[str, float]] = field(default_factory=list)
    """A row for each finished epoch; of process 0 only, like `best`."""
    best: dict[str, Tensor] = field(default_factory=dict)
    """Weights after the best epoch so far, on the CPU."""
    best_epoch: int = 0
    """0 before the first epoch ends."""

    @classmethod
    def start(
        cls,
        model: config.Model,
        quantizers: tuple[int, ...],
        recipe: config.Recipe,
        training: config.Training,
        parent: Path | None,
        device: torch.device,
    ) -> Run:
        """Before the first step: weights from the seed, then the parent's, or of a first stage pretrained ones, where they fit."""
        with torch.random.fork_rng(devices=[]):
            torch.manual_seed(training.seed)
            encoder = DualEncoder(model, quantizers, jitter=training.jitter, jitter_offsets=recipe.jitter)
        if parent is None:
            pretrained.load_trunk(encoder)
        else:
            checkpoint.warm_start(encoder, parent)
        encoder.to(device).train()
        for quantizer in quantizers_of(encoder).values():
            quantizer.reduce_statistics = distributed.total
        if training.compute.compile:
            compute.compile_branches(encoder, dynamic=training.pad_to == "batch")
        trained = [p for p in encoder.parameters() if p.requires_grad]
        optimizer = torch.optim.Adam(trained, lr=training.learning_rate, weight_decay=training.weight_decay, fused=True)
        return cls(encoder, optimizer, Tally.empty(encoder, device), device)

    @property
    def position(self) -> str:
        """For people."""
        return f"epoch {self.epoch}, step {self.step}"

    def set_learning_rate(self, value: float) -> None:
        """Of every parameter."""
        for group in self.optimizer.param_groups:
            group["lr"] = value

    def finish_epoch(self, row: dict[str, float]) -> None:
        """Puts a row into the history, and keeps the weights if its mean R@10 is higher than that of all before."""
        self.history.append(row)
        if not self.best_epoch or row["mean_recall_at_10"] > self.history[self.best_epoch - 1]["mean_recall_at_10"]:
            self.best = {name: x.detach().to("cpu", copy=True) for name, x in self.model.state_dict().items()}
            self.best_epoch = self.epoch

    def next_epoch(self) -> None:
        """To the first step of the next epoch."""
        self.epoch, self.step, self.tally = self.epoch + 1, 0, Tally.empty(self.model, self.device)

    def shared_tensors(self) -> Iterator[tuple[str, Tensor]]:
        """Names and tensors that must be the same in all processes: all but the running statistics of batch normalisation."""
        yield from self.model.named_parameters()
        for name, quantizer in quantizers_of(self.model).items():
            yield from ((f"{name}.{key}", x) for key, x in quantizer.named_buffers())

    def to_dict(self) -> dict[str, Any]:
        """For a checkpoint: tensors, containers and plain values."""
        return {
            "model": self.model.state_dict(),
            "optimizer": self.optimizer.state_dict(),
            "tally": self.tally.to_dict(),
            "epoch": self.epoch,
            "step": self.step,
            "history": self.history,
            "best": self.best,
            "best_epoch": self.best_epoch,
        }

    def resume(self, saved: dict[str, Any]) -> None:
        """Goes on from a checkpoint."""
        self.model.load_state_dict(saved["model"])
        self.optimizer.load_state_dict(saved["optimizer"])
        self.tally = Tally.from_dict(saved["tally"], self.device)
        self.epoch, self.step = saved["epoch"], saved["step"]
        self.history, self.best, self.best_epoch = saved["history"], saved["best"], saved["best_epoch"]
