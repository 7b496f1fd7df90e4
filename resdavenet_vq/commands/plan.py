"""What a run of the workflow would do, and cost."""

from __future__ import annotations

from itertools import groupby
from pathlib import Path
from typing import Annotated, Literal

import typer

from resdavenet_vq.commands import for_people
from resdavenet_vq.errors import InputError, printable
from resdavenet_vq.progress import waiting


@for_people
def plan(
    targets: Annotated[list[str] | None, typer.Argument(help="Targets as of snakemake: retrieval, a path, ...")] = None,
    configfile: Annotated[list[Path] | None, typer.Option(help="As of snakemake; may be given several times.")] = None,
    config: Annotated[
        list[str] | None, typer.Option(help="KEY=VALUE, as of snakemake; may be given several times.")
    ] = None,
    directory: Annotated[Path, typer.Option(help="The folder of the results, as of snakemake.")] = Path(),
    snakefile: Annotated[Path, typer.Option(help="The workflow.")] = Path("Snakefile"),
    each: Annotated[bool, typer.Option("--each", help="A line for each job, with what it makes.")] = False,
) -> None:
    """Say what snakemake would run, and for each job the keys, modules or files that changed."""
    from resdavenet_vq.workflow.dry_run import dry_run

    with waiting("plan"):
        planned = dry_run(snakefile, directory, configfile or (), config or (), targets or ())
    if not planned.jobs:
        typer.echo(f"Nothing would run: all of {planned.n_jobs} jobs are done.")
        return
    typer.echo(f"{len(planned.jobs)} of {planned.n_jobs} jobs would run.")
    rows = []
    for job in planned.jobs:
        why = ", ".join(job.reasons) or f"after {', '.join(job.after)}"
        rows.append((job.rule, why, job.outputs[0]))
    first = {row[:2]: i for i, row in reversed([*enumerate(rows)])}
    rows.sort(key=lambda row: first[row[:2]])
    width = max(len(rule) for rule, _, _ in rows)
    for (rule, why), group in groupby(rows, key=lambda row: row[:2]):
        outputs = [output for _, _, output in group]
        typer.echo(printable(f"{len(outputs):5} {rule:{width}}  {why}"))
        for output in outputs if each else ():
            typer.echo(printable(f"{'':{width + 8}}{output}"))


@for_people
def estimate(
    configfile: Annotated[list[Path], typer.Option(help="As of snakemake; may be given several times.")],
    gpus: Annotated[int, typer.Option(min=1, help="GPUs of each node.")] = 1,
    nodes: Annotated[int, typer.Option(min=1, help="Nodes.")] = 1,
    cores: Annotated[int, typer.Option(min=1, help="Processor cores of each node.")] = 16,
    device: Annotated[Literal["h200", "h100", "a100", "cpu"], typer.Option(help="What trains.")] = "h200",
    network: Annotated[float, typer.Option(min=0.001, help="Gigabytes a second between two nodes.")] = 12.5,
    rows: Annotated[
        list[str] | None, typer.Option(help="SPLIT=N, the rows of a split whose list is not here; repeatable.")
    ] = None,
    seconds: Annotated[float | None, typer.Option(min=0.1, help="Mean length of a caption.")] = None,
    picture: Annotated[str | None, typer.Option(help="WIDTHxHEIGHT, mean size of a picture in pixels.")] = None,
) -> None:
    """Say what a run will cost: hours, memory, disk, network, and what a failure loses, each with its formula."""
    from resdavenet_vq.workflow.configuration import read_files
    from resdavenet_vq.workflow.estimate import estimate as numbers
    from resdavenet_vq.workflow.estimate.lines import lines
    from resdavenet_vq.workflow.estimate.speed import Machine

    config = read_files(configfile)
    given = dict(_pair("--rows", text, "=") for text in rows or ())
    size = _pair("--picture", picture, "x") if picture else None
    sizes = numbers.mean_sizes(config, seconds, (_number("--picture", size[0]), size[1]) if size else None)
    machine = Machine(device, gpus, nodes, cores, network * 1e9)
    with waiting("count rows"):
        rows_of_splits = numbers.rows_of(config, given)
    numbers_of_run = numbers.Estimate(config, machine, rows_of_splits, *sizes)
    typer.echo(f"{' '.join(map(str, configfile))} on {nodes} node(s) of {gpus} x {device} and {cores} cores")
    for title, section in lines(numbers_of_run):
        typer.echo(f"\n{title}")
        for line in section:
            text = f"  {line.quantity:24} {line.value:>18}  {line.basis:9}  {line.formula}"
            typer.echo(printable(text.rstrip()))


def _pair(option: str, text: str, mark: str) -> tuple[str, int]:
    name, _, number = text.rpartition(mark)
    if not name:
        raise InputError(f"{option} {text}: expected NAME{mark}NUMBER")
    return name, _number(option, number)


def _number(option: str, text: str) -> int:
    if not text.isdecimal() or not int(text):
        raise InputError(f"{option}: {text!r} is not a positive whole number")
    return int(text)
