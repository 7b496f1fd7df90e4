"""A recording to its units and features, of any length and without a corpus; `api.speech` is for people.

A long recording goes through the network in pieces. Each piece has, on both sides, the frames that its own frames
depend on (`model.audio.receptive_field`), and these are cut away again: the codes are those of one pass, and only one
piece is in memory. The features are rounded as those of the store that the model was trained from (float16 unless
prepared otherwise; float32 for the models of 2020), so that the codes are also those of `encode-split`. A model of
normalised features needs the statistics of the whole recording, so a long one is read twice.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from itertools import batched, groupby
from pathlib import Path
from typing import Any, Literal, NamedTuple, Self

import numpy as np
import torch

from resdavenet_vq import devices
from resdavenet_vq.config import Preparation
from resdavenet_vq.data.features import N_MELS
from resdavenet_vq.data.recording import Recording
from resdavenet_vq.data.samples import Samples
from resdavenet_vq.encode.features import is_quantized
from resdavenet_vq.encode.frames import frame_period
from resdavenet_vq.encode.layers import check_layers, codebook, deepest
from resdavenet_vq.encode.split import FRAMES_AT_ONCE, run_audio
from resdavenet_vq.encode.units import FrameTime, Units
from resdavenet_vq.errors import InputError
from resdavenet_vq.lineage import frame_stride
from resdavenet_vq.model import checkpoint
from resdavenet_vq.model.audio import receptive_field
from resdavenet_vq.model.dual_encoder import DualEncoder
from resdavenet_vq.model.normalization import Statistics

type Precision = Literal["float16", "float32"]
type Audio = Recording | Samples


class Part(NamedTuple):
    """Some frames of a layer, one after another, the first of them number `start`."""

    start: int
    vectors: np.ndarray
    """(n, C) float32."""
    codes: np.ndarray
    """(n,) int32 of a quantizer, else empty."""


class RecordingEncoder:
    """The audio network of a model, for recordings of any length.

    `source` names the model in errors, `card` is what `model.json` says, `precision` that of the log-mel features: by
    default that of the features of training. In bfloat16, which is faster on a GPU, about one code in a hundred differs.

    Attributes
    ----------
    layers : the quantizers that are on, `quant2` ...
    """

    def __init__(
        self,
        source: Path,
        network: DualEncoder,
        card: Mapping[str, Any],
        *,
        precision: Precision | None = None,
        device: torch.device | None = None,
        dtype: torch.dtype = torch.float32,
    ) -> None:
        self.source, self.network, self.card = source, network, card
        self.precision = precision or _precision(card)
        self.layers = tuple(f"quant{n}" for n in network.quantizers)
        self.device, self.dtype = device or devices.device(), dtype
        network.to(self.device)

    @classmethod
    def load(cls, folder: Path, precision: Precision | None = None) -> Self:
        """That of the model in a folder, on the GPU if there is one."""
        return cls(folder, *checkpoint.load(folder, audio_only=True), precision=precision)

    def units(
        self, recording: Audio, layers: Sequence[str] = (), *, frame_time: FrameTime = "published"
    ) -> dict[str, Units]:
        """The units of a recording in some quantizers, by default in all that are on."""
        layers = self.check_quantizers(layers or self.layers)
        return self.units_of(recording, [*self.parts(recording, layers)], frame_time)

    def units_of(
        self, recording: Audio, pieces: Sequence[Mapping[str, Part]], frame_time: FrameTime = "published"
    ) -> dict[str, Units]:
        """The units in the pieces of a recording, of every layer that they have."""
        units = {}
        for layer in pieces[0]:
            codes, size = np.concatenate([piece[layer].codes for piece in pieces]), len(self.codebook(layer))
            units[layer] = Units(
                recording.path, layer, frame_period(layer), recording.duration, codes, size, frame_time=frame_time
            )
        return units

    def codebook(self, layer: str) -> np.ndarray:
        """The code vectors (K, C) float32 of a quantizer that is on."""
        return codebook(self.network, layer)

    def check_quantizers(self, layers: Sequence[str]) -> list[str]:
        """The layers, each once. Raises InputError unless all are quantizers that are on."""
        if not self.layers:
            raise InputError(f"{self.source}: no quantizer is on in this model; choose a later stage of its lineage")
        layers = check_layers(self.source, self.network, layers)
        for layer in layers:
            if not is_quantized(layer):
                raise InputError(f"{layer} has vectors but no codes; units are those of {', '.join(self.layers)}")
        return layers

    def all_parts(
        self, recordings: Sequence[Audio], layers: Sequence[str], frames_at_once: int = FRAMES_AT_ONCE
    ) -> Iterator[tuple[int, dict[str, Part]]]:
        """The layers of every recording, shortest first, by its number; long ones in several pieces."""
        order = sorted(range(len(recordings)), key=lambda i: recordings[i].n_frames)
        for n_frames, numbers in groupby(order, key=lambda i: recordings[i].n_frames):
            if n_frames > frames_at_once:
                yield from ((i, parts) for i in numbers for parts in self.parts(recordings[i], layers, frames_at_once))
                continue
            for batch in batched(numbers, max(1, frames_at_once // n_frames)):
                yield from zip(batch, self.batch([recordings[i] for i in batch], layers), strict=True)

    def parts(
        self, recording: Audio, layers: Sequence[str], frames_at_once: int = FRAMES_AT_ONCE
    ) -> Iterator[dict[str, Part]]:
        """The layers of a recording, piece by piece.

        `frames_at_once` log-mel frames in a piece, without its context: changes memory, not results.
        """
        last = deepest(layers) or "conv1"
        stride, around = frame_stride(last), receptive_field(self.network.audio, last)
        step = max(1, frames_at_once // stride) * stride
        before = -(around.first // stride) * stride  # a piece begins where a frame of every layer does
        statistics = self._statistics(recording) if step < recording.n_frames else None
        for start, stop, first, logmel in _pieces(recording, step, before, around.last):
            parts = {}
            for layer, (_, (vectors,), (codes,)) in self._run([logmel], layers, recording.path, statistics).items():
                s = frame_stride(layer)
                begin, end = start // s, min(-(-stop // s), max(recording.n_frames // s, 1))
                frames = slice(begin - first // s, end - first // s)
                parts[layer] = Part(begin, vectors[frames], codes[frames])
            yield parts

    def batch(self, recordings: Sequence[Audio], layers: Sequence[str]) -> Iterator[dict[str, Part]]:
        """The layers of recordings of equal length, each in one piece, in their order."""
        logmels = [np.concatenate([*recording.log_mel()]) for recording in recordings]
        output = self._run(logmels, layers, recordings[0].path)
        for i in range(len(recordings)):
            yield {layer: Part(0, vectors[i], codes[i]) for layer, (_, vectors, codes) in output.items()}

    def rounded(self, logmel: np.ndarray) -> np.ndarray:
        """Features as the store of the model's precision holds them, float32."""
        return logmel.astype(self.precision).astype(np.float32)

    def _statistics(self, recording: Audio) -> Statistics | None:
        """Of the whole recording, block by block; None for a model that needs none."""
        if not self.network.audio.is_normalizing:
            return None
        return Statistics.of_blocks(torch.from_numpy(self.rounded(block)) for block in recording.log_mel())

    def _run(
        self, logmels: Sequence[np.ndarray], layers: Sequence[str], path: Path, statistics: Statistics | None = None
    ) -> dict[str, Part]:
        """Vectors (B, n, C) and codes (B, n) of the layers, of features (T, M) of one length."""
        logmel = torch.from_numpy(np.stack([self.rounded(x).T for x in logmels]))
        with torch.autocast(self.device.type, self.dtype, enabled=self.dtype != torch.float32):
            output = run_audio(
                self.source,
                self.network,
                logmel,
                [logmel.shape[2]] * len(logmel),
                deepest(layers),
                str(path),
                statistics,
            )
        parts = {}
        for name in layers:
            layer = output.layers[name]
            n = int(layer.n_frames[0])
            codes = np.zeros((len(logmel), 0)) if layer.codes is None else layer.codes[:, :n].cpu().numpy()
            vectors = layer.vectors[:, :, :n].transpose(1, 2).float().cpu().numpy()
            parts[name] = Part(0, vectors, codes.astype(np.int32))
        return parts


def _pieces(recording: Audio, step: int, before: int, after: int) -> Iterator[tuple[int, int, int, np.ndarray]]:
    """Frames `start` ... `stop` - 1 of a recording, `step` of them, and their context.

    The fourth value (n, 40) begins at the frame that is the third, up to `before` frames before `start`, and ends up to
    `after` frames after `stop`.
    """
    blocks, first, buffer = recording.log_mel(), 0, np.empty((0, N_MELS), np.float32)
    for start in range(0, recording.n_frames, step):
        stop = min(start + step, recording.n_frames)
        end = min(stop + after, recording.n_frames)
        drop = max(0, start - before) - first
        first, buffer = first + drop, buffer[drop:]
        while first + len(buffer) < end:
            buffer = np.concatenate([buffer, next(blocks)])
        yield start, stop, first, buffer[: end - first]


def _precision(card: Mapping[str, Any]) -> Precision:
    """The precision of the features of training: float32 in 2020; preparation's default if the card does not say."""
    if card.get("released"):
        return "float32"
    precision: Precision = (card.get("features") or {}).get("precision", Preparation().precision)
    return precision
