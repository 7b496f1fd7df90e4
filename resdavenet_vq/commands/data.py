"""Corpora and their stores."""

from __future__ import annotations

import json
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from resdavenet_vq.commands import (
    Out,
    Overwrite,
    Settings,
    Workers,
    check_new,
    counted,
    for_people,
    for_rules,
    say_written,
    section,
)
from resdavenet_vq.errors import InputError, listed, printable
from resdavenet_vq.progress import waiting

if TYPE_CHECKING:
    from resdavenet_vq.corpus.manifest import Manifest

CorpusSection = Annotated[
    str, typer.Option("--corpus", help="A configuration, FILE.yaml; rules give its section `corpus` as JSON.")
]
SplitName = Annotated[str, typer.Option("--split", help="A split of the corpus.")]
ReportPath = Annotated[Path, typer.Option("--report", help="The report of refused, cut and counted rows.")]


@for_people
def make_corpus(
    split: SplitName,
    out: Annotated[Path, typer.Option(help="Folder of the corpus, to which the split is added.")],
    settings: Annotated[
        str,
        typer.Option(
            help="A configuration, FILE.yaml; rules give its section `corpus` as JSON. Without it, the demo's."
        ),
    ] = "",
    workers: Workers = 1,
    overwrite: Overwrite = False,
) -> None:
    """Make one split of the spoken-scenes demo corpus."""
    from resdavenet_vq import config
    from resdavenet_vq.demo import corpus as spoken_scenes

    corpus, files = section(config.SpokenScenes, settings, "corpus"), (out / f"{split}.json", out / f"{split}.item")
    check_new(overwrite, *files, next((path for path in (out / split).rglob("*") if path.is_file()), None))
    spoken_scenes.make(corpus, split, out, workers)
    n = (corpus.pairs | corpus.word_lists)[split]
    say_written(*((file, counted(n, "utterance")) for file in (*files, out / split)))


@for_people
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
    overwrite: Overwrite = False,
) -> None:
    """Turn a split's wav and image files into one HDF5 store."""
    from resdavenet_vq import config
    from resdavenet_vq.corpus import places
    from resdavenet_vq.data.preparation import prepare as run
    from resdavenet_vq.files import read_json

    if (manifest is None) != bool(corpus and split):
        raise InputError("prepare takes --corpus and --split, or --manifest alone")
    check_new(overwrite, out, report)
    utterances, release = _read(corpus, split) if manifest is None else (places.read(manifest), None)
    run(utterances, section(config.Preparation, settings, "preparation"), out, report, workers, release)
    say_written(
        (out, counted(read_json(report)["utterances"], "utterance")), (report, "what was refused, cut and counted")
    )


@for_rules
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
    preparation = section(config.Preparation, settings, "preparation")
    splitting.prepare_part(utterances, which, preparation, out, workers, release, code)


@for_rules
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
    preparation = section(config.Preparation, settings, "preparation")
    run(utterances, preparation, config.AddedNoise.from_json(noise), out, report, workers)


def _read(corpus: str, split: str) -> tuple[Manifest, Path | None]:
    """The utterances of a split, and the JSON file that names its HDF5 files of the 2020 release, if there is one."""
    from resdavenet_vq import config
    from resdavenet_vq.corpus import reader
    from resdavenet_vq.workflow.configuration import read_values

    if not corpus.startswith("{"):
        corpus = json.dumps(read_values([Path(corpus)])["corpus"], default=str)
    layout = config.read_corpus(corpus)
    release = layout.release_hdf5.get(split) if isinstance(layout, config.ImportedCorpus) else None
    return reader.read(layout, split), release


@for_people
def verify(stores: Annotated[list[Path], typer.Argument(help="Prepared stores, or folders of their parts.")]) -> None:
    """Check every byte of prepared stores against their checksums."""
    from resdavenet_vq.data.store import verify as check

    problems = []
    for path in stores:
        with waiting(f"verify {path}"):
            problems += check(path)
    if problems:
        raise InputError(listed(problems))
    for path in stores:
        typer.echo(printable(f"{path}: sound"))
