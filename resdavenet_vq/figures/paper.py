"""Every figure of `figures.registry`, by its name: a function of a request that returns a figure with its description.

A comparison returns None without such scores.
"""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path

import pandas as pd
from matplotlib.figure import Figure

from resdavenet_vq.config.section import nearest
from resdavenet_vq.errors import InputError
from resdavenet_vq.figures import charts, comparison, noise, registry
from resdavenet_vq.figures import confusions as phone_confusions
from resdavenet_vq.figures.registry import Request
from resdavenet_vq.figures.style import FORMATS, Drawing, save, styled
from resdavenet_vq.figures.utterances import keyword, utterance  # noqa: F401 - figures of the registry
from resdavenet_vq.lineage import Lineage
from resdavenet_vq.results import Results, Words, find, with_arrows

RESOLUTION = 300
"""Dots per inch of a figure for a paper."""


def write(drawing: Drawing, outs: Sequence[Path]) -> None:
    """Writes a figure to every one of the files, by their suffixes.

    Raises InputError for a suffix that is none of FORMATS.
    """
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


def open_results(folder: Path, lineages: Sequence[str] = (), *, models: bool = True) -> Results:
    """The results of some lineages, by their folders; of all that were trained or imported, if none is named.

    Or without `models`.

    Raises InputError for a model that is not there.
    """
    if not models:
        return find(folder, [])
    folders = {file.parent.parent.name for file in folder.glob("*/model/history.csv")}
    trained = []
    for name in folders:
        try:
            trained.append(Lineage.from_folder(name))
        except ValueError:
            continue  # a folder of other content
    if not trained:
        raise InputError(f"{folder}: has no trained model; give the folder results/{{corpus}}")
    if missing := [name for name in lineages if name not in folders]:
        raise InputError("\n".join(f"{folder / n}: no such model; {nearest(n, sorted(folders))}" for n in missing))
    return find(folder, lineages or [lineage.folder for lineage in sorted(trained, key=_order)])


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
        (with_arrows(str(model.lineage)), model.history)
        for model in request.results.models
        if model.history is not None
    ]
    panels = charts.panels(histories, names)
    if not panels:
        return _blank("There is no epoch of a training.", request)
    return Drawing(charts.curves(panels, request.width), " ".join(map(charts.describe, panels)))


def precision_recall(request: Request) -> Drawing | None:
    """Precision and recall of the best words of every model and layer."""
    layers = word_layers(request.results, request.split)
    if not layers:
        return None
    alt = f"Precision against recall of each word's best code. {describe_words(layers)}"
    return Drawing(charts.precision_recall(best_words(layers), request.width), alt)


def words_above(request: Request) -> Drawing | None:
    """The number of words with at least a given F1, of every model and layer."""
    layers = word_layers(request.results, request.split)
    if not layers:
        return None
    threshold = next(iter(layers.values())).summary["f1_threshold"]
    f1 = {name: layer.detectors["f1"].to_numpy() for name, layer in layers.items()}
    alt = f"Number of words above each F1 threshold. {describe_words(layers)}"
    return Drawing(charts.words_above(f1, threshold, request.width), alt)


def word_layers(results: Results, split: str) -> dict[str, Words]:
    """The word detection of every model and layer, by its name in legends."""
    return {f"{model.name} {words.layer}": words for model in results.models for words in model.words(split)}


def best_words(layers: dict[str, Words]) -> dict[str, pd.DataFrame]:
    """Of each layer the words that its mean F1 is taken over, best first."""
    return {name: words.detectors.head(words.summary["best"]) for name, words in layers.items()}


def describe_words(layers: dict[str, Words]) -> str:
    """The number of words detected by each layer."""
    counts = (f"{name}: {words.n_detected} words" for name, words in layers.items())
    return f"F1 of at least {next(iter(layers.values())).summary['f1_threshold']:g}: {', '.join(counts)}."


def confusions(request: Request) -> Drawing:
    """ABX error of every pair of phones of one layer."""
    if len(request.layers) != 1 or "/" not in request.layers[0]:
        raise InputError("confusions: give one layer and its folder, as in --layers none-2/quant2")
    folder, _, layer = request.layers[0].partition("/")
    table = request.results.root / folder / f"abx/{request.split}/{layer}.phones.csv"
    return phone_confusions.draw(table, request.task, request.title, request.width)


def _blank(text: str, request: Request) -> Drawing:
    """A figure that says why there is none."""
    with styled(paper=True):
        figure = Figure(figsize=(request.width or registry.COLUMN, 0.6))
        figure.text(0.5, 0.5, text, ha="center", va="center")
    return Drawing(figure, text)
