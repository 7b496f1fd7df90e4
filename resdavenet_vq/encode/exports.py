"""The codes of a split taken elsewhere: TextGrids for Praat, JSONL for language models, arrays, and the folders of unit segmentation.

The folders of unit segmentation are those that the duration-penalised dynamic programming of Kamper and van Niekerk (2021)
reads: `embedding.npy`, the code vectors (K, C), and in the folder of the split `indices/{id}.txt`, a code a line, and
`prequant/{id}.txt`, the frame before quantization a line, numbers separated by spaces. Frames i of both are the same moment;
a frame spans as many 10 ms as the layer's stride (its `downsample_factor`): 2 for quant2, 4 for quant3.
"""

from __future__ import annotations

import json
from collections import Counter
from collections.abc import Iterator, Sequence
from contextlib import ExitStack
from pathlib import Path, PurePosixPath
from typing import Literal

import h5py
import numpy as np

from resdavenet_vq.corpus import textgrid
from resdavenet_vq.corpus.manifest import Interval, Utterance
from resdavenet_vq.encode.features import LayerFeatures
from resdavenet_vq.encode.hdf5 import opened
from resdavenet_vq.encode.units import FrameTime, Units
from resdavenet_vq.errors import InputError
from resdavenet_vq.files import atomic_folder, atomic_write
from resdavenet_vq.progress import track

type Format = Literal["textgrid", "jsonl", "npy", "segmentation"]


def export_units(
    codes: Path,
    layers: Sequence[str],
    form: Format,
    out: Path,
    *,
    features: Path | None = None,
    arrays: Literal["txt", "npy"] = "txt",
    frame_time: FrameTime = "published",
) -> int:
    """Writes the units of a codes file, whole or not at all; returns how many utterances.

    * `textgrid`: `{id}.TextGrid` with tiers of words and phones, where known, and one of runs of codes a layer;
    * `jsonl`: the file `out`, a line for each utterance and layer with units and their durations;
    * `npy`: `{layer}/{id}.npy`, codes (F,) int32, and `{layer}/codebook.npy`, code vectors (K, C) float32;
    * `segmentation`: `embedding.npy`, `{split}/indices` and `{split}/prequant` of one layer, where `split` is the name of the codes
      file. `features` is the features file of the same split with the layer that enters the quantizer; `arrays` is the form of
      `prequant` and `indices`.

    Raises InputError for a layer that is not there, ids that cannot be file names, or features of other utterances.
    """
    if bool(features) != (form == "segmentation"):
        raise InputError(
            "segmentation needs --features, a features file with the layer before the quantizer; other formats take none"
        )
    with ExitStack() as stack:
        file = _Codes(stack.enter_context(opened(codes)), codes, layers, frame_time)
        if form == "jsonl":
            beside = stack.enter_context(atomic_write(out))
            with beside.open("w", encoding="utf-8") as lines:
                for utterance, units in file:
                    lines.writelines(json.dumps(u.to_line(utterance.id), ensure_ascii=False) + "\n" for u in units)
            return len(file)
        names = file.names(flat=form == "segmentation")
        folder = stack.enter_context(atomic_folder(out))
        if form == "textgrid":
            for name, (utterance, units) in zip(names, file, strict=True):
                textgrid.write(folder / f"{name}.TextGrid", _tiers(utterance, units), 0.0)
        elif form == "npy":
            _write_arrays(folder, file, names)
        else:
            assert features is not None, "checked above"
            _write_segmentation(folder, file, names, features, arrays)
        return len(file)


class _Codes:
    """A codes file, utterance by utterance: its record and its units in some layers."""

    def __init__(self, file: h5py.File, path: Path, layers: Sequence[str], frame_time: FrameTime) -> None:
        known = [name for name in file if isinstance(file[name], h5py.Group)]
        if missing := [layer for layer in layers if layer not in known]:
            raise InputError(f"{path}: holds no codes of {missing[0]!r} (layers: {', '.join(known) or 'none'})")
        self.path, self.layers, self._file, self._frame_time = (
            path,
            list(dict.fromkeys(layers)) or known,
            file,
            frame_time,
        )
        if not self.layers:
            raise InputError(f"{path}: holds no codes; no quantizer is on in this model")
        try:
            self._offsets = {layer: file[layer]["offsets"][:] for layer in self.layers}
            self._codebooks = {layer: file[layer]["codebook"][:] for layer in self.layers}
            self.ids: list[str] = list(file["ids"].asstr()[:])
        except (KeyError, TypeError, AttributeError, ValueError, OSError) as e:
            raise InputError(f"{path}: is no codes file of this software ({e}); encode the split again") from None

    def codebook(self, layer: str) -> np.ndarray:
        """Code vectors (K, C) float32."""
        codebook: np.ndarray = self._codebooks[layer]
        return codebook

    def names(self, *, flat: bool) -> list[str]:
        """What each utterance's file is called, without a suffix: its id, or if `flat` the id's last part. Raises InputError if that cannot be."""
        if unsafe := [
            name for name in self.ids if PurePosixPath(name).is_absolute() or {"..", ""} & set(name.split("/"))
        ]:
            raise InputError(f"{self.path}: the id {unsafe[0]!r} cannot be the name of a file")
        names = [PurePosixPath(name).name if flat else name for name in self.ids]
        if twice := [name for name, n in Counter(names).items() if n > 1]:
            raise InputError(
                f"{self.path}: two utterances would be written to {twice[0]}; ids must differ in their last part"
            )
        return names

    def units(self, i: int, layer: str) -> Units:
        """The units of utterance number i."""
        group, offsets = self._file[layer], self._offsets[layer]
        codes = group["codes"][offsets[i] : offsets[i + 1]]
        period = float(group.attrs["frame_period"])
        return Units(
            Path(self.ids[i]), layer, period, len(codes) * period, codes, len(self._codebooks[layer]), self._frame_time
        )

    def __iter__(self) -> Iterator[tuple[Utterance, list[Units]]]:
        manifest = self._file["manifest"]
        for i in track(range(len(self)), f"export {self.path.stem}", unit="utterances"):
            yield Utterance.from_dict(json.loads(manifest[i])), [self.units(i, layer) for layer in self.layers]

    def __len__(self) -> int:
        return len(self.ids)


def _tiers(utterance: Utterance, units: Sequence[Units]) -> dict[str, Sequence[Interval]]:
    spoken = {"words": utterance.words, "phones": utterance.phones}
    tiers: dict[str, Sequence[Interval]] = {
        name: textgrid.as_tier(told) for name, told in spoken.items() if told is not None
    }
    return tiers | {u.layer: u.tier() for u in units}


def _write_arrays(folder: Path, file: _Codes, names: Sequence[str]) -> None:
    for layer in file.layers:
        (folder / layer).mkdir()
        np.save(folder / layer / "codebook.npy", file.codebook(layer))
    for name, (_, units) in zip(names, file, strict=True):
        for u in units:
            path = folder / u.layer / f"{name}.npy"
            path.parent.mkdir(parents=True, exist_ok=True)
            np.save(path, u.codes.astype(np.int32))


def _write_segmentation(
    folder: Path, file: _Codes, names: Sequence[str], features: Path, arrays: Literal["txt", "npy"]
) -> None:
    if len(file.layers) != 1:
        raise InputError(f"segmentation is of one layer; choose among {', '.join(file.layers)}")
    layer = file.layers[0]
    np.save(folder / "embedding.npy", file.codebook(layer))
    indices, prequant = folder / file.path.stem / "indices", folder / file.path.stem / "prequant"
    indices.mkdir(parents=True)
    prequant.mkdir()
    with LayerFeatures(features, layer.replace("quant", "conv")) as frames:
        number = {name: i for i, name in enumerate(frames.ids)}
        if missing := [name for name in file.ids if name not in number]:
            raise InputError(
                f"{features}: lacks {len(missing)} utterances of {file.path}, the first {missing[0]}; encode the same split"
            )
        for i in track(range(len(file)), f"export {file.path.stem}", unit="utterances"):
            codes, before = file.units(i, layer).codes, frames.rows(number[file.ids[i]])
            if len(codes) != len(before):
                raise InputError(
                    f"{features}: {file.ids[i]} has {len(before)} frames, and {len(codes)} codes in {file.path}; encode both again"
                )
            if arrays == "npy":
                np.save(indices / f"{names[i]}.npy", codes.astype(np.int64))
                np.save(prequant / f"{names[i]}.npy", before)
            else:
                np.savetxt(indices / f"{names[i]}.txt", codes, fmt="%d")
                np.savetxt(prequant / f"{names[i]}.txt", before, fmt="%.9g")  # all the digits that float32 has
