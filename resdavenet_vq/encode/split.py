"""A model over a split: embeddings, maps, codes and features of layers, in one pass.

Every utterance is encoded by itself: batches hold utterances of equal length, without padding (or with padding to
one length for all, `recipe.context: padded`), so that no result depends on batch mates. All arithmetic is true float32
(TF32 would change one code in a thousand). What is in memory is one batch.
"""

from __future__ import annotations

import os
from collections.abc import Iterator, Sequence
from contextlib import ExitStack
from dataclasses import dataclass, field
from pathlib import Path

import numpy as np
import torch

from resdavenet_vq.config import UNCUT, Recipe
from resdavenet_vq.data.dataset import equal_length_batches, evaluation_images, without_traceback
from resdavenet_vq.data.features import FRAME_PERIOD, HOP_LENGTH, N_MELS, PAD_VALUE, SAMPLE_RATE
from resdavenet_vq.data.store import Store
from resdavenet_vq.encode.codes import add_codes, create_codes
from resdavenet_vq.encode.embeddings import EmbeddingsToFill, Pairs, create_embeddings
from resdavenet_vq.encode.features import LOGMEL, add_features, create_features, is_quantized
from resdavenet_vq.encode.hdf5 import Rows
from resdavenet_vq.encode.maps import MapsToFill, create_maps
from resdavenet_vq.errors import InputError
from resdavenet_vq.lineage import N_POSITIONS, frame_stride, layer_position
from resdavenet_vq.model import checkpoint
from resdavenet_vq.model.audio import AudioOutput
from resdavenet_vq.model.dual_encoder import DualEncoder, NoImageEncoder
from resdavenet_vq.model.precision import true_float32
from resdavenet_vq.progress import track

FRAMES_AT_ONCE = 1 << 14
"""Log-mel frames in a batch, unless one utterance has more."""

IMAGES_AT_ONCE = 64

LAST = f"conv{N_POSITIONS}"
"""The layer whose frames are compared with images."""

CROPPED = Recipe()
"""Nothing around utterances."""


@dataclass
class _Files:
    """The open files of one pass."""

    embeddings: EmbeddingsToFill | None = None
    maps: MapsToFill | None = None
    codes: dict[str, Rows] = field(default_factory=dict)
    """By layer."""
    features: dict[str, Rows] = field(default_factory=dict)

    def write(self, output: AudioOutput, numbers: Sequence[int]) -> None:
        """Writes the model's output for utterances of equal length, given by their numbers."""
        if self.embeddings:
            for i, vector in zip(numbers, _array(DualEncoder.embed_speech(output)), strict=True):
                self.embeddings.speech[i] = vector
        if self.maps:
            frames = output.frames.float().transpose(1, 2)
            self.maps.frames.write_each(numbers, _array(frames[:, : output.n_frames[0]]))
        for layer, rows in self.codes.items():
            codes = output.layers[layer].codes
            assert codes is not None, "the layer is a quantizer"
            rows.write_each(numbers, _array(codes[:, : output.layers[layer].n_frames[0]]))
        for layer, rows in self.features.items():
            vectors = output.layers[layer].vectors.transpose(1, 2)
            rows.write_each(numbers, _array(vectors[:, : output.layers[layer].n_frames[0]]))


def encode(
    model: Path,
    store: Path,
    *,
    embeddings: Path | None = None,
    maps: Path | None = None,
    codes: Path | None = None,
    features: Path | None = None,
    feature_layers: Sequence[str] = (),
    limit: int = 0,
    recipe: Recipe = CROPPED,
    frames_at_once: int = FRAMES_AT_ONCE,
) -> None:
    """Encodes a store with the model in a folder and writes files, each with its digest; uses the GPU if there is one.

    Parameters
    ----------
    embeddings, maps, codes, features
        Where the results go; None: this one is not written.
    feature_layers
        Layers written to `features`: `convN`, and `quantN` of quantizers that are on.
    limit
        Number of utterances, the first of the store; 0: all.
    recipe
        Only `context` and `pad_value` count: in a padded context every utterance is padded to the store's maximum
        length, and only its own frames are written.
    frames_at_once
        Log-mel frames in a batch: changes speed and memory, not results.

    Raises InputError if the model has no such layer, does not fit the store, or gives values that are not finite.
    """
    data = Store(store)
    network, _ = checkpoint.load(model, audio_only=not (embeddings or maps))
    _check_request(model, network, store, data, feature_layers, recipe)
    n = min(limit or len(data), len(data))
    network.to(torch.device("cuda" if torch.cuda.is_available() else "cpu"))
    with ExitStack() as stack, torch.inference_mode(), true_float32():
        files = _Files()
        if embeddings:
            files.embeddings = _start_embeddings(stack, embeddings, network, data, n)
        if maps:
            files.maps = _start_maps(stack, maps, network, data, n)
        if codes:
            rows = (data.utterance(i).to_dict() for i in range(n))
            file = stack.enter_context(create_codes(codes, data.ids[:n], rows))
            for layer in [f"quant{number}" for number in network.quantizers]:
                n_frames = layer_frames(data.n_frames[:n], layer)
                files.codes[layer] = add_codes(file, layer, codebook(network, layer), n_frames, frame_period(layer))
        if features:
            file = stack.enter_context(create_features(features, data.ids[:n], _durations(data, n)))
            for layer in dict.fromkeys(feature_layers):
                n_frames, width = layer_frames(data.n_frames[:n], layer), layer_width(network, layer)
                files.features[layer] = add_features(file, layer, width, n_frames, frame_period(layer))
        if files != _Files():
            until = None if embeddings or maps else deepest([*files.codes, *files.features])
            done = _encode_speech(network, data, n, files, until, frames_at_once, model, recipe)
            for _ in track(done, f"encode {store.stem}", total=n, unit="utterances"):
                pass


def encode_logmel(store: Path, out: Path) -> None:
    """Writes the log-mel features of a store as the layer `logmel` of a features file: a baseline without a model."""
    data = Store(store)
    with create_features(out, data.ids, _durations(data, len(data))) as file:
        rows = add_features(file, LOGMEL, N_MELS, np.maximum(data.n_frames, 1), FRAME_PERIOD)
        for i in track(range(len(data)), f"log-mel {data.path.stem}", unit="utterances"):
            rows.write(i, data.logmel(i))


def _start_embeddings(stack: ExitStack, path: Path, network: DualEncoder, data: Store, n: int) -> EmbeddingsToFill:
    """An embeddings file with the vectors of the images."""
    pairs = _pairs(network, data, n)
    file = stack.enter_context(create_embeddings(path, pairs, layer_width(network, LAST)))
    for image_maps, numbers in _image_maps(network, data, pairs):
        for j, vector in zip(numbers, _array(network.embed_image(image_maps)), strict=True):
            file.image[j] = vector
    return file


def _start_maps(stack: ExitStack, path: Path, network: DualEncoder, data: Store, n: int) -> MapsToFill:
    """A maps file with the cells of the images."""
    pairs, n_frames = _pairs(network, data, n), layer_frames(data.n_frames[:n], LAST)
    file = stack.enter_context(create_maps(path, pairs, n_frames, layer_width(network, LAST), frame_period(LAST)))
    for image_maps, numbers in _image_maps(network, data, pairs):
        for j, cells in zip(numbers, _array(image_maps.float().permute(0, 2, 3, 1)), strict=True):
            file.write_cells(j, cells)
    return file


def _array(tensor: torch.Tensor) -> np.ndarray:
    array: np.ndarray = tensor.cpu().numpy()
    return array


def _pairs(network: DualEncoder, data: Store, n: int) -> Pairs:
    """The first n captions and their images; a model without an image branch has no images."""
    if isinstance(network.image, NoImageEncoder):
        return Pairs(data.ids[:n], [], np.full(n, -1), image_branch=False)
    return Pairs(data.ids[:n], data.image_ids, data.image_index[:n], image_branch=True)


def _image_maps(network: DualEncoder, data: Store, pairs: Pairs) -> Iterator[tuple[torch.Tensor, list[int]]]:
    """Maps (b, D, H, W) of all images, with the images' numbers."""
    if not pairs.image_ids:
        return
    device = next(network.parameters()).device
    workers = min(8, len(os.sched_getaffinity(0)) - 1)
    batches = evaluation_images(data, network.settings.image, IMAGES_AT_ONCE, workers)
    try:
        for pixels, numbers in track(batches, f"encode images of {data.path.stem}", unit="batches"):
            yield network.image(pixels.to(device)), np.asarray(numbers).tolist()
    except InputError as e:
        raise without_traceback(e) from None


def _durations(data: Store, n: int) -> np.ndarray:
    """Seconds (n,) of audio, of a cut utterance up to the cut."""
    seconds: np.ndarray = np.minimum(data.n_samples[:n], data.n_frames[:n] * HOP_LENGTH) / SAMPLE_RATE
    return seconds


def frame_period(layer: str) -> float:
    """Seconds from one frame of a layer to the next."""
    return round(FRAME_PERIOD * frame_stride(layer), 9)


def layer_frames(n_frames: np.ndarray, layer: str) -> np.ndarray:
    """The frames (N,) in a layer of utterances with (N,) log-mel frames, at least one each."""
    frames: np.ndarray = np.maximum(n_frames // frame_stride(layer), 1)
    return frames


def layer_width(network: DualEncoder, layer: str) -> int:
    """Values in a frame of a layer."""
    return network.settings.audio.widths[layer_position(layer) - 1]


def codebook(network: DualEncoder, layer: str) -> np.ndarray:
    """The code vectors (K, C) float32 of a quantizer that is on."""
    vectors: np.ndarray = network.audio.get_buffer(f"quantizers.{layer}.codebook").cpu().numpy()
    return vectors


def _check_request(
    model: Path, network: DualEncoder, store: Path, data: Store, feature_layers: Sequence[str], recipe: Recipe
) -> None:
    """Raises InputError if the model does not fit the store or lacks a layer, or the store has no length to pad to."""
    quantized = [f"quant{n}" for n in network.quantizers]
    if recipe.context == "padded" and data.attributes["max_frames"] == UNCUT:
        raise InputError(
            f"{store}: only ABX uses this split, so it was prepared uncut and has no length to pad to; "
            "set recipe.context to cropped"
        )
    for layer in feature_layers:
        if layer_position(layer) and is_quantized(layer) and layer not in quantized:
            raise InputError(
                f"{model}: {layer} is off in this model (on: {', '.join(quantized) or 'none'}); ask for another layer"
            )


def _encode_speech(
    network: DualEncoder,
    data: Store,
    n: int,
    files: _Files,
    until: str | None,
    frames_at_once: int,
    model: Path,
    recipe: Recipe,
) -> Iterator[int]:
    """Encodes the first n utterances and writes every batch; yields the number of each utterance."""
    device = next(network.parameters()).device
    for logmel, numbers in _batches(data, n, frames_at_once, recipe):
        n_frames = torch.full((len(numbers),), int(data.n_frames[numbers[0]]), device=device)
        output = network.audio(logmel.to(device), n_frames, until=until)
        totals = torch.stack([layer.vectors.sum() for layer in output.layers.values()])
        if bad := [
            name for name, finite in zip(output.layers, torch.isfinite(totals).tolist(), strict=True) if not finite
        ]:
            raise InputError(
                f"{model}: {bad[0]} is not finite for utterance {data.ids[numbers[0]]} or one of its length; "
                "was the model trained to divergence?"
            )
        files.write(output, numbers)
        yield from numbers


def _batches(data: Store, n: int, frames_at_once: int, recipe: Recipe) -> Iterator[tuple[torch.Tensor, list[int]]]:
    """Features (b, M, T) and numbers of the first n utterances, batches of equal length, in the recipe's context."""
    most = int(data.attributes["max_frames"])
    for logmel, batch in equal_length_batches(data, frames_at_once, limit=n):
        numbers = batch.tolist()
        if recipe.context == "cropped":
            yield logmel, numbers
            continue
        size = max(1, frames_at_once // most)
        for start in range(0, len(numbers), size):
            part = logmel[start : start + size]
            missing = most - part.shape[2]
            yield (
                torch.nn.functional.pad(part, (0, missing), value=PAD_VALUE[recipe.pad_value]),
                numbers[start : start + size],
            )


def deepest(layers: Sequence[str]) -> str | None:
    """The last layer that must be computed; a quantizer comes after the layer that enters it."""
    return max(layers, key=lambda layer: (layer_position(layer), is_quantized(layer)), default=None)
