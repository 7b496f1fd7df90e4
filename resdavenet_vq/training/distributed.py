"""Training with several processes, one GPU each, and the data they exchange.

In a single process every function is the identity. Process r of W takes every W-th pair of the global batch from the
r-th on. The pooled embeddings are gathered, so that the similarity matrix is that of the global batch; statistics and
gradients are summed over processes. Batch normalization uses each process's own part, and the running statistics of
process 0 are kept, as in the release's data parallelism.

Every process computes the same loss from the gathered embeddings, but the gradient flows only into its own part of
them: the sum of the gradients is that of the global loss, and a loss on local items needs the weight of their share.
"""

from __future__ import annotations

import math
import os
import stat
import subprocess
import tempfile
from collections.abc import Iterable, Iterator, Mapping
from contextlib import ExitStack, contextmanager, suppress
from datetime import timedelta
from pathlib import Path
from typing import Any, NamedTuple

import torch
import torch.distributed as dist
from torch import Tensor

from resdavenet_vq.errors import InputError
from resdavenet_vq.files import lock, writing

TIMEOUT = timedelta(minutes=10)
"""How long a process waits for another one before it ends; the others wait while process 0 validates."""


class Launch(NamedTuple):
    """The number of a process, the number of processes, and its number on its machine."""

    rank: int = 0
    world: int = 1
    local_rank: int = 0


def launch(environment: Mapping[str, str]) -> Launch:
    """Reads the variables that torchrun or SLURM's srun sets; without them there is a single process."""
    if "WORLD_SIZE" in environment:
        names = ("RANK", "WORLD_SIZE", "LOCAL_RANK")
    elif int(environment.get("SLURM_STEP_NUM_TASKS", "1")) > 1:
        names = ("SLURM_PROCID", "SLURM_STEP_NUM_TASKS", "SLURM_LOCALID")
    else:
        return Launch()
    return Launch(*(int(environment[name]) for name in names))


@contextmanager
def processes() -> Iterator[torch.device]:
    """Joins the other processes, if any, and yields the device of this one: its GPU, or the CPU.

    A single process takes the first GPU that no other training on this machine uses.
    """
    here = launch(os.environ)
    if here.world == 1:
        with free_gpu(torch.cuda.device_count()) as number:
            yield _device(number)
        return
    device = _device(here.local_rank if torch.cuda.is_available() else None)
    if "MASTER_ADDR" not in os.environ:  # torchrun sets it, srun does not
        os.environ["MASTER_ADDR"] = _first_host(os.environ["SLURM_STEP_NODELIST"])
        os.environ.setdefault("MASTER_PORT", str(20000 + int(os.environ["SLURM_JOB_ID"]) % 20000))
    backend = "nccl" if device.type == "cuda" else "gloo"
    with _exchange():
        dist.init_process_group(backend, rank=here.rank, world_size=here.world, timeout=TIMEOUT)
    yield device
    dist.destroy_process_group()  # not after an error, when others may never answer


def _device(gpu: int | None) -> torch.device:
    """The GPU, which becomes the current one, or the CPU."""
    if gpu is None:
        return torch.device("cpu")
    torch.cuda.set_device(gpu)
    return torch.device("cuda", gpu)


@contextmanager
def free_gpu(count: int) -> Iterator[int | None]:
    """Locks the first free one of `count` GPUs and yields its number; 0 if none is free, None if `count` is 0.

    The locks lie in `lock_folder`; the GPUs that a scheduler has assigned are part of their names.
    """
    if not count:
        yield None
        return
    visible = os.environ.get("CUDA_VISIBLE_DEVICES", "all").replace(",", "_")
    folder = lock_folder()
    with ExitStack() as stack:
        for number in range(count):
            try:
                stack.enter_context(lock(folder / f"gpu-{visible}-{number}.lock", f"GPU {number}: is being used"))
            except InputError:
                continue
            yield number
            return
        yield 0


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


def _first_host(node_list: str) -> str:
    command = ["scontrol", "show", "hostnames", node_list]
    try:
        return subprocess.run(command, check=True, capture_output=True, text=True).stdout.split()[0]
    except (OSError, subprocess.CalledProcessError) as e:
        raise InputError(f"cannot find the first host of {node_list} ({e}); set MASTER_ADDR to its name") from e


@contextmanager
def _exchange() -> Iterator[None]:
    """Makes an InputError of what torch raises where another process has ended, or does not answer in time."""
    try:
        yield
    except (torch.OutOfMemoryError, torch.AcceleratorError):
        raise
    except RuntimeError as e:
        raise InputError(
            f"process {rank()} of this training got no answer from another one, which has ended or has stalled for "
            f"{TIMEOUT} h ({str(e).splitlines()[0]}); run the same command again to resume"
        ) from e


def rank() -> int:
    """The number of this process."""
    return dist.get_rank() if dist.is_initialized() else 0


def is_first() -> bool:
    """Whether this is process 0, which alone writes files."""
    return rank() == 0


def world() -> int:
    """The number of processes."""
    return dist.get_world_size() if dist.is_initialized() else 1


def gather(x: Tensor, n: int) -> Tensor:
    """The rows (n, D) of the global batch, in order, from the parts of all processes, with gradient."""
    if world() == 1:
        return x
    gathered: Tensor = _Gather.apply(x, n)
    return gathered


class _Gather(torch.autograd.Function):
    @staticmethod
    def forward(ctx: Any, x: Tensor, n: int) -> Tensor:
        ctx.part = slice(rank(), None, world())
        padded = x.new_zeros(math.ceil(n / world()), x.shape[1])
        padded[: len(x)] = x
        parts = [torch.empty_like(padded) for _ in range(world())]
        with _exchange():
            dist.all_gather(parts, padded)
        return torch.stack(parts, dim=1).flatten(0, 1)[:n]  # row i of process r is item i * world + r

    @staticmethod
    def backward(ctx: Any, *gradients: Tensor) -> tuple[Tensor, None]:
        return gradients[0][ctx.part], None


def total(x: Tensor) -> Tensor:
    """The sum of `x` over processes, in place and without gradient."""
    if world() > 1:
        with _exchange():
            dist.all_reduce(x)
    return x


def sum_gradients(parameters: Iterable[Tensor]) -> None:
    """Replaces every gradient by its sum over processes, in one reduction."""
    if world() == 1:
        return
    gradients = []
    for p in parameters:
        p.grad = torch.zeros_like(p) if p.grad is None else p.grad
        gradients.append(p.grad)
    flat = total(torch.cat([g.flatten() for g in gradients]))
    parts = flat.split([g.numel() for g in gradients])
    torch._foreach_copy_(gradients, [part.view_as(g) for part, g in zip(parts, gradients, strict=True)])


def highest(number: int, device: torch.device) -> int:
    """The maximum over processes. Every process must call it."""
    if world() == 1:
        return number
    x = torch.tensor(number, device=device)
    with _exchange():
        dist.all_reduce(x, dist.ReduceOp.MAX)
    return int(x)


def check_agreement(named_tensors: Iterable[tuple[str, Tensor]]) -> None:
    """Raises InputError in every process if a tensor differs, in a single bit, between processes."""
    if world() == 1:
        return
    sums = {
        name: (x.detach().view(torch.int32) if x.dtype == torch.float32 else x.long()).sum()
        for name, x in named_tensors
    }
    low = torch.stack(list(sums.values()))
    high = low.clone()
    with _exchange():
        dist.all_reduce(low, dist.ReduceOp.MIN)
        dist.all_reduce(high, dist.ReduceOp.MAX)
    if different := [name for name, same in zip(sums, (low == high).tolist(), strict=True) if not same]:
        raise InputError(
            f"the processes have different values of {different[0]} and {len(different) - 1} other tensors, and nothing "
            "was saved; run the same command again to resume, and suspect the hardware if it happens again"
        )


def wait_for_all() -> None:
    """Returns when every process has called it."""
    if world() > 1:
        with _exchange():
            dist.barrier()
