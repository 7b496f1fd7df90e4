"""Corpora and their stores."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated

import typer

from resdavenet_vq import config
from resdavenet_vq.commands import Out, Settings, Workers, app
from resdavenet_vq.errors import InputError

BadRows = Annotated[str, typer.Option(help="What to do about refused rows: stop, or skip them.")]


@app.command()
def make_corpus(
    split: Annotated[str, typer.Option(help="Which split.")], settings: Settings, out: Out, workers: Workers = 1
) -> None:
    """Make one split of the spoken-scenes demo corpus."""
    from resdavenet_vq.demo import corpus as spoken_scenes

    spoken_scenes.make(config.SpokenScenes.from_json(settings), split, out, workers)


@app.command()
def make_corpus_shard(
    split: Annotated[str, typer.Option(help="Which split.")],
    numbers: Annotated[str, typer.Option(help="Which of its utterances, first:stop:step.")],
    folder: Annotated[Path, typer.Option(help="Folder of the corpus.")],
    settings: Settings,
    out: Out,
    workers: Workers = 1,
) -> None:
    """Make some utterances of a split of the spoken-scenes demo corpus."""
    from resdavenet_vq.demo import corpus as spoken_scenes

    chosen = range(*map(int, numbers.split(":")))
    spoken_scenes.make_shard(config.SpokenScenes.from_json(settings), split, chosen, folder, out, workers)


@app.command()
def gather_corpus(
    split: Annotated[str, typer.Option(help="Which split.")],
    out: Annotated[Path, typer.Option(help="Folder of the corpus.")],
    parts: Annotated[list[Path], typer.Argument(help="What the shards left, in order.")],
) -> None:
    """Describe a split of the spoken-scenes demo corpus that was made in shards."""
    from resdavenet_vq.demo import corpus as spoken_scenes

    spoken_scenes.gather(parts, split, out)


@app.command()
def prepare(
    out: Out,
    report: Annotated[Path, typer.Option(help="Where the report of refused, cut and counted rows goes.")],
    corpus: Annotated[str, typer.Option(help="JSON of the section `corpus`.")] = "",
    split: Annotated[str, typer.Option(help="Which of its splits.")] = "",
    manifest: Annotated[
        Path | None, typer.Option(help="Instead of both: a JSON file in the layout of Places Audio.")
    ] = None,
    settings: Settings = "{}",
    workers: Workers = 1,
) -> None:
    """Turn a split's wav and image files into one HDF5 store."""
    from resdavenet_vq.corpus import places
    from resdavenet_vq.corpus import reader as importing
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
def deal_rows(
    corpus: Annotated[str, typer.Option(help="JSON of the section `corpus`.")],
    split: Annotated[str, typer.Option(help="Which of its splits.")],
    shards: Annotated[int, typer.Option(min=1, help="Among how many shards.")],
    reader: Annotated[str, typer.Option(help="`preparation.reader`.")],
    bad_rows: BadRows,
    out: Annotated[Path, typer.Option(help="Folder of the lists.")],
) -> None:
    """Deal a split's rows among the shards that prepare them."""
    from resdavenet_vq.corpus import reader as importing
    from resdavenet_vq.data import dealing

    rows = importing.read(config.read_corpus(corpus), split)
    dealing.check(rows, bad_rows)
    dealing.deal(rows, shards, out, with_numbers=reader == "release_2020")


@app.command()
def prepare_shard(
    out: Out,
    report: Annotated[Path, typer.Option(help="Where the report of refused, cut and counted rows goes.")],
    rows: Annotated[Path, typer.Option(help="The list of its rows.")],
    digest: Annotated[str, typer.Option(help="The digest of that list.")],
    bad_rows: BadRows,
    release: Annotated[
        Path | None, typer.Option(help="The JSON file that names the HDF5 files of the 2020 release.")
    ] = None,
    settings: Settings = "{}",
    workers: Workers = 1,
) -> None:
    """Turn the wav and image files of one shard of a split into a store."""
    from resdavenet_vq.data import dealing, preparation

    chosen = config.Preparation.from_json(settings).model_copy(update={"bad_rows": bad_rows})
    preparation.prepare_shard(dealing.read_rows(rows, digest), chosen, out, report, workers, release)


@app.command()
def gather_shards(
    folder: Annotated[Path, typer.Option(help="Folder of the shards.")],
    digest: Annotated[str, typer.Option(help="The digest of the order of rows.")],
    bad_rows: BadRows,
    out: Out,
    report: Annotated[Path, typer.Option(help="Where the report of refused, cut and counted rows goes.")],
) -> None:
    """Make one store and one report of a split that was prepared in shards."""
    from resdavenet_vq.data import gathering

    gathering.gather(folder, digest, bad_rows, out, report)


@app.command()
def prepare_noisy(
    corpus: Annotated[str, typer.Option(help="JSON of the section `corpus`.")],
    split: Annotated[str, typer.Option(help="Which of its splits.")],
    noise: Annotated[
        str, typer.Option(help="JSON of what is added: kind, snr_db, seed, and babble_speakers or files.")
    ],
    out: Out,
    report: Annotated[Path, typer.Option(help="Where the report of refused, cut and counted rows goes.")],
    settings: Settings = "{}",
    workers: Workers = 1,
) -> None:
    """Turn a split's wav and image files into one HDF5 store, with noise added to the audio."""
    from resdavenet_vq.corpus import reader as importing
    from resdavenet_vq.data.noise import prepare as run

    utterances = importing.read(config.read_corpus(corpus), split)
    run(utterances, config.Preparation.from_json(settings), config.AddedNoise.from_json(noise), out, report, workers)


@app.command()
def verify(stores: Annotated[list[Path], typer.Argument(help="Prepared stores.")]) -> None:
    """Check every byte of prepared stores against their checksums."""
    from resdavenet_vq.data.store import verify as check

    problems = [f"{path}: {problem}" for path in stores for problem in check(path)]
    if problems:
        raise InputError("\n".join(problems))
    for path in stores:
        typer.echo(f"{path}: sound")
