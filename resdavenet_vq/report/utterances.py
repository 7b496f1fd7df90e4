"""The utterances that can be seen and heard, and the texts of all others.

Those shown come with sound (FLAC, as heard), spectrogram (the stored log-mel features as a grey picture, 10 ms and one band a pixel),
image, and rows of words, phones and codes. Of all others the report has the text alone, to be searched.
"""

from __future__ import annotations

import math
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass
from functools import cached_property
from typing import Any

import numpy as np

from resdavenet_vq import config
from resdavenet_vq.corpus.manifest import Interval, Utterance
from resdavenet_vq.data import features
from resdavenet_vq.data.store import Store
from resdavenet_vq.encode.units import FrameTime
from resdavenet_vq.figures import spectrogram as figures
from resdavenet_vq.report import chunks
from resdavenet_vq.report.assets import Folder, Picture
from resdavenet_vq.results import Codes, Findings

UTTERANCES_A_PIECE, TEXTS_A_PIECE = 20, 5000
"""How many stand in one piece of data."""

TICKS = (500, 1000, 2000, 4000)
"""Frequencies marked beside a spectrogram, in Hz."""


@dataclass(frozen=True)
class Layer:
    """The codes of one quantizer of one model; `number` is its name in the data of the pages."""

    number: int
    model: str
    folder: str
    name: str
    codes: Codes

    @property
    def title(self) -> str:
        """As it is shown."""
        return f"{self.model} {self.name}"


@dataclass(frozen=True)
class Split:
    """One split as the pages show it."""

    name: str
    store: Store | None
    layers: tuple[Layer, ...]
    settings: config.Report
    frame_time: FrameTime

    def __len__(self) -> int:
        return len(self.store) if self.store else len(self.layers[0].codes.utterances) if self.layers else 0

    def utterance(self, number: int) -> Utterance:
        """By its place in the split."""
        return self.store.utterance(number) if self.store else self.layers[0].codes.utterances[number]

    @cached_property
    def heard(self) -> list[Utterance]:
        """Those with sound and picture: drawn at random, those with aligned words first; then in the split's order."""
        n = self.settings.utterances
        order = np.random.default_rng(self.settings.seed).permutation(len(self)).tolist()

        def first(fits: Callable[[Utterance], bool]) -> Iterator[int]:
            return (i for i in order if fits(self.utterance(i)))

        aligned = [i for i, _ in zip(first(lambda u: bool(u.words)), range(n), strict=False)]
        return [self.utterance(i) for i in sorted(aligned or order[:n])]


def find(found: Findings, split: str, settings: config.Report, frame_time: FrameTime) -> Split | None:
    """What there is of a split; None without store and codes."""
    known = [(model, codes) for model in found.models if (codes := model.codes(split))]
    layers = [(model, codes, layer) for model, codes in known for layer in codes.layers]
    numbered = (
        Layer(number, model.name, model.folder.name, layer, codes)
        for number, (model, codes, layer) in enumerate(layers)
    )
    shown = Split(split, found.store(split), tuple(numbered), settings, frame_time)
    return shown if len(shown) else None


def write(split: Split, folder: Folder) -> None:
    """Copies in what is seen and heard, and writes the pieces `heard`, `utterances-N` and `texts-N`."""
    written = [_written(split, folder, number, utterance) for number, utterance in enumerate(split.heard)]
    for number, piece in chunks.parts(written, UTTERANCES_A_PIECE):
        chunks.write(folder, f"utterances-{number}", piece)
    chunks.write(folder, "heard", [[utterance.id, utterance.text] for utterance in split.heard])
    place = {utterance.id: number for number, utterance in enumerate(split.heard)}
    texts = [_searched(utterance, place.get(utterance.id)) for utterance in map(split.utterance, range(len(split)))]
    for number, piece in chunks.parts(texts, TEXTS_A_PIECE):
        chunks.write(folder, f"texts-{number}", piece)


def about(split: Split) -> dict[str, Any]:
    """What every page that shows utterances needs to know."""
    return {
        "split": split.name,
        "utterances": len(split),
        "heard": len(split.heard),
        "utterancesAPiece": UTTERANCES_A_PIECE,
        "textPieces": math.ceil(len(split) / TEXTS_A_PIECE),
        "layers": [{"number": x.number, "title": x.title, "model": x.model, "name": x.name} for x in split.layers],
        "hop": features.FRAME_PERIOD,
        "ticks": [[hz, round(_height(hz), 4)] for hz in TICKS],
    }


def spectrogram(logmel: np.ndarray) -> np.ndarray:
    """A grey picture (bands, frames) uint8 of features (frames, bands) in dB: dark is loud, low bands at the bottom."""
    grey: np.ndarray = np.round(
        np.clip(-logmel.T[::-1].astype(np.float32), 0, features.TOP_DB) * (255 / features.TOP_DB)
    ).astype(np.uint8)
    return grey


def _height(hz: float) -> float:
    """Where a frequency lies on Slaney's mel scale, from 0 at the bottom to 1."""

    def mel(f: float) -> float:
        return 3 * f / 200 if f < 1000 else 15 + 27 * math.log(f / 1000) / math.log(6.4)

    return (mel(hz) - mel(features.MEL_FMIN)) / (mel(features.MEL_FMAX) - mel(features.MEL_FMIN))


def _written(split: Split, folder: Folder, number: int, utterance: Utterance) -> dict[str, Any]:
    """One utterance with all that is shown of it; its files are copied in."""
    store = split.store
    place = store.index(utterance.id) if store else -1
    logmel = store.logmel(place) if store else features.log_mel(features.read_wav(utterance.wav))
    duration = int(store.n_samples[place]) / features.SAMPLE_RATE if store else len(logmel) * features.FRAME_PERIOD
    duration = max(duration, features.FRAME_PERIOD)
    runs = {
        layer: figures.code_runs(*of, split.frame_time)
        for layer in split.layers
        if (of := layer.codes.layer_of(layer.name, utterance.id))
    }
    image = picture_of(store, folder, utterance) if store else None
    return {
        "number": number,
        "id": utterance.id,
        "text": utterance.text,
        "speaker": utterance.speaker,
        "duration": round(duration, 4),
        "sound": folder.sound(utterance.wav),
        "spectrogram": folder.grey(f"spectrograms/{number + 1:04d}.png", spectrogram(logmel)),
        "frames": len(logmel),
        "image": image._asdict() if image else None,
        "words": plain(utterance.words),
        "phones": plain(utterance.phones),
        "codes": {layer.number: _runs(intervals) for layer, intervals in runs.items()},
    }


def plain(labelled: Sequence[Interval] | None) -> list[list[Any]] | None:
    """Start and end in seconds, and label."""
    return None if labelled is None else [[round(start, 4), round(end, 4), label] for start, end, label in labelled]


def _runs(intervals: Sequence[Interval]) -> dict[str, list[Any]]:
    """Runs of codes in fewer characters: code by code, and the seconds at which each begins and the last one ends."""
    edges = [i.start for i in intervals] + [i.end for i in intervals[-1:]]
    return {"code": [int(i.label) for i in intervals], "edge": [round(edge, 4) for edge in edges]}


def _searched(utterance: Utterance, heard: int | None) -> list[Any]:
    """Id, speaker, text, and the number under which an utterance can be heard. Without a text its aligned words stand for it."""
    text = utterance.text or " ".join(word.label for word in utterance.words or ())
    return [utterance.id, utterance.speaker, text, heard]


def picture_of(store: Store, folder: Folder, utterance: Utterance) -> Picture | None:
    """The utterance's image, if it has one."""
    number = int(store.image_index[store.index(utterance.id)])
    return None if number < 0 else folder.image(f"{store.path}: {store.image_ids[number]}", store.image(number))
