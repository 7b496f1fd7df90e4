"""The arithmetic of a training: precision, compiled kernels, determinism on a GPU.

Nothing here changes the method, but all of it may change last digits: `training.compute` is part of a model's identity.
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


@contextmanager
def arithmetic(settings: config.Compute, device: torch.device, *, fixed_shapes: bool = True) -> Iterator[None]:
    """While the block runs, a GPU computes with `precision`, and reproducibly if `deterministic`. A CPU always does.

    `fixed_shapes`: whether batches are all of one length. Otherwise cuDNN does not measure its algorithms, which it would
    do again for each length.
    """
    if device.type != "cuda":
        yield
        return
    backends: Any = torch.backends
    memory: Any = torch.utils.deterministic
    before = backends.cudnn.benchmark, memory.fill_uninitialized_memory
    mode, warn_only = (
        torch.are_deterministic_algorithms_enabled(),
        torch.is_deterministic_algorithms_warn_only_enabled(),
    )
    backends.cudnn.benchmark = fixed_shapes and not settings.deterministic  # picks the fastest, which varies
    if settings.deterministic:
        os.environ.setdefault("CUBLAS_WORKSPACE_CONFIG", ":4096:8")  # read at the first matrix product
        torch.use_deterministic_algorithms(mode=True, warn_only=True)
        memory.fill_uninitialized_memory = False  # costs time, and would only hide bugs
    try:
        with true_float32():
            if settings.precision == "tf32":  # the only matrix products are similarities and distances, always float32
                backends.cudnn.conv.fp32_precision = "tf32"
            yield
    finally:
        backends.cudnn.benchmark, memory.fill_uninitialized_memory = before
        torch.use_deterministic_algorithms(mode, warn_only=warn_only)


def autocast(settings: config.Compute, device: torch.device) -> AbstractContextManager[Any]:
    """The autocast of the two branches: bfloat16 if `precision` is. Quantizers and losses stay in float32."""
    return torch.autocast(device.type, torch.bfloat16, enabled=settings.precision == "bfloat16")


def compile_branches(model: DualEncoder, *, dynamic: bool) -> None:
    """Compiles the image branch and each stage of the audio branch at their first call, but not the quantizers.

    State dicts keep their names. Not by `max-autotune`, which reads PyTorch's former flags of TF32: they raise where the
    new ones are set. `dynamic`: one version for batches of any length, instead of one for each length.
    A graph break is an error.
    """
    limits = torch._dynamo.config  # noqa: SLF001 - no public name
    limits.recompile_limit = max(64, limits.recompile_limit)  # per function: all audio stages share one; else it is 8
    for part in (*model.audio.stages, model.image):
        part.compile(fullgraph=True, dynamic=dynamic, backend=COMPILER)


@contextmanager
def uncompiled(settings: config.Compute) -> Iterator[None]:
    """While the block runs, compiled branches run uncompiled, and cuDNN does not measure its algorithms.

    For sizes that seldom come again: those of the validation, and of the last batch of an epoch.
    """
    backends: Any = torch.backends
    before = backends.cudnn.benchmark
    backends.cudnn.benchmark = False
    try:
        with torch.compiler.set_stance("force_eager") if settings.compile else nullcontext():
            yield
    finally:
        backends.cudnn.benchmark = before
