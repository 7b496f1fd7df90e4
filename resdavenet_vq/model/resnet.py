"""ResNet trunks: residual networks (He et al., 2016) without pooling and classifier.

The same modules under the same names, in the same order and with the same random weights as torchvision's, whose files
of weights they read; importing torchvision takes as long as importing PyTorch, because it loads PyTorch's compiler.
"""

from __future__ import annotations

from collections import OrderedDict

from torch import Tensor, nn

from resdavenet_vq.model.batch_norm import BatchNorm2d
from resdavenet_vq.model.initialization import initialize

EXPANSION = 4
"""Output channels of a bottleneck block, for each of its inner ones."""

RESNET50_BLOCKS = (3, 4, 6, 3)
"""Blocks in the four stages of ResNet-50."""


class BasicBlock(nn.Module):
    """Two 3 x 3 convolutions and a shortcut around them: (B, C, H, W) to (B, `width`, H / `stride`, W / `stride`).

    `shortcut` changes the shape of the input where the block does.
    """

    def __init__(self, width_in: int, width: int, stride: int, shortcut: nn.Module | None) -> None:
        super().__init__()
        self.conv1 = nn.Conv2d(width_in, width, 3, stride, padding=1, bias=False)
        self.bn1 = BatchNorm2d(width)
        self.relu = nn.ReLU(inplace=True)
        self.conv2 = nn.Conv2d(width, width, 3, padding=1, bias=False)
        self.bn2 = BatchNorm2d(width)
        self.downsample = shortcut

    def forward(self, x: Tensor) -> Tensor:
        """Maps of all channels to maps of `width` channels."""
        y = self.relu(self.bn1(self.conv1(x)))
        y = self.bn2(self.conv2(y))
        y += x if self.downsample is None else self.downsample(x)
        output: Tensor = self.relu(y)
        return output


class Bottleneck(nn.Module):
    """As BasicBlock, by 1 x 1, 3 x 3 and 1 x 1 convolutions, of which the last has EXPANSION times `width` channels."""

    def __init__(self, width_in: int, width: int, stride: int, shortcut: nn.Module | None) -> None:
        super().__init__()
        self.conv1 = nn.Conv2d(width_in, width, 1, bias=False)
        self.bn1 = BatchNorm2d(width)
        self.conv2 = nn.Conv2d(width, width, 3, stride, padding=1, bias=False)
        self.bn2 = BatchNorm2d(width)
        self.conv3 = nn.Conv2d(width, EXPANSION * width, 1, bias=False)
        self.bn3 = BatchNorm2d(EXPANSION * width)
        self.relu = nn.ReLU(inplace=True)
        self.downsample = shortcut

    def forward(self, x: Tensor) -> Tensor:
        """Maps of all channels to maps of EXPANSION times `width` channels."""
        y = self.relu(self.bn1(self.conv1(x)))
        y = self.relu(self.bn2(self.conv2(y)))
        y = self.bn3(self.conv3(y))
        y += x if self.downsample is None else self.downsample(x)
        output: Tensor = self.relu(y)
        return output


def resnet50() -> tuple[nn.Sequential, int]:
    """ResNet-50 up to its last stage, and its width."""
    parts: dict[str, nn.Module] = {
        "conv1": nn.Conv2d(3, 64, 7, stride=2, padding=3, bias=False),
        "bn1": BatchNorm2d(64),
        "relu": nn.ReLU(inplace=True),
        "maxpool": nn.MaxPool2d(3, stride=2, padding=1),
    }
    width_in = 64
    for stage, n_blocks in enumerate(RESNET50_BLOCKS):
        width = 64 << stage
        blocks = []
        for block in range(n_blocks):
            stride = 2 if stage and block == 0 else 1
            blocks.append(Bottleneck(width_in, width, stride, _shortcut(width_in, EXPANSION * width, stride)))
            width_in = EXPANSION * width
        parts[f"layer{stage + 1}"] = nn.Sequential(*blocks)
    nn.Linear(width_in, 1000)  # the classifier takes its numbers from the random generator before weights are drawn
    trunk = nn.Sequential(OrderedDict(parts))
    initialize(trunk)
    return trunk, width_in


def thin_resnet(widths: tuple[int, int, int, int]) -> tuple[nn.Sequential, int]:
    """A 3 x 3 stem of stride 2 and four basic blocks, and its width; torchvision's has fixed widths and a 7 x 7 stem."""
    parts: dict[str, nn.Module] = {
        "conv1": nn.Conv2d(3, widths[0], 3, stride=2, padding=1, bias=False),
        "bn1": BatchNorm2d(widths[0]),
        "relu": nn.ReLU(),
    }
    width_in = widths[0]
    for stage, width in enumerate(widths, start=1):
        stride = 1 if stage == 1 else 2
        block = BasicBlock(width_in, width, stride, _shortcut(width_in, width, stride))
        parts[f"layer{stage}"] = nn.Sequential(block)
        width_in = width
    trunk = nn.Sequential(OrderedDict(parts))
    initialize(trunk)
    return trunk, width_in


def _shortcut(width_in: int, width: int, stride: int) -> nn.Sequential | None:
    """What gives the input of a block the shape of its output; None where it has that."""
    if stride == 1 and width_in == width:
        return None
    return nn.Sequential(nn.Conv2d(width_in, width, 1, stride, bias=False), BatchNorm2d(width))
