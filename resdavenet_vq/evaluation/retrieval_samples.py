"""Replicates of retrieval scores. Apart from `retrieval`, for a training has no intervals."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np

from resdavenet_vq.evaluation.bootstrap import Replicates, Resamples
from resdavenet_vq.evaluation.retrieval import Ranks, RetrievalScores


def replicate(
    ranks: Ranks, scores: RetrievalScores, image_index: np.ndarray, image_ids: Sequence[str], *, task: str, split: str
) -> Replicates:
    """Replicates of every R@k. An image and all its captions are drawn together; what they are searched in stays."""
    images, captions = Resamples.of(image_ids), np.bincount(image_index, minlength=len(image_ids))
    n_images, n_captions = images.sums(np.ones(len(image_ids))), images.sums(captions)
    result = Replicates()
    for k, recall in scores.image_to_speech.recall.items():
        found = np.bincount(image_index, ranks.speech_to_image < k, minlength=len(image_ids))
        forth = images.share(images.sums(ranks.image_to_speech < k), n_images)
        back = images.share(images.sums(found), n_captions)
        other = scores.speech_to_image.recall[k]
        for direction, score, replicates in (
            ("image_to_speech", recall, forth),
            ("speech_to_image", other, back),
            ("mean", (recall + other) / 2, (forth + back) / 2),
        ):
            result.add((task, split, direction, f"recall_at_{k}"), score, replicates)
    return result
