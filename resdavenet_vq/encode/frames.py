"""The frames of layers in time, and what a store says of its utterances; without PyTorch."""

from __future__ import annotations

import numpy as np

from resdavenet_vq.data.features import FRAME_PERIOD, HOP_LENGTH, SAMPLE_RATE
from resdavenet_vq.data.store import Store
from resdavenet_vq.lineage import frame_stride


def frame_period(layer: str) -> float:
    """Seconds from one frame of a layer to the next."""
    return round(FRAME_PERIOD * frame_stride(layer), 9)


def n_layer_frames(n_frames: np.ndarray, layer: str) -> np.ndarray:
    """The frames (N,) in a layer of utterances with (N,) log-mel frames, at least one each."""
    return np.asarray(np.maximum(n_frames // frame_stride(layer), 1))


def durations(data: Store) -> np.ndarray:
    """Seconds (N,) of audio, of a cut utterance up to the cut."""
    return np.asarray(np.minimum(data.n_samples, data.n_frames * HOP_LENGTH) / SAMPLE_RATE)


def split_name(data: Store) -> str:
    """The name of a store's file without `.h5`, or of the folder of its parts."""
    return data.path.name if data.path.is_dir() else data.path.stem
