"""What changed between the parameters that a result was made with and those of today, in one line for each change.

Snakemake records parameters as texts without names. They are settings (JSON), fingerprints of code (`module:hash`),
digests of files (`digest  path`), or single values; each kind is compared with its own.
"""

from __future__ import annotations

import ast
import json
import re
from collections.abc import Iterable, Iterator, Mapping
from typing import Any

from resdavenet_vq.errors import shortened

_CODE = re.compile(r"(?:[\w./]+:[0-9a-f]{8}(?:\s+|$))+")
_DIGESTS = re.compile(r"(?:[0-9a-f]{64}  .+(?:\n|$))+")
_LONGEST = 40

type Names = Mapping[str, str]
"""The names of today's parameters by their values as Snakemake records them."""


def changes(old: Iterable[str], new: Iterable[str], names: Names, config: Mapping[str, Any]) -> list[str]:
    """The keys, modules and files that differ between parameters as Snakemake records them.

    `config` is today's configuration, by which settings are given their dotted names.
    """
    before, now = _by_kind(old), _by_kind(new)
    name_of = {repr(value): name for text, name in names.items() for value in _values([text])}
    lines: list[str] = []
    for text in now["settings"]:
        section = json.loads(text)
        others: list[dict[str, Any]] = list(map(json.loads, before["settings"]))
        same = max(others, key=lambda other: len(other.keys() & section.keys()), default={})
        lines += _differences(same, section, _place(section, config) or name_of.get(repr(text), ""))
    lines += [f"module {name}" for name in _differing(_code(before["code"]), _code(now["code"]))]
    lines += [f"file {name}" for name in _differing(_digests(before["digests"]), _digests(now["digests"]))]
    olds, news = (
        [value for value in some["values"] if value not in other["values"]]
        for some, other in ((before, now), (now, before))
    )
    for i, value in enumerate(news):
        was = f"{_text(olds[i])} -> " if len(olds) == len(news) else ""
        lines.append(f"{name_of.get(repr(value), '')} {was}{_text(value)}".strip())
    lines += [f"no longer {_text(value)}" for value in olds if not news]
    return list(dict.fromkeys(lines)) or ["other parameters"]


def _by_kind(texts: Iterable[str]) -> dict[str, list[Any]]:
    """Recorded parameters by kind, those in lists one by one."""
    kinds: dict[str, list[Any]] = {"settings": [], "code": [], "digests": [], "values": []}
    for value in _values(sorted(texts)):
        if isinstance(value, str) and _CODE.fullmatch(value):
            kinds["code"].append(value)
        elif isinstance(value, str) and _DIGESTS.fullmatch(value):
            kinds["digests"].append(value)
        elif _is_settings(value):
            kinds["settings"].append(value)
        elif value not in ("", []):
            kinds["values"].append(value)
    return kinds


def _values(texts: Iterable[str]) -> Iterator[Any]:
    """The values that Snakemake recorded as Python writes them; paths, of which it has no literals, as texts."""
    for text in texts:
        try:
            value = ast.literal_eval(text)
        except ValueError:
            value = text
        yield from value if isinstance(value, list | tuple) else [value]


def _is_settings(value: Any) -> bool:
    """Whether it is a JSON object."""
    if not (isinstance(value, str) and value.startswith("{")):
        return False
    try:
        return isinstance(json.loads(value), dict)
    except ValueError:
        return False


def _differences(old: Mapping[str, Any], new: Mapping[str, Any], prefix: str) -> list[str]:
    lines: list[str] = []
    for key in dict.fromkeys([*new, *old]):
        name = f"{prefix}.{key}" if prefix else key
        before, now = old.get(key), new.get(key)
        if before == now:
            continue
        if isinstance(before, Mapping) and isinstance(now, Mapping):
            lines += _differences(before, now, name)
        else:
            lines.append(f"{name} {_text(before)} -> {_text(now)}")
    return lines


def _place(section: Mapping[str, Any], config: Mapping[str, Any]) -> str:
    """The dotted name of the section of the configuration that has all of these keys, and most of these values."""
    places = [(name, values) for name, values in _sections(config) if section.keys() <= values.keys()]
    equal = [sum(values[key] == section[key] for key in section) for _, values in places]
    return places[equal.index(max(equal))][0] if places else ""


def _sections(values: Mapping[str, Any], name: str = "") -> Iterator[tuple[str, Mapping[str, Any]]]:
    """Every section with its dotted name."""
    yield name, values
    for key, value in values.items():
        if isinstance(value, Mapping):
            yield from _sections(value, f"{name}.{key}" if name else key)


def _code(texts: Iterable[str]) -> dict[str, str]:
    """Hashes of modules and templates by their names."""
    return dict(token.split(":") for text in texts for token in text.split())


def _digests(texts: Iterable[str]) -> dict[str, str]:
    """Digests of files by their paths."""
    lines = (line.split("  ", 1) for text in texts for line in text.splitlines())
    return {path: digest for digest, path in lines}


def _differing(old: Mapping[str, str], new: Mapping[str, str]) -> list[str]:
    return [name for name in dict.fromkeys([*new, *old]) if old.get(name) != new.get(name)]


def _text(value: Any) -> str:
    return shortened(json.dumps(value, default=str), _LONGEST)
