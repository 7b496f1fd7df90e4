"""The command line: one command per rule and a few for people. It parses and calls; imports stay inside the commands.

Settings arrive as the JSON of a section of `config.yaml`. A failed command prints one readable message and exits
with status 1; set RESDAVENET_VQ_TRACEBACK=1 to see where it came from.
"""

from __future__ import annotations

import os
import sys
from pathlib import Path
from typing import Annotated, Literal

import typer

from resdavenet_vq import config
from resdavenet_vq.errors import InputError

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


@app.command()
def train(
    lineage: LineageText,
    data: Data,
    validation: Annotated[Path, typer.Option(help="The prepared store that chooses the best epoch.")],
    model: Annotated[str, typer.Option(help="JSON of the section `model`.")],
    training: Annotated[str, typer.Option(help="JSON of the section `training`, the lineage's overrides applied.")],
    out: Out,
    state: Annotated[Path, typer.Option(help="Folder where an unfinished training keeps what it needs to go on.")],
    recipe: Recipe = "{}",
    parent: Annotated[Path | None, typer.Option(help="model.json of the lineage to start from.")] = None,
    code: Annotated[str, typer.Option(help="Fingerprint of the code, kept with the model.")] = "",
    workers: Annotated[int, typer.Option(min=0, help="Processes that read and decode.")] = 1,
    threads: Annotated[int, typer.Option(min=1, help="Processor cores; without a GPU, those beyond the workers compute.")] = 1,
) -> None:
    """Train one stage of a lineage from its parent's best checkpoint."""
    import torch

    from resdavenet_vq.training import loop

    torch.set_num_threads(max(1, threads - workers))
    loop.train(
        lineage=lineage,
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
    path: Annotated[Path, typer.Argument(help="An experiment of the 2020 release: a folder, or a zip or tar archive of one.")],
    lineage: LineageText,
    out: Out,
    allow_unknown: Annotated[bool, typer.Option("--allow-unknown", help="Accept an archive that is none of the ten released.")] = False,
) -> None:
    """Turn a model released in 2020 into a model like any other."""
    from resdavenet_vq.model import released

    released.import_released(path, out, allow_unknown=allow_unknown, lineage=lineage)


@app.command()
def fetch_released(
    out: Annotated[Path, typer.Option(help="Folder where the file goes.")],
    lineage: Annotated[str, typer.Argument(help="One of the ten released, like '{}->{2}'.")] = "",
    metadata: Annotated[
        Literal["train", "valid"] | None, typer.Option(help="Instead: the JSON of Places Audio with aligned words.")
    ] = None,
) -> None:
    """Download a model released in 2020, or its corpus's aligned words, and check it."""
    from resdavenet_vq import fetching

    if bool(lineage) == bool(metadata):
        raise InputError("fetch-released takes a lineage, or --metadata alone")
    typer.echo(fetching.fetch_metadata(metadata, out) if metadata else fetching.fetch_released(lineage, out))


@app.command()
def encode_embeddings(model: ModelFolder, data: Data, out: Out, recipe: Recipe = "{}") -> None:
    """Write the embeddings of a split's images and captions."""
    from resdavenet_vq.evaluation.encode import encode

    encode(model, data, embeddings=out, recipe=config.Recipe.from_json(recipe))


@app.command()
def encode_codes(
    model: ModelFolder,
    data: Data,
    out: Out,
    limit: Annotated[int, typer.Option(min=0, help="First so many utterances; 0: all.")] = 0,
    recipe: Recipe = "{}",
) -> None:
    """Write the codes of a split's utterances, of every quantizer that is on."""
    from resdavenet_vq.evaluation.encode import encode

    encode(model, data, codes=out, limit=limit, recipe=config.Recipe.from_json(recipe))


@app.command()
def encode_features(
    model: ModelFolder, data: Data, layers: Annotated[str, typer.Option(help="Comma-separated: conv2,quant2.")], out: Out
) -> None:
    """Write the features of chosen layers for a split's utterances."""
    from resdavenet_vq.evaluation.encode import encode

    encode(model, data, features=out, feature_layers=tuple(layers.split(",")))


@app.command()
def encode_logmel(data: Data, out: Out) -> None:
    """Write the raw log-mel features of a split in the form of a layer's, for comparison."""
    from resdavenet_vq.evaluation.encode import encode_logmel as run

    run(data, out)


@app.command()
def score_retrieval(
    embeddings: Annotated[Path, typer.Option(help="A split's embeddings.")], lineage: LineageText, settings: Settings, out: Out
) -> None:
    """Score cross-modal retrieval in both directions."""
    from resdavenet_vq.evaluation import retrieval

    retrieval.score(embeddings, config.Retrieval.from_json(settings), out, lineage=lineage)


@app.command()
def score_abx(
    features: Annotated[Path, typer.Option(help="A split's features.")],
    items: Annotated[Path, typer.Option(help="Its .item file.")],
    layer: Annotated[str, typer.Option(help="conv2, quant2, logmel, ...")],
    lineage: LineageText,
    split: Annotated[str, typer.Option(help="Its name.")],
    slowest_period: Annotated[float, typer.Option(help="Frame period, in seconds, of the slowest layer compared.")],
    settings: Settings,
    out: Out,
) -> None:
    """Score ABX error, within and across speakers, and bitrate of one layer."""
    from resdavenet_vq.evaluation import abx

    abx.score(
        features, items, layer, config.AbxScoring.from_json(settings), out, lineage=lineage, split=split, slowest_period=slowest_period
    )


@app.command()
def pack_submission(
    features: Annotated[Path, typer.Option(help="A split's features.")],
    layer: Annotated[str, typer.Option(help="quant2, ...")],
    lineage: LineageText,
    settings: Settings,
    out: Out,
) -> None:
    """Pack one layer's features as a ZeroSpeech 2019 submission."""
    from resdavenet_vq.evaluation import zerospeech

    zerospeech.pack(features, layer, config.Submission.from_json(settings), out, lineage=lineage)


@app.command()
def detect_words(
    codes: Annotated[Path, typer.Option(help="Codes of the split on which codes are chosen.")],
    held_out: Annotated[Path, typer.Option(help="Codes of the split on which they are scored again.")],
    layer: Annotated[str, typer.Option(help="quant2, ...")],
    lineage: LineageText,
    settings: Settings,
    recipe: Recipe,
    out: Out,
) -> None:
    """Find the words that single codes detect."""
    from resdavenet_vq.evaluation import word_detection

    word_detection.score(
        codes,
        held_out,
        layer,
        config.Words.from_json(settings),
        out,
        frame_time=config.Recipe.from_json(recipe).frame_time,
        lineage=lineage,
    )


@app.command()
def summarise(
    scores: Annotated[list[Path], typer.Argument(help="retrieval.json, abx/*/*.json and words/*/summary.json files.")], out: Out
) -> None:
    """Gather every headline number into one table."""
    from resdavenet_vq.evaluation import summary

    summary.summarise(scores, out)


@app.command()
def write_report(
    results: Annotated[Path, typer.Option(help="The corpus's folder of results.")],
    lineages: Annotated[str, typer.Option(help="Comma-separated folders of lineages.")],
    split: Annotated[str, typer.Option(help="Split whose utterances are shown.")],
    settings: Settings,
    out: Out,
    recipe: Recipe = "{}",
) -> None:
    """Write the report page and everything it shows into one folder."""
    from resdavenet_vq.report import page

    page.write(
        results=results,
        lineages=lineages.split(","),
        split=split,
        out=out,
        settings=config.Report.from_json(settings),
        frame_time=config.Recipe.from_json(recipe).frame_time,
    )


def main() -> None:
    """Run the command line; a failure is one message on standard error and status 1."""
    try:
        app()
    except InputError as e:
        if os.environ.get("RESDAVENET_VQ_TRACEBACK"):
            raise
        print(f"error: {e}", file=sys.stderr)
        sys.exit(1)
    except Exception as e:
        if os.environ.get("RESDAVENET_VQ_TRACEBACK"):
            raise
        print(f"error: {type(e).__name__}: {e} (RESDAVENET_VQ_TRACEBACK=1 shows where)", file=sys.stderr)
        sys.exit(1)


if __name__ == "__main__":
    main()
