"""The clock of steps, on a GPU that is made up."""

import time

import pytest
import torch

from resdavenet_vq.training.timing import StepClock


class Gpu:
    """Does what is queued, a step after another; the host has a clock of its own. Times are in seconds."""

    def __init__(self):
        self.host = self.free = 0.0

    def queue(self, seconds):
        self.free = max(self.free, self.host) + seconds

    def event(self, *, enable_timing):
        assert enable_timing
        gpu = self

        class Event:
            def record(self):
                self.time = max(gpu.free, gpu.host)

            def synchronize(self):
                gpu.host = max(gpu.host, self.time)

            def elapsed_time(self, other):
                return 1000 * (other.time - self.time)

        return Event()


@pytest.mark.parametrize(
    ("arrivals", "waited"),
    [
        ([0, 0, 0, 0], 0.0),
        ([0, 0.5, 0.5, 0.5], 0.0),  # the host waits for data, but the GPU, of which a step takes a second, never
        ([0, 3, 3, 3], 6.0),  # each batch comes two seconds late
    ],
)
def test_what_counts_is_how_long_the_gpu_has_nothing_to_do(monkeypatch, arrivals, waited):
    gpu = Gpu()
    monkeypatch.setattr(torch.cuda, "Event", gpu.event)
    monkeypatch.setattr(time, "monotonic", lambda: gpu.host)
    clock = StepClock(torch.device("cuda"))
    for seconds in arrivals:
        gpu.host += seconds
        clock.batch_arrives()
        gpu.queue(1.0)
        clock.step_ends()
    assert clock.collect() == (pytest.approx(4.0 + waited), pytest.approx(waited))  # the last steps are waited for
    assert clock.collect() == (0, 0)


def test_on_a_cpu_the_host_waits(monkeypatch):
    now = [0.0]
    monkeypatch.setattr(time, "monotonic", lambda: now[0])
    clock = StepClock(torch.device("cpu"))
    for wait, step in ((2, 1), (0, 1), (3, 1)):
        now[0] += wait
        clock.batch_arrives()
        now[0] += step
        clock.step_ends()
    assert clock.collect() == (8, 5)
    assert clock.collect() == (0, 0)
