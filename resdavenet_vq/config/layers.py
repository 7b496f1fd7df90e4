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

type Stages = tuple[tuple[int, ...], ...]

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
    if "layout" in _mapping(layer.get("corpus")):
        below.pop("corpus", None)
    if training := _mapping(below.get("training")):
        above = _mapping(layer.get("training"))
        below["training"] = training = _without_other_length(training, above)
        if isinstance(overrides := training.get("overrides"), Mapping):
            new = _mapping(above.get("overrides"))
            if "lineages" in layer:
                trained = {None, *_stages_and_ancestors(layer["lineages"])}
                overrides = {text: values for text, values in overrides.items() if _stages(text) in trained}
            kept = {text: _without_other_length(values, new.get(text)) for text, values in overrides.items()}
            below["training"] = training | {"overrides": kept}
    return _merged(below, layer)


def _without_other_length(below: Any, above: Any) -> Any:
    """A training's settings without the length that another one replaces."""
    above = _mapping(above)
    replaced = {other for key, other in LENGTHS.items() if above.get(key) is not None and other not in above}
    return {key: value for key, value in below.items() if key not in replaced} if isinstance(below, Mapping) else below


def _merged(below: Mapping[str, Any], above: Mapping[str, Any]) -> dict[str, Any]:
    """Mappings laid over each other key by key; anything else is replaced."""
    values = dict(below)
    for key, value in above.items():
        values[key] = _merged(_mapping(below.get(key)), value) if isinstance(value, Mapping) else value
    return values


def _mapping(value: Any) -> Mapping[str, Any]:
    """A section; empty for what is none, which the schema reports."""
    return value if isinstance(value, Mapping) else {}


def _stages_and_ancestors(lineages: Any) -> set[Stages]:
    texts = lineages if isinstance(lineages, list | tuple) else ()
    chains = [chain for text in texts if (chain := _stages(text))]
    return {chain[:n] for chain in chains for n in range(1, len(chain) + 1)}


def _stages(text: Any) -> Stages | None:
    """The stages of a lineage; None for what is no lineage, which the schema reports."""
    try:
        return Lineage.parse(text).stages if isinstance(text, str) else None
    except ValueError:
        return None
