"""The forward pass of a step on a GPU that is made up: tensors have shapes, types and devices, and no numbers.

What needs numbers on the host, and so would wait for the GPU, raises an error, and so do operations over two devices. PyTorch
runs no backward pass of such tensors.
"""

from collections import Counter

import pytest
import torch
from torch import nn
from torch._subclasses.fake_tensor import DataDependentOutputException, FakeTensorMode
from torch.utils._python_dispatch import TorchDispatchMode
from training_child import MODEL, TRAINING

from resdavenet_vq import config
from resdavenet_vq.data.dataset import Batch
from resdavenet_vq.training import compute
from resdavenet_vq.training.state import Run
from resdavenet_vq.training.step import StepLosses, step_losses

GPU = torch.device("cuda", 0)


class Operations(TorchDispatchMode):
    """Counts operations by name."""

    def __init__(self):
        super().__init__()
        self.counts = Counter()

    def __torch_dispatch__(self, func, types, args=(), kwargs=None):
        self.counts[func.__name__.split(".")[0]] += 1
        return func(*args, **(kwargs or {}))


def losses_of_shapes(recipe, monkeypatch, **settings):
    """The losses of a step with a batch of 4, and the operations that a GPU would be given."""
    arithmetic = config.Compute(**settings)
    training = TRAINING.model_copy(update={"compute": arithmetic, "augmentation": "masks"})
    run = Run.start(MODEL, (1, 2, 3, 4, 5), recipe, training, None, torch.device("cpu"))
    state = {name: x.detach() for name, x in [*run.model.named_parameters(), *run.model.named_buffers()]}
    monkeypatch.setenv("CUBLAS_WORKSPACE_CONFIG", ":16:8")
    monkeypatch.setattr("torch.cuda.amp.common.amp_definitely_not_available", lambda: False)
    monkeypatch.setattr(torch.cuda, "is_bf16_supported", lambda *_: True)
    crop = MODEL.image.crop
    with FakeTensorMode() as mode, compute.arithmetic(arithmetic, GPU):
        for prefix, module in run.model.named_modules():
            for tensors in (module._parameters, module._buffers):
                for name in [name for name, x in tensors.items() if x is not None]:
                    x = mode.from_tensor(state[f"{prefix}.{name}".lstrip(".")]).to(GPU)
                    tensors[name] = nn.Parameter(x) if tensors is module._parameters else x
        logmel, images = torch.zeros(4, 40, 64, dtype=torch.float16), torch.zeros(4, 3, crop, crop, dtype=torch.uint8)
        batch = Batch(*(x.to(GPU) for x in (logmel, torch.full((4,), 64), images, torch.arange(4))))
        with Operations() as operations:
            losses = step_losses(run.model, batch, 4, (1, 0), recipe, training)
    return losses, operations.counts


@pytest.mark.parametrize("deterministic", [True, False])
@pytest.mark.parametrize("precision", ["float32", "tf32", "bfloat16"])
def test_a_step_stays_on_its_gpu_and_does_not_wait(monkeypatch, precision, deterministic):
    losses, operations = losses_of_shapes(
        config.Recipe(), monkeypatch, precision=precision, deterministic=deterministic
    )
    assert isinstance(losses, StepLosses)
    assert {x.device for x in (losses.total, losses.parts, *losses.counts.values())} == {GPU}
    assert operations["argmin"] == 5  # a GPU's own search, one for each quantizer
    kinds = {name: n for name, n in operations.items() if name.endswith("batch_norm")}
    # docs/training.md: eager bfloat16 is not normalized by cuDNN
    assert kinds == {"native_batch_norm" if precision == "bfloat16" else "cudnn_batch_norm": 25}


def test_what_waits_is_found(monkeypatch):
    with pytest.raises(DataDependentOutputException):
        losses_of_shapes(config.Recipe(), monkeypatch)[0].total.item()
    monkeypatch.setattr("resdavenet_vq.training.step.codebooks.restart_is_due", lambda _: True)
    with pytest.raises(DataDependentOutputException):  # the one thing that waits
        losses_of_shapes(config.Recipe(dead_codes="restart"), monkeypatch)
