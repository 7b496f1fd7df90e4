"""Every figure of `figures.registry`, by its name: a function of a request that returns a figure with its description.

A comparison returns None without such scores. Anything requested by name (an utterance, a word, a layer) that is not there is an
InputError with the nearest name.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from functools import cached_property
from pathlib import Path
from typing import NamedTuple

import numpy as np
import pandas as pd
import soundfile
from matplotlib.figure import Figure

from resdavenet_vq.config.section import nearest
from resdavenet_vq.corpus.manifest import Utterance
from resdavenet_vq.data import features
from resdavenet_vq.errors import InputError
from resdavenet_vq.figures import charts, comparison, noise, registry, spectrogram
from resdavenet_vq.figures import confusions as phone_confusions
from resdavenet_vq.figures.registry import Request
from resdavenet_vq.figures.spectrogram import Segment
from resdavenet_vq.figures.style import FORMATS, Drawing, save, styled
from resdavenet_vq.files import atomic_write
from resdavenet_vq.lineage import Lineage
from resdavenet_vq.results import Codes, Results, Words, find, shown

MARGIN = 0.15
"""Seconds drawn and heard before and after a place of a keyword."""

RESOLUTION = 300
"""Dots per inch of a figure for a paper."""


def write(drawing: Drawing, outs: Sequence[Path]) -> None:
    """Writes a figure to every one of the files, by their suffixes. Raises InputError for a suffix that is none of FORMATS."""
    if wrong := [str(out) for out in outs if out.suffix.removeprefix(".") not in FORMATS]:
        raise InputError("\n".join(f"{out}: a figure is written as {', '.join(FORMATS)}" for out in wrong))
    for out in outs:
        save(drawing.figure, out, RESOLUTION, drawing.alt)


def draw(name: str, request: Request) -> Drawing:
    """A figure of the registry; where nothing was scored, a figure that says so."""
    drawing = registry.draw(name, request)
    if drawing is None:
        split = f" on {request.split}" if request.split else ""
        drawing = _blank(f"No model has scores of {registry.FIGURES[name].title}{split}.", request)
    return drawing


def open_results(folder: Path, lineages: Sequence[str] = ()) -> Results:
    """The results of some lineages, by their folders; of all that were trained or imported, if none is named.

    Raises InputError for a model that is not there.
    """
    folders = {file.parent.parent.name for file in folder.glob("*/model/history.csv")}
    models = []
    for name in folders:
        try:
            models.append(Lineage.from_folder(name))
        except ValueError:
            continue  # a folder of other content
    if not models:
        raise InputError(f"{folder}: has no trained model; give the folder results/{{corpus}}")
    if missing := [name for name in lineages if name not in folders]:
        raise InputError("\n".join(f"{folder / n}: no such model; {nearest(n, sorted(folders))}" for n in missing))
    return find(folder, lineages or [lineage.folder for lineage in sorted(models, key=_order)])


def _order(lineage: Lineage) -> tuple[int, str, int]:
    """Few stages first; seeds of a lineage together."""
    return len(lineage.stages), str(lineage), -1 if lineage.seed is None else lineage.seed


# -- comparisons ----------------------------------------------------------------------------------------------


def retrieval(request: Request) -> Drawing | None:
    """R@10 of all lineages and seeds."""
    return comparison.retrieval(request.results.scores, width=request.width)


def abx(request: Request) -> Drawing | None:
    """ABX error of all layers and seeds on a split."""
    return comparison.abx(request.results.scores, request.split, request.width)


def bitrate_abx(request: Request) -> Drawing | None:
    """Bitrate against ABX error of all quantizers and seeds on a split."""
    return comparison.bitrate_against_abx(request.results.scores, request.split, request.width)


def words(request: Request) -> Drawing | None:
    """Words detected by all quantizers and seeds."""
    thresholds = [conditions["f1_threshold"] for conditions in request.results.conditions("words")]
    return comparison.words(request.results.scores, thresholds, request.width)


def noise_retrieval(request: Request) -> Drawing | None:
    """R@10 of all lineages against noise."""
    return noise.retrieval(request.results.noise, width=request.width)


def noise_abx(request: Request) -> Drawing | None:
    """ABX error of all quantizers on a split against noise."""
    return noise.abx(request.results.noise, request.split, request.width)


def noise_words(request: Request) -> Drawing | None:
    """Held-out words detected by all quantizers against noise."""
    return noise.words(request.results.noise, request.width)


# -- trainings and words --------------------------------------------------------------------------------------


def training(request: Request) -> Drawing:
    """Loss and R@1, R@5, R@10 on the validation split over epochs."""
    return _curves(request, charts.TRAINING)


def codebooks(request: Request) -> Drawing:
    """Perplexity, codes in use, live codes and the share of the most frequent one over epochs."""
    return _curves(request, charts.CODEBOOKS)


def _curves(request: Request, names: Sequence[str]) -> Drawing:
    """Some panels; the runs of a lineage that differ in their seed look the same."""
    histories = [
        (shown(str(model.lineage)), model.history) for model in request.results.models if model.history is not None
    ]
    panels = charts.panels(histories, names)
    if not panels:
        return _blank("No epoch of a training is known.", request)
    return Drawing(charts.curves(panels, request.width), " ".join(map(charts.describe, panels)))


def precision_recall(request: Request) -> Drawing | None:
    """Precision and recall of the best words of every model and layer."""
    layers = word_layers(request.results)
    if not layers:
        return None
    alt = f"Precision against recall of each word's best code. {describe_words(layers)}"
    return Drawing(charts.precision_recall(best_words(layers), request.width), alt)


def words_above(request: Request) -> Drawing | None:
    """The number of words with at least a given F1, of every model and layer."""
    layers = word_layers(request.results)
    if not layers:
        return None
    threshold = next(iter(layers.values())).f1_threshold
    f1 = {name: layer.detectors["f1"].to_numpy() for name, layer in layers.items()}
    alt = f"Number of words above each F1 threshold. {describe_words(layers)}"
    return Drawing(charts.words_above(f1, threshold, request.width), alt)


def word_layers(results: Results) -> dict[str, Words]:
    """The word detection of every model and layer, by its name in legends."""
    return {f"{model.name} {words.layer}": words for model in results.models for words in model.words}


def best_words(layers: dict[str, Words]) -> dict[str, pd.DataFrame]:
    """Of each layer the words that its mean F1 is taken over, best first."""
    return {name: words.detectors.head(words.best) for name, words in layers.items()}


def describe_words(layers: dict[str, Words]) -> str:
    """The number of words detected by each layer."""
    counts = (f"{name}: {words.n_detected} words" for name, words in layers.items())
    return f"F1 of at least {next(iter(layers.values())).f1_threshold:g}: {', '.join(counts)}."


def confusions(request: Request) -> Drawing:
    """ABX error of every pair of phones of one layer."""
    if len(request.layers) != 1 or "/" not in request.layers[0]:
        raise InputError("confusions: give one layer and its folder, as in --layers none-2/quant2")
    folder, _, layer = request.layers[0].partition("/")
    table = request.results.root / folder / f"abx/{request.split}/{layer}.phones.csv"
    return phone_confusions.draw(table, request.task, request.title, request.width)


# -- utterances -----------------------------------------------------------------------------------------------


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
    def codes(self) -> list[tuple[str, Codes, list[str]]]:
        """Name, codes and requested layers of every model that has some. Raises InputError naming a layer that none has."""
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
                f"utterance {request.utterance}: is not in the split {request.split}; {_near(request.utterance, list(by_id))}"
            )
        chosen = by_id[request.utterance]
    samples = features.read_wav(chosen.wav)
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
        segments, features.PLOT_FRAME_PERIOD, features.SAMPLE_RATE / 2, width=request.width or registry.PAGE
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
        raise InputError(
            f"split {request.split}: no utterance has aligned words, by which words are found; give the corpus alignments"
        )
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
        samples = features.read_wav(u.wav)
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


def _blank(text: str, request: Request) -> Drawing:
    """A figure that says why there is none."""
    with styled(paper=True):
        figure = Figure(figsize=(request.width or registry.COLUMN, 0.6))
        figure.text(0.5, 0.5, text, ha="center", va="center")
    return Drawing(figure, text)
