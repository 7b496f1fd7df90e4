"""A project of one's own."""

from __future__ import annotations

import importlib.util
import shlex
from pathlib import Path
from typing import Annotated, Literal

import typer

from resdavenet_vq.commands import Overwrite, check_new, counted, for_people, say_written
from resdavenet_vq.errors import printable


@for_people
def init(
    folder: Annotated[Path, typer.Argument(help="The project's folder, new or without these files.")],
    corpus: Annotated[
        Literal["demo", "places", "spoken_coco", "flickr8k", "folder"],
        typer.Option(help="What config.yaml is for; `demo` makes its corpus, `folder` is one of your own."),
    ] = "demo",
    overwrite: Overwrite = False,
) -> None:
    """Write a project: a Snakefile that runs the installed workflow, config.yaml with comments, and profiles."""
    from resdavenet_vq.project import files_of, write_project

    files = files_of(folder)
    check_new(overwrite, *files)
    write_project(folder, corpus)
    say_written(*((file, counted(len(file.read_text(encoding="utf-8").splitlines()), "line")) for file in files))
    needed = {"snakemake": "workflow"} | ({"espeakng_loader": "demo"} if corpus == "demo" else {})
    for extra in [extra for module, extra in needed.items() if not importlib.util.find_spec(module)][-1:]:
        typer.echo(f"first:   pip install 'resdavenet-vq[{extra}]'")
    paths = "" if corpus == "demo" else " once the paths in config.yaml are yours"
    typer.echo(printable(f"next:    cd {shlex.quote(str(folder))} && snakemake --cores all{paths}"))
