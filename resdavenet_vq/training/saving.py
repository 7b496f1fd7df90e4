"""Checkpoints are written in a thread while the training goes on: other processes would wait for their hash and fsync."""

from __future__ import annotations

from collections.abc import Callable
from threading import Thread
from typing import Any, Self


class Saver:
    """Calls `save` in a thread, one call after another. At the end of its block nothing is left to be written."""

    def __init__(self, save: Callable[[dict[str, Any]], None]) -> None:
        self._save = save
        self._thread: Thread | None = None
        self._error: BaseException | None = None

    def __enter__(self) -> Self:
        return self

    def __exit__(self, kind: object, *_: object) -> None:
        if self._thread:
            self._thread.join()
        if kind is None:
            self.wait()

    def start(self, state: dict[str, Any]) -> None:
        """Saves `state`, which nobody may change any more, after the previous one. Raises its error."""
        self.wait()

        def work() -> None:
            try:
                self._save(state)
            except BaseException as e:  # noqa: BLE001 - raised in `wait`
                self._error = e

        self._thread = Thread(target=work, name="checkpoint")
        self._thread.start()

    def wait(self) -> None:
        """Returns when all is saved, or raises the error."""
        if self._thread:
            self._thread.join()
        self._thread, error, self._error = None, self._error, None
        if error:
            raise error
