"""Training with several processes, one GPU each, and the data they exchange.

In a single process every function is the identity. Process r of W takes every W-th pair of the global batch from the
r-th on. The pooled embeddings are gathered, so that the similarity matrix is that of the global batch; statistics and
gradients are summed over processes. With `training.batch_norm: global` batch normalization uses the global batch, too,
so that the number of processes does not change the method. With `process` it uses each process's own part, and the
running statistics of process 0 are kept, as in the release's data parallelism: there the number is part of the method.

Every process computes the same loss from the gathered embeddings, but the gradient flows only into its own part of
them: the sum of the gradients is that of the global loss, and a loss on local items needs the weight of their share.
"""

from __future__ import annotations

import math
import os
import socket
import subprocess
from collections.abc import Iterable, Iterator, Mapping
from contextlib import contextmanager
from datetime import timedelta
from typing import Any, NamedTuple

import torch
import torch.distributed as dist
from torch import Tensor
from torch.distributed.distributed_c10d import PrefixStore, Store
from torch.distributed.rendezvous import rendezvous

from resdavenet_vq import devices
from resdavenet_vq.errors import InputError, listed

TIMEOUT = timedelta(minutes=10)
"""How long a process waits for another one before it ends; the others wait while process 0 validates."""


class Launch(NamedTuple):
    """The number of a process, the number of processes, its number on its machine, and their number there if known."""

    rank: int = 0
    world: int = 1
    local_rank: int = 0
    n_local: int | None = None


def launch(environment: Mapping[str, str]) -> Launch:
    """Reads the variables that torchrun or SLURM's srun sets; without them there is a single process."""
    if "WORLD_SIZE" in environment:
        names: tuple[str, ...] = ("RANK", "WORLD_SIZE", "LOCAL_RANK", "LOCAL_WORLD_SIZE")
    elif int(environment.get("SLURM_STEP_NUM_TASKS", "1")) > 1:
        names = ("SLURM_PROCID", "SLURM_STEP_NUM_TASKS", "SLURM_LOCALID")
    else:
        return Launch()
    return Launch(*(int(environment[name]) for name in names if name in environment))


@contextmanager
def processes() -> Iterator[torch.device]:
    """Joins the other processes, if any, and yields the device of this one: its GPU, or the CPU.

    Raises InputError as `devices.n_gpus`, and if two processes have one GPU, or only some of them have any.
    """
    here = launch(os.environ)
    if here.world == 1:
        yield devices.device()
        return
    device = devices.device_of(here.local_rank, here.n_local)
    if "MASTER_ADDR" not in os.environ:  # torchrun sets it, srun does not
        os.environ["MASTER_ADDR"] = _first_host(os.environ["SLURM_STEP_NODELIST"])
        os.environ.setdefault("MASTER_PORT", str(20000 + int(os.environ["SLURM_JOB_ID"]) % 20000))
    with _exchange():
        store, *_ = next(rendezvous("env://", here.rank, here.world, timeout=TIMEOUT))
        _check_devices(store, here, device)
        backend = "nccl" if device.type == "cuda" else "gloo"
        group = PrefixStore("training", store)
        dist.init_process_group(backend, store=group, rank=here.rank, world_size=here.world, timeout=TIMEOUT)
    yield device
    dist.destroy_process_group()  # not after an error, when others may never answer


def _check_devices(store: Store, here: Launch, device: torch.device) -> None:
    """Compares the devices of all processes: those on a CPU and those on GPUs would wait for each other."""
    identifier = "CPU"
    if device.type == "cuda":
        identifier = f"GPU {torch.cuda.get_device_properties(device).uuid}"
    store.set(f"device {here.rank}", f"{identifier} on {socket.gethostname()}")
    names = [store.get(f"device {rank}").decode() for rank in range(here.world)]
    lines = [f"process {rank}: {name}" for rank, name in enumerate(names)]
    if len({name.startswith("CPU") for name in names}) > 1:
        raise InputError(f"only some processes of this training have a GPU:\n{listed(lines)}")
    if device.type == "cuda" and len(set(names)) < len(names):
        raise InputError(
            f"several processes of this training have the same GPU; start one for each GPU:\n{listed(lines)}"
        )


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


def summed(x: Tensor) -> Tensor:
    """The sum of `x` over processes, without gradient, also where it is called in a compiled network."""
    if not torch.compiler.is_compiling():
        return total(x)
    result: Tensor = _sum_over_processes(x)
    return result


@torch.library.custom_op("resdavenet_vq::sum_over_processes", mutates_args=(), schema="(Tensor x) -> Tensor")
def _sum_over_processes(x: Tensor) -> Tensor:
    """What the compiler takes as it is."""
    return total(x.clone())


@_sum_over_processes.register_fake
def _(x: Tensor) -> Tensor:
    return torch.empty_like(x)


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
