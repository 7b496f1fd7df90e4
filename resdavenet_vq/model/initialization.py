"""Random weights of a network before training."""

from __future__ import annotations

from torch import nn


def initialize(network: nn.Module) -> None:
    """Draws the weights of all convolutions, by the fan-out (He et al., 2015), as torchvision does for its ResNets.

    On the device `meta`, tensors have shapes and no values, so nothing is drawn there: PyTorch would load its compiler
    for that, which takes longer than the rest of a short command.
    """
    for module in network.modules():
        if isinstance(module, nn.Conv2d) and not module.weight.is_meta:
            nn.init.kaiming_normal_(module.weight, mode="fan_out", nonlinearity="relu")
