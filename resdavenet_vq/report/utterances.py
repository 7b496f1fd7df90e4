"""The utterances of a split: some with sound and picture, of all others the texts, and hits and misses of retrieval.

The utterances with audio have a sound (as recorded; WAV, which every tool for phonetics reads), a spectrogram (the
stored log-mel features as a grey picture, 10 ms and one band a pixel), an image, and rows of words, phones and codes.
Of all others the report has the text alone, to be searched.
"""

from __future__ import annotations

import base64
import io
import math
from collections.abc import Sequence
from dataclasses import dataclass
from functools import cached_property
from itertools import islice
from typing import Any

import numpy as np
from PIL import Image

from resdavenet_vq import config
from resdavenet_vq.corpus.manifest import SILENCE, Interval, Utterance
from resdavenet_vq.data import features
from resdavenet_vq.data.audio import read_wav
from resdavenet_vq.data.store import Store
from resdavenet_vq.encode.codes import SplitCodes
from resdavenet_vq.encode.units import FrameTime
from resdavenet_vq.lineage import Lineage
from resdavenet_vq.report.assets import Folder, Picture, pieces
from resdavenet_vq.results import Model, Results, Words

UTTERANCES_PER_PIECE, TEXTS_PER_PIECE = 20, 5000
"""Of data."""

CASES = 4
"""Hits, and misses, of each lineage and direction."""

SEED = 0
"""Of the choice of utterances and occurrences."""

TICKS = (500, 1000, 2000, 4000)
"""Frequencies marked beside a spectrogram, in Hz."""


@dataclass(frozen=True)
class Layer:
    """The codes of one layer of one system; `number` is its name in the data of the pages."""

    number: int
    model: Model
    name: str
    codes: SplitCodes
    words: Words | None
    """Its word detection, where words are evaluated on the split."""

    @property
    def title(self) -> str:
        """Its name on the pages."""
        return f"{self.model.name} {self.name}"


@dataclass(frozen=True)
class Split:
    """A split on the pages."""

    name: str
    store: Store | None
    layers: tuple[Layer, ...]
    settings: config.Report
    frame_time: FrameTime

    def __len__(self) -> int:
        return len(self.store or (self.layers[0].codes if self.layers else ()))

    def utterance(self, number: int) -> Utterance:
        """By its number in the split."""
        return self.store.utterance(number) if self.store else self.layers[0].codes.utterance(number)

    @cached_property
    def has(self) -> frozenset[str]:
        """Which of words, phones and text some utterance of the split has."""
        has: set[str] = set()
        for number in range(len(self)):
            utterance = self.utterance(number)
            has |= {name for name in ("words", "phones", "text") if getattr(utterance, name)}
            if len(has) == 3:
                break
        return frozenset(has)

    @cached_property
    def with_audio(self) -> list[Utterance]:
        """The utterances with sound and picture: drawn at random, if possible with aligned words.

        In the split's order.
        """
        n = self.settings.utterances
        order = np.random.default_rng(SEED).permutation(len(self)).tolist()
        aligned = list(islice((i for i in order if self.utterance(i).words), n))
        return [self.utterance(i) for i in sorted(aligned or order[:n])]


def open_split(results: Results, split: str, settings: config.Report, frame_time: FrameTime) -> Split | None:
    """A split's store and codes; None without either."""
    models = ((model, codes) for model in results.with_codes if (codes := model.codes(split)))
    detecting = results.with_codes if results.has_words else ()
    words = {(model.folder, words.layer): words for model in detecting for words in model.words(split)}
    layers = (
        (model, layer, codes, words.get((model.folder, layer))) for model, codes in models for layer in codes.layers
    )
    numbered = tuple(Layer(number, *layer) for number, layer in enumerate(layers))
    opened = Split(split, results.store(split), numbered, settings, frame_time)
    return opened if len(opened) else None


def write(split: Split, folder: Folder) -> None:
    """Copies in sounds and images, and writes the pieces `with-audio`, `utterances-N`, `spectrogram-N` and `texts-N`.

    A text has its number among the utterances with audio; without one, its aligned words are searched.
    """
    entries = [_entry(split, folder, number, utterance) for number, utterance in enumerate(split.with_audio)]
    for number, piece in pieces(entries, UTTERANCES_PER_PIECE):
        folder.data(f"utterances-{number}", piece)
    folder.data("with-audio", [[u.id, u.text, u.speaker] for u in split.with_audio])
    numbers = {utterance.id: number for number, utterance in enumerate(split.with_audio)}
    for number, some in pieces(range(len(split)), TEXTS_PER_PIECE):  # memory has no more utterances than a piece
        texts = [
            [u.id, u.speaker, u.text or " ".join(word.label for word in u.words or ()), numbers.get(u.id)]
            for u in map(split.utterance, some)
        ]
        folder.data(f"texts-{number}", texts)


def about(split: Split) -> dict[str, Any]:
    """The split and its layers, for the scripts of the pages with utterances; `first` is the last layer of a model."""
    layers = [x for x in split.layers if isinstance(x.model.system, Lineage)] or split.layers
    return {
        "has": sorted(split.has),
        "first": layers[-1].number if layers else None,
        "split": split.name,
        "utterances": len(split),
        "withAudio": len(split.with_audio),
        "utterancesPerPiece": UTTERANCES_PER_PIECE,
        "textPieces": math.ceil(len(split) / TEXTS_PER_PIECE),
        "layers": [{"number": x.number, "title": x.title, "model": x.model.name, "name": x.name} for x in split.layers],
        "hop": features.FRAME_PERIOD,
        "silence": SILENCE.pattern,
        "ticks": [[hz, round(_height(hz), 4)] for hz in TICKS],
    }


def _spectrogram(logmel: np.ndarray) -> str:
    """A grey picture of features (frames, bands) in dB as a data URL: dark is loud, low bands at the bottom.

    A page opened from disk may show the pixels of another file, but not save them.
    """
    loudness = np.clip(-logmel.T[::-1].astype(np.float32), 0, features.TOP_DB) * (255 / features.TOP_DB)
    png = io.BytesIO()
    Image.fromarray(np.round(loudness).astype(np.uint8)).save(png, "PNG", optimize=True)
    return f"data:image/png;base64,{base64.b64encode(png.getvalue()).decode()}"


def _height(hz: float) -> float:
    """Where a frequency lies on the mel scale of the features, from 0 at the bottom to 1."""
    low, here, high = map(features.hz_to_mel, (features.MEL_FMIN, hz, features.MEL_FMAX))
    return (here - low) / (high - low)


def _entry(split: Split, folder: Folder, number: int, utterance: Utterance) -> dict[str, Any]:
    """One utterance as the scripts read it; its files are copied in."""
    store = split.store
    index = store.index(utterance.id) if store else -1
    logmel = store.logmel(index) if store else features.log_mel(read_wav(utterance.wav))
    duration = int(store.n_samples[index]) / features.SAMPLE_RATE if store else len(logmel) * features.FRAME_PERIOD
    image = image_of(store, folder, utterance) if store else None
    folder.data(f"spectrogram-{number}", _spectrogram(logmel))
    return {
        "number": number,
        "id": utterance.id,
        "text": utterance.text,
        "speaker": utterance.speaker,
        "duration": round(max(duration, features.FRAME_PERIOD), 4),
        "sound": folder.sound(utterance.wav, wav=True),
        "frames": len(logmel),
        "image": image._asdict() if image else None,
        "words": intervals(utterance.words),
        "phones": intervals(utterance.phones),
        "codes": {
            layer.number: _runs(tier)
            for layer in split.layers
            if (tier := layer.codes.tier(layer.name, utterance.id, split.frame_time))
        },
    }


def intervals(tier: Sequence[Interval] | None) -> list[list[Any]] | None:
    """Start and end in seconds, and label."""
    return None if tier is None else [[round(start, 4), round(end, 4), label] for start, end, label in tier]


def _runs(tier: Sequence[Interval]) -> dict[str, list[Any]]:
    """Runs of codes in fewer characters: code by code, and the seconds at which each begins and the last one ends."""
    edges = [i.start for i in tier] + [i.end for i in tier[-1:]]
    return {"code": [int(i.label) for i in tier], "edge": [round(edge, 4) for edge in edges]}


def image_of(store: Store, folder: Folder, utterance: Utterance) -> Picture | None:
    """The utterance's image, if it has one."""
    number = int(store.image_index[store.index(utterance.id)])
    return None if number < 0 else _image(store, folder, number)


def _image(store: Store, folder: Folder, number: int) -> Picture:
    return folder.image(f"{store.path}: {store.image_ids[number]}", store.image(number))


def cases(
    store: Store, folder: Folder, direction: str, examples: dict[str, list[dict[str, Any]]]
) -> list[tuple[str, list[dict[str, Any]]]]:
    """The first hits and misses of a direction, as a retrieval file lists them, with sounds and images.

    Each is a query with its best answers, and the right one if it is not among them.
    """

    def caption(name: str) -> dict[str, Any]:
        utterance = store.utterance(store.index(name))
        return {"text": utterance.text, "speaker": utterance.speaker, "sound": folder.sound(utterance.wav)}

    def image(name: str) -> dict[str, Any]:
        number = store.image_ids.index(name)
        return {
            "image": _image(store, folder, number),
            "caption": store.utterance(int(np.flatnonzero(store.image_index == number)[0])).text,
        }

    def case(example: dict[str, Any]) -> dict[str, Any]:
        answers, right = example["answers"], example["right"][:1]
        return {
            "query": query(example["query"]),
            "rank": example["rank"],
            "answers": [answer(a["id"]) | {"is_right": a["right"]} for a in answers],
            "right": [] if any(a["right"] for a in answers) else list(map(answer, right)),
        }

    query, answer = (image, caption) if direction == "image_to_speech" else (caption, image)
    return [(kind, [case(example) for example in some[:CASES]]) for kind, some in examples.items()]
