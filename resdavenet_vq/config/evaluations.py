"""The sections of evaluations and what is shown of them: `retrieval`, `abx`, `words`, `noise`, `report` and `figures`."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated, Any, Literal, Self

from pydantic import Field, model_validator

from resdavenet_vq.config.abx import Abx
from resdavenet_vq.config.section import Count, Level, Name, Positive, Probability, Section, Seed, repeated


class Retrieval(Section):
    """Cross-modal retrieval."""

    split: Name = Field(description="The split whose images and captions are matched.")
    recall_at: tuple[Count, ...] = Field(default=(1, 5, 10), min_length=1, description="The values of k in R@k.")
    similarities: tuple[Literal["pooled", "sisa", "misa", "sima"], ...] = Field(
        default=("pooled",),
        description="The similarities that are scored: always `pooled`, the dot product of the vectors that training "
        "compares; and `sisa`, `misa` and `sima`, scores of the matchmap. See docs/retrieval.md.",
    )

    @model_validator(mode="after")
    def _check(self) -> Self:
        if "pooled" not in self.similarities or repeated(self.similarities):
            raise ValueError("similarities: pooled must be in it, and nothing twice")
        return self

    @property
    def matchmaps(self) -> tuple[str, ...]:
        """The similarities that need every cell and frame."""
        return tuple(similarity for similarity in self.similarities if similarity != "pooled")


class Words(Section):
    """Word detection by single codes."""

    split: Name = Field(
        description="The split on which each word's code is chosen and, in the published protocol, also scored."
    )
    held_out_split: Name = Field(description="The split on which the chosen codes are scored again.")
    max_utterances: Count | None = Field(
        default=20000,
        description="The number of utterances of `words.split` that are used, the first ones; null is all. 20000 is "
        "the published value.",
    )
    half_window: Positive = Field(
        default=0.04, description="Half of the width of the window around a frame's center, in seconds."
    )
    min_occurrences: Count = Field(
        default=1, description="The number of occurrences that a word needs to be in the tables."
    )
    f1_threshold: Probability = Field(default=0.5, description="The F1 that a word needs to count as detected.")
    precision_threshold: Probability = Field(
        default=0.35, description="The precision that a word needs to count as precisely detected."
    )
    best: Count = Field(default=250, description="The number of best words that the mean F1 is taken over.")


GENERATED = ("white", "babble")
"""Kinds of noise that need no files."""


class Noise(Section):
    """Robustness to noise: the target `noise` scores noisy copies of the evaluation splits. See docs/noise.md."""

    kinds: tuple[Name, ...] = Field(
        default=GENERATED,
        min_length=1,
        description="The kinds of noise: `white`; `babble`, the voices of other speakers of the split; and names in "
        "`noise.files`.",
    )
    files: dict[Name, Path] = Field(
        default={},
        description="The recordings of further kinds of noise, by name: a folder of recordings (wav, flac, ogg), or a "
        "text file with one path per line.",
    )
    snr_db: tuple[Level, ...] = Field(
        default=(20.0, 10.0, 0.0),
        min_length=1,
        description="The signal-to-noise ratios over whole utterances, in dB.",
    )
    scores: tuple[Literal["retrieval", "abx", "words"], ...] = Field(
        default=("retrieval", "abx", "words"),
        min_length=1,
        description="The scores that are computed: retrieval on `retrieval.split`, ABX on `abx.splits`, and words on "
        "`words.held_out_split`, detected by codes that were chosen without noise.",
    )
    babble_speakers: Count = Field(
        default=6, description="The number of voices in the babble, each of another speaker."
    )
    seed: Seed = Field(default=0, description="The seed of the noise, together with the utterance's id and the kind.")

    @model_validator(mode="after")
    def _check(self) -> Self:
        kinds = (*GENERATED, *self.files)
        faults = [
            f"noise.kinds: {kind!r} is none of {', '.join(kinds)}; name its recordings in noise.files"
            for kind in self.kinds
            if kind not in kinds
        ]
        faults += [
            f"noise.files.{kind}: is generated, not read; give the recordings another name"
            for kind in self.files
            if kind in GENERATED
        ]
        for key, values in (("kinds", self.kinds), ("snr_db", self.snr_db), ("scores", self.scores)):
            faults += [f"noise.{key}: {value} is listed twice" for value in repeated(values)]
        if faults:
            raise ValueError("\n".join(faults))
        return self


class AddedNoise(Section):
    """What is added to a split: all that one noisy copy depends on, besides the split."""

    kind: Name
    snr_db: Level
    seed: Seed
    babble_speakers: Count | None = None
    files: Path | None = None


class Report(Section):
    """The pages in `results/{corpus}/report`."""

    utterances: Count = Field(
        default=200,
        description="The number of utterances of `words.held_out_split` that have sound and an image in the report. "
        "The text of the others can be searched.",
    )
    occurrences: Count = Field(
        default=50,
        description="The largest number of occurrences of a code or word that can be heard and seen. All are counted.",
    )
    matchmaps: bool = Field(
        default=True, description="Whether the report shows where in an image, and when, a model finds likeness."
    )
    noise: bool = Field(
        default=False, description="Whether the report shows scores under noise, and so needs the target `noise`."
    )


class Figures(Section):
    """Figures for a paper, which the target `figures` draws. See docs/figures.md."""

    formats: tuple[Literal["pdf", "svg", "png"], ...] = Field(
        default=("pdf",), min_length=1, description="The file formats of every figure."
    )
    utterances: tuple[str, ...] = Field(
        default=(),
        description="The ids of utterances of `words.held_out_split` that are drawn. Without any, the first one with "
        "aligned words is drawn.",
    )
    keywords: tuple[Annotated[str, Field(min_length=1)], ...] = Field(
        default=(), description="Words of `words.held_out_split` whose occurrences are drawn."
    )
    places: Count = Field(default=8, description="The largest number of occurrences that is drawn per keyword.")


def _or_null(schema: dict[str, Any]) -> None:
    """Adds null, which `config.read` takes for no splits, to the JSON schema of a section."""
    schema["anyOf"] = [{"$ref": schema.pop("$ref")}, {"type": "null"}]


class Evaluations(Section):
    """What is computed from the models, in the order of `config.yaml`: a section for each evaluation.

    An evaluation whose section is missing or null is not made.
    """

    retrieval: Retrieval | None = None
    abx: Annotated[Abx, Field(json_schema_extra=_or_null)] = Abx()
    words: Words | None = None
    noise: Noise = Noise()
    report: Report | None = Report()
    figures: Figures = Figures()
