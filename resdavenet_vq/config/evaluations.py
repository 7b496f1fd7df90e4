"""The sections `retrieval`, `abx`, `words` and `report`."""

from __future__ import annotations

from typing import Literal

from pydantic import Field, PositiveFloat, PositiveInt

from resdavenet_vq.config.section import Layer, Name, Probability, Section


class Retrieval(Section):
    """Cross-modal retrieval."""

    split: Name = Field(description="Split whose images and captions are matched.")
    recall_at: tuple[PositiveInt, ...] = Field(default=(1, 5, 10), min_length=1, description="The k of R@k.")


class AbxScoring(Section):
    """How the ABX error is computed."""

    distance: Literal["angular", "euclidean", "kl_symmetric", "identical"] = Field(
        default="angular", description="Between frames, under DTW."
    )
    max_size_group: PositiveInt | None = Field(default=10, description="Most items of each phone in a context and speaker; null: all.")
    max_x_across: PositiveInt | None = Field(default=5, description="Most X speakers of a pair in the across-speaker score; null: all.")
    seed: int = Field(default=0, ge=0, description="Of the subsampling.")


class Submission(Section):
    """What a ZeroSpeech submission says of itself."""

    author: str = Field(default="unnamed", min_length=1, description="Who submits.")
    affiliation: str = Field(default="unnamed", min_length=1, description="Where from.")
    abx_distance: Literal["dtw_cosine", "dtw_kl", "levenshtein"] = Field(
        default="dtw_cosine", description="Distance that the evaluation is asked to use."
    )


class Abx(Section):
    """ZeroSpeech ABX: error and bitrate of a layer's features."""

    splits: tuple[Name, ...] = Field(default=(), description="Splits with an item file that are scored.")
    convolutional_layers: tuple[Layer, ...] = Field(
        default=("conv2", "conv3"), description="Layers scored beside the quantizers that are on."
    )
    scoring: AbxScoring = AbxScoring()
    submission: Submission = Submission()


class Words(Section):
    """Word detection by single codes."""

    split: Name = Field(description="Split on which each word's code is chosen and, in the published protocol, also scored.")
    held_out_split: Name = Field(description="Split on which the chosen codes are scored again.")
    max_utterances: PositiveInt | None = Field(
        default=20000, description="First so many utterances of the split; null: all. The published value."
    )
    half_window: PositiveFloat = Field(default=0.04, description="Half the window around a frame's centre, in seconds.")
    min_occurrences: PositiveInt = Field(default=1, description="Words spoken less often are left out of the tables.")
    f1_threshold: Probability = Field(default=0.5, description="Words with at least this F1 are counted as detected.")
    precision_threshold: Probability = Field(default=0.35, description="Words with at least this precision are listed.")
    best: PositiveInt = Field(default=250, description="Mean F1 is taken over so many best words.")


class Report(Section):
    """The page that a person looks at."""

    utterances: PositiveInt = Field(default=12, description="Examples drawn with their aligned words, phones and codes.")
    seed: int = Field(default=0, ge=0, description="Of the choice of examples.")
