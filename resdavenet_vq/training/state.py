"""The state of an unfinished training, on disk and in memory.

The checkpoints of a lineage lie in one folder, which is not an output of a rule:

    state/lock                        exists while a process trains; names it
    state/KEY/identity.json           everything that decides the result; KEY is its hash
    state/KEY/checkpoint-000012.pt    tensors and plain values only
    state/KEY/latest.json             the name of the latest checkpoint, and its SHA-256

A training resumes from its own KEY only: with other settings, data, parent or code it starts anew, and with the old
ones it finds their state again. `latest.json` is replaced only after the new checkpoint is on disk: a kill at any
moment leaves the previous checkpoint or the new one.
"""

from __future__ import annotations

import hashlib
import json
from collections.abc import Iterator, Mapping
from dataclasses import asdict, dataclass, field
from pathlib import Path
from typing import TYPE_CHECKING, Any

import torch
from torch import Tensor

from resdavenet_vq.errors import InputError
from resdavenet_vq.files import atomic_write, read_json, sha256, write_json, writing
from resdavenet_vq.model import checkpoint, pretrained
from resdavenet_vq.model.batch_norm import BatchNorm2d
from resdavenet_vq.model.dual_encoder import DualEncoder
from resdavenet_vq.training import compute, distributed
from resdavenet_vq.training.step import Totals, quantizers_of

if TYPE_CHECKING:
    from resdavenet_vq import config


MOST_CHANGES = 20
"""Number of differences between two trainings that are told."""


@dataclass(frozen=True)
class State:
    """The checkpoints of one identity in the state folder of a lineage."""

    root: Path
    identity: Mapping[str, Any]
    """JSON values: everything that decides the result."""

    @property
    def folder(self) -> Path:
        """The folder `root/KEY`."""
        text = json.dumps(self.identity, sort_keys=True, ensure_ascii=False)
        return self.root / hashlib.sha256(text.encode()).hexdigest()[:16]

    def load(self) -> dict[str, Any] | None:
        """The latest checkpoint, on the CPU; None if there is none. Raises InputError if it is damaged."""
        if (latest := self._latest()) is None:
            return None
        _, name, digest = latest
        path = self.folder / name
        if not path.is_file() or sha256(path) != digest:
            raise self._damaged(path, "its bytes have changed" if path.is_file() else "it is missing")
        try:
            state = checkpoint.load_pickle(path)
        except Exception as e:  # noqa: BLE001 (the parser's errors are of many types)
            raise self._damaged(path, checkpoint.first_line(e)) from None
        if not isinstance(state, dict):
            raise self._damaged(path, "it holds no state of a training")
        return state

    def _latest(self) -> tuple[int, str, str] | None:
        """The number, file name and SHA-256 of the latest checkpoint; None if there is none."""
        path = self.folder / "latest.json"
        if not path.exists():
            return None
        match read_json(path):
            case {"number": int(number), "file": str(name), "sha256": str(digest)} if number > 0 and name == _file_name(
                number
            ):
                return number, name, digest
        raise self._damaged(path, "it names no checkpoint")

    def _damaged(self, path: Path, fault: str) -> InputError:
        return InputError(f"{path}: the checkpoint is damaged ({fault}); remove {self.folder} to train from the start")

    def save(self, state: Mapping[str, Any]) -> None:
        """Writes `state`, tensors, containers and plain values, as the latest checkpoint.

        Raises InputError if it cannot be written; the previous checkpoint stays.
        """
        with writing(self.folder):
            self.folder.mkdir(parents=True, exist_ok=True)
        latest = self._latest()
        number = latest[0] + 1 if latest else 1
        path = self.folder / _file_name(number)
        write_json(self.folder / "identity.json", self.identity)
        with atomic_write(path) as tmp:
            torch.save(dict(state), tmp)
        write_json(self.folder / "latest.json", {"number": number, "file": path.name, "sha256": sha256(path)})
        self._remove_checkpoints(keep=path.name)

    def discard(self) -> None:
        """Removes the checkpoint of a finished training; the identity stays as a record."""
        (self.folder / "latest.json").unlink(missing_ok=True)
        self._remove_checkpoints()

    def others(self) -> list[str]:
        """One line for each unfinished training of another identity: its folder and what differs."""
        lines = []
        for manifest in sorted(self.root.glob("*/latest.json")):
            if manifest.parent != self.folder:
                ignored = f"{manifest.parent}: a checkpoint of a training with other settings, data or code is ignored"
                try:
                    before = dict(_flat(read_json(manifest.with_name("identity.json"))))
                except (InputError, RecursionError) as e:  # of a training that nobody asked for
                    lines.append(f"{ignored}; its settings cannot be read ({checkpoint.first_line(e)})")
                    continue
                after = dict(_flat(self.identity))
                keys = sorted(key for key in {*before, *after} if before.get(key) != after.get(key))
                changes = [f"{key} {before.get(key, 'absent')} -> {after.get(key, 'absent')}" for key in keys]
                more = f"; and {len(changes) - MOST_CHANGES} more" if len(changes) > MOST_CHANGES else ""
                lines.append(f"{ignored}: {'; '.join(change[:200] for change in changes[:MOST_CHANGES])}{more}")
        return lines

    def _remove_checkpoints(self, keep: str = "") -> None:
        """Removes checkpoints, and temporary files that a kill has left."""
        for path in (*self.folder.glob("checkpoint-*.pt"), *self.folder.glob(".*.tmp")):
            if path.name != keep:
                path.unlink(missing_ok=True)


def _file_name(number: int) -> str:
    return f"checkpoint-{number:06}.pt"


def _flat(value: Any, prefix: str = "") -> Iterator[tuple[str, str]]:
    """Dotted names and JSON texts of the leaves of nested mappings."""
    if isinstance(value, Mapping):
        for key, inner in value.items():
            yield from _flat(inner, f"{prefix}.{key}" if prefix else str(key))
    else:
        yield prefix, json.dumps(value, sort_keys=True)


def _batch_norms(model: DualEncoder) -> Iterator[BatchNorm2d]:
    return (module for module in model.modules() if isinstance(module, BatchNorm2d))


def _copied(value: Any) -> Any:
    """Nested containers, with copies of all tensors on the CPU."""
    match value:
        case Tensor():
            return value.detach().to("cpu", copy=True)
        case dict():
            return {key: _copied(inner) for key, inner in value.items()}
        case list():
            return [_copied(inner) for inner in value]
    return value


_VALUES = ("epoch", "step", "history", "best", "best_epoch")
"""Attributes of a run that a checkpoint holds as they are."""


@dataclass
class Run:
    """A training in memory. It has no state of a random generator: draws are functions of the position."""

    model: DualEncoder
    optimizer: torch.optim.Optimizer
    recipe: config.Recipe
    training: config.Training
    device: torch.device
    totals: Totals
    epoch: int = 1
    step: int = 0
    """Number of its finished steps."""
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
        """Before the first step: weights from the seed, then the parent's, or in a first stage pretrained ones."""
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
        if training.batch_norm == "global" and distributed.world() > 1:
            for norm in _batch_norms(encoder):
                norm.reduce_statistics = distributed.summed
        if training.compute.compile:
            compute.compile_branches(encoder, dynamic=training.pad_to == "batch")
        trained = [p for p in encoder.parameters() if p.requires_grad]
        optimizer = torch.optim.Adam(trained, lr=training.learning_rate, weight_decay=training.weight_decay, fused=True)
        return cls(encoder, optimizer, recipe, training, device, Totals.empty(encoder, device))

    @property
    def position(self) -> str:
        """Where the training is, for messages."""
        return f"epoch {self.epoch}, step {self.step}"

    @property
    def recalls(self) -> list[float]:
        """The mean R@10 after each epoch so far; of process 0 only."""
        return [row["mean_recall_at_10"] for row in self.history]

    def finish_epoch(self, row: dict[str, float]) -> None:
        """Appends a row to the history, and keeps the weights if its mean R@10 is the highest so far."""
        self.history.append(row)
        if not self.best_epoch or row["mean_recall_at_10"] > self.history[self.best_epoch - 1]["mean_recall_at_10"]:
            self.best = {name: x.detach().to("cpu", copy=True) for name, x in self.model.state_dict().items()}
            self.best_epoch = self.epoch

    def next_epoch(self) -> None:
        """Moves to the first step of the next epoch."""
        self.epoch, self.step, self.totals = self.epoch + 1, 0, Totals.empty(self.model, self.device)

    def shared_tensors(self) -> Iterator[tuple[str, Tensor]]:
        """Names and tensors that are equal in all processes: the model, but not the running statistics of `process`."""
        if self.training.batch_norm == "global":
            yield from self.model.state_dict().items()
            return
        yield from self.model.named_parameters()
        for name, quantizer in quantizers_of(self.model).items():
            yield from ((f"{name}.{key}", x) for key, x in quantizer.named_buffers())

    def to_dict(self) -> dict[str, Any]:
        """For a checkpoint: tensors on the CPU, containers and plain values, which the following steps do not change."""
        states = {"model": self.model.state_dict(), "optimizer": self.optimizer.state_dict()}
        values = {name: getattr(self, name) for name in _VALUES} | {"history": [*self.history]}
        copies: dict[str, Any] = _copied(states | {"totals": asdict(self.totals)})
        return copies | values

    def resume(self, saved: dict[str, Any]) -> None:
        """Continues from a checkpoint. Raises InputError if it is not of this training."""
        match saved:
            case {
                "model": dict(weights),
                "optimizer": dict(optimizer),
                "totals": dict(totals),
                "epoch": int(),
                "step": int(),
                "history": list(),
                "best": dict(),
                "best_epoch": int(),
            }:
                pass
            case _:
                raise InputError("the checkpoint is not of this training; remove its folder to train from the start")
        try:
            self.model.load_state_dict(weights)
            self.optimizer.load_state_dict(optimizer)
            self.totals = Totals.from_dict(totals, self.device)
        except (KeyError, TypeError, ValueError, AttributeError, RuntimeError) as e:
            fault = checkpoint.first_line(e)
            raise InputError(
                f"the checkpoint is not of this training ({fault}); remove its folder to train from the start"
            ) from e
        for name in _VALUES:
            setattr(self, name, saved[name])
