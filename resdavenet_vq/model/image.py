"""The image encoder: a ResNet without its pooling and classifier, and a 1 x 1 convolution to the common space."""

from __future__ import annotations

from typing import TYPE_CHECKING

import torch
from torch import Tensor, nn

from resdavenet_vq.model.audio import memory_format
from resdavenet_vq.model.resnet import resnet50, thin_resnet

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
        self.trunk, width = resnet50() if image.architecture == "resnet50" else thin_resnet(image.widths)
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
