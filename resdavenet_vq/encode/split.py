"""A model over a split: embeddings, maps, codes and layer features, in one pass; with `recordings` the only evaluation that runs a model.

Every utterance is encoded by itself: batches hold utterances of equal length, without padding (or with padding to
one length for all, `recipe.context: padded`), so that no result depends on batch mates. All arithmetic is true float32
(TF32 would change one code in a thousand). The HDF5 files (`encode_files`) appear whole or not at all; what is in memory
is one batch.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from contextlib import ExitStack, contextmanager
from pathlib import Path
from typing import Any

import torch

from resdavenet_vq.config import UNCUT, Recipe
from resdavenet_vq.data.dataset import equal_length_batches
from resdavenet_vq.data.features import PAD_VALUE
from resdavenet_vq.data.store import Store
from resdavenet_vq.encode.encode_files import (
    Embeddings,
    Maps,
    Rows,
    code_rows,
    new_file,
    write_durations,
    write_logmel,
    write_manifest,
)
from resdavenet_vq.encode.features import is_quantized
from resdavenet_vq.errors import InputError
from resdavenet_vq.lineage import layer_position
from resdavenet_vq.model import checkpoint
from resdavenet_vq.model.dual_encoder import DualEncoder
from resdavenet_vq.progress import track

FRAMES_AT_ONCE = 1 << 14
"""Log-mel frames in a batch, unless one utterance has more."""

CROPPED = Recipe()
"""Nothing around utterances."""

type Sink = Embeddings | Maps | Rows
"""What takes the model's output, batch by batch."""


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
    """Encodes a store with the model in a folder and writes the files asked for, on the GPU if there is one.

    Parameters
    ----------
    embeddings, maps, codes, features
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
    network, _ = checkpoint.load(model, audio_only=not (embeddings or maps))
    widths, quantized = network.settings.audio.widths, [f"quant{n}" for n in network.quantizers]
    _check_request(model, network, store, data, feature_layers, recipe)
    n = min(limit or len(data), len(data))
    network.to(torch.device("cuda" if torch.cuda.is_available() else "cpu"))
    with ExitStack() as stack, torch.inference_mode(), true_float32():
        sinks: list[Sink] = []
        if embeddings:
            sinks.append(Embeddings(new_file(stack, embeddings), network, data, n))
        if maps:
            sinks.append(Maps(new_file(stack, maps), network, data, n))
        if codes:
            file = new_file(stack, codes)
            write_manifest(file, data, n)
            sinks += [code_rows(file, network, layer, data.n_frames[:n]) for layer in quantized]
        if features:
            file = new_file(stack, features)
            write_durations(file, data, n)
            sinks += [
                Rows(file, layer, data.n_frames[:n], widths[layer_position(layer) - 1])
                for layer in dict.fromkeys(feature_layers)
            ]
        until = None if embeddings or maps else deepest([sink.layer for sink in sinks if isinstance(sink, Rows)])
        if sinks:
            for _ in track(
                _speech(network, data, n, sinks, until, frames_at_once, model, recipe),
                f"encode {store.stem}",
                total=n,
                unit="utterances",
            ):
                pass


def _check_request(
    model: Path, network: DualEncoder, store: Path, data: Store, feature_layers: Sequence[str], recipe: Recipe
) -> None:
    """Raises InputError if the model does not fit the store, lacks a layer asked for, or the store has no length to pad to."""
    quantized = [f"quant{n}" for n in network.quantizers]
    if recipe.context == "padded" and data.attributes["max_frames"] == UNCUT:
        raise InputError(
            f"{store}: only ABX uses this split, so it was prepared uncut and has no length to pad to; set recipe.context to cropped"
        )
    for layer in feature_layers:
        if layer_position(layer) and is_quantized(layer) and layer not in quantized:
            raise InputError(
                f"{model}: {layer} is off in this model (on: {', '.join(quantized) or 'none'}); ask for another layer"
            )


def encode_logmel(store: Path, out: Path) -> None:
    """Writes the log-mel features of a store as the layer `logmel` of a features file: a baseline without a model."""
    data = Store(store)
    with ExitStack() as stack:
        file = new_file(stack, out)
        write_durations(file, data, len(data))
        write_logmel(file, data)


def _speech(
    network: DualEncoder,
    data: Store,
    n: int,
    sinks: Sequence[Sink],
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
        if bad := [
            name for name, finite in zip(output.layers, torch.isfinite(totals).tolist(), strict=True) if not finite
        ]:
            raise InputError(
                f"{model}: {bad[0]} is not finite for utterance {data.ids[numbers[0]]} or one of its length; was the model trained to divergence?"
            )
        for sink in sinks:
            sink.take(output, numbers)
        yield from numbers


def _batches(data: Store, n: int, frames_at_once: int, recipe: Recipe) -> Iterator[tuple[torch.Tensor, list[int]]]:
    """Features (b, M, T) and numbers of the first n utterances, batches of equal length, in the recipe's context."""
    most = int(data.attributes["max_frames"])
    for logmel, found in equal_length_batches(data, frames_at_once, limit=n):
        numbers = found.tolist()
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
    """The layer after which nothing needs to be computed; a quantizer comes after what enters it."""
    return max(layers, key=lambda layer: (layer_position(layer), is_quantized(layer)), default=None)


@contextmanager
def true_float32() -> Iterator[None]:
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
