"""Speech to units, features and embeddings."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from typing import overload

import numpy as np

from resdavenet_vq.api.encoder import SavedEncoder
from resdavenet_vq.api.inputs import AudioInput, Recordings, recordings
from resdavenet_vq.api.pretrained import Pretrained
from resdavenet_vq.data.features import SAMPLE_RATE
from resdavenet_vq.encode.frames import frame_period
from resdavenet_vq.encode.layers import check_layers
from resdavenet_vq.encode.recording import Part, RecordingEncoder
from resdavenet_vq.encode.units import FrameTime, Units, frame_edges
from resdavenet_vq.lineage import N_POSITIONS


@dataclass(frozen=True, slots=True, eq=False)
class Frames:
    """The vectors of a recording in one layer."""

    path: Path
    """The file, or what the recording is called."""
    layer: str
    frame_period: float
    """Seconds from one frame to the next."""
    duration: float
    """Of the audio, in seconds."""
    vectors: np.ndarray
    """(F, C) float32."""
    frame_time: FrameTime = "published"

    @property
    def onsets(self) -> np.ndarray:
        """(F,) seconds."""
        return frame_edges(np.arange(len(self.vectors)), self.frame_period, self.frame_time)

    @property
    def offsets(self) -> np.ndarray:
        """(F,) seconds."""
        return frame_edges(np.arange(1, len(self.vectors) + 1), self.frame_period, self.frame_time)


class SpeechEncoder(SavedEncoder):
    """The audio network of a model.

    Recordings are paths, files opened in mode "rb", bytes, or arrays and tensors of samples (n,) with `sample_rate`; a
    list of them gives a list of results, each as if its recording were alone. Any sample rate and length: channels of
    files are averaged, audio is resampled as preparation does it, and nothing is cut.

    Attributes
    ----------
    layers : every layer, in the order of the network: `conv1` ... `conv5`, and `quantN` of each quantizer that is on
    quantizers : those of them that have codes
    sample_rate : of the network's own input, 16,000 Hz; other audio is resampled to it
    """

    sample_rate = SAMPLE_RATE
    _audio_only = True

    def __init__(self, pretrained: Pretrained) -> None:
        super().__init__(pretrained)
        model = pretrained
        self._encoder = RecordingEncoder(
            model.source, model.network, model.card, device=model.device, dtype=model.dtype
        )
        self.quantizers = self._encoder.layers
        names = (f"{kind}{n}" for n in range(1, N_POSITIONS + 1) for kind in ("conv", "quant"))
        self.layers = tuple(name for name in names if name.startswith("conv") or name in self.quantizers)

    @overload
    def encode(
        self,
        audio: list[AudioInput],
        layer: str | None = ...,
        *,
        sample_rate: float | None = ...,
        frame_time: FrameTime = ...,
    ) -> list[Units]: ...
    @overload
    def encode(
        self,
        audio: AudioInput,
        layer: str | None = ...,
        *,
        sample_rate: float | None = ...,
        frame_time: FrameTime = ...,
    ) -> Units: ...
    def encode(
        self,
        audio: AudioInput | list[AudioInput],
        layer: str | None = None,
        *,
        sample_rate: float | None = None,
        frame_time: FrameTime = "published",
    ) -> Units | list[Units]:
        """The units of recordings in one quantizer, by default the first that is on.

        Raises InputError naming every recording that cannot be used, and if the layer has no codes.
        """
        chosen = [layer] if layer else self.quantizers[:1]
        with recordings(audio, sample_rate) as inputs:
            units = [next(iter(one.values())) for one in self._units(inputs, chosen, frame_time)]
        return units[0] if inputs.is_one else units

    def encode_layers(
        self,
        audio: AudioInput | list[AudioInput],
        layers: Sequence[str] = (),
        *,
        sample_rate: float | None = None,
        frame_time: FrameTime = "published",
    ) -> dict[str, Units] | list[dict[str, Units]]:
        """The units of recordings in several quantizers, by default all that are on, in one pass; by layer."""
        with recordings(audio, sample_rate) as inputs:
            units = self._units(inputs, layers, frame_time)
        return units[0] if inputs.is_one else units

    @overload
    def features(
        self,
        audio: list[AudioInput],
        layer: str | None = ...,
        *,
        sample_rate: float | None = ...,
        frame_time: FrameTime = ...,
    ) -> list[Frames]: ...
    @overload
    def features(
        self,
        audio: AudioInput,
        layer: str | None = ...,
        *,
        sample_rate: float | None = ...,
        frame_time: FrameTime = ...,
    ) -> Frames: ...
    def features(
        self,
        audio: AudioInput | list[AudioInput],
        layer: str | None = None,
        *,
        sample_rate: float | None = None,
        frame_time: FrameTime = "published",
    ) -> Frames | list[Frames]:
        """The vectors of recordings in any of `layers`: `convN` enters quantizer N, `quantN` are its code vectors.

        By default those of the last layer, frame embeddings: their mean is the embedding, and matchmaps compare them
        with the cells of images.
        """
        (name,) = check_layers(self._model.source, self._model.network, [layer or self.layers[-1]])
        with recordings(audio, sample_rate) as inputs:
            pieces = self._pieces(inputs, [name])
            frames = [
                Frames(
                    Path(title),
                    name,
                    frame_period(name),
                    recording.duration,
                    np.concatenate([piece[name].vectors for piece in some]),
                    frame_time,
                )
                for recording, title, some in zip(inputs.audio, inputs.names, pieces, strict=True)
            ]
        return frames[0] if inputs.is_one else frames

    def embed(self, audio: AudioInput | list[AudioInput], *, sample_rate: float | None = None) -> np.ndarray:
        """One vector (D,) float32 for a recording, (N, D) for a list of them: the mean of the last layer's frames.

        Its dot product with an image's vector is their similarity.
        """
        last = self.layers[-1]
        with recordings(audio, sample_rate) as inputs:
            vectors = [
                sum(piece[last].vectors.sum(axis=0, dtype=np.float64) for piece in pieces)
                / sum(len(piece[last].vectors) for piece in pieces)
                for pieces in self._pieces(inputs, [last])
            ]
        stacked = np.array(vectors, np.float32).reshape(len(vectors), self._model.network.settings.audio.widths[-1])
        return stacked[0] if inputs.is_one else stacked

    def codebook(self, layer: str) -> np.ndarray:
        """The code vectors (K, C) float32 of a quantizer that is on; row i is that of code i."""
        (name,) = self._encoder.check_quantizers([layer])
        return self._encoder.codebook(name)

    def _units(self, inputs: Recordings, layers: Sequence[str], frame_time: FrameTime) -> list[dict[str, Units]]:
        layers = self._encoder.check_quantizers(layers or self.quantizers)
        results = []
        for recording, name, pieces in zip(inputs.audio, inputs.names, self._pieces(inputs, layers), strict=True):
            units = self._encoder.units_of(recording, pieces, frame_time)
            results.append({layer: replace(one, path=Path(name)) for layer, one in units.items()})
        return results

    def _pieces(self, inputs: Recordings, layers: Sequence[str]) -> list[list[dict[str, Part]]]:
        """The layers of every recording, in the order they were given."""
        pieces: list[list[dict[str, Part]]] = [[] for _ in inputs.audio]
        for number, parts in self._encoder.all_parts(inputs.audio, layers):
            pieces[number].append(parts)
        return pieces

    def __repr__(self) -> str:
        sizes = {name: f", {len(self._encoder.codebook(name))} codes" for name in self.quantizers}
        layers = (f"{name} ({1000 * frame_period(name):g} ms{sizes.get(name, '')})" for name in self.layers)
        lines = {"layers": ", ".join(layers), "sample rate": f"{self.sample_rate} Hz"}
        return self._model.describe("SpeechEncoder", lines, self._model.network.audio)
