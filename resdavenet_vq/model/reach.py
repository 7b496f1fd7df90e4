"""How far the audio network looks: the log-mel frames that decide one frame of a layer."""

from __future__ import annotations

from typing import TYPE_CHECKING, NamedTuple, cast

from resdavenet_vq.lineage import layer_position

if TYPE_CHECKING:
    from torch import nn

    from resdavenet_vq.model.audio import AudioEncoder, ResidualBlock


class Reach(NamedTuple):
    """Frame f of a layer with stride s depends on the log-mel frames s f + first ... s f + last, and on no other."""

    first: int
    last: int


def reach(audio: AudioEncoder, layer: str) -> Reach:
    """The reach of a layer, from the kernels, strides and paddings of the convolutions before it. Quantizers look at their frame alone."""
    first = last = 0
    for stage in reversed(audio.stages[1 : layer_position(layer)]):  # the stem sees one frame
        for block in reversed([*cast("nn.Sequential", stage)]):
            for convolution in (cast("ResidualBlock", block).conv2, cast("ResidualBlock", block).conv1):
                (kernel, stride, padding) = (
                    convolution.kernel_size[1],
                    convolution.stride[1],
                    int(convolution.padding[1]),
                )
                first, last = first * stride - padding, last * stride - padding + kernel - 1
    return Reach(first, last)
