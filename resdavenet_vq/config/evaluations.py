"""The sections `retrieval`, `abx`, `words` and `report`."""

from __future__ import annotations

from collections.abc import Iterable
from typing import Annotated, Literal

from pydantic import Field, PositiveFloat, PositiveInt, model_validator

from resdavenet_vq.config.section import Layer, Name, Probability, Section
from resdavenet_vq.lineage import Lineage, layer_position


class Retrieval(Section):
    """Cross-modal retrieval."""

    split: Name = Field(description="Split whose images and captions are matched.")
    recall_at: tuple[PositiveInt, ...] = Field(default=(1, 5, 10), min_length=1, description="The k of R@k.")
    similarities: tuple[Literal["pooled", "sisa", "misa", "sima"], ...] = Field(
        default=("pooled",),
        description="`pooled`, the dot product of the vectors that training compares, always; beside it scores of the matchmap: `sisa`, `misa`, "
        "`sima`. See docs/retrieval.md.",
    )

    @model_validator(mode="after")
    def _pooled_always(self) -> Retrieval:
        if "pooled" not in self.similarities or len(set(self.similarities)) < len(self.similarities):
            raise ValueError("similarities: pooled must stand in it, and nothing twice")
        return self

    @property
    def matchmaps(self) -> tuple[str, ...]:
        """The similarities that need every cell and frame."""
        return tuple(similarity for similarity in self.similarities if similarity != "pooled")


class AbxScoring(Section):
    """How the ABX error is computed."""

    distance: Literal["angular", "euclidean", "kl_symmetric", "identical"] = Field(
        default="angular", description="Between frames, under DTW."
    )
    max_size_group: PositiveInt | None = Field(
        default=10, description="Most items of each phone in a context and speaker; null: all."
    )
    max_x_across: PositiveInt | None = Field(
        default=5, description="Most X speakers of a pair in the across-speaker score; null: all."
    )
    seed: int = Field(default=0, ge=0, description="Of the subsampling.")
    slowest_layer: Layer = Field(
        default="quant3",
        description="The slowest layer that is compared: items shorter than one of its frames are dropped for every layer, "
        "so that all layers are scored on the same items.",
    )


class Items(Section):
    """How the ABX items of a split are made from its alignments, where `corpus.items` names no file. See docs/abx.md."""

    of: Literal["phones", "words"] = Field(
        default="phones",
        description="`phones`: each phone between two others, in their context; `words`: whole words, in no context.",
    )
    shortest: float = Field(default=0.07, ge=0, description="Tokens that take less time are no items, in seconds.")
    ignore_stress: bool = Field(
        default=True, description="ARPABET vowels lose their stress: AH0 and AH1 are AH, as in ZeroSpeech's items."
    )
    most_frequent_words: PositiveInt | None = Field(
        default=100, description="Only so many words, the most frequent; null: all. Pairs grow with the square."
    )


type Edition = Literal[2019, 2020, 2021]

SUBMISSION_KEYS: dict[int, tuple[str, ...]] = {
    2019: ("author", "affiliation", "abx_distance"),
    2020: ("author", "affiliation", "abx_distance"),
    2021: ("author", "affiliation", "metric", "train_set", "gpu_budget"),
}
"""What a submission of each edition depends on."""


class Submission(Section):
    """Which ZeroSpeech submissions are packed, and what they say of themselves. See docs/zerospeech.md."""

    editions: tuple[Edition, ...] = Field(
        default=(2019,), description="Of the challenge; each has a layout of its own."
    )
    author: str = Field(default="unnamed", min_length=1, description="Who submits.")
    affiliation: str = Field(default="unnamed", min_length=1, description="Where from.")
    abx_distance: Literal["dtw_cosine", "dtw_kl", "levenshtein"] = Field(
        default="dtw_cosine", description="Distance that the evaluations of 2019 and 2020 are asked to use."
    )
    metric: Literal["cosine", "euclidean", "kl", "kl_symmetric"] = Field(
        default="cosine", description="Distance that the evaluation of 2021 is asked to use."
    )
    train_set: str = Field(
        default="images and their spoken captions", min_length=1, description="What was trained on, for 2021."
    )
    gpu_budget: float = Field(default=0.0, ge=0, description="Hours of GPUs that training took, for 2021.")


class Abx(Section):
    """ZeroSpeech ABX: error and bitrate of a layer's features."""

    splits: tuple[Name, ...] = Field(default=(), description="Splits with an item file that are scored.")
    convolutional_layers: tuple[Layer, ...] = Field(
        default=("conv2", "conv3"), description="Layers scored beside the quantizers that are on."
    )
    variants: tuple[Literal["onehot", "segment"], ...] = Field(
        default=(),
        description="Of each quantizer also scored: `onehot`, its codes, which are equal or not; `segment`, its code vectors with "
        "repeats dropped, evenly over the utterance.",
    )
    items: Items = Items()
    scoring: AbxScoring = AbxScoring()
    submission: Submission = Submission()

    def faults(self, lineages: Iterable[str]) -> list[str]:
        """Layers of these lineages that are slower than the slowest one said to be compared."""
        quantized = (layer for lineage in lineages for layer in Lineage.parse(lineage).quantized_layers)
        layers = dict.fromkeys([*self.convolutional_layers, *quantized] if self.splits else [])
        slowest = self.scoring.slowest_layer
        return [
            f"abx.scoring.slowest_layer: {layer} is compared and slower than {slowest}; name the slowest layer"
            for layer in layers
            if layer_position(layer) > layer_position(slowest)
        ]


class Words(Section):
    """Word detection by single codes."""

    split: Name = Field(
        description="Split on which each word's code is chosen and, in the published protocol, also scored."
    )
    held_out_split: Name = Field(description="Split on which the chosen codes are scored again.")
    max_utterances: PositiveInt | None = Field(
        default=20000, description="First so many utterances of the split; null: all. The published value."
    )
    half_window: PositiveFloat = Field(default=0.04, description="Half the window around a frame's centre, in seconds.")
    min_occurrences: PositiveInt = Field(default=1, description="Words spoken less often are left out of the tables.")
    f1_threshold: Probability = Field(default=0.5, description="Words with at least this F1 are counted as detected.")
    precision_threshold: Probability = Field(default=0.35, description="Words with at least this precision are listed.")
    best: PositiveInt = Field(default=250, description="Mean F1 is taken over so many best words.")


class Figures(Section):
    """Figures for a paper, made by the target `figures`. See docs/figures.md."""

    formats: tuple[Literal["pdf", "svg", "png"], ...] = Field(
        default=("pdf",), min_length=1, description="What every figure is written as."
    )
    utterances: tuple[str, ...] = Field(
        default=(),
        description="Ids of utterances of `words.held_out_split` that are drawn; without any, the first with aligned words.",
    )
    keywords: tuple[Annotated[str, Field(pattern=r"^[^\s/{}]+$")], ...] = Field(
        default=(), description="Words of `words.held_out_split`: the places where each is spoken are drawn."
    )
    places: PositiveInt = Field(default=8, description="Of each keyword, drawn at most.")


class Report(Section):
    """The page that a person looks at."""

    utterances: PositiveInt = Field(
        default=200,
        description="Of `words.held_out_split`, with sound and picture; the others can be searched by their text.",
    )
    occurrences: PositiveInt = Field(
        default=50, description="Of each code and word, to be heard and seen at most; all are counted."
    )
    matchmaps: bool = Field(
        default=True, description="Show where in the image, and when, a model finds likeness; writes its maps."
    )
    noise: bool = Field(default=False, description="Whether the report has scores under noise, which are then computed.")
