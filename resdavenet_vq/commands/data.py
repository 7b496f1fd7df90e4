"""Corpora and their stores."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated

import typer

from resdavenet_vq import config
from resdavenet_vq.commands import Out, Settings, Workers, app
from resdavenet_vq.errors import InputError


@app.command()
def make_corpus(split: Annotated[str, typer.Option(help="Which split.")], settings: Settings, out: Out, workers: Workers = 1) -> None:
    """Make one split of the spoken-scenes demo corpus."""
    from resdavenet_vq.corpus import spoken_scenes

    spoken_scenes.make(config.SpokenScenes.from_json(settings), split, out, workers)


@app.command()
def prepare(
    out: Out,
    report: Annotated[Path, typer.Option(help="Where the report of refused, cut and counted rows goes.")],
    corpus: Annotated[str, typer.Option(help="JSON of the section `corpus`.")] = "",
    split: Annotated[str, typer.Option(help="Which of its splits.")] = "",
    manifest: Annotated[Path | None, typer.Option(help="Instead of both: a JSON file in the layout of Places Audio.")] = None,
    settings: Settings = "{}",
    workers: Workers = 1,
) -> None:
    """Turn a split's wav and image files into one HDF5 store."""
    from resdavenet_vq.corpus import importing, places
    from resdavenet_vq.data.preparation import prepare as run

    if (manifest is None) != bool(corpus and split):
        raise InputError("prepare takes --corpus and --split, or --manifest alone")
    release = None
    if manifest is None:
        section = config.read_corpus(corpus)
        utterances = importing.read(section, split)
        release = section.release_hdf5.get(split) if isinstance(section, config.ImportedCorpus) else None
    else:
        utterances = places.read(manifest)
    run(utterances, config.Preparation.from_json(settings), out, report, workers, release)


@app.command()
def verify(stores: Annotated[list[Path], typer.Argument(help="Prepared stores.")]) -> None:
    """Check every byte of prepared stores against their checksums."""
    from resdavenet_vq.data.store import verify as check

    problems = [f"{path}: {problem}" for path in stores for problem in check(path)]
    if problems:
        raise InputError("\n".join(problems))
    for path in stores:
        typer.echo(f"{path}: sound")
