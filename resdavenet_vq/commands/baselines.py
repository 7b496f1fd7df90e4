"""Baselines: clusters, and the network before training."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Annotated

import typer

from resdavenet_vq.commands import Data, Out, for_rules
from resdavenet_vq.errors import InputError
from resdavenet_vq.lineage import layer_position

Network = Annotated[
    Path | None, typer.Option(help="The model whose layers are clustered; without it, windows of log-mel features are.")
]
Seed = Annotated[int, typer.Option(min=0, help="Of everything random.")]


@for_rules
def make_untrained(
    audio: Annotated[str, typer.Option(help="JSON of the section `model.audio`.")],
    data: Data,
    out: Out,
    seed: Seed = 0,
) -> None:
    """Make a model of random weights, the network before training; a split gives its batch normalization statistics."""
    from resdavenet_vq import config
    from resdavenet_vq.encode import untrained

    untrained.make_untrained(config.AudioModel.from_json(audio), data, out, seed=seed)


@for_rules
def fit_kmeans(
    data: Data,
    layers: Annotated[str, typer.Option(help='JSON, the number of clusters of each layer: {"quant2": 1024}.')],
    system: Annotated[str, typer.Option(help="The name of the results' folder: kmeans, kmeans-of-none, kmeans-k64.")],
    out: Out,
    model: Network = None,
    utterances: Annotated[int, typer.Option(min=1, help="How many, at most; random ones.")] = 5000,
    seed: Seed = 0,
) -> None:
    """Cluster a split's frames at the rate of quantizers, by k-means."""
    from resdavenet_vq.data.store import Store
    from resdavenet_vq.encode import kmeans
    from resdavenet_vq.encode.logmel import LogMelWindows
    from resdavenet_vq.system import notation

    try:
        name = notation(system)
    except ValueError as e:
        raise InputError(f"--system: {e}") from None
    sizes, store = _sizes(layers), Store(data)
    frames: kmeans.Frames = LogMelWindows(store, [*sizes])
    if model:
        from resdavenet_vq.encode.activations import Activations  # PyTorch takes seconds

        frames = Activations(model, store, [*sizes])
    kmeans.fit(frames, sizes, out, utterances=utterances, seed=seed, lineage=name)


@for_rules
def encode_kmeans(
    clusters: Annotated[Path, typer.Option(help="kmeans.h5, of fit-kmeans.")],
    data: Data,
    codes: Annotated[Path | None, typer.Option(help="Where the codes go.")] = None,
    features: Annotated[
        Path | None, typer.Option(help="Where the features go: of each frame the nearest center.")
    ] = None,
    model: Network = None,
    limit: Annotated[
        int, typer.Option(min=0, help="Number of utterances with codes, the first of the split; 0: all.")
    ] = 0,
) -> None:
    """Write the codes of a split's utterances, and their features, for every layer that was clustered."""
    from resdavenet_vq.data.store import Store
    from resdavenet_vq.encode import kmeans
    from resdavenet_vq.encode.logmel import LogMelWindows
    from resdavenet_vq.files import together

    if not (codes or features):
        raise InputError("encode-kmeans needs --codes or --features, a file for the result")
    with kmeans.Clusters(clusters) as file:
        layers = [*file.centers]
    store = Store(data)
    frames: kmeans.Frames = LogMelWindows(store, layers)
    if model:
        from resdavenet_vq.encode.activations import Activations  # PyTorch takes seconds

        frames = Activations(model, store, layers)
    with together():
        kmeans.encode(frames, clusters, codes=codes, features=features, limit=limit)


def _sizes(text: str) -> dict[str, int]:
    """The number of clusters of each layer. Raises InputError for anything else."""
    try:
        sizes = json.loads(text)
        right = isinstance(sizes, dict) and sizes and all(type(k) is int and k > 0 for k in sizes.values())
        if right and all(layer_position(layer) and layer.startswith("quant") for layer in sizes):
            return dict(sizes)
    except ValueError:
        pass
    raise InputError(
        f'--layers: {text[:100]!r} does not name quantizers and numbers of clusters; write {{"quant2": 1024}}'
    )
