"""Any layers of all recordings under a folder, without a corpus, a manifest or images.

Each recording is encoded by itself, or with others of exactly its length, and none is cut. Its id is its path below the
folder without the suffix, `dev-clean/1272-128104-0000`, or the last part of that.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from contextlib import ExitStack
from itertools import groupby
from pathlib import Path
from typing import Literal

import numpy as np

from resdavenet_vq.corpus.manifest import Utterance
from resdavenet_vq.data.audio import Recording
from resdavenet_vq.encode.codes import add_codes, create_codes
from resdavenet_vq.encode.exports import FrameText
from resdavenet_vq.encode.features import add_features, create_features, is_quantized
from resdavenet_vq.encode.hdf5 import Rows
from resdavenet_vq.encode.recording import Part, Precision, SpeechEncoder, load
from resdavenet_vq.encode.split import FRAMES_AT_ONCE, frame_period, layer_frames, layer_width
from resdavenet_vq.errors import InputError, listed
from resdavenet_vq.files import atomic_folder
from resdavenet_vq.progress import track

SUFFIXES = frozenset({".wav", ".flac", ".ogg", ".opus", ".mp3", ".aiff", ".aif", ".au", ".sph"})
"""Of audio files, in lower or upper case."""

type Ids = Literal["path", "name"]
"""The id of an audio file: its path below the folder, or the last part of it, in both cases without suffix."""

type BadRows = Literal["stop", "skip"]

type Recordings = Sequence[tuple[str, Recording]]
"""With their ids."""


def audio_files(folder: Path, ids: Ids = "path") -> dict[str, Path]:
    """The audio files below a folder by their ids, with `/` between folders, in the order of their paths.

    Folders that are links are not entered. Raises InputError if the folder is missing or has no audio, or if two files
    have one id.
    """
    if not folder.is_dir():
        raise InputError(f"{folder}: no such folder")
    files: dict[str, Path] = {}
    twice = []
    for path in sorted(path for path in folder.rglob("*") if path.suffix.lower() in SUFFIXES and not path.is_dir()):
        name = path.stem if ids == "name" else path.relative_to(folder).with_suffix("").as_posix()
        if name in files:
            twice.append(f"{path} and {files[name]}")
        files[name] = path
    if twice:
        raise InputError(f"{folder}: files that would have one id; rename or remove one of\n{listed(twice)}")
    if not files:
        raise InputError(f"{folder}: holds no audio file ({', '.join(sorted(SUFFIXES))})")
    return files


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
    frames_at_once: int = FRAMES_AT_ONCE,
) -> list[str]:
    """Encodes every audio file below `wavs` with the model in a folder; the results appear whole or not at all.

    Parameters
    ----------
    layers
        Layers of `features` and `text`: `convN`, and `quantN` of quantizers that are on.
    features
        Where the features file goes, which ABX scoring and the packing of submissions take.
    codes
        Where the codes file goes, of every quantizer that is on.
    text
        A new folder for `{layer}/{id}.txt`, a line a frame with 3 decimals.
    ids
        Recordings are called by their paths below `wavs`, or by the last parts alone, as item files name them.
    bad_rows
        Whether unreadable files stop everything, or are left out.
    precision
        Of the log-mel features; by default the model's.
    frames_at_once
        Log-mel frames in a batch or piece: changes speed and memory, not results.

    Returns the reasons of the files left out. Raises InputError with all of them at once, if the model has no such
    layer, or if there is nothing to write.
    """
    _check_request(layers, features=features, codes=codes, text=text)
    encoder = load(model, precision=precision)
    layers = encoder.check_layers(layers)
    quantizers = encoder.check_quantizers(encoder.layers) if codes else []
    recordings, refused = _read_through(audio_files(wavs, ids), wavs, bad_rows)
    names = [name for name, _ in recordings]
    n_frames = np.array([recording.n_frames for _, recording in recordings])
    with ExitStack() as stack:
        feature_rows, code_rows, texts = dict[str, Rows](), dict[str, Rows](), dict[str, FrameText]()
        if features:
            durations = np.array([recording.duration for _, recording in recordings])
            file = stack.enter_context(create_features(features, names, durations))
            for layer in layers:
                width, n = layer_width(encoder.network, layer), layer_frames(n_frames, layer)
                feature_rows[layer] = add_features(file, layer, width, n, frame_period(layer))
        if codes:
            rows = (_manifest_row(*recording) for recording in recordings)
            file = stack.enter_context(create_codes(codes, names, rows))
            for layer in quantizers:
                n = layer_frames(n_frames, layer)
                code_rows[layer] = add_codes(file, layer, encoder.codebook(layer), n, frame_period(layer))
        if text:
            folder = stack.enter_context(atomic_folder(text))
            texts = {layer: FrameText(remember=is_quantized(layer)) for layer in layers}
        chosen = list(dict.fromkeys([*layers, *quantizers]))
        encoded = _encode_all(encoder, recordings, chosen, frames_at_once)
        for i, parts in track(encoded, f"encode {wavs.name}", unit="pieces"):
            for layer, out in feature_rows.items():
                out.write(i, parts[layer].vectors, parts[layer].start)
            for layer, out in code_rows.items():
                out.write(i, parts[layer].quantized, parts[layer].start)
            for layer, lines in texts.items():
                path = folder / layer / f"{names[i]}.txt"
                path.parent.mkdir(parents=True, exist_ok=True)
                with path.open("a", encoding="ascii") as file:
                    file.write(lines.format(parts[layer].vectors))
    return refused


def _check_request(layers: Sequence[str], *, features: Path | None, codes: Path | None, text: Path | None) -> None:
    """Raises InputError if there is nothing to write, or layers and files do not go together."""
    if not (features or codes or text):
        raise InputError("say where the result goes: a features file, a codes file, or a folder for text")
    if bool(layers) != bool(features or text):
        raise InputError(
            "layers and a features file or a folder for text go together"
            if features or text
            else "layers: nothing to write them to"
        )


def _read_through(files: Mapping[str, Path], wavs: Path, bad_rows: BadRows) -> tuple[Recordings, list[str]]:
    """Every recording with its id, read once from end to end, and the reasons of those that cannot be used."""
    recordings, refused = [], []
    for name, path in track(files.items(), f"read {wavs.name}", unit="files"):
        try:
            recordings.append((name, Recording(path)))
        except InputError as e:
            refused.append(str(e))
    if refused and (bad_rows == "stop" or not recordings):
        raise InputError(
            f"{wavs}: {len(refused)} of {len(files)} files cannot be used:\n{listed(refused)}\n"
            "Repair or remove them, or leave them out with bad_rows (--bad-rows) skip."
        )
    return recordings, refused


def _encode_all(
    encoder: SpeechEncoder, recordings: Recordings, layers: Sequence[str], frames_at_once: int
) -> Iterator[tuple[int, dict[str, Part]]]:
    """The layers of every recording, shortest first, by its number; long ones in several pieces."""
    order = sorted(range(len(recordings)), key=lambda i: recordings[i][1].n_frames)
    for n_frames, group in groupby(order, key=lambda i: recordings[i][1].n_frames):
        numbers = list(group)
        if n_frames > frames_at_once:
            for i in numbers:
                for parts in encoder.parts(recordings[i][1], layers, frames_at_once):
                    yield i, parts
            continue
        size = max(1, frames_at_once // n_frames)
        for start in range(0, len(numbers), size):
            batch = numbers[start : start + size]
            yield from zip(batch, encoder.batch([recordings[i][1] for i in batch], layers), strict=True)


def _manifest_row(name: str, recording: Recording) -> dict[str, object]:
    return Utterance(name, recording.path.absolute(), None, None, None, None, None, None).to_dict()
