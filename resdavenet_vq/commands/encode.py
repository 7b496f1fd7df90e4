"""Encoding: splits for the workflow, one's own recordings and folders, and exports of units."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated, Any, Literal

import typer

from resdavenet_vq.commands import (
    Data,
    ModelFolder,
    Out,
    Overwrite,
    Recipe,
    check_new,
    counted,
    for_people,
    say_written,
    section,
)
from resdavenet_vq.errors import InputError, listed, message
from resdavenet_vq.progress import waiting

FrameTimeOption = Annotated[
    Literal["published", "centred"], typer.Option(help="Where frames lie in time; see docs/published_and_corrected.md.")
]
PrecisionOption = Annotated[
    Literal["float16", "float32"] | None,
    typer.Option(help="Of the log-mel features; without it, as the model was trained."),
]


@for_people
def encode_split(
    model: ModelFolder,
    data: Data,
    embeddings: Annotated[Path | None, typer.Option(help="Where the embeddings of images and captions go.")] = None,
    maps: Annotated[
        Path | None,
        typer.Option(
            help="Where the cells of images and the last frames of captions go: their products are the matchmap."
        ),
    ] = None,
    codes: Annotated[Path | None, typer.Option(help="Where the codes of every quantizer that is on go.")] = None,
    features: Annotated[Path | None, typer.Option(help="Where the features of `layers` go.")] = None,
    layers: Annotated[str, typer.Option(help="Of the features, comma-separated: conv2,quant2.")] = "",
    limit: Annotated[
        int, typer.Option(min=0, help="Number of utterances with codes, the first of the split; 0: all.")
    ] = 0,
    recipe: Recipe = "{}",
    overwrite: Overwrite = False,
) -> None:
    """Write what a model makes of a split: embeddings, maps, codes, features of layers, or several of them in one pass."""
    from resdavenet_vq import config
    from resdavenet_vq.data.store import Store
    from resdavenet_vq.encode import split
    from resdavenet_vq.files import together

    if not (embeddings or maps or codes or features):
        raise InputError("encode-split needs --embeddings, --maps, --codes or --features, a file for the result")
    if bool(features) != bool(layers):
        raise InputError("encode-split needs --features and --layers together")
    check_new(overwrite, embeddings, maps, codes, features)
    context = section(config.Recipe, recipe, "recipe")
    passes: dict[tuple[int, bool], dict[str, Any]] = {}
    is_padded = context.context == "padded"
    for name, path, of in (
        ("embeddings", embeddings, (0, is_padded)),
        ("maps", maps, (0, is_padded)),
        ("codes", codes, (limit, is_padded)),
        ("features", features, (0, False)),  # of each utterance alone, as ABX compares them
    ):
        if path:
            passes.setdefault(of, {})[name] = path
    with together():
        for (n, padded), outputs in passes.items():
            split.encode(
                model,
                data,
                **outputs,
                feature_layers=tuple(layers.split(",")) if "features" in outputs else (),
                limit=n,
                recipe=context if padded else split.CROPPED,
            )
    n = len(Store(data))
    lengths = ((embeddings, n), (maps, n), (codes, min(limit or n, n)), (features, n))
    say_written(*((path, counted(length, "utterance")) for path, length in lengths if path))


@for_people
def encode_logmel(
    data: Data,
    out: Out,
    normalized: Annotated[
        bool, typer.Option("--normalized", help="With mean 0 and variance 1 in each band of each utterance.")
    ] = False,
    overwrite: Overwrite = False,
) -> None:
    """Write the log-mel features of a split as a features file, the baseline."""
    from resdavenet_vq.data.store import Store
    from resdavenet_vq.encode.logmel import encode_logmel as run

    check_new(overwrite, out)
    run(data, out, normalize=normalized)
    say_written((out, counted(len(Store(data)), "utterance")))


@for_people
def encode(
    files: Annotated[list[Path], typer.Argument(help="Audio files of any length, sample rate and number of channels.")],
    model: ModelFolder,
    layer: Annotated[
        list[str] | None,
        typer.Option(help="quant2, ...; may be given several times. Without it, all quantizers that are on."),
    ] = None,
    format: Annotated[  # noqa: A002 - its name
        Literal["json", "jsonl", "textgrid", "npy"], typer.Option(help="Of the units.")
    ] = "json",
    out: Annotated[
        Path | None, typer.Option(help="Folder for the results; without it, JSON goes to standard output.")
    ] = None,
    frame_time: FrameTimeOption = "published",
    precision: PrecisionOption = None,
    skip_bad: Annotated[
        bool,
        typer.Option(
            "--skip-bad", help="Encode the others where files cannot be used; the exit status is 1 all the same."
        ),
    ] = False,
    overwrite: Overwrite = False,
) -> None:
    """Turn recordings into units: codes with their times."""
    from resdavenet_vq.encode.recordings import encode_recordings

    if out is None and format in ("textgrid", "npy"):
        raise InputError(f"--format {format} needs --out, a folder for the files")
    written, faults = encode_recordings(
        model,
        files,
        out,
        format,
        show=typer.echo,
        layers=layer or (),
        frame_time=frame_time,
        precision=precision,
        skip_bad=skip_bad,
        overwrite=overwrite,
    )
    if out and written:
        say_written((out, counted(len(written), "recording")))
        typer.echo(listed([str(path) for paths in written.values() for path in paths]), err=True)
    if faults:
        raise InputError(faults)


@for_people
def encode_folder(
    model: ModelFolder,
    wavs: Annotated[Path, typer.Option(help="A folder; every audio file below it is encoded.")],
    layers: Annotated[str, typer.Option(help="Comma-separated, of features and text: conv2,quant2.")] = "",
    out: Annotated[Path | None, typer.Option(help="A features file, which score-abx and pack-submission take.")] = None,
    codes: Annotated[Path | None, typer.Option(help="A codes file, which export-units takes.")] = None,
    text: Annotated[Path | None, typer.Option(help="A new folder for LAYER/ID.txt, a line a frame.")] = None,
    ids: Annotated[
        Literal["path", "name"],
        typer.Option(help="What recordings are called: their path below the folder, or its last part."),
    ] = "path",
    bad_rows: Annotated[
        Literal["stop", "skip"], typer.Option(help="Whether files that cannot be used stop everything or are left out.")
    ] = "stop",
    precision: PrecisionOption = None,
    overwrite: Overwrite = False,
) -> None:
    """Encode all recordings under a folder: any layers, no manifest, no images."""
    from resdavenet_vq.encode import folder

    n, left_out = folder.encode_folder(
        model,
        wavs,
        layers=[layer for layer in layers.split(",") if layer],
        features=out,
        codes=codes,
        text=text,
        ids=ids,
        bad_rows=bad_rows,
        precision=precision,
        overwrite=overwrite,
    )
    if left_out:
        typer.echo(message(left_out), err=True)
    say_written(*((path, counted(n, "recording")) for path in (out, codes, text) if path))


@for_people
def export_units(
    codes: Annotated[Path, typer.Option(help="A codes file, of encode-split or encode-folder.")],
    format: Annotated[  # noqa: A002 - its name
        Literal["textgrid", "jsonl", "npy", "segmentation"], typer.Option(help="Of the units.")
    ],
    out: Annotated[Path, typer.Option(help="A new folder; for jsonl, a file.")],
    layers: Annotated[
        str, typer.Option(help="Comma-separated: quant2,quant3. Without it, all layers of the file.")
    ] = "",
    features: Annotated[
        Path | None, typer.Option(help="For segmentation: the split's features, with what enters the quantizer.")
    ] = None,
    arrays: Annotated[
        Literal["txt", "npy"], typer.Option(help="For segmentation: how indices and vectors are written.")
    ] = "txt",
    frame_time: FrameTimeOption = "published",
    overwrite: Overwrite = False,
) -> None:
    """Write the units of a split for other tools."""
    from resdavenet_vq.encode import exports

    chosen = [layer for layer in layers.split(",") if layer]
    n = exports.export_units(
        codes, chosen, format, out, features=features, arrays=arrays, frame_time=frame_time, overwrite=overwrite
    )
    say_written((out, counted(n, "utterance")))


@for_people
def export_alignments(
    manifest: Annotated[
        Path, typer.Argument(help="A JSON file in the layout of Places Audio, of make-corpus or others.")
    ],
    out: Annotated[Path, typer.Option(help="A new folder.")],
    format: Annotated[  # noqa: A002 - its name
        Literal["textgrid", "ctm"], typer.Option(help="A TextGrid an utterance, or a CTM a tier.")
    ] = "textgrid",
) -> None:
    """Write the words and phones of a corpus, with their times, for other tools."""
    from resdavenet_vq.encode import alignment_files

    n = alignment_files.export_alignments(manifest, format, out)
    say_written((out, counted(n, "utterance")))


@for_people
def validate_submission(
    submission: Annotated[Path, typer.Argument(help="A zip, or the folder that would be zipped.")],
    edition: Annotated[
        int | None, typer.Option(min=2019, max=2021, help="Of ZeroSpeech; without it, it is recognized by the files.")
    ] = None,
    items: Annotated[
        Path | None, typer.Option(help="An .item file: the submission must have exactly its utterances.")
    ] = None,
    wavs: Annotated[Path | None, typer.Option(help="Instead: a folder of audio files.")] = None,
) -> None:
    """Check anybody's ZeroSpeech submission of 2019, 2020 or 2021; exits with status 1 if it is rejected."""
    from resdavenet_vq.zerospeech import validation

    if items and wavs:
        raise InputError("validate-submission takes --items or --wavs, not both")
    expected = None
    if items:
        from resdavenet_vq.evaluation.abx.items import read_items

        expected = validation.Expected(sorted({item.file for item in read_items(items)}), str(items))
    elif wavs:
        from resdavenet_vq.encode.audio_files import audio_files

        audio = audio_files(wavs)
        audio.check()
        if audio.passed_over:
            typer.echo(message(audio.passed_over), err=True)
        expected = validation.Expected([*audio.files], str(wavs))
    with waiting(f"validate {submission}"):
        verdict = validation.validate(submission, edition, expected)
    if not verdict.accepted:
        raise InputError(verdict.report(str(submission)))
    typer.echo(message(verdict.report(str(submission))))
