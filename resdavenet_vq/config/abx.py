"""The section `abx`: what is compared, how items are made and scored, and what is submitted."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any, Literal, Self

from pydantic import Field, model_validator

from resdavenet_vq.config.section import Count, Layer, Name, Section, Seed, repeated


class AbxScoring(Section):
    """How the ABX error is computed."""

    distance: Literal["angular", "euclidean", "kl_symmetric", "identical"] = Field(
        default="angular", description="The distance between frames, under DTW."
    )
    max_size_group: Count | None = Field(
        default=10,
        description="The largest number of items of a phone in one context and speaker; null is no limit.",
    )
    max_x_across: Count | None = Field(
        default=5,
        description="The largest number of X speakers of a pair in the across-speaker score; null is no limit.",
    )
    seed: Seed = Field(default=0, description="The seed of the subsampling of items.")
    slowest_layer: Layer = Field(
        default="quant3",
        description="The slowest layer that is compared. Items that are shorter than one of its frames are dropped for "
        "every layer, so that all layers are scored on the same items.",
    )


type Condition = Literal["triphone", "phoneme", "phoneme_any", "word", "syllable"]

ITEMS_OF: Mapping[str, str] = {
    "triphone": "triphone",
    "phoneme": "phoneme",
    "phoneme_any": "phoneme",
    "word": "word",
    "syllable": "syllable",
}
"""What the items of a condition are; both conditions of phonemes have the same ones."""

ITEM_KEYS: Mapping[str, tuple[str, ...]] = {
    "triphone": ("shortest", "ignore_stress"),
    "phoneme": ("shortest_phoneme", "ignore_stress"),
    "word": ("shortest", "most_frequent"),
    "syllable": ("shortest", "most_frequent"),
}
"""The keys of `abx.items` that items depend on."""


class Items(Section):
    """How ABX items are made from a split's alignments, where `corpus.items` has no file. See docs/abx.md."""

    shortest: float = Field(
        default=0.07,
        ge=0,
        le=1e9,
        description="The shortest duration of a triphone, word or syllable in seconds; shorter ones are left out.",
    )
    shortest_phoneme: float = Field(
        default=0.0,
        ge=0,
        le=1e9,
        description="The shortest duration of a phoneme by itself in seconds. Those shorter than a frame of "
        "`abx.scoring.slowest_layer` are left out in any case, when they are scored.",
    )
    ignore_stress: bool = Field(
        default=True,
        description="Whether ARPABET vowels lose their stress: AH0 and AH1 are AH, as in ZeroSpeech's items.",
    )
    most_frequent: Count | None = Field(
        default=100,
        description="The number of most frequent words, or syllables, that become items; null is all. Pairs grow with "
        "its square.",
    )

    @model_validator(mode="before")
    @classmethod
    def _check_removed(cls, values: Any) -> Any:
        if isinstance(values, dict) and "of" in values:
            raise ValueError(
                "abx.items.of: there is no such key any more; what is compared is listed in abx.conditions, "
                f"such as {'[word]' if values['of'] == 'words' else '[triphone]'}"
            )
        return values


type Edition = Literal[2019, 2020, 2021]

SUBMISSION_KEYS: dict[int, tuple[str, ...]] = {
    2019: ("author", "affiliation", "abx_distance"),
    2020: ("author", "affiliation", "abx_distance"),
    2021: ("author", "affiliation", "metric", "train_set", "gpu_budget"),
}
"""The keys of `abx.submission` that a submission of each edition depends on."""


class Submission(Section):
    """Which ZeroSpeech submissions are packed, and their metadata. See docs/zerospeech.md."""

    editions: tuple[Edition, ...] = Field(
        default=(2019,), description="The editions of the challenge; each has a layout of its own."
    )
    author: str = Field(default="unnamed", min_length=1, description="The author of the submission.")
    affiliation: str = Field(default="unnamed", min_length=1, description="The affiliation of the author.")
    abx_distance: Literal["dtw_cosine", "dtw_kl", "levenshtein"] = Field(
        default="dtw_cosine", description="The distance that the evaluations of 2019 and 2020 are asked to use."
    )
    metric: Literal["cosine", "euclidean", "kl", "kl_symmetric"] = Field(
        default="cosine", description="The distance that the evaluation of 2021 is asked to use."
    )
    train_set: str = Field(
        default="images and their spoken captions",
        min_length=1,
        description="The training data that a submission of 2021 names.",
    )
    gpu_budget: float = Field(
        default=0.0, ge=0, le=1e9, description="The GPU hours of training that a submission of 2021 names."
    )


class Abx(Section):
    """ZeroSpeech ABX: the error and bitrate of a layer's features."""

    splits: tuple[Name, ...] = Field(default=(), description="The splits that are scored.")
    conditions: tuple[Condition, ...] = Field(
        default=("triphone",),
        min_length=1,
        description="What is compared: `triphone`, a phone between two others with their time, the published one; "
        "`phoneme`, a phone's own time, between the same two others; `phoneme_any`, between any; and whole `word`s and "
        "`syllable`s. Noisy copies are scored in the first one; tables and figures show `triphone`. See docs/abx.md.",
    )
    convolutional_layers: tuple[Layer, ...] = Field(
        default=("conv2", "conv3"), description="The layers that are scored besides the quantizers that are on."
    )
    variants: tuple[Literal["onehot", "segment"], ...] = Field(
        default=(),
        description="Further representations that are scored of each quantizer: `onehot`, its codes, which are equal "
        "or not; `segment`, its code vectors without repeats, spread evenly over the utterance.",
    )
    items: Items = Items()
    scoring: AbxScoring = AbxScoring()
    submission: Submission = Submission()

    @model_validator(mode="after")
    def _check(self) -> Self:
        if twice := repeated(self.conditions):
            raise ValueError(f"abx.conditions: {twice[0]} is listed twice")
        return self
