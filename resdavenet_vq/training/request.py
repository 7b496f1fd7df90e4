"""What a training is asked to do: all that decides its result, and whether it can be done here."""

from __future__ import annotations

import math
import os
from pathlib import Path
from typing import Any

import numpy as np

from resdavenet_vq import config
from resdavenet_vq.data.features import N_MELS
from resdavenet_vq.data.store import Store
from resdavenet_vq.errors import InputError
from resdavenet_vq.files import sha256
from resdavenet_vq.lineage import Lineage
from resdavenet_vq.model import checkpoint, pretrained
from resdavenet_vq.processes import check_shared_memory
from resdavenet_vq.training import distributed
from resdavenet_vq.training.state import Run
from resdavenet_vq.training.validation import IMAGES_AT_ONCE

_DATA_SETTINGS = ("features_hash", "max_frames", "precision", "image_size")
"""Attributes of the training store that a model's card names, where the store has them."""

BATCHES_OF_A_WORKER = 2
"""Batches that PyTorch lets each data worker read ahead."""


def identity(
    lineage: Lineage,
    model: config.Model,
    recipe: config.Recipe,
    training: config.Training,
    parent: Path | None,
    data: Store,
    validation: Store,
    code: str,
) -> dict[str, Any]:
    """Everything that decides the result, as JSON values."""
    return {
        "lineage": str(lineage),
        "model": model.model_dump(mode="json"),
        "recipe": recipe.model_dump(mode="json", include=set(config.TRAINING_SWITCHES)),
        "training": training.model_dump(mode="json", exclude={*training.without_effect, "overrides"}),
        "parent": sha256(parent / checkpoint.WEIGHTS) if parent else None,
        "image_weights": None if parent else pretrained.sha256_of(model.image),
        "data": {"training": data.sha256, "validation": validation.sha256},
        "features": {k: data.attributes[k] for k in _DATA_SETTINGS if k in data.attributes},
        "code": dict(part.rpartition(":")[::2] for part in code.split()),
    }


def check(lineage: Lineage, training: config.Training, parent: Path | None, data: Store, validation: Store) -> None:
    """Raises InputError if a lineage cannot be trained so, from this parent, on these splits, by these processes."""
    world = distributed.world()
    if training.batch_norm == "process" and world != max(1, training.gpus):
        raise InputError(
            f"training.batch_norm: process trains with exactly training.gpus = {training.gpus} processes, not {world}, which "
            "would be another method; set training.gpus, or batch_norm: global"
        )
    if training.compute.compile and training.batch_size % world:
        raise InputError(
            f"training.compute.compile: {world} processes need a training.batch_size that is a multiple of {world}, not "
            f"{training.batch_size}: the compiler might order what they exchange differently"
        )
    if (lineage.parent is None) != (parent is None):
        expected = f"the model of {lineage.parent}" if lineage.parent else "no parent"
        raise InputError(
            f"{lineage}: a training of this lineage starts from {expected}, but --parent is {parent or 'not given'}"
        )
    for store in (data, validation):
        if not n_pairs(store):
            raise InputError(
                f"{store.path}: no utterance in this split has an image; training and validation need pairs"
            )


def check_memory(run: Run, data: Store) -> None:
    """Raises InputError if the data workers of this machine have not enough shared memory for their batches."""
    training, crop = run.training, 3 * run.model.settings.image.crop**2
    frames = int(data.attributes["max_frames"])
    if training.pad_to == "batch":
        frames = min(frames, int(data.n_frames.max()))
    pair = N_MELS * frames * np.dtype(data.precision).itemsize + crop
    pairs = math.ceil(training.batch_size / distributed.world()) * int(os.environ.get("LOCAL_WORLD_SIZE", "1"))
    in_memory = BATCHES_OF_A_WORKER * training.workers
    check_shared_memory(
        in_memory * (pairs * pair + IMAGES_AT_ONCE * crop),
        f"{training.workers} data workers; set training.workers to 0, or lower it and training.batch_size",
    )


def n_pairs(store: Store) -> int:
    """The number of utterances with an image."""
    return int((store.image_index >= 0).sum())
