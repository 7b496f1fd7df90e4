"""The two branches of the 2020 release, as far as evaluation needs them; its names of tensors.

A small image branch, which the release does not have, stands for its ResNet-50: that of the demo.
"""

from __future__ import annotations

from pathlib import Path

import torch
from torch import Tensor, nn

QUANTIZERS = (2, 3)


class Block(nn.Module):
    """Two convolutions in time around a shortcut."""

    def __init__(self, width_in: int, width: int, stride: int) -> None:
        super().__init__()
        self.conv1 = nn.Conv2d(width_in, width, (1, 9), (1, stride), (0, 4), bias=False)
        self.bn1 = nn.BatchNorm2d(width)
        self.relu = nn.ReLU(inplace=True)
        self.conv2 = nn.Conv2d(width, width, (1, 9), 1, (0, 4), bias=False)
        self.bn2 = nn.BatchNorm2d(width)
        self.downsample = None
        if stride != 1:
            convolution = nn.Conv2d(width_in, width, 1, (1, stride), bias=False)
            self.downsample = nn.Sequential(convolution, nn.BatchNorm2d(width))

    def forward(self, x: Tensor) -> Tensor:
        """(B, C_in, 1, T) to (B, C, 1, T / stride)."""
        y = self.relu(self.bn1(self.conv1(x)))
        y = self.bn2(self.conv2(y))
        return self.relu(y + (x if self.downsample is None else self.downsample(x)))


class Quantizer(nn.Module):
    """The nearest codes by way of a matrix of frames by codes."""

    def __init__(self, size: int, width: int) -> None:
        super().__init__()
        self._embedding = nn.Embedding(size, width)

    def forward(self, x: Tensor) -> tuple[Tensor, Tensor]:
        """(B, C, 1, T) to code vectors of that shape, and the matrix (B * T, K)."""
        frames = x.permute(0, 2, 3, 1).contiguous()
        flat = frames.view(-1, frames.shape[-1])
        codebook = self._embedding.weight
        distances = (flat**2).sum(1, keepdim=True) + (codebook**2).sum(1) - 2 * torch.matmul(flat, codebook.t())
        one_hot = torch.zeros_like(distances).scatter_(1, distances.argmin(1, keepdim=True), 1)
        return torch.matmul(one_hot, codebook).view_as(frames).permute(0, 3, 1, 2).contiguous(), one_hot


class Audio(nn.Module):
    """The audio branch."""

    def __init__(self, widths: tuple[int, ...], blocks: int, codes: int) -> None:
        super().__init__()
        self.conv1 = nn.Conv2d(1, widths[0], (40, 1), bias=False)
        self.bn1 = nn.BatchNorm2d(widths[0])
        self.relu = nn.ReLU(inplace=True)
        for stage in range(1, 5):
            first = Block(widths[stage - 1], widths[stage], 2)
            rest = [Block(widths[stage], widths[stage], 1) for _ in range(blocks - 1)]
            self.add_module(f"layer{stage}", nn.Sequential(first, *rest))
        for n in QUANTIZERS:
            self.add_module(f"quant{n}", Quantizer(codes, widths[n - 1]))

    def forward(self, x: Tensor) -> tuple[Tensor, dict[int, Tensor], dict[int, Tensor]]:
        """Features (B, 40, T) to the last layer (B, D, 1, T / 16); matrices and code vectors of the quantizers."""
        x = self.relu(self.bn1(self.conv1(x[:, None])))
        one_hot, vectors = {}, {}
        for position in range(1, 6):
            if position > 1:
                x = getattr(self, f"layer{position - 1}")(x)
            if position in QUANTIZERS:
                x, one_hot[position] = getattr(self, f"quant{position}")(x)
                vectors[position] = x
        return x, one_hot, vectors


class ImageBlock(nn.Module):
    """Two 3 x 3 convolutions around a shortcut."""

    def __init__(self, width_in: int, width: int, stride: int) -> None:
        super().__init__()
        self.conv1 = nn.Conv2d(width_in, width, 3, stride, 1, bias=False)
        self.bn1 = nn.BatchNorm2d(width)
        self.relu = nn.ReLU(inplace=True)
        self.conv2 = nn.Conv2d(width, width, 3, 1, 1, bias=False)
        self.bn2 = nn.BatchNorm2d(width)
        self.downsample = None
        if stride != 1 or width_in != width:
            self.downsample = nn.Sequential(nn.Conv2d(width_in, width, 1, stride, bias=False), nn.BatchNorm2d(width))

    def forward(self, x: Tensor) -> Tensor:
        """(B, C_in, H, W) to (B, C, H / stride, W / stride)."""
        y = self.relu(self.bn1(self.conv1(x)))
        y = self.bn2(self.conv2(y))
        return self.relu(y + (x if self.downsample is None else self.downsample(x)))


class Image(nn.Module):
    """The image branch."""

    def __init__(self, widths: tuple[int, ...], dim: int) -> None:
        super().__init__()
        self.conv1 = nn.Conv2d(3, widths[0], 3, 2, 1, bias=False)
        self.bn1 = nn.BatchNorm2d(widths[0])
        self.relu = nn.ReLU(inplace=True)
        for stage, (width_in, width) in enumerate(zip((widths[0], *widths), widths, strict=False), start=1):
            self.add_module(f"layer{stage}", nn.Sequential(ImageBlock(width_in, width, 1 if stage == 1 else 2)))
        self.embedder = nn.Conv2d(widths[-1], dim, 1)

    def forward(self, x: Tensor) -> Tensor:
        """(B, 3, H, W) to maps (B, D, h, w)."""
        x = self.relu(self.bn1(self.conv1(x)))
        for stage in range(1, 5):
            x = getattr(self, f"layer{stage}")(x)
        return self.embedder(x)


def load_audio(folder: Path) -> Audio:
    """The audio branch of an experiment."""
    state = torch.load(folder / "models/best_audio_model.pth", map_location="cpu")
    stages = [f"layer{n}.0.conv1.weight" for n in range(1, 5)]
    widths = (len(state["conv1.weight"]), *(len(state[name]) for name in stages))
    blocks = sum(name.startswith("layer1.") and name.endswith(".conv1.weight") for name in state)
    model = Audio(widths, blocks, len(state[f"quant{QUANTIZERS[0]}._embedding.weight"]))
    model.load_state_dict(state)
    return model.eval()


def load_image(folder: Path) -> Image:
    """Its image branch."""
    state = torch.load(folder / "models/best_image_model.pth", map_location="cpu")
    model = Image(tuple(len(state[f"layer{n}.0.conv1.weight"]) for n in range(1, 5)), len(state["embedder.weight"]))
    model.load_state_dict(state)
    return model.eval()
