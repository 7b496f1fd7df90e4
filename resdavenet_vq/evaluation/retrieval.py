"""Cross-modal retrieval: an image finds its captions, a caption finds its image. Ranks and scores, from arrays.

The similarity S[i, j] of image i and caption j is the dot product of their vectors (`matchmap` has others).
`image_index[j]` is the image of caption j: a caption has one image, an image several captions, its *positives*.

The *rank* of a query is the number of wrong items before its best-scoring positive: those that score strictly higher,
and of those that score the same (*ties*), the ones with a smaller index. That is the order of a stable sort, so rank 0
is the first place, and scores that are all the same earn what a fixed order earns by chance, never 100 %. The number of
queries whose rank such a tie touches is reported. R@k is the share of queries with a rank below k; with fewer than k
items it is 1.

Vectors are multiplied in double precision and the scores rounded to single precision before they are compared: which
scores tie then depends neither on the blocks nor on the BLAS. S is never whole in memory: `rank` makes it in blocks.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass
from typing import Any, NamedTuple

import numpy as np

from resdavenet_vq.errors import InputError

NO_PAIR = "there is no pair of image and caption to retrieve"
RANK = "wrong items before the best right one, 0 is the first place; ties in the order of the file"

BLOCK = 1024
"""Images and captions in a block of S: 8 MB in double precision."""


type Block = tuple[int, int, np.ndarray]
"""First row, first column and scores of a block of S."""


class Ranks(NamedTuple):
    """Of every query: the number of wrong items before its best positive, and whether a tie decides it."""

    image_to_speech: np.ndarray  # (I,) int64
    speech_to_image: np.ndarray  # (N,) int64
    image_tied: np.ndarray  # (I,) bool
    speech_tied: np.ndarray  # (N,) bool


class Pairing(NamedTuple):
    """The captions that have an image, and the images that have a caption."""

    captions: np.ndarray  # (N,) their numbers in the file
    images: np.ndarray  # (I,) likewise
    image_of: np.ndarray  # (N,) place among `images` of each caption's image
    left_out: dict[str, int]  # numbers of captions and of images


def pair(image_index: np.ndarray, n_images: int) -> Pairing:
    """The captions and images that can be retrieved; `image_index` (captions,) is -1 where there is no image."""
    captions = np.flatnonzero(image_index >= 0)
    images, image_of = np.unique(image_index[captions], return_inverse=True)
    left_out = {
        "captions_without_image": len(image_index) - len(captions),
        "images_without_caption": n_images - len(images),
    }
    return Pairing(captions, images, image_of, left_out)


def conditions(pairs: Pairing, split: str) -> dict[str, Any]:
    """What a score file says of the pairs."""
    return {"split": split, "images": len(pairs.images), "captions": len(pairs.captions), **pairs.left_out}


@dataclass(frozen=True, slots=True)
class Direction:
    """The scores of one direction; `chance` is the expected R@k of a random order."""

    recall: dict[int, float]
    chance: dict[int, float]
    median_rank: float
    mean_rank: float
    queries: int
    items: int
    ties: int

    def to_dict(self) -> dict[str, float]:
        """Plain names: `recall_at_10`, `chance_recall_at_10`, `median_rank`, ..."""
        return {
            **{f"recall_at_{k}": r for k, r in self.recall.items()},
            **{f"chance_recall_at_{k}": r for k, r in self.chance.items()},
            **{name: getattr(self, name) for name in ("median_rank", "mean_rank", "queries", "items", "ties")},
        }


@dataclass(frozen=True, slots=True)
class RetrievalScores:
    """Both directions. In the 2020 release's names, `A_r` is image to speech and `I_r` speech to image."""

    image_to_speech: Direction
    speech_to_image: Direction

    def mean_recall(self, k: int) -> float:
        """Mean of the two R@k: at 10, the number that chooses checkpoints."""
        return (self.image_to_speech.recall[k] + self.speech_to_image.recall[k]) / 2

    def to_dict(self) -> dict[str, dict[str, float]]:
        """Both directions by their names, each with its plain names."""
        return {"image_to_speech": self.image_to_speech.to_dict(), "speech_to_image": self.speech_to_image.to_dict()}


def validate(image: np.ndarray, speech: np.ndarray, image_index: np.ndarray) -> None:
    """Raises InputError unless vectors and index belong together, are finite, and every image has a caption."""
    if image.ndim != 2 or speech.ndim != 2 or image.shape[1] != speech.shape[1] or image_index.shape != (len(speech),):
        raise InputError(
            "retrieval needs image vectors (I, D), speech vectors (N, D) and an image index (N,), "
            f"not {image.shape}, {speech.shape} and {image_index.shape}"
        )
    for name, vectors in (("image", image), ("speech", speech)):
        finite = [np.isfinite(vectors[i : i + BLOCK]).all(axis=1) for i in range(0, len(vectors), BLOCK)]
        if len(bad := np.flatnonzero(~np.concatenate([*finite, np.ones(0, bool)]))):
            raise InputError(
                f"{len(bad)} of {len(vectors)} {name} vectors are not finite (the first is number {bad[0]}): "
                "the model diverged, train it again"
            )
    if not len(image_index):
        raise InputError(NO_PAIR)
    if (least := image_index.min()) < 0 or image_index.max() >= len(image):
        raise InputError(f"image_index must lie in 0 ... {len(image) - 1}, not {least} ... {image_index.max()}")
    if without := len(image) - len(np.unique(image_index)):
        raise InputError(f"{without} of {len(image)} images have no caption: leave them out")


def rank(image: np.ndarray, speech: np.ndarray, image_index: np.ndarray, block: int = BLOCK) -> Ranks:
    """Ranks of all queries in both directions from image (I, D), speech (N, D) and image_index (N,), in blocks of S."""
    validate(image, speech, image_index)
    positives = np.empty(len(speech), np.float32)
    for start in range(0, len(speech), block):
        part = slice(start, start + block)
        scores = np.einsum("nd,nd->n", image[image_index[part]].astype(np.float64), speech[part].astype(np.float64))
        positives[part] = single(scores)

    def blocks() -> Iterator[Block]:
        for i in range(0, len(image), block):
            rows = image[i : i + block].astype(np.float64)
            for j in range(0, len(speech), block):
                yield i, j, single(rows @ speech[j : j + block].astype(np.float64).T)

    return count_ranks(blocks(), positives, image_index, len(image))


def single(scores: np.ndarray) -> np.ndarray:
    """Scores in single precision. Raises InputError if some leave its range."""
    with np.errstate(over="ignore"):
        single = scores.astype(np.float32)
    if not np.isfinite(single).all():
        raise InputError("similarities leave the range of single precision: the model diverged, train it again")
    return single


def count_ranks(blocks: Iterable[Block], positives: np.ndarray, image_index: np.ndarray, n_images: int) -> Ranks:
    """Ranks from blocks that cover S, and each caption's score (N,) with its image.

    Blocks are overwritten. `positives` must be rounded as the blocks are, see `single`.
    """
    n_captions = len(image_index)
    order = np.lexsort((np.arange(n_captions), -positives, image_index))
    best = order[np.searchsorted(image_index[order], np.arange(n_images))]  # (I,) caption, each image's best positive
    right = {1: (positives[best][:, None], best), 0: (positives, image_index)}  # by the axis of the items
    result = Ranks(*(np.zeros(n, dtype) for dtype in (np.int64, bool) for n in (n_images, n_captions)))
    by_image = np.argsort(image_index, kind="stable")
    sorted_images = image_index[by_image]
    for i, j, scores in blocks:
        rows, columns = slice(i, i + scores.shape[0]), slice(j, j + scores.shape[1])
        own = by_image[slice(*np.searchsorted(sorted_images, (rows.start, rows.stop)))]
        own = own[(own >= columns.start) & (own < columns.stop)]
        scores[image_index[own] - i, own - j] = -np.inf  # positives never count against themselves
        for axis, queries, begin, rank, tied in (
            (1, rows, j, result.image_to_speech, result.image_tied),
            (0, columns, i, result.speech_to_image, result.speech_tied),
        ):
            target, item = right[axis][0][queries], right[axis][1][queries] - begin
            higher = np.count_nonzero(scores > target, axis=axis)
            same = np.count_nonzero(scores >= target, axis=axis) - higher
            rank[queries] += higher
            if same.any():
                tied[queries] |= same > 0
                where = np.nonzero(scores == target)
                query, other = where[1 - axis], where[axis]
                rank[queries] += np.bincount(query[other < item[query]], minlength=len(rank[queries]))
    return result


def chance_recall(n_positives: np.ndarray, n_items: int, k: int) -> float:
    """The expected R@k of a random order, a mean over queries; `n_positives` (Q,) are right answers of `n_items`."""
    missed = np.ones(len(n_positives))
    for place in range(min(k, n_items)):
        missed *= np.clip(n_items - n_positives - place, 0, None) / (n_items - place)
    return float(1 - missed.mean())


def summarize(ranks: Ranks, image_index: np.ndarray, recall_at: Sequence[int] = (1, 5, 10)) -> RetrievalScores:
    """R@k, median and mean rank of both directions; `image_index` (N,) as in `rank`."""
    n_images, n_captions = len(ranks.image_to_speech), len(ranks.speech_to_image)
    captions_of_image = np.bincount(image_index, minlength=n_images)

    def direction(rank: np.ndarray, tied: np.ndarray, n_positives: np.ndarray, n_items: int) -> Direction:
        return Direction(
            recall={k: float(np.mean(rank < k)) for k in recall_at},
            chance={k: chance_recall(n_positives, n_items, k) for k in recall_at},
            median_rank=float(np.median(rank)),
            mean_rank=float(np.mean(rank)),
            queries=len(rank),
            items=n_items,
            ties=int(tied.sum()),
        )

    return RetrievalScores(
        direction(ranks.image_to_speech, ranks.image_tied, captions_of_image, n_captions),
        direction(ranks.speech_to_image, ranks.speech_tied, np.ones(n_captions, np.int64), n_images),
    )


def evaluate(
    image: np.ndarray, speech: np.ndarray, image_index: np.ndarray, recall_at: Sequence[int] = (1, 5, 10)
) -> RetrievalScores:
    """Both directions from image vectors (I, D), speech vectors (N, D) and the image of each caption (N,).

    Raises InputError for vectors that are not finite, shapes that do not fit, and images without a caption.
    """
    return summarize(rank(image, speech, image_index), image_index, recall_at)
