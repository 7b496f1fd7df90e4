"""The layers of a model: which it has, their widths and codebooks, and the files that take their rows."""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from contextlib import ExitStack
from pathlib import Path
from typing import Any

import numpy as np

from resdavenet_vq.encode.codes import add_codes, create_codes
from resdavenet_vq.encode.features import add_features, add_quantized, create_features, is_quantized
from resdavenet_vq.encode.frames import frame_period, n_layer_frames
from resdavenet_vq.encode.hdf5_output import Rows
from resdavenet_vq.encode.origin import Origin
from resdavenet_vq.errors import InputError
from resdavenet_vq.lineage import layer_position
from resdavenet_vq.model.dual_encoder import DualEncoder


def start_codes(
    stack: ExitStack,
    path: Path,
    network: DualEncoder,
    ids: Sequence[str],
    manifest: Iterable[Mapping[str, Any]],
    n_frames: np.ndarray,
    origin: Origin,
) -> dict[str, Rows]:
    """A codes file of all quantizers that are on; `n_frames` (N,) are the utterances' log-mel frames."""
    file = stack.enter_context(create_codes(path, ids, manifest, origin))
    layers = [f"quant{number}" for number in network.quantizers]
    return {
        layer: add_codes(file, layer, codebook(network, layer), n_layer_frames(n_frames, layer), frame_period(layer))
        for layer in layers
    }


def start_features(
    stack: ExitStack,
    path: Path,
    network: DualEncoder,
    layers: Sequence[str],
    ids: Sequence[str],
    durations: np.ndarray,
    n_frames: np.ndarray,
    origin: Origin,
) -> dict[str, Rows]:
    """A features file of some layers; `n_frames` (N,) are the utterances' log-mel frames. Of quantizers, rows are codes."""
    file = stack.enter_context(create_features(path, ids, durations, origin))
    rows = {}
    for layer in layers:
        about = n_layer_frames(n_frames, layer), frame_period(layer)
        if is_quantized(layer):
            rows[layer] = add_quantized(file, layer, codebook(network, layer), *about)
        else:
            rows[layer] = add_features(file, layer, layer_width(network, layer), *about)
    return rows


def layer_width(network: DualEncoder, layer: str) -> int:
    """Values in a frame of a layer."""
    return network.settings.audio.widths[layer_position(layer) - 1]


def codebook(network: DualEncoder, layer: str) -> np.ndarray:
    """The code vectors (K, C) float32 of a quantizer that is on."""
    return np.asarray(network.audio.get_buffer(f"quantizers.{layer}.codebook").cpu())


def check_layers(model: Path, network: DualEncoder, layers: Sequence[str]) -> list[str]:
    """The layers, each once. Raises InputError if the model lacks one."""
    quantizers = [f"quant{n}" for n in network.quantizers]
    for layer in layers:
        try:
            layer_position(layer)
        except ValueError as e:
            raise InputError(str(e)) from None
        if is_quantized(layer) and layer not in quantizers:
            on = ", ".join(quantizers) or "none"
            raise InputError(f"{model}: {layer} is off in this model (on: {on}); ask for another layer")
    return list(dict.fromkeys(layers))


def deepest(layers: Sequence[str]) -> str | None:
    """The last layer that must be computed; a quantizer comes after the layer that enters it."""
    return max(layers, key=lambda layer: (layer_position(layer), is_quantized(layer)), default=None)
