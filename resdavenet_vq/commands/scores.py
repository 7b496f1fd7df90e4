"""From files to numbers."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated

import typer

from resdavenet_vq import config
from resdavenet_vq.commands import LineageText, Out, Recipe, Settings, app


@app.command()
def score_retrieval(
    embeddings: Annotated[Path, typer.Option(help="A split's embeddings.")], lineage: LineageText, settings: Settings, out: Out
) -> None:
    """Score cross-modal retrieval in both directions."""
    from resdavenet_vq.evaluation import retrieval

    retrieval.score(embeddings, config.Retrieval.from_json(settings), out, lineage=lineage)


@app.command()
def score_abx(
    features: Annotated[Path, typer.Option(help="A split's features.")],
    items: Annotated[Path, typer.Option(help="Its .item file.")],
    layer: Annotated[str, typer.Option(help="conv2, quant2, logmel, ...")],
    lineage: LineageText,
    split: Annotated[str, typer.Option(help="Its name.")],
    slowest_period: Annotated[float, typer.Option(help="Frame period, in seconds, of the slowest layer compared.")],
    settings: Settings,
    out: Out,
) -> None:
    """Score ABX error, within and across speakers, and bitrate of one layer."""
    from resdavenet_vq.evaluation import abx

    abx.score(
        features, items, layer, config.AbxScoring.from_json(settings), out, lineage=lineage, split=split, slowest_period=slowest_period
    )


@app.command()
def pack_submission(
    features: Annotated[Path, typer.Option(help="A split's features.")],
    layer: Annotated[str, typer.Option(help="quant2, ...")],
    lineage: LineageText,
    settings: Settings,
    out: Out,
) -> None:
    """Pack one layer's features as a ZeroSpeech 2019 submission."""
    from resdavenet_vq.evaluation import zerospeech

    zerospeech.pack(features, layer, config.Submission.from_json(settings), out, lineage=lineage)


@app.command()
def detect_words(
    codes: Annotated[Path, typer.Option(help="Codes of the split on which codes are chosen.")],
    held_out: Annotated[Path, typer.Option(help="Codes of the split on which they are scored again.")],
    layer: Annotated[str, typer.Option(help="quant2, ...")],
    lineage: LineageText,
    settings: Settings,
    recipe: Recipe,
    out: Out,
) -> None:
    """Find the words that single codes detect."""
    from resdavenet_vq.evaluation import word_detection

    word_detection.score(
        codes,
        held_out,
        layer,
        config.Words.from_json(settings),
        out,
        frame_time=config.Recipe.from_json(recipe).frame_time,
        lineage=lineage,
    )


@app.command()
def summarise(
    scores: Annotated[list[Path], typer.Argument(help="retrieval.json, abx/*/*.json and words/*/summary.json files.")], out: Out
) -> None:
    """Gather every headline number into one table."""
    from resdavenet_vq.evaluation import summary

    summary.summarise(scores, out)
