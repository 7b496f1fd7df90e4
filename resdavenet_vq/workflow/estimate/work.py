"""The work of a dual encoder on one pair: floating-point operations, activations and parameters, from its settings alone.

Everything follows from the list of the convolutions. A convolution with weights w has 2 · w FLOP for each position of its
output: so many forward, as many for the gradient of its weights, and as many for that of its input. Nothing here imports
PyTorch; tests compare it with PyTorch's own counter.
"""

from __future__ import annotations

from collections.abc import Iterator
from itertools import pairwise
from typing import NamedTuple

from resdavenet_vq.config import Model
from resdavenet_vq.data.features import N_MELS

RESNET50_BLOCKS = (3, 4, 6, 3)
"""As in `model.resnet`, which imports PyTorch."""


class Convolution(NamedTuple):
    """A convolution, and the batch normalization after it."""

    branch: str
    """`audio` or `image`."""
    width_in: int
    width: int
    kernel: int
    """Its area: 9 of a 3 x 3 convolution."""
    positions: int
    """Of the output: frames, or height times width."""
    is_normalized: bool = True
    """The last convolution of the image branch has a bias instead."""
    is_trained: bool = True
    passes_gradient: bool = True
    """Whether its input needs a gradient: not that of the first layer, nor of a frozen one."""

    @property
    def weights(self) -> int:
        """The number of weights, those of the normalization not included."""
        return self.width_in * self.width * self.kernel

    @property
    def flop(self) -> int:
        """FLOP forward."""
        return 2 * self.weights * self.positions

    @property
    def outputs(self) -> int:
        """The number of output values."""
        return self.width * self.positions


class Codebook(NamedTuple):
    """A quantizer that is on."""

    size: int
    width: int
    frames: int

    @property
    def flop(self) -> int:
        """FLOP of the products of all frames and codes."""
        return 2 * self.size * self.width * self.frames


class Work(NamedTuple):
    """What a model does with a pair."""

    convolutions: tuple[Convolution, ...]
    codebooks: tuple[Codebook, ...]

    def forward_flop(self, branch: str) -> int:
        """FLOP of a branch's convolutions, forward."""
        return sum(c.flop for c in self.convolutions if c.branch == branch)

    def training_flop(self, branch: str) -> int:
        """FLOP of a branch's convolutions forward and backward."""
        own = (c for c in self.convolutions if c.branch == branch)
        return sum(c.flop * (1 + c.is_trained + c.passes_gradient) for c in own)

    @property
    def quantizer_flop(self) -> int:
        """FLOP of the search for the nearest codes; it has no backward pass."""
        return sum(codebook.flop for codebook in self.codebooks)

    @property
    def flop(self) -> int:
        """FLOP of a training step for one pair, without the losses."""
        return self.training_flop("audio") + self.training_flop("image") + self.quantizer_flop

    def outputs(self, branch: str) -> int:
        """The number of values that a branch's convolutions put out."""
        return sum(c.outputs for c in self.convolutions if c.branch == branch)

    @property
    def trained_parameters(self) -> int:
        """The number of values that the optimizer changes."""
        return sum(_parameters(c) for c in self.convolutions if c.is_trained)

    @property
    def normalized_widths(self) -> list[int]:
        """The channels of each batch normalization by statistics of the batch; a frozen trunk uses its own."""
        return [c.width for c in self.convolutions if c.is_normalized and c.is_trained]

    @property
    def embedding_width(self) -> int:
        """D, of the space that both branches share."""
        return self.convolutions[-1].width

    @property
    def model_bytes(self) -> int:
        """Bytes of all weights, running statistics and codebooks."""
        statistics = sum(8 * c.width + 8 for c in self.convolutions if c.is_normalized)  # mean, variance, one counter
        codebooks = sum(4 * (2 * c.size * c.width + c.size) for c in self.codebooks)
        return 4 * sum(map(_parameters, self.convolutions)) + statistics + codebooks


def _parameters(c: Convolution) -> int:
    return c.weights + c.width * (1 + c.is_normalized)


def work(model: Model, quantizers: tuple[int, ...], frames: int) -> Work:
    """What the model with quantizers at these positions does with an utterance of `frames` frames and an image."""
    audio = tuple(_audio(model, frames))
    lengths = [frames]
    for _ in model.audio.widths[1:]:
        lengths.append(_halved(lengths[-1]))
    sizes = model.quantizer.codebook_size
    codebooks = (
        Codebook(sizes if isinstance(sizes, int) else sizes[n - 1], model.audio.widths[n - 1], lengths[n - 1])
        for n in quantizers
    )
    return Work((*audio, *_image(model)), tuple(codebooks))


def _audio(model: Model, frames: int) -> Iterator[Convolution]:
    """The stem, then in each block two convolutions, and in the first of a stage the shortcut."""
    widths, k = model.audio.widths, model.audio.kernel_size
    yield Convolution("audio", 1, widths[0], N_MELS, frames, passes_gradient=False)
    for width_in, width in pairwise(widths):
        frames = _halved(frames)
        for block in range(model.audio.blocks_per_stage):
            yield Convolution("audio", width if block else width_in, width, k, frames)
            yield Convolution("audio", width, width, k, frames)
            if block == 0:
                yield Convolution("audio", width_in, width, 1, frames)


def _image(model: Model) -> Iterator[Convolution]:
    """The trunk, frozen or not, and the 1 x 1 convolution to the common space."""
    is_trained = not model.image.train_embedder_only
    side = _halved(model.image.crop)
    is_resnet50 = model.image.architecture == "resnet50"
    widths = (64, 128, 256, 512) if is_resnet50 else model.image.widths
    blocks = RESNET50_BLOCKS if is_resnet50 else (1, 1, 1, 1)
    kernel = 49 if is_resnet50 else 9
    yield Convolution("image", 3, widths[0], kernel, side**2, is_trained=is_trained, passes_gradient=False)
    side = _halved(side) if is_resnet50 else side  # the pooling
    width_in = widths[0]
    for stage, (width, n_blocks) in enumerate(zip(widths, blocks, strict=True)):
        for block in range(n_blocks):
            before, halves = side, stage and block == 0
            side = _halved(side) if halves else side
            outer = 4 * width if is_resnet50 else width
            shapes = [(width_in, width, 1, before), (width, width, 9, side), (width, outer, 1, side)]
            if not is_resnet50:
                shapes = [(width_in, width, 9, side), (width, width, 9, side)]
            if halves or width_in != outer:
                shapes.append((width_in, outer, 1, side))
            for c_in, c_out, area, length in shapes:
                yield Convolution(
                    "image", c_in, c_out, area, length**2, is_trained=is_trained, passes_gradient=is_trained
                )
            width_in = outer
    yield Convolution(
        "image", width_in, model.audio.widths[-1], 1, side**2, is_normalized=False, passes_gradient=is_trained
    )


def _halved(n: int) -> int:
    """The length after a stride of 2 with padding of half the kernel."""
    return (n + 1) // 2
