"""The schema of `config.yaml`: every key, its type, its bounds and what it means.

Values live in YAML; here are types, bounds and descriptions, and the defaults of what most
people never change (always the published value). Unknown keys, missing keys and wrong types
are errors with their dotted name; `read` gathers all of them in one `InputError`.
"""

from __future__ import annotations

import json
from collections.abc import Iterable, Mapping
from pathlib import Path
from typing import Annotated, Any, Literal

from pydantic import BeforeValidator, Field, ValidationError, model_validator

from resdavenet_vq.config.corpora import (
    Corpus,
    Flickr8k,
    ImportedCorpus,
    PlacesAudio,
    SpokenCoco,
    SpokenScenes,
    read_corpus,
)
from resdavenet_vq.config.evaluations import (
    SUBMISSION_KEYS,
    Abx,
    AbxScoring,
    Figures,
    Items,
    Report,
    Retrieval,
    Submission,
    Words,
)
from resdavenet_vq.config.model import IMAGENET, RANDOM, AudioModel, ImageModel, Model, QuantizerModel
from resdavenet_vq.config.noise import AddedNoise, Noise
from resdavenet_vq.config.recipe import RECIPES, TRAINING_SWITCHES, Recipe
from resdavenet_vq.config.section import Layer, LineageText, Name, Probability, Section, nearest, problems
from resdavenet_vq.config.training import UNCUT, Compute, Preparation, Training, TrainingOverride
from resdavenet_vq.errors import InputError
from resdavenet_vq.lineage import Lineage

__all__ = [
    "IMAGENET",
    "RANDOM",
    "RECIPES",
    "SUBMISSION_KEYS",
    "TRAINING_SWITCHES",
    "UNCUT",
    "Abx",
    "AbxScoring",
    "AddedNoise",
    "AudioModel",
    "Compute",
    "Config",
    "Corpus",
    "Figures",
    "Flickr8k",
    "ImageModel",
    "ImportedCorpus",
    "Items",
    "Layer",
    "LineageText",
    "Model",
    "Name",
    "Noise",
    "PlacesAudio",
    "Preparation",
    "Probability",
    "QuantizerModel",
    "Recipe",
    "Report",
    "Retrieval",
    "Section",
    "SpokenCoco",
    "SpokenScenes",
    "Submission",
    "Training",
    "TrainingOverride",
    "Words",
    "read",
    "read_corpus",
]


class Config(Section):
    """Everything that a run needs."""

    corpus: Corpus
    lineages: tuple[LineageText, ...] = Field(
        min_length=1, description="The models to train and evaluate, oldest stage first; parents come by themselves."
    )
    released: dict[LineageText, Path] = Field(
        default={},
        description="Lineages that are imported instead of trained, and where from: an archive of the 2020 release, "
        "or the folder of an experiment in its form. See docs/released_models.md.",
    )
    seeds: tuple[Annotated[int, Field(ge=0)], ...] = Field(
        default=(),
        description="Each lineage is trained and evaluated with each of these, in place of `training.seed` alone; results then have a mean and "
        "a spread. See docs/many_models.md.",
    )
    recipe: Annotated[
        Recipe, BeforeValidator(lambda given: given, json_schema_input_type=Literal["published", "corrected"] | Recipe)
    ] = Recipe()
    preparation: Preparation = Preparation()
    model: Model
    training: Training
    retrieval: Retrieval
    abx: Abx = Abx()
    words: Words
    noise: Noise = Noise()
    report: Report = Report()
    figures: Figures = Figures()

    @model_validator(mode="after")
    def _splits_exist(self) -> Config:
        known = self.corpus.splits
        wanted = {
            "training.split": [self.training.split],
            "training.validation_split": [self.training.validation_split],
            "retrieval.split": [self.retrieval.split],
            "abx.splits": self.abx.splits,
            "words.split": [self.words.split],
            "words.held_out_split": [self.words.held_out_split],
        }
        wanted["preparation.parts"] = tuple(self.preparation.parts)
        if isinstance(self.corpus, ImportedCorpus):
            of_splits = ("items", "alignments", "release_hdf5")
            wanted |= {f"corpus.{key}": tuple(getattr(self.corpus, key)) for key in of_splits}
        faults = [
            f"{key}: the corpus has no split {split!r}; {nearest(split, known)}"
            for key, splits in wanted.items()
            for split in splits
            if split not in known
        ]
        if self.preparation.reader == "release_2020":
            used = {
                split
                for key, splits in wanted.items()
                if not key.startswith(("corpus.", "preparation."))
                for split in splits
                if split in known
            }
            named = getattr(self.corpus, "release_hdf5", {})
            faults += [
                f"corpus.release_hdf5.{split}: missing; preparation.reader release_2020 needs it"
                for split in sorted(used - set(named))
            ]
        faults += _lineage_faults("lineages", (*self.lineages, *self.training.overrides)) + _lineage_faults(
            "released", self.released, once=True
        )
        faults += [
            f"seeds: {seed} stands in it twice" for seed in sorted(set(self.seeds)) if self.seeds.count(seed) > 1
        ]
        faults += self.noise.faults()
        faults += [] if faults else self.abx.faults(self.lineages)
        if faults:
            raise ValueError("\n".join(faults))
        return self


def _lineage_faults(key: str, notations: Iterable[str], *, once: bool = False) -> list[str]:
    """What is wrong with lineages in a key of the configuration, in which each may stand several times or once."""
    faults, seen = [], set()
    for notation in notations:
        try:
            lineage = Lineage.parse(notation)
        except ValueError as e:
            faults.append(f"{key}: {e}")
            continue
        if once and lineage in seen:
            faults.append(f"{key}: {lineage} stands in it twice")
        seen.add(lineage)
    return faults


def read(values: Mapping[str, Any]) -> Config:
    """The checked configuration. Raises InputError with one line for every fault."""
    try:
        return Config.model_validate_json(json.dumps(values, default=str))
    except ValidationError as e:
        raise InputError("The configuration has faults.\n" + "\n".join(problems(Config, e, values))) from None
