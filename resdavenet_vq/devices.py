"""Which device a process computes on: a GPU of its own, or the CPU. Everything that computes asks here.

CUDA_VISIBLE_DEVICES set to nothing means the CPU. Where there is a GPU, by what the environment or the machine says, it
is an error that it cannot be used: a training on the CPU would take weeks in place of hours.
"""

from __future__ import annotations

import atexit
import os
import re
import stat
import tempfile
from collections.abc import Iterator
from contextlib import ExitStack, contextmanager, suppress
from functools import cache
from pathlib import Path

import torch

from resdavenet_vq.errors import InputError
from resdavenet_vq.files import lock, writing

VISIBLE = "CUDA_VISIBLE_DEVICES"

HIDDEN = frozenset({"", "-1", "NoDevFiles"})
"""Values of it by which people, CUDA and SLURM say that a process has no GPU."""

GRANTS = (VISIBLE, "SLURM_STEP_GPUS", "SLURM_JOB_GPUS")
"""Variables in which a scheduler, or a person, names the GPUs of a process."""

DEVICES, DRIVER = Path("/dev"), Path("/proc/driver/nvidia/version")

_ON_THE_CPU = f"or set {VISIBLE} to nothing to compute on the CPU"

_for_good = ExitStack()
"""The locks that this process keeps until it ends."""

atexit.register(_for_good.close)


@cache
def device() -> torch.device:
    """The device of a process that computes alone, the same at each call.

    The first GPU that no other process of this user on this machine has taken, which becomes the current one, and which
    this process keeps until it ends; or the CPU. Raises InputError as `n_gpus`.
    """
    return _current(_for_good.enter_context(free_gpu(n_gpus())))


def device_of(local_rank: int, n_local: int | None) -> torch.device:
    """The device of one of several processes that compute together, the `local_rank`-th of `n_local` on this machine.

    A process to which its scheduler shows one GPU alone takes that; `n_local` is None where this may be so. Others of
    this user do not take it while there are free ones. Raises InputError if there are more processes than GPUs.
    """
    if not (count := n_gpus()):
        return torch.device("cpu")
    number = 0 if count == 1 and n_local is None else local_rank
    if number >= count or (n_local or 0) > count:
        processes = f"{n_local} processes" if n_local else f"process {local_rank} (from 0)"
        raise InputError(
            f"{count} GPUs for {processes} on this machine: a training has one process for each GPU; start as many, or "
            "lower training.gpus"
        )
    path = _lock_of(number)
    with suppress(InputError):  # a process that came first has it
        _for_good.enter_context(lock(path, f"GPU {number}: is being used"))
    return _current(number)


def _current(gpu: int | None) -> torch.device:
    if gpu is None:
        return torch.device("cpu")
    torch.cuda.set_device(gpu)
    return torch.device("cuda", gpu)


def n_gpus() -> int:
    """The number of GPUs that this process may use.

    Raises InputError if CUDA_VISIBLE_DEVICES names more than there are, or if there are some and CUDA does not start.
    """
    names = os.environ.get(VISIBLE)
    if names is not None and names in HIDDEN:
        return 0
    if torch.cuda.is_available():
        count = torch.cuda.device_count()
        if names and count < len(names.split(",")):
            raise InputError(
                f"{VISIBLE}={names}: names {len(names.split(','))} GPUs, of which this process can use {count}; name those "
                f"that `nvidia-smi -L` lists, {_ON_THE_CPU}"
            )
        return count
    if granted := _granted():
        raise InputError(
            f"{granted}: there should be a GPU, but {_fault()}. Install a driver, and a version of PyTorch, that fit each "
            f"other, {_ON_THE_CPU}"
        )
    return 0


def _granted() -> str:
    """What says that there is a GPU for this process; empty if nothing does."""
    for name in GRANTS:
        if value := os.environ.get(name):
            return f"{name}={value}"
    return next((str(path) for path in sorted(DEVICES.glob("nvidia[0-9]*")) if _opens(path)), "")


def _opens(path: Path) -> bool:
    """Whether this process may use a device: a cluster shows all of them, and lets a job open its own."""
    try:
        os.close(os.open(path, os.O_RDWR | os.O_NONBLOCK | os.O_CLOEXEC))
    except OSError:
        return False
    return True


def _fault() -> str:
    """Why CUDA does not start, with the versions of driver and wheel."""
    if torch.version.cuda is None:
        return f"PyTorch {torch.__version__} was built without CUDA"
    try:
        driver = re.search(r"Kernel Module.*?\s(\d+(?:\.\d+)+)", DRIVER.read_text())
    except OSError:
        driver = None
    reason = "CUDA finds none"
    try:
        torch.cuda.init()
    except (RuntimeError, AssertionError) as e:
        reason = str(e).partition("\n")[0].rstrip(".")
    installed = f"the NVIDIA driver is {driver[1]}" if driver else "no NVIDIA driver is loaded"
    return f"{installed}, PyTorch {torch.__version__} was built for CUDA {torch.version.cuda}, and it says: {reason}"


@contextmanager
def free_gpu(count: int) -> Iterator[int | None]:
    """Locks the first free one of `count` GPUs and yields its number; 0 if none is free, None if `count` is 0."""
    if not count:
        yield None
        return
    locks = [_lock_of(number) for number in range(count)]
    with ExitStack() as stack:
        for number, path in enumerate(locks):
            try:
                stack.enter_context(lock(path, f"GPU {number}: is being used"))
            except InputError:
                continue
            yield number
            return
        yield 0


def _lock_of(gpu: int) -> Path:
    """Its lock, of whose name the GPUs that a scheduler has assigned are a part."""
    visible = os.environ.get(VISIBLE, "all").replace(",", "_")
    return lock_folder() / f"gpu-{visible}-{gpu}.lock"


def lock_folder() -> Path:
    """The user's own folder for locks in the common temporary folder, where anybody can leave files and links.

    Raises InputError unless it is a folder, no link, that belongs to this user and that nobody else can write to.
    """
    path = Path(tempfile.gettempdir()) / f"resdavenet-vq-{os.getuid()}"
    with writing(path), suppress(FileExistsError):
        path.mkdir(mode=0o700)
    status = path.lstat()
    if not stat.S_ISDIR(status.st_mode) or status.st_uid != os.getuid() or status.st_mode & 0o022:
        raise InputError(
            f"{path}: is not a folder that belongs to this user alone, so the lock of a GPU is not put there; remove "
            "it, or set TMPDIR to another folder"
        )
    return path
