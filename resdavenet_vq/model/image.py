"""The image encoder: a ResNet without its pooling and classifier, and a 1 x 1 convolution to the common space."""

from __future__ import annotations

from collections import OrderedDict
from typing import TYPE_CHECKING

import torch
from torch import Tensor, nn
from torchvision.models.resnet import BasicBlock, resnet50

from resdavenet_vq.model.audio import memory_format

if TYPE_CHECKING:
    from resdavenet_vq.config import ImageModel

MEAN = (0.485, 0.456, 0.406)
"""Means of the red, green and blue values of ImageNet, on a scale from 0 to 1."""
STD = (0.229, 0.224, 0.225)
"""Their standard deviations."""


class ImageEncoder(nn.Module):
    """Images to maps of vectors, B images of D channels each.

    With `train_embedder_only` the trunk is frozen: no gradients, and its batch normalization stays in evaluation mode.
    `embedding_dim` is D, the width of the space shared with the audio encoder.
    """

    mean: Tensor
    std: Tensor

    def __init__(self, image: ImageModel, embedding_dim: int) -> None:
        super().__init__()
        self.trunk, width = _resnet50() if image.architecture == "resnet50" else _thin_resnet(image.widths)
        self.embedder = nn.Conv2d(width, embedding_dim, 1)
        self.train_embedder_only = image.train_embedder_only
        self.memory_format = torch.channels_last if image.architecture == "resnet50" else memory_format(image.widths)
        self.to(memory_format=self.memory_format)  # weights too, or every pass would reorder them
        self.trunk.requires_grad_(not image.train_embedder_only)
        self.register_buffer("mean", torch.tensor(MEAN)[:, None, None], persistent=False)
        self.register_buffer("std", torch.tensor(STD)[:, None, None], persistent=False)

    def forward(self, images: Tensor) -> Tensor:
        """Images (B, 3, H, W), uint8 or normalized, to maps (B, D, h, w)."""
        if images.dtype == torch.uint8:
            images = (images / 255 - self.mean) / self.std
        maps: Tensor = self.embedder(self.trunk(images.contiguous(memory_format=self.memory_format)))
        return maps

    def train(self, mode: bool = True) -> ImageEncoder:
        """Sets training or evaluation mode; a frozen trunk stays in evaluation mode."""
        super().train(mode)
        if self.train_embedder_only:
            self.trunk.eval()
        return self


def _resnet50() -> tuple[nn.Sequential, int]:
    """ResNet-50 up to its last stage, under torchvision's names, and its width."""
    parts = dict(resnet50(weights=None).named_children())
    del parts["avgpool"], parts["fc"]
    return nn.Sequential(OrderedDict(parts)), 2048


def _thin_resnet(widths: tuple[int, int, int, int]) -> tuple[nn.Sequential, int]:
    """A 3 x 3 stem of stride 2 and four basic blocks; torchvision's ResNet has fixed widths and a 7 x 7 stem."""
    parts: dict[str, nn.Module] = {
        "conv1": nn.Conv2d(3, widths[0], 3, stride=2, padding=1, bias=False),
        "bn1": nn.BatchNorm2d(widths[0]),
        "relu": nn.ReLU(),
    }
    width_in = widths[0]
    for stage, width in enumerate(widths, start=1):
        stride = 1 if stage == 1 else 2
        same = stride == 1 and width == width_in
        shortcut = (
            None if same else nn.Sequential(nn.Conv2d(width_in, width, 1, stride, bias=False), nn.BatchNorm2d(width))
        )
        parts[f"layer{stage}"] = nn.Sequential(BasicBlock(width_in, width, stride, shortcut))
        width_in = width
    trunk = nn.Sequential(OrderedDict(parts))
    for module in trunk.modules():
        if isinstance(module, nn.Conv2d):
            nn.init.kaiming_normal_(module.weight, mode="fan_out", nonlinearity="relu")
    return trunk, width_in
