"""The network before training as a baseline: what its shape alone makes of speech."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import torch
from torch import nn

from resdavenet_vq.config import AudioModel, ImageModel, Model
from resdavenet_vq.data.store import Store
from resdavenet_vq.model import checkpoint
from resdavenet_vq.model.dual_encoder import DualEncoder
from resdavenet_vq.model.precision import true_float32
from resdavenet_vq.system import UNTRAINED, notation

BATCHES, BATCH_SIZE = 8, 32
"""Utterances whose statistics batch normalization gets."""


def make_untrained(audio: AudioModel, store: Path, out: Path, *, seed: int) -> None:
    """Writes the model of random weights to a folder: an audio network, without quantizers and without an image branch.

    Nothing is learned, but one thing is measured, as every training does on its way: the mean and variance of each
    channel before each batch normalization, over some random utterances, cut to one length for each batch. With the
    initial statistics, 0 and 1, the activations of a network in evaluation would have no sensible scale.
    """
    data = Store(store)
    model = Model(audio=audio, image=ImageModel(architecture="thin_resnet"))  # of which nothing is made
    with torch.random.fork_rng(devices=[]):
        torch.manual_seed(seed)
        network = DualEncoder(model, (), image_branch=False)
    norms = [module for module in network.modules() if isinstance(module, nn.BatchNorm2d)]
    momenta = [norm.momentum for norm in norms]
    for norm in norms:
        norm.momentum = None  # the mean over batches instead of a moving one
    order = np.random.default_rng(seed).permutation(len(data))[: BATCHES * BATCH_SIZE]
    with torch.no_grad(), true_float32():
        for numbers in np.array_split(order, max(1, len(order) // BATCH_SIZE)):
            length = int(data.n_frames[numbers].min())
            logmel = np.stack([data.logmel(number)[:length].T for number in numbers.tolist()]).astype(np.float32)
            network.train().audio(torch.from_numpy(logmel), torch.full((len(numbers),), length))
    for norm, momentum in zip(norms, momenta, strict=True):
        norm.momentum = momentum
    card = {"lineage": notation(UNTRAINED), "seed": seed, "data": data.sha256, "versions": checkpoint.versions()}
    checkpoint.save(out, network.eval(), card)
