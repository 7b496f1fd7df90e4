"""Data for the pages: pieces that a page loads when it needs them.

A page opened from disk may not fetch files, but it may add scripts. So every piece is a file `data/NAME.js` that hands one JSON value to
`report.receive`. The text is safe inside a script element as well: `<` never occurs in it.
"""

from __future__ import annotations

import json
import math
from collections.abc import Iterator, Sequence
from typing import TYPE_CHECKING, Any

import numpy as np

if TYPE_CHECKING:
    from resdavenet_vq.report.assets import Folder


def write(folder: Folder, name: str, value: Any) -> str:
    """Writes a piece and returns its name."""
    folder.path("data", f"{name}.js").write_text(
        f"report.receive({as_script(name)},{as_script(value)});\n", encoding="utf-8"
    )
    return name


def as_script(value: Any) -> str:
    """A value as JSON that neither ends a script element nor begins another; NaN and infinity become null."""
    text = json.dumps(_finite(value), separators=(",", ":"), ensure_ascii=False, allow_nan=False)
    for character in "<>&\u2028\u2029":
        text = text.replace(character, f"\\u{ord(character):04x}")
    return text


def parts(values: Sequence[Any], size: int) -> Iterator[tuple[int, Sequence[Any]]]:
    """Pieces of at most `size` values with their numbers from 0."""
    for number, start in enumerate(range(0, len(values), size)):
        yield number, values[start : start + size]


def _finite(value: Any) -> Any:
    match value:
        case dict():
            return {str(key): _finite(item) for key, item in value.items()}
        case list() | tuple():
            return [_finite(item) for item in value]
        case np.ndarray():
            return _finite(value.tolist())
        case np.generic():
            return _finite(value.item())
        case float() if not math.isfinite(value):
            return None
    return value
