"""What a submission says of itself: the entries of its YAML files by edition, written and checked."""

from __future__ import annotations

import math
import reprlib
from collections.abc import Iterator, Mapping
from typing import Any, Literal, NamedTuple

import yaml

from resdavenet_vq.config import Submission

ABX_DISTANCES = ("dtw_cosine", "dtw_kl", "levenshtein")
METRICS = ("cosine", "euclidean", "kl", "kl_symmetric")
POOLINGS = ("min", "max", "mean", "sum", "last", "lastlast")

MOST_BYTES = 1 << 16
"""Of a YAML file."""


class Entry(NamedTuple):
    """What an entry may be."""

    kind: Literal["a text", "true or false", "a number", "a mapping", "given"]
    needed: bool = True
    values: tuple[str, ...] = ()
    """One of these, if there are any."""
    entries: Mapping[str, Entry] = {}
    """Of a mapping."""


TEXT, FLAG = Entry("a text"), Entry("true or false")
WHO = {"author": TEXT, "affiliation": TEXT}
TASK_2019 = {
    "abx distance": Entry("a text", values=ABX_DISTANCES),
    "system description": TEXT,
    "using parallel train": FLAG,
    "using external data": FLAG,
    "auxiliary1 description": Entry("a text", needed=False),
    "auxiliary2 description": Entry("a text", needed=False),
}
PHONETIC = {"metric": Entry("a text", values=METRICS), "frame_shift": Entry("a number")}
SEMANTIC = {"metric": TEXT, "pooling": Entry("a text", values=POOLINGS)}

ENTRIES: dict[int, dict[str, dict[str, Entry]]] = {
    2019: {"metadata.yaml": WHO | {"open source": FLAG} | TASK_2019},
    2020: {
        "metadata.yaml": WHO | {"open source": FLAG},
        "2019/metadata.yaml": TASK_2019
        | {"hyperparameters": Entry("given")}
        | {key: entry._replace(needed=False) for key, entry in (WHO | {"open source": FLAG}).items()},
    },
    2021: {
        "meta.yaml": WHO
        | {
            "description": TEXT,
            "open_source": FLAG,
            "train_set": TEXT,
            "gpu_budget": Entry("a number", needed=False),
            "visually_grounded": FLAG._replace(needed=False),
            "parameters": Entry(
                "a mapping",
                entries={
                    "phonetic": Entry("a mapping", entries=PHONETIC),
                    "semantic": Entry("a mapping", needed=False, entries=SEMANTIC),
                },
            ),
        }
    },
}
"""The YAML files of each edition and their entries. An entry that is not needed was asked for by some versions of the challenge's tool."""


def written(
    edition: int, settings: Submission, *, lineage: str, layer: str, frame_period: float, width: int
) -> dict[str, dict[str, Any]]:
    """The content of each YAML file of a submission."""
    description = f"ResDAVEnet-VQ {lineage}, layer {layer}, trained on images and their spoken captions"
    who: dict[str, Any] = {"author": settings.author, "affiliation": settings.affiliation}
    distance = {"abx distance": settings.abx_distance, "system description": description}
    data = {"using parallel train": False, "using external data": True}
    if edition == 2019:
        return {"metadata.yaml": who | distance | {"open source": True} | data}
    if edition == 2020:
        chosen = {"lineage": lineage, "layer": layer, "seconds between frames": frame_period, "values per frame": width}
        return {
            "metadata.yaml": who | {"open source": True},
            "2019/metadata.yaml": distance | {"hyperparameters": chosen} | data,
        }
    about = {
        "description": description,
        "open_source": True,
        "train_set": settings.train_set,
        "gpu_budget": settings.gpu_budget,
    }
    parameters = {
        "phonetic": {"metric": settings.metric, "frame_shift": frame_period},
        "semantic": {"metric": "cosine", "pooling": "mean"},  # the organisers' tool wants it of all
    }
    return {"meta.yaml": who | about | {"visually_grounded": True, "parameters": parameters}}


class _Loader(yaml.SafeLoader):
    """Plain values, and no aliases: a few lines of them can stand for gigabytes."""

    def compose_node(self, parent: yaml.Node | None, index: Any) -> yaml.Node | None:
        if self.check_event(yaml.AliasEvent):
            raise yaml.YAMLError("an alias, which no submission needs")
        return super().compose_node(parent, index)


def parse(text: bytes) -> Any:
    """The value in a YAML file. Raises ValueError saying why there is none."""
    if len(text) > MOST_BYTES:
        raise ValueError(f"has more than {MOST_BYTES} bytes")
    try:
        return yaml.load(text, _Loader)  # noqa: S506 - derived from the safe loader
    except RecursionError:
        raise ValueError("is no YAML (nested too deeply)") from None
    except (yaml.YAMLError, ValueError, OverflowError) as e:
        raise ValueError(f"is no YAML ({' '.join(str(e).split())[:200]})") from None


def problems(name: str, found: Any, entries: Mapping[str, Entry]) -> Iterator[str]:
    """What is wrong with the entries of a YAML file, or of a mapping in one."""
    if not isinstance(found, dict):
        yield f"{name}: is no mapping"
        return
    for key, entry in entries.items():
        if key in found:
            yield from _entry_problems(name, key, found[key], entry)
        elif entry.needed:
            yield f"{name}: '{key}' is missing"
    for key in sorted(found.keys() - entries.keys(), key=_shown):
        yield f"{name}: {_shown(key)} is not known"


def _entry_problems(name: str, key: str, value: Any, entry: Entry) -> Iterator[str]:
    if entry.values and value not in entry.values:
        yield f"{name}: '{key}' must be one of {', '.join(entry.values)}, not {_shown(value)}"
    elif entry.kind == "given" and value is None:
        yield f"{name}: '{key}' is empty"
    elif not _is(value, entry.kind):
        yield f"{name}: '{key}' must be {entry.kind}, not {_shown(value)}"
    elif entry.entries:
        yield from problems(f"{name}: {key}", value, entry.entries)


def _shown(value: Any) -> str:
    """A value in a few words."""
    try:
        return reprlib.repr(value)
    except ValueError:  # Python writes no numbers of thousands of digits
        return "a number of thousands of digits"


def _is(value: Any, kind: str) -> bool:
    match kind:
        case "a text":
            return isinstance(value, str) and bool(value.strip())
        case "true or false":
            return isinstance(value, bool)
        case "a number":
            return isinstance(value, int | float) and not isinstance(value, bool) and 0 <= value < math.inf
        case "a mapping":
            return isinstance(value, dict)
        case _:
            return True
