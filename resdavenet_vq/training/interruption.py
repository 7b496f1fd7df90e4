"""Signals that ask a training to end: noted, and obeyed between two steps."""

from __future__ import annotations

import signal
import threading
from collections.abc import Iterator
from contextlib import contextmanager
from types import FrameType
from typing import Any, Self

SIGNALS = (signal.SIGTERM, signal.SIGINT)


class Interrupted(Exception):  # noqa: N818 - nothing went wrong
    """Training ends here, its state saved; the text is the signal's name."""


class Interruption:
    """While the block runs, the first SIGTERM or SIGINT is only noted; a second one is obeyed at once.

    Outside the main thread, where Python has no signal handlers, nothing is noted.
    """

    def __init__(self) -> None:
        self.signal: str | None = None
        """The name of the signal that came."""
        self._before: dict[int, Any] = {}

    def __enter__(self) -> Self:
        if threading.current_thread() is threading.main_thread():
            self._before = {number: signal.signal(number, self._note) for number in SIGNALS}
        return self

    def __exit__(self, *_: object) -> None:
        self._restore()

    def check(self) -> None:
        """Raises Interrupted if a signal came."""
        if self.signal is not None:
            raise Interrupted(self.signal)

    def _note(self, number: int, _: FrameType | None) -> None:
        self.signal = signal.Signals(number).name
        self._restore()

    def _restore(self) -> None:
        for number, handler in self._before.items():
            signal.signal(number, handler)
        self._before = {}


@contextmanager
def shielded() -> Iterator[None]:
    """Processes that are started in the block never get the signals.

    Ctrl-C and a cluster's scheduler signal every process of a job. Data workers must not end of it while the
    step at hand still needs them; they end with the process that started them.
    """
    before = signal.pthread_sigmask(signal.SIG_BLOCK, SIGNALS)
    try:
        yield
    finally:
        signal.pthread_sigmask(signal.SIG_SETMASK, before)
