"""Log-mel features as a baseline: raw, normalized, and as windows that are clustered; without PyTorch."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path

import numpy as np
from numpy.lib.stride_tricks import sliding_window_view

from resdavenet_vq.data.features import FRAME_PERIOD, N_MELS
from resdavenet_vq.data.store import Store
from resdavenet_vq.encode.features import LOGMEL, add_features, create_features
from resdavenet_vq.encode.frames import durations, split_name
from resdavenet_vq.encode.origin import Origin
from resdavenet_vq.lineage import frame_stride
from resdavenet_vq.progress import track
from resdavenet_vq.system import NORMALIZED, RAW, notation


def encode_logmel(store: Path, out: Path, *, normalize: bool = False) -> None:
    """Writes the log-mel features of a store as the layer `logmel` of a features file: a baseline without a model."""
    data = Store(store)
    origin = Origin("", notation(NORMALIZED if normalize else RAW), split_name(data), data.sha256, {})
    with create_features(out, data.ids, durations(data), origin) as file:
        rows = add_features(file, LOGMEL, N_MELS, np.maximum(data.n_frames, 1), FRAME_PERIOD)
        for i in track(range(len(data)), f"log-mel {data.path.stem}", unit="utterances"):
            rows.write(i, normalized(data.logmel(i)) if normalize else data.logmel(i))


def normalized(logmel: np.ndarray) -> np.ndarray:
    """The features (T, M) float32 of an utterance with mean 0 and variance 1 in each band; 0 in a constant band."""
    values = logmel.astype(np.float64)  # so that a constant band has no variance by rounding
    values -= values.mean(axis=0)
    deviation = np.where(np.ptp(logmel, axis=0) > 0, values.std(axis=0), np.inf)
    return (values / deviation).astype(np.float32)


def windows(features: np.ndarray, stride: int) -> np.ndarray:
    """What a layer with a stride sees at least: for each of its frames the features around it, one after another.

    Frame f of the layer is centred on frame `stride` f of the features (T, M), of which its window has `stride` on
    either side too, at a stride of 1 itself alone: 5 of them at 20 ms, 9 at 40 ms. Before the first and after the last
    frame these are repeated. Returns (max(T // stride, 1), width in frames x M).
    """
    sides = stride if stride > 1 else 0
    n = max(len(features) // stride, 1)
    padded = np.pad(features, ((sides, sides), (0, 0)), mode="edge")
    around = sliding_window_view(padded, 2 * sides + 1, axis=0)[::stride][:n]  # (n, M, width)
    return np.ascontiguousarray(around.transpose(0, 2, 1)).reshape(n, -1)


class LogMelWindows:
    """Windows of normalized log-mel features at the rates of quantizers: the frames that `kmeans` clusters."""

    model = ""

    def __init__(self, data: Store, layers: Sequence[str]) -> None:
        self.data, self.layers = data, layers

    def of(self, number: int) -> dict[str, np.ndarray]:
        """The frames (n, width) float32 of an utterance at the rate of each layer."""
        features = normalized(self.data.logmel(number))
        return {layer: windows(features, frame_stride(layer)) for layer in self.layers}
