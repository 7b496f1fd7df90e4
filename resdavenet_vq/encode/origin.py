"""What made an encoded file: the model, the split and the recipe, which scorers compare."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any

from resdavenet_vq.errors import InputError


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

    @classmethod
    def from_dict(cls, values: Any) -> Origin:
        """The origin that `to_dict` described. Raises ValueError for anything else."""
        match values:
            case {"model": str(), "lineage": str(), "split": str(), "data": str(), "recipe": dict()}:
                return cls(**values)
        raise ValueError("says nothing of its model and split")

    def check(self, path: Path, *, lineage: str = "", split: str = "") -> None:
        """Raises InputError naming the file unless it is of this lineage, in notation, and of this split.

        Either may be empty: then it is not compared. A model whose card names no lineage is of any.
        """
        if lineage and self.lineage not in {"", lineage}:
            raise InputError(f"{path}: is of the lineage {self.lineage}, not {lineage}; give the file of this lineage")
        if split and self.split != split:
            raise InputError(f"{path}: is of the split {self.split}, not {split}; give the file of this split")


def check_same_model(first: Path, origin: Origin, second: Path, other: Origin) -> None:
    """Raises InputError naming both files and both models unless one model made both."""
    if origin.model != other.model:
        raise InputError(
            f"{second}: is of the model {_name(other)}, and {first} of {_name(origin)}; encode both with one model"
        )


def check_same_encoding(first: Path, origin: Origin, second: Path, other: Origin) -> None:
    """As `check_same_model`; the switches of the recipe must be the same, too."""
    check_same_model(first, origin, second, other)
    if origin.recipe != other.recipe:
        both = f"the recipe {dict(other.recipe)}, and {first} with {dict(origin.recipe)}"
        raise InputError(f"{second}: was encoded with {both}; encode both with one recipe")


def _name(origin: Origin) -> str:
    """A model's digest, as far as one reads it, and its lineage."""
    return f"{origin.model[:12] or 'none'} ({origin.lineage or 'lineage unknown'})"
