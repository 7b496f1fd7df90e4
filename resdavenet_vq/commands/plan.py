"""What a run of the workflow would do."""

from __future__ import annotations

from itertools import groupby
from pathlib import Path
from typing import Annotated

import typer

from resdavenet_vq.commands import app
from resdavenet_vq.errors import printable


@app.command()
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
