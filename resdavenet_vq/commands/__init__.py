"""The commands of the command line: one per rule and a few for people. A command parses and calls; imports stay inside it.

Settings arrive as the JSON of a section of `config.yaml`.
"""

from __future__ import annotations

from pathlib import Path
from typing import Annotated

import typer

app = typer.Typer(
    no_args_is_help=True,
    add_completion=False,
    pretty_exceptions_enable=False,
    rich_markup_mode=None,
    help="ResDAVEnet-VQ: discrete linguistic units from images and their spoken captions.",
)

Out = Annotated[Path, typer.Option(help="Where the result goes.")]
Settings = Annotated[str, typer.Option(help="JSON of the section of config.yaml.")]
Recipe = Annotated[str, typer.Option(help="JSON of the section `recipe`.")]
LineageText = Annotated[str, typer.Option(help="In the paper's notation, like '{}->{2}'.")]
ModelFolder = Annotated[Path, typer.Option(help="Folder with model.safetensors and model.json.")]
Data = Annotated[Path, typer.Option(help="A prepared store, SPLIT.h5.")]
Workers = Annotated[int, typer.Option(min=1, help="Processes.")]
