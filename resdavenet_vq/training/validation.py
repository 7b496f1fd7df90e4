"""Retrieval on the validation split, by which the best epoch is chosen."""

from __future__ import annotations

from contextlib import closing
from typing import TYPE_CHECKING

import numpy as np
import torch

from resdavenet_vq.data.dataset import equal_length_batches, evaluation_images
from resdavenet_vq.data.loader import shielded
from resdavenet_vq.evaluation.retrieval import evaluate

if TYPE_CHECKING:
    from collections.abc import Callable

    from resdavenet_vq.data.store import Store
    from resdavenet_vq.model.dual_encoder import DualEncoder

FRAMES_AT_ONCE = 1 << 14
"""Log-mel frames in a batch."""

IMAGES_AT_ONCE = 64


@torch.inference_mode()
def recalls(
    model: DualEncoder, store: Store, workers: int, device: torch.device, between: Callable[[], None]
) -> dict[str, float]:
    """R@1, R@5 and R@10 in both directions, and the mean of the two R@10, as columns of the history.

    Each batch holds utterances of equal length, so that no result depends on the batch; utterances without an image are
    left out. `between` is called between batches and may raise. Afterwards the model is in training mode.
    """
    model.eval()
    try:
        with_speech, image_index = np.unique(store.image_index[store.image_index >= 0], return_inverse=True)
        images = np.zeros((len(store.image_ids), model.settings.audio.widths[-1]), np.float32)
        with closing(shielded(evaluation_images(store, model.settings.image, IMAGES_AT_ONCE, workers))) as batches:
            for pixels, numbers in batches:
                images[numbers] = model.embed_image(model.image(pixels.to(device))).cpu().numpy()
                between()
        speech = np.zeros((len(store), images.shape[1]), np.float32)
        for logmel, numbers in equal_length_batches(store, FRAMES_AT_ONCE):
            n_frames = torch.full((len(logmel),), logmel.shape[2], device=device)
            speech[numbers] = model.embed_speech(model.audio(logmel.to(device), n_frames)).cpu().numpy()
            between()
    finally:
        model.train()
    scores = evaluate(images[with_speech], speech[store.image_index >= 0], image_index, (1, 5, 10))
    columns = {
        f"{name}_recall_at_{k}": r
        for name in ("image_to_speech", "speech_to_image")
        for k, r in getattr(scores, name).recall.items()
    }
    return columns | {"mean_recall_at_10": scores.mean_recall(10)}
