"""The section `noise`: noisy copies of the evaluation splits, scored as those are."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated, Literal

from pydantic import Field, PositiveInt

from resdavenet_vq.config.section import Name, Section

MADE = ("white", "babble")
"""Kinds of noise that need no files."""


class Noise(Section):
    """Robustness to noise: the target `noise` scores noisy copies of the evaluation splits. See docs/noise.md."""

    kinds: tuple[Name, ...] = Field(
        default=MADE,
        min_length=1,
        description="`white`; `babble`, the voices of other speakers of the split; and names of `files`.",
    )
    files: dict[Name, Path] = Field(
        default={},
        description="Further kinds: a folder of recordings (wav, flac, ogg), or a text file with the path of one on each line.",
    )
    snr_db: tuple[Annotated[float, Field(ge=-60, le=100)], ...] = Field(
        default=(20.0, 10.0, 0.0), min_length=1, description="Signal-to-noise ratios over whole utterances, in dB."
    )
    scores: tuple[Literal["retrieval", "abx", "words"], ...] = Field(
        default=("retrieval", "abx", "words"),
        min_length=1,
        description="What is scored: retrieval on `retrieval.split`, ABX on `abx.splits`, and on `words.held_out_split` the words "
        "detected by codes that were chosen without noise.",
    )
    babble_speakers: PositiveInt = Field(default=6, description="Voices in the babble, each of another speaker.")
    seed: int = Field(default=0, ge=0, description="Of the noise, together with the utterance's id and the kind.")

    def faults(self) -> list[str]:
        """What is wrong beside types."""
        known = (*MADE, *self.files)
        faults = [
            f"noise.kinds: {kind!r} is none of {', '.join(known)}; name its recordings in noise.files"
            for kind in self.kinds
            if kind not in known
        ]
        faults += [
            f"noise.files.{kind}: is made, not read; give the recordings another name"
            for kind in self.files
            if kind in MADE
        ]
        for key, values in (("kinds", self.kinds), ("snr_db", self.snr_db), ("scores", self.scores)):
            faults += [
                f"noise.{key}: {value} stands in it twice" for value in dict.fromkeys(values) if values.count(value) > 1
            ]
        return faults


class AddedNoise(Section):
    """What is added to a split: all that one noisy copy depends on, beside the split."""

    kind: Name
    snr_db: float
    seed: int
    babble_speakers: PositiveInt | None = None
    files: Path | None = None
