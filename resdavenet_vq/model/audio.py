"""The audio encoder: log-mel features to frame vectors, with quantizers between its stages.

Legend of shapes: B utterances, M mel bands, C channels, T frames, D = C of the last stage.

Inside, activations are (B, C, 1, T) in channels-last memory order where the network is wide enough, which a CPU's
convolutions prefer and which makes the (B, T, C) view of a quantizer free.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Any, Literal, NamedTuple

import torch
from torch import Tensor, nn

from resdavenet_vq.errors import InputError
from resdavenet_vq.lineage import frame_stride, layer_position
from resdavenet_vq.model.batch_norm import BatchNorm2d
from resdavenet_vq.model.initialization import initialize
from resdavenet_vq.model.normalization import Statistics, normalized
from resdavenet_vq.model.quantizer import Quantizer, codebook_size

if TYPE_CHECKING:
    from collections.abc import Iterable, Iterator

    from resdavenet_vq.config import AudioModel, QuantizerModel

N_MELS = 40
"""Mel bands of the input."""

JITTERED_POSITIONS = (1, 2)
"""Positions after which temporal jitter is applied, whether their quantizers are on or off."""

JITTER_OFFSETS = {"published": (0, 1, 2), "centred": (-1, 0, 1)}
"""What is added to a time index with probability p, 1 - 2p and p. The release never looks left: an off-by-one error."""


def memory_format(widths: Iterable[int]) -> torch.memory_format:
    """The memory order for convolutions of these widths: channels last, which is a quarter faster on a CPU.

    Below 16 channels oneDNN's backward pass of a strided 1 x 1 convolution in that order writes out of bounds
    (oneDNN issue 6035), so narrow networks keep the default order.
    """
    return torch.channels_last if min(widths) >= 16 else torch.contiguous_format


class Layer(NamedTuple):
    """The input (`convN`) or the output (`quantN`) of a quantizer."""

    vectors: Tensor
    """(B, C, T); frames from `n_frames` on are padding."""
    n_frames: Tensor
    """(B,) int64: valid frames of each utterance, at least 1."""
    codes: Tensor | None = None
    """(B, T) int64, `quantN` only."""
    commitment_loss: Tensor | None = None
    """Scalar, `quantN` only: mean over the valid frames of this batch."""
    counts: Tensor | None = None
    """(K,) int64, `quantN` only: valid frames per code; their sum weights the loss."""


class AudioOutput(NamedTuple):
    """The output of an audio encoder for a batch."""

    frames: Tensor
    """(B, D, T): output of the last layer that was computed."""
    n_frames: Tensor
    """(B,) int64: the number of valid `frames`."""
    layers: dict[str, Layer]
    """By name, in the order of the network: `conv1` to `conv5`, and `quantN` of each quantizer that is on."""


class ResidualBlock(nn.Module):
    """Two 1 x k convolutions with batch normalisation, added to their input.

    The first block of a stage halves the frame rate; its input goes through a 1 x 1 convolution.
    """

    def __init__(self, width_in: int, width: int, kernel_size: int, *, first: bool) -> None:
        super().__init__()
        stride, padding = (1, 2 if first else 1), (0, kernel_size // 2)
        self.conv1 = nn.Conv2d(width_in, width, (1, kernel_size), stride, padding, bias=False)
        self.norm1 = BatchNorm2d(width)
        self.conv2 = nn.Conv2d(width, width, (1, kernel_size), padding=padding, bias=False)
        self.norm2 = BatchNorm2d(width)
        shortcut = [nn.Conv2d(width_in, width, 1, stride, bias=False), BatchNorm2d(width)] if first else []
        self.shortcut = nn.Sequential(*shortcut)

    def forward(self, x: Tensor, is_own: Tensor | None = None) -> Tensor:
        """(B, C_in, 1, T) to (B, C, 1, T), or half as many frames; 0 where not `is_own` (B, 1, 1, T), 0 or 1."""
        y = torch.relu(self.norm1(self.conv1(x)))
        if is_own is not None:
            y.mul_(is_own)
        y = torch.relu(self.norm2(self.conv2(y)) + self.shortcut(x))
        return y if is_own is None else y.mul_(is_own)


class AudioEncoder(nn.Module):
    """A stem and four stages of residual blocks, each followed by a quantizer or none.

    `quantizers` are the positions, 1 to 5, whose quantizers are on. `jitter` is the probability of each of the two
    displaced offsets of the temporal jitter in training.

    In evaluation the frames of an utterance depend on that utterance and its padding: near its end, within the
    receptive field, they differ from those of the utterance encoded alone, unless the batch is `isolated`.
    """

    def __init__(
        self,
        audio: AudioModel,
        quantizer: QuantizerModel,
        quantizers: tuple[int, ...],
        jitter: float = 0.0,
        jitter_offsets: Literal["published", "centred"] = "published",
    ) -> None:
        super().__init__()
        self.is_normalizing = audio.features == "normalized"
        self.jitter = jitter
        self.jitter_offsets = JITTER_OFFSETS[jitter_offsets]
        stem = nn.Sequential(
            nn.Conv2d(1, audio.widths[0], (N_MELS, 1), bias=False), BatchNorm2d(audio.widths[0]), nn.ReLU()
        )
        self.memory_format = memory_format(audio.widths)
        self.stages = nn.ModuleList([stem])
        for width_in, width in zip(audio.widths, audio.widths[1:], strict=False):
            blocks = [
                ResidualBlock(width if block else width_in, width, audio.kernel_size, first=block == 0)
                for block in range(audio.blocks_per_stage)
            ]
            self.stages.append(nn.Sequential(*blocks))
        initialize(self)
        for stage in self.stages[1:]:  # weights in the order of the activations, or every pass would reorder them
            stage.to(memory_format=self.memory_format)
        self.quantizers = nn.ModuleDict()
        for n in sorted(quantizers):
            self.quantizers[f"quant{n}"] = Quantizer(audio.widths[n - 1], codebook_size(quantizer, n), quantizer)

    def forward(
        self,
        logmel: Tensor,
        n_frames: Tensor,
        jitter_generator: torch.Generator | None = None,
        until: str | None = None,
        statistics: Statistics | None = None,
        masked: Tensor | None = None,
        *,
        isolated: bool = False,
    ) -> AudioOutput:
        """Encodes log-mel features (B, M, T), of which the first `n_frames` (B,) of each utterance are valid.

        In training with jitter, the offsets are drawn from `jitter_generator`; evaluation has no jitter. `until` is the
        name of the last layer to compute. Raises InputError if the model has no such layer. A model of normalised
        features normalises them, by `statistics` where these are given: those of whole recordings, to encode pieces of
        them. Values at which `masked` (B, M, T) is true become the mean of the utterance. In an `isolated` batch, in
        evaluation alone, padding is 0 before every convolution, as it is around an utterance encoded alone: valid
        frames do not depend on padding or batch mates.
        """
        logmel, n_frames = logmel.float(), n_frames.to(logmel.device)
        if self.is_normalizing:
            logmel = normalized(logmel, n_frames, statistics)
        if masked is not None:
            logmel = torch.where(masked, 0 if self.is_normalizing else utterance_means(logmel, n_frames), logmel)
        layers: dict[str, Layer] = {}
        for name, layer in self._layers(logmel[:, None], n_frames, jitter_generator, isolated=isolated):
            layers[name] = layer
            if name == until:
                break
        else:
            if until is not None:
                raise InputError(f"the model has no layer {until!r}; its layers are {', '.join(layers)}")
        return AudioOutput(layer.vectors, layer.n_frames, layers)

    def _layers(
        self, x: Tensor, n_frames: Tensor, generator: torch.Generator | None, *, isolated: bool
    ) -> Iterator[tuple[str, Layer]]:
        """Computes and yields one layer after another."""
        is_own = frame_mask(n_frames, x.shape[-1])[:, None, None].float() if isolated else None
        for position, stage in enumerate(self.stages, start=1):
            if is_own is None:
                x = stage(x)
            elif position == 1:
                x = stage(x).mul_(is_own)
            else:
                is_own = is_own[..., ::2]  # of an odd number of frames the last has one, too
                for block in stage.children():
                    x = block(x, is_own)
            x = x.contiguous(memory_format=self.memory_format)  # (B, C, 1, T)
            valid = (n_frames // frame_stride(f"conv{position}")).clamp(min=1)
            yield f"conv{position}", Layer(x[:, :, 0], valid)
            name = f"quant{position}"
            if name in self.quantizers:
                quantized = self.quantizers[name](x[:, :, 0], frame_mask(valid, x.shape[-1]))
                yield name, Layer(quantized.vectors, valid, *quantized[1:])
                x = quantized.vectors[:, :, None]
                x = x if is_own is None else x * is_own
            if self.training and self.jitter and position in JITTERED_POSITIONS:
                x = self._jittered(x, generator)

    def _jittered(self, x: Tensor, generator: torch.Generator | None) -> Tensor:
        """The frames (B, C, 1, T) with each time index displaced; one draw serves the whole batch."""
        if generator is None:
            raise ValueError("training with temporal jitter needs a generator for its offsets")
        times = jittered_times(x.shape[-1], self.jitter, self.jitter_offsets, generator).to(x.device, non_blocking=True)
        frames = x[:, :, 0].transpose(1, 2)
        if x.device.type == "cpu":
            displaced = frames.index_select(1, times)  # its gradient reads the frames once instead of three times
        else:
            displaced = DisplacedFrames.apply(frames, times, self.jitter_offsets)
        return displaced.transpose(1, 2)[:, :, None]


class DisplacedFrames(torch.autograd.Function):
    """Frames (B, T, C) at other `times` (T,), each of which is its own plus one of `offsets`, or the first or the last.

    For a GPU: the gradient of a frame is a sum over the offsets, with the bits of `index_add`, which would sort there to
    be deterministic.
    """

    @staticmethod
    def forward(ctx: Any, frames: Tensor, times: Tensor, offsets: tuple[int, int, int]) -> Tensor:
        """Frames (B, T, C) and times (T,) int64."""
        ctx.save_for_backward(times)
        ctx.offsets = offsets
        return frames.index_select(1, times)

    @staticmethod
    def backward(ctx: Any, gradient: Tensor) -> tuple[Tensor, None, None]:
        """The gradient (B, T, C) of the frames; none of the rest."""
        (times,) = ctx.saved_tensors
        n = len(times)
        steps = times - torch.arange(n, device=times.device)
        to_frames = torch.zeros_like(gradient)
        for offset in sorted(ctx.offsets, reverse=True):
            source, target = slice(max(0, -offset), n - max(0, offset)), slice(max(0, offset), n - max(0, -offset))
            displaced = (steps[source] == offset).to(gradient.dtype)[:, None]
            to_frames[:, target].addcmul_(gradient[:, source], displaced)
        return to_frames, None, None


def jittered_times(n: int, probability: float, offsets: tuple[int, int, int], generator: torch.Generator) -> Tensor:
    """For each of n frames, the index (n,) int64 of the frame that replaces it, on the device of the generator."""
    draws = torch.rand(n, generator=generator, device=generator.device)
    low, middle, high = offsets
    steps = torch.where(draws >= 1 - probability, high, torch.where(draws < probability, low, middle))
    return (torch.arange(n, device=draws.device) + steps).clamp(0, n - 1)


def utterance_means(logmel: Tensor, n_frames: Tensor) -> Tensor:
    """The mean (B, 1, 1) of each utterance's features (B, M, T), without padding; its sum is float64, as padding varies."""
    valid = frame_mask(n_frames, logmel.shape[2])[:, None]
    total = torch.where(valid, logmel, 0).double().sum(dim=(1, 2))
    return (total / (n_frames * logmel.shape[1])).float()[:, None, None]


def frame_mask(n_frames: Tensor, n: int) -> Tensor:
    """(B, n) bool: which frames are valid, for `n_frames` (B,)."""
    return torch.arange(n, device=n_frames.device) < n_frames[:, None]


class ReceptiveField(NamedTuple):
    """Frame f of a layer with stride s depends on the log-mel frames s f + first ... s f + last, and on no other."""

    first: int
    last: int


def receptive_field(audio: AudioEncoder, layer: str) -> ReceptiveField:
    """The receptive field of a layer, from the kernels, strides and paddings of the convolutions before it."""
    first = last = 0
    stages = audio.stages[1 : layer_position(layer)]  # the stem sees one frame, a quantizer its own
    blocks = [module for module in stages.modules() if isinstance(module, ResidualBlock)]
    for convolution in [layer for block in reversed(blocks) for layer in (block.conv2, block.conv1)]:
        stride, padding = convolution.stride[1], int(convolution.padding[1])
        first, last = first * stride - padding, last * stride - padding + convolution.kernel_size[1] - 1
    return ReceptiveField(first, last)
