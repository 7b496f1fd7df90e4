"""Signals that end a training: recorded when they arrive, acted on between two steps."""

from __future__ import annotations

import signal
import threading
import time
from collections.abc import Generator, Iterable, Iterator, Sequence
from multiprocessing.process import BaseProcess
from types import FrameType
from typing import Any, Self

from resdavenet_vq.data.dataset import without_traceback
from resdavenet_vq.errors import InputError

SIGNALS = (signal.SIGTERM, signal.SIGINT)

SAME = 1.0
"""A SIGINT within so many seconds after the first counts as the same, forwarded by torchrun or srun."""


STALLED_SECONDS = 300.0
"""Time after which a data worker that leaves the next batch unread has stalled: far more than a slow disk takes, and
less than the time that other processes of the training wait for this one."""

TICKS = 30
"""In how many parts that time passes: one that is suspended as a whole, by Ctrl-Z or a scheduler, counts as one part."""


class Interrupted(Exception):  # noqa: N818 - nothing went wrong
    """The training was stopped and its state saved; the text is the name of the signal."""


class Interruption:
    """While the block runs, SIGTERM and the first SIGINT are only recorded; a second SIGINT acts at once.

    A scheduler sends SIGTERM to every process of a job, and some of them forward it; SIGKILL follows later.
    Outside the main thread, where Python has no signal handlers, nothing is recorded.
    """

    def __init__(self) -> None:
        self.signal: str | None = None
        """The name of the first signal."""
        self._since = 0.0
        self._before: dict[int, Any] = {}

    def __enter__(self) -> Self:
        if threading.current_thread() is threading.main_thread():
            self._before = {number: signal.signal(number, self._record) for number in SIGNALS}
        return self

    def __exit__(self, *_: object) -> None:
        self._restore()

    def check(self) -> None:
        """Raises Interrupted if this process has received a signal."""
        self.raise_if(self.signal is not None)

    def raise_if(self, stop: bool) -> None:
        """Raises Interrupted if the processes have agreed to stop, because one of them has received a signal."""
        if stop:
            raise Interrupted(self.signal or "a signal to another process")

    def _record(self, number: int, _: FrameType | None) -> None:
        if self.signal is None:
            self.signal, self._since = signal.Signals(number).name, time.monotonic()
        elif number == signal.SIGINT and time.monotonic() - self._since >= SAME:
            self._restore()
            signal.raise_signal(number)

    def _restore(self) -> None:
        for number, handler in self._before.items():
            signal.signal(number, handler)
        self._before = {}


def shielded[T](batches: Iterable[T]) -> Generator[T]:
    """The batches of data workers that ignore the signals and that end when this generator is closed.

    Ctrl-C and a scheduler signal every process of a job. Data workers must survive it while the current step needs
    them. Raises RuntimeError if a worker has ended, or stalled for STALLED_SECONDS.
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
        raise without_traceback(e) from None
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
            raise
        finally:
            arrived.set()
            watch.join()  # workers of the validation are forked: no thread is left over then
        yield item
