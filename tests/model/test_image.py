import os
import subprocess
import sys

import pytest
import torch

from resdavenet_vq.config import ImageModel
from resdavenet_vq.model.image import MEAN, STD, ImageEncoder

THIN = ImageModel(architecture="thin_resnet", crop=64, resize=72)


def images():
    return torch.randint(0, 256, (2, 3, 64, 64), generator=torch.Generator().manual_seed(0)).to(torch.uint8)


def test_thin_resnet():
    assert sum(p.numel() for p in ImageEncoder(THIN, 128).parameters()) == pytest.approx(0.32e6, rel=0.05)
    for widths in (THIN.widths, (8, 8, 8, 8), (4, 8, 8, 16)):
        model = ImageEncoder(THIN.model_copy(update={"widths": widths}), 5)
        assert model(images()).shape == (2, 5, 4, 4)


def test_resnet50():
    with torch.device("meta"):
        model = ImageEncoder(ImageModel(architecture="resnet50"), 1024)
        assert model(torch.zeros(1, 3, 224, 224)).shape == (1, 1024, 7, 7)
    names = set(model.state_dict())
    assert {"trunk.conv1.weight", "trunk.layer4.2.bn3.running_var", "embedder.weight", "embedder.bias"} <= names
    assert not any("fc" in name for name in names)
    assert sum(p.numel() for p in model.trunk.parameters()) == 23_508_032


def test_weights_have_the_order_of_activations():
    """Or each pass would reorder them; narrow networks have the default order."""
    for widths, last in ((THIN.widths, True), ((8, 8, 8, 8), False)):
        model = ImageEncoder(THIN.model_copy(update={"widths": widths}), 5)
        kernels = [p for p in model.parameters() if p.ndim == 4 and p.shape[2:] == (3, 3)]
        assert {kernel.stride(1) == 1 for kernel in kernels} == {last}
        assert (model(images()).stride(1) == 1) == last


def test_bytes_are_scaled_and_normalised():
    model = ImageEncoder(THIN, 8).eval()
    mean, std = (torch.tensor(v)[None, :, None, None] for v in (MEAN, STD))
    with torch.no_grad():
        torch.testing.assert_close(model(images()), model((images().float() / 255 - mean) / std))
    assert not {"mean", "std"} & set(model.state_dict())


def test_train_embedder_only():
    model = ImageEncoder(ImageModel(architecture="thin_resnet", train_embedder_only=True), 8).train()
    assert [name for name, p in model.named_parameters() if p.requires_grad] == ["embedder.weight", "embedder.bias"]
    before = {name: x.clone() for name, x in model.trunk.state_dict().items()}
    model(images()).sum().backward()
    assert all(torch.equal(x, before[name]) for name, x in model.trunk.state_dict().items())
    assert model.training
    assert not model.trunk.training
    assert all(p.requires_grad for p in ImageEncoder(THIN, 8).parameters())


def test_a_narrow_network_trains_without_touching_foreign_memory():
    """In a process of its own: where it goes wrong the heap is damaged and the process dies."""
    code = (
        "import torch; from resdavenet_vq.config import ImageModel; import resdavenet_vq.model.image as module\n"
        "image = ImageModel(architecture='thin_resnet', widths=(4, 4, 6, 6), crop=32, resize=36)\n"
        "model = module.ImageEncoder(image, 8)\n"
        "for _ in range(40): model(torch.rand(4, 3, 32, 32)).sum().backward()"
    )
    subprocess.run([sys.executable, "-c", code], check=True, env=os.environ | {"OMP_NUM_THREADS": "1"})
