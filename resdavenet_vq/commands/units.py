"""Units of one's own recordings, taken elsewhere, and submissions looked at."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated, Literal

import typer

from resdavenet_vq.commands import ModelFolder, app
from resdavenet_vq.errors import InputError

FrameTimeOption = Annotated[
    Literal["published", "centred"], typer.Option(help="Where frames lie in time; see docs/published_and_corrected.md.")
]
PrecisionOption = Annotated[
    Literal["float16", "float32"] | None,
    typer.Option(help="Of the log-mel features; without it, as the model was trained."),
]


@app.command()
def encode(
    files: Annotated[list[Path], typer.Argument(help="Audio files of any length, sample rate and number of channels.")],
    model: ModelFolder,
    layer: Annotated[
        list[str] | None, typer.Option(help="quant2, ...; may be given several times. Without it, all that are on.")
    ] = None,
    format: Annotated[Literal["json", "jsonl", "textgrid", "npy"], typer.Option(help="Of the units.")] = "json",  # noqa: A002 - its name
    out: Annotated[
        Path | None, typer.Option(help="Folder for the results; without it, JSON goes to standard output.")
    ] = None,
    frame_time: FrameTimeOption = "published",
    precision: PrecisionOption = None,
) -> None:
    """Turn recordings into units: codes with their times."""
    from resdavenet_vq.encode import recording as recordings
    from resdavenet_vq.encode import unit_files

    if out is None and format in ("textgrid", "npy"):
        raise InputError(f"--format {format} needs --out, a folder for the files")
    encoder = recordings.load(model, precision=precision)
    for file in files if out is None else unit_files.unambiguous(files):
        units = encoder.encode_layers(file, layer or (), frame_time=frame_time)
        if out is None:
            typer.echo(unit_files.as_text(file, units, format))
        else:
            unit_files.write(out, file, units, format)


@app.command()
def encode_tree(
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
    bad_files: Annotated[
        Literal["stop", "skip"], typer.Option(help="Whether unreadable files stop everything or are left out.")
    ] = "stop",
    precision: PrecisionOption = None,
) -> None:
    """Encode all recordings under a folder: any layers, no manifest, no images."""
    from resdavenet_vq.encode import folder as trees

    wanted = [layer for layer in layers.split(",") if layer]
    left_out = trees.encode_tree(
        model,
        wavs,
        layers=wanted,
        features=out,
        codes=codes,
        text=text,
        ids=ids,
        bad_files=bad_files,
        precision=precision,
    )
    for reason in left_out:
        typer.echo(f"left out: {reason}", err=True)


@app.command()
def export_units(
    codes: Annotated[Path, typer.Option(help="A codes file, of encode-codes or encode-tree.")],
    format: Annotated[Literal["textgrid", "jsonl", "npy", "segmentation"], typer.Option(help="Of the units.")],  # noqa: A002 - its name
    out: Annotated[Path, typer.Option(help="A folder that is not there yet; of jsonl, a file.")],
    layers: Annotated[
        str, typer.Option(help="Comma-separated: quant2,quant3. Without it, all that the file has.")
    ] = "",
    features: Annotated[
        Path | None, typer.Option(help="For segmentation: the split's features, with what enters the quantizer.")
    ] = None,
    arrays: Annotated[
        Literal["txt", "npy"], typer.Option(help="For segmentation: how indices and vectors are written.")
    ] = "txt",
    frame_time: FrameTimeOption = "published",
) -> None:
    """Write the units of a split for other tools."""
    from resdavenet_vq.encode import exports

    wanted = [layer for layer in layers.split(",") if layer]
    n = exports.export_units(codes, wanted, format, out, features=features, arrays=arrays, frame_time=frame_time)
    typer.echo(f"{out}: {n} utterances", err=True)


@app.command()
def validate_submission(
    submission: Annotated[Path, typer.Argument(help="A zip, or the folder that would be zipped.")],
    edition: Annotated[
        int | None, typer.Option(min=2019, max=2021, help="Of ZeroSpeech; without it, the one that it looks like.")
    ] = None,
    items: Annotated[Path | None, typer.Option(help="An .item file: exactly its utterances must be there.")] = None,
    wavs: Annotated[Path | None, typer.Option(help="Instead: a folder of audio files.")] = None,
) -> None:
    """Check a ZeroSpeech submission of 2019, 2020 or 2021, anybody's; rejected ones exit with status 1."""
    from resdavenet_vq.zerospeech import validation

    if items and wavs:
        raise InputError("validate-submission takes --items or --wavs, not both")
    expected = validation.Expected.by_items(items) if items else validation.Expected.by_wavs(wavs) if wavs else None
    verdict = validation.validate(submission, edition, expected)
    if not verdict.accepted:
        raise InputError(verdict.report(str(submission)))
    typer.echo(verdict.report(str(submission)))
