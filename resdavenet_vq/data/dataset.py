"""Batches from a store: choice, order and crops follow from seeds alone.

Shape legend: B batch, M mel bands, T frames. Order is a function of (seed, epoch), a crop of (seed,
epoch, utterance), so that batches are the same for any number of workers, and the parts of all ranks
together are the global batch.
"""

from __future__ import annotations

import math
from collections.abc import Iterable, Iterator
from dataclasses import dataclass
from itertools import batched
from typing import Literal, NamedTuple

import numpy as np
import torch
from PIL import Image
from torch import Tensor
from torch.utils.data import Dataset

from resdavenet_vq.config import ImageModel
from resdavenet_vq.data import images
from resdavenet_vq.data.features import N_MELS
from resdavenet_vq.data.loader import load
from resdavenet_vq.data.store import Store
from resdavenet_vq.errors import InputError

_FRAMES = 16  # batches are padded to a multiple: the audio network halves time four times

POOL = 8
"""Batches that are drawn together, and then dealt by length, with `batching` of similar lengths."""


class Batch(NamedTuple):
    """A rank's part of a training batch."""

    logmel: Tensor
    """(B, M, T) in dB, of the store's precision, padded at the right."""
    n_frames: Tensor
    """(B,) int64: frames before padding."""
    images: Tensor
    """(B, 3, crop, crop) uint8."""
    index: Tensor  # type: ignore[assignment]  # hides tuple.index, which a batch does not need
    """(B,) int64: the utterances' numbers in the store."""


def training_batches(
    store: Store,
    image: ImageModel,
    *,
    batch_size: int,
    pad_to: Literal["batch", "max_frames"],
    pad_value: float,
    seed: int,
    epoch: int,
    workers: int,
    batching: Literal["random", "similar_lengths"] = "random",
    rank: int = 0,
    world: int = 1,
    start_step: int = 0,
    last_epoch: int | None = None,
) -> Iterable[Batch]:
    """The batches of an epoch, counted from 1, in random order, beginning at `start_step`, without speech alone.

    With `last_epoch` those of the following epochs come after them, read ahead by the same workers.
    Which pairs share a batch is random, or their lengths are similar: see `by_length`.
    `batch_size` is the global batch's; rank r of `world` gets every world-th pair beginning with
    the r-th. The last batch may be short, so that a rank's part of it may even be empty. T is the same
    on every rank: the store's max_frames, or the global batch's longest rounded up to a multiple of 16.

    Raises InputError if the store has no pairs; a worker that dies raises RuntimeError.
    """
    pairs = np.flatnonzero(store.image_index >= 0)
    if not len(pairs):
        raise InputError(f"{store.path}: has no utterance with an image to train on")
    dataset = _TrainingBatches(store, image, pairs, batch_size, batching, pad_to, pad_value, seed, rank, world)
    steps = range((epoch - 1) * dataset.steps + start_step, (last_epoch or epoch) * dataset.steps)
    return load(dataset, steps, workers)


def evaluation_images(
    store: Store, image: ImageModel, batch_size: int, workers: int
) -> Iterable[tuple[Tensor, np.ndarray]]:
    """Every image of the store once, in order: center crops (b, 3, crop, crop) uint8 and image numbers (b,) int64."""
    batches = [np.array(numbers) for numbers in batched(range(len(store.image_ids)), batch_size)]
    return load(_EvaluationImages(store, image, batches), range(len(batches)), workers)


def equal_length_batches(
    store: Store, max_frames_in_batch: int, limit: int | None = None
) -> Iterator[tuple[Tensor, np.ndarray]]:
    """Every utterance, or the first `limit`, once, shortest first: features (b, M, T) float32 and numbers (b,) int64.

    Only utterances of equal length share a batch, so that there is no padding and no result depends on
    batch mates. A batch has at most `max_frames_in_batch` frames, and at least one utterance.
    """
    order = np.argsort(store.n_frames[:limit], kind="stable")
    for group in np.split(order, np.flatnonzero(np.diff(store.n_frames[order])) + 1):
        size = max(1, max_frames_in_batch // int(store.n_frames[group[0]]))
        for start in range(0, len(group), size):
            numbers = group[start : start + size]
            logmel = np.stack([store.logmel(int(number)) for number in numbers])
            yield torch.from_numpy(logmel.astype(np.float32)).transpose(1, 2).contiguous(), numbers


@dataclass
class _TrainingBatches(Dataset[Batch]):
    """The parts of one rank, by step; steps count on from epoch to epoch, whose order is cached."""

    store: Store
    image: ImageModel
    pairs: np.ndarray
    batch_size: int
    batching: str
    pad_to: str
    pad_value: float
    seed: int
    rank: int
    world: int
    _order: tuple[int, np.ndarray] | None = None

    @property
    def steps(self) -> int:
        return math.ceil(len(self.pairs) / self.batch_size)

    def order(self, epoch: int) -> np.ndarray:
        if self._order is None or self._order[0] != epoch:
            random = np.random.default_rng([self.seed, epoch])
            order = random.permutation(self.pairs)
            if self.batching == "similar_lengths":
                order = by_length(order, self.store.n_frames, self.batch_size, random)
            self._order = epoch, order
        return self._order[1]

    def __getitem__(self, steps_before: int) -> Batch:
        epoch, step = 1 + steps_before // self.steps, steps_before % self.steps
        store, whole = self.store, self.order(epoch)[step * self.batch_size : (step + 1) * self.batch_size]
        longest = math.ceil(store.n_frames[whole].max() / _FRAMES) * _FRAMES
        if self.pad_to == "max_frames":
            longest = store.attributes["max_frames"]
        part = whole[self.rank :: self.world]
        logmel = np.full((len(part), N_MELS, longest), self.pad_value, store.precision)
        crops = np.empty((len(part), 3, self.image.crop, self.image.crop), np.uint8)
        for i, number in enumerate(part.tolist()):
            logmel[i, :, : store.n_frames[number]] = store.logmel(number).T
            random = np.random.default_rng([self.seed, epoch, number])
            crops[i] = images.training_crop(_decode(store, int(store.image_index[number])), self.image, random)
        return Batch(*map(torch.from_numpy, (logmel, store.n_frames[part], crops, part)))


def by_length(order: np.ndarray, n_frames: np.ndarray, batch_size: int, random: np.random.Generator) -> np.ndarray:
    """Utterance numbers in an order whose batches hold utterances of similar length, and come in random order.

    `order` is random and decides which utterances meet: POOL batches at a time are sorted by their lengths `n_frames`,
    so an utterance meets others in each epoch. A short last batch stays as it is.
    """
    n_whole = len(order) // batch_size * batch_size
    pools = np.split(order[:n_whole], range(POOL * batch_size, n_whole, POOL * batch_size))
    batches = np.concatenate([pool[np.argsort(n_frames[pool], kind="stable")] for pool in pools])
    shuffled = random.permutation(batches.reshape(-1, batch_size))
    return np.concatenate([shuffled.ravel(), order[n_whole:]])


@dataclass(frozen=True)
class _EvaluationImages(Dataset[tuple[Tensor, np.ndarray]]):
    store: Store
    image: ImageModel
    batches: list[np.ndarray]

    def __getitem__(self, step: int) -> tuple[Tensor, np.ndarray]:
        numbers = self.batches[step]
        crops = [images.evaluation_crop(_decode(self.store, number), self.image) for number in numbers.tolist()]
        return torch.from_numpy(np.stack(crops)), numbers


def _decode(store: Store, number: int) -> Image.Image:
    data = store.image(number)
    try:
        return images.decode(data)
    except InputError as e:
        raise InputError(f"{store.path}: image {store.image_ids[number]} {e}; prepare the split again") from None
