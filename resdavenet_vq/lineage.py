"""Names of stages and lineages: `{2}->{2,3}` to read, `2-23` in paths.

A *stage* is the set of quantizers that are on. A *lineage* is the chain of stages that
led to a model; its *parent* is the lineage without its last stage. The folder of a
lineage is each stage's digits (`none` for the empty set) joined by hyphens, so that the
folder of a parent is a prefix of its child's. The folder of a lineage that is trained with a seed
other than the configured one ends with that seed: `2-23-seed7`, whose parent is `2-seed7`.
"""

from __future__ import annotations

import re
from dataclasses import dataclass, replace

N_POSITIONS = 5
"""Places in the audio network where a quantizer can sit: quant1 ... quant5."""

_FOLDER = re.compile(r"((?:none|[1-5]+)(?:-(?:none|[1-5]+))*)(?:-seed(0|[1-9][0-9]*))?")
_STAGE = re.compile(r"\{\s*(?:[1-5]\s*(?:,\s*[1-5]\s*)*)?\}")


@dataclass(frozen=True)
class Lineage:
    """A chain of stages, oldest first; each stage is the sorted tuple of its quantizers' numbers."""

    stages: tuple[tuple[int, ...], ...]
    seed: int | None = None
    """The seed that all its stages are trained with; None for the configured seed, and for imported models."""

    @classmethod
    def parse(cls, notation: str) -> Lineage:
        """Reads `{}->{2}->{2,3}`. Raises ValueError saying what is wrong."""
        stages = []
        for part in notation.split("->"):
            text = part.strip()
            if not _STAGE.fullmatch(text):
                raise ValueError(
                    f"{notation!r}: a stage is written like {{2,3}} with numbers from 1 to {N_POSITIONS}, "
                    f"and stages are joined by '->'; {text!r} is not one"
                )
            numbers = [int(n) for n in re.findall(r"\d", text)]
            if len(set(numbers)) != len(numbers):
                raise ValueError(f"{notation!r}: a quantizer is listed twice in {text}")
            stages.append(tuple(sorted(numbers)))
        return cls(tuple(stages))

    @classmethod
    def from_folder(cls, folder: str) -> Lineage:
        """Reads `none-2-23` and `none-2-23-seed7`. Raises ValueError for a name that no lineage has."""
        match = _FOLDER.fullmatch(folder)
        stages = [() if part == "none" else tuple(map(int, part)) for part in match[1].split("-")] if match else []
        if not match or any(sorted(set(stage)) != list(stage) for stage in stages):
            raise ValueError(
                f"{folder!r} is no lineage's folder: stages like 'none', '2' or '23' joined by hyphens, "
                "perhaps with '-seed7'"
            )
        return cls(tuple(stages), int(match[2]) if match[2] else None)

    @property
    def folder(self) -> str:
        """`{}->{2}->{2,3}` is `none-2-23`; with the seed 7, `none-2-23-seed7`."""
        stages = "-".join("".join(map(str, stage)) or "none" for stage in self.stages)
        return stages if self.seed is None else f"{stages}-seed{self.seed}"

    def with_seed(self, seed: int | None) -> Lineage:
        """The same chain of stages, trained with another seed."""
        return replace(self, seed=seed)

    @property
    def released_name(self) -> str:
        """The 2020 release's folder: `{2}->{2,3}` is `RDVQ_01000_01100`."""
        masks = ("".join("1" if n in stage else "0" for n in range(1, N_POSITIONS + 1)) for stage in self.stages)
        return "_".join(["RDVQ", *masks])

    @property
    def parent(self) -> Lineage | None:
        """The lineage, of the same seed, whose checkpoint this one starts from; None for a first stage."""
        return replace(self, stages=self.stages[:-1]) if len(self.stages) > 1 else None

    @property
    def quantizers(self) -> tuple[int, ...]:
        """The numbers of the quantizers that are on in the last stage."""
        return self.stages[-1]

    @property
    def quantized_layers(self) -> tuple[str, ...]:
        """`quant2`, `quant3` for `{2,3}`."""
        return tuple(f"quant{n}" for n in self.quantizers)

    def __str__(self) -> str:
        """The notation, without the seed."""
        return "->".join("{" + ",".join(map(str, stage)) + "}" for stage in self.stages)


def layer_position(layer: str) -> int:
    """The number in `quant3` or `conv3`. Raises ValueError for anything else."""
    match = re.fullmatch(r"(?:quant|conv)([1-5])", layer)
    if not match:
        raise ValueError(f"{layer!r} is no layer: quant1 ... quant{N_POSITIONS} or conv1 ... conv{N_POSITIONS}")
    return int(match[1])


def frame_stride(layer: str) -> int:
    """How many 10 ms feature frames one frame of the layer's quantizer spans: 1, 2, 4, 8, 16.

    `conv{n}` is what enters quantizer n, so both have the same stride.
    """
    return 1 << (layer_position(layer) - 1)
