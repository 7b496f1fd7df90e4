"""Signals that ask a training to end: noted, and obeyed between two steps."""

from __future__ import annotations

import signal
import threading
import time
from collections.abc import Generator, Iterable
from types import FrameType
from typing import Any, Self

from resdavenet_vq.errors import InputError

SIGNALS = (signal.SIGTERM, signal.SIGINT)

SAME = 1.0
"""Seconds in which a second SIGINT is taken for the first one, that torchrun or srun has passed on."""


class Interrupted(Exception):  # noqa: N818 - nothing went wrong
    """Training ends here, its state saved; the text is the signal's name."""


class Interruption:
    """While the block runs, SIGTERM and a first SIGINT are only noted; a second SIGINT is obeyed at once.

    A scheduler's SIGTERM comes to every process of a job, and again from those that pass it on; when it means it, SIGKILL follows.
    Outside the main thread, where Python has no signal handlers, nothing is noted.
    """

    def __init__(self) -> None:
        self.signal: str | None = None
        """The name of the signal that came first."""
        self._since = 0.0
        self._before: dict[int, Any] = {}

    def __enter__(self) -> Self:
        if threading.current_thread() is threading.main_thread():
            self._before = {number: signal.signal(number, self._note) for number in SIGNALS}
        return self

    def __exit__(self, *_: object) -> None:
        self._restore()

    def check(self) -> None:
        """Raises Interrupted if a signal came to this process."""
        self.obey(wanted=self.signal is not None)

    def obey(self, *, wanted: bool) -> None:
        """Raises Interrupted if the processes have agreed that one of them got a signal."""
        if wanted:
            raise Interrupted(self.signal or "a signal to another process")

    def _note(self, number: int, _: FrameType | None) -> None:
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
    """The batches, made by data workers that never get the signals and that end when this generator is closed.

    Ctrl-C and a cluster's scheduler signal every process of a job. Data workers must not end of it while the
    step at hand still needs them.
    """
    before = signal.pthread_sigmask(signal.SIG_BLOCK, SIGNALS)
    try:
        iterator = iter(batches)  # starts the workers
    finally:
        signal.pthread_sigmask(signal.SIG_SETMASK, before)
    try:
        yield from iterator
    except InputError as e:  # from a worker it comes with that worker's traceback in its text
        raise InputError(str(e).rpartition("InputError: ")[2].strip()) from None
    finally:
        # by itself a DataLoader's iterator ends its workers when nothing refers to it any more, but an error's traceback may
        if shutdown := getattr(iterator, "_shutdown_workers", None):
            shutdown()
