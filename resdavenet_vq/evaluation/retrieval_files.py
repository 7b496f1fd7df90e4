"""From a file of embeddings to retrieval/{split}.json: scores of both directions, their conditions, hits and misses.

Apart from `retrieval`, so that training, which chooses its checkpoints by those scores, does not depend on file
formats.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any, NamedTuple

import numpy as np

from resdavenet_vq import config
from resdavenet_vq.encode.embeddings import EmbeddingsFile
from resdavenet_vq.errors import InputError
from resdavenet_vq.evaluation import retrieval
from resdavenet_vq.evaluation.availability import NO_IMAGE_BRANCH, NO_IMAGES
from resdavenet_vq.evaluation.bootstrap import Replicates
from resdavenet_vq.evaluation.retrieval_samples import replicate
from resdavenet_vq.files import together, write_json

EXAMPLES, ANSWERS = 8, 5
"""Numbers of hits, and of misses, in each direction, and of the best answers to each."""


def score(embeddings: Path, settings: config.Retrieval, out: Path, *, lineage: str) -> retrieval.RetrievalScores | None:
    """Scores an embeddings file and writes `out` (JSON), and the replicates of its scores beside it.

    Captions without an image are left out and counted. For a model without an image branch, and of a split without
    images, `out` says why there are no scores. Raises InputError naming the file if it is missing, incomplete, of another
    lineage or split, or if its images have no captions.
    """
    with EmbeddingsFile(embeddings) as file:
        file.origin.check(embeddings, lineage=lineage, split=settings.split)
        head = {"lineage": lineage, "origin": file.origin.to_dict()}
        (ids, image_ids, image_index, image_branch), speech, image = file.pairs, file.speech, file.image
    if not (image_branch and image_ids):
        write_why_not(out, head, image_branch, settings)
        return None
    pairs = retrieval.pair(image_index, len(image_ids))
    image_of = pairs.image_of
    if pairs.left_out["captions_without_image"]:
        ids, speech = [ids[j] for j in pairs.captions], speech[pairs.captions]
    if pairs.left_out["images_without_caption"]:
        image_ids, image = [image_ids[i] for i in pairs.images], image[pairs.images]
    try:
        ranks = retrieval.rank(image, speech, image_of)
    except InputError as e:
        raise InputError(f"{embeddings}: {e}") from None
    scores = retrieval.summarize(ranks, image_of, settings.recall_at)
    captions_of = np.split(np.argsort(image_of, kind="stable"), np.cumsum(np.bincount(image_of))[:-1])
    images, captions = _Side(image_ids, image, captions_of), _Side(ids, speech, list(image_of[:, None]))
    miss_from = max(settings.recall_at)
    conditions = retrieval.conditions(pairs, settings.split) | {
        "similarity": "dot product, not normalized",
        "rank": retrieval.RANK,
    }
    examples = {
        "image_to_speech": _examples(ranks.image_to_speech, images, captions, miss_from),
        "speech_to_image": _examples(ranks.speech_to_image, captions, images, miss_from),
    }
    replicates = replicate(ranks, scores, image_of, image_ids, task="retrieval", split=settings.split)
    value = scores.to_dict() | {"intervals": replicates.intervals, "conditions": conditions, "examples": examples}
    with together():
        replicates.write(out)
        write_json(out, head | value)
    return scores


def write_why_not(out: Path, head: Mapping[str, Any], image_branch: bool, settings: config.Retrieval) -> None:
    """Writes the files of a model or split without images: the reason, and no replicates."""
    reason = NO_IMAGES if image_branch else NO_IMAGE_BRANCH
    with together():
        Replicates().write(out)
        write_json(out, {**head, "not_available": reason, "conditions": {"split": settings.split}})


class _Side(NamedTuple):
    """Images, or captions."""

    ids: list[str]
    vectors: np.ndarray
    right: Sequence[np.ndarray]  # the numbers of what each should find on the other side


def _examples(ranks: np.ndarray, queries: _Side, items: _Side, miss_from: int) -> dict[str, list[dict[str, Any]]]:
    """The first queries of rank 0, and the first whose rank is at least `miss_from`, each with its best answers."""

    def example(query: int) -> dict[str, Any]:
        vector = queries.vectors[query].astype(np.float64)
        blocks = (
            items.vectors[i : i + retrieval.BLOCK].astype(np.float64)
            for i in range(0, len(items.vectors), retrieval.BLOCK)
        )
        scores = np.concatenate([retrieval.single(block @ vector) for block in blocks])  # as ranks are made from them
        right, answers = queries.right[query], np.argsort(-scores, kind="stable")[:ANSWERS].tolist()
        return {
            "query": queries.ids[query],
            "rank": int(ranks[query]),
            "right": [items.ids[i] for i in right],
            "answers": [{"id": items.ids[i], "score": float(scores[i]), "right": i in right} for i in answers],
        }

    chosen = {"hits": np.flatnonzero(ranks == 0), "misses": np.flatnonzero(ranks >= miss_from)}
    return {kind: [example(query) for query in numbers[:EXAMPLES].tolist()] for kind, numbers in chosen.items()}
