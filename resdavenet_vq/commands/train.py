"""Training, and the models of 2020."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated, Literal

import typer

from resdavenet_vq.commands import Data, Out, Overwrite, Recipe, check_new, for_people, for_rules, say_written, section
from resdavenet_vq.errors import InputError, printable
from resdavenet_vq.lineage import Lineage
from resdavenet_vq.progress import waiting

LineageFolder = Annotated[str, typer.Option(help="The name of the lineage's folder, like none-2 for {}->{2}.")]


def _lineage(folder: str) -> Lineage:
    try:
        return Lineage.from_folder(folder)
    except ValueError as e:
        raise InputError(str(e)) from None


@for_rules
def train(
    lineage: LineageFolder,
    data: Data,
    validation: Annotated[Path, typer.Option(help="The prepared store that chooses the best epoch.")],
    model: Annotated[str, typer.Option(help="JSON of the section `model`.")],
    training: Annotated[str, typer.Option(help="JSON of the section `training`, the lineage's overrides applied.")],
    out: Out,
    state: Annotated[Path, typer.Option(help="Folder for the checkpoints of an unfinished training.")],
    recipe: Recipe = "{}",
    parent: Annotated[Path | None, typer.Option(help="model.json of the lineage to start from.")] = None,
    code: Annotated[str, typer.Option(help="Fingerprint of the code, kept with the model.")] = "",
    workers: Annotated[int, typer.Option(min=0, help="Processes that read and decode data.")] = 1,
    threads: Annotated[
        int, typer.Option(min=1, help="CPU cores; without a GPU, those beyond the workers compute.")
    ] = 1,
) -> None:
    """Train one stage of a lineage from its parent's best checkpoint."""
    import torch

    from resdavenet_vq import config
    from resdavenet_vq.training import train as training_loop

    torch.set_num_threads(max(1, threads - workers))
    training_loop.train(
        lineage=_lineage(lineage),
        model=config.Model.from_json(model),
        recipe=section(config.Recipe, recipe, "recipe"),
        training=config.Training.from_json(training).model_copy(update={"workers": workers}),
        train_store=data,
        validation_store=validation,
        parent=parent.parent if parent else None,
        out=out,
        state=state,
        code=code,
    )


@for_people
def import_released(
    path: Annotated[
        Path, typer.Argument(help="An experiment of the 2020 release: a folder, or a zip or tar archive of one.")
    ],
    lineage: LineageFolder,
    out: Out,
    allow_unknown: Annotated[
        bool, typer.Option("--allow-unknown", help="Accept an archive that is not one of the ten released.")
    ] = False,
    overwrite: Overwrite = False,
) -> None:
    """Turn a model released in 2020 into a model like any other."""
    from resdavenet_vq import model_card
    from resdavenet_vq.model import checkpoint
    from resdavenet_vq.release import importing

    files = [out / name for name in (checkpoint.WEIGHTS, checkpoint.CARD, importing.HISTORY, model_card.NAME)]
    check_new(overwrite, *files)
    with waiting(f"import {path}"):
        importing.import_released(path, out, allow_unknown=allow_unknown, lineage=_lineage(lineage))
    say_written((out, f"the model of {_lineage(lineage)}, {_megabytes(*files)}"))


@for_people
def fetch_released(
    out: Annotated[Path, typer.Option(help="Folder where the file goes.")],
    lineage: Annotated[
        str, typer.Argument(help="The folder name of one of the ten released lineages, like none-2.")
    ] = "",
    metadata: Annotated[
        Literal["train", "valid"] | None, typer.Option(help="Instead: the JSON of Places Audio with aligned words.")
    ] = None,
) -> None:
    """Download a model released in 2020, or its corpus's aligned words, and check it; what is there whole stays."""
    from resdavenet_vq.release import download

    if bool(lineage) == bool(metadata):
        raise InputError("fetch-released takes a lineage, or --metadata alone")
    before = {*out.iterdir()} if out.is_dir() else set[Path]()
    path = download.fetch_metadata(metadata, out) if metadata else download.fetch_released(_lineage(lineage), out)
    if path in before:
        typer.echo(printable(f"there already: {path} ({_megabytes(path)})"), err=True)
    else:
        say_written((path, _megabytes(path)))


def _megabytes(*files: Path) -> str:
    return f"{sum(file.stat().st_size for file in files) / 1e6:.1f} MB"
