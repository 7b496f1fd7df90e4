"""The tables of staleness.yaml, and the changes of the configuration that try them. Used by test_staleness.py and docs/generate.py."""

import re
from collections.abc import Iterator, Mapping
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any, Literal, get_args, get_origin

import yaml

from resdavenet_vq import config
from resdavenet_vq.config import Section
from resdavenet_vq.config.evaluations import Evaluations
from resdavenet_vq.errors import InputError

REPO = Path(__file__).resolve().parents[2]
TABLES = yaml.safe_load(Path(__file__).with_suffix(".yaml").read_text(encoding="utf-8"))

LISTED = {key.split(".")[0] for world in TABLES["worlds"].values() for keys in world["keys"] for key in keys.split()}
UNLISTED = tuple(section for section in Evaluations.model_fields if section not in LISTED)
"""Evaluations without entries: each of their keys re-runs the rule `score_SECTION` and nothing else."""

type Steps = tuple[str, ...]
"""The keys that lead to a value; the names of splits and lineages among them."""


@dataclass(frozen=True)
class Entry:
    """What the table says of some keys."""

    keys: tuple[str, ...]
    first: str
    why: str
    to: Any
    never: bool

    @property
    def remade(self) -> dict[str, list[str]]:
        """Of each rule that re-runs because of the change itself, what stands in the paths of the outputs that it makes again."""
        found = re.findall(r"(?<!\S)(\w+)(?:\((\S*)\))?(?!\S)", self.first)
        return {rule: parts.split("|") for rule, parts in found}

    @property
    def added(self) -> set[str]:
        """Rules that make what was not asked for before; `*` for all."""
        return {rule or "*" for rule in re.findall(r"(?<!\S)\+(\w*)", self.first)}


@dataclass(frozen=True)
class World:
    """A configuration, the targets asked of it, and what each of its keys makes stale."""

    name: str
    title: str
    values: dict[str, Any]
    targets: list[str]
    files: list[str]
    sections: tuple[str, ...]
    entries: list[Entry]

    @classmethod
    def named(cls, name: str) -> "World":
        table = TABLES["worlds"][name]
        default = yaml.safe_load((REPO / "config.yaml").read_text(encoding="utf-8"))
        del default["corpus"]
        entries = []
        for keys, given in table["keys"].items():
            entry = given if isinstance(given, Mapping) else {"first": given}
            about = entry.get("first", ""), entry.get("why", ""), entry.get("to", ...), entry.get("never", False)
            entries.append(Entry(tuple(keys.split()), *about))
        values = config.overlay([default, table["configuration"]])
        return cls(
            name, table["title"], values, table["targets"], table["files"], tuple(table.get("sections", ())), entries
        )

    @classmethod
    def of_section(cls, section: str) -> "World":
        """The world of the demo corpus with the target of an evaluation that has no entries."""
        demo = cls.named("demo")
        keys = replace(demo, sections=(section,)).leaves
        entry = Entry(tuple(keys), f"score_{section}", "", ..., False)
        return replace(demo, name=section, targets=[section], sections=(section,), entries=[entry])

    @property
    def leaves(self) -> dict[str, tuple[Steps, Any, Any]]:
        """Of each key of the world's sections the steps to it, its type and its value."""
        found = {".".join(steps): (steps, kind, value) for steps, kind, value in _leaves(config.read(self.values), ())}
        sections = self.sections or tuple(
            dict.fromkeys(key.split(".")[0] for key in found if key.split(".")[0] not in UNLISTED)
        )
        prefixes = tuple(f"{section}." for section in sections)
        return {key: leaf for key, leaf in found.items() if f"{key}.".startswith(prefixes)}

    def changed(self, key: str, entry: Entry) -> dict[str, Any]:
        """The configuration with another value of a key."""
        steps, kind, value = self.leaves[key]
        before = config.read(self.values)
        for candidate in others(kind, value) if entry.to is ... else [entry.to]:
            after = _with(self.values, steps, candidate)
            try:
                if config.read(after) != before:
                    return after
            except InputError:
                continue
        raise AssertionError(f"{self.name}: no other value of {key} was found; give one with `to` in staleness.yaml")


def _with(values: Mapping[str, Any], steps: Steps, new: Any) -> dict[str, Any]:
    key, *below = steps
    section = values.get(key) if isinstance(values.get(key), Mapping) else {}  # `recipe: published` is the default
    return {**values, key: _with(section, tuple(below), new) if below else new}


def _leaves(section: Section, steps: Steps) -> Iterator[tuple[Steps, Any, Any]]:
    """Everything in a section that is no section and no filled mapping."""
    for name, field in type(section).model_fields.items():
        yield from _below((*steps, name), field.annotation, getattr(section, name))


def _below(steps: Steps, kind: Any, value: Any) -> Iterator[tuple[Steps, Any, Any]]:
    if isinstance(value, Section):
        yield from _leaves(value, steps)
    elif isinstance(value, Mapping) and value:
        for key, entry in value.items():
            yield from _below((*steps, str(key)), type(entry), entry)
    else:
        yield steps, kind, value


def others(kind: Any, value: Any) -> Iterator[Any]:
    """Other values of a type, in JSON's terms; the schema says which of them are allowed."""
    if get_origin(kind) is Literal:
        yield from (option for option in get_args(kind) if option != value)
    elif isinstance(value, bool):
        yield not value
    elif isinstance(value, int):
        yield from (value + 1, value - 1)
    elif isinstance(value, float):
        yield from (value * 0.9, value + 0.05, 1.0)
    elif isinstance(value, str | Path):
        yield f"{value}x"
    elif isinstance(value, tuple) and value:
        inner = next((a for a in get_args(kind) if a is not Ellipsis), type(value[0]))
        yield from ([other, *value[1:]] for other in others(inner, value[0]))
    elif value is None:
        yield from (1, 0.5)
