"""Signals that end a training: recorded when they arrive, acted on between two steps."""

from __future__ import annotations

import signal
import threading
import time
from types import FrameType
from typing import Any, Self

from resdavenet_vq.data.loader import SIGNALS

SAME = 1.0
"""A SIGINT within so many seconds after the first counts as the same, forwarded by torchrun or srun."""


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
