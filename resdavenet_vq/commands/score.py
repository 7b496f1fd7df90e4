"""From files to numbers."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Annotated, Literal

import typer

from resdavenet_vq.commands import (
    Data,
    Out,
    Overwrite,
    Recipe,
    Settings,
    check_new,
    counted,
    for_people,
    for_rules,
    say_written,
    section,
)
from resdavenet_vq.errors import InputError
from resdavenet_vq.progress import waiting

LineageFolder = Annotated[
    str, typer.Option("--lineage", help="Its folder, like none-2; `baseline` for the raw log-mel features.")
]


@for_rules
def score_retrieval(
    embeddings: Annotated[Path, typer.Option(help="A split's embeddings.")],
    lineage: LineageFolder,
    settings: Settings,
    out: Out,
) -> None:
    """Score cross-modal retrieval in both directions."""
    from resdavenet_vq import config
    from resdavenet_vq.evaluation import retrieval_files

    scoring = section(config.Retrieval, settings, "retrieval")
    retrieval_files.score(embeddings, scoring, out, lineage=_notation(lineage))


@for_rules
def score_matchmap(
    maps: Annotated[Path, typer.Option(help="A split's maps.")],
    similarity: Annotated[Literal["sisa", "misa", "sima"], typer.Option(help="Which score of the matchmap.")],
    lineage: LineageFolder,
    settings: Settings,
    out: Out,
) -> None:
    """Score cross-modal retrieval by the matchmap, in both directions."""
    from resdavenet_vq import config
    from resdavenet_vq.evaluation import matchmap

    scoring = section(config.Retrieval, settings, "retrieval")
    matchmap.score(maps, similarity, scoring, out, lineage=_notation(lineage))


@for_people
def make_items(
    data: Data,
    out: Out,
    report: Annotated[Path, typer.Option(help="Where the report of what was counted goes (JSON).")],
    settings: Settings = "{}",
    of: Annotated[
        Literal["triphone", "phoneme", "word", "syllable"], typer.Option(help="What the items are.")
    ] = "triphone",
    overwrite: Overwrite = False,
) -> None:
    """Make an ABX item file from the alignments of a prepared split."""
    from resdavenet_vq import config
    from resdavenet_vq.evaluation.abx import items

    check_new(overwrite, out, report)
    items.make(data, of, section(config.Items, settings, "abx.items"), out, report)
    say_written((out, counted(_n_rows(out), "item")), (report, "what was counted"))


@for_people
def score_abx(
    features: Annotated[Path, typer.Option(help="A split's features.")],
    items: Annotated[Path, typer.Option(help="Its .item file.")],
    layer: Annotated[str, typer.Option(help="logmel, conv2, quant2, or made of quant2: onehot2, segment2.")],
    lineage: LineageFolder,
    split: Annotated[str, typer.Option(help="Its name.")],
    out: Out,
    settings: Settings = "{}",
    condition: Annotated[
        Literal["triphone", "phoneme", "phoneme_any", "word", "syllable"],
        typer.Option(help="What the items are, and with `phoneme` and `phoneme_any` in which context."),
    ] = "triphone",
    items_report: Annotated[
        Path | None,
        typer.Option(help="The report of make-items, which says why the file has no items, if it has none."),
    ] = None,
    overwrite: Overwrite = False,
) -> None:
    """Score ABX error, within and across speakers, and bitrate of one layer."""
    from resdavenet_vq import config
    from resdavenet_vq.evaluation.abx import score as abx

    scoring = section(config.AbxScoring, settings, "abx.scoring")
    what = {"lineage": _notation(lineage), "split": split}
    tables = [out.with_suffix(f".{name}.csv") for name in ("phones", "speakers", "bootstrap")]
    check_new(overwrite, out, *tables)
    with waiting(f"ABX of {layer}, {condition}"):
        abx.score(features, items, layer, scoring, out, **what, condition=condition, items_report=items_report)
    say_written((out, "scores"), *((table, counted(_n_rows(table), "row")) for table in tables))


@for_people
def pack_submission(
    features: Annotated[Path, typer.Option(help="A split's features.")],
    layer: Annotated[str, typer.Option(help="quant2, ...")],
    lineage: LineageFolder,
    out: Annotated[Path, typer.Option(help="A file X.zip, or a folder that is not there yet.")],
    settings: Settings = "{}",
    edition: Annotated[int, typer.Option(min=2019, max=2021, help="Of ZeroSpeech.")] = 2019,
    split: Annotated[str, typer.Option(help="Folder of the files in the layout of 2021, like dev-clean.")] = "",
    overwrite: Overwrite = False,
) -> None:
    """Pack one layer's features as a ZeroSpeech submission."""
    from resdavenet_vq import config
    from resdavenet_vq.encode.features import LayerFeatures
    from resdavenet_vq.zerospeech import submission as packing

    submission = section(config.Submission, settings, "abx.submission")
    check_new(overwrite, out)
    with waiting(f"pack {out}"):
        packing.pack(features, layer, submission, out, lineage=_notation(lineage), edition=edition, split=split)
    with LayerFeatures(features, layer) as frames:
        say_written((out, counted(len(frames), "utterance")))


@for_rules
def detect_words(
    codes: Annotated[Path, typer.Option(help="Codes of the split on which codes are chosen.")],
    held_out: Annotated[Path, typer.Option(help="Codes of the split on which they are scored again.")],
    layer: Annotated[str, typer.Option(help="quant2, ...")],
    lineage: LineageFolder,
    settings: Settings,
    recipe: Recipe,
    out: Out,
) -> None:
    """Find the words that single codes detect."""
    from resdavenet_vq import config
    from resdavenet_vq.evaluation import words

    frame_time = section(config.Recipe, recipe, "recipe").frame_time
    scoring = section(config.Words, settings, "words")
    words.score(codes, held_out, layer, scoring, out, frame_time=frame_time, lineage=_notation(lineage))


Corpus = Annotated[str, typer.Option(help="Its name, for the column `corpus`.")]
Seeds = Annotated[str, typer.Option(help="JSON: the seed of each trained lineage, by its folder.")]


@for_rules
def summarize(
    corpus: Corpus,
    out: Annotated[Path, typer.Option(help="Where the table goes, one score a row.")],
    summary: Annotated[Path, typer.Option(help="Where its pivot for people goes, one lineage and layer a row.")],
    scores: Annotated[
        list[Path] | None, typer.Argument(help="Score files of retrieval, the matchmap, ABX and words.")
    ] = None,
    seeds: Seeds = "{}",
) -> None:
    """Gather all scores into one table, and into a wide one for people."""
    from resdavenet_vq.evaluation import score_files

    score_files.summarize(scores or [], corpus, json.loads(seeds), out, summary)


@for_rules
def summarize_noise(
    scores: Annotated[list[Path], typer.Argument(help="Score files of clean splits and of their noisy copies.")],
    corpus: Corpus,
    conditions: Annotated[
        str, typer.Option(help="JSON: of each split, what it is a copy `of`, its `kind` of noise and `snr_db`.")
    ],
    out: Out,
    seeds: Seeds = "{}",
) -> None:
    """Gather scores under noise into one table."""
    from resdavenet_vq.evaluation import score_files

    score_files.summarize_noise(scores, corpus, json.loads(conditions), json.loads(seeds), out)


@for_people
def compare(
    scores: Annotated[Path, typer.Argument(help="A scores.csv.")],
    out: Out,
    differences: Annotated[Path, typer.Option(help="Where the paired differences of systems go.")],
    files: Annotated[
        list[Path] | None, typer.Argument(help="The score files that it is made of, for intervals over seeds.")
    ] = None,
    seeds: Annotated[
        str, typer.Option(help="The seed of each trained lineage: FOLDER=SEED,FOLDER=SEED; rules give JSON.")
    ] = "{}",
    overwrite: Overwrite = False,
) -> None:
    """Compute mean, spread and 95 % interval of every score over seeds, and the differences of systems."""
    from resdavenet_vq.evaluation import comparison

    check_new(overwrite, out, differences)
    with waiting("compare"):
        comparison.write(scores, files or [], _seeds(seeds), out, differences)
    say_written(*((file, counted(_n_rows(file), "row")) for file in (out, differences)))


def _seeds(text: str) -> dict[str, int]:
    """Seeds by folder. Raises InputError for a text that does not give them."""
    if text.startswith("{"):
        return dict(json.loads(text))
    pairs = [part.partition("=")[::2] for part in text.split(",") if part]
    if faults := [folder for folder, seed in pairs if not (folder and seed.isdecimal())]:
        raise InputError(f"--seeds: {faults[0]!r} has no seed; write FOLDER=SEED,FOLDER=SEED")
    return {folder: int(seed) for folder, seed in pairs}


def _n_rows(file: Path) -> int:
    """The number of rows of a table, a line each, without its head."""
    with file.open(encoding="utf-8") as lines:
        return sum(1 for _ in lines) - 1


def _notation(folder: str) -> str:
    """A lineage's folder as tables write it."""
    from resdavenet_vq.system import notation

    try:
        return notation(folder)
    except ValueError as e:
        raise InputError(f"--lineage: {e}") from None
