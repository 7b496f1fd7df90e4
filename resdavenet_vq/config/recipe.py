"""The section `recipe`: where the published behaviour and its evident intention differ, which one is computed."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any, Literal

from pydantic import ConfigDict, Field, model_validator

from resdavenet_vq.config.section import Section, nearest


def _describe_base(schema: dict[str, Any]) -> None:
    """Adds the key `base`, which is no field, to the JSON schema of a recipe."""
    meaning = "The word, `published` or `corrected`, that the switches not named here are taken from."
    schema["properties"]["base"] = {
        "enum": list(RECIPES),
        "type": "string",
        "default": "published",
        "description": meaning,
    }


class Recipe(Section):
    """Where the published behaviour and its evident intention differ: which one is computed. See docs/published_and_corrected.md.

    In YAML also one of the words `published` and `corrected`, which set every switch, or a mapping that starts from one
    of them by its key `base`.
    """

    model_config = ConfigDict(json_schema_extra=_describe_base)

    jitter: Literal["published", "centred"] = Field(
        default="published",
        description="Offsets of the temporal jitter: 0, +1, +2 as the release computes, or -1, 0, +1 as meant.",
    )
    semi_hard: Literal["published", "masked"] = Field(
        default="published",
        description="Semi-hard impostors: excluded entries count as 0 as in the release, or are excluded.",
    )
    pad_value: Literal["zero", "floor"] = Field(
        default="zero",
        description="Log-mel value of training padding: 0 dB (the loudest level) as published, or -80 dB.",
    )
    frame_time: Literal["published", "centred"] = Field(
        default="published",
        description="Time of frame f: (f + 1/2) periods as published, or the centre of its receptive field.",
    )
    context: Literal["cropped", "padded"] = Field(
        default="cropped",
        description="What an utterance is surrounded by when it is encoded to codes or embedded: nothing, as the release does for words, "
        "or padding of `pad_value` up to `preparation.max_frames`, as it does for training and retrieval.",
    )
    dead_codes: Literal["keep", "restart"] = Field(
        default="keep",
        description="Codes that hardly any frame takes: left where they are as published, or moved to random frames of the batch. "
        "See docs/codebooks.md.",
    )
    new_codebooks: Literal["random", "parent_activations"] = Field(
        default="random",
        description="Codebooks that a stage has and its parent had not: random numbers as published, or frames that the parent makes of "
        "training utterances.",
    )

    @model_validator(mode="before")
    @classmethod
    def _from_a_word(cls, given: Any) -> Any:
        """The values of all switches where a word stands for them."""
        if isinstance(given, str):
            return _recipe_of(given)
        if not isinstance(given, Mapping) or "base" not in given:
            return given
        named = {key: value for key, value in given.items() if key != "base"}
        if cls.model_fields.keys() <= named.keys():
            raise ValueError(
                "recipe.base: has no effect, because every switch is named beside it, perhaps in the file that this one is laid over; "
                f"write `recipe: {given['base']}`, or name the switches that should differ"
            )
        return _recipe_of(given["base"], "recipe.base: ") | named


TRAINING_SWITCHES = ("jitter", "semi_hard", "pad_value", "dead_codes", "new_codebooks")
"""Those of `recipe` that a trained model depends on."""

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
"""What the words mean that stand for a whole recipe."""


def _recipe_of(word: Any, key: str = "") -> dict[str, str]:
    """The switches that a word stands for."""
    if word not in tuple(RECIPES):
        raise ValueError(
            f"{key}must be {' or '.join(RECIPES)}{'' if key else ', or a mapping of the switches'}, not {word!r}; {nearest(word, RECIPES)}"
        )
    return RECIPES[word]
