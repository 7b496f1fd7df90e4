"""Utterances, and places where a word is spoken, under their words, phones and runs of codes.

Anything requested by name (an utterance, a word, a layer) that is not there is an InputError with the nearest name.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from functools import cached_property
from pathlib import Path
from typing import NamedTuple

import numpy as np
import soundfile

from resdavenet_vq.config.section import nearest
from resdavenet_vq.corpus.manifest import Utterance
from resdavenet_vq.data import features
from resdavenet_vq.data.audio import read_wav
from resdavenet_vq.encode.codes import SplitCodes
from resdavenet_vq.errors import InputError
from resdavenet_vq.figures import spectrogram
from resdavenet_vq.figures.registry import PAGE, Request
from resdavenet_vq.figures.spectrogram import Segment
from resdavenet_vq.figures.style import Drawing
from resdavenet_vq.files import atomic_write

MARGIN = 0.15
"""Seconds before and after a place of a keyword, in the picture and the sound."""


@dataclass(frozen=True)
class _Split:
    """The utterances of a split, and the codes of the models and layers requested."""

    request: Request

    @cached_property
    def utterances(self) -> list[Utterance]:
        """Of the prepared store, or of the codes."""
        results, split = self.request.results, self.request.split
        if store := results.store(split):
            return [store.utterance(i) for i in range(len(store))]
        for model in results.models:
            if codes := model.codes(split):
                return codes.utterances
        raise InputError(
            f"{results.root}: has neither data/{split}.h5 nor codes of the split {split}; prepare the split first"
        )

    @cached_property
    def codes(self) -> list[tuple[str, SplitCodes, list[str]]]:
        """Name, codes and requested layers of every model that has some.

        Raises InputError naming a layer that none has.
        """
        split, layers = self.request.split, set(self.request.layers)
        models = [(model, codes) for model in self.request.results.models if (codes := model.codes(split))]
        names = {f"{model.folder.name}/{layer}": layer for model, codes in models for layer in codes.layers}
        if missing := sorted(layers - names.keys() - set(names.values())):
            raise InputError(
                "\n".join(
                    f"layer {layer}: no codes of it on the split {split}; {nearest(layer, list(names))}"
                    for layer in missing
                )
            )
        chosen = [
            (
                model.name,
                codes,
                [layer for layer in codes.layers if not layers or {layer, f"{model.folder.name}/{layer}"} & layers],
            )
            for model, codes in models
        ]
        return [(name, codes, layers) for name, codes, layers in chosen if layers]

    def rows(self, utterance: Utterance) -> list[spectrogram.Row]:
        """Words, phones and runs of codes."""
        return spectrogram.aligned_rows(utterance, self.codes, self.request.frame_time)


def utterance(request: Request) -> Drawing:
    """An utterance, or a part of it, as an aligned spectrogram; without an id the first that has aligned words."""
    split, start = _Split(request), request.start
    if request.utterance is None:
        chosen = next((u for u in split.utterances if u.words), split.utterances[0])
    else:
        by_id = {u.id: u for u in split.utterances}
        if request.utterance not in by_id:
            raise InputError(
                f"utterance {request.utterance}: is not in the split {request.split}; "
                f"{_near(request.utterance, list(by_id))}"
            )
        chosen = by_id[request.utterance]
    samples = read_wav(chosen.wav)
    duration = len(samples) / features.SAMPLE_RATE
    stop = duration if request.end is None else min(request.end, duration)
    if not 0 <= start < stop:
        raise InputError(
            f"utterance {chosen.id}: lasts {duration:.2f} s, and has no stretch from {start:g} to {stop:g} s"
        )
    rows = split.rows(chosen)
    figure = spectrogram.aligned_spectrogram(
        features.plot_spectrogram(samples),
        features.PLOT_FRAME_PERIOD,
        features.SAMPLE_RATE / 2,
        rows,
        start=start,
        end=stop,
        width=request.width,
    )
    words = " ".join(i.label for i in chosen.words or () if i.end > start and i.start < stop)
    names = ", ".join(row.name.replace("\n", " ") for row in rows)
    text = f"Spectrogram of utterance {chosen.id} from {start:.2f} to {stop:.2f} s{f', {words}' if words else ''}"
    return Drawing(figure, text + (f"; above it: {names}." if names else "."))


class Place(NamedTuple):
    """A place where a keyword is spoken: its segment, and its samples at 16 kHz."""

    segment: Segment
    samples: np.ndarray


def keyword(request: Request) -> Drawing:
    """The first places of a split where a word is spoken, each as a segment with its codes."""
    places, total = keyword_places(request)
    segments = [place.segment for place in places]
    figure = spectrogram.contact_sheet(
        segments, features.PLOT_FRAME_PERIOD, features.SAMPLE_RATE / 2, width=request.width or PAGE
    )
    titles = "; ".join(segment.title for segment in segments)
    return Drawing(
        figure,
        f"{len(segments)} of {total} places where {request.word} is spoken in the split {request.split}: {titles}.",
    )


def keyword_places(request: Request) -> tuple[list[Place], int]:
    """The first places where a word is spoken, and the number of all. Upper and lower case are one.

    Utterances that were not encoded by all models are left out where some were.
    """
    split, word = _Split(request), request.word
    aligned = [u for u in split.utterances if u.words]
    if not aligned:
        raise InputError(f"split {request.split}: no utterance has aligned words; give the corpus alignments")
    spoken = [(u, i) for u in aligned for i in u.words or () if i.label.casefold() == word.casefold()]
    if not spoken:
        vocabulary = sorted({i.label for u in aligned for i in u.words or ()})
        raise InputError(
            f"word {word!r}: is not spoken in the split {request.split}; {_near(word.upper(), vocabulary)}"
        )
    layers = sum(len(layers) for _, _, layers in split.codes)
    has_phones = all(u.phones for u, _ in spoken)
    places = []
    for u, i in spoken:
        rows = [row for row in split.rows(u) if row.name != "phones" or has_phones]
        if sum(row.colored for row in rows) < layers:
            continue
        samples = read_wav(u.wav)
        start, end = max(0.0, i.start - MARGIN), min(i.end + MARGIN, len(samples) / features.SAMPLE_RATE)
        title = f"{u.id}, {i.start:.2f} s" + (f", {u.speaker}" if u.speaker else "")
        segment = Segment(title, features.plot_spectrogram(samples), rows, start, end, i)
        places.append(Place(segment, samples[int(start * features.SAMPLE_RATE) : int(end * features.SAMPLE_RATE)]))
        if len(places) == request.places:
            break
    if not places:
        raise InputError(
            f"word {word!r}: none of its {len(spoken)} places in the split {request.split} was encoded by all models"
        )
    return places, len(spoken)


def write_sounds(request: Request, out: Path) -> None:
    """Writes the sound of every place of a keyword beside its figure, as wav files of 16 bits: fig-01.wav, ..."""
    for number, place in enumerate(keyword_places(request)[0], 1):
        with atomic_write(out.with_name(f"{out.stem}-{number:02d}.wav")) as tmp:
            soundfile.write(tmp, place.samples, features.SAMPLE_RATE, subtype="PCM_16", format="WAV")


def _near(word: str, names: Sequence[str]) -> str:
    """The nearest name; of more than 20 names one stands for all."""
    return nearest(word, names) if len(names) <= 20 or nearest(word, names).startswith("did") else f"one is {names[0]}"
