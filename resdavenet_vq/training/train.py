"""Training of one stage of a lineage.

The result is a function of the settings, the two stores, the parent and the code: two runs on one machine, and a run
that was killed any number of times, give the same bits. docs/training.md describes the columns of `history.csv`.
"""

from __future__ import annotations

import sys
import time
from collections.abc import Generator, Iterable, Iterator
from concurrent.futures import Executor, ThreadPoolExecutor
from contextlib import AbstractContextManager, ExitStack, closing, nullcontext
from itertools import islice
from pathlib import Path
from typing import Any

import torch
from torch import Tensor
from torch.utils.tensorboard import SummaryWriter

from resdavenet_vq import config, model_card
from resdavenet_vq.data.dataset import Batch, training_batches
from resdavenet_vq.data.features import PAD_VALUE
from resdavenet_vq.data.loader import has_lost_worker, shielded
from resdavenet_vq.data.store import Store
from resdavenet_vq.errors import InputError, printable
from resdavenet_vq.files import check_outputs, lock, together, write_csv, writing
from resdavenet_vq.lineage import Lineage
from resdavenet_vq.model import checkpoint
from resdavenet_vq.progress import track
from resdavenet_vq.training import codebooks, compute, distributed, request, step
from resdavenet_vq.training.advice import advice
from resdavenet_vq.training.interruption import Interrupted, Interruption
from resdavenet_vq.training.saving import Saver
from resdavenet_vq.training.schedule import Schedule
from resdavenet_vq.training.state import Run, State
from resdavenet_vq.training.timing import StepClock
from resdavenet_vq.training.validation import recalls

CHECK_EVERY = 8
"""Steps between two checks that all numbers are finite; a GPU has to wait for them."""

CHECKPOINT_SECONDS = 600.0
"""Time between two checkpoints within an epoch, the most that a kill costs; there is also one after each epoch."""

TIMINGS = ("pairs_per_second", "data_wait", "seconds")
"""The only columns of the history in which two runs differ."""

OUTPUTS = ("history.csv", checkpoint.WEIGHTS, checkpoint.CARD, model_card.NAME)
"""The files of a trained model."""

SAVE, SAVE_AND_STOP = 1, 2
"""What a process may request between two steps; the highest request of all processes counts."""

_RESUME = "the state is saved; run the same command again to resume"


def train(
    *,
    lineage: Lineage,
    model: config.Model,
    recipe: config.Recipe,
    training: config.Training,
    train_store: Path,
    validation_store: Path,
    parent: Path | None,
    out: Path,
    state: Path,
    code: str,
) -> None:
    """Trains the last stage of a lineage and writes the model of its best epoch, by the mean of its two R@10.

    Starts from the model in the folder `parent`, None for a first stage, or resumes the same training where it was
    interrupted. On SIGTERM or SIGINT it saves its state after the current step and raises InputError.

    `training` includes the overrides of the lineage. `out` receives `history.csv`, `model.safetensors`, `model.json`
    and the model card at the end; `state` holds the checkpoints of unfinished trainings of this lineage, see `training.state`. A
    checkpoint written by code with another fingerprint than `code` is ignored.
    """
    with (
        distributed.processes() as device,
        compute.arithmetic(training.compute, device, fixed_shapes=training.pad_to == "max_frames"),
        lock(state / "lock", f"{state}: this lineage is being trained", state)
        if distributed.is_first()
        else nullcontext(),
        Interruption() as interruption,
        ExitStack() as workers,
    ):
        data, validation = Store(train_store), Store(validation_store)
        request.check(lineage, training, parent, data, validation)
        identity = request.identity(lineage, model, recipe, training, parent, data, validation, code)
        folder = State(state, identity)
        run = Run.start(model, lineage.quantizers, recipe, training, parent, device)
        if saved := folder.load():
            run.resume(saved)
        elif parent and recipe.new_codebooks == "parent_activations":
            random = step.generator("codebooks", training.seed)
            codebooks.initialize_from_parent(step.quantizers_of(run.model), parent, data, random)
        distributed.wait_for_all()  # all have read the checkpoint before it is replaced
        if distributed.is_first():
            check_outputs(*(out / name for name in OUTPUTS))
            start = f"resumes at {run.position}" if saved else "starts"
            processes = f", with {distributed.world()} processes" if distributed.world() > 1 else ""
            _log(*folder.others(), f"{lineage}: {start} on {device}{processes}")
        schedule = Schedule(training, request.n_pairs(data))
        saver = workers.enter_context(Saver(folder.save))
        request.check_memory(run, data)
        batches = workers.enter_context(closing(shielded(_batches(run, data, schedule))))
        try:
            while not _is_over(run, schedule):
                started = time.monotonic()
                _train_epoch(run, batches, schedule, saver, interruption)
                if distributed.is_first():
                    saver.wait()  # data workers of the validation are forked: no thread is left over then
                    row = _validated(run, schedule, validation, interruption)
                    run.finish_epoch(row | {"seconds": time.monotonic() - started})
                    _report(run, schedule, folder)
                run.next_epoch()
                interruption.raise_if(distributed.highest(int(interruption.signal is not None), device) > 0)
                _save(run, saver)
        except Interrupted as e:
            _save(run, saver)
            saver.wait()
            raise InputError(f"{lineage}: stopped by {e} at {run.position}; {_RESUME}") from None
        except RuntimeError as e:
            if not has_lost_worker(e):
                raise
            raise InputError(f"{lineage}: a data worker died or stalled at {run.position} ({e}); {_RESUME}") from e
        if distributed.is_first():
            saver.wait()
            line = advice(run.recalls, request.n_pairs(validation), schedule)
            _write(out, run, identity | {"code": code, "advice": line, "processes": distributed.world()})
            _log(f"{lineage}: {line}")
            folder.discard()
        distributed.wait_for_all()


def _is_over(run: Run, schedule: Schedule) -> bool:
    """Whether no step is left, or process 0, which has the history, is out of patience. Every process must call it."""
    ends = run.epoch > schedule.epochs or (distributed.is_first() and schedule.is_out_of_patience(run.recalls))
    return distributed.highest(int(ends), run.device) > 0


def _batches(run: Run, data: Store, schedule: Schedule) -> Iterable[Batch]:
    """All batches from the run's position on, over epochs: those of the next epoch are read during validation."""
    return training_batches(
        data,
        run.model.settings.image,
        batch_size=run.training.batch_size,
        batching=run.training.batching,
        pad_to=run.training.pad_to,
        pad_value=PAD_VALUE[run.recipe.pad_value],
        seed=run.training.seed,
        epoch=run.epoch,
        workers=run.training.workers,
        rank=distributed.rank(),
        world=distributed.world(),
        start_step=run.step,
        last_epoch=schedule.epochs,
    )


def _beside(run: Run) -> AbstractContextManager[Executor | None]:
    """A thread for the image branch: one process on a CPU computes both branches at the same time, if a core is idle.

    Several processes exchange statistics in one order, and a GPU computes in streams of its own. The thread ends with
    the epoch, because the data workers of the validation are forked.
    """
    alone = run.device.type == "cpu" and distributed.world() == 1 and not run.training.compute.compile
    return ThreadPoolExecutor(1, "image branch") if alone else nullcontext()


def _train_epoch(
    run: Run, batches: Iterator[Batch], schedule: Schedule, saver: Saver, interruption: Interruption
) -> None:
    """Takes the remaining steps of an epoch; afterwards all numbers are finite and process 0 has the totals."""
    batch_size, steps = run.training.batch_size, schedule.steps(run.epoch)
    saved, healthy = time.monotonic(), torch.tensor(data=True, device=run.device)
    clock = StepClock(run.device)
    with closing(_timed(batches, steps - run.step, run, clock)) as timed, _beside(run) as beside:
        label = f"epoch {run.epoch}/{schedule.epochs}"
        for batch in track(timed, label, steps - run.step, "steps") if distributed.is_first() else timed:
            n = min(batch_size, schedule.n_pairs - run.step * batch_size)
            for group in run.optimizer.param_groups:
                group["lr"] = schedule.learning_rate(run.epoch, run.step)
            losses = step.step_losses(run.model, batch, n, (run.epoch, run.step), run.recipe, run.training, beside)
            healthy &= step.update(run.model, run.optimizer, losses)
            run.totals.add(losses, n)
            run.step += 1
            check = run.step % CHECK_EVERY == 0
            if check and not healthy:
                raise step.divergence(run.model, run.position)
            if check or distributed.world() == 1:
                is_due = time.monotonic() - saved >= CHECKPOINT_SECONDS
                stop_or_save = distributed.highest(SAVE_AND_STOP if interruption.signal else SAVE * is_due, run.device)
                if stop_or_save:
                    _check_and_collect(run, healthy, clock)
                    interruption.raise_if(stop_or_save == SAVE_AND_STOP)
                    _save(run, saver)
                    saved = time.monotonic()
    _check_and_collect(run, healthy, clock)


def _validated(run: Run, schedule: Schedule, validation: Store, interruption: Interruption) -> dict[str, float]:
    """The row of an epoch in the history, without its duration."""
    last = schedule.steps(run.epoch) - 1
    row = {"epoch": run.epoch, "learning_rate": schedule.learning_rate(run.epoch, last)}
    row |= run.totals.to_row() | codebooks.live_codes(step.quantizers_of(run.model))
    with compute.uncompiled(run.training.compute):
        return row | recalls(run.model, validation, run.training.workers, run.device, interruption.check)


def _timed(batches: Iterator[Batch], n: int, run: Run, clock: StepClock) -> Generator[Batch]:
    """The next n batches, on the run's device; measures the time spent waiting for them."""
    for batch in islice(batches, n):
        clock.batch_arrives()
        yield Batch(*(x.to(run.device, non_blocking=True) for x in batch))
        clock.step_ends()


def _check_and_collect(run: Run, healthy: Tensor, clock: StepClock) -> None:
    """Before saving: raises InputError unless all numbers are finite and all processes agree; collects the totals."""
    moments = [x for state in run.optimizer.state.values() for x in state.values()]
    if not (healthy & step.all_finite([*run.model.state_dict().values(), *moments])):
        raise step.divergence(run.model, run.position)
    distributed.check_agreement(run.shared_tensors())
    run.totals.collect()
    seconds, waited = clock.collect()
    run.totals.seconds += seconds
    run.totals.waited += waited


def _save(run: Run, saver: Saver) -> None:
    if distributed.is_first():
        saver.start(run.to_dict())


def _write(out: Path, run: Run, card: dict[str, Any]) -> None:
    """Writes the model of the best epoch, its card, and the history."""
    run.model.load_state_dict(run.best)
    scores = {k: v for k, v in run.history[run.best_epoch - 1].items() if k not in TIMINGS}
    card |= {"epoch": run.best_epoch, "scores": scores, "versions": checkpoint.versions(), "device": run.device.type}
    with together():
        write_csv(out / "history.csv", list(run.history[0]), run.history)
        model_card.write(out, checkpoint.save(out, run.model, card), checkpoint.parameters(run.model))


def _report(run: Run, schedule: Schedule, folder: State) -> None:
    """Tells the log and TensorBoard of the latest epoch."""
    row = run.history[-1]
    codes = [
        f"{name} {row[f'{name}_perplexity']:.0f} ({row[f'{name}_codes_used']} codes)" for name in run.totals.counts
    ]
    _log(
        f"epoch {run.epoch}/{schedule.epochs}: loss {row['loss']:.3f}, R@10 {100 * row['mean_recall_at_10']:.1f} %"
        f"{' (best)' if run.best_epoch == run.epoch else ''}, learning rate {row['learning_rate']:.3g}"
        f"{', perplexity ' if codes else ''}{', '.join(codes)}, {row['pairs_per_second']:.0f} pairs/s, "
        f"{row['seconds']:.0f} s"
    )
    logs = folder.folder / "tensorboard"
    with writing(logs), SummaryWriter(logs) as writer:  # its thread must end before data workers are forked
        for name, value in row.items():
            writer.add_scalar(name, value, row["epoch"])


def _log(*lines: str) -> None:
    print(*map(printable, lines), sep="\n", file=sys.stderr, flush=True)
