"""Any layers of all recordings under a folder, without a corpus, a manifest or images.

Each recording is encoded by itself, or with others of exactly its length, and none is cut. Its id is its path below the
folder without the suffix, `dev-clean/1272-128104-0000`, or the last part of that.
"""

from __future__ import annotations

import json
from collections.abc import Iterator, Mapping, Sequence
from contextlib import ExitStack
from itertools import groupby
from pathlib import Path
from typing import Literal, Protocol

import h5py
import numpy as np

from resdavenet_vq.corpus.manifest import Utterance
from resdavenet_vq.data.audio import Recording
from resdavenet_vq.encode.audio_files import Ids, audio_files
from resdavenet_vq.encode.encode_files import Rows, code_rows, new_file, write_texts
from resdavenet_vq.encode.features import is_quantized
from resdavenet_vq.encode.frame_text import Lines
from resdavenet_vq.encode.recording import Part, Precision, SpeechEncoder, load
from resdavenet_vq.encode.split import FRAMES_AT_ONCE
from resdavenet_vq.errors import InputError
from resdavenet_vq.files import atomic_folder
from resdavenet_vq.progress import track

MOST_NAMED = 20
"""So many refused files are named."""


def encode_tree(
    model: Path,
    wavs: Path,
    *,
    layers: Sequence[str] = (),
    features: Path | None = None,
    codes: Path | None = None,
    text: Path | None = None,
    ids: Ids = "path",
    bad_files: Literal["stop", "skip"] = "stop",
    precision: Precision | None = None,
    frames_at_once: int = FRAMES_AT_ONCE,
) -> list[str]:
    """Encodes every audio file below `wavs` with the model in a folder and writes what is asked for, whole or not at all.

    Parameters
    ----------
    layers
        Layers of `features` and `text`: `convN`, and `quantN` of quantizers that are on.
    features
        Where the features file goes (its layout: `layers.py`), which ABX scoring and the packing of submissions take.
    codes
        Where the codes file goes (`codes.py`), of every quantizer that is on.
    text
        A new folder for `{layer}/{id}.txt`, a line a frame with 3 decimals.
    ids
        Recordings are called by their paths below `wavs`, or by the last parts alone, as item files name them.
    bad_files
        Whether unreadable files stop everything, or are left out.
    precision
        Of the log-mel features; by default the model's.
    frames_at_once
        Log-mel frames in a batch or piece: changes speed and memory, not results.

    Returns the reasons of the files left out. Raises InputError with all of them at once, if the model has no such layer,
    or if nothing is asked for.
    """
    if not (features or codes or text):
        raise InputError("say where the result goes: a features file, a codes file, or a folder for text")
    if bool(layers) != bool(features or text):
        raise InputError(
            "layers and a features file or a folder for text go together"
            if features or text
            else "layers: nothing to write them to"
        )
    encoder = load(model, precision=precision)
    wanted = encoder.known(layers)
    quantizers = encoder.quantizers(encoder.layers) if codes else []
    found, refused = _read_through(audio_files(wavs, ids), wavs, bad_files)
    n_frames = np.array([recording.n_frames for _, recording in found])
    with ExitStack() as stack:
        sinks: list[_Sink] = []
        if features:
            file = _started(stack, features, found)
            file["durations"] = np.array([recording.duration for _, recording in found])
            sinks += [_Frames(Rows(file, layer, n_frames, encoder.width(layer))) for layer in wanted]
        if codes:
            file = _started(stack, codes, found)
            rows = [
                Utterance(name, recording.path.absolute(), None, None, None, None, None, None).to_dict()
                for name, recording in found
            ]
            write_texts(file, "manifest", [json.dumps(row, ensure_ascii=False) for row in rows])
            sinks += [_Codes(code_rows(file, encoder.network, layer, n_frames)) for layer in quantizers]
        if text:
            folder = stack.enter_context(atomic_folder(text))
            sinks += [_Text(folder / layer, layer, [name for name, _ in found]) for layer in wanted]
        chosen = list(dict.fromkeys([*wanted, *quantizers]))
        for i, parts in track(_encoded(encoder, found, chosen, frames_at_once), f"encode {wavs.name}", unit="pieces"):
            for sink in sinks:
                sink.take(i, parts[sink.layer])
    return refused


def _read_through(
    files: Mapping[str, Path], wavs: Path, bad_files: Literal["stop", "skip"]
) -> tuple[list[tuple[str, Recording]], list[str]]:
    """Every recording with its id, read once from end to end, and the reasons of those that cannot be used."""
    found, refused = [], []
    for name, path in track(files.items(), f"read {wavs.name}", unit="files"):
        try:
            found.append((name, Recording(path)))
        except InputError as e:
            refused.append(str(e))
    if refused and (bad_files == "stop" or not found):
        more = f"\n... and {len(refused) - MOST_NAMED} more" if len(refused) > MOST_NAMED else ""
        raise InputError(
            f"{wavs}: {len(refused)} of {len(found) + len(refused)} files cannot be used:\n"
            + "\n".join(refused[:MOST_NAMED])
            + more
            + "\nMend or remove them, or set bad_files (--bad-files) to skip to go on without them."
        )
    return found, refused


def _encoded(
    encoder: SpeechEncoder, found: Sequence[tuple[str, Recording]], layers: Sequence[str], frames_at_once: int
) -> Iterator[tuple[int, dict[str, Part]]]:
    """The layers of every recording, shortest first, by its number; long ones in several pieces."""
    order = sorted(range(len(found)), key=lambda i: found[i][1].n_frames)
    for n_frames, group in groupby(order, key=lambda i: found[i][1].n_frames):
        numbers = list(group)
        if n_frames > frames_at_once:
            for i in numbers:
                for parts in encoder.parts(found[i][1], layers, frames_at_once):
                    yield i, parts
            continue
        size = max(1, frames_at_once // n_frames)
        for start in range(0, len(numbers), size):
            batch = numbers[start : start + size]
            yield from zip(batch, encoder.batch([found[i][1] for i in batch], layers), strict=True)


class _Sink(Protocol):
    """Where one layer's frames go."""

    layer: str

    def take(self, i: int, part: Part) -> None:
        """Writes some frames of recording number i; those of one recording come in order."""


class _Frames:
    def __init__(self, rows: Rows) -> None:
        self.layer, self._rows = rows.layer, rows

    def take(self, i: int, part: Part) -> None:
        self._rows.write_part(i, part.start, part.vectors)


class _Codes:
    def __init__(self, rows: Rows) -> None:
        self.layer, self._rows = rows.layer, rows

    def take(self, i: int, part: Part) -> None:
        assert part.codes is not None, "codes are asked of quantizers only"
        self._rows.write_part(i, part.start, part.codes)


class _Text:
    """Writes `{id}.txt` into the folder of a layer."""

    def __init__(self, folder: Path, layer: str, names: Sequence[str]) -> None:
        self.layer, self._folder, self._names = layer, folder, names
        self._lines = Lines(remember=is_quantized(layer))

    def take(self, i: int, part: Part) -> None:
        path = self._folder / f"{self._names[i]}.txt"
        path.parent.mkdir(parents=True, exist_ok=True)
        with path.open("a", encoding="ascii") as file:
            file.write(self._lines.of(part.vectors))


def _started(stack: ExitStack, path: Path, found: Sequence[tuple[str, Recording]]) -> h5py.File:
    """A new HDF5 file with the ids."""
    file = new_file(stack, path)
    write_texts(file, "ids", [name for name, _ in found])
    return file
