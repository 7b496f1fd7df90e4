"""Worker processes that read a dataset ahead: started, watched, and ended with whoever reads."""

from __future__ import annotations

import signal
import sys
import threading
from collections.abc import Generator, Iterable, Iterator, Sequence
from multiprocessing.process import BaseProcess

import torch
from torch.utils.data import DataLoader, Dataset

from resdavenet_vq.errors import InputError
from resdavenet_vq.processes import check_temporary_folder, end_with_parent

SIGNALS = (signal.SIGTERM, signal.SIGINT)
"""What a scheduler and Ctrl-C send to every process of a job."""

STALLED_SECONDS = 300.0
"""Time after which a data worker that leaves the next batch unread has stalled: far more than a slow disk takes, and
less than the time that other processes of the training wait for this one."""

TICKS = 30
"""In how many parts that time passes: one that is suspended as a whole, by Ctrl-Z or a scheduler, counts as one part."""


def load[T](dataset: Dataset[T], steps: Sequence[int], workers: int) -> Iterable[T]:
    """The dataset's items, in order, read ahead by worker processes. The global random state does not change."""
    if workers:
        check_temporary_folder()
    return DataLoader(
        dataset,
        batch_size=None,
        sampler=steps,
        num_workers=workers,
        collate_fn=_unchanged,
        worker_init_fn=_begin,
        pin_memory=torch.cuda.is_available(),
        generator=torch.Generator(),
        multiprocessing_context="fork" if workers and sys.platform == "linux" else None,  # copies nothing
    )


def _begin(number: int) -> None:  # noqa: ARG001 - the worker's
    end_with_parent()


def _unchanged[T](item: T) -> T:
    return item


def shielded[T](batches: Iterable[T]) -> Generator[T]:
    """The batches of data workers that ignore the signals and that end when this generator is closed.

    Ctrl-C and a scheduler signal every process of a job. Data workers must survive it while the current step needs
    them. Raises a RuntimeError of which `has_lost_worker` is true if a worker has ended, or stalled for
    STALLED_SECONDS; in the signal handler of PyTorch such an error comes also between two batches.
    """
    before = signal.pthread_sigmask(signal.SIG_BLOCK, SIGNALS)
    try:
        iterator = iter(batches)  # starts the workers
    finally:
        signal.pthread_sigmask(signal.SIG_SETMASK, before)
    workers = getattr(iterator, "_workers", ())
    try:
        yield from _watched(iterator, workers) if workers else iterator
    except InputError as e:  # from a worker, its text contains the worker's traceback
        raise _without_traceback(e) from None
    finally:
        # a DataLoader's iterator ends its workers when it is collected, but the traceback of an error may keep it alive
        if shutdown := getattr(iterator, "_shutdown_workers", None):
            shutdown()
        for worker in workers:  # one that is stopped by SIGSTOP obeys SIGKILL alone
            worker.kill()


def _watched[T](iterator: Iterator[T], workers: Sequence[BaseProcess]) -> Generator[T]:
    """The items; the workers are killed when one of them stalls, which ends the wait for it.

    A DataLoader's own timeout is not enough: taking a batch out of shared memory needs an answer of the worker.
    """
    stalled = threading.Event()

    def kill_unless(arrived: threading.Event) -> None:
        if any(arrived.wait(STALLED_SECONDS / TICKS) for _ in range(TICKS)):
            return
        stalled.set()
        for worker in workers:
            worker.kill()

    while True:
        arrived = threading.Event()
        watch = threading.Thread(target=kill_unless, args=(arrived,), daemon=True)
        watch.start()
        try:
            item = next(iterator)
        except StopIteration:
            return
        except (RuntimeError, EOFError, OSError) as e:
            if stalled.is_set():
                raise RuntimeError(f"DataLoader worker has stalled for {STALLED_SECONDS:.0f} s") from e
            if not isinstance(e, RuntimeError) and not all(worker.is_alive() for worker in workers):
                raise RuntimeError(f"DataLoader worker has ended ({type(e).__name__})") from e
            raise
        finally:
            arrived.set()
            watch.join()  # workers of the validation are forked: no thread is left over then
        yield item


def has_lost_worker(error: RuntimeError) -> bool:
    """Whether an error, wherever it was raised while workers were running, says that one of them ended or stalled."""
    return any(name in str(error) for name in ("DataLoader worker", "Pin memory thread"))


def _without_traceback(error: InputError) -> InputError:
    """The error of a data worker without that worker's traceback, which is part of the error's text."""
    return InputError(str(error).rpartition("InputError: ")[2].strip())
