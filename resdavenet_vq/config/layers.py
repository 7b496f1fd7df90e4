"""Configurations laid over each other: the files of a run, its `--config`, and what is below them."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from typing import Any

from resdavenet_vq.config.recipe import overlay as overlay_recipes
from resdavenet_vq.lineage import Lineage

DEMO, SMALL_CORPUS = "config.yaml", "configs/small_corpus.yaml"
"""The shipped configurations that others are laid over."""

OF_TRAINING = ("lineages", "model", "training")
"""What a configuration that stands alone has, besides `corpus`."""

LENGTHS = {"epochs": "steps", "steps": "epochs"}
"""The two keys that say how long a training is; each with the other."""


def base_of(values: Mapping[str, Any]) -> str | None:
    """The shipped configuration that a configuration is laid over; None for one that stands alone.

    One without a corpus changes the demo; one with a corpus but without all of `lineages`, `model` and `training` has
    the settings of small corpora for what it lacks.
    """
    if "corpus" not in values:
        return DEMO
    return None if values.keys() >= set(OF_TRAINING) else SMALL_CORPUS


def overlay(layers: Iterable[Mapping[str, Any]]) -> dict[str, Any]:
    """One configuration of several, the first at the bottom.

    Mappings are laid over each other key by key, as Snakemake does, and anything else replaces what is below it. Beyond
    that, a corpus with a layout is a whole one and replaces the corpus below; a mapping of switches keeps the word of the
    recipe below; a length of training in steps replaces one in epochs, and the other way round; and lineages take away
    what `training.overrides` below has for others.
    """
    layers = list(layers)
    values: dict[str, Any] = {}
    for layer in layers:
        values = _laid_over(values, layer)
    recipe = overlay_recipes(layer.get("recipe") for layer in layers)
    return values if recipe is None else values | {"recipe": recipe}


def _laid_over(below: dict[str, Any], layer: Mapping[str, Any]) -> dict[str, Any]:
    below = dict(below)
    match layer:
        case {"corpus": {"layout": _}}:
            below.pop("corpus", None)
    match below:
        case {"training": {"overrides": Mapping() as overrides} as training} if "lineages" in layer:
            chains = [chain for text in _list(layer["lineages"]) if (chain := _stages(text))]
            trained = {chain[:n] for chain in chains for n in range(1, len(chain) + 1)}
            kept = {text: value for text, value in overrides.items() if _stages(text) in {None, *trained}}
            below["training"] = {**training, "overrides": kept}
    return _merged(below, layer)


def _merged(below: Mapping[str, Any], above: Mapping[str, Any]) -> dict[str, Any]:
    """Mappings laid over each other key by key; anything else is replaced."""
    values = dict(below)
    for key, other in LENGTHS.items():
        if above.get(key) is not None and other not in above:
            values.pop(other, None)
    for key, value in above.items():
        under = values.get(key)
        is_mapping = isinstance(value, Mapping)
        values[key] = _merged(under if isinstance(under, Mapping) else {}, value) if is_mapping else value
    return values


def _list(value: Any) -> list[Any]:
    return list(value) if isinstance(value, list | tuple) else []


def _stages(text: Any) -> tuple[tuple[int, ...], ...] | None:
    """The stages of a lineage; None for what is no lineage, which the schema reports."""
    try:
        return Lineage.parse(text).stages if isinstance(text, str) else None
    except ValueError:
        return None
