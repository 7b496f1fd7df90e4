"""The sections `preparation` and `training`."""

from __future__ import annotations

from typing import Any, Literal

from pydantic import Field, PositiveFloat, PositiveInt, model_validator

from resdavenet_vq.config.section import LineageText, Name, Probability, Section
from resdavenet_vq.lineage import Lineage

UNCUT = 10_000_000
"""`max_frames` of a split whose utterances are never cut: more than a day."""


class Preparation(Section):
    """Turning wav and image files into the HDF5 store."""

    reader: Literal["store", "files", "release_2020"] = Field(
        default="store",
        description="Where features and images are read from whenever they are needed: a `store` made once; the wav and image `files` "
        "themselves; or the HDF5 files of the 2020 release, named in `corpus.release_hdf5`. All give the same batches. See docs/readers.md.",
    )
    max_frames: PositiveInt = Field(
        default=2048,
        description="Longer utterances are cut to this many 10 ms frames, and counted. The published value.",
    )
    precision: Literal["float16", "float32"] = Field(default="float16", description="Of the stored log-mel features.")
    bad_rows: Literal["stop", "skip"] = Field(
        default="stop", description="Whether a refused row stops the preparation, or is left out and reported."
    )
    rows_per_part: PositiveInt | None = Field(
        default=None, description="Consecutive rows of a split that one job prepares, where `parts` names the split."
    )
    parts: dict[Name, PositiveInt] = Field(
        default={},
        description="How many parts of `rows_per_part` rows a split has: each is prepared by a job of its own, which "
        "a cluster runs side by side. No result depends on it. See docs/large_corpora.md.",
    )

    @model_validator(mode="after")
    def _parts_have_a_size(self) -> Preparation:
        if self.parts and self.rows_per_part is None:
            raise ValueError("preparation.rows_per_part: missing; preparation.parts needs it")
        return self


class Compute(Section):
    """How a training computes: nothing here changes the method, everything may change last digits. See docs/training.md."""

    precision: Literal["float32", "tf32", "bfloat16"] = Field(
        default="float32",
        description="Of convolutions and matrix products: float32; on a GPU with TF32 for the products inside; or bfloat16 in the forward and "
        "backward pass of both networks. Weights, quantizers and losses are float32 in any case.",
    )
    compile: bool = Field(
        default=False, description="Compile the networks before the first step: minutes, then faster steps."
    )
    deterministic: bool = Field(
        default=True,
        description="On a GPU, only algorithms that give the same bits every time, wherever there is one; a CPU always does so.",
    )


class TrainingOverride(Section):
    """What a lineage does differently from `training`."""

    epochs: PositiveInt | None = Field(default=None, description="Passes over the training split.")
    batch_size: PositiveInt | None = Field(default=None, description="Pairs in a step, over all processes.")
    learning_rate: PositiveFloat | None = Field(default=None, description="Of Adam, before its decay.")


class Training(Section):
    """How each stage of a lineage is trained."""

    split: Name = Field(description="Split that is trained on.")
    validation_split: Name = Field(description="Split whose R@10 chooses the best epoch.")
    epochs: PositiveInt = Field(default=150, description="Passes over the training split.")
    batch_size: PositiveInt = Field(default=64, description="Pairs in a step, over all processes.")
    learning_rate: PositiveFloat = Field(default=2e-4, description="Of Adam, before its decay.")
    weight_decay: float = Field(default=5e-7, ge=0, description="Of Adam, coupled to the gradient.")
    learning_rate_decay: Probability = Field(
        default=0.95, description="Factor applied every `learning_rate_decay_every` epochs."
    )
    learning_rate_decay_every: PositiveInt = Field(default=3, description="In epochs.")
    margin: PositiveFloat = Field(default=1.0, description="Of both triplet losses.")
    jitter: Probability = Field(
        default=0.12, description="Probability of each of the two displaced offsets of the temporal jitter."
    )
    pad_to: Literal["batch", "max_frames"] = Field(
        default="max_frames",
        description="Pad every batch to the store's longest allowed utterance as published, or to its own longest.",
    )
    seed: int = Field(default=8675309, ge=0, description="Of initial weights, order, crops, impostors and jitter.")
    compute: Compute = Compute()
    workers: int = Field(
        default=1, ge=0, description="Processes that read and decode beside each training process; there is one a GPU."
    )
    threads: PositiveInt = Field(
        default=8,
        description="Processor cores that a training job asks for; without a GPU, those beyond the workers compute.",
    )
    gpus: int = Field(default=1, ge=0, description="GPUs of a training job; fewer are used where there are fewer.")
    overrides: dict[LineageText, TrainingOverride] = Field(
        default={}, description="By lineage: what it does differently."
    )

    def of(self, lineage: str) -> Training:
        """The settings of one lineage, its overrides applied and none left."""
        wanted = Lineage.parse(lineage)
        changes: dict[str, Any] = {}
        for notation, override in self.overrides.items():
            if Lineage.parse(notation) == wanted:
                changes |= override.model_dump(exclude_none=True)
        return self.model_copy(update=changes | {"overrides": {}})
