"""The HDF5 files that `encode` writes: what each holds, and the writing of it batch by batch.

* `embeddings/{split}.h5`: `ids` (N,), `speech` (N, D) float32, `image_ids` (I,), `image` (I, D) float32,
  `image_index` (N,) int64, -1 where an utterance has no image; the attribute `image_branch` is false of a model
  without one, which sees no images;
* `maps/{split}.h5`: see `matchmap.py`;
* `codes/{split}.h5`: see `codes.py`;
* `features/{split}.h5`: see `layers.py`.
"""

from __future__ import annotations

import json
import os
from collections.abc import Iterator, Sequence
from contextlib import ExitStack
from pathlib import Path

import h5py
import numpy as np
import torch

from resdavenet_vq.data.dataset import evaluation_images, without_traceback
from resdavenet_vq.data.features import FRAME_PERIOD, HOP_LENGTH, N_MELS, SAMPLE_RATE
from resdavenet_vq.data.store import Store
from resdavenet_vq.encode.features import LOGMEL
from resdavenet_vq.errors import InputError
from resdavenet_vq.files import atomic_write
from resdavenet_vq.lineage import N_POSITIONS, frame_stride
from resdavenet_vq.model.audio import AudioOutput
from resdavenet_vq.model.dual_encoder import DualEncoder, NoImageEncoder
from resdavenet_vq.progress import track

IMAGES_AT_ONCE = 64

ROWS_AT_ONCE = 1000
"""Manifest rows written at a time."""


def new_file(stack: ExitStack, path: Path) -> h5py.File:
    """An HDF5 file that takes its name when the stack unwinds well; a full disk is told before."""
    file = stack.enter_context(h5py.File(stack.enter_context(atomic_write(path)), "w"))
    stack.callback(file.flush)
    return file


def write_texts(file: h5py.File, name: str, texts: Sequence[str]) -> None:
    """A dataset (N,) of UTF-8 texts."""
    file.create_dataset(name, (len(texts),), h5py.string_dtype())[...] = np.array(texts, dtype=object)


class Rows:
    """Rows of one layer going to a group of an HDF5 file: `codes` (total,) int32, or `vectors` (total, width) float32."""

    def __init__(self, file: h5py.File, layer: str, n_frames: np.ndarray, width: int | None) -> None:
        stride = 1 if layer == LOGMEL else frame_stride(layer)
        self.layer, self._codes = layer, width is None
        self.offsets = _offsets(n_frames, stride)
        group = file.require_group(layer)
        group["offsets"] = self.offsets
        group.attrs["frame_period"] = _period(stride)
        shape, dtype = ((self.offsets[-1],), np.int32) if width is None else ((self.offsets[-1], width), np.float32)
        self._rows = group.create_dataset("codes" if width is None else "vectors", shape, dtype)

    def take(self, output: AudioOutput, numbers: Sequence[int]) -> None:
        """Writes a batch's rows in their places."""
        layer = output.layers[self.layer]
        rows = layer.codes if self._codes else layer.vectors.transpose(1, 2)
        assert rows is not None, "codes are asked of quantized layers only"
        for i, row in zip(numbers, rows[:, : layer.n_frames[0]].cpu().numpy(), strict=True):
            self.write(i, row)

    def write(self, i: int, rows: np.ndarray) -> None:
        """Writes the rows of utterance number i, as many as its place holds."""
        self._rows[self.offsets[i] : self.offsets[i + 1]] = rows

    def write_part(self, i: int, start: int, rows: np.ndarray) -> None:
        """Writes some rows of utterance number i, of which the first is its row `start`."""
        first = self.offsets[i] + start
        assert first + len(rows) <= self.offsets[i + 1], "a part reaches into the next utterance"
        self._rows[first : first + len(rows)] = rows


def code_rows(file: h5py.File, network: DualEncoder, layer: str, n_frames: np.ndarray) -> Rows:
    """The place of a quantizer's codes in a codes file, its codebook written; `n_frames` (N,) are the utterances' log-mel frames."""
    codebook = network.audio.get_buffer(f"quantizers.{layer}.codebook").cpu().numpy()
    file.create_group(layer)["codebook"] = codebook
    file[layer].attrs.update(stride=frame_stride(layer), codebook_size=len(codebook))
    return Rows(file, layer, n_frames, None)


class _WithImages:
    """What files about pairs have in common: who is in them, and which image belongs to which utterance."""

    def __init__(self, file: h5py.File, network: DualEncoder, data: Store, n: int) -> None:
        self.width = network.settings.audio.widths[-1]
        can_see = not isinstance(network.image, NoImageEncoder)
        self.image_ids = data.image_ids if can_see else []
        file.attrs["image_branch"] = can_see
        write_texts(file, "ids", data.ids[:n])
        write_texts(file, "image_ids", self.image_ids)
        file["image_index"] = data.image_index[:n].astype(np.int64) if can_see else np.full(n, -1)

    def image_maps(self, network: DualEncoder, data: Store) -> Iterator[tuple[torch.Tensor, list[int]]]:
        """Maps (b, D, H, W) of all images, if the model has a branch for them, and the images' numbers."""
        if not self.image_ids:
            return
        device = next(network.parameters()).device
        workers = min(8, len(os.sched_getaffinity(0)) - 1)
        batches = evaluation_images(data, network.settings.image, IMAGES_AT_ONCE, workers)
        try:
            for pixels, numbers in track(batches, f"encode images of {data.path.stem}", unit="batches"):
                yield network.image(pixels.to(device)), np.asarray(numbers).tolist()
        except InputError as e:
            raise without_traceback(e) from None


class Embeddings(_WithImages):
    """Speech embeddings going to an HDF5 file; those of the images are there from the beginning."""

    def __init__(self, file: h5py.File, network: DualEncoder, data: Store, n: int) -> None:
        super().__init__(file, network, data, n)
        self._speech = file.create_dataset("speech", (n, self.width), np.float32)
        images = file.create_dataset("image", (len(self.image_ids), self.width), np.float32)
        for maps, numbers in self.image_maps(network, data):
            for j, vector in zip(numbers, network.embed_image(maps).cpu().numpy(), strict=True):
                images[j] = vector

    def take(self, output: AudioOutput, numbers: Sequence[int]) -> None:
        """Writes a batch's embeddings in their places."""
        for i, vector in zip(numbers, DualEncoder.embed_speech(output).cpu().numpy(), strict=True):
            self._speech[i] = vector


class Maps(_WithImages):
    """Speech frames of the last layer going to an HDF5 file; the cells of the images are there from the beginning."""

    def __init__(self, file: h5py.File, network: DualEncoder, data: Store, n: int) -> None:
        super().__init__(file, network, data, n)
        stride = frame_stride(f"conv{N_POSITIONS}")
        self._offsets = _offsets(data.n_frames[:n], stride)
        file["offsets"] = self._offsets
        file.attrs["frame_period"] = _period(stride)
        self._frames = file.create_dataset("frames", (self._offsets[-1], self.width), np.float32)
        cells = None
        for maps, numbers in self.image_maps(network, data):
            vectors = maps.float().permute(0, 2, 3, 1).cpu().numpy()
            if cells is None:
                cells = file.create_dataset("cells", (len(self.image_ids), *vectors.shape[1:]), np.float32)
            for j, image in zip(numbers, vectors, strict=True):
                cells[j] = image
        if cells is None:
            file.create_dataset("cells", (0, 0, 0, self.width), np.float32)

    def take(self, output: AudioOutput, numbers: Sequence[int]) -> None:
        """Writes a batch's frames in their places."""
        frames = output.frames.float().transpose(1, 2)[:, : output.n_frames[0]].cpu().numpy()
        for i, rows in zip(numbers, frames, strict=True):
            self._frames[self._offsets[i] : self._offsets[i + 1]] = rows


def write_manifest(file: h5py.File, data: Store, n: int) -> None:
    """`ids` and `manifest` of the first n utterances, block by block."""
    write_texts(file, "ids", data.ids[:n])
    manifest = file.create_dataset("manifest", (n,), h5py.string_dtype())
    for start in range(0, n, ROWS_AT_ONCE):
        rows = [
            json.dumps(data.utterance(i).to_dict(), ensure_ascii=False)
            for i in range(start, min(n, start + ROWS_AT_ONCE))
        ]
        manifest[start : start + len(rows)] = np.array(rows, dtype=object)


def write_durations(file: h5py.File, data: Store, n: int) -> None:
    """`ids` and `durations`: seconds of audio, of a cut utterance up to the cut."""
    write_texts(file, "ids", data.ids[:n])
    file["durations"] = np.minimum(data.n_samples[:n], data.n_frames[:n] * HOP_LENGTH) / SAMPLE_RATE


def write_logmel(file: h5py.File, data: Store) -> None:
    """The log-mel features of a store as the layer `logmel`."""
    rows = Rows(file, LOGMEL, data.n_frames, N_MELS)
    for i in track(range(len(data)), f"log-mel {data.path.stem}", unit="utterances"):
        rows.write(i, data.logmel(i))


def _offsets(n_frames: np.ndarray, stride: int) -> np.ndarray:
    """First frame (N + 1,) of each utterance in a layer of this stride; an utterance has at least one."""
    offsets: np.ndarray = np.concatenate([[0], np.cumsum(np.maximum(n_frames // stride, 1))])
    return offsets


def _period(stride: int) -> float:
    return round(FRAME_PERIOD * stride, 9)
