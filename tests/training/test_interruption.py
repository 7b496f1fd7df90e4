"""Which signals end a training at once, and which after the step at hand."""

import os
import signal
import time
from types import SimpleNamespace

import pytest

from resdavenet_vq.data import loader
from resdavenet_vq.training.interruption import SAME, SIGNALS, Interrupted, Interruption


@pytest.mark.parametrize(
    "numbers",
    [[signal.SIGTERM], [signal.SIGINT], [signal.SIGTERM] * 3, [signal.SIGINT] * 2, [signal.SIGINT, signal.SIGTERM]],
)
def test_signals_that_are_passed_on_by_others_are_one(numbers):
    """As torchrun, srun and a shell forward a signal of the scheduler or Ctrl-C to processes that got it already."""
    before = [signal.getsignal(number) for number in SIGNALS]
    with Interruption() as interruption:
        interruption.check()
        for number in numbers:
            signal.raise_signal(number)
        with pytest.raises(Interrupted, match=numbers[0].name):
            interruption.check()
    assert [signal.getsignal(number) for number in SIGNALS] == before


@pytest.fixture
def obeying():
    """Python's own answer to SIGINT, also where a shell started the tests in the background and had it ignored."""
    before = signal.signal(signal.SIGINT, signal.default_int_handler)
    yield
    signal.signal(signal.SIGINT, before)


@pytest.mark.usefixtures("obeying")
def test_a_second_interrupt_of_a_person_is_obeyed_at_once(monkeypatch):
    with Interruption() as interruption:
        signal.raise_signal(signal.SIGINT)
        later = time.monotonic() + 2 * SAME
        monkeypatch.setattr(time, "monotonic", lambda: later)
        with pytest.raises(KeyboardInterrupt):
            signal.raise_signal(signal.SIGINT)
        assert interruption.signal == "SIGINT"


def test_a_suspended_process_has_not_stalled(monkeypatch):
    """By Ctrl-Z, or by a scheduler that lets another job go first: it stops for longer than a worker may take."""
    monkeypatch.setattr(loader, "STALLED_SECONDS", 0.6)
    killed = []

    def items():
        os.kill(os.getpid(), signal.SIGSTOP)
        time.sleep(0.1)  # whoever counts the time has noticed now
        yield 1

    if (pid := os.fork()) == 0:
        list(loader._watched(items(), [SimpleNamespace(kill=lambda: killed.append(1))]))
        os._exit(len(killed))
    assert os.WIFSTOPPED(os.waitpid(pid, os.WUNTRACED)[1])
    time.sleep(1.2)
    os.kill(pid, signal.SIGCONT)
    assert os.waitstatus_to_exitcode(os.waitpid(pid, 0)[1]) == 0
