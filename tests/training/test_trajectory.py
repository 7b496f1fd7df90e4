"""Eight steps of training against the arithmetic of the 2020 release."""

from pathlib import Path

import numpy as np
import pytest
import torch
from torch import nn

from resdavenet_vq import config
from resdavenet_vq.data.dataset import Batch
from resdavenet_vq.model.dual_encoder import DualEncoder
from resdavenet_vq.release.importing import audio_state
from resdavenet_vq.training import step

DATA = Path(__file__).parents[1] / "golden"


@pytest.mark.parametrize("threads", [1, 2])
def test_golden_trajectory(monkeypatch, threads):
    """The rounding of one sum of products, which depends on threads and processor, decides about a ReLU in
    step 4: in one branch all eight steps agree to 5e-6, in the other the sixth departs by 1e-4 and the last by 1e-1.
    """
    with np.load(DATA / "trajectory" / "expected.npz") as f:
        golden = {k: torch.from_numpy(np.asarray(f[k])) for k in f}
    with np.load(DATA / "audio_model" / "input.npz") as f:
        logmel, n_frames = torch.from_numpy(f["logmel"]), torch.from_numpy(f["n_frames"])
    settings = config.Model(
        audio=config.AudioModel(widths=(16, 16, 24, 32, 48)),
        image=config.ImageModel(architecture="thin_resnet"),
        quantizer=config.QuantizerModel(codebook_size=(24, 24, 40, 40, 40)),
    )
    model = DualEncoder(settings, (2, 3), image_branch=False)
    model.image = nn.Conv2d(3, 48, 4, stride=4)
    model.audio.load_state_dict(
        audio_state({k.removeprefix("audio."): v for k, v in golden.items() if k.startswith("audio.")})
    )
    model.image.load_state_dict({"weight": golden["image.weight"], "bias": golden["image.bias"]})
    model.train()
    training = config.Training(split="t", validation_split="v", learning_rate=2e-3, weight_decay=5e-7, jitter=0.0)
    optimizer = torch.optim.Adam(model.parameters(), lr=training.learning_rate, weight_decay=training.weight_decay)
    batch = Batch(logmel, n_frames, golden["images"], torch.arange(6))
    before = torch.get_num_threads()
    torch.set_num_threads(threads)
    try:
        for k, (impostors, expected) in enumerate(zip(golden["impostors"], golden["losses"], strict=True)):
            monkeypatch.setattr(step, "draw_impostors", lambda *_, chosen=impostors: chosen)
            losses = step.step_losses(model, batch, 6, (1, k), config.Recipe(), training)
            assert step.update(model, optimizer, losses)
            values = [losses.total.item(), *losses.parts.tolist()]
            tolerance = {"rel": 1e-4 if k < 6 else 1e-3, "abs": 1e-6 if k < 7 else 0.15}
            assert values == pytest.approx(expected.tolist(), **tolerance), f"step {k}"
    finally:
        torch.set_num_threads(before)
    quantizers = step.quantizers_of(model)
    torch.testing.assert_close(
        model.audio.stages[0][0].weight.squeeze(), golden["final_conv1"].squeeze(), rtol=0, atol=2e-3
    )
    for n in (2, 3):
        same = (quantizers[f"quant{n}"].codebook - golden[f"final_embedding{n}"]).abs() < 2e-3
        assert same.float().mean() > 0.9, f"quant{n}"
