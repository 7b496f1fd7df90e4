"""How the arithmetic of a training is carried out: its precision, compiled kernels, and whether a GPU repeats itself bit for bit.

Nothing here changes the method, and everything here may change last digits, so `training.compute` is part of what decides a model.
"""

from __future__ import annotations

import os
from collections.abc import Iterator
from contextlib import AbstractContextManager, contextmanager, nullcontext
from typing import TYPE_CHECKING, Any

import torch

from resdavenet_vq.model.precision import true_float32

if TYPE_CHECKING:
    from resdavenet_vq import config
    from resdavenet_vq.model.dual_encoder import DualEncoder

COMPILER = "inductor"

MOST_SHAPES = 64
"""Compiled versions of one piece of code. All stages of the audio network are one such piece, and torch's own limit is 8."""


@contextmanager
def arithmetic(settings: config.Compute, device: torch.device) -> Iterator[None]:
    """While the block runs, a GPU computes float32 as `precision` says, and reproducibly if that is asked for. A CPU always does."""
    if device.type != "cuda":
        yield
        return
    backends: Any = torch.backends
    memory: Any = torch.utils.deterministic
    before = backends.cudnn.benchmark, memory.fill_uninitialized_memory
    deterministic, warn_only = (
        torch.are_deterministic_algorithms_enabled(),
        torch.is_deterministic_algorithms_warn_only_enabled(),
    )
    backends.cudnn.benchmark = not settings.deterministic  # the fastest algorithm of the moment is not always the same
    if settings.deterministic:
        os.environ.setdefault("CUBLAS_WORKSPACE_CONFIG", ":4096:8")  # read when the first product is computed
        torch.use_deterministic_algorithms(mode=True, warn_only=True)
        memory.fill_uninitialized_memory = False  # costs time, and only hides errors of the code
    try:
        with true_float32():
            if settings.precision == "tf32":
                backends.cudnn.conv.fp32_precision = backends.cuda.matmul.fp32_precision = "tf32"
            yield
    finally:
        backends.cudnn.benchmark, memory.fill_uninitialized_memory = before
        torch.use_deterministic_algorithms(mode=deterministic, warn_only=warn_only)


def autocast(settings: config.Compute, device: torch.device) -> AbstractContextManager[Any]:
    """For the forward pass of the two branches: bfloat16 where `precision` says so. Quantizers and losses stay in float32."""
    return torch.autocast(device.type, torch.bfloat16, enabled=settings.precision == "bfloat16")


def compile_branches(model: DualEncoder, *, dynamic: bool) -> None:
    """Compiles, when they are first called, the image branch and each stage of the audio branch; quantizers stay between them as they are.

    State dicts keep their names. `dynamic`: one version for batches of any length, rather than one for each length.
    A graph that would break is an error.
    """
    torch._dynamo.config.recompile_limit = max(MOST_SHAPES, torch._dynamo.config.recompile_limit)  # noqa: SLF001 - no public name
    for part in (*model.audio.stages, model.image):
        part.compile(fullgraph=True, dynamic=dynamic, backend=COMPILER)


def uncompiled(settings: config.Compute) -> AbstractContextManager[Any]:
    """While the block runs, compiled branches run as if they were not: for validation, where every batch has another length."""
    return torch.compiler.set_stance("force_eager") if settings.compile else nullcontext()
