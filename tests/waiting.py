"""Finds operations for which the host would wait for a GPU, on a CPU."""

import torch
from torch.utils._python_dispatch import TorchDispatchMode

WAITING = ("_local_scalar_dense", "nonzero", "bincount", "masked_select", "unique", "is_nonzero", "equal")
"""Operations that make the host wait for a GPU: `.item()`, `bool(tensor)`, results whose shape depends on values."""


class NothingWaits(TorchDispatchMode):
    def __torch_dispatch__(self, func, types, args=(), kwargs=None):
        name = func.__name__.split(".")[0]
        assert not name.lstrip("_").startswith(tuple(w.lstrip("_") for w in WAITING)), f"{func} waits for the GPU"
        indices = args[1] if name.startswith("index") and len(args) > 1 and isinstance(args[1], list | tuple) else ()
        assert not any(isinstance(i, torch.Tensor) and i.dtype == torch.bool for i in indices), (
            f"{func} with a mask waits for the GPU"
        )
        return func(*args, **(kwargs or {}))
