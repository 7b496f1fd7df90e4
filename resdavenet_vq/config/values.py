"""The values of a configuration as YAML has read them, before the schema sees them: their leaves, and faults that it cannot see."""

from __future__ import annotations

import json
from collections.abc import Iterator, Mapping
from typing import Any

LONGEST_VALUE = 100
"""Characters of a value in a fault."""


def leaves(values: Any, name: str = "") -> Iterator[tuple[str, Any]]:
    """Every value that contains no others, with its dotted name."""
    if isinstance(values, Mapping):
        for key, value in values.items():
            yield from leaves(value, f"{name}.{key}" if name else str(key))
    elif isinstance(values, list | tuple):
        for value in values:
            yield from leaves(value, name)
    else:
        yield name, values


def control_characters(values: Mapping[str, Any]) -> list[str]:
    """Texts that no command line, log or list of files can have whole, such as two lines."""
    return [
        f"{name}: {value!r} has a line break or another control character"
        for name, value in leaves(values)
        if isinstance(value, str) and any(letter < " " or "\x7f" <= letter <= "\x9f" for letter in value)
    ]


def keys_that_are_no_text(values: Any, name: str = "") -> list[str]:
    """Keys that YAML reads as numbers or truth values, and perhaps as others than are written: 007 is 7, `no` is false."""
    lines = []
    if isinstance(values, Mapping):
        for key, value in values.items():
            dotted = f"{name}.{key}" if name else str(key)
            if not isinstance(key, str) and not is_set(values):
                lines.append(f"{dotted}: YAML reads this key as {as_yaml(key)}, not as text; write it in quotes")
            lines += keys_that_are_no_text(value, dotted)
    elif isinstance(values, list | tuple):
        lines = [line for n, value in enumerate(values) for line in keys_that_are_no_text(value, f"{name}.{n}")]
    return lines


def is_set(value: Mapping[Any, Any]) -> bool:
    """Whether a mapping is what YAML makes of `{}`, `{2}` or `{2,3}` without quotes."""
    return all(str(key).isdigit() and entry in (None, "") for key, entry in value.items())


def as_yaml(value: Any) -> str:
    """A value as YAML has it, shortened: true and null, not True and None."""
    try:
        text = repr(value) if isinstance(value, str | float) else json.dumps(value)
    except (TypeError, ValueError):
        text = repr(value)
    return text[:LONGEST_VALUE]
