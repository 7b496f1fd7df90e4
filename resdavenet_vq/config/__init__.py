"""The schema of `config.yaml`: every key, its type, its bounds and what it means.

Values are in YAML; here are types, bounds and descriptions, and the defaults of what most people never change (always
the published value). Unknown keys, missing keys and wrong types are errors with their dotted name; `read` collects all
of them in one `InputError`. Nothing here computes or reads a file: these modules hold values alone, which reach
commands as parameters, so that no result depends on their code.
"""

from __future__ import annotations

import json
from collections.abc import Iterable, Mapping
from pathlib import Path
from typing import Annotated, Any, Literal, Self

from pydantic import BeforeValidator, Field, ValidationError, model_validator

from resdavenet_vq.config.abx import (
    ITEM_KEYS,
    ITEMS_OF,
    SUBMISSION_KEYS,
    Abx,
    AbxScoring,
    Condition,
    Items,
    Submission,
)
from resdavenet_vq.config.corpora import (
    Corpus,
    Flickr8k,
    ImportedCorpus,
    PlacesAudio,
    SpokenCoco,
    SpokenScenes,
    read_corpus,
)
from resdavenet_vq.config.evaluations import AddedNoise, Evaluations, Figures, Noise, Report, Retrieval, Words
from resdavenet_vq.config.faults import faults_of, nearest
from resdavenet_vq.config.layers import base_of, overlay
from resdavenet_vq.config.model import IMAGENET, RANDOM, AudioModel, ImageModel, Model, QuantizerModel
from resdavenet_vq.config.recipe import RECIPES, TRAINING_SWITCHES, Recipe
from resdavenet_vq.config.references import Baselines, External
from resdavenet_vq.config.section import Layer, LineageText, Name, Section, Seed, repeated
from resdavenet_vq.config.training import UNCUT, Compute, Preparation, Training, TrainingOverride
from resdavenet_vq.config.values import control_characters, keys_that_are_no_text, leaves
from resdavenet_vq.errors import InputError
from resdavenet_vq.lineage import Lineage, layer_position
from resdavenet_vq.system import NOTATIONS

__all__ = [
    "IMAGENET",
    "ITEMS_OF",
    "ITEM_KEYS",
    "RANDOM",
    "RECIPES",
    "SUBMISSION_KEYS",
    "TRAINING_SWITCHES",
    "UNCUT",
    "Abx",
    "AbxScoring",
    "AddedNoise",
    "AudioModel",
    "Baselines",
    "Compute",
    "Condition",
    "Config",
    "Corpus",
    "External",
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
    "base_of",
    "overlay",
    "read",
    "read_corpus",
]


class Models(Section):
    """The models of a run, and what they are made from."""

    corpus: Corpus
    lineages: tuple[LineageText, ...] = Field(
        description="The models to train and evaluate, oldest stage first. Their parents are trained, too. With `[]` there are "
        "baselines and `external` units alone, and nothing is trained.",
    )
    released: dict[LineageText, Path] = Field(
        default={},
        description="The lineages that are imported instead of trained, and their source: an archive of the 2020 "
        "release, or the folder of an experiment in its form. See docs/released_models.md.",
    )
    seeds: tuple[Seed, ...] = Field(
        default=(),
        description="The seeds that each lineage is trained and evaluated with, instead of `training.seed` alone; "
        "scores then have a mean and a spread. See docs/many_models.md.",
    )
    recipe: Annotated[
        Recipe, BeforeValidator(lambda value: value, json_schema_input_type=Literal["published", "corrected"] | Recipe)
    ] = Recipe()
    model: Model
    preparation: Preparation = Preparation()
    training: Training
    baselines: Baselines = Baselines()
    external: dict[Name, External] = Field(
        default={}, description="Units or features that were made elsewhere, by the names that tables give them."
    )


class Config(Evaluations, Models):  # pydantic lists the fields of the last class first
    """Everything that a run needs."""

    @model_validator(mode="after")
    def _check(self) -> Self:
        faults = [
            *self._path_faults(),
            *self._split_faults(),
            *_lineage_faults("lineages", self.lineages),
            *_lineage_faults("released", self.released, unique=True),
            *self._override_faults(),
            *self._reference_faults(),
            *(f"seeds: {seed} is listed twice" for seed in sorted(repeated(self.seeds))),
        ]
        faults = faults or self._layer_faults()
        if faults:
            raise ValueError("\n".join(faults))
        return self

    @property
    def _stages(self) -> list[str]:
        """The lineages and their ancestors."""
        stages = [Lineage.parse(text) for text in self.lineages if not _lineage_faults("", [text])]
        for stage in stages:
            stages += [stage.parent] if stage.parent and stage.parent not in stages else []
        return [str(stage) for stage in dict.fromkeys(stages)]

    @property
    def _is_trained(self) -> bool:
        """Whether there is a lineage that is not imported."""
        released = {str(Lineage.parse(text)) for text in self.released if not _lineage_faults("", [text])}
        return not released.issuperset(self._stages[: len(self.lineages)])

    def _override_faults(self) -> list[str]:
        """Settings for single trainings that nothing asks for."""
        if faults := _lineage_faults("training.overrides", self.training.overrides):
            return faults
        return [
            f"training.overrides.{text}: is none of the lineages, nor an ancestor; {nearest(text, self._stages)}"
            for text in self.training.overrides
            if str(Lineage.parse(text)) not in self._stages and text not in self.released
        ]

    def _reference_faults(self) -> list[str]:
        """Clustered models that are no lineage's stage, external names that baselines have, splits that there are not."""
        names = self._stages
        faults = _lineage_faults("baselines.kmeans_of", self.baselines.kmeans_of or ())
        if not faults:
            faults = [
                f"baselines.kmeans_of: {text} is none of the lineages; {nearest(text, names)}"
                for text in self.baselines.kmeans_of or ()
                if str(Lineage.parse(text)) not in names
            ]
        faults += [
            f"external.{name}: is what tables call a baseline; choose another name"
            for name in self.external
            if name in NOTATIONS.values()
        ]
        return faults + [
            f"external.{name}.files: the corpus has no split {split!r}; {nearest(split, self.corpus.splits)}"
            for name, units in self.external.items()
            for split in units.files
            if split not in self.corpus.splits
        ]

    def _path_faults(self) -> list[str]:
        """Paths that Snakemake, to which `{x}` is a wildcard, cannot have as inputs."""
        paths = {**dict(leaves(self.model_dump())), "model.image.weights": self.model.image.weights_file}
        return [
            f"{key}: {str(path)!r} has braces, which Snakemake takes for a wildcard; give the file or a link to it another name"
            for key, path in paths.items()
            if isinstance(path, Path) and {"{", "}"} & set(str(path))
        ]

    def _layer_faults(self) -> list[str]:
        """Layers that ABX compares although they are slower than `abx.scoring.slowest_layer`."""
        slowest = self.abx.scoring.slowest_layer
        quantized = (layer for lineage in self.lineages for layer in Lineage.parse(lineage).quantized_layers)
        return [
            f"abx.scoring.slowest_layer: {layer} is compared and slower than {slowest}; name the slowest layer"
            for layer in dict.fromkeys((*self.abx.convolutional_layers, *quantized) if self.abx.splits else ())
            if layer_position(layer) > layer_position(slowest)
        ]

    def _split_faults(self) -> list[str]:
        """Splits that the corpus does not have, and those whose HDF5 files are missing for `release_2020`."""
        splits, training, baselines = self.corpus.splits, self.training, self.baselines
        is_trained = self._is_trained
        is_read = is_trained or (baselines.kmeans and bool(self.lineages)) or baselines.untrained
        uses = {
            "training.split": (training.split,) if is_read else (),
            "training.validation_split": (training.validation_split,) if is_trained else (),
            "retrieval.split": (self.retrieval.split,) if self.retrieval else (),
            "abx.splits": self.abx.splits,
            "words.split": (self.words.split,) if self.words else (),
            "words.held_out_split": (self.words.held_out_split,) if self.words else (),
        }
        names = uses | {"preparation.parts": tuple(self.preparation.parts)}
        if isinstance(self.corpus, ImportedCorpus):
            keys = ("items", "alignments", "release_hdf5")
            names |= {f"corpus.{key}": tuple(getattr(self.corpus, key)) for key in keys}
            names["corpus.items"] = tuple(self.corpus.split_of_items(key) for key in self.corpus.items)
        faults = [
            f"{key}: the corpus has no split {split!r}; {nearest(split, splits)}"
            for key, named in names.items()
            for split in named
            if split not in splits
        ]
        if is_trained and isinstance(self.corpus, SpokenScenes):
            faults += [
                f"{key}: {split!r} is a list of words without images, and models learn from pairs; {nearest('', self.corpus.pairs)}"
                for key in ("training.split", "training.validation_split")
                for split in uses[key]
                if split in self.corpus.word_lists
            ]
        faults += [
            f"abx.conditions: the items of {of}s of {split!r} are called as the split {name!r}; give that another name"
            for split in self.abx.splits
            for of in dict.fromkeys(map(ITEMS_OF.__getitem__, self.abx.conditions))
            if (name := f"{split}.{of}") in splits and of != "triphone"
        ]
        if self.preparation.reader == "release_2020":
            files = getattr(self.corpus, "release_hdf5", {})
            faults += [
                f"corpus.release_hdf5.{split}: missing; preparation.reader release_2020 needs it"
                for split in sorted({split for named in uses.values() for split in named})
                if split in splits and split not in files
            ]
        return faults


def _lineage_faults(key: str, notations: Iterable[str], *, unique: bool = False) -> list[str]:
    """The faults of lineages in a key of the configuration, which may list each several times or once."""
    faults, lineages = [], []
    for notation in notations:
        try:
            lineages.append(Lineage.parse(notation))
        except ValueError as e:
            faults.append(f"{key}: {e}")
    return [*faults, *(f"{key}: {lineage} is listed twice" for lineage in repeated(lineages) if unique)]


def read(values: Mapping[str, Any]) -> Config:
    """The checked configuration. Raises InputError with one line for every fault."""
    if faults := [*keys_that_are_no_text(values), *control_characters(values)]:
        raise InputError("The configuration has faults.\n" + "\n".join(faults))
    values = {key: value for key, value in values.items() if (key, value) != ("abx", None)}  # no splits are scored
    try:
        text = json.dumps(values, default=str)
    except (ValueError, RecursionError):  # Python writes no number of thousands of digits
        raise InputError(
            "The configuration has faults.\na number of thousands of digits, or values nested too deeply"
        ) from None
    try:
        return Config.model_validate_json(text)
    except ValidationError as e:
        raise InputError("The configuration has faults.\n" + "\n".join(faults_of(Config, e, values))) from None
