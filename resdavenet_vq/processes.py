"""Processes end when the process that started them has ended.

A Snakemake that is killed cannot end its jobs. It passes its process id in the environment (rules/common.smk); each job
watches that process and ends with it: by SIGTERM, so that a training saves its state, and GRACE seconds later by
SIGALRM, which nothing handles. A worker process watches the command that started it in the same way; on Linux the kernel
also kills it when its parent ends, so that it does not matter what it is doing.
"""

from __future__ import annotations

import ctypes
import multiprocessing
import os
import select
import signal
import socket
import sys
import tempfile
import threading
import time
from collections.abc import Callable
from multiprocessing import forkserver
from typing import Any

from resdavenet_vq.errors import InputError

STARTER = "RESDAVENET_VQ_STARTER"
"""Environment variable: `HOST:PID` of the Snakemake that started this command. It is ignored on other hosts."""

GRACE = 3.0
"""Seconds between SIGTERM and SIGALRM."""

LONGEST_TEMPORARY_FOLDER = 107 - len("/pymp-12345678/listener-12345678")
"""Bytes: multiprocessing puts sockets there, and Linux allows their paths 107."""

SHARED_MEMORY = "/dev/shm"  # noqa: S108 - only to be measured

_POLL = 0.5
"""Seconds between two checks on systems that cannot wait for a process that is not a child."""

_PR_SET_PDEATHSIG = 1


def end_with_starter() -> None:
    """Ends this process soon after the Snakemake on this host that started it, if one did."""
    host, _, pid = os.environ.get(STARTER, "").rpartition(":")
    if host == socket.gethostname():
        _call_after(_wait_for(int(pid)), _terminate)


def end_with_parent() -> None:
    """Ends this worker of multiprocessing with the process that started it, which alone handles interrupts.

    The parent of a worker is the thread that forked it, or the server that forks workers, which ends with the command.
    """
    parent = multiprocessing.parent_process()
    assert parent is not None
    signal.signal(signal.SIGINT, signal.SIG_IGN)
    signal.signal(signal.SIGALRM, signal.SIG_DFL)
    if sys.platform == "linux":
        ctypes.CDLL(None).prctl(_PR_SET_PDEATHSIG, signal.SIGKILL, 0, 0, 0)
    server: Any = forkserver._forkserver  # noqa: SLF001
    if server._forkserver_alive_fd is not None and os.getppid() != parent.pid:  # noqa: SLF001
        os.close(server._forkserver_alive_fd)  # noqa: SLF001 - else the server outlives the command while a worker lives
        server._forkserver_alive_fd = None  # noqa: SLF001
    _call_after(parent.join, lambda: os._exit(1))


def check_temporary_folder() -> None:
    """Raises InputError if worker processes cannot have their sockets in the folder for temporary files."""
    try:
        folder = tempfile.gettempdir()
    except FileNotFoundError:
        named = os.environ.get("TMPDIR", "/tmp")  # noqa: S108 - only to be named
        raise InputError(f"TMPDIR={named}: nothing can be written there; set TMPDIR to another folder") from None
    if (length := len(os.fsencode(folder))) > LONGEST_TEMPORARY_FOLDER:
        fault = f"its {length} characters are too many for the sockets of worker processes"
        raise InputError(f"TMPDIR={folder}: {fault}; set TMPDIR to a folder with at most {LONGEST_TEMPORARY_FOLDER}")


def check_shared_memory(n_bytes: int, users: str) -> None:
    """Raises InputError if shared memory, in which data workers hand over batches, has less than `n_bytes` left.

    A worker that finds it full is killed by a bus error. `users` ends the message: "12 data workers; ...".
    """
    try:
        status = os.statvfs(SHARED_MEMORY)
    except OSError:  # macOS has no such folder
        return
    free = status.f_bavail * status.f_frsize
    if n_bytes > free:
        raise InputError(
            f"{SHARED_MEMORY}: has {free >> 20} MiB left, less than the {-(-n_bytes >> 20)} MiB of batches of {users}; a "
            "container gets more by --shm-size or --ipc=host"
        )


def _call_after(wait: Callable[[], object], act: Callable[[], None]) -> None:
    """Calls `act` when `wait` has returned, in a daemon thread."""

    def watch() -> None:
        wait()
        act()

    threading.Thread(target=watch, daemon=True, name="parent watch").start()


def _wait_for(pid: int) -> Callable[[], None]:
    """A function that returns when a process has ended."""
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
    signal.setitimer(signal.ITIMER_REAL, GRACE)  # by the kernel: works in an interpreter that is busy or shutting down
    os.kill(os.getpid(), signal.SIGTERM)
