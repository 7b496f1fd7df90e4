"""Utterances, and places where a word is spoken, under their words, phones and runs of codes.

Anything requested by name (an utterance, a word, a layer) that is not there is an InputError with the nearest name.
"""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path
from typing import NamedTuple

import numpy as np
import soundfile

from resdavenet_vq.config.faults import nearest
from resdavenet_vq.corpus.manifest import Utterance
from resdavenet_vq.data.audio import read_wav
from resdavenet_vq.data.features import SAMPLE_RATE, plot_spectrogram
from resdavenet_vq.encode.codes import SplitCodes
from resdavenet_vq.errors import InputError
from resdavenet_vq.figures import spectrogram
from resdavenet_vq.figures.registry import PAGE, Request
from resdavenet_vq.figures.spectrogram import Segment
from resdavenet_vq.figures.style import Drawing
from resdavenet_vq.files import atomic_write, together

MARGIN = 0.15
"""Seconds before and after a place of a keyword, in the picture and the sound."""


def _utterances(request: Request) -> list[Utterance]:
    """The utterances of the split, from the prepared store or the codes."""
    results, split = request.results, request.split
    if store := results.store(split):
        return [store.utterance(i) for i in range(len(store))]
    for model in results.models:
        if codes := model.codes(split):
            return list(map(codes.utterance, range(len(codes))))
    raise InputError(
        f"{results.root}: has neither data/{split}.h5 nor codes of the split {split}; prepare the split first"
    )


def _codes(request: Request) -> list[tuple[str, SplitCodes, list[str]]]:
    """Name, codes and requested layers of every model. Raises InputError naming a layer that none has."""
    split, chosen = request.split, set(request.layers)
    encoded = [(model, codes) for model in request.results.with_codes if (codes := model.codes(split))]
    known = {f"{model.folder.name}/{layer}": layer for model, codes in encoded for layer in codes.layers}
    missing = sorted(chosen - known.keys() - set(known.values()))
    if missing:
        faults = (f"layer {name}: no codes of it on the split {split}; {nearest(name, known)}" for name in missing)
        raise InputError("\n".join(faults))
    return [
        (
            model.name,
            codes,
            [layer for layer in codes.layers if not chosen or chosen & {layer, f"{model.folder.name}/{layer}"}],
        )
        for model, codes in encoded
    ]


def utterance(request: Request) -> Drawing:
    """An utterance, or a part of it, as an aligned spectrogram; without an id the first that has aligned words."""
    utterances, start = _utterances(request), request.start
    if not request.utterance:
        chosen = next((u for u in utterances if u.words), utterances[0])
    else:
        by_id = {u.id: u for u in utterances}
        if request.utterance not in by_id:
            near = _near(request.utterance, list(by_id))
            raise InputError(f"utterance {request.utterance}: is not in the split {request.split}; {near}")
        chosen = by_id[request.utterance]
    samples = read_wav(chosen.wav)
    duration = len(samples) / SAMPLE_RATE
    end = duration if request.end is None else min(request.end, duration)
    if not 0 <= start < end:
        raise InputError(
            f"utterance {chosen.id}: lasts {duration:.2f} s, and has no stretch from {start:g} to {end:g} s"
        )
    rows = spectrogram.aligned_rows(chosen, _codes(request), request.frame_time)
    segment = Segment("", plot_spectrogram(samples), rows, start, end)
    figure = spectrogram.aligned_spectrogram(segment, request.width or PAGE)
    words = " ".join(i.label for i in chosen.words or () if i.end > start and i.start < end)
    names = ", ".join(row.name.replace("\n", " ") for row in rows)
    text = f"Spectrogram of utterance {chosen.id} from {start:.2f} to {end:.2f} s{f', {words}' if words else ''}"
    return Drawing(figure, text + (f"; above it: {names}." if names else "."))


class Place(NamedTuple):
    """A place where a keyword is spoken: its segment, and its samples at 16 kHz."""

    segment: Segment
    samples: np.ndarray


def keyword(request: Request) -> Drawing | None:
    """The first places of a split where a word is spoken, each as a segment with its codes.

    None where the split has no aligned words.
    """
    places, total = keyword_places(request)
    if not places:
        return None
    figure = spectrogram.contact_sheet([place.segment for place in places], request.width or PAGE)
    titles = "; ".join(place.segment.title for place in places)
    alt = f"{len(places)} of {total} places where {request.word} is spoken in the split {request.split}: {titles}."
    return Drawing(figure, alt)


def keyword_places(request: Request) -> tuple[list[Place], int]:
    """The first places where a word is spoken, and the number of all. Upper and lower case are one.

    There are none where the split has no aligned words. Utterances that were not encoded by all models are left out
    where some were.
    """
    split, word = request.split, request.word
    aligned = [u for u in _utterances(request) if u.words]
    if not aligned:
        return [], 0
    spoken = [(u, i) for u in aligned for i in u.words or () if i.label.casefold() == word.casefold()]
    if not spoken:
        vocabulary = sorted({i.label for u in aligned for i in u.words or ()})
        raise InputError(f"word {word!r}: is not spoken in the split {split}; {_near(word.upper(), vocabulary)}")
    codes = _codes(request)
    layers = sum(len(layers) for *_, layers in codes)
    has_phones = all(u.phones for u, _ in spoken)
    places: list[Place] = []
    for u, i in spoken:
        rows = spectrogram.aligned_rows(u, codes, request.frame_time)
        if sum(row.colored for row in rows) < layers:
            continue
        samples = read_wav(u.wav)
        start, end = max(0.0, i.start - MARGIN), min(i.end + MARGIN, len(samples) / SAMPLE_RATE)
        title = f"{u.id}, {i.start:.2f} s" + (f", {u.speaker}" if u.speaker else "")
        rows = [row for row in rows if row.name != "phones" or has_phones]
        segment = Segment(title, plot_spectrogram(samples), rows, start, end, i)
        places.append(Place(segment, samples[int(start * SAMPLE_RATE) : int(end * SAMPLE_RATE)]))
        if len(places) == request.places:
            break
    if not places:
        raise InputError(
            f"word {word!r}: none of its {len(spoken)} places in the split {split} was encoded by all models"
        )
    return places, len(spoken)


def write_sounds(request: Request, out: Path) -> None:
    """Writes the sound of every place of a keyword beside its figure, as wav files of 16 bits: fig-01.wav, ..."""
    with together():
        for number, place in enumerate(keyword_places(request)[0], 1):
            with atomic_write(out.with_name(f"{out.stem}-{number:02d}.wav")) as tmp:
                soundfile.write(tmp, place.samples, SAMPLE_RATE, subtype="PCM_16", format="WAV")


def _near(word: str, names: Sequence[str]) -> str:
    """The nearest name; of more than 20 names one stands for all."""
    near = nearest(word, names)
    return near if len(names) <= 20 or near.startswith("did") else f"one is {names[0]}"
