"""Our ResNets are torchvision's to the last bit: names, order, random weights, outputs and gradients."""

from collections import OrderedDict

import pytest
import torch
from torch import nn
from torchvision.models import resnet

from resdavenet_vq.model.resnet import resnet50, thin_resnet


def torchvision_resnet50():
    parts = dict(resnet.resnet50(weights=None).named_children())
    del parts["avgpool"], parts["fc"]
    return nn.Sequential(OrderedDict(parts))


def torchvision_thin(widths):
    parts = {"conv1": nn.Conv2d(3, widths[0], 3, 2, 1, bias=False), "bn1": nn.BatchNorm2d(widths[0]), "relu": nn.ReLU()}
    width_in = widths[0]
    for stage, width in enumerate(widths, start=1):
        stride = 1 if stage == 1 else 2
        has_shape = stride == 1 and width == width_in
        conv = None if has_shape else nn.Conv2d(width_in, width, 1, stride, bias=False)
        shortcut = conv and nn.Sequential(conv, nn.BatchNorm2d(width))
        parts[f"layer{stage}"] = nn.Sequential(resnet.BasicBlock(width_in, width, stride, shortcut))
        width_in = width
    trunk = nn.Sequential(OrderedDict(parts))
    for module in trunk.modules():
        if isinstance(module, nn.Conv2d):
            nn.init.kaiming_normal_(module.weight, mode="fan_out", nonlinearity="relu")
    return trunk


def seeded(make, *arguments):
    torch.manual_seed(7)
    return make(*arguments), torch.rand(3)


WIDTHS = [(16, 32, 64, 128), (8, 8, 8, 8), (4, 8, 8, 16)]


@pytest.mark.parametrize(
    ("ours", "theirs"),
    [
        (resnet50, torchvision_resnet50),
        *((lambda w=w: thin_resnet(w), lambda w=w: torchvision_thin(w)) for w in WIDTHS),
    ],
)
def test_names_weights_and_the_random_numbers_that_follow_are_torchvisions(ours, theirs):
    ((trunk, width), after), (expected, expected_after) = seeded(ours), seeded(theirs)
    assert torch.equal(after, expected_after)
    assert [name for name, _ in trunk.named_parameters()] == [name for name, _ in expected.named_parameters()]
    state, expected_state = trunk.state_dict(), expected.state_dict()
    assert list(state) == list(expected_state)
    assert all(torch.equal(x, expected_state[name]) for name, x in state.items())

    images = torch.rand(2, 3, 64, 64, generator=torch.Generator().manual_seed(1))
    for network in (trunk, expected):
        network.train()
        network.zero_grad()
        network.maps = network(images)
        network.maps.square().mean().backward()
    assert trunk.maps.shape[1] == width
    assert torch.equal(trunk.maps, expected.maps)
    gradients = dict(expected.named_parameters())
    assert all(torch.equal(p.grad, gradients[name].grad) for name, p in trunk.named_parameters())
    assert torch.equal(trunk.eval()(images), expected.eval()(images))
