"""What a score file must hold, of each kind, so that tables, figures and pages can rely on it."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Annotated, Any, Literal, NotRequired, TypedDict

from pydantic import AfterValidator, Field, TypeAdapter, ValidationError

from resdavenet_vq.config import Condition
from resdavenet_vq.encode.features import OTHERS, source
from resdavenet_vq.errors import InputError, printable, shortened
from resdavenet_vq.lineage import layer_position

LARGEST = 2.0**53
"""Largest size of a number; whole ones are exact up to it, and no score comes near."""


def _layer(name: str) -> str:
    if name not in OTHERS:
        layer_position(source(name))
    return name


def _direction(scores: dict[str, Any]) -> dict[str, Any]:
    recalls = [name for name in scores if name.startswith("recall_at_")]
    names = ("median_rank", "mean_rank", "queries", "items", "ties", *(f"chance_{name}" for name in recalls))
    if missing := [name for name in names if name not in scores]:
        raise ValueError(f"has no {missing[0]}")
    if not recalls or not all(0 <= scores[name] <= 1 for name in recalls):
        raise ValueError("has no recall_at_K from 0 to 1")
    if any(not float(scores[name]).is_integer() for name in ("queries", "items", "ties")) or scores["queries"] < 1:
        raise ValueError("queries, items and ties must count")
    return scores


def _same_recalls(value: dict[str, Any]) -> dict[str, Any]:
    names = [{name for name in value[key] if "recall_at_" in name} for key in ("image_to_speech", "speech_to_image")]
    if names[0] != names[1]:
        raise ValueError("has other recalls of captions than of images")
    return value


def _with_chance(scores: dict[str, Any]) -> dict[str, Any]:
    if not isinstance(scores.get("chance", 0), dict | None):
        raise ValueError("has no scores by chance")  # noqa: TRY004 - what pydantic reports
    return scores


def _scores_or_reason(value: dict[str, Any]) -> dict[str, Any]:
    if "not_available" in value and not value["within_error"] is value["across_error"] is None:
        raise ValueError("has errors that are not available")
    return value


def _detections_or_reasons(value: dict[str, Any]) -> dict[str, Any]:
    for name in ("published", "held_out"):
        if (value[name] is None) != (name in value.get("not_available", {})):
            raise ValueError(f"{name} has neither scores nor a reason, or both")
    return value


def _units(scores: dict[str, Any]) -> dict[str, Any]:
    for tier in ("words", "phones", "syllables"):
        if not isinstance(scores.get(tier, {}), dict):
            raise ValueError(f"has no scores of {tier}")  # noqa: TRY004 - what pydantic reports
    return scores


def _bounds(interval: list[float]) -> list[float]:
    if interval[0] > interval[1]:
        raise ValueError("has an interval that ends before it begins")
    return interval


type _Number = Annotated[float, Field(allow_inf_nan=False, ge=-LARGEST, le=LARGEST)]
type _Count = Annotated[int, Field(ge=0, le=LARGEST)]
type _Period = Annotated[float, Field(gt=0, le=1000, allow_inf_nan=False)]
type _Layer = Annotated[str, AfterValidator(_layer)]
type _Direction = Annotated[dict[str, _Number], AfterValidator(_direction)]
type _Numbers = dict[str, _Number | _Numbers | None]
type _Interval = Annotated[list[_Number], Field(min_length=2, max_length=2), AfterValidator(_bounds)]
type _Intervals = dict[str, _Interval]
type _Detection = Annotated[_Numbers, AfterValidator(_with_chance)]


class _Split(TypedDict):
    split: str


class _Origin(TypedDict):
    model: str
    lineage: str
    split: str
    data: str
    recipe: dict[str, Any]


class _Answer(TypedDict):
    id: str
    right: bool


class _Example(TypedDict):
    query: str
    rank: _Count
    right: list[str]
    answers: list[_Answer]


class _NoRetrieval(TypedDict):
    lineage: str
    origin: _Origin
    not_available: str
    conditions: _Split


class _Matchmap(TypedDict):
    lineage: str
    origin: _Origin
    matchmap: str
    image_to_speech: _Direction
    speech_to_image: _Direction
    intervals: _Intervals
    conditions: _Split


class _Examples(TypedDict):
    image_to_speech: dict[str, list[_Example]]
    speech_to_image: dict[str, list[_Example]]


class _Retrieval(TypedDict):
    lineage: str
    origin: _Origin
    image_to_speech: _Direction
    speech_to_image: _Direction
    intervals: _Intervals
    conditions: _Split
    examples: _Examples


class _Bitrate(TypedDict):
    plain: _Number
    run_length: _Number
    factored: _Number
    segment: _Number
    units_per_second: _Number


class _Abx(TypedDict):
    lineage: str
    origin: _Origin
    layer: _Layer
    split: str
    condition: NotRequired[Condition]  # of triphones alone in files of before there were others
    representation: str
    distance: str
    frame_period: _Period
    within_error: _Number | None
    across_error: _Number | None
    items: _Count
    items_used: _Count
    items_dropped: dict[str, _Count]
    intervals: _Intervals
    bitrate: _Bitrate | None
    not_available: NotRequired[str]


class _Words(TypedDict):
    lineage: str
    origin: _Origin
    layer: _Layer
    frame_period: _Period
    split: str
    held_out_split: str
    utterances: _Count
    utterances_without_alignment: NotRequired[_Count]
    held_out_utterances: _Count
    best: _Count
    f1_threshold: _Number
    published: _Detection | None
    held_out: _Detection | None
    not_available: NotRequired[dict[Literal["published", "held_out"], str]]
    intervals: _Intervals
    units: Annotated[_Numbers, AfterValidator(_units)]


_KINDS: Mapping[str, TypeAdapter] = {
    "within_error": TypeAdapter(Annotated[_Abx, AfterValidator(_scores_or_reason)]),
    "published": TypeAdapter(Annotated[_Words, AfterValidator(_detections_or_reasons)]),
    "not_available": TypeAdapter(_NoRetrieval),
    "matchmap": TypeAdapter(Annotated[_Matchmap, AfterValidator(_same_recalls)]),
    "image_to_speech": TypeAdapter(Annotated[_Retrieval, AfterValidator(_same_recalls)]),
    "": TypeAdapter(_Words),
}
"""By a key that this kind has, and none below it."""


def check(value: Any, file: object) -> None:
    """Raises InputError naming the file and the first fault if the content of a JSON file is no score."""
    kind = next((key for key in _KINDS if isinstance(value, dict) and key in value), "")
    try:
        _KINDS[kind].validate_python(value, strict=True)
    except ValidationError as e:
        fault = e.errors(include_url=False, include_input=False)[0]
        where = ".".join(map(str, fault["loc"])) or "its content"
        text = printable(shortened(f"{where}: {fault['msg']}", 300))
        raise InputError(f"{file}: is no score of this software ({text}); score again") from None
