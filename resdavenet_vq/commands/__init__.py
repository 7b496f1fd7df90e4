"""The commands of the command line: those for people, and those that rules call. A command parses and calls; imports stay inside it.

Commands for people say what they wrote and replace nothing unasked (`check_new`, `say_written`). Settings arrive as a file of
the configuration, from people, or as the JSON of a section of it, from rules (`section`).
"""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from contextvars import ContextVar
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

import typer
from typer.core import TyperGroup

from resdavenet_vq import __version__
from resdavenet_vq.errors import listed

if TYPE_CHECKING:
    from resdavenet_vq.config import Section

PANELS = ("For people", "For rules")
"""What --help lists the commands under."""


class Panels(TyperGroup):
    """The command line; its help has a list of commands for each of PANELS."""

    def format_commands(self, ctx: typer.Context, formatter: Any) -> None:  # type: ignore[override]  # noqa: ARG002
        """Writes the lists, in the order of names."""
        width = max(map(len, self.commands))
        for panel in PANELS:
            commands = sorted((name, c) for name, c in self.commands.items() if c.rich_help_panel == panel)  # type: ignore[attr-defined]
            with formatter.section(panel):
                short = formatter.width - 6 - width
                formatter.write_dl([(f"{name:{width}}", c.get_short_help_str(short)) for name, c in commands])


app = typer.Typer(
    cls=Panels,
    no_args_is_help=True,
    pretty_exceptions_enable=False,
    rich_markup_mode=None,
    context_settings={"help_option_names": ["-h", "--help"]},
    help="ResDAVEnet-VQ: discrete linguistic units from images and their spoken captions.",
)
for_people, for_rules = (app.command(rich_help_panel=panel) for panel in PANELS)
"""Decorators: each adds a command to the command line."""

Out = Annotated[Path, typer.Option(help="Where the result goes.")]
Settings = Annotated[
    str, typer.Option(help="A configuration, FILE.yaml; rules give its section for this command as JSON.")
]
Recipe = Annotated[str, typer.Option(help="A configuration, FILE.yaml; rules give its section `recipe` as JSON.")]
LineageText = Annotated[str, typer.Option(help="In the paper's notation, like '{}->{2}'.")]
ModelFolder = Annotated[Path, typer.Option(help="Folder with model.safetensors and model.json.")]
Data = Annotated[Path, typer.Option(help="A prepared store, SPLIT.h5.")]
Workers = Annotated[int, typer.Option(min=1, help="Processes.")]
Overwrite = Annotated[
    bool,
    typer.Option("--overwrite", help="Replace files of results that are there; without it, they stop the command."),
]


def _show_version(is_asked: bool) -> None:
    if is_asked:
        typer.echo(f"resdavenet-vq {__version__}")
        raise typer.Exit


@app.callback()
def _options(
    _: Annotated[
        bool, typer.Option("--version", callback=_show_version, is_eager=True, help="Show the version and exit.")
    ] = False,
) -> None: ...


def section[S: Section](kind: type[S], text: str, key: str) -> S:
    """A section of the configuration: that at a dotted `key` of a file, or the JSON text that a rule gives.

    Raises InputError with every fault.
    """
    if text.startswith("{"):
        return kind.from_json(text)
    from resdavenet_vq.workflow.configuration import read_section

    return read_section([Path(text)] if text else [], kind, key)


_replaces: ContextVar[bool] = ContextVar("replaces", default=False)
"""Whether commands replace results that are there, as a rule's job does."""


@contextmanager
def replacing() -> Iterator[None]:
    """Commands in this block replace results without `--overwrite`."""
    token = _replaces.set(True)
    try:
        yield
    finally:
        _replaces.reset(token)


def check_new(overwrite: bool, *paths: Path | None) -> None:
    """Raises InputError, unless `overwrite`, naming results that are there already: a person may need them still."""
    from resdavenet_vq.encode.file_names import check_new as check

    if not (overwrite or _replaces.get()):
        check(*filter(None, paths))


def say_written(*outputs: tuple[Path, str]) -> None:
    """Says on standard error what was written: a line for each path, with its size in words, like `200 utterances`."""
    typer.echo(listed([f"written: {path} ({size})" for path, size in outputs]), err=True)


def counted(n: int, noun: str) -> str:
    """A number of things: `1 row`, `200 utterances`."""
    return f"{n} {noun}" if n == 1 else f"{n} {noun}s"
