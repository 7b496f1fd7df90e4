"""The sections `baselines` and `external`: what models are compared with."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated, Literal, Self

from pydantic import Field, model_validator

from resdavenet_vq.config.section import Count, LineageText, Name, Section, Seed, repeated

Period = Annotated[float, Field(ge=1e-3, le=10)]
"""Seconds of a frame."""


class Baselines(Section):
    """Systems without grounding, scored by the same rules as the models. See docs/baselines.md."""

    normalized_logmel: bool = Field(
        default=True,
        description="Whether ABX is scored on log-mel features with mean 0 and variance 1 in each band of each "
        "utterance, beside the raw ones.",
    )
    kmeans: bool = Field(
        default=True,
        description="Whether normalized log-mel windows are clustered, at the rate and with the codebook size of each "
        "quantizer.",
    )
    kmeans_of: tuple[LineageText, ...] | None = Field(
        default=None,
        description="The models whose layers are clustered, which is quantizing after training instead of during it; "
        "null is those lineages' first stages that have no quantizer.",
    )
    untrained: bool = Field(
        default=True, description="Whether the layers of the network before training are scored and clustered."
    )
    codebook_sizes: tuple[Count, ...] = Field(
        default=(),
        description="Further codebook sizes of the k-means of log-mel windows, so that models and clusters can be "
        "compared at equal bitrate.",
    )
    utterances: Count = Field(
        default=5000, description="The largest number of training utterances, random ones, that are clustered."
    )
    seed: Seed = Field(
        default=0, description="The seed of the choice of utterances, of clusters and of the untrained network."
    )

    @model_validator(mode="after")
    def _check(self) -> Self:
        for key in ("codebook_sizes", "kmeans_of"):
            if twice := repeated(getattr(self, key) or ()):
                raise ValueError(f"baselines.{key}: {twice[0]} is listed twice")
        return self


class External(Section):
    """Units or features that were made elsewhere. See docs/external_units.md."""

    files: dict[Name, Path] = Field(
        min_length=1, description="For each split, the file or folder that holds its units or features."
    )
    format: Literal["npy", "txt", "jsonl", "km", "hdf5", "segments", "features_npy", "features_txt"] = Field(
        description="How they are written: see docs/external_units.md."
    )
    frame_period: Period | None = Field(
        default=None,
        description="Seconds from one unit or frame to the next; null where the files say it. Of segments, what their "
        "times are counted in; null is seconds.",
    )
    resolution: Period = Field(
        default=0.01, description="Seconds of the frames that segments of any length, given in seconds, are laid on."
    )
    codebook: Path | None = Field(
        default=None,
        description="A .npy file (K, C) of code vectors, so that ABX compares vectors; without it units are equal or not.",
    )
    codebook_size: Count | None = Field(
        default=None,
        description="K, the number of codes; null is that of `codebook`, or the largest code of all splits and one.",
    )
    ids: Literal["path", "name"] = Field(
        default="name",
        description="What joins files and utterances: the path below the folder, or its last part, without suffix.",
    )

    @model_validator(mode="after")
    def _check(self) -> Self:
        if self.frame_period is None and self.format not in {"jsonl", "hdf5", "segments"}:
            raise ValueError(f"frame_period: must be given, as the format {self.format} says nothing of it")
        if self.codebook and (self.is_continuous or self.format == "segments"):
            raise ValueError(f"codebook: the format {self.format} takes none")
        if self.codebook and self.codebook_size:
            raise ValueError("codebook_size: is that of the codebook; give one of them")
        if self.codebook_size and self.is_continuous:
            raise ValueError("codebook_size: features have no codes")
        return self

    @property
    def is_continuous(self) -> bool:
        """Whether it is features, not units."""
        return self.format.startswith("features")
