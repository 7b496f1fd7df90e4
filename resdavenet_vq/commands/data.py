"""Corpora and their stores."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from resdavenet_vq.commands import Out, Settings, Workers, app
from resdavenet_vq.errors import InputError, listed, printable

if TYPE_CHECKING:
    from resdavenet_vq.corpus.manifest import Manifest

CorpusSection = Annotated[str, typer.Option("--corpus", help="JSON of the section `corpus`.")]
SplitName = Annotated[str, typer.Option("--split", help="A split of the corpus.")]
ReportPath = Annotated[Path, typer.Option("--report", help="The report of refused, cut and counted rows.")]


@app.command()
def make_corpus(split: SplitName, settings: Settings, out: Out, workers: Workers = 1) -> None:
    """Make one split of the spoken-scenes demo corpus."""
    from resdavenet_vq import config
    from resdavenet_vq.demo import corpus as spoken_scenes

    spoken_scenes.make(config.SpokenScenes.from_json(settings), split, out, workers)


@app.command()
def prepare(
    out: Out,
    report: ReportPath,
    corpus: CorpusSection = "",
    split: SplitName = "",
    manifest: Annotated[
        Path | None, typer.Option(help="Instead of both: a JSON file in the layout of Places Audio.")
    ] = None,
    settings: Settings = "{}",
    workers: Workers = 1,
) -> None:
    """Turn a split's wav and image files into one HDF5 store."""
    from resdavenet_vq import config
    from resdavenet_vq.corpus import places
    from resdavenet_vq.data.preparation import prepare as run

    if (manifest is None) != bool(corpus and split):
        raise InputError("prepare takes --corpus and --split, or --manifest alone")
    utterances, release = _read(corpus, split) if manifest is None else (places.read(manifest), None)
    run(utterances, config.Preparation.from_json(settings), out, report, workers, release)


@app.command()
def prepare_part(
    corpus: CorpusSection,
    split: SplitName,
    part: Annotated[int, typer.Option(min=0, help="Which part, counted from 0.")],
    parts: Annotated[int, typer.Option(min=1, help="Number of parts of the split.")],
    rows_per_part: Annotated[int, typer.Option(min=1, help="Consecutive rows in each part but the last.")],
    out: Annotated[Path, typer.Option(help="Folder of the parts.")],
    code: Annotated[str, typer.Option(help="Fingerprint of the code, and whatever else the rows do not show.")] = "",
    settings: Settings = "{}",
    workers: Workers = 1,
) -> None:
    """Turn the wav and image files of one part of a split into a store, unless it is there already."""
    from resdavenet_vq import config
    from resdavenet_vq.data import parts as splitting

    utterances, release = _read(corpus, split)
    which = splitting.Part(part, parts, rows_per_part)
    preparation = config.Preparation.from_json(settings)
    splitting.prepare_part(utterances, which, preparation, out, workers, release, code)


@app.command()
def prepare_noisy(
    corpus: CorpusSection,
    split: SplitName,
    noise: Annotated[
        str, typer.Option(help="JSON of what is added: kind, snr_db, seed, and babble_speakers or files.")
    ],
    out: Out,
    report: ReportPath,
    settings: Settings = "{}",
    workers: Workers = 1,
) -> None:
    """Turn a split's wav and image files into one HDF5 store, with noise added to the audio."""
    from resdavenet_vq import config
    from resdavenet_vq.data.noise import prepare as run

    utterances, _ = _read(corpus, split)
    run(utterances, config.Preparation.from_json(settings), config.AddedNoise.from_json(noise), out, report, workers)


def _read(corpus: str, split: str) -> tuple[Manifest, Path | None]:
    """The utterances of a split, and the JSON file that names its HDF5 files of the 2020 release, if there is one."""
    from resdavenet_vq import config
    from resdavenet_vq.corpus import reader

    section = config.read_corpus(corpus)
    release = section.release_hdf5.get(split) if isinstance(section, config.ImportedCorpus) else None
    return reader.read(section, split), release


@app.command()
def verify(stores: Annotated[list[Path], typer.Argument(help="Prepared stores, or folders of their parts.")]) -> None:
    """Check every byte of prepared stores against their checksums."""
    from resdavenet_vq.data.store import verify as check

    problems = [problem for path in stores for problem in check(path)]
    if problems:
        raise InputError(listed(problems))
    for path in stores:
        typer.echo(printable(f"{path}: sound"))
