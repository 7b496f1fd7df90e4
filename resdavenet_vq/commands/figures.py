"""Figures, tables and the report."""

from __future__ import annotations

import glob
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Literal

import typer

from resdavenet_vq.commands import (
    Out,
    Overwrite,
    Recipe,
    Settings,
    check_new,
    counted,
    for_people,
    for_rules,
    say_written,
    section,
)
from resdavenet_vq.errors import InputError
from resdavenet_vq.progress import waiting

if TYPE_CHECKING:
    from resdavenet_vq.report.sources import Command

Results = Annotated[Path, typer.Option(help="The folder results/{corpus}.")]
Systems = Annotated[str, typer.Option(help="Comma-separated folders of models and others, like none-2,kmeans.")]


@for_people
def figure(
    name: Annotated[str, typer.Argument(help="retrieval, abx, words, ...; see docs/figures.md.")],
    results: Results,
    out: Annotated[list[Path], typer.Option(help="A file: .pdf, .svg or .png. May be given several times.")],
    width: Annotated[float | None, typer.Option(min=1, help="Inches; by default 3.3 or 7.0.")] = None,
    systems: Systems = "",
    split: Annotated[str, typer.Option(help="Name of the split.")] = "",
    layers: Annotated[
        str, typer.Option(help="Comma-separated layers: quant2, or none-2/quant2 for one model's. Default: all.")
    ] = "",
    utterance: Annotated[str, typer.Option(help="Its id; by default the first with aligned words.")] = "",
    start: Annotated[float, typer.Option("--from", min=0, help="Seconds.")] = 0.0,
    end: Annotated[float | None, typer.Option("--to", help="Seconds; by default the utterance's end.")] = None,
    word: Annotated[str, typer.Option(help="A word of the alignments, in upper or lower case.")] = "",
    places: Annotated[int, typer.Option(min=1, help="The largest number of places.")] = 8,
    sounds: Annotated[bool, typer.Option("--sounds", help="Write each place's sound too: fig-01.wav, ...")] = False,
    task: Annotated[Literal["within", "across"], typer.Option(help="Within a speaker, or across two.")] = "across",
    title: Annotated[str, typer.Option(help="Above the picture.")] = "",
    recipe: Recipe = "{}",
    overwrite: Overwrite = False,
) -> None:
    """Draw a figure for a paper: PDF, SVG or PNG, by the file's suffix."""
    from resdavenet_vq import config
    from resdavenet_vq.config.faults import nearest
    from resdavenet_vq.figures import paper, registry, utterances
    from resdavenet_vq.files import together

    if name not in registry.FIGURES:
        raise InputError(f"figure {name}: {nearest(name, list(registry.FIGURES))}")
    entry = registry.FIGURES[name]
    given = {"split": split, "word": word, "utterance": utterance, "layers": layers, "systems": systems}
    if surplus := [option for option, value in given.items() if value and option not in entry.options]:
        raise InputError(f"figure {name}: has no option --{surplus[0]}")
    if missing := [option for option in ("split", "word") if option in entry.options and not given[option]]:
        raise InputError(f"figure {name}: needs the option --{missing[0]}")
    check_new(overwrite, *out, *(_sounds_beside(out[0]) if sounds else ()))
    frame_time = section(config.Recipe, recipe, "recipe").frame_time
    request = registry.Request(
        results=paper.open_results(results, _parts(systems), models=entry.reads_models),
        width=width or entry.width,
        split=split,
        layers=tuple(_parts(layers)),
        utterance=utterance,
        start=start,
        end=end,
        word=word,
        places=places,
        task=task,
        title=title,
        frame_time=frame_time,
    )
    with waiting(f"figure {name}"):
        drawing = paper.draw(name, request)
        with together():
            paper.write(drawing, out)
            if sounds and "sounds" in entry.options:
                utterances.write_sounds(request, out[0])
    wide, high = drawing.figure.get_size_inches()
    size = f"{wide:.3g} x {high:.3g} inches{', sounds beside' if sounds and 'sounds' in entry.options else ''}"
    say_written(*((file, size) for file in out))


def _sounds_beside(figure: Path) -> list[Path]:
    """The sounds of a figure's places: fig-01.wav, ..."""
    return sorted(figure.parent.glob(f"{glob.escape(figure.stem)}-[0-9][0-9].wav"))


@for_people
def table(
    kind: Annotated[
        Literal["retrieval", "abx", "words", "differences"],
        typer.Argument(help="Of which scores, or of all differences."),
    ],
    results: Results,
    form: Annotated[
        Literal["latex", "markdown", "csv"], typer.Option("--format", help="LaTeX needs the package booktabs.")
    ] = "markdown",
    out: Annotated[Path | None, typer.Option(help="By default standard output.")] = None,
    overwrite: Overwrite = False,
) -> None:
    """Write a table for a paper: means over seeds with their intervals, or paired differences."""
    from resdavenet_vq.files import atomic_write
    from resdavenet_vq.report import tables
    from resdavenet_vq.results import find

    check_new(overwrite, out)
    with waiting(f"table {kind}"):
        scored = find(results, [])
        if kind == "differences":
            text = tables.differences(scored.differences, form)
        else:
            text = tables.text(scored.comparison, scored.conditions(kind), kind, form, scored.gaps)
    if out is None:
        typer.echo(text, nl=False)
        return
    with atomic_write(out) as tmp:
        tmp.write_text(text, encoding="utf-8")
    say_written((out, counted(len(text.splitlines()), "line")))


@for_rules
def write_report(
    results: Results,
    systems: Systems,
    settings: Settings,
    out: Out,
    split: Annotated[
        str | None, typer.Option(help="The split whose utterances are in the report; by default there are none.")
    ] = None,
    recipe: Recipe = "{}",
    noise: Annotated[Path | None, typer.Option(help="A noise.csv, for figures of scores under noise.")] = None,
    run: Annotated[
        str, typer.Option("--config", help="JSON of the configuration, for a page of the commands behind the numbers.")
    ] = "",
) -> None:
    """Write the report, a folder of pages."""
    from resdavenet_vq import config
    from resdavenet_vq.report import page

    page.write(
        results=results,
        systems=_parts(systems),
        split=split,
        settings=section(config.Report, settings, "report"),
        out=out,
        frame_time=section(config.Recipe, recipe, "recipe").frame_time,
        noise=noise,
        commands=_commands(run) if run else {},
    )


def _commands(run: str) -> dict[str, Command]:
    """What makes each file of a run's results, by the file's path in their folder."""
    from resdavenet_vq.config import Config
    from resdavenet_vq.report.sources import Command
    from resdavenet_vq.workflow.batches import Batches
    from resdavenet_vq.workflow.plan import Plan

    plan = Plan(Config.from_json(run))
    lines = Batches(plan).command_lines.items()
    return {Path(file).relative_to(plan.root).as_posix(): Command(*made) for file, made in lines}


def _parts(text: str) -> list[str]:
    """The names in a comma-separated list."""
    return [part.strip() for part in text.split(",") if part.strip()]
