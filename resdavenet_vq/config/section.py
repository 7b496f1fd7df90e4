"""What all sections have in common: strict types, and faults reported in plain lines with their dotted names."""

from __future__ import annotations

import difflib
import json
from collections.abc import Iterable, Mapping
from typing import Annotated, Any, Self, get_args

from pydantic import BaseModel, ConfigDict, Field, ValidationError

from resdavenet_vq.errors import InputError

Name = Annotated[str, Field(pattern=r"^[A-Za-z0-9][A-Za-z0-9_.-]*$")]
Layer = Annotated[str, Field(pattern=r"^(quant|conv)[1-5]$")]
LineageText = Annotated[str, Field(pattern=r"^\{[1-5, ]*\}(\s*->\s*\{[1-5, ]*\})*$")]
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


def nearest(word: object, names: Iterable[object]) -> str:
    """The name most like a word, or all names."""
    options = list(map(str, names))
    near = difflib.get_close_matches(str(word), options, n=1)
    return f"did you mean {near[0]!r}?" if near else f"known are {', '.join(options)}"


def repeated(values: Iterable[Any]) -> list[Any]:
    """The values that are listed more than once, each of them once."""
    values = tuple(values)
    return [value for value in dict.fromkeys(values) if values.count(value) > 1]


def faults_of(schema: type[Section], error: ValidationError, values: Any) -> list[str]:
    """One line for each fault: the dotted name, what is wrong, and the nearest right key."""
    return [line for fault in error.errors(include_url=False) for line in _lines(schema, fault, values)]


def _lines(schema: type[Section], fault: Any, values: Any) -> list[str]:
    name, sections = _resolve(schema, fault["loc"], values)
    match fault["type"]:
        case "extra_forbidden":
            keys = [key for section in sections for key in section.model_fields]
            return [f"{name}: no such key; {nearest(fault['loc'][-1], keys)}"]
        case "missing":
            return [f"{name}: missing; it must be given"]
        case "value_error":  # from a validator of ours, whose lines may begin with a dotted name of their own
            lines = str(fault["ctx"]["error"]).splitlines()
            return [line if "." in line.split(":")[0] else f"{name}: {line}" for line in lines]
        case kind:
            value, message = fault["input"], fault["msg"]
            text_for_number = kind in ("float_type", "int_type") and isinstance(value, str) and _is_number(value)
            hint = " (YAML reads 1e-3 as text: write 1.0e-3)" if text_for_number else ""
            return [f"{name}: {message[0].lower()}{message[1:]}, not {repr(value)[:100]}{hint}"]


def _resolve(schema: type[Section], location: Iterable[int | str], value: Any) -> tuple[str, list[type[Section]]]:
    """The dotted name of pydantic's location, and the sections that the last key belongs to.

    Pydantic also puts the alternatives of unions into a location, which are no keys of the file.
    """
    dotted, here, above = [], [schema], [schema]
    for step in location:
        layouts = [
            s for s in here if "layout" in s.model_fields and step in get_args(s.model_fields["layout"].annotation)
        ]
        if layouts and not (isinstance(value, Mapping) and step in value):
            here = layouts
            continue
        if str(step).startswith(("constrained-", "dict[")):
            continue
        below = [s for h in here if step in h.model_fields for s in _sections(h.model_fields[str(step)].annotation)]
        dotted.append(str(step))
        value = value.get(step) if isinstance(value, Mapping) else None
        above, here = here, below or here
    return ".".join(dotted) or "the configuration", above


def _sections(annotation: Any) -> list[type[Section]]:
    """The sections in a type annotation, at any depth."""
    if isinstance(annotation, type) and issubclass(annotation, Section):
        return [annotation]
    return [section for argument in get_args(annotation) for section in _sections(argument)]


def _is_number(text: str) -> bool:
    try:
        float(text)
    except ValueError:
        return False
    return True
