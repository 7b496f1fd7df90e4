"""A model over a split: embeddings, maps, codes and features of layers, in one pass.

Every utterance is encoded by itself: in a batch of utterances of like length padding is 0 before every convolution, as
it is around an utterance encoded alone (`AudioEncoder`, `isolated`); or each is padded to one length for all
(`recipe.context: padded`). So no result depends on batch mates. All arithmetic is true float32.
"""

from __future__ import annotations

import math
import os
from collections.abc import Iterator, Mapping, Sequence
from contextlib import ExitStack, closing
from dataclasses import dataclass, field
from itertools import batched, groupby
from pathlib import Path
from typing import Any

import numpy as np
import torch

from resdavenet_vq import devices
from resdavenet_vq.config import UNCUT, Recipe
from resdavenet_vq.data.dataset import evaluation_images
from resdavenet_vq.data.features import N_MELS, PAD_VALUE
from resdavenet_vq.data.loader import has_lost_worker, shielded
from resdavenet_vq.data.store import Store
from resdavenet_vq.encode.embeddings import EmbeddingsToFill, Pairs, create_embeddings
from resdavenet_vq.encode.frames import durations, frame_period, n_layer_frames, split_name
from resdavenet_vq.encode.hdf5_output import Rows
from resdavenet_vq.encode.layers import check_layers, deepest, layer_width, start_codes, start_features
from resdavenet_vq.encode.maps import MapsToFill, create_maps
from resdavenet_vq.encode.origin import Origin
from resdavenet_vq.errors import InputError
from resdavenet_vq.lineage import N_POSITIONS
from resdavenet_vq.model import checkpoint
from resdavenet_vq.model.audio import AudioOutput
from resdavenet_vq.model.dual_encoder import DualEncoder, NoImageEncoder
from resdavenet_vq.model.normalization import Statistics
from resdavenet_vq.model.precision import true_float32
from resdavenet_vq.progress import track

FRAMES_AT_ONCE = 1 << 14
"""Log-mel frames in a batch, unless one utterance has more."""

LENGTHS_IN_AN_OCTAVE = 8
"""To how many lengths utterances between n and 2 n frames are padded: a CPU prepares its convolutions for each anew."""

SHORTEST_STEP = 16
"""Log-mel frames between two such lengths at least: the audio network halves time four times."""

IMAGES_AT_ONCE = 64

LAST = f"conv{N_POSITIONS}"
"""The layer whose frames are compared with images."""

CROPPED = Recipe()
"""Nothing around utterances."""


@dataclass
class _Files:
    """The open files of one pass; codes and features by layer."""

    embeddings: EmbeddingsToFill | None = None
    maps: MapsToFill | None = None
    codes: dict[str, Rows] = field(default_factory=dict)
    features: dict[str, Rows] = field(default_factory=dict)

    def write(self, output: AudioOutput, numbers: Sequence[int]) -> None:
        """Writes the model's output for utterances, given by their numbers; what comes after these is left out."""
        n = len(numbers)
        if self.embeddings:
            self.embeddings.write_speech(numbers, DualEncoder.embed_speech(output)[:n].cpu().numpy())
        if self.maps:
            self.maps.frames.write_each(
                numbers, _own_frames(output.frames[:n].float().transpose(1, 2), output.n_frames)
            )
        for name, layer in output.layers.items():
            vectors, codes = layer.vectors[:n].transpose(1, 2), None if layer.codes is None else layer.codes[:n].int()
            if name in self.codes and codes is not None:
                self.codes[name].write_each(numbers, _own_frames(codes, layer.n_frames))
            if name in self.features:
                rows = vectors if codes is None else codes
                self.features[name].write_each(numbers, _own_frames(rows, layer.n_frames))

    def write_images(self, image_maps: torch.Tensor, numbers: Sequence[int]) -> None:
        """Writes the maps (b, D, H, W) of images, given by their numbers."""
        if self.embeddings:
            self.embeddings.write_images(numbers, DualEncoder.embed_image(image_maps).cpu().numpy())
        if self.maps:
            for j, cells in zip(numbers, image_maps.float().permute(0, 2, 3, 1).cpu().numpy(), strict=True):
                self.maps.write_cells(j, cells)


def _own_frames(frames: torch.Tensor, n_frames: torch.Tensor) -> list[np.ndarray]:
    """Of the frames (b, T) or (b, T, C) of the first utterances the valid ones, of which there are `n_frames` (B,)."""
    return [rows[:n] for rows, n in zip(frames.cpu().numpy(), n_frames.tolist(), strict=False)]


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

    `feature_layers`, `convN` and `quantN` of quantizers that are on, go to `features`. `limit` is a number of
    utterances, the first of the store; 0: all. Of the recipe only `context` and `pad_value` count: in a padded context
    every utterance is padded to the store's maximum length, and only its own frames are written. `frames_at_once`,
    log-mel frames in a batch, changes speed and memory, not results.

    Raises InputError if the model has no such layer, does not fit the store, or gives values that are not finite.
    """
    data = Store(store)
    network, card = checkpoint.load(model, audio_only=not (embeddings or maps))
    feature_layers = check_layers(model, network, feature_layers)
    if recipe.context == "padded" and data.attributes["max_frames"] == UNCUT:
        raise InputError(
            f"{store}: only ABX uses this split, so it was prepared uncut and has no length to pad to; "
            "set recipe.context to cropped"
        )
    n = min(limit or len(data), len(data))
    ids, n_frames = data.ids[:n], data.n_frames[:n]
    origin = model_origin(card, split_name(data), data.sha256, recipe)
    network.to(devices.device())
    with ExitStack() as stack, torch.inference_mode(), true_float32():
        files = _Files()
        if embeddings or maps:
            branch = not isinstance(network.image, NoImageEncoder)
            images = (data.image_ids, data.image_index[:n]) if branch else ([], np.full(n, -1))
            pairs, width = Pairs(ids, *images, image_branch=branch), layer_width(network, LAST)
            if embeddings:
                files.embeddings = stack.enter_context(create_embeddings(embeddings, pairs, width, origin))
            if maps:
                last = n_layer_frames(n_frames, LAST), width, frame_period(LAST)
                files.maps = stack.enter_context(create_maps(maps, pairs, *last, origin))
            if pairs.image_ids:
                _encode_images(network, data, files)
        if codes:
            rows = (data.utterance(i).to_dict() for i in range(n))
            files.codes = start_codes(stack, codes, network, ids, rows, n_frames, origin)
        if features:
            seconds = durations(data)[:n]
            files.features = start_features(stack, features, network, feature_layers, ids, seconds, n_frames, origin)
        if files != _Files():
            until = None if embeddings or maps else deepest([*files.codes, *files.features])
            numbers = _encode_speech(model, network, data, n, frames_at_once, recipe, until, files)
            for _ in track(numbers, f"encode {store.stem}", total=n, unit="utterances"):
                pass


def model_origin(card: Mapping[str, Any], split: str, data: str, recipe: Recipe = CROPPED) -> Origin:
    """Of a file that the model with this card makes; its weights have been compared with the card's checksum."""
    applied = {"context": recipe.context} | ({"pad_value": recipe.pad_value} if recipe.context == "padded" else {})
    return Origin(str(card["sha256"]), str(card.get("lineage") or ""), split, data, applied)


def _encode_speech(
    model: Path,
    network: DualEncoder,
    data: Store,
    n: int,
    frames_at_once: int,
    recipe: Recipe,
    until: str | None,
    files: _Files,
) -> Iterator[int]:
    """Encodes and writes the first n utterances, batch by batch; yields their numbers."""
    isolated = recipe.context == "cropped"
    for logmel, numbers in _batches(data, n, frames_at_once, recipe):
        lengths = np.resize(data.n_frames[numbers], len(logmel))
        names = f"utterance {data.ids[numbers[0]]} or one of its batch"
        files.write(run_audio(model, network, logmel, lengths, until, names, isolated=isolated), numbers)
        yield from numbers


def _encode_images(network: DualEncoder, data: Store, files: _Files) -> None:
    workers = min(8, len(os.sched_getaffinity(0)) - 1)
    images = evaluation_images(data, network.settings.image, IMAGES_AT_ONCE, workers)
    label, total = f"encode images of {data.path.stem}", math.ceil(len(data.image_ids) / IMAGES_AT_ONCE)
    try:
        with closing(shielded(images)) as batches:
            for pixels, numbers in track(batches, label, total, "batches"):
                image_maps = network.image(pixels.to(next(network.parameters()).device))
                files.write_images(image_maps, np.asarray(numbers).tolist())
    except RuntimeError as e:
        if not has_lost_worker(e):
            raise
        raise InputError(f"{data.path}: a data worker died or stalled ({e}); run the same command again") from e


def _batches(data: Store, n: int, frames_at_once: int, recipe: Recipe) -> Iterator[tuple[torch.Tensor, list[int]]]:
    """Features (b, M, T) and numbers of the first n utterances, shortest first, in the recipe's context.

    A batch has at most `frames_at_once` frames with its padding, and at least one utterance. A single one is there
    twice: convolutions of one utterance add in another order on a CPU, so that the last bits would depend on the batch.
    """
    order = np.argsort(data.n_frames[:n], kind="stable")
    is_padded = recipe.context == "padded"
    value = PAD_VALUE[recipe.pad_value] if is_padded else 0.0
    for length, group in groupby(
        order.tolist(),
        lambda i: int(data.attributes["max_frames"]) if is_padded else padded_length(int(data.n_frames[i])),
    ):
        for numbers in batched(group, max(1, frames_at_once // length)):
            logmel = np.full((max(2, len(numbers)), N_MELS, length), value, np.float32)
            for row, number in zip(logmel, numbers, strict=False):
                row[:, : data.n_frames[number]] = data.logmel(number).T
            logmel[len(numbers) :] = logmel[0]
            yield torch.from_numpy(logmel), list(numbers)


def padded_length(n_frames: int) -> int:
    """The next of the few lengths to which utterances are padded: up to an eighth more, or SHORTEST_STEP."""
    step = max(SHORTEST_STEP, (1 << (n_frames - 1).bit_length() >> 1) // LENGTHS_IN_AN_OCTAVE)
    return -(-n_frames // step) * step


def run_audio(
    model: Path,
    network: DualEncoder,
    logmel: torch.Tensor,
    n_frames: Sequence[int] | np.ndarray,
    until: str | None,
    names: str,
    statistics: Statistics | None = None,
    *,
    isolated: bool = False,
) -> AudioOutput:
    """The layers of utterances (B, M, T), of which the first `n_frames` (B,) are valid.

    `isolated`: no result depends on padding. `statistics` are those of the whole recordings, to encode pieces of them.
    Raises InputError naming the model and the utterances if a value is not finite.
    """
    device = next(network.parameters()).device
    with torch.inference_mode(), true_float32():
        lengths = torch.as_tensor(n_frames, device=device)
        whole = Statistics(*(x.to(device) for x in statistics)) if statistics else None
        output: AudioOutput = network.audio(
            logmel.to(device), lengths, until=until, statistics=whole, isolated=isolated
        )
        totals = torch.stack([layer.vectors.sum() for layer in output.layers.values()])  # one wait for a GPU
        for layer, finite in zip(output.layers, torch.isfinite(totals).tolist(), strict=True):
            if not finite:
                raise InputError(f"{model}: {layer} is not finite for {names}; was the model trained to divergence?")
    return output
