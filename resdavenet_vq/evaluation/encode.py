"""A model over a split: embeddings, codes and layer features, in one pass; the only evaluation that needs torch.

Every utterance is encoded by itself: batches hold utterances of equal length, without padding (or with padding to
one length for all, `recipe.context: padded`), so that no result depends on batch mates. All arithmetic is true float32 (TF32 would change one code in a thousand). The HDF5 files
appear whole or not at all; what is in memory is one batch.

* `embeddings/{split}.h5`: `ids` (N,), `speech` (N, D) float32, `image_ids` (I,), `image` (I, D) float32,
  `image_index` (N,) int64, -1 where an utterance has no image; the attribute `image_branch` is false of a model
  without one, which sees no images;
* `codes/{split}.h5`: see `codes.py`;
* `features/{split}.h5`: see `layers.py`.
"""

from __future__ import annotations

import json
import os
from collections.abc import Iterator, Sequence
from contextlib import ExitStack, contextmanager
from pathlib import Path
from typing import Any

import h5py
import numpy as np
import torch

from resdavenet_vq.config import PAD_VALUE, UNCUT, Recipe
from resdavenet_vq.data.dataset import equal_length_batches, evaluation_images
from resdavenet_vq.data.features import FRAME_PERIOD, HOP_LENGTH, N_MELS, SAMPLE_RATE
from resdavenet_vq.data.store import Store
from resdavenet_vq.errors import InputError
from resdavenet_vq.evaluation.layers import LOGMEL, is_quantized
from resdavenet_vq.files import written_whole
from resdavenet_vq.model import checkpoint
from resdavenet_vq.model.audio import AudioOutput
from resdavenet_vq.model.dual_encoder import DualEncoder, NoImageEncoder
from resdavenet_vq.progress import track
from resdavenet_vq.stage import frame_stride, layer_position

FRAMES_AT_ONCE = 1 << 14
"""Log-mel frames in a batch, unless one utterance has more."""

IMAGES_AT_ONCE = 64

CROPPED = Recipe()
"""Nothing around utterances."""

ROWS_AT_ONCE = 1000
"""Manifest rows written at a time."""


def encode(
    model: Path,
    store: Path,
    *,
    embeddings: Path | None = None,
    codes: Path | None = None,
    features: Path | None = None,
    feature_layers: Sequence[str] = (),
    limit: int = 0,
    recipe: Recipe = CROPPED,
    frames_at_once: int = FRAMES_AT_ONCE,
) -> None:
    """Encodes a store with the model in a folder and writes the files asked for, on the GPU if there is one.

    Parameters
    ----------
    embeddings, codes, features
        Where the results go; None: not wanted.
    feature_layers
        Layers written to `features`: `convN`, and `quantN` of quantizers that are on.
    limit
        First so many utterances; 0: all.
    recipe
        Its `context` and `pad_value` count: in a padded context every utterance stands in as many frames as the store
        allows, and only its own are written.
    frames_at_once
        Log-mel frames in a batch: changes speed and memory, not results.

    Raises InputError if the model has no such layer, does not fit the store, or gives values that are not finite.
    """
    data = Store(store)
    network, _ = checkpoint.load(model, audio_only=embeddings is None)
    widths, quantized = network.settings.audio.widths, [f"quant{n}" for n in network.quantizers]
    _check_request(model, network, store, data, feature_layers, recipe)
    n = min(limit or len(data), len(data))
    network.to(torch.device("cuda" if torch.cuda.is_available() else "cpu"))
    with ExitStack() as stack, torch.inference_mode(), _true_float32():
        sinks: list[_Embeddings | _Rows] = []
        if embeddings:
            sinks.append(_Embeddings(_new(stack, embeddings), network, data, n))
        if codes:
            file = _new(stack, codes)
            _write_manifest(file, data, n)
            for layer in quantized:
                codebook = network.audio.get_buffer(f"quantizers.{layer}.codebook").cpu().numpy()
                file.create_group(layer)["codebook"] = codebook
                file[layer].attrs.update(stride=frame_stride(layer), codebook_size=len(codebook))
                sinks.append(_Rows(file, layer, data.n_frames[:n], None))
        if features:
            file = _new(stack, features)
            _write_durations(file, data, n)
            sinks += [_Rows(file, layer, data.n_frames[:n], widths[layer_position(layer) - 1]) for layer in dict.fromkeys(feature_layers)]
        until = None if embeddings else _deepest([sink.layer for sink in sinks if isinstance(sink, _Rows)])
        if sinks:
            for _ in track(
                _speech(network, data, n, sinks, until, frames_at_once, model, recipe),
                f"encode {store.stem}",
                total=n,
                unit="utterances",
            ):
                pass


def _check_request(model: Path, network: DualEncoder, store: Path, data: Store, feature_layers: Sequence[str], recipe: Recipe) -> None:
    """Raises InputError if the model does not fit the store, lacks a layer asked for, or the store has no length to pad to."""
    quantized = [f"quant{n}" for n in network.quantizers]
    if network.settings.audio.n_mels != N_MELS:
        raise InputError(f"{model}: takes {network.settings.audio.n_mels} mel bands, the store {store} holds {N_MELS}")
    if recipe.context == "padded" and data.attributes["max_frames"] == UNCUT:
        raise InputError(
            f"{store}: only ABX uses this split, so it was prepared uncut and has no length to pad to; set recipe.context to cropped"
        )
    for layer in feature_layers:
        if layer_position(layer) and is_quantized(layer) and layer not in quantized:
            raise InputError(f"{model}: {layer} is off in this model (on: {', '.join(quantized) or 'none'}); ask for another layer")


def encode_logmel(store: Path, out: Path) -> None:
    """Writes the log-mel features of a store as the layer `logmel` of a features file: a baseline without a model."""
    data = Store(store)
    with ExitStack() as stack:
        file = _new(stack, out)
        _write_durations(file, data, len(data))
        rows = _Rows(file, LOGMEL, data.n_frames, N_MELS)
        for i in track(range(len(data)), f"log-mel {store.stem}", unit="utterances"):
            rows.write(i, data.logmel(i))


class _Rows:
    """Rows of one layer going to a group of an HDF5 file: `codes` (total,) int32, or `vectors` (total, width) float32."""

    def __init__(self, file: h5py.File, layer: str, n_frames: np.ndarray, width: int | None) -> None:
        stride = 1 if layer == LOGMEL else frame_stride(layer)
        self.layer, self._codes = layer, width is None
        self.offsets = np.concatenate([[0], np.cumsum(np.maximum(n_frames // stride, 1))])
        group = file.require_group(layer)
        group["offsets"] = self.offsets
        group.attrs["frame_period"] = round(FRAME_PERIOD * stride, 9)
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


class _Embeddings:
    """Speech embeddings going to an HDF5 file; those of the images are there from the beginning."""

    def __init__(self, file: h5py.File, network: DualEncoder, data: Store, n: int) -> None:
        width = network.settings.audio.widths[-1]
        can_see = not isinstance(network.image, NoImageEncoder)
        image_ids = data.image_ids if can_see else []
        file.attrs["image_branch"] = can_see
        _write_texts(file, "ids", data.ids[:n])
        _write_texts(file, "image_ids", image_ids)
        file["image_index"] = data.image_index[:n].astype(np.int64) if can_see else np.full(n, -1)
        self._speech = file.create_dataset("speech", (n, width), np.float32)
        images = file.create_dataset("image", (len(image_ids), width), np.float32)
        if not image_ids:
            return
        device = next(network.parameters()).device
        workers = min(8, len(os.sched_getaffinity(0)) - 1)
        batches = evaluation_images(data, network.settings.image, IMAGES_AT_ONCE, workers)
        for pixels, numbers in track(batches, f"encode images of {data.path.stem}", unit="batches"):
            vectors = network.embed_image(network.image(pixels.to(device))).cpu().numpy()
            for j, vector in zip(np.asarray(numbers), vectors, strict=True):
                images[j] = vector

    def take(self, output: AudioOutput, numbers: Sequence[int]) -> None:
        """Writes a batch's embeddings in their places."""
        for i, vector in zip(numbers, DualEncoder.embed_speech(output).cpu().numpy(), strict=True):
            self._speech[i] = vector


def _speech(
    network: DualEncoder,
    data: Store,
    n: int,
    sinks: Sequence[_Embeddings | _Rows],
    until: str | None,
    frames_at_once: int,
    model: Path,
    recipe: Recipe,
) -> Iterator[int]:
    """Encodes the first n utterances and hands every batch to the sinks; yields each utterance's number when it is done."""
    device = next(network.parameters()).device
    for logmel, numbers in _batches(data, n, frames_at_once, recipe):
        n_frames = torch.full((len(numbers),), int(data.n_frames[numbers[0]]), device=device)
        output = network.audio(logmel.to(device), n_frames, until=until)
        totals = torch.stack([layer.vectors.sum() for layer in output.layers.values()])
        if bad := [name for name, finite in zip(output.layers, torch.isfinite(totals).tolist(), strict=True) if not finite]:
            raise InputError(
                f"{model}: {bad[0]} is not finite for utterance {data.ids[numbers[0]]} or one of its length; was the model trained to divergence?"
            )
        for sink in sinks:
            sink.take(output, numbers)
        yield from numbers


def _batches(data: Store, n: int, frames_at_once: int, recipe: Recipe) -> Iterator[tuple[torch.Tensor, list[int]]]:
    """Features (b, M, T) and numbers of those of the first n utterances that are equally long, in the recipe's context."""
    most = int(data.attributes["max_frames"])
    for everything, batch in equal_length_batches(data, frames_at_once):
        numbers, logmel = batch[batch < n].tolist(), everything[torch.from_numpy(batch < n)]
        if recipe.context == "cropped":
            if numbers:
                yield logmel, numbers
            continue
        size = max(1, frames_at_once // most)
        for start in range(0, len(numbers), size):
            part = logmel[start : start + size]
            missing = most - part.shape[2]
            yield torch.nn.functional.pad(part, (0, missing), value=PAD_VALUE[recipe.pad_value]), numbers[start : start + size]


def _deepest(layers: Sequence[str]) -> str | None:
    """The layer after which nothing needs to be computed; a quantizer comes after what enters it."""
    return max(layers, key=lambda layer: (layer_position(layer), is_quantized(layer)), default=None)


def _new(stack: ExitStack, path: Path) -> h5py.File:
    """An HDF5 file that takes its name when the stack unwinds well; a full disk is told before."""
    file = stack.enter_context(h5py.File(stack.enter_context(written_whole(path)), "w"))
    stack.callback(file.flush)
    return file


def _write_texts(file: h5py.File, name: str, texts: Sequence[str]) -> None:
    """A dataset (N,) of UTF-8 texts."""
    file.create_dataset(name, (len(texts),), h5py.string_dtype())[...] = np.array(texts, dtype=object)


def _write_manifest(file: h5py.File, data: Store, n: int) -> None:
    """`ids` and `manifest` of the first n utterances, block by block."""
    _write_texts(file, "ids", data.ids[:n])
    manifest = file.create_dataset("manifest", (n,), h5py.string_dtype())
    for start in range(0, n, ROWS_AT_ONCE):
        rows = [json.dumps(data.utterance(i).to_dict(), ensure_ascii=False) for i in range(start, min(n, start + ROWS_AT_ONCE))]
        manifest[start : start + len(rows)] = np.array(rows, dtype=object)


def _write_durations(file: h5py.File, data: Store, n: int) -> None:
    """`ids` and `durations`: seconds of audio, of a cut utterance up to the cut."""
    _write_texts(file, "ids", data.ids[:n])
    file["durations"] = np.minimum(data.n_samples[:n], data.n_frames[:n] * HOP_LENGTH) / SAMPLE_RATE


@contextmanager
def _true_float32() -> Iterator[None]:
    """Neither TF32 nor bfloat16 inside float32 convolutions and matrix products."""
    kinds: Any = torch.backends
    backends = (kinds.cudnn.conv, kinds.cuda.matmul, kinds.mkldnn.conv, kinds.mkldnn.matmul)
    before = [backend.fp32_precision for backend in backends]
    try:
        for backend in backends:
            backend.fp32_precision = "ieee"
        yield
    finally:
        for backend, precision in zip(backends, before, strict=True):
            backend.fp32_precision = precision
