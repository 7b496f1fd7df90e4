"""Any layers of all recordings under a folder, without a corpus, a manifest or images.

Each recording is encoded by itself, or with others of exactly its length, and none is cut. Its id is its path below the
folder without the suffix, `dev-clean/1272-128104-0000`, or the last part of that.
"""

from __future__ import annotations

from collections.abc import Sequence
from contextlib import ExitStack, closing
from pathlib import Path
from typing import Literal

import numpy as np

from resdavenet_vq.corpus.manifest import Utterance
from resdavenet_vq.data.faults import common_fault, write_refused
from resdavenet_vq.data.recording import Recording, read_through
from resdavenet_vq.data.workers import in_parallel
from resdavenet_vq.encode.audio_files import AudioFiles, Ids, audio_files
from resdavenet_vq.encode.exports import frame_text
from resdavenet_vq.encode.features import is_quantized
from resdavenet_vq.encode.file_names import check_new, new_file
from resdavenet_vq.encode.hdf5_output import Rows
from resdavenet_vq.encode.layers import check_layers, start_codes, start_features
from resdavenet_vq.encode.recording import Precision, RecordingEncoder
from resdavenet_vq.encode.split import FRAMES_AT_ONCE, model_origin
from resdavenet_vq.errors import InputError, listed, printable
from resdavenet_vq.files import atomic_folder
from resdavenet_vq.progress import track

READING_SECONDS = 600.0
"""Longest time to read through a recording, which may last ten hours."""

type BadRows = Literal["stop", "skip"]


def encode_folder(
    model: Path,
    wavs: Path,
    *,
    layers: Sequence[str] = (),
    features: Path | None = None,
    codes: Path | None = None,
    text: Path | None = None,
    ids: Ids = "path",
    bad_rows: BadRows = "stop",
    precision: Precision | None = None,
    overwrite: bool = False,
    frames_at_once: int = FRAMES_AT_ONCE,
) -> tuple[int, str]:
    """Encodes every audio file below `wavs` with the model in a folder; the results appear whole or not at all.

    `features` is a features file and `text` a new folder for `{layer}/{id}.txt`, a line a frame with 3 decimals; both
    hold `layers`, `convN` and `quantN` of quantizers that are on. `codes` is a codes file of every quantizer that is
    on. `frames_at_once`, log-mel frames in a batch or piece, changes speed and memory, not results.

    Returns the number of recordings, and what to say of the files left out: the first of them, and the path of a file
    with all, `NAME.refused.json` beside the first result, which the next run replaces or removes; and how many are in
    formats that are not read; the empty text if there are none. Left out are files that cannot be used, and of two with one id the second. With
    `bad_rows: stop` that is the text of an InputError. Raises InputError also if a recording changes while it is encoded,
    if the model has no such layer, if there is nothing to write, or, unless `overwrite`, if a result is there already.
    """
    _check_request(layers, features, codes, text)
    if not overwrite:
        check_new(*(path for path in (features, codes) if path))
    encoder = RecordingEncoder.load(model, precision)
    layers = check_layers(model, encoder.network, layers)
    quantizers = encoder.check_quantizers(encoder.layers) if codes else []
    refused_path = next(path for path in (features, codes, text) if path).with_suffix(".refused.json")
    audio = audio_files(wavs, ids)
    recordings, left_out = _read_through(audio, wavs, bad_rows, refused_path)
    names, n_frames = [*recordings], np.array([recording.n_frames for recording in recordings.values()])
    origin = model_origin(encoder.card, wavs.absolute().name, data="")
    with ExitStack() as stack:
        feature_rows, code_rows = dict[str, Rows](), dict[str, Rows]()
        if features:
            seconds = np.array([recording.duration for recording in recordings.values()])
            feature_rows = start_features(stack, features, encoder.network, layers, names, seconds, n_frames, origin)
        if codes:
            manifest = (
                Utterance(name, recording.path.absolute(), None, None, None, None, None, None).to_dict()
                for name, recording in recordings.items()
            )
            code_rows = start_codes(stack, codes, encoder.network, names, manifest, n_frames, origin)
        folder = stack.enter_context(atomic_folder(text)) if text else Path()
        encoded = encoder.all_parts([*recordings.values()], [*{*layers, *quantizers}], frames_at_once)
        for i, parts in track(encoded, f"encode {wavs.name}", unit="pieces"):
            for layer, rows in feature_rows.items():
                part = parts[layer]
                rows.write(i, part.codes if is_quantized(layer) else part.vectors, part.start)
            for layer, rows in code_rows.items():
                rows.write(i, parts[layer].codes, parts[layer].start)
            for layer in layers if text else ():
                path = folder / layer / f"{names[i]}.txt"
                if not parts[layer].start:  # the first piece
                    path = new_file(folder / layer, f"{names[i]}.txt")
                with path.open("a", encoding="ascii") as file:
                    file.write(frame_text(parts[layer].vectors))
    return len(recordings), "\n".join(text for text in (left_out, audio.passed_over) if text)


def _check_request(layers: Sequence[str], features: Path | None, codes: Path | None, text: Path | None) -> None:
    if not (features or codes or text):
        raise InputError("say where the result goes: a features file, a codes file, or a folder for text")
    if bool(layers) != bool(features or text):
        raise InputError("layers go together with a features file or a folder for text")


def _read_through(
    audio: AudioFiles, wavs: Path, bad_rows: BadRows, refused_path: Path
) -> tuple[dict[str, Recording], str]:
    """Every recording by its id, read once from end to end, and what to say of those that cannot be used."""
    recordings: dict[str, Recording] = {}
    refused = [*audio.refused]
    files, n_files = audio.files, len(audio.files) + len(audio.refused)
    with closing(
        in_parallel(files.values(), read_through, 1, (Recording.__module__,), lambda _, reason: reason, READING_SECONDS)
    ) as results:
        tracked = track(results, f"read {wavs.name}", len(files), "files")
        for (name, path), result in zip(files.items(), tracked, strict=True):
            if isinstance(result, Recording):
                recordings[name] = result
            else:
                refused.append((path, result))
    if not refused:
        refused_path.unlink(missing_ok=True)
        return recordings, ""
    refused.sort()
    rows = [{"file": printable(str(file)), "reason": printable(reason)} for file, reason in refused]
    all_of_them = write_refused(refused_path, rows)
    lines = listed([f"{file}: {reason}" for file, reason in refused])
    if recordings and bad_rows == "skip":
        return recordings, f"{len(refused)} of {n_files} files are left out:\n{lines}\n{all_of_them}"
    cause = "" if recordings else common_fault([(str(file), reason) for file, reason in refused])
    cause += "\n" if cause else ""
    raise InputError(
        f"{cause}{wavs}: {len(refused)} of {n_files} files cannot be used:\n{lines}\n"
        f"Repair or remove them, or leave them out with bad_rows (--bad-rows) skip.\n{all_of_them}"
    )
