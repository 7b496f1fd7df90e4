"""Figures for a paper, from a folder results/{corpus}: each a figure with its alternative text, of a width in inches.

Where a figure shows what was not computed, it says so in its place: a workflow's figure is always there. What a person
asked for by name and is not there (an utterance, a word, a layer) is an InputError that names what there is.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from functools import cached_property
from pathlib import Path

import numpy as np
import soundfile
from matplotlib.figure import Figure

from resdavenet_vq import results as findings
from resdavenet_vq.config.section import nearest
from resdavenet_vq.corpus.manifest import Interval, Utterance
from resdavenet_vq.data import features
from resdavenet_vq.data.audio import read_wav
from resdavenet_vq.encode.codes import SplitCodes
from resdavenet_vq.encode.units import FrameTime
from resdavenet_vq.errors import InputError
from resdavenet_vq.evaluation import comparison
from resdavenet_vq.evaluation.comparison import Compared
from resdavenet_vq.figures import comparison as comparison_figures
from resdavenet_vq.figures import histories
from resdavenet_vq.figures import spectrogram as figures
from resdavenet_vq.figures.comparison import Drawn
from resdavenet_vq.figures.spectrogram import PAGE, Segment
from resdavenet_vq.figures.style import FORMATS, save, styled
from resdavenet_vq.files import atomic_write
from resdavenet_vq.lineage import Lineage
from resdavenet_vq.report import examples
from resdavenet_vq.results import Findings, Words

BEST_WORDS = 250
"""Words of each layer in the scatter of precision and recall."""

BESIDE = 0.15
"""Seconds shown and heard before and after a word that was searched for."""

RESOLUTION = 300
"""Dots per inch of a figure for a paper."""


@dataclass(frozen=True)
class Sound:
    """A part of an utterance: 16 kHz samples."""

    samples: np.ndarray

    def write(self, path: Path) -> None:
        """Writes it as a wav file of 16 bits, whole or not at all."""
        with atomic_write(path) as tmp:
            soundfile.write(tmp, self.samples, features.SAMPLE_RATE, subtype="PCM_16", format="WAV")


def write(drawn: Drawn, outs: Sequence[Path]) -> None:
    """Writes a figure to every one of the files, by their suffixes. Raises InputError for a suffix that is none of FORMATS."""
    if wrong := [str(out) for out in outs if out.suffix.removeprefix(".") not in FORMATS]:
        raise InputError("\n".join(f"{out}: a figure is written as {', '.join(FORMATS)}" for out in wrong))
    for out in outs:
        save(drawn.figure, out, RESOLUTION, drawn.alt)


def find(results: Path, lineages: Sequence[str] = ()) -> Findings:
    """What a folder of results holds of some lineages (folders or notation); of all that were trained or imported, if none is named.

    Raises InputError where there is no such model.
    """
    folders = {file.parent.parent.name for file in results.glob("*/model/history.csv")}
    known = []
    for folder in folders:
        try:
            known.append(Lineage.from_folder(folder))
        except ValueError:
            continue  # another folder of a person's
    if not known:
        raise InputError(f"{results}: has no trained model; give the folder results/{{corpus}}")
    found = findings.find(results, lineages or [lineage.folder for lineage in sorted(known, key=_order)])
    faults = [
        f"{model.folder}: no such model; {nearest(model.folder.name, sorted(folders))}"
        for model in found.models
        if model.folder.name not in folders
    ]
    if faults:
        raise InputError("\n".join(faults))
    return found


def _order(lineage: Lineage) -> tuple[int, str, int]:
    """Few stages first; seeds of a lineage together."""
    return len(lineage.stages), str(lineage), -1 if lineage.seed is None else lineage.seed


# -- comparisons and trainings --------------------------------------------------------------------------------


def compared(results: Path, draw: Callable[[list[Compared]], Drawn | None], what: str, width: float) -> Drawn:
    """One of the figures of `comparison_figures`, from summary.csv."""
    return draw(comparison.read(results / "summary.csv")) or _blank(f"No model has scores of {what}.", width)


def retrieval(results: Path, width: float) -> Drawn:
    """R@10 of all lineages and seeds."""
    return compared(results, lambda rows: comparison_figures.retrieval(rows, width=width), "retrieval", width)


def abx(results: Path, split: str, width: float) -> Drawn:
    """ABX error of all layers and seeds on a split."""
    return compared(results, lambda rows: comparison_figures.abx(rows, split, width), f"ABX on {split}", width)


def bitrate(results: Path, split: str, width: float) -> Drawn:
    """Bitrate against ABX error of all quantizers and seeds on a split."""
    return compared(
        results,
        lambda rows: comparison_figures.bitrate_against_abx(rows, split, width),
        f"ABX of codes on {split}",
        width,
    )


def words(results: Path, width: float) -> Drawn:
    """Words detected by all quantizers and seeds."""
    return compared(results, lambda rows: comparison_figures.words(rows, width), "words", width)


def training(found: Findings, panels: Sequence[str], width: float) -> Drawn:
    """Some panels of `histories`, such as TRAINING or CODEBOOKS; the runs of a lineage that differ in their seed look the same."""
    known = [(findings.shown(str(model.lineage)), model.history) for model in found.models if model.history is not None]
    shown = histories.panels([(name, history) for name, history in known if history is not None], panels)
    if not shown:
        return _blank("No epoch of a training is known.", width)
    return Drawn(figures.curves(shown, width), " ".join(map(histories.told, shown)))


# -- words ----------------------------------------------------------------------------------------------------


def precision_recall(found: Findings, width: float, best: int = BEST_WORDS) -> Drawn:
    """Precision and recall of the best words of every model and layer."""
    scored = _scored(found)
    if not scored:
        return _blank("No model has scores of words.", width)
    points = {
        name: (of.detectors["precision"].to_numpy(), of.detectors["recall"].to_numpy()) for name, of in scored.items()
    }
    return Drawn(
        figures.precision_recall(points, best, width),
        f"Precision against recall of each word's best code. {_detected(scored)}",
    )


def words_above(found: Findings, width: float) -> Drawn:
    """How many words have at least a given F1, for every model and layer."""
    scored = _scored(found)
    if not scored:
        return _blank("No model has scores of words.", width)
    threshold = next(iter(scored.values())).f1_threshold
    drawn = figures.words_above({name: of.detectors["f1"].to_numpy() for name, of in scored.items()}, threshold, width)
    return Drawn(drawn, f"Number of words above each F1 threshold. {_detected(scored)}")


def _scored(found: Findings) -> dict[str, Words]:
    return {f"{model.name} {of.layer}": of for model in found.models for of in model.words}


def _detected(scored: dict[str, Words]) -> str:
    """The words detected, in words."""
    counts = (f"{name}: {int((of.detectors['f1'] >= of.f1_threshold).sum())} words" for name, of in scored.items())
    return f"F1 of at least {next(iter(scored.values())).f1_threshold:g}: {', '.join(counts)}."


# -- utterances -----------------------------------------------------------------------------------------------


@dataclass(frozen=True)
class Split:
    """The utterances of a split, and the codes of some models and layers, whose runs are drawn."""

    found: Findings
    name: str
    layers: Sequence[str] = ()
    """`quant2`, or `none-2/quant2` for one model's; none for all."""
    frame_time: FrameTime = "published"

    @cached_property
    def utterances(self) -> list[Utterance]:
        """Of the prepared store, or of the codes."""
        if store := self.found.store(self.name):
            return [store.utterance(i) for i in range(len(store))]
        for model in self.found.models:
            if codes := model.codes(self.name):
                return codes.utterances
        raise InputError(
            f"{self.found.root}: has neither data/{self.name}.h5 nor codes of the split {self.name}; prepare the split first"
        )

    @cached_property
    def codes(self) -> list[tuple[str, SplitCodes, list[str]]]:
        """Name, codes and chosen layers of every model that has some. Raises InputError naming a layer that none has."""
        of_models = [(model, codes) for model in self.found.models if (codes := model.codes(self.name))]
        known = [f"{model.folder.name}/{layer}" for model, codes in of_models for layer in codes.layers]
        if wrong := [
            asked
            for asked in self.layers
            if not any(name in {asked, f"{name.split('/')[0]}/{asked}"} for name in known)
        ]:
            raise InputError(
                "\n".join(
                    f"layer {asked}: no codes of it on the split {self.name}; {nearest(asked, known)}"
                    for asked in wrong
                )
            )
        wanted = set(self.layers)
        chosen = [
            (
                model.name,
                codes,
                [layer for layer in codes.layers if not wanted or {layer, f"{model.folder.name}/{layer}"} & wanted],
            )
            for model, codes in of_models
        ]
        return [(name, codes, layers) for name, codes, layers in chosen if layers]


def utterance(split: Split, identity: str | None, start: float, end: float | None, width: float) -> Drawn:
    """An utterance, or its seconds from `start` to `end`, as an aligned spectrogram; without an id the first that has aligned words."""
    if identity is None:
        chosen = next((u for u in split.utterances if u.words), split.utterances[0])
    else:
        by_id = {u.id: u for u in split.utterances}
        if identity not in by_id:
            raise InputError(f"utterance {identity}: is not in the split {split.name}; {_near(identity, list(by_id))}")
        chosen = by_id[identity]
    samples = read_wav(chosen.wav)
    duration = len(samples) / features.SAMPLE_RATE
    stop = duration if end is None else min(end, duration)
    if not 0 <= start < stop:
        raise InputError(
            f"utterance {chosen.id}: lasts {duration:.2f} s, and has no stretch from {start:g} to {stop:g} s"
        )
    rows = examples.rows_of(chosen, split.codes, split.frame_time)
    drawn = figures.aligned_spectrogram(
        features.plot_spectrogram(samples),
        features.PLOT_FRAME_PERIOD,
        features.SAMPLE_RATE / 2,
        rows,
        start=start,
        end=stop,
        width=width,
    )
    spoken = " ".join(i.label for i in chosen.words or () if i.end > start and i.start < stop)
    shown = ", ".join(row.name.replace("\n", " ") for row in rows)
    text = f"Spectrogram of utterance {chosen.id} from {start:.2f} to {stop:.2f} s{f', {spoken}' if spoken else ''}"
    return Drawn(drawn, text + (f"; above it: {shown}." if shown else "."))


def keyword(split: Split, word: str, limit: int, width: float = PAGE) -> tuple[Drawn, list[Sound]]:
    """The first places of a split where a word is spoken, each as a segment with its codes, and their sounds.

    Upper and lower case are one. Utterances that were not encoded by all models are left out where some were.
    """
    aligned = [u for u in split.utterances if u.words]
    if not aligned:
        raise InputError(
            f"split {split.name}: no utterance has aligned words, by which words are found; give the corpus alignments"
        )
    wanted = word.casefold()
    places = [(u, i) for u in aligned for i in u.words or () if i.label.casefold() == wanted]
    if not places:
        spoken = sorted({i.label for u in aligned for i in u.words or ()})
        raise InputError(f"word {word!r}: is not spoken in the split {split.name}; {_near(word.upper(), spoken)}")
    layers = sum(len(layers) for _, _, layers in split.codes)
    has_phones = all(u.phones for u, _ in places)
    segments, sounds = [], []
    for u, i in places:
        rows = [row for row in examples.rows_of(u, split.codes, split.frame_time) if row.name != "phones" or has_phones]
        if sum(row.coloured for row in rows) < layers:
            continue
        samples = read_wav(u.wav)
        start, end = max(0.0, i.start - BESIDE), min(i.end + BESIDE, len(samples) / features.SAMPLE_RATE)
        title = f"{u.id}, {i.start:.2f} s" + (f", {u.speaker}" if u.speaker else "")
        segments.append(
            Segment(title, features.plot_spectrogram(samples), rows, start, end, Interval(i.start, i.end, i.label))
        )
        sounds.append(Sound(samples[int(start * features.SAMPLE_RATE) : int(end * features.SAMPLE_RATE)]))
        if len(segments) == limit:
            break
    if not segments:
        raise InputError(
            f"word {word!r}: none of its {len(places)} places in the split {split.name} was encoded by all models"
        )
    drawn = figures.contact_sheet(segments, features.PLOT_FRAME_PERIOD, features.SAMPLE_RATE / 2, width=width)
    where = "; ".join(segment.title for segment in segments)
    return Drawn(
        drawn, f"{len(segments)} of {len(places)} places where {word} is spoken in the split {split.name}: {where}."
    ), sounds


def _near(word: str, known: Sequence[str]) -> str:
    """The nearest right word; of many that are known, not all are listed."""
    return nearest(word, known) if len(known) <= 20 or nearest(word, known).startswith("did") else f"one is {known[0]}"


def _blank(text: str, width: float) -> Drawn:
    """A figure that says why there is none."""
    with styled(paper=True):
        figure = Figure(figsize=(width, 0.6))
        figure.text(0.5, 0.5, text, ha="center", va="center")
    return Drawn(figure, text)
