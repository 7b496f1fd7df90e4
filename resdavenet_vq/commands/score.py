"""From files to numbers."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Annotated, Literal

import typer

from resdavenet_vq.commands import Data, Out, Recipe, Settings, app
from resdavenet_vq.errors import InputError

LineageFolder = Annotated[
    str, typer.Option("--lineage", help="Its folder, like none-2; `baseline` for the raw log-mel features.")
]


@app.command()
def score_retrieval(
    embeddings: Annotated[Path, typer.Option(help="A split's embeddings.")],
    lineage: LineageFolder,
    settings: Settings,
    out: Out,
) -> None:
    """Score cross-modal retrieval in both directions."""
    from resdavenet_vq import config
    from resdavenet_vq.evaluation import retrieval_files

    retrieval_files.score(embeddings, config.Retrieval.from_json(settings), out, lineage=_notation(lineage))


@app.command()
def score_matchmap(
    maps: Annotated[Path, typer.Option(help="A split's maps.")],
    similarity: Annotated[Literal["sisa", "misa", "sima"], typer.Option(help="Which score of the matchmap.")],
    lineage: LineageFolder,
    settings: Settings,
    out: Out,
) -> None:
    """Score cross-modal retrieval by the matchmap, in both directions."""
    from resdavenet_vq import config
    from resdavenet_vq.evaluation import matchmap

    matchmap.score(maps, similarity, config.Retrieval.from_json(settings), out, lineage=_notation(lineage))


@app.command()
def make_items(
    data: Data,
    settings: Settings,
    out: Out,
    report: Annotated[Path, typer.Option(help="Where the report of what was counted goes (JSON).")],
    of: Annotated[
        Literal["triphone", "phoneme", "word", "syllable"], typer.Option(help="What the items are.")
    ] = "triphone",
) -> None:
    """Make an ABX item file from the alignments of a prepared split."""
    from resdavenet_vq import config
    from resdavenet_vq.evaluation.abx import items

    items.make(data, of, config.Items.from_json(settings), out, report)


@app.command()
def score_abx(
    features: Annotated[Path, typer.Option(help="A split's features.")],
    items: Annotated[Path, typer.Option(help="Its .item file.")],
    layer: Annotated[str, typer.Option(help="logmel, conv2, quant2, or made of quant2: onehot2, segment2.")],
    lineage: LineageFolder,
    split: Annotated[str, typer.Option(help="Its name.")],
    settings: Settings,
    out: Out,
    condition: Annotated[
        Literal["triphone", "phoneme", "phoneme_any", "word", "syllable"],
        typer.Option(help="What the items are, and with `phoneme` and `phoneme_any` in which context."),
    ] = "triphone",
    items_report: Annotated[
        Path | None,
        typer.Option(help="The report of make-items, which says why the file has no items, if it has none."),
    ] = None,
) -> None:
    """Score ABX error, within and across speakers, and bitrate of one layer."""
    from resdavenet_vq import config
    from resdavenet_vq.evaluation.abx import score as abx

    scoring = config.AbxScoring.from_json(settings)
    what = {"lineage": _notation(lineage), "split": split}
    abx.score(features, items, layer, scoring, out, **what, condition=condition, items_report=items_report)


@app.command()
def pack_submission(
    features: Annotated[Path, typer.Option(help="A split's features.")],
    layer: Annotated[str, typer.Option(help="quant2, ...")],
    lineage: LineageFolder,
    out: Annotated[Path, typer.Option(help="A file X.zip, or a folder that is not there yet.")],
    settings: Settings = "{}",
    edition: Annotated[int, typer.Option(min=2019, max=2021, help="Of ZeroSpeech.")] = 2019,
    split: Annotated[str, typer.Option(help="Folder of the files in the layout of 2021, like dev-clean.")] = "",
) -> None:
    """Pack one layer's features as a ZeroSpeech submission."""
    from resdavenet_vq import config
    from resdavenet_vq.zerospeech import submission as packing

    submission = config.Submission.from_json(settings)
    packing.pack(features, layer, submission, out, lineage=_notation(lineage), edition=edition, split=split)


@app.command()
def detect_words(
    codes: Annotated[Path, typer.Option(help="Codes of the split on which codes are chosen.")],
    held_out: Annotated[Path, typer.Option(help="Codes of the split on which they are scored again.")],
    layer: Annotated[str, typer.Option(help="quant2, ...")],
    lineage: LineageFolder,
    settings: Settings,
    recipe: Recipe,
    out: Out,
) -> None:
    """Find the words that single codes detect."""
    from resdavenet_vq import config
    from resdavenet_vq.evaluation import words

    frame_time = config.Recipe.from_json(recipe).frame_time
    scoring = config.Words.from_json(settings)
    words.score(codes, held_out, layer, scoring, out, frame_time=frame_time, lineage=_notation(lineage))


Corpus = Annotated[str, typer.Option(help="Its name, for the column `corpus`.")]
Seeds = Annotated[str, typer.Option(help="JSON: the seed of each trained lineage, by its folder.")]


@app.command()
def summarize(
    corpus: Corpus,
    out: Annotated[Path, typer.Option(help="Where the table goes, one score a row.")],
    summary: Annotated[Path, typer.Option(help="Where its pivot for people goes, one lineage and layer a row.")],
    scores: Annotated[
        list[Path] | None, typer.Argument(help="Score files of retrieval, the matchmap, ABX and words.")
    ] = None,
    seeds: Seeds = "{}",
) -> None:
    """Gather all scores into one table, and into a wide one for people."""
    from resdavenet_vq.evaluation import score_files

    score_files.summarize(scores or [], corpus, json.loads(seeds), out, summary)


@app.command()
def summarize_noise(
    scores: Annotated[list[Path], typer.Argument(help="Score files of clean splits and of their noisy copies.")],
    corpus: Corpus,
    conditions: Annotated[
        str, typer.Option(help="JSON: of each split, what it is a copy `of`, its `kind` of noise and `snr_db`.")
    ],
    out: Out,
    seeds: Seeds = "{}",
) -> None:
    """Gather scores under noise into one table."""
    from resdavenet_vq.evaluation import score_files

    score_files.summarize_noise(scores, corpus, json.loads(conditions), json.loads(seeds), out)


@app.command()
def compare(
    scores: Annotated[Path, typer.Argument(help="A scores.csv.")],
    out: Out,
    differences: Annotated[Path, typer.Option(help="Where the paired differences of systems go.")],
    files: Annotated[
        list[Path] | None, typer.Argument(help="The score files that it is made of, for intervals over seeds.")
    ] = None,
    seeds: Seeds = "{}",
) -> None:
    """Compute mean, spread and 95 % interval of every score over seeds, and the differences of systems."""
    from resdavenet_vq.evaluation import comparison

    comparison.write(scores, files or [], json.loads(seeds), out, differences)


def _notation(folder: str) -> str:
    """A lineage's folder as tables write it."""
    from resdavenet_vq.system import notation

    try:
        return notation(folder)
    except ValueError as e:
        raise InputError(f"--lineage: {e}") from None
