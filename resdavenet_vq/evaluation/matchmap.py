"""The matchmap, the dot products of every cell of an image with every frame of a caption, and retrieval scores from it.

After Harwath et al. (2018), "Jointly discovering visual objects and spoken words": with M[p, t] the product of cell p
and frame t,

* *SISA* is the mean over cells and frames: the dot product of the pooled vectors, up to rounding;
* *MISA* is the mean over frames of the best cell;
* *SIMA* is the mean over cells of the best frame.

Only a caption's own frames count. Products are made in double precision, in blocks of bounded memory, and rounded as
`retrieval` rounds them.
"""

from __future__ import annotations

from collections.abc import Iterator
from itertools import pairwise
from pathlib import Path
from typing import Literal

import numpy as np

from resdavenet_vq import config
from resdavenet_vq.encode.maps import MapsFile
from resdavenet_vq.errors import InputError
from resdavenet_vq.evaluation import retrieval
from resdavenet_vq.evaluation.retrieval_files import write_why_not
from resdavenet_vq.evaluation.retrieval_samples import replicate
from resdavenet_vq.files import together, write_json

type Similarity = Literal["sisa", "misa", "sima"]

DESCRIPTIONS: dict[Similarity, str] = {
    "sisa": "matchmap, mean over cells and frames",
    "misa": "matchmap, mean over frames of the best cell",
    "sima": "matchmap, mean over cells of the best frame",
}

AT_ONCE = 2048, 4096
"""Cells and frames in a block, unless one image or one caption has more: 64 MB in double precision."""


def similarities(cells: np.ndarray, frames: np.ndarray, first: np.ndarray, similarity: Similarity) -> np.ndarray:
    """Scores (I, N) float64 of images' cells (I, P, D) and captions' frames (F, D), one caption after another.

    `first` (N,) is the first frame of each caption, which has at least one.
    """
    n_images, n_cells, width = cells.shape
    products = cells.reshape(-1, width).astype(np.float64) @ frames.astype(np.float64).T
    matchmap = products.reshape(n_images, n_cells, len(frames))
    if similarity == "sima":
        best: np.ndarray = np.maximum.reduceat(matchmap, first, axis=2).mean(axis=1)
        return best
    over_cells = matchmap.max(axis=1) if similarity == "misa" else matchmap.mean(axis=1)
    means: np.ndarray = np.add.reduceat(over_cells, first, axis=1) / np.diff(np.append(first, len(frames)))
    return means


def evaluate(
    maps: MapsFile,
    similarity: Similarity,
    recall_at: tuple[int, ...] = (1, 5, 10),
    at_once: tuple[int, int] = AT_ONCE,
) -> tuple[retrieval.RetrievalScores, retrieval.Pairing, retrieval.Ranks]:
    """Scores of both directions, the captions and images that have them, and their ranks.

    `at_once` are cells and frames in a block.

    Raises InputError without pairs and for values that are not finite.
    """
    pairs = retrieval.pair(maps.image_index, len(maps.image_ids))
    if not len(pairs.captions):
        raise InputError(f"{maps.path}: {retrieval.NO_PAIR}")
    own = zip(pairs.images[pairs.image_of][:, None], pairs.captions[:, None], strict=True)
    positives = np.concatenate([_scores(maps, image, caption, similarity)[0] for image, caption in own])
    blocks = _blocks(maps, pairs, similarity, at_once)
    ranks = retrieval.count_ranks(blocks, positives, pairs.image_of, len(pairs.images))
    return retrieval.summarize(ranks, pairs.image_of, recall_at), pairs, ranks


def _blocks(
    maps: MapsFile, pairs: retrieval.Pairing, similarity: Similarity, at_once: tuple[int, int]
) -> Iterator[retrieval.Block]:
    images_at_once = max(1, at_once[0] // (maps.shape[0] * maps.shape[1]))
    n_frames = np.diff(maps.offsets)[pairs.captions]
    begins = [0]
    while (begin := begins[-1]) < len(n_frames):
        begins.append(begin + max(1, int(np.searchsorted(np.cumsum(n_frames[begin:]), at_once[1], side="right"))))
    for i in range(0, len(pairs.images), images_at_once):
        images = pairs.images[i : i + images_at_once]
        for begin, end in pairwise(begins):
            yield i, begin, _scores(maps, images, pairs.captions[begin:end], similarity)


def _scores(maps: MapsFile, images: np.ndarray, captions: np.ndarray, similarity: Similarity) -> np.ndarray:
    """Scores of some images with some captions, by their numbers, in single precision."""
    cells = np.stack([maps.cells(i) for i in images.tolist()])
    frames = [maps.frames(j) for j in captions.tolist()]
    first = np.cumsum([0, *map(len, frames[:-1])])
    scores = similarities(cells.reshape(len(cells), -1, cells.shape[-1]), np.concatenate(frames), first, similarity)
    try:
        return retrieval.single(scores)
    except InputError as e:
        raise InputError(f"{maps.path}: {e}") from None


def score(
    maps: Path, similarity: Similarity, settings: config.Retrieval, out: Path, *, lineage: str
) -> retrieval.RetrievalScores | None:
    """Scores a maps file by one of the similarities and writes `out` (JSON), likewise `retrieval_files.score`."""
    with MapsFile(maps) as file:
        file.origin.check(maps, lineage=lineage, split=settings.split)
        value = {"lineage": lineage, "origin": file.origin.to_dict(), "matchmap": similarity}
        if not (file.image_branch and file.image_ids):
            write_why_not(out, value, file.image_branch, settings)
            return None
        scores, pairs, ranks = evaluate(file, similarity, settings.recall_at)
        image_ids = [file.image_ids[i] for i in pairs.images]
        conditions = retrieval.conditions(pairs, settings.split) | {
            "cells": list(file.shape),
            "frame_period": file.frame_period,
            "similarity": DESCRIPTIONS[similarity],
            "rank": retrieval.RANK,
        }
    task = f"retrieval_{similarity}"
    replicates = replicate(ranks, scores, pairs.image_of, image_ids, task=task, split=settings.split)
    with together():
        replicates.write(out)
        write_json(out, value | scores.to_dict() | {"intervals": replicates.intervals, "conditions": conditions})
    return scores
