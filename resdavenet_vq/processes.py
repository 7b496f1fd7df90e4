"""No process goes on working after the one that started it is gone.

A Snakemake that is killed outright cannot end its jobs. It leaves them its own process in the environment
(rules/common.smk), and each job watches that process and ends with it: by SIGTERM, so that a training saves its
state, and GRACE seconds later by SIGALRM, which nothing handles. A worker process watches the command that started it
in the same way.
"""

from __future__ import annotations

import multiprocessing
import os
import select
import signal
import socket
import threading
import time
from collections.abc import Callable

STARTER = "RESDAVENET_VQ_STARTER"
"""Environment variable: `HOST:PID` of the Snakemake that started this command. Elsewhere, as under srun on other nodes, it means nothing."""

GRACE = 3.0
"""Seconds between SIGTERM and SIGALRM."""

_POLL = 0.5
"""Seconds between two looks where the system cannot wait for a process that is not a child."""


def end_with_starter() -> None:
    """Ends this process soon after the Snakemake that started it, if one did, and it runs on this host."""
    host, _, number = os.environ.get(STARTER, "").rpartition(":")
    if host == socket.gethostname():
        _when(_ended(int(number)), _terminate)


def end_with_parent() -> None:
    """Ends this worker of multiprocessing when the process that started it is gone; an interrupt is that process's affair."""
    signal.signal(signal.SIGINT, signal.SIG_IGN)
    parent = multiprocessing.parent_process()
    assert parent is not None
    _when(parent.join, lambda: os._exit(1))


def _when(wait: Callable[[], object], act: Callable[[], None]) -> None:
    """Does `act` after `wait` returns, in a thread that holds nothing and keeps nothing alive."""

    def watch() -> None:
        wait()
        act()

    threading.Thread(target=watch, daemon=True, name="orphan watch").start()


def _ended(pid: int) -> Callable[[], None]:
    """What waits until a process has ended; at once where there is none."""
    try:
        descriptor = os.pidfd_open(pid)
    except ProcessLookupError:
        return lambda: None
    except (AttributeError, OSError):  # macOS; a container that forbids it
        return lambda: _poll(pid)

    def wait() -> None:
        select.select([descriptor], [], [])

    return wait


def _poll(pid: int) -> None:
    while True:
        try:
            os.kill(pid, 0)
        except ProcessLookupError:
            return
        time.sleep(_POLL)


def _terminate() -> None:
    signal.setitimer(
        signal.ITIMER_REAL, GRACE
    )  # the kernel's clock: it needs no turn in an interpreter that is busy or shutting down
    os.kill(os.getpid(), signal.SIGTERM)
