"""What made an encoded file: the model, the split and the recipe, which scorers compare."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import asdict, dataclass
from typing import Any


@dataclass(frozen=True)
class Origin:
    """What made an encoded file; kept in its header and in every score of it."""

    model: str
    """SHA-256 of the model's weights; "" for the raw log-mel features."""
    lineage: str
    """As tables write it: `{}->{2}`, or `raw log-mel`; "" for a model whose card does not say."""
    split: str
    """The name of the store, or of the folder of recordings."""
    data: str
    """SHA-256 of the store's content; "" for recordings."""
    recipe: Mapping[str, Any]
    """The switches of `recipe` that encoding applied."""

    def to_dict(self) -> dict[str, Any]:
        """As JSON."""
        return asdict(self)
