"""Training, and the models of 2020."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated, Literal

import typer

from resdavenet_vq.commands import Data, Out, Recipe, app
from resdavenet_vq.errors import InputError, printable
from resdavenet_vq.lineage import Lineage

LineageFolder = Annotated[str, typer.Option(help="The name of the lineage's folder, like none-2 for {}->{2}.")]


def _lineage(folder: str) -> Lineage:
    try:
        return Lineage.from_folder(folder)
    except ValueError as e:
        raise InputError(str(e)) from None


@app.command()
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
        recipe=config.Recipe.from_json(recipe),
        training=config.Training.from_json(training).model_copy(update={"workers": workers}),
        train_store=data,
        validation_store=validation,
        parent=parent.parent if parent else None,
        out=out,
        state=state,
        code=code,
    )


@app.command()
def import_released(
    path: Annotated[
        Path, typer.Argument(help="An experiment of the 2020 release: a folder, or a zip or tar archive of one.")
    ],
    lineage: LineageFolder,
    out: Out,
    allow_unknown: Annotated[
        bool, typer.Option("--allow-unknown", help="Accept an archive that is not one of the ten released.")
    ] = False,
) -> None:
    """Turn a model released in 2020 into a model like any other."""
    from resdavenet_vq.release import importing

    importing.import_released(path, out, allow_unknown=allow_unknown, lineage=_lineage(lineage))


@app.command()
def fetch_released(
    out: Annotated[Path, typer.Option(help="Folder where the file goes.")],
    lineage: Annotated[
        str, typer.Argument(help="The folder name of one of the ten released lineages, like none-2.")
    ] = "",
    metadata: Annotated[
        Literal["train", "valid"] | None, typer.Option(help="Instead: the JSON of Places Audio with aligned words.")
    ] = None,
) -> None:
    """Download a model released in 2020, or its corpus's aligned words, and check it."""
    from resdavenet_vq.release import download

    if bool(lineage) == bool(metadata):
        raise InputError("fetch-released takes a lineage, or --metadata alone")
    path = download.fetch_metadata(metadata, out) if metadata else download.fetch_released(_lineage(lineage), out)
    typer.echo(printable(str(path)))
