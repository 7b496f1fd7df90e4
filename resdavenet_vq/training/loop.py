"""Training one stage of a lineage, from top to bottom.

The result is a function of the settings, the two stores, the parent and the code: two
runs on one machine, and a run that was killed any number of times, give the same bits.

`history.csv` has a row per epoch: epoch, learning_rate; loss and its parts as means over the
training pairs (sampled_rows, sampled_columns, semi_hard_rows, semi_hard_columns; rows have
images as anchors, columns captions); of each quantizer over the whole epoch quantN_commitment,
quantN_perplexity, quantN_codes_used, quantN_top_share, and after it quantN_live_codes (see
`training.codebooks`); on the validation split
image_to_speech_recall_at_K and speech_to_image_recall_at_K for K = 1, 5, 10, and
mean_recall_at_10; pairs_per_second and data_wait (the share of the time spent waiting for data)
of training, and the seconds of the epoch, validation included.
"""

from __future__ import annotations

import csv
import math
import platform
import sys
import time
from collections.abc import Generator, Iterable, Iterator
from contextlib import ExitStack, closing, nullcontext
from itertools import islice
from pathlib import Path
from typing import Any

import torch
from torch import Tensor
from torch.utils.tensorboard import SummaryWriter

import resdavenet_vq
from resdavenet_vq import config
from resdavenet_vq.data.dataset import Batch, training_batches
from resdavenet_vq.data.features import PAD_VALUE
from resdavenet_vq.data.store import Header, Store
from resdavenet_vq.errors import InputError
from resdavenet_vq.files import atomic_write, lock, sha256
from resdavenet_vq.lineage import Lineage
from resdavenet_vq.model import checkpoint, pretrained
from resdavenet_vq.progress import track
from resdavenet_vq.training import codebooks, compute, distributed
from resdavenet_vq.training.interruption import Interrupted, Interruption, shielded
from resdavenet_vq.training.run import Run
from resdavenet_vq.training.state import State
from resdavenet_vq.training.step import (
    all_finite,
    divergence,
    generator,
    learning_rate,
    quantizers_of,
    step_losses,
    update,
)
from resdavenet_vq.training.validation import recalls

CHECK_EVERY = 8
"""Steps between two looks at whether all is finite; a GPU has to wait for them."""

CHECKPOINT_SECONDS = 600.0
"""Between two checkpoints within an epoch: the most that a kill costs."""

TIMINGS = ("pairs_per_second", "data_wait", "seconds")
"""The only columns of the history in which two runs differ."""

_GO_ON = "the state is kept, the same command goes on"


def train(
    *,
    lineage: str,
    model: config.Model,
    recipe: config.Recipe,
    training: config.Training,
    train_store: Path,
    validation_store: Path,
    parent: Path | None,
    out: Path,
    state: Path,
    code: str = "",
    checkpoint_seconds: float = CHECKPOINT_SECONDS,
) -> None:
    """Trains the last stage of a lineage and writes the model of its best epoch.

    Starts from the parent's model, or goes on where the same training was interrupted. On SIGTERM
    or SIGINT it saves its state after the step at hand and raises InputError; the same command goes on.

    Parameters
    ----------
    lineage
        In the paper's notation: `{}->{2}`.
    model, recipe, training
        Settings; `training` is that of the lineage (`Training.of`).
    train_store, validation_store
        Prepared splits; the second chooses the best epoch by the mean of its two R@10.
    parent
        Folder of the parent's model; None for a first stage.
    out
        Folder that gets `history.csv`, `model.safetensors` and `model.json` at the end, each whole.
    state
        Folder of this lineage for what an interrupted training needs to go on; see `training.state`.
    code
        Fingerprint of the code; a state that other code has left is not used.
    checkpoint_seconds
        Between two checkpoints within an epoch; there is one after each epoch anyhow.
    """
    with (
        distributed.processes() as device,
        compute.arithmetic(training.compute, device),
        lock(state / "lock", f"{state}: this lineage is being trained") if _first() else nullcontext(),
        Interruption() as interruption,
        ExitStack() as workers,
    ):
        stages = Lineage.parse(lineage)
        data, validation = Store(train_store), Store(validation_store)
        _check_request(stages, parent, data, validation)
        identity = _identity(stages, model, recipe, training, parent, data, validation, code)
        folder = State(state, identity)
        run = Run.start(model, stages.quantizers, recipe, training, parent, device)
        if saved := folder.load():
            run.resume(saved)
        elif parent and recipe.new_codebooks == "parent_activations":
            codebooks.begin_at_parent(quantizers_of(run.model), parent, data, generator("codebooks", training.seed))
        distributed.wait_for_all()  # all have read the checkpoint before it is replaced
        if _first():
            begins = f"goes on at epoch {run.epoch}, step {run.step}" if saved else "starts"
            among = f", with {distributed.world()} processes" if distributed.world() > 1 else ""
            _say(*folder.others(), f"{stages}: {begins} on {device}{among}")
        batches = workers.enter_context(closing(shielded(_batches(run, data, model.image, recipe, training))))
        try:
            while run.epoch <= training.epochs:
                started = time.monotonic()
                _train_epoch(run, batches, _pairs(data), recipe, training, folder, interruption, checkpoint_seconds)
                if _first():
                    row = {"epoch": run.epoch, "learning_rate": learning_rate(training, run.epoch)} | run.tally.to_row()
                    row |= codebooks.health(quantizers_of(run.model))
                    with compute.uncompiled(training.compute):
                        row |= _validate(run, validation, model.image, training.workers, folder, interruption)
                    run.finish_epoch(row | {"seconds": time.monotonic() - started})
                    _say(_summary(run, training.epochs))
                    _draw(run.history[-1], folder)
                run.next_epoch()
                _save(run, folder)
                interruption.obey(wanted=distributed.highest(int(interruption.signal is not None), device) > 0)
        except Interrupted as e:
            raise InputError(f"{stages}: stopped by {e} at {run.position}; {_GO_ON}") from None
        except RuntimeError as e:
            if "DataLoader worker" not in str(e):
                raise
            raise InputError(f"{stages}: a data worker died at {run.position} ({e}); {_GO_ON}") from e
        if _first():
            _write(out, run, identity | {"code": code})
            folder.discard()
        distributed.wait_for_all()


def _batches(
    run: Run, data: Store, image: config.ImageModel, recipe: config.Recipe, training: config.Training
) -> Iterable[Batch]:
    """From the run's position to the end of the last epoch: the next epoch's first batches are read during validation."""
    return training_batches(
        data,
        image,
        batch_size=training.batch_size,
        pad_to=training.pad_to,
        pad_value=PAD_VALUE[recipe.pad_value],
        seed=training.seed,
        epoch=run.epoch,
        workers=training.workers,
        rank=distributed.rank(),
        world=distributed.world(),
        start_step=run.step,
        last_epoch=training.epochs,
    )


def _train_epoch(
    run: Run,
    batches: Iterator[Batch],
    n_pairs: int,
    recipe: config.Recipe,
    training: config.Training,
    folder: State,
    interruption: Interruption,
    checkpoint_seconds: float,
) -> None:
    """The steps of an epoch that are not done yet; afterwards all is finite and process 0 has the whole tally."""
    steps = math.ceil(n_pairs / training.batch_size)
    run.set_learning_rate(learning_rate(training, run.epoch))
    saved, healthy = time.monotonic(), torch.tensor(data=True, device=run.device)
    with closing(_timed(batches, steps - run.step, run)) as timed:
        label = f"epoch {run.epoch}/{training.epochs}"
        for batch in track(timed, label, steps - run.step, "steps") if _first() else timed:
            n = min(training.batch_size, n_pairs - run.step * training.batch_size)
            losses = step_losses(run.model, batch, n, (run.epoch, run.step), recipe, training)
            healthy &= update(run.model, run.optimizer, losses)
            run.tally.add(losses, n)
            run.step += 1
            look = run.step % CHECK_EVERY == 0
            if look and not healthy:
                raise divergence(run.model, run.position)
            if look or distributed.world() == 1:
                wish = 2 if interruption.signal else int(time.monotonic() - saved >= checkpoint_seconds)
                wish = distributed.highest(wish, run.device)
                if wish:
                    _settle(run, healthy)
                    _save(run, folder)
                    saved = time.monotonic()
                interruption.obey(wanted=wish == 2)
    _settle(run, healthy)


def _timed(batches: Iterator[Batch], n: int, run: Run) -> Generator[Batch]:
    """The next n batches, on the run's device; measures the waiting."""
    start = time.monotonic()
    for batch in islice(batches, n):
        on_device = Batch(*(x.to(run.device, non_blocking=True) for x in batch))
        run.tally.waited += time.monotonic() - start
        yield on_device
        run.tally.seconds += time.monotonic() - start
        start = time.monotonic()


def _settle(run: Run, healthy: Tensor) -> None:
    """Before anything is kept: all is finite, and the processes agree. Raises InputError otherwise."""
    state = run.model.state_dict().values()
    if not (healthy & all_finite(state)):
        raise divergence(run.model, run.position)
    distributed.check_agreement(run.shared_tensors())
    run.tally.collect()


def _validate(
    run: Run, store: Store, image: config.ImageModel, workers: int, folder: State, interruption: Interruption
) -> dict[str, float]:
    try:
        return recalls(run.model, store, image, workers, run.device, interruption.check)
    except Interrupted:
        _save(run, folder)
        raise


def _save(run: Run, folder: State) -> None:
    if _first():
        folder.save(run.to_dict())


# -- before and after -----------------------------------------------------------------------------------------


def _check_request(lineage: Lineage, parent: Path | None, data: Store, validation: Store) -> None:
    if (lineage.parent is None) != (parent is None):
        needed = f"the model of {lineage.parent}" if lineage.parent else "no parent"
        raise InputError(
            f"{lineage}: a training of this lineage starts from {needed}, but --parent is {parent or 'not given'}"
        )
    for store in (data, validation):
        if not _pairs(store):
            raise InputError(
                f"{store.path}: no utterance of this split has an image; training and validation need pairs"
            )


def _identity(
    lineage: Lineage,
    model: config.Model,
    recipe: config.Recipe,
    training: config.Training,
    parent: Path | None,
    data: Store,
    validation: Store,
    code: str,
) -> dict[str, Any]:
    """All that decides the result, as JSON values."""
    return {
        "lineage": str(lineage),
        "model": model.model_dump(mode="json"),
        "recipe": recipe.model_dump(mode="json", include=set(config.TRAINING_SWITCHES)),
        "training": training.model_dump(mode="json", exclude={"workers", "threads", "gpus", "overrides"}),
        "parent": sha256(parent / checkpoint.WEIGHTS) if parent else None,
        "image_weights": None if parent else pretrained.sha256_of(model.image),
        "data": {"training": Header.read(data.path).sha256, "validation": Header.read(validation.path).sha256},
        "features": {key: data.attributes[key] for key in ("features_hash", "max_frames", "precision")},
        "code": dict(part.rpartition(":")[::2] for part in code.split()),
    }


def _write(out: Path, run: Run, card: dict[str, Any]) -> None:
    """The best epoch's model, all that is known of it, and the history."""
    run.model.load_state_dict(run.best)
    with atomic_write(out / "history.csv") as tmp, tmp.open("w", encoding="utf-8", newline="") as f:
        writer = csv.DictWriter(f, run.history[0], lineterminator="\n")
        writer.writeheader()
        writer.writerows({k: f"{v:.6g}" if isinstance(v, float) else v for k, v in row.items()} for row in run.history)
    versions = {
        "resdavenet-vq": resdavenet_vq.__version__,
        "torch": torch.__version__,
        "python": platform.python_version(),
    }
    scores = {k: v for k, v in run.history[run.best_epoch - 1].items() if k not in TIMINGS}
    checkpoint.save(
        out,
        run.model,
        card | {"epoch": run.best_epoch, "scores": scores, "versions": versions, "device": run.device.type},
    )


def _summary(run: Run, epochs: int) -> str:
    """The line of an epoch in a log."""
    row = run.history[-1]
    codes = "".join(
        f", {name} {row[f'{name}_perplexity']:.0f} ({row[f'{name}_codes_used']} codes)" for name in run.tally.counts
    )
    return (
        f"epoch {run.epoch}/{epochs}: loss {row['loss']:.3f}, R@10 {100 * row['mean_recall_at_10']:.1f} %"
        f"{' (best)' if run.best_epoch == run.epoch else ''}, learning rate {row['learning_rate']:.3g}{codes and ', perplexity'}{codes.replace(',', '', 1)}"
        f", {row['pairs_per_second']:.0f} pairs/s, {row['seconds']:.0f} s"
    )


def _draw(row: dict[str, float], folder: State) -> None:
    """The epoch's numbers for TensorBoard; the writer has a thread, which must not live when data workers are forked."""
    with SummaryWriter(folder.folder / "tensorboard") as writer:
        for name, value in row.items():
            writer.add_scalar(name, value, row["epoch"])


def _pairs(store: Store) -> int:
    return int((store.image_index >= 0).sum())


def _first() -> bool:
    return distributed.rank() == 0


def _say(*lines: str) -> None:
    print(*lines, sep="\n", file=sys.stderr, flush=True)
