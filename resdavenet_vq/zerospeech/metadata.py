"""The YAML files of a submission, written and checked: their entries by edition."""

from __future__ import annotations

import reprlib
from collections.abc import Iterator
from typing import Annotated, Any, Literal

import yaml
from pydantic import AfterValidator, BaseModel, ConfigDict, Field, StringConstraints, ValidationError
from pydantic_core import PydanticCustomError

from resdavenet_vq.config import Submission

MOST_BYTES = 1 << 16
"""Of a YAML file."""


def _not_null(value: Any) -> Any:
    if value is None:
        raise PydanticCustomError("null", "must not be empty")
    return value


Text = Annotated[str, StringConstraints(strip_whitespace=True, min_length=1)]
Number = Annotated[float, Field(ge=0, allow_inf_nan=False)]


class _Entries(BaseModel):
    """A mapping of known entries. Those with a default may be missing: the challenges' tools differ in them."""

    model_config = ConfigDict(strict=True, extra="forbid")


class _Spaced(_Entries, alias_generator=lambda name: name.replace("_", " ")):
    """Entries whose names have spaces."""


class _Who(_Spaced):
    author: Text
    affiliation: Text
    open_source: bool


class _Task2019(_Spaced):
    abx_distance: Literal["dtw_cosine", "dtw_kl", "levenshtein"]
    system_description: Text
    using_parallel_train: bool
    using_external_data: bool
    auxiliary1_description: Text = ""
    auxiliary2_description: Text = ""


class _Submission2019(_Who, _Task2019): ...


class _Task2019In2020(_Task2019):
    hyperparameters: Annotated[Any, AfterValidator(_not_null)]
    author: Text = ""
    affiliation: Text = ""
    open_source: bool = False


class _Phonetic(_Entries):
    metric: Literal["cosine", "euclidean", "kl", "kl_symmetric"]
    frame_shift: Number


class _Semantic(_Entries):
    metric: Text
    pooling: Literal["min", "max", "mean", "sum", "last", "lastlast"]


class _Parameters(_Entries):
    phonetic: _Phonetic
    semantic: _Semantic = Field(default_factory=lambda: _Semantic(metric="cosine", pooling="mean"))


class _Submission2021(_Entries):
    author: Text
    affiliation: Text
    description: Text
    open_source: bool
    train_set: Text
    parameters: _Parameters
    gpu_budget: Number = 0
    visually_grounded: bool = False


FILES: dict[int, dict[str, type[BaseModel]]] = {
    2019: {"metadata.yaml": _Submission2019},
    2020: {"metadata.yaml": _Who, "2019/metadata.yaml": _Task2019In2020},
    2021: {"meta.yaml": _Submission2021},
}
"""The YAML files of each edition and their entries."""


def describe(
    edition: int, settings: Submission, *, lineage: str, layer: str, frame_period: float, width: int
) -> dict[str, dict[str, Any]]:
    """The content of each YAML file of a submission of ours."""
    description = f"ResDAVEnet-VQ {lineage}, layer {layer}, trained on images and their spoken captions"
    who = settings.model_dump(include={"author", "affiliation"})
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
        **settings.model_dump(include={"train_set", "gpu_budget"}),
    }
    phonetic = {"metric": settings.metric, "frame_shift": frame_period}
    semantic = {"metric": "cosine", "pooling": "mean"}  # the organizers' tool requires it
    parameters = {"phonetic": phonetic, "semantic": semantic}
    return {"meta.yaml": who | about | {"visually_grounded": True, "parameters": parameters}}


class _Loader(yaml.SafeLoader):
    """Plain values, and no aliases: a few lines of them can expand to gigabytes."""

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


def problems(name: str, value: Any, entries: type[BaseModel]) -> Iterator[str]:
    """What is wrong with the value of a YAML file: a line a fault, with the file and the key."""
    try:
        entries.model_validate(value)
    except ValidationError as e:
        for fault in e.errors(include_url=False):
            key = f"'{'.'.join(map(_key, fault['loc']))}'"
            match fault["type"]:
                case "missing":
                    yield f"{name}: {key} is missing"
                case "extra_forbidden" | "invalid_key":
                    yield f"{name}: {key} is not known"
                case "model_type":
                    mapping = key if fault["loc"] else "the file"
                    yield f"{name}: {mapping} must be a mapping, not {_short(fault['input'])}"
                case _:
                    message = f"{fault['msg'][0].lower()}{fault['msg'][1:]}"
                    yield f"{name}: {key}: {message}, not {_short(fault['input'])}"


def _key(part: str | int) -> str:
    return part if isinstance(part, str) and part.isprintable() and len(part) < 40 else _short(part)


def _short(value: Any) -> str:
    """A value in a few printable words."""
    try:
        return reprlib.repr(value)
    except ValueError:  # Python writes no numbers of thousands of digits
        return "a number of thousands of digits"
