"""The reach of a layer, found out by changing one frame after another."""

import pytest
import torch

from resdavenet_vq.config import AudioModel, QuantizerModel
from resdavenet_vq.lineage import frame_stride
from resdavenet_vq.model.audio import AudioEncoder
from resdavenet_vq.model.reach import Reach, reach


@pytest.mark.parametrize(("kernel", "blocks"), [(9, 2), (9, 1), (3, 1), (5, 2)])
@pytest.mark.parametrize("layer", ["conv1", "conv2", "conv3", "conv5"])
def test_frames_within_reach_matter_and_no_others(kernel, blocks, layer):
    torch.manual_seed(0)
    audio = AudioModel(widths=(4, 4, 4, 4, 4), blocks_per_stage=blocks, kernel_size=kernel)
    network = AudioEncoder(audio, QuantizerModel(codebook_size=4), ()).eval()
    for module in network.modules():
        if isinstance(module, torch.nn.Conv2d):
            module.weight.data.abs_()  # nothing cancels, no ReLU closes
    stride, around = frame_stride(layer), reach(network, layer)
    total = -(-(2 * (around.last - around.first) + 64) // stride) * stride
    f = total // 2 // stride
    x = torch.rand(1, 40, total).add(1).requires_grad_()
    output = network(x, torch.tensor([total]), until=layer)
    output.frames[0, :, f].sum().backward()
    touched = x.grad[0].abs().sum(dim=0).nonzero().flatten()
    assert (int(touched.min()), int(touched.max())) == (stride * f + around.first, stride * f + around.last)


def test_the_published_network():
    audio = AudioEncoder(AudioModel(widths=(4, 4, 4, 4, 4)), QuantizerModel(codebook_size=4), ())
    assert [reach(audio, f"quant{n}") for n in range(1, 6)] == [Reach(-r, r) for r in (0, 28, 84, 196, 420)]
