"""k-means as a baseline of quantizers: clusters of frames, fitted while they are streamed, and the codes that they give.

What is clustered comes from a `Frames`: windows of normalized log-mel features (`logmel`), or what enters the
quantizers of a network (`activations`). The clusters of the layer `quantN` have the rate of quantizer N. They start by
k-means++ on a random sample, are refined by scikit-learn's MiniBatchKMeans while random utterances pass in random order,
and end by two iterations of k-means over all of them: within two percent of the inertia that k-means reaches with all
frames in memory. In memory are the sample, a batch, and as many frames as `KEPT_BYTES` hold, never more of a split. One
thread computes, so that the result does not depend on how many there are.

Layout of `kmeans.h5`: for every `quantN` a group with `centers` (K, C) float32 and the attributes `frame_period` in
seconds, `frames`, their number in a pass, and `inertia`, the mean squared distance of frames from the nearest center
before the last pass moved the centers.
"""

from __future__ import annotations

from collections.abc import Mapping
from contextlib import ExitStack
from pathlib import Path
from typing import TYPE_CHECKING, Protocol

import numpy as np
from scipy.sparse import csr_array

from resdavenet_vq.data.store import Store
from resdavenet_vq.encode.codes import add_codes, create_codes
from resdavenet_vq.encode.features import add_quantized, create_features
from resdavenet_vq.encode.frames import durations, frame_period, n_layer_frames, split_name
from resdavenet_vq.encode.hdf5 import EncodedFile, layer_names
from resdavenet_vq.encode.hdf5_output import create
from resdavenet_vq.encode.origin import Origin
from resdavenet_vq.errors import InputError
from resdavenet_vq.files import sha256
from resdavenet_vq.hdf5 import GuardedFile
from resdavenet_vq.progress import track

if TYPE_CHECKING:
    from sklearn.cluster import MiniBatchKMeans

PASSES = 3
"""Over the frames: in the first, centers move with every batch; after each of the others, to the means of their frames."""

SAMPLE_FRAMES = 10
"""Frames for each cluster in the sample that clusters start from."""

BATCH_FRAMES = 8
"""Frames for each cluster in a batch, at least."""

KEPT_BYTES = 1 << 28
"""Of frames that later passes find again instead of making them again."""

ROWS = 4096
"""Frames that are compared with the centers at once."""


class Frames(Protocol):
    """The frames of a split that are clustered."""

    data: Store
    model: str
    """SHA-256 of the weights of the network that makes them; "" for log-mel windows."""

    def of(self, number: int) -> Mapping[str, np.ndarray]:
        """Of an utterance, given by its number, the frames (n, C) float32 at the rate of each layer `quantN`."""


class Clusters(EncodedFile):
    """The `centers` (K, C) float32 of each layer. `sha256` is that of the file, `origin` says what was clustered."""

    kind = "clusters"

    def _read(self, file: GuardedFile) -> None:
        self.centers: dict[str, np.ndarray] = {}
        for layer in layer_names(file):
            centers = file.numbers(f"{layer}/centers", [np.float32], (None, None))[:]
            self._check(centers.size > 0 and bool(np.isfinite(centers).all()), f"the centers of {layer}")
            self.centers[layer] = centers
        self.sha256 = sha256(self.path)


def fit(frames: Frames, sizes: Mapping[str, int], out: Path, *, utterances: int, seed: int, lineage: str) -> None:
    """Clusters the frames of at most `utterances` random utterances and writes `out`, with its digest.

    `sizes` has the number of clusters of each layer that `frames` has; where there are fewer frames, each is a cluster.
    `lineage` is what tables call the result. Equal data, sizes and seeds give equal files.
    """
    from threadpoolctl import threadpool_limits

    data, rng = frames.data, np.random.default_rng(seed)
    frames = _Kept(frames)
    chosen = rng.permutation(len(data))[:utterances]
    n_frames = {layer: int(n_layer_frames(data.n_frames[chosen], layer).sum()) for layer in sizes}
    with threadpool_limits(1):
        sample = _sample(
            frames, chosen, {layer: SAMPLE_FRAMES * k / n_frames[layer] for layer, k in sizes.items()}, rng
        )
        fits = {layer: _Fit(sample.pop(layer), k, seed) for layer, k in sizes.items()}
        for number in range(1, PASSES + 1):
            order = rng.permutation(chosen).tolist()
            for utterance in track(order, f"k-means, pass {number} of {PASSES}", unit="utterances"):
                for layer, some in frames.of(utterance).items():
                    fits[layer].add(some, online=number == 1)
            for fit_of_layer in fits.values():
                fit_of_layer.end_pass(online=number == 1)
    origin = Origin(frames.model, lineage, split_name(data), data.sha256, {})
    with create(out, Clusters.kind, origin) as file:
        for layer, fitted in fits.items():
            group = file.create_group(layer)
            group["centers"] = fitted.centers
            group.attrs.update(frame_period=frame_period(layer), frames=n_frames[layer], inertia=fitted.inertia)


class _Kept:
    """Frames that are made once, those that are asked for first, as far as `KEPT_BYTES` reach."""

    def __init__(self, frames: Frames) -> None:
        self.data, self.model, self._make = frames.data, frames.model, frames.of
        self._kept: dict[int, Mapping[str, np.ndarray]] = {}
        self._left = KEPT_BYTES

    def of(self, number: int) -> Mapping[str, np.ndarray]:
        if number in self._kept:
            return self._kept[number]
        made = self._make(number)
        size = sum(some.nbytes for some in made.values())
        if size <= self._left:
            self._kept[number] = made
            self._left -= size
        return made


def _sample(
    frames: Frames, chosen: np.ndarray, shares: Mapping[str, float], rng: np.random.Generator
) -> dict[str, np.ndarray]:
    """About these shares of the frames of each layer: random ones of as many utterances as four times that needs.

    All frames of a layer where the share is one or more.
    """
    enough = min(1.0, 4 * max(shares.values()))
    parts: dict[str, list[np.ndarray]] = {layer: [] for layer in shares}
    for utterance in chosen[: int(np.ceil(enough * len(chosen)))].tolist():
        for layer, some in frames.of(utterance).items():
            parts[layer].append(some[rng.random(len(some)) < shares[layer] / enough])
    return {layer: np.concatenate(some) for layer, some in parts.items()}


class _Fit:
    """The clusters of one layer while its frames arrive, pass after pass."""

    def __init__(self, sample: np.ndarray, k: int, seed: int) -> None:
        from sklearn.cluster import MiniBatchKMeans, kmeans_plusplus

        k = min(k, len(sample))
        self.centers: np.ndarray = kmeans_plusplus(sample, k, random_state=seed)[0]
        # Without reassignment: clusters of few frames are where rare sounds are, and the inertia is lower.
        self._kmeans: MiniBatchKMeans = MiniBatchKMeans(
            k, init=self.centers, n_init=1, random_state=seed, reassignment_ratio=0
        )
        self._waiting: list[np.ndarray] = []
        self.inertia = 0.0
        self._start()

    def _start(self) -> None:
        self._sums, self._counts, self._squares = np.zeros(self.centers.shape), np.zeros(len(self.centers)), 0.0

    def add(self, frames: np.ndarray, *, online: bool) -> None:
        """Takes the frames of an utterance; centers move with every batch if `online`, else at the end of the pass."""
        self._waiting.append(frames)
        if sum(map(len, self._waiting)) >= BATCH_FRAMES * len(self.centers):
            self._take(online=online)

    def end_pass(self, *, online: bool) -> None:
        """Takes what is left. After a pass that is not `online` every center is the mean of its frames."""
        self._take(online=online)
        if not online:
            counts = self._counts[:, None]
            self.centers = np.where(counts > 0, self._sums / np.maximum(counts, 1), self.centers).astype(np.float32)
            self.inertia = self._squares / self._counts.sum()
        self._start()

    def _take(self, *, online: bool) -> None:
        if not self._waiting:
            return
        batch = np.concatenate(self._waiting)
        self._waiting = []
        if online:
            self._kmeans.partial_fit(batch)
            self.centers = self._kmeans.cluster_centers_
            return
        units = nearest(batch, self.centers)
        members = csr_array(
            (np.ones(len(batch), np.float32), (units, np.arange(len(batch)))), (len(self.centers), len(batch))
        )
        self._sums += members @ batch
        self._counts += np.bincount(units, minlength=len(self.centers))
        self._squares += float(np.square(batch - self.centers[units]).sum(dtype=np.float64))


def encode(
    frames: Frames, clusters: Path, *, codes: Path | None = None, features: Path | None = None, limit: int = 0
) -> None:
    """Writes the codes of a split, and its features, which are the centers; each file with its digest.

    `limit` is the number of utterances that get codes, the first of the store; 0: all. Both files are of the model that
    has the SHA-256 of the file of clusters. Raises InputError unless the clusters are of such frames.
    """
    data = frames.data
    with Clusters(clusters) as file:
        centers, origin, model = file.centers, file.origin, file.sha256
    if origin.model != frames.model:
        made, given = (
            f"the network {name[:12]}" if name else "log-mel windows" for name in (origin.model, frames.model)
        )
        raise InputError(
            f"{clusters}: are clusters of {made}, not of {given}; give what was clustered, or fit them again"
        )
    origin = Origin(model, origin.lineage, split_name(data), data.sha256, {})
    n = min(limit or len(data), len(data)) if codes else 0
    with ExitStack() as stack:
        layers = []
        if codes:
            manifest = (data.utterance(i).to_dict() for i in range(n))
            codes_file = stack.enter_context(create_codes(codes, data.ids[:n], manifest, origin))
        if features:
            features_file = stack.enter_context(create_features(features, data.ids, durations(data), origin))
        for layer, table in centers.items():
            rates = n_layer_frames(data.n_frames, layer), frame_period(layer)
            of_codes = add_codes(codes_file, layer, table, rates[0][:n], rates[1]) if codes else None
            of_features = add_quantized(features_file, layer, table, *rates) if features else None
            layers.append((layer, table, of_codes, of_features))
        total = len(data) if features else n
        for i in track(range(total), f"k-means {data.path.stem}", unit="utterances"):
            some = frames.of(i)
            for layer, table, of_codes, of_features in layers:
                units = nearest(some[layer], table)
                if of_codes and i < n:
                    of_codes.write(i, units)
                if of_features:
                    of_features.write(i, units)


def nearest(frames: np.ndarray, centers: np.ndarray) -> np.ndarray:
    """For each of some frames (n, C) the number (n,) int32 of the nearest of the centers (K, C), of equals the first."""
    squares = np.einsum("kc,kc->k", centers, centers)
    parts = (frames[start : start + ROWS] for start in range(0, len(frames), ROWS))
    numbers = [(squares - 2 * (part @ centers.T)).argmin(axis=1) for part in parts]
    return np.concatenate([np.zeros(0, np.int64), *numbers]).astype(np.int32)
