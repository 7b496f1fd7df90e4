"""What all sections have in common: strict types, and faults told in plain lines with their dotted names."""

from __future__ import annotations

import difflib
import json
from collections.abc import Mapping
from typing import Annotated, Any, get_args

from pydantic import BaseModel, ConfigDict, Field, ValidationError

from resdavenet_vq.errors import InputError

Name = Annotated[str, Field(pattern=r"^[A-Za-z0-9][A-Za-z0-9_.-]*$")]
Layer = Annotated[str, Field(pattern=r"^(quant|conv)[1-5]$")]
LineageText = Annotated[str, Field(pattern=r"^\{[1-5, ]*\}(\s*->\s*\{[1-5, ]*\})*$")]
Probability = Annotated[float, Field(ge=0, le=1)]


class Section(BaseModel):
    """A part of the configuration: frozen, strictly typed, with no unknown keys."""

    model_config = ConfigDict(frozen=True, extra="forbid", strict=True)

    @classmethod
    def from_json(cls, text: str) -> Any:
        """The section from the JSON text that a rule hands to a command."""
        try:
            return cls.model_validate_json(text)
        except ValidationError as e:
            raise InputError("\n".join(problems(cls, e, json.loads(text) if text.strip() else {}))) from None


def nearest(word: str, known: Any) -> str:
    """The nearest right word, or all of them."""
    near = difflib.get_close_matches(str(word), list(map(str, known)), n=1)
    return f"did you mean {near[0]!r}?" if near else f"known are {', '.join(map(str, known))}"


def _sections(annotation: Any) -> list[type[Section]]:
    """The sections that stand anywhere in a type annotation."""
    if isinstance(annotation, type) and issubclass(annotation, Section):
        return [annotation]
    return [s for a in get_args(annotation) for s in _sections(a)]


def problems(schema: type[Section], error: ValidationError, values: Any) -> list[str]:
    """One line for each fault: the dotted name, what is wrong, and the nearest right key."""
    lines = []
    for fault in error.errors(include_url=False):
        candidates, dotted, value = [schema], [], values
        for step in fault["loc"]:
            below = [
                s for c in candidates if step in c.model_fields for s in _sections(c.model_fields[str(step)].annotation)
            ]
            chosen = [
                c
                for c in candidates
                if "layout" in c.model_fields and step in get_args(c.model_fields["layout"].annotation)
            ]
            if chosen and not (isinstance(value, Mapping) and step in value):
                candidates = chosen  # the union's tag: no key of the file
                continue
            if str(step).startswith(("constrained-", "dict[")):  # a union's alternative: no key either
                continue
            dotted.append(str(step))
            value = value.get(step) if isinstance(value, Mapping) else None
            parents, candidates = candidates, below or candidates
        name = ".".join(dotted) or "the configuration"
        match fault["type"]:
            case "extra_forbidden":
                known = [k for c in parents for k in c.model_fields]
                lines.append(f"{name}: no such key; {nearest(dotted[-1], known)}")
            case "missing":
                lines.append(f"{name}: missing; it must be given")
            case "value_error":
                lines += [
                    line if line.split(":")[0].count(".") else f"{name}: {line}"
                    for line in str(fault["ctx"]["error"]).splitlines()
                ]
            case _:
                hint = ""
                if isinstance(fault["input"], str) and fault["type"] in ("float_type", "int_type"):
                    hint = " (YAML reads 1e-3 as text: write 1.0e-3)" if _is_number(fault["input"]) else ""
                lines.append(f"{name}: {fault['msg'][0].lower()}{fault['msg'][1:]}, not {fault['input']!r}{hint}")
    return lines


def _is_number(text: str) -> bool:
    try:
        float(text)
    except ValueError:
        return False
    return True
