"""The faults of a configuration in plain lines: its dotted name, what must be there, what is there, and the remedy."""

from __future__ import annotations

import difflib
import json
from collections.abc import Callable, Iterable, Mapping
from typing import Any, get_args

from pydantic import BaseModel, ValidationError

from resdavenet_vq.config.values import as_yaml, is_set

type Sections = list[type[BaseModel]]

NAME_PATTERN = r"^[A-Za-z0-9][A-Za-z0-9_.-]*$"
LAYER_PATTERN = r"^(quant|conv)[1-5]$"
LINEAGE_PATTERN = r"^\{[1-5, ]*\}(\s*->\s*\{[1-5, ]*\})*$"

TYPES = {
    "int_type": "a whole number",
    "float_type": "a number",
    "finite_number": "a finite number",
    "bool_type": "true or false",
    "string_type": "text",
    "string_too_short": "text that is not empty",
    "tuple_type": "a list",
    "dict_type": "a mapping, such as `key: value`",
    "model_type": "a mapping, such as `key: value`",
}
"""What must be there, by pydantic's name of the fault."""

BOUNDS = {"ge": "at least", "gt": "more than", "le": "at most", "lt": "less than"}
SIZES = {"min_length": "at least", "max_length": "at most"}


def nearest(word: object, names: Iterable[object]) -> str:
    """The name most like a word, or all names."""
    options = list(map(str, names))
    near = difflib.get_close_matches(str(word), options, n=1)
    return f"did you mean {near[0]!r}?" if near else f"known are {', '.join(options) or 'none'}"


def faults_of(schema: type[BaseModel], error: ValidationError, values: Any) -> list[str]:
    """One line for each fault: the dotted name, what is wrong, and the nearest right key or another remedy."""
    faults = error.errors(include_url=False)
    wrong_entries = {fault["loc"][:-1] for fault in faults if fault["type"] != "too_short"}
    lines = [
        line
        for fault in faults
        # pydantic calls a list too short whose entries are wrong
        if fault["type"] != "too_short" or fault["loc"] not in wrong_entries
        for line in _lines(schema, fault, values)
    ]
    return list(dict.fromkeys(lines))


def _lines(schema: type[BaseModel], fault: Any, values: Any) -> list[str]:
    name, sections, alternatives = _resolve(schema, fault["loc"], values)
    value, context = fault["input"], fault.get("ctx", {})
    match fault["type"]:
        case "value_error":  # from a validator of ours, whose lines may begin with a dotted name of their own
            lines = str(context["error"]).splitlines()
            return [line if "." in line.split(":")[0] else f"{name}: {line}" for line in lines]
        case "missing" if isinstance(fault["loc"][-1], int):  # of a list with a fixed number of entries
            key = str(fault["loc"][-2])
            types = next(section.model_fields[key].annotation for section in sections if key in section.model_fields)
            return [f"{name.rpartition('.')[0]}: must have {len(get_args(types))} entries, not {as_yaml(value)}"]
        case "union_tag_not_found" | "union_tag_invalid":
            return [f"{name}.layout: {_layout_fault(value, alternatives)}"]
        case "extra_forbidden" | "missing" as kind:
            return [f"{name}: {_key_fault(kind, fault['loc'][-1], sections, alternatives)}"]
        case kind:
            return [f"{name}: {_value_fault(kind, fault['msg'], context, value)}"]


def _key_fault(kind: str, key: object, sections: Sections, alternatives: Sections) -> str:
    """What is wrong with a key that is missing, or should not be there."""
    if kind == "missing":
        is_corpus = any(map(_layout, sections))
        return "missing; a corpus is given whole, with all of its keys" if is_corpus else "missing; it must be given"
    layouts = [_layout(section) for section in alternatives if key in section.model_fields]
    if layouts and sections != alternatives:
        return f"is a key of the layout {' and '.join(layouts)}, not of {_layout(sections[0])}"
    return f"no such key; {nearest(key, [key for section in sections for key in section.model_fields])}"


def _layout_fault(corpus: Any, alternatives: Sections) -> str:
    """What is wrong with the layout of a corpus."""
    *layouts, last = map(_layout, alternatives)
    options = f"{', '.join(layouts)} or {last}"
    if "layout" in corpus:
        layout = corpus["layout"]
        return f"must be {options}, not {as_yaml(layout)}{_similar(layout, [*layouts, last])}"
    return (
        f"missing. A corpus is given whole, with its `layout` ({options}) and all of its keys (docs/add_a_corpus.md); a file "
        "that changes keys of another file's corpus is named after that one: --configfile OTHER.yaml THIS.yaml"
    )


def _value_fault(kind: str, message: str, context: Mapping[str, Any], value: Any) -> str:
    """What is wrong with a value, and the remedy where one is known."""
    if value is None:
        return "nothing stands after the colon (null); give it a value, or leave the line out for the default"
    if kind == "string_pattern_mismatch":
        return _pattern_fault(context["pattern"], value)
    if sizes := [
        (words, context[size]) for size, words in SIZES.items() if size in context and not isinstance(value, str)
    ]:
        [(words, n)] = sizes
        return f"must have {words} {n} {'entry' if n == 1 else 'entries'}, not {len(value)}"
    bounds = [f"{words} {context[bound]}" for bound, words in BOUNDS.items() if bound in context]
    must = TYPES.get(kind) or context.get("expected") or next(iter(bounds), "")
    if not must:
        return f"{message[0].lower()}{message[1:]}, not {as_yaml(value)}"
    remedy = REMEDIES[kind](value, must) if kind in REMEDIES else ""
    return f"must be {must}, not {as_yaml(value)}{remedy}"


def _write_text(value: Any, _: str) -> str:
    if isinstance(value, bool):
        return YES_AND_NO
    if isinstance(value, Mapping) and is_set(value):
        return f"; YAML reads {{...}} as a mapping: write it in quotes, {_quoted_set(value)}"
    return f'; write it in quotes: "{value}"' if isinstance(value, int | float) else ""


def _write_list(value: Any, _: str) -> str:
    if isinstance(value, Mapping):
        return f"; YAML reads {{...}} as a mapping: write [{_quoted_set(value)}]" if is_set(value) else ""
    return f"; write [{value if str(value).isalnum() else json.dumps(value)}]"


def _write_mapping(value: Any, _: str) -> str:
    return "; lines that begin with a hyphen are a list" if isinstance(value, list) else ""


def _write_number(value: Any, _: str) -> str:
    if not isinstance(value, str) or not _is_number(value):
        return ""
    return " (YAML reads 1e-3 as text: write 1.0e-3)" if "e" in value.lower() else UNQUOTED


def _write_truth(value: Any, _: str) -> str:
    return UNQUOTED if str(value).lower() in {"true", "false"} else ""


def _write_option(value: Any, options: str) -> str:
    if isinstance(value, bool):
        return YES_AND_NO
    words = options.replace(" or ", ", ").split(", ")
    if str(value) in words:  # numbers
        return UNQUOTED
    return _similar(value, [word.strip("'") for word in words])


def _similar(word: object, options: list[str]) -> str:
    near = difflib.get_close_matches(str(word), options, n=1)
    return f"; did you mean {near[0]!r}?" if near else ""


YES_AND_NO = "; YAML reads yes, no, on and off as true and false: write the word in quotes"
UNQUOTED = "; write it without quotes, and in a file: --config makes text of all values in a section or list"
REMEDIES: dict[str, Callable[[Any, str], str]] = {
    "string_type": _write_text,
    "tuple_type": _write_list,
    "dict_type": _write_mapping,
    "model_type": _write_mapping,
    "int_type": _write_number,
    "float_type": _write_number,
    "bool_type": _write_truth,
    "literal_error": _write_option,
}
"""What to write instead of a value, by pydantic's name of the fault."""


def _pattern_fault(pattern: str, value: str) -> str:
    meanings = {
        LINEAGE_PATTERN: "is no lineage: stages are written like {2,3}, with numbers from 1 to 5, and joined by '->'",
        LAYER_PATTERN: "is no layer: quant1 ... quant5 or conv1 ... conv5",
        NAME_PATTERN: "is no name: it begins with a letter or digit, and has letters, digits, '_', '.' and '-' alone",
    }
    return f"{value!r} {meanings[pattern]}"


def _layout(section: type[BaseModel]) -> str:
    """The layout of a corpus that a section is of; empty for any other section."""
    field = section.model_fields.get("layout")
    return str(get_args(field.annotation)[0]) if field else ""


def _quoted_set(value: Mapping[Any, Any]) -> str:
    return f'"{{{",".join(map(str, value))}}}"'


def _resolve(schema: type[BaseModel], location: Iterable[int | str], value: Any) -> tuple[str, Sections, Sections]:
    """The dotted name of pydantic's location, the sections that the last key belongs to, and these of all layouts.

    Pydantic also puts the alternatives of unions into a location, which are no keys of the file.
    """
    dotted: list[str] = []
    here, above, alternatives = [schema], [schema], [schema]
    for step in location:
        layouts = [section for section in here if _layout(section) == step]
        if layouts and not (isinstance(value, Mapping) and step in value):
            alternatives, here = here, layouts
            continue
        if str(step).startswith(("constrained-", "dict[")) or step == "[key]":
            continue
        below = [s for h in here if step in h.model_fields for s in _sections(h.model_fields[str(step)].annotation)]
        dotted.append(str(step))
        value = value.get(step) if isinstance(value, Mapping) else None
        above, here = here, below or here
        alternatives = here if below else alternatives
    return ".".join(dotted) or "the configuration", above, alternatives


def _sections(annotation: Any) -> Sections:
    """The sections in a type annotation, at any depth."""
    if isinstance(annotation, type) and issubclass(annotation, BaseModel):
        return [annotation]
    return [section for argument in get_args(annotation) for section in _sections(argument)]


def _is_number(text: str) -> bool:
    try:
        float(text)
    except ValueError:
        return False
    return True
