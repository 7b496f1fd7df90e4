"""How long a training is, and its learning rate: pure functions of the settings and the position.

A training is counted in epochs, passes over the training split, or in steps: then the last pass ends early. Models are
compared after every pass in both cases.
"""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from resdavenet_vq import config

WARM_UP = 0.05
"""The share of all steps in which the learning rate of `cosine` rises from almost 0."""

FLOOR = 0.01
"""The lowest learning rate of `cosine`, as a share of `training.learning_rate`."""


@dataclass(frozen=True)
class Schedule:
    """The steps of a training on `n_pairs` pairs."""

    training: config.Training
    n_pairs: int

    @property
    def steps_a_pass(self) -> int:
        """Steps of a whole pass; its last batch may be short."""
        return math.ceil(self.n_pairs / self.training.batch_size)

    @property
    def total(self) -> int:
        """Steps of the whole training, unless it ends early."""
        return self.training.steps or (self.training.epochs or 0) * self.steps_a_pass

    @property
    def epochs(self) -> int:
        """Epochs of the whole training, the last of which may be a part of a pass."""
        return math.ceil(self.total / self.steps_a_pass)

    def steps(self, epoch: int) -> int:
        """Steps of an epoch, counted from 1."""
        return min(self.steps_a_pass, self.total - (epoch - 1) * self.steps_a_pass)

    def learning_rate(self, epoch: int, step: int) -> float:
        """The learning rate of a step, counted from 0 in its epoch, which counts from 1.

        In `steps` the first plateau is one epoch shorter, as published, because epochs count from 1.
        """
        training = self.training
        if training.learning_rate_schedule == "steps":
            return training.learning_rate * training.learning_rate_decay ** (
                epoch // training.learning_rate_decay_every
            )
        done, warm_up = (epoch - 1) * self.steps_a_pass + step, max(1, round(WARM_UP * self.total))
        if done < warm_up:
            share = (done + 1) / warm_up
        else:
            share = (1 + math.cos(math.pi * (done - warm_up) / max(1, self.total - warm_up))) / 2
        return training.learning_rate * max(share, FLOOR)

    def is_out_of_patience(self, recalls: Sequence[float]) -> bool:
        """Whether R@10 after each epoch so far has not risen for `training.patience` epochs."""
        patience = self.training.patience
        return patience is not None and bool(recalls) and len(recalls) - 1 - recalls.index(max(recalls)) >= patience
