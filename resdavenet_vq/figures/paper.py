"""Draws the figures of `figures.registry`: each name is a function of a request here, `bitrate-abx` is `bitrate_abx`.

It returns a figure with its description, or None where it shows what was not scored.
"""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path

import pandas as pd
from matplotlib.figure import Figure

from resdavenet_vq.config.faults import nearest
from resdavenet_vq.errors import InputError
from resdavenet_vq.evaluation.availability import NO_WORDS, remedy
from resdavenet_vq.evaluation.summary import PUBLISHED
from resdavenet_vq.figures import charts, registry
from resdavenet_vq.figures.comparison import abx, retrieval, words  # noqa: F401 - figures of the registry
from resdavenet_vq.figures.confusions import confusions  # noqa: F401
from resdavenet_vq.figures.frontier import bitrate_abx, bitrate_words, verdict  # noqa: F401
from resdavenet_vq.figures.noise import noise_abx, noise_retrieval, noise_words  # noqa: F401
from resdavenet_vq.figures.registry import COLUMN, Request
from resdavenet_vq.figures.style import FORMATS, Drawing, save, styled
from resdavenet_vq.figures.utterances import keyword, utterance  # noqa: F401
from resdavenet_vq.files import together
from resdavenet_vq.lineage import Lineage
from resdavenet_vq.results import Results, Words, find, with_arrows
from resdavenet_vq.system import Reference, has_shown_codes, system


def write(drawing: Drawing, outs: Sequence[Path]) -> None:
    """Writes a figure to every one of the files, all or none. Raises InputError for a suffix that is none of FORMATS."""
    if wrong := [str(out) for out in outs if out.suffix.removeprefix(".") not in FORMATS]:
        raise InputError("\n".join(f"{out}: a figure is written as {', '.join(FORMATS)}" for out in wrong))
    with together():
        for out in outs:
            save(drawing.figure, out, drawing.alt)


def draw_if_scored(name: str, request: Request) -> Drawing | None:
    """A figure of the registry; None where nothing was scored."""
    drawing: Drawing | None = globals()[name.replace("-", "_")](request)
    return drawing


def draw(name: str, request: Request) -> Drawing:
    """A figure of the registry; where nothing was scored, a figure that says so."""
    if drawing := draw_if_scored(name, request):
        return drawing
    figure, split = registry.FIGURES[name], f" on {request.split}" if request.split else ""
    if needs := _needs(figure, request):
        return _blank(f"{figure.title}{split}: {', '.join(needs)}.", request)
    return _blank(f"No model has scores of {figure.title}{split}.", request)


def _needs(figure: registry.Figure, request: Request) -> list[str]:
    """What a figure of nothing needs, as the files that it reads say."""
    if figure.reads == "codes":
        return [remedy(NO_WORDS)]
    if figure.reads == "words":
        layers = word_layers(request.results, request.split).values()
        return list(dict.fromkeys(layer.needs[PUBLISHED] for layer in layers if PUBLISHED in layer.needs))
    gaps = [gap for gap in request.results.gaps if gap.task in figure.of and request.split in {"", gap.split}]
    return list(dict.fromkeys(gap.needs for gap in gaps))


def open_results(folder: Path, systems: Sequence[str] = (), *, models: bool = True) -> Results:
    """The results of some systems, by their folders; or without `models`.

    If none is named, those of all that were trained or imported, and then of references whose codes are shown. Raises
    InputError for a system that is not there.
    """
    if not models:
        return find(folder, [])
    trained, others = dict[str, Lineage](), list[str]()
    for path in sorted(folder.glob("*/")):
        try:
            found = system(path.name)
        except ValueError:
            continue  # a folder of other content
        if isinstance(found, Reference):
            others += [path.name] if has_shown_codes(found) else []
        elif (path / "model/history.csv").is_file():
            trained[path.name] = found
    if not trained and not others:
        raise InputError(f"{folder}: has no trained model and no units; give the folder results/{{corpus}}")
    known = [*sorted(trained, key=lambda name: _order(trained[name])), *others]
    if missing := [name for name in systems if name not in known]:
        raise InputError("\n".join(f"{folder / n}: no such model; {nearest(n, sorted(known))}" for n in missing))
    return find(folder, systems or known)


def _order(lineage: Lineage) -> tuple[int, str, int]:
    """Few stages first; seeds of a lineage together."""
    return len(lineage.stages), str(lineage), -1 if lineage.seed is None else lineage.seed


def training(request: Request) -> Drawing:
    """Loss and R@1, R@5, R@10 on the validation split over epochs."""
    return _curves(request, charts.TRAINING)


def codebooks(request: Request) -> Drawing:
    """Perplexity, codes in use, live codes and the share of the most frequent one over epochs."""
    return _curves(request, charts.CODEBOOKS)


def _curves(request: Request, names: Sequence[str]) -> Drawing:
    """Some panels; the runs of a lineage that differ in their seed look the same."""
    models = [(with_arrows(str(model.system)), model.history) for model in request.results.models]
    panels = charts.panels([(name, history) for name, history in models if history is not None], names)
    if not panels:
        return _blank("There is no epoch of a training.", request)
    return Drawing(charts.curves(panels, request.width or COLUMN), " ".join(map(charts.describe, panels)))


def precision_recall(request: Request) -> Drawing | None:
    """Precision and recall of the best words of every model and layer."""
    layers = detecting(word_layers(request.results, request.split))
    if not layers:
        return None
    figure = charts.precision_recall(best_words(layers), request.width or COLUMN)
    return Drawing(figure, f"{PRECISION_RECALL} {describe_words(layers)}")


PRECISION_RECALL = "Precision against recall of each word's best code."


def words_above(request: Request) -> Drawing | None:
    """The number of words with at least a given F1, of every model and layer."""
    layers = detecting(word_layers(request.results, request.split))
    if not layers:
        return None
    threshold = next(iter(layers.values())).summary["f1_threshold"]
    f1 = {name: layer.detectors["f1"].to_numpy() for name, layer in layers.items()}
    alt = f"Number of words above each F1 threshold. {describe_words(layers)}"
    return Drawing(charts.words_above(f1, threshold, request.width), alt)


def word_layers(results: Results, split: str) -> dict[str, Words]:
    """The word detection of every model and layer, by its name in legends."""
    return {f"{model.name} {layer.layer}": layer for model in results.with_codes for layer in model.words(split)}


def detecting(layers: dict[str, Words]) -> dict[str, Words]:
    """Those whose split has aligned words."""
    return {name: layer for name, layer in layers.items() if PUBLISHED not in layer.needs}


def best_words(layers: dict[str, Words]) -> dict[str, pd.DataFrame]:
    """Of each layer the words that its mean F1 is taken over, best first."""
    return {name: layer.detectors.head(layer.summary["best"]) for name, layer in layers.items()}


def describe_words(layers: dict[str, Words]) -> str:
    """The number of words detected by each layer."""
    counts = (f"{name}: {layer.n_detected} words" for name, layer in layers.items())
    return f"F1 of at least {next(iter(layers.values())).summary['f1_threshold']:g}: {', '.join(counts)}."


def _blank(text: str, request: Request) -> Drawing:
    """A figure that says why there is none."""
    with styled(paper=True):
        figure = Figure(figsize=(request.width or COLUMN, 0.6))
        figure.text(0.5, 0.5, text, ha="center", va="center")
    return Drawing(figure, text)
