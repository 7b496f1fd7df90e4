"""A recording to its units, of any length and without a corpus: `resdavenet_vq.load_model`.

A long recording goes through the network in pieces. Each piece has, on both sides, the frames that its own frames
depend on (`model.audio.receptive_field`), and these are cut away again: the codes are those of one pass, and only one piece is in
memory. The features are rounded as those of the store that the model was trained from (float16 unless prepared
otherwise; float32 for the models of 2020), so that the codes are also those of `encode-codes`.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import Any, Literal, NamedTuple

import numpy as np
import torch

from resdavenet_vq.config import Preparation
from resdavenet_vq.data.audio import Recording
from resdavenet_vq.data.features import N_MELS
from resdavenet_vq.encode.features import is_quantized
from resdavenet_vq.encode.split import FRAMES_AT_ONCE, codebook, deepest, frame_period
from resdavenet_vq.encode.units import FrameTime, Units
from resdavenet_vq.errors import InputError
from resdavenet_vq.lineage import frame_stride, layer_position
from resdavenet_vq.model import checkpoint
from resdavenet_vq.model.audio import receptive_field
from resdavenet_vq.model.dual_encoder import DualEncoder
from resdavenet_vq.model.precision import true_float32

type Precision = Literal["float16", "float32"]


class Part(NamedTuple):
    """Some frames of a layer, one after another."""

    start: int
    """Number of the first."""
    vectors: np.ndarray
    """(n, C) float32."""
    codes: np.ndarray | None
    """(n,) int32, of quantizers."""

    @property
    def quantized(self) -> np.ndarray:
        """The codes of a quantizer."""
        assert self.codes is not None, "the layer is a quantizer"
        return self.codes


class SpeechEncoder:
    """The audio network of a model, on the GPU if there is one. Made by `load`.

    Attributes
    ----------
    folder : of the model
    card : the content of its model.json
    layers : the quantizers that are on, `quant2` ...
    precision : of the log-mel features
    """

    def __init__(self, folder: Path, network: DualEncoder, card: dict[str, Any], precision: Precision) -> None:
        self.folder, self.network, self.card, self.precision = folder, network, card, precision
        self.layers = tuple(f"quant{n}" for n in network.quantizers)
        self._device = torch.device("cuda" if torch.cuda.is_available() else "cpu")
        network.to(self._device)

    def encode(
        self,
        path: str | Path,
        layer: str | None = None,
        *,
        frame_time: FrameTime = "published",
        allow_silent: bool = False,
    ) -> Units:
        """The units of an audio file in one layer: by default, in the first quantizer that is on.

        Any sample rate and number of channels: channels are averaged and resampled as preparation does it, nothing is
        cut. Raises InputError if the file cannot be used, the model has no quantizers, or the layer has no codes.
        """
        chosen = self.check_quantizers([layer] if layer else self.layers[:1])
        return self.encode_layers(path, chosen, frame_time=frame_time, allow_silent=allow_silent)[chosen[0]]

    def encode_layers(
        self,
        path: str | Path,
        layers: Sequence[str] = (),
        *,
        frame_time: FrameTime = "published",
        allow_silent: bool = False,
    ) -> dict[str, Units]:
        """The units of an audio file in some quantizers, by default in all that are on."""
        chosen = self.check_quantizers(layers or self.layers)
        recording = Recording(Path(path), allow_silent=allow_silent)
        pieces_of: dict[str, list[np.ndarray]] = {layer: [] for layer in chosen}
        for parts in self.parts(recording, chosen):
            for layer in chosen:
                pieces_of[layer].append(parts[layer].quantized)
        return {
            layer: Units(
                path=Path(path),
                layer=layer,
                frame_period=frame_period(layer),
                duration=recording.duration,
                codes=np.concatenate(codes),
                codebook_size=len(self.codebook(layer)),
                frame_time=frame_time,
            )
            for layer, codes in pieces_of.items()
        }

    def codebook(self, layer: str) -> np.ndarray:
        """The code vectors (K, C) float32 of a quantizer that is on."""
        return codebook(self.network, layer)

    def check_quantizers(self, layers: Sequence[str]) -> list[str]:
        """The layers, each once, if all are quantizers that are on. Raises InputError otherwise."""
        if not self.layers:
            raise InputError(
                f"{self.folder}: no quantizer is on in this model, so it has no units; "
                "choose a later stage of its lineage"
            )
        for layer in self.check_layers(layers):
            if not is_quantized(layer):
                raise InputError(f"{layer} has vectors but no codes; units are those of {', '.join(self.layers)}")
        return list(dict.fromkeys(layers))

    def check_layers(self, layers: Sequence[str]) -> list[str]:
        """The layers, each once, if the model has them. Raises InputError otherwise."""
        for layer in layers:
            try:
                layer_position(layer)
            except ValueError as e:
                raise InputError(str(e)) from None
            if is_quantized(layer) and layer not in self.layers:
                raise InputError(
                    f"{self.folder}: {layer} is off in this model (on: {', '.join(self.layers) or 'none'}); "
                    "ask for another layer"
                )
        return list(dict.fromkeys(layers))

    def parts(
        self, recording: Recording, layers: Sequence[str], frames_at_once: int = FRAMES_AT_ONCE
    ) -> Iterator[dict[str, Part]]:
        """The layers of a recording, piece by piece.

        `frames_at_once` log-mel frames in a piece, without its context: changes memory, not results.
        """
        last = deepest(layers)
        assert last is not None, "layers are not empty"
        stride, around = frame_stride(last), receptive_field(self.network.audio, last)
        step = max(1, frames_at_once // stride) * stride
        before = -(around.first // stride) * stride  # a piece begins where a frame of every layer does
        for piece in pieces(recording, step, before, around.last):
            output = self._run(torch.from_numpy(self.rounded(piece.logmel).T.copy())[None], last, recording.path)
            parts = {}
            for layer in layers:
                s = frame_stride(layer)
                n = max(recording.n_frames // s, 1)  # frames of the whole
                start, stop = piece.start // s, min(-(-piece.stop // s), n)
                shift = piece.first // s
                parts[layer] = self._part(output[layer], 0, start, slice(start - shift, stop - shift))
            yield parts

    def batch(self, recordings: Sequence[Recording], layers: Sequence[str]) -> Iterator[dict[str, Part]]:
        """The layers of recordings of equal length, each in one piece, in their order."""
        last = deepest(layers)
        assert last is not None, "layers are not empty"
        logmel = np.stack([self.rounded(np.concatenate([*recording.log_mel()])).T for recording in recordings])
        output = self._run(torch.from_numpy(logmel), last, recordings[0].path)
        for i in range(len(recordings)):
            yield {
                layer: self._part(output[layer], i, 0, slice(max(logmel.shape[2] // frame_stride(layer), 1)))
                for layer in layers
            }

    def rounded(self, logmel: np.ndarray) -> np.ndarray:
        """Features as the store of the model's precision holds them, float32."""
        rounded: np.ndarray = logmel.astype(self.precision).astype(np.float32)
        return rounded

    @staticmethod
    def _part(layer: tuple[torch.Tensor, torch.Tensor | None], i: int, start: int, frames: slice) -> Part:
        """Frames of utterance i of a batch's layer: (B, C, T) vectors and (B, T) codes."""
        vectors, codes = layer
        return Part(
            start,
            vectors[i, :, frames].T.cpu().numpy(),
            None if codes is None else codes[i, frames].cpu().numpy().astype(np.int32),
        )

    def _run(self, logmel: torch.Tensor, until: str, path: Path) -> dict[str, tuple[torch.Tensor, torch.Tensor | None]]:
        """Vectors (B, C, T) and codes (B, T) of the layers of a batch (B, M, T) without padding.

        Raises InputError if a value is not finite.
        """
        with torch.inference_mode(), true_float32():
            n_frames = torch.full((len(logmel),), logmel.shape[2])
            output = self.network.audio(logmel.to(self._device), n_frames.to(self._device), until=until)
            for name, layer in output.layers.items():
                if not torch.isfinite(layer.vectors).all():
                    raise InputError(
                        f"{self.folder}: {name} is not finite for {path}; was the model trained to divergence?"
                    )
        return {name: (layer.vectors, layer.codes) for name, layer in output.layers.items()}


class Piece(NamedTuple):
    """Frames `start` ... `stop` - 1 of a recording and their context: `logmel` (n, 40) begins at frame `first`."""

    start: int
    stop: int
    first: int
    logmel: np.ndarray


def pieces(recording: Recording, step: int, before: int, after: int) -> Iterator[Piece]:
    """A recording in pieces of `step` frames, each with up to `before` frames before and `after` frames after it."""
    total, blocks = recording.n_frames, recording.log_mel()
    first, buffer = 0, np.empty((0, N_MELS), np.float32)
    for start in range(0, total, step):
        stop = min(start + step, total)
        drop = max(0, start - before) - first
        first, buffer = first + drop, buffer[drop:]
        blocks_here = [buffer]
        missing = min(stop + after, total) - first - len(buffer)
        while missing > 0:
            blocks_here.append(next(blocks))
            missing -= len(blocks_here[-1])
        buffer = np.concatenate(blocks_here)
        yield Piece(start, stop, first, buffer[: min(stop + after, total) - first])


def load(folder: str | Path, *, precision: Precision | None = None) -> SpeechEncoder:
    """The audio network of the model in a folder, ready to encode.

    `precision` of the log-mel features: by default that of the features that the model was trained from.
    Raises InputError if the folder holds no sound model.
    """
    network, card = checkpoint.load(Path(folder), audio_only=True)
    return SpeechEncoder(Path(folder), network, card, precision or _precision(card))


def _precision(card: dict[str, Any]) -> Precision:
    """The precision of the features of training: float32 in 2020; preparation's default if the card does not say."""
    if card.get("released"):
        return "float32"
    precision: Precision = (card.get("features") or {}).get("precision", Preparation().precision)
    return precision
