"""The configuration of a run as its files have it: laid over each other, and over the shipped one that they are made for."""

from __future__ import annotations

import json
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

import yaml

from resdavenet_vq import config as schema
from resdavenet_vq.config import Config, Section
from resdavenet_vq.errors import InputError
from resdavenet_vq.files import reading
from resdavenet_vq.project import WORKFLOW


def read_files(files: Sequence[Path]) -> Config:
    """The checked configuration. Raises InputError as `read_values`, and for every fault of the whole."""
    return schema.read(read_values(files))


def read_section[S: Section](files: Sequence[Path], kind: type[S], key: str) -> S:
    """The section at a dotted key, like `abx.items`; with its defaults where the files do not have it.

    Nothing else is checked, so that files may have only what a command needs. Raises InputError as `read_values`, for
    every fault of the section, and where it is missing and has no defaults.
    """
    values: Any = read_values(files)
    for name in key.split("."):
        values = values.get(name) if isinstance(values, Mapping) else None
    source = " ".join(map(str, files)) or "the configuration"
    if values is None:
        if any(field.is_required() for field in kind.model_fields.values()):
            raise InputError(f"{source}: has no section {key}; see docs/configuration.md")
        values = {}
    try:
        return kind.from_json(json.dumps(values, default=str))
    except InputError as e:
        raise InputError(f"{source}: the section {key} has faults.\n{e}") from None


def read_values(files: Sequence[Path]) -> dict[str, Any]:
    """What the files say, unchecked. Raises InputError for one that is missing, is no YAML, or has no sections."""
    layers = list(map(_read_yaml, files))
    base = schema.base_of(schema.overlay(layers))
    below = [_read_yaml(WORKFLOW / base)] if base else []
    return schema.overlay([*below, *layers])


def _read_yaml(file: Path) -> Mapping[str, Any]:
    with reading(file):
        text = file.read_text(encoding="utf-8")
    try:
        values = yaml.safe_load(text)
    except yaml.YAMLError as e:
        raise InputError(f"{file}: is no YAML ({' '.join(str(e).split())})") from None
    if not isinstance(values, Mapping):
        raise InputError(f"{file}: has no sections; see docs/configuration.md")
    return values
