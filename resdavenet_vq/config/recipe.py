"""The section `recipe`: where the published behavior and its evident intention differ, which one is computed."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from typing import Any, Literal

from pydantic import ConfigDict, Field, model_validator

from resdavenet_vq.config.faults import nearest
from resdavenet_vq.config.section import Section


def _describe_base(schema: dict[str, Any]) -> None:
    """Adds the key `base`, which is no field, to the JSON schema of a recipe."""
    meaning = "The recipe, `published` or `corrected`, that gives the switches that are not named here."
    schema["properties"]["base"] = {
        "enum": list(RECIPES),
        "type": "string",
        "default": "published",
        "description": meaning,
    }


class Recipe(Section):
    """Where the published behavior and its evident intention differ: which one is computed.

    In YAML one of the words `published` and `corrected`, which set every switch, or a mapping of single switches. A
    mapping starts from the word that it is laid over, or from its key `base`, or from `published`. See
    docs/published_and_corrected.md.
    """

    model_config = ConfigDict(json_schema_extra=_describe_base)

    jitter: Literal["published", "centred"] = Field(
        default="published",
        description="The offsets of the temporal jitter: 0, +1, +2 as the release computes, or -1, 0, +1 as meant.",
    )
    semi_hard: Literal["published", "masked"] = Field(
        default="published",
        description="How semi-hard impostors are found: excluded entries count as 0 as in the release, or are "
        "excluded.",
    )
    pad_value: Literal["zero", "floor"] = Field(
        default="zero",
        description="The log-mel value of training padding: 0 dB (the loudest level) as published, or -80 dB.",
    )
    frame_time: Literal["published", "centred"] = Field(
        default="published",
        description="The time of frame f: (f + 1/2) periods as published, or the center of its receptive field.",
    )
    context: Literal["cropped", "padded"] = Field(
        default="cropped",
        description="What surrounds an utterance when it is encoded to codes or embedded: nothing, as in the "
        "release's word detection, or padding of `pad_value` up to `preparation.max_frames`, as in training and "
        "retrieval.",
    )
    dead_codes: Literal["keep", "restart"] = Field(
        default="keep",
        description="What happens to codes that hardly any frame uses: they stay where they are as published, or move "
        "to random frames of the batch. See docs/codebooks.md.",
    )
    new_codebooks: Literal["random", "parent_activations"] = Field(
        default="random",
        description="How the codebooks that the parent does not have are initialized: with random numbers as "
        "published, or with the parent's activations on training utterances.",
    )

    @model_validator(mode="before")
    @classmethod
    def _expand(cls, given: Any) -> Any:
        """The values of all switches where a word gives them."""
        if isinstance(given, str):
            return _switches(given)
        if not isinstance(given, Mapping) or "base" not in given:
            return given
        named = {key: value for key, value in given.items() if key != "base"}
        if cls.model_fields.keys() <= named.keys():
            raise ValueError(
                "recipe.base: has no effect, because every switch is named beside it, perhaps in the file that this "
                f"one is laid over; write `recipe: {given['base']}`, or name the switches that should differ"
            )
        return _switches(given["base"], "recipe.base: ") | named


TRAINING_SWITCHES = ("jitter", "semi_hard", "pad_value", "dead_codes", "new_codebooks")
"""The switches that a trained model depends on."""

RECIPES: dict[str, dict[str, str]] = {
    "published": {name: field.default for name, field in Recipe.model_fields.items()},
    "corrected": {
        "jitter": "centred",
        "semi_hard": "masked",
        "pad_value": "floor",
        "frame_time": "centred",
        "context": "padded",
        "dead_codes": "restart",
        "new_codebooks": "parent_activations",
    },
}
"""The switches that the words set."""


def overlay(recipes: Iterable[Any]) -> Any:
    """The recipe of configurations that are laid over each other, the first at the bottom; None where none has a recipe.

    Snakemake would replace a word by a mapping; here a mapping keeps the switches of the word that it is laid over.
    """
    result: Any = None
    for recipe in recipes:
        if isinstance(recipe, Mapping):
            below = result if isinstance(result, Mapping) else {} if result is None else {"base": result}
            result = {**below, **recipe}
            if "base" not in recipe and Recipe.model_fields.keys() <= result.keys():
                result.pop("base", None)  # no switch is left that it gives
        elif recipe is not None:
            result = recipe
    return result


def _switches(word: Any, key: str = "") -> dict[str, str]:
    """The switches that a word sets."""
    if word not in tuple(RECIPES):
        options = f"{key}must be {' or '.join(RECIPES)}{'' if key else ', or a mapping of the switches'}"
        raise ValueError(f"{options}, not {word!r}; {nearest(word, RECIPES)}")
    return RECIPES[word]
