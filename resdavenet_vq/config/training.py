"""The sections `preparation` and `training`."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Annotated, Any, Literal, Self

from pydantic import Field, model_validator

from resdavenet_vq.config.section import Count, LineageText, Name, Positive, Probability, Processes, Section, Seed

UNCUT = 10_000_000
"""`max_frames` of a split whose utterances are never cut: more than a day."""


class Preparation(Section):
    """Turning wav and image files into HDF5 stores."""

    reader: Literal["store", "files", "release_2020"] = Field(
        default="store",
        description="The source of features and images: a `store` that holds them; the wav and image `files` "
        "themselves, read anew each time; or the HDF5 files of the 2020 release, named in `corpus.release_hdf5`. "
        "All give the same batches. See docs/readers.md.",
    )
    max_frames: int = Field(
        default=2048,
        ge=1,
        le=UNCUT,
        description="The length in 10 ms frames at which longer utterances are cut; the number of cuts is reported. "
        "2048 is the published value.",
    )
    precision: Literal["float16", "float32"] = Field(
        default="float16", description="The number format of the stored log-mel features."
    )
    image_size: Annotated[int, Field(ge=16, le=16_384)] | None = Field(
        default=None,
        description="The shorter side in pixels at which larger images are stored, as JPEG files of quality 95: smaller "
        "files and faster training crops, of slightly other pixels. Without it the files are stored as they are. Only "
        "`reader: store` has it. See docs/images.md.",
    )
    bad_rows: Literal["stop", "skip"] = Field(
        default="stop", description="Whether a refused row stops the preparation, or is left out and reported."
    )
    rows_per_part: Count | None = Field(
        default=None,
        description="The number of consecutive rows that one job prepares, for splits that `parts` names.",
    )
    parts: dict[Name, Annotated[int, Field(ge=1, le=100_000)]] = Field(
        default={},
        description="The number of parts of `rows_per_part` rows in a split. Each part is prepared by a job of its "
        "own, which a cluster runs side by side. No result depends on it. See docs/large_corpora.md.",
    )

    @model_validator(mode="after")
    def _parts_have_a_size(self) -> Self:
        if self.parts and self.rows_per_part is None:
            raise ValueError("preparation.rows_per_part: missing; preparation.parts needs it")
        return self

    @model_validator(mode="after")
    def _only_a_store_has_smaller_images(self) -> Self:
        if self.image_size is not None and self.reader != "store":
            raise ValueError(
                f"preparation.image_size: reader {self.reader} reads images as they are; remove it, or set reader to store"
            )
        return self


class Compute(Section):
    """How a training computes: nothing here changes the method, but anything may change last digits."""

    precision: Literal["float32", "tf32", "bfloat16"] = Field(
        default="float32",
        description="The arithmetic of convolutions: float32; on a GPU, TF32 for the products inside; or bfloat16 in the forward and backward pass of both networks. Weights, quantizers and losses are "
        "always float32.",
    )
    compile: bool = Field(
        default=False,
        description="Whether the networks are compiled before the first step, which takes minutes and makes steps "
        "faster.",
    )
    deterministic: bool = Field(
        default=True,
        description="Whether a GPU uses algorithms that always give the same bits, wherever there are any. A CPU "
        "always does.",
    )


BOTH_LENGTHS = (
    "has both `epochs` and `steps`, perhaps one from the file below; write null for the one that should not count"
)


class TrainingOverride(Section):
    """What a lineage does differently from `training`."""

    epochs: Count | None = Field(default=None, description="The number of passes over the training split.")
    steps: Count | None = Field(default=None, description="The number of steps, instead of `epochs`.")
    patience: Count | None = Field(default=None, description="As `training.patience`.")
    batch_size: Count | None = Field(default=None, description="The number of pairs in a step, over all processes.")
    learning_rate: Positive | None = Field(default=None, description="The learning rate of Adam before its decay.")

    @property
    def changes(self) -> dict[str, Any]:
        """The values that differ; a length in steps replaces one in epochs, and the other way round."""
        given = self.model_dump(exclude_none=True)
        other = {"steps": "epochs", "epochs": "steps"}
        return {other[key]: None for key in given if key in other} | given

    @model_validator(mode="after")
    def _one_length(self) -> Self:
        if self.epochs and self.steps:
            raise ValueError(BOTH_LENGTHS)
        return self


class Training(Section):
    """How each stage of a lineage is trained."""

    split: Name = Field(description="The split that models are trained on.")
    validation_split: Name = Field(description="The split whose R@10 chooses the best epoch.")
    epochs: Count | None = Field(
        default=150, description="The number of passes over the training split; null where `steps` is given."
    )
    steps: Count | None = Field(
        default=None,
        description="The number of steps, instead of `epochs`: where the split is small or its size unknown. The last "
        "pass over the split ends early; R@10 is measured after every pass.",
    )
    patience: Count | None = Field(
        default=None,
        description="The number of epochs in which R@10 has not risen after which a training ends early; null: never.",
    )
    batch_size: Count = Field(default=64, description="The number of pairs in a step, over all processes.")
    learning_rate: Positive = Field(default=2e-4, description="The learning rate of Adam before its decay.")
    learning_rate_schedule: Literal["steps", "cosine"] = Field(
        default="steps",
        description="How the learning rate changes: in `steps` of `learning_rate_decay`, as published; or it rises over "
        "the first 5 % of all training steps and falls as half a `cosine`, down to 1 %.",
    )
    weight_decay: float = Field(
        default=5e-7, ge=0, le=1e9, description="The weight decay of Adam, which is added to the gradient."
    )
    learning_rate_decay: Probability = Field(
        default=0.95,
        description="The factor that multiplies the learning rate of `steps` every `learning_rate_decay_every` epochs.",
    )
    learning_rate_decay_every: Count = Field(
        default=3, description="The number of epochs between two decays of the learning rate."
    )
    margin: Positive = Field(default=1.0, description="The margin of both triplet losses.")
    jitter: Probability = Field(
        default=0.12, description="The probability of each of the two displaced offsets of the temporal jitter."
    )
    augmentation: Literal["none", "masks"] = Field(
        default="none",
        description="What is done to training utterances: nothing, as published; or, in each step, one band of up to 6 "
        "mel bands and one stretch of up to 120 ms, at most a fifth of the utterance, become the utterance's mean.",
    )
    pad_to: Literal["batch", "max_frames"] = Field(
        default="max_frames",
        description="The length that batches are padded to: `max_frames` of the store, as published, or the longest "
        "utterance of the batch.",
    )
    batching: Literal["random", "similar_lengths"] = Field(
        default="random",
        description="Which pairs share a batch: any, as published; or pairs of similar length, sorted within a random "
        "choice of 8 batches, so that with `pad_to: batch` little is padding. See docs/training.md.",
    )
    batch_norm: Literal["global", "process"] = Field(
        default="global",
        description="Where several processes train, whose batch the statistics of batch normalization are of: the global "
        "one, so that their number does not change the method; or the part of each process, as published. With "
        "`process` the training has exactly `gpus` processes, and another number trains again.",
    )
    seed: Seed = Field(
        default=8675309,
        description="The seed of initial weights, order, crops, impostors and jitter.",
    )
    compute: Compute = Compute()
    workers: Processes = Field(
        default=1,
        description="The number of processes that read and decode beside each training process; there is one training "
        "process per GPU.",
    )
    threads: Annotated[int, Field(ge=1, le=1024)] = Field(
        default=8,
        description="The number of processor cores that a training job requests. Without a GPU, those beyond the "
        "workers compute.",
    )
    gpus: Processes = Field(
        default=1,
        description="The number of GPUs that a training job requests; it uses fewer where there are fewer.",
    )
    overrides: dict[LineageText, TrainingOverride] = Field(
        default={}, description="Different values for single lineages, by their notation."
    )

    @property
    def without_effect(self) -> frozenset[str]:
        """Keys on which no result depends."""
        return frozenset({"workers", "threads"} | ({"gpus"} if self.batch_norm == "global" else set()))

    @model_validator(mode="before")
    @classmethod
    def _steps_replace_the_default(cls, given: Any) -> Any:
        """Epochs that nobody has given do not count beside steps."""
        if isinstance(given, Mapping) and given.get("steps") is not None and "epochs" not in given:
            return {**given, "epochs": None}
        return given

    @model_validator(mode="after")
    def _one_length(self) -> Self:
        if self.epochs and self.steps:
            raise ValueError(BOTH_LENGTHS)
        if not self.epochs and not self.steps:
            raise ValueError("needs `epochs` or `steps`")
        return self
