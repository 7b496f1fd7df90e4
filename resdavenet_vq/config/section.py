"""What all sections have in common: strict types, and no unknown keys."""

from __future__ import annotations

import json
from collections.abc import Iterable
from typing import Annotated, Any, Self

from pydantic import BaseModel, ConfigDict, Field, ValidationError

from resdavenet_vq.config.faults import LAYER_PATTERN, LINEAGE_PATTERN, NAME_PATTERN, faults_of
from resdavenet_vq.errors import InputError

Name = Annotated[str, Field(pattern=NAME_PATTERN)]
Layer = Annotated[str, Field(pattern=LAYER_PATTERN)]
LineageText = Annotated[str, Field(pattern=LINEAGE_PATTERN)]
Probability = Annotated[float, Field(ge=0, le=1)]
Count = Annotated[int, Field(ge=1, le=2_147_483_647)]
"""Whole numbers that arrays of 32-bit integers hold."""
Seed = Annotated[int, Field(ge=0, le=18_446_744_073_709_551_615)]
"""The largest that PyTorch and Polars take."""
Processes = Annotated[int, Field(ge=0, le=1024)]
Level = Annotated[float, Field(ge=-60, le=100)]
"""A ratio of powers in dB."""
Positive = Annotated[float, Field(gt=0, le=1e9)]
"""Numbers whose products with data stay finite in float32."""


class Section(BaseModel):
    """A part of the configuration: frozen, strictly typed, with no unknown keys."""

    model_config = ConfigDict(frozen=True, extra="forbid", strict=True, allow_inf_nan=False)

    @classmethod
    def from_json(cls, text: str) -> Self:
        """The section from the JSON text that a rule hands to a command."""
        try:
            return cls.model_validate_json(text)
        except ValidationError as e:
            raise InputError("\n".join(faults_of(cls, e, json.loads(text) if text.strip() else {}))) from None


def as_json(section: Section, *keys: str, exclude: Iterable[str] = ()) -> str:
    """A section, or some of its keys, as the JSON text that a command takes."""
    values = section.model_dump(mode="json", include=set(keys) if keys else None, exclude=set(exclude))
    return json.dumps(values)  # the order of keys may mean something


def repeated(values: Iterable[Any]) -> list[Any]:
    """The values that are listed more than once, each of them once."""
    values = tuple(values)
    return [value for value in dict.fromkeys(values) if values.count(value) > 1]
