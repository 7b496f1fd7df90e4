"""What enters the quantizers of a network, utterance by utterance: the frames that `kmeans` clusters."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path

import numpy as np
import torch

from resdavenet_vq import devices
from resdavenet_vq.data.store import Store
from resdavenet_vq.encode.layers import check_layers, deepest
from resdavenet_vq.encode.split import run_audio
from resdavenet_vq.model import checkpoint


class Activations:
    """The layers `convN` of the model in a folder, for the clusters `quantN`; uses the GPU if there is one.

    Each utterance is encoded by itself, without padding. Raises InputError for a layer that no network has, and if
    values are not finite.
    """

    def __init__(self, folder: Path, data: Store, layers: Sequence[str]) -> None:
        self.data, self._folder = data, folder
        self._network, card = checkpoint.load(folder, audio_only=True)
        self.model = str(card["sha256"])
        names = [layer.replace("quant", "conv") for layer in layers]
        self._inputs = dict(zip(layers, check_layers(folder, self._network, names), strict=True))
        self._until = deepest(names)
        self._network.to(devices.device())

    def of(self, number: int) -> dict[str, np.ndarray]:
        """The frames (n, C) float32 of an utterance that enter each quantizer."""
        logmel = torch.from_numpy(self.data.logmel(number).astype(np.float32)).T[None].contiguous()
        name = f"utterance {self.data.ids[number]}"
        output = run_audio(self._folder, self._network, logmel, [logmel.shape[2]], self._until, name)
        found = {layer: output.layers[source] for layer, source in self._inputs.items()}
        return {layer: x.vectors[0, :, : x.n_frames[0]].T.cpu().numpy() for layer, x in found.items()}
