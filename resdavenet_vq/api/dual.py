"""Speech and images in one space: similarities, matchmaps and search."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Literal

import numpy as np

from resdavenet_vq.api.encoder import SavedEncoder
from resdavenet_vq.api.image import ImageEncoder
from resdavenet_vq.api.inputs import AudioInput, ImageInput
from resdavenet_vq.api.pretrained import Pretrained
from resdavenet_vq.api.speech import SpeechEncoder
from resdavenet_vq.encode.units import FrameTime, frame_edges
from resdavenet_vq.errors import InputError
from resdavenet_vq.evaluation.matchmap import DESCRIPTIONS, Similarity, similarities
from resdavenet_vq.evaluation.retrieval import single


@dataclass(frozen=True, slots=True, eq=False)
class Matchmap:
    """How well each frame of a recording fits each cell of an image."""

    values: np.ndarray
    """(F, h, w) float32: dot products."""
    frame_period: float
    """Seconds from one frame to the next."""
    frame_time: FrameTime = "published"

    @property
    def onsets(self) -> np.ndarray:
        """(F,) seconds."""
        return frame_edges(np.arange(len(self.values)), self.frame_period, self.frame_time)

    @property
    def offsets(self) -> np.ndarray:
        """(F,) seconds."""
        return frame_edges(np.arange(1, len(self.values) + 1), self.frame_period, self.frame_time)


@dataclass(frozen=True, slots=True)
class Match:
    """An item that a search found: its place in the list that was searched, and its similarity to the query."""

    index: int
    similarity: float


class DualEncoder(SavedEncoder):
    """Both networks of a model, whose vectors are compared.

    Attributes
    ----------
    speech : the SpeechEncoder
    image : the ImageEncoder
    """

    def __init__(self, pretrained: Pretrained) -> None:
        super().__init__(pretrained)
        self.speech, self.image = SpeechEncoder(pretrained), ImageEncoder(pretrained)

    def similarity(
        self,
        speech: AudioInput | list[AudioInput],
        images: ImageInput | list[ImageInput],
        *,
        sample_rate: float | None = None,
        kind: Similarity = "sisa",
    ) -> np.ndarray:
        """How well each of N recordings fits each of I images, (N, I) float32.

        `sisa` is the dot product of their embeddings, which retrieval ranks by; `misa` is the mean over frames of the
        best cell, `sima` the mean over cells of the best frame.
        """
        if kind not in DESCRIPTIONS:
            raise InputError(f"kind={kind!r} is none of {', '.join(DESCRIPTIONS)}")
        speech, images = _as_list(speech), _as_list(images)
        if kind == "sisa":
            captions = self.speech.embed(speech, sample_rate=sample_rate).astype(np.float64)
            return single(captions @ self.image.embed(images).astype(np.float64).T)
        frames = [one.vectors for one in self.speech.features(speech, sample_rate=sample_rate)]
        cells = self.image.features(images)
        if not frames or not len(cells):
            return np.empty((len(frames), len(cells)), np.float32)
        cells = cells.reshape(len(cells), -1, cells.shape[-1])
        scores = [similarities(cells, one, np.zeros(1, np.int64), kind)[:, 0] for one in frames]
        return single(np.stack(scores))

    def matchmap(
        self,
        speech: AudioInput,
        image: ImageInput,
        *,
        sample_rate: float | None = None,
        frame_time: FrameTime = "published",
    ) -> Matchmap:
        """The matchmap of one recording and one image."""
        for name, given in (("recording", speech), ("image", image)):
            if isinstance(given, list | tuple):
                raise InputError(f"a matchmap is of one {name}, not of a list")
        frames = self.speech.features(speech, sample_rate=sample_rate)
        cells = self.image.features(image)
        values = single(np.einsum("fd,hwd->fhw", frames.vectors.astype(np.float64), cells.astype(np.float64)))
        return Matchmap(values, frames.frame_period, frame_time)

    def search(
        self,
        speech: AudioInput | list[AudioInput],
        images: ImageInput | list[ImageInput],
        *,
        find: Literal["images", "speech"] = "images",
        k: int = 10,
        sample_rate: float | None = None,
        kind: Similarity = "sisa",
    ) -> list[Match] | list[list[Match]]:
        """For each recording the `k` images that fit it best, best first; with `find="speech"`, for each image recordings.

        A single query gives a single list. Of equal similarities the earlier item comes first.
        """
        if find not in {"images", "speech"}:
            raise InputError(f"find={find!r} is neither 'images' nor 'speech'")
        if k < 1:
            raise InputError(f"k={k} is no number of matches; give 1 or more")
        scores = self.similarity(speech, images, sample_rate=sample_rate, kind=kind)
        queries, scores = (speech, scores) if find == "images" else (images, scores.T)
        order = np.argsort(-scores, axis=1, kind="stable")[:, :k]
        matches = [[Match(i, float(row[i])) for i in best] for row, best in zip(scores, order.tolist(), strict=True)]
        return matches if isinstance(queries, list | tuple) else matches[0]

    def __repr__(self) -> str:
        layers = f"{self.speech.layers[-1]}, {self._model.network.settings.audio.widths[-1]} values"
        lines = {"quantizers": ", ".join(self.speech.quantizers) or "none", "common space": layers}
        return self._model.describe("DualEncoder", lines, self._model.network)


def _as_list[T](given: T | list[T]) -> list[T]:
    return [*given] if isinstance(given, list | tuple) else [given]
