"""Recordings that a person names to files of units, or to lines of text."""

from __future__ import annotations

import sys
from collections import defaultdict
from collections.abc import Callable, Sequence
from contextlib import nullcontext
from pathlib import Path

from resdavenet_vq.data.recording import Recording
from resdavenet_vq.encode.exports import RecordingFormat, recording_paths, recording_text, write_recording
from resdavenet_vq.encode.file_names import check_new, is_utf8
from resdavenet_vq.encode.recording import Precision, RecordingEncoder
from resdavenet_vq.encode.units import FrameTime
from resdavenet_vq.errors import InputError, listed
from resdavenet_vq.files import together
from resdavenet_vq.progress import track, waiting


def encode_recordings(
    model: Path,
    files: Sequence[Path],
    out: Path | None,
    form: RecordingFormat,
    *,
    show: Callable[[str], None],
    layers: Sequence[str] = (),
    frame_time: FrameTime = "published",
    precision: Precision | None = None,
    skip_bad: bool = False,
    overwrite: bool = False,
) -> tuple[dict[Path, list[Path]], str]:
    """Writes the units of recordings to the folder `out`, all files or none, or hands their text one by one to `show`.

    Every file is read from end to end first. Those that cannot be used stop everything; with `skip_bad` the others are
    encoded. Returns the paths of the results by recording, and what to say of the files that could not be used.

    Raises InputError also if two recordings would have one result, if the model lacks a layer, or, unless `overwrite`,
    if a result is there already.
    """
    check_recordings(files, distinct=out is not None)
    encoder = RecordingEncoder.load(model, precision)
    layers = encoder.check_quantizers(layers or encoder.layers)
    paths = [path for file in files for path in recording_paths(out, file, layers, form)] if out else []
    if not overwrite:
        check_new(*paths)
    recordings, faults = _read_through(files)
    if faults and not skip_bad:
        raise InputError(f"{faults}\nNothing is encoded; --skip-bad encodes the others.")
    with together():
        in_sight = _is_in_sight(files, out)
        for recording in recordings if in_sight else track(recordings, "encode", unit="files"):
            with waiting(f"encode {recording.path.name}") if in_sight else nullcontext():
                units = encoder.units(recording, layers, frame_time=frame_time)
            if out is None:
                show(recording_text(recording.path, units, form))
            else:
                write_recording(out, recording.path, units, form)
    return {r.path: recording_paths(out, r.path, layers, form) for r in recordings} if out else {}, faults


def check_recordings(files: Sequence[Path], *, distinct: bool) -> None:
    """Raises InputError for what is no file to encode, and if `distinct` for recordings with one name but the suffix."""
    faults = [f"{file}: {fault}" for file in files if (fault := _fault(file))]
    stems = defaultdict[str, list[str]](list)
    for file in files:
        stems[file.stem].append(str(file))
    for stem, same in stems.items():
        if distinct and len(same) > 1:
            faults.append(
                f"{' and '.join(same)}: results would both be called {stem}; rename one, or use encode-folder"
            )
    if faults:
        raise InputError(listed(faults))


def _is_in_sight(files: Sequence[Path], out: Path | None) -> bool:
    """Whether a person sees without a bar how far it is: a single file, or text that appears on the terminal."""
    return len(files) == 1 or (out is None and sys.stdout.isatty())


def _fault(file: Path) -> str:
    """Why a path is no recording, whatever it holds; or nothing."""
    if not is_utf8(str(file)):
        return "its name is not UTF-8; rename it"
    if str(file) == "-":
        return "standard input is not read; give a file"
    if file.is_dir():
        return f"is a folder; use encode-folder --wavs {file}"
    if set("*?[") & set(file.name) and not file.exists():
        return "no file matches this pattern"
    return ""


def _read_through(files: Sequence[Path]) -> tuple[list[Recording], str]:
    """The recordings, each read once from end to end, and what to say of those that cannot be used."""
    recordings, faults = [], []
    for file in track(files, "read", unit="files") if len(files) > 1 else files:
        try:
            recordings.append(Recording(file))
        except InputError as e:
            faults.append(str(e))
    if not faults:
        return recordings, ""
    return recordings, f"{len(faults)} of {len(files)} files cannot be used:\n{listed(faults)}"
