"""From a file of embeddings to retrieval.json: scores in both directions, their conditions, a few hits and misses."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path
from typing import Any, NamedTuple

import numpy as np

from resdavenet_vq import config
from resdavenet_vq.encode.embeddings import EmbeddingsFile
from resdavenet_vq.errors import InputError
from resdavenet_vq.evaluation.retrieval import BLOCK, Ranks, RetrievalScores, ranks, single, summarize
from resdavenet_vq.files import write_json

NO_IMAGE_BRANCH = "the model has no image branch"

RANK = "wrong items before the best right one, 0 is the first place; ties in the order of the file"

EXAMPLES, ANSWERS = 8, 5
"""Hits, and misses, that `score` writes down in each direction, and the best answers of each."""


class Paired(NamedTuple):
    """The captions that have an image, and the images that have a caption."""

    captions: np.ndarray
    """(N,) their numbers in the file"""
    images: np.ndarray
    """(I,) likewise"""
    image_of: np.ndarray
    """(N,) place among `images` of each caption's image"""
    left_out: dict[str, int]
    """How many of both are left out."""


def paired(image_index: np.ndarray, n_images: int) -> Paired:
    """What can be retrieved; `image_index` (all captions,) is -1 where a caption has no image."""
    captions = np.flatnonzero(image_index >= 0)
    images, image_of = np.unique(image_index[captions], return_inverse=True)
    left_out = {
        "captions_without_image": len(image_index) - len(captions),
        "images_without_caption": n_images - len(images),
    }
    return Paired(captions, images, image_of, left_out)


def score(embeddings: Path, settings: config.Retrieval, out: Path, *, lineage: str) -> RetrievalScores | None:
    """Scores an embeddings file and writes retrieval.json: both directions, their conditions, a few hits and misses.

    Captions without an image are left out and counted. Of a model without an image branch it writes that there are no
    scores, and why. Raises InputError naming the file if it is missing, incomplete or without pairs.
    """
    with EmbeddingsFile(embeddings) as file:
        (ids, image_ids, image_index, image_branch), speech, image = file.pairs, file.speech, file.image
    if not image_branch:
        write_json(out, {"lineage": lineage, "not_available": NO_IMAGE_BRANCH, "conditions": {"split": settings.split}})
        return None
    pairs = paired(image_index, len(image_ids))
    image_of = pairs.image_of
    if pairs.left_out["captions_without_image"]:
        ids, speech = [ids[j] for j in pairs.captions], speech[pairs.captions]
    if pairs.left_out["images_without_caption"]:
        image_ids, image = [image_ids[i] for i in pairs.images], image[pairs.images]
    try:
        found = ranks(image, speech, image_of)
    except InputError as e:
        raise InputError(f"{embeddings}: {e}") from None
    scores = summarize(found, image_of, settings.recall_at)
    conditions = {
        "split": settings.split,
        "images": len(image),
        "captions": len(speech),
        **pairs.left_out,
        "similarity": "dot product, not normalized",
        "rank": RANK,
    }
    write_json(
        out,
        {"lineage": lineage}
        | scores.to_dict()
        | {
            "conditions": conditions,
            "examples": _both_examples(found, image, speech, image_of, (image_ids, ids), max(settings.recall_at)),
        },
    )
    return scores


def _both_examples(
    found: Ranks,
    image: np.ndarray,
    speech: np.ndarray,
    image_of: np.ndarray,
    names: tuple[list[str], list[str]],
    miss_from: int,
) -> dict[str, Any]:
    """Hits and misses of both directions; `names` are the ids of images and of captions."""
    captions_of = np.split(np.argsort(image_of, kind="stable"), np.cumsum(np.bincount(image_of))[:-1])
    return {
        "image_to_speech": _examples(found.image_to_speech, image, speech, captions_of, names, miss_from),
        "speech_to_image": _examples(
            found.speech_to_image, speech, image, list(image_of[:, None]), names[::-1], miss_from
        ),
    }


def _examples(
    rank: np.ndarray,
    vectors: np.ndarray,
    items: np.ndarray,
    right: Sequence[np.ndarray],
    names: Sequence[list[str]],
    miss_from: int,
) -> Any:
    """The first queries that hit at once, and the first whose rank is at least `miss_from`, each with its best answers.

    Query q has the vector `vectors[q]` and the right items `right[q]`; `names` are the ids of queries and of items.
    """

    def told(query: int) -> dict[str, Any]:
        scores = _scores(items, vectors[query])
        answers = np.argsort(-scores, kind="stable")[:ANSWERS].tolist()
        return {
            "query": names[0][query],
            "rank": int(rank[query]),
            "right": [names[1][i] for i in right[query]],
            "answers": [{"id": names[1][i], "score": float(scores[i]), "right": i in right[query]} for i in answers],
        }

    chosen = {"hits": np.flatnonzero(rank == 0), "misses": np.flatnonzero(rank >= miss_from)}
    return {kind: [told(q) for q in queries[:EXAMPLES].tolist()] for kind, queries in chosen.items()}


def _scores(vectors: np.ndarray, query: np.ndarray) -> np.ndarray:
    """The scores (M,) of all vectors (M, D) for one query vector (D,), as `ranks` sees them."""
    return np.concatenate(
        [
            single(vectors[i : i + BLOCK].astype(np.float64) @ query.astype(np.float64))
            for i in range(0, len(vectors), BLOCK)
        ]
    )
