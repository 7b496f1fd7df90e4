"""The recordings and models of these tests."""

import h5py
import numpy as np
import torch
from typer.testing import CliRunner

from resdavenet_vq.commands import app, encode, score  # noqa: F401 - they add their commands
from resdavenet_vq.config import AudioModel, ImageModel, Model, QuantizerModel
from resdavenet_vq.model.dual_encoder import DualEncoder

LENGTHS = {"a": 30_000, "b": 4000, "sub/c": 30_000, "sub/d": 100, "sub/deep/e.x": 61_234}
LAYERS = ("conv2", "quant2", "quant3", "conv5")


def model_of(quantizers, features="published"):
    torch.manual_seed(0)
    settings = Model(
        audio=AudioModel(widths=(4, 6, 6, 8, 10), blocks_per_stage=1, features=features),
        image=ImageModel(architecture="thin_resnet", widths=(4, 4, 4, 4), crop=16, resize=20),
        quantizer=QuantizerModel(codebook_size=12, init_nonnegative=True),
    )
    return DualEncoder(settings, quantizers)


def codes_of(path, layer):
    with h5py.File(path) as f:
        return dict(zip(f["ids"].asstr(), np.split(f[layer]["codes"][:], f[layer]["offsets"][1:-1]), strict=True))


def run(*arguments):
    return CliRunner().invoke(app, [str(a) for a in arguments])
