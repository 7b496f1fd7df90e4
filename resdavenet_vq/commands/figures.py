"""Figures and tables for a paper."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated, Literal

import typer

from resdavenet_vq import config
from resdavenet_vq.commands import Recipe, app

figure = typer.Typer(no_args_is_help=True, help="Draw a figure for a paper: PDF, SVG or PNG, by the file's suffix.")
app.add_typer(figure, name="figure")

Results = Annotated[Path, typer.Option(help="The corpus's folder of results, results/{corpus}.")]
Outs = Annotated[list[Path], typer.Option("--out", help="A file, .pdf, .svg or .png; may be given several times.")]
Lineages = Annotated[
    str, typer.Option(help="Comma-separated folders of lineages, like none-2,none-2-seed1; all, if none is named.")
]
Column = Annotated[float, typer.Option(min=1, help="Inches.")]
Split = Annotated[str, typer.Option(help="Name of the split.")]
Layers = Annotated[
    str,
    typer.Option(help="Comma-separated layers whose codes are drawn: quant2, or none-2/quant2 for one model's; all."),
]


@figure.command("retrieval")
def draw_retrieval(results: Results, out: Outs, width: Column = 3.3) -> None:
    """R@10 of every lineage, with its spread over seeds."""
    from resdavenet_vq.figures import paper

    paper.write(paper.retrieval(results, width), out)


@figure.command("abx")
def draw_abx(results: Results, out: Outs, split: Split, width: Column = 3.3) -> None:
    """ABX error of every layer, within and across speakers, with its spread over seeds."""
    from resdavenet_vq.figures import paper

    paper.write(paper.abx(results, split, width), out)


@figure.command("bitrate-abx")
def draw_bitrate(results: Results, out: Outs, split: Split, width: Column = 3.3) -> None:
    """Bitrate against ABX error of every quantizer."""
    from resdavenet_vq.figures import paper

    paper.write(paper.bitrate(results, split, width), out)


@figure.command("words")
def draw_words(results: Results, out: Outs, width: Column = 3.3) -> None:
    """Words detected by every quantizer, held out and by chance too, with their spread over seeds."""
    from resdavenet_vq.figures import paper

    paper.write(paper.words(results, width), out)


@figure.command("precision-recall")
def draw_precision_recall(
    results: Results,
    out: Outs,
    lineages: Lineages = "",
    best: Annotated[int, typer.Option(min=1, help="Words of each layer.")] = 250,
    width: Column = 3.3,
) -> None:
    """Precision against recall of the best words of every layer."""
    from resdavenet_vq.figures import paper

    paper.write(paper.precision_recall(paper.find(results, _listed(lineages)), width, best), out)


@figure.command("words-above")
def draw_words_above(results: Results, out: Outs, lineages: Lineages = "", width: Column = 3.3) -> None:
    """How many words have at least a given F1, on a logarithmic axis."""
    from resdavenet_vq.figures import paper

    paper.write(paper.words_above(paper.find(results, _listed(lineages)), width), out)


@figure.command("training")
def draw_training(results: Results, out: Outs, lineages: Lineages = "", width: Column = 3.3) -> None:
    """Loss and R@1, R@5, R@10 on the validation split over epochs."""
    from resdavenet_vq.figures import histories, paper

    paper.write(paper.training(paper.find(results, _listed(lineages)), histories.TRAINING, width), out)


@figure.command("codebooks")
def draw_codebooks(results: Results, out: Outs, lineages: Lineages = "", width: Column = 3.3) -> None:
    """Perplexity, codes in use, live codes and the share of the most frequent one over epochs."""
    from resdavenet_vq.figures import histories, paper

    paper.write(paper.training(paper.find(results, _listed(lineages)), histories.CODEBOOKS, width), out)


@figure.command("confusions")
def draw_confusions(
    phones: Annotated[Path, typer.Option(help="A table of ABX errors by phones, abx/{split}/{layer}.phones.csv.")],
    out: Outs,
    task: Annotated[Literal["within", "across"], typer.Option(help="Within a speaker, or across two.")] = "across",
    title: Annotated[str, typer.Option(help="Above the picture.")] = "",
    width: Column = 7.0,
) -> None:
    """Which phones a layer confuses: the ABX error of every pair of phones."""
    from resdavenet_vq.figures import confusions, paper

    paper.write(confusions.drawn(phones, task, title, width), out)


@figure.command("utterance")
def draw_utterance(
    results: Results,
    out: Outs,
    split: Split,
    utterance: Annotated[
        str | None, typer.Option(help="Its id; the first with aligned words, if none is given.")
    ] = None,
    start: Annotated[float, typer.Option("--from", min=0, help="Seconds.")] = 0.0,
    end: Annotated[float | None, typer.Option("--to", help="Seconds; the utterance's end.")] = None,
    lineages: Lineages = "",
    layers: Layers = "",
    recipe: Recipe = "{}",
    width: Column = 7.0,
) -> None:
    """The spectrogram of an utterance, or of a part of it, under its words, phones and runs of codes."""
    from resdavenet_vq.figures import paper

    of = paper.Split(
        paper.find(results, _listed(lineages)), split, _listed(layers), config.Recipe.from_json(recipe).frame_time
    )
    paper.write(paper.utterance(of, utterance, start, end, width), out)


@figure.command("keyword")
def draw_keyword(
    results: Results,
    out: Outs,
    split: Split,
    word: Annotated[str, typer.Option(help="As the alignments write it; upper and lower case are one.")],
    places: Annotated[int, typer.Option(min=1, help="The first so many.")] = 8,
    sounds: Annotated[
        bool, typer.Option("--sounds", help="Write the sound of every place beside the figure: fig-01.wav, ...")
    ] = False,
    lineages: Lineages = "",
    layers: Layers = "",
    recipe: Recipe = "{}",
    width: Column = 7.0,
) -> None:
    """The places where a word is spoken, each as a spectrogram under its words, phones and runs of codes."""
    from resdavenet_vq.figures import paper

    of = paper.Split(
        paper.find(results, _listed(lineages)), split, _listed(layers), config.Recipe.from_json(recipe).frame_time
    )
    drawn, heard = paper.keyword(of, word, places, width)
    paper.write(drawn, out)
    for number, sound in enumerate(heard if sounds else (), 1):
        sound.write(out[0].with_name(f"{out[0].stem}-{number:02d}.wav"))


@app.command()
def table(
    kind: Annotated[Literal["retrieval", "abx", "words"], typer.Argument(help="Of which scores.")],
    results: Results,
    form: Annotated[
        Literal["latex", "markdown", "csv"], typer.Option("--format", help="LaTeX needs the package booktabs.")
    ] = "markdown",
    out: Annotated[Path | None, typer.Option(help="Where the table goes; to standard output, if nowhere.")] = None,
) -> None:
    """Write a table for a paper: numbers, or their mean and standard deviation over seeds."""
    from resdavenet_vq.files import atomic_write
    from resdavenet_vq.report import tables

    text = tables.table(results / "summary.csv", kind, form)
    if out is None:
        typer.echo(text, nl=False)
        return
    with atomic_write(out) as tmp:
        tmp.write_text(text, encoding="utf-8")


def _listed(text: str) -> list[str]:
    """The names in a comma-separated list; none in an empty one."""
    return [part.strip() for part in text.split(",") if part.strip()]
