"""How long the steps of a training take, and how long they wait for data: on a GPU by events.

The host queues steps for a GPU up to `train.CHECK_EVERY` ahead, so that it may wait for data while the GPU has enough to
do. What counts is how long the GPU has nothing to do: from the end of a step until the next batch has arrived.
"""

from __future__ import annotations

import time
from typing import Any

import torch


class StepClock:
    """Measures the time of steps, and of it the time between `step_ends` and `batch_arrives`."""

    def __init__(self, device: torch.device) -> None:
        self._on_gpu = device.type == "cuda"
        self._since = time.monotonic()
        self._end = self._now()
        self._pairs: list[tuple[Any, Any]] = []

    def _now(self) -> Any:
        if not self._on_gpu:
            return time.monotonic()
        event = torch.cuda.Event(enable_timing=True)
        event.record()
        return event

    def batch_arrives(self) -> None:
        """Before the batch is copied to the device."""
        self._pairs.append((self._end, self._now()))

    def step_ends(self) -> None:
        """After the last operation of a step is queued."""
        self._end = self._now()

    def collect(self) -> tuple[float, float]:
        """Seconds since the last call, and those of them spent waiting for data. Waits for a GPU to end its steps."""
        if self._on_gpu:
            self._end.synchronize()
            waited = sum(end.elapsed_time(arrival) for end, arrival in self._pairs) / 1000
        else:
            waited = sum(arrival - end for end, arrival in self._pairs)
        now = time.monotonic()
        seconds, self._since, self._pairs = now - self._since, now, []
        return seconds, waited
