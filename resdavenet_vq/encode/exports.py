"""Units and frames in the forms of other tools: TextGrids for Praat, JSONL for language models, arrays, text.

The folders for unit segmentation are those that the duration-penalized dynamic programming of Kamper and van Niekerk
(2021) reads: `embedding.npy`, the code vectors (K, C), and in the folder of the split `indices/{id}.txt`, a code a
line, and `prequant/{id}.txt`, the frame before quantization a line, numbers separated by spaces. Line i of both is the
same frame; a frame spans the layer's stride in steps of 10 ms (its `downsample_factor`): 2 for quant2, 4 for quant3.
"""

from __future__ import annotations

import json
from collections import Counter
from collections.abc import Iterable, Iterator, Mapping, Sequence
from contextlib import ExitStack
from functools import lru_cache, partial
from pathlib import Path, PurePosixPath
from typing import Any, Literal

import numpy as np

from resdavenet_vq.corpus import textgrid
from resdavenet_vq.corpus.manifest import Interval, Utterance
from resdavenet_vq.encode.codes import CodesFile, SplitCodes, frame_time_of
from resdavenet_vq.encode.features import LayerFeatures
from resdavenet_vq.encode.file_names import check_ids, check_new, new_file
from resdavenet_vq.encode.origin import check_same_encoding
from resdavenet_vq.encode.units import DECIMALS, FrameTime, Units
from resdavenet_vq.errors import InputError
from resdavenet_vq.files import atomic_folder, atomic_write
from resdavenet_vq.progress import track

type SplitFormat = Literal["textgrid", "jsonl", "npy", "segmentation"]
type RecordingFormat = Literal["json", "jsonl", "textgrid", "npy"]


def export_units(
    codes: Path,
    layers: Sequence[str],
    form: SplitFormat,
    out: Path,
    *,
    features: Path | None = None,
    arrays: Literal["txt", "npy"] = "txt",
    frame_time: FrameTime = "published",
    overwrite: bool = False,
) -> int:
    """Writes the units of a codes file, whole or not at all; returns the number of utterances.

    * `textgrid`: `{id}.TextGrid` with tiers of words and phones, where the manifest has them, and one of code runs per
      layer;
    * `jsonl`: the file `out`, a line for each utterance and layer with units and their durations;
    * `npy`: `{layer}/{id}.npy`, codes (F,) int32, and `{layer}/codebook.npy`, code vectors (K, C) float32;
    * `segmentation`: see above, of one layer. `split` is the name of the codes file; `features` is the features file of
      the same split with the layer that enters the quantizer; `arrays` is the form of `prequant` and `indices`.

    Raises InputError for a layer that the file lacks, ids that cannot be file names, features of other utterances or of
    another model, a folder with files in it, or, unless `overwrite`, a file `out` that is there already.
    """
    if not overwrite:
        check_new(out)
    if bool(features) != (form == "segmentation"):
        raise InputError("segmentation needs --features, with the layer before the quantizer; other formats take none")
    with ExitStack() as stack:
        with SplitCodes(codes) as file:
            names = list(dict.fromkeys(layers)) or file.layers
        if not names:
            raise InputError(f"{codes}: holds no codes; no quantizer is on in this model")
        files = [stack.enter_context(CodesFile(codes, layer)) for layer in names]
        n = len(files[0])
        if form == "jsonl":
            tmp = stack.enter_context(atomic_write(out))
            with tmp.open("w", encoding="utf-8") as lines:
                for utterance, units in _utterances(files, frame_time):
                    lines.writelines(json.dumps(u.to_line(utterance.id), ensure_ascii=False) + "\n" for u in units)
            return n
        suffix = {"textgrid": ".TextGrid", "npy": ".npy", "segmentation": f".{arrays}"}[form]
        stems = _stems(files[0], suffix, flat=form == "segmentation")
        folder = stack.enter_context(atomic_folder(out))
        if form == "textgrid":
            for stem, (utterance, units) in zip(stems, _utterances(files, frame_time), strict=True):
                textgrid.write(new_file(folder, f"{stem}.TextGrid"), _tiers(utterance, units), 0.0)
        elif form == "npy":
            _write_arrays(folder, files, stems)
        else:
            assert features is not None, "checked above"
            _write_segmentation(folder, files, stems, features, arrays)
        return n


def _utterances(files: Sequence[CodesFile], frame_time: FrameTime) -> Iterator[tuple[Utterance, list[Units]]]:
    """Every utterance with its units in each layer."""
    ids = files[0].ids
    for i in track(range(len(ids)), f"export {files[0].path.stem}", unit="utterances"):
        units = []
        for file in files:
            (codes,), period = file.codes(i, i + 1), file.frame_period
            duration = len(codes) * period
            (begins,) = file.begins(i, i + 1) or (None,)
            about = period, duration, codes, file.codebook_size, frame_time_of(file.layer, frame_time), begins
            units.append(Units(Path(ids[i]), file.layer, *about, file.labels))
        yield Utterance.from_dict(files[0].manifest(i, i + 1)[0]), units


def _stems(file: CodesFile, suffix: str, *, flat: bool) -> list[str]:
    """The name of each utterance's file without suffix: its id, or if `flat` the last part of the id."""
    check_ids(file.ids, file.path, suffix)
    stems = [PurePosixPath(name).name if flat else name for name in file.ids]
    if twice := [stem for stem, n in Counter(stems).items() if n > 1]:
        raise InputError(
            f"{file.path}: two utterances would be written to {twice[0]}; their ids must differ in the end"
        )
    return stems


def _tiers(utterance: Utterance, units: Sequence[Units]) -> dict[str, tuple[Interval, ...]]:
    aligned = {"words": utterance.words, "phones": utterance.phones}
    tiers = {name: textgrid.as_tier(intervals) for name, intervals in aligned.items() if intervals is not None}
    return tiers | {u.layer: u.tier() for u in units}


def _write_arrays(folder: Path, files: Sequence[CodesFile], stems: Sequence[str]) -> None:
    for file in files:
        (folder / file.layer).mkdir()
        np.save(folder / file.layer / "codebook.npy", file.codebook)
        for i, stem in enumerate(track(stems, f"export {file.layer} of {file.path.stem}", unit="utterances")):
            np.save(new_file(folder / file.layer, f"{stem}.npy"), file.codes(i, i + 1)[0].astype(np.int32))


def _write_segmentation(
    folder: Path, files: Sequence[CodesFile], stems: Sequence[str], features: Path, arrays: Literal["txt", "npy"]
) -> None:
    if len(files) != 1:
        raise InputError(f"segmentation is of one layer; choose among {', '.join(file.layer for file in files)}")
    file = files[0]
    save: Any = np.save if arrays == "npy" else partial(np.savetxt, fmt="%.9g")  # all the digits that float32 has
    np.save(folder / "embedding.npy", file.codebook)
    indices, prequant = folder / file.path.stem / "indices", folder / file.path.stem / "prequant"
    indices.mkdir(parents=True)
    prequant.mkdir()
    with LayerFeatures(features, file.layer.replace("quant", "conv")) as frames:
        check_same_encoding(file.path, file.origin, features, frames.origin)
        number = {name: i for i, name in enumerate(frames.ids)}
        if missing := [name for name in file.ids if name not in number]:
            raise InputError(f"{features}: lacks {len(missing)} utterances of {file.path}, the first {missing[0]}")
        for i, name in enumerate(track(file.ids, f"export {file.path.stem}", unit="utterances")):
            codes, before = file.codes(i, i + 1)[0], frames.rows(number[name])
            if len(codes) != len(before):
                frames_and_codes = f"{len(before)} frames, and {len(codes)} codes in {file.path}"
                raise InputError(f"{features}: {name} has {frames_and_codes}; encode both again")
            save(new_file(indices, f"{stems[i]}.{arrays}"), codes.astype(np.int64))
            save(new_file(prequant, f"{stems[i]}.{arrays}"), before)


def recording_text(file: Path, units: Mapping[str, Units], form: RecordingFormat) -> str:
    """The units of a recording, by layer, as one JSON object, or as a line of JSON per layer."""
    if form == "jsonl":
        return "\n".join(json.dumps(u.to_line(file.stem), ensure_ascii=False) for u in units.values())
    duration = round(next(iter(units.values())).duration, DECIMALS)
    layers = {layer: u.to_dict() for layer, u in units.items()}
    return json.dumps({"file": str(file), "duration": duration, "layers": layers}, ensure_ascii=False)


def recording_paths(folder: Path, file: Path, layers: Iterable[str], form: RecordingFormat) -> list[Path]:
    """Where `write_recording` writes: `NAME.json`, `.jsonl` or `.TextGrid`, or `NAME.LAYER.npy` of each layer."""
    if form == "npy":
        return [folder / f"{file.stem}.{layer}.npy" for layer in layers]
    return [folder / f"{file.stem}.{'TextGrid' if form == 'textgrid' else form}"]


def write_recording(folder: Path, file: Path, units: Mapping[str, Units], form: RecordingFormat) -> None:
    """Writes the units of a recording, as arrays its codes (F,) int32."""
    paths = recording_paths(folder, file, units, form)
    if form == "textgrid":
        duration = next(iter(units.values())).duration
        textgrid.write(paths[0], {layer: u.tier() for layer, u in units.items()}, duration)
    elif form == "npy":
        for path, u in zip(paths, units.values(), strict=True):
            with atomic_write(path) as tmp, tmp.open("wb") as f:
                np.save(f, u.codes)
    else:
        with atomic_write(paths[0]) as tmp:
            tmp.write_text(recording_text(file, units, form) + "\n", encoding="utf-8")


def frame_text(rows: np.ndarray) -> str:
    """Frames (n, width) float32 as text, as the release of 2020 and ZeroSpeech write them.

    A line each, values with 3 decimals, never `-0.000`. Frames that agree to 3 decimals are one symbol to the
    challenge's bitrate.
    """
    return "".join(_line(row.tobytes()) for row in rows)


@lru_cache(1 << 12)  # code vectors repeat
def _line(row: bytes) -> str:
    values = (np.frombuffer(row, np.float32).astype(np.float64).round(3) + 0.0).tolist()
    return " ".join(["%.3f"] * len(values)) % tuple(values) + "\n"
