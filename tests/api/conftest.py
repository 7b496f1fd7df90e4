"""Recordings and pictures, and models of every kind that an encoder can come from."""

import numpy as np
import pytest
import soundfile
import torch
from encode.recordings import LENGTHS
from PIL import Image

from resdavenet_vq.config import AudioModel, ImageModel, Model, QuantizerModel
from resdavenet_vq.data.features import log_mel
from resdavenet_vq.model import checkpoint
from resdavenet_vq.model.dual_encoder import DualEncoder

TRAINING = {"epochs": 4, "batch_size": 8, "seed": 1}
CARD = {"lineage": "{}->{2,3}", "training": TRAINING, "recipe": {"jitter": "published"}, "epoch": 3}
SCORES = {"mean_recall_at_10": 0.25}


def noise(rng, n):
    """(n,) samples whose loudness changes."""
    loudness = np.interp(np.arange(n), np.linspace(0, n, 40), rng.uniform(0.001, 0.4, 40))
    return (rng.normal(size=n) * loudness).clip(-1, 1)


def network(quantizers, *, image_branch=True):
    torch.manual_seed(0)
    settings = Model(
        audio=AudioModel(widths=(4, 6, 6, 8, 10), blocks_per_stage=1),
        image=ImageModel(architecture="thin_resnet", widths=(4, 4, 4, 4), crop=64, resize=72),
        quantizer=QuantizerModel(codebook_size=12, init_nonnegative=True),
    )
    model = DualEncoder(settings, quantizers, image_branch=image_branch).eval()
    logmel = torch.from_numpy(log_mel(noise(np.random.default_rng(1), 256_000).astype(np.float32)).T.copy())[None]
    with torch.no_grad():  # codebooks of frames, so that many codes are used
        for n in sorted(quantizers):
            frames = model.audio(logmel, torch.tensor([logmel.shape[2]])).layers[f"conv{n}"].vectors[0].T
            model.audio.get_buffer(f"quantizers.quant{n}.codebook").copy_(frames[:: len(frames) // 12][:12])
    return model


@pytest.fixture(scope="session")
def folder(tmp_path_factory):
    """`model` with both networks, `speech` without that of images, `none` without quantizers; wavs and pictures."""
    folder = tmp_path_factory.mktemp("api")
    rng = np.random.default_rng(0)
    for i, n in enumerate(LENGTHS.values()):
        soundfile.write(folder / f"{i}.wav", noise(rng, n), 16000)
    for i, size in enumerate([(80, 74), (90, 140), (125, 100)]):
        Image.fromarray(rng.integers(0, 256, (*size, 3), np.uint8)).save(folder / f"{i}.png")
    checkpoint.save(folder / "model", network((2, 3)), CARD | {"scores": SCORES})
    checkpoint.save(folder / "none", network(()), {"lineage": "{}"})
    checkpoint.save(folder / "speech", network((2,), image_branch=False), {"lineage": "{2}"})
    return folder


@pytest.fixture(scope="session")
def wavs(folder):
    return sorted(folder.glob("*.wav"))


@pytest.fixture(scope="session")
def pictures(folder):
    return sorted(folder.glob("*.png"))
