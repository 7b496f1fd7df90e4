"""What a model makes of a split."""

from __future__ import annotations

from typing import Annotated

import typer

from resdavenet_vq import config
from resdavenet_vq.commands import Data, ModelFolder, Out, Recipe, app


@app.command()
def encode_embeddings(model: ModelFolder, data: Data, out: Out, recipe: Recipe = "{}") -> None:
    """Write the embeddings of a split's images and captions."""
    from resdavenet_vq.encode.split import encode

    encode(model, data, embeddings=out, recipe=config.Recipe.from_json(recipe))


@app.command()
def encode_maps(model: ModelFolder, data: Data, out: Out, recipe: Recipe = "{}") -> None:
    """Write the cells of a split's images and the last frames of its captions, whose products are the matchmap."""
    from resdavenet_vq.encode.split import encode

    encode(model, data, maps=out, recipe=config.Recipe.from_json(recipe))


@app.command()
def encode_codes(
    model: ModelFolder,
    data: Data,
    out: Out,
    limit: Annotated[int, typer.Option(min=0, help="First so many utterances; 0: all.")] = 0,
    recipe: Recipe = "{}",
) -> None:
    """Write the codes of a split's utterances, of every quantizer that is on."""
    from resdavenet_vq.encode.split import encode

    encode(model, data, codes=out, limit=limit, recipe=config.Recipe.from_json(recipe))


@app.command()
def encode_features(
    model: ModelFolder,
    data: Data,
    layers: Annotated[str, typer.Option(help="Comma-separated: conv2,quant2.")],
    out: Out,
) -> None:
    """Write the features of chosen layers for a split's utterances."""
    from resdavenet_vq.encode.split import encode

    encode(model, data, features=out, feature_layers=tuple(layers.split(",")))


@app.command()
def encode_logmel(data: Data, out: Out) -> None:
    """Write the raw log-mel features of a split in the form of a layer's, for comparison."""
    from resdavenet_vq.encode.split import encode_logmel as run

    run(data, out)
