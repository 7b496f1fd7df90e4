"""The plan of a run: which files a configuration asks for, and which values each command gets.

The rules ask here; nothing here touches the disk or imports anything heavy. A rule hands a command only the
values that its result depends on, as JSON, so that a changed value re-runs exactly what depends on it.
"""

from __future__ import annotations

import json
from collections.abc import Iterable
from dataclasses import dataclass
from functools import cached_property
from pathlib import PurePosixPath

from resdavenet_vq.config import Config, Section, SpokenScenes
from resdavenet_vq.stage import Lineage, frame_stride

FRAME_PERIOD = 0.01
"""Seconds between feature frames."""

BASELINE = "baseline"
"""Stands in a lineage's place in the paths of scores of the raw log-mel features."""


@dataclass(frozen=True)
class Plan:
    """Paths and parameters of every result of a configuration. Paths are relative to the working directory."""

    config: Config

    @cached_property
    def root(self) -> PurePosixPath:
        """Everything made from the corpus."""
        return PurePosixPath("results") / self.config.corpus.name

    @cached_property
    def lineages(self) -> tuple[Lineage, ...]:
        """Lineages to evaluate, in the order of the configuration."""
        return tuple(dict.fromkeys(Lineage.parse(text) for text in self.config.lineages))

    # -- the corpus ---------------------------------------------------------------------------------------

    def manifest(self, split: str) -> str:
        """The file that lists a split's utterances."""
        if isinstance(self.config.corpus, SpokenScenes):
            return str(self.root / f"corpus/{split}.json")
        return str(self.config.corpus.metadata[split])

    def items(self, split: str) -> str:
        """The ABX item file of a split."""
        if isinstance(self.config.corpus, SpokenScenes):
            return str(self.root / f"corpus/{split}.item")
        return str(self.config.corpus.items[split])

    def corpus_of(self, split: str) -> str:
        """What decides one split of the demo corpus."""
        corpus = self.config.corpus
        if not isinstance(corpus, SpokenScenes):
            raise TypeError(f"the corpus {corpus.name} is not made here")
        own = {field: {k: v for k, v in getattr(corpus, field).items() if k == split} for field in ("pairs", "word_lists")}
        return as_json(corpus.model_copy(update=own))

    def import_options(self) -> str:
        """How the corpus's own files are read."""
        return as_json(self.config.corpus, "layout", "audio_base_path", "image_base_path")

    def notation(self, folder: str) -> str:
        """How a lineage's folder, or the baseline's, is written in tables."""
        return "raw log-mel" if folder == BASELINE else str(Lineage.from_folder(folder))

    # -- models -------------------------------------------------------------------------------------------

    def model(self, lineage: Lineage) -> str:
        """The model card of a lineage, which stands for its whole folder."""
        return str(self.root / lineage.folder / "model/model.json")

    def parent(self, folder: str) -> list[str]:
        """The model that a lineage starts from: one, or none for a first stage."""
        parent = Lineage.from_folder(folder).parent
        return [self.model(parent)] if parent else []

    def training(self, folder: str) -> str:
        """What decides a training beside its data, its parent and its code."""
        settings = self.config.training.of(str(Lineage.from_folder(folder)))
        return as_json(settings, exclude=("workers", "gpus"))

    def training_recipe(self) -> str:
        """The switches that matter to training."""
        return as_json(self.config.recipe, "jitter", "semi_hard", "pad_value")

    # -- evaluations --------------------------------------------------------------------------------------

    def abx_layers(self, lineage: Lineage) -> tuple[str, ...]:
        """Layers whose ABX error is asked for: the chosen convolutional ones and every quantizer that is on."""
        return (*self.config.abx.convolutional_layers, *lineage.quantized_layers)

    @cached_property
    def slowest_abx_period(self) -> float:
        """Frame period of the slowest layer compared, in seconds: shorter items are dropped alike for all layers."""
        layers = {layer for lineage in self.lineages for layer in self.abx_layers(lineage)}
        return FRAME_PERIOD * max((frame_stride(layer) for layer in layers), default=1)

    def code_limit(self, split: str) -> int:
        """How many utterances of a split are encoded to codes; 0 for all."""
        return self.config.words.max_utterances or 0 if split == self.config.words.split else 0

    # -- targets ------------------------------------------------------------------------------------------

    @cached_property
    def models(self) -> list[str]:
        """Every model asked for."""
        return [self.model(lineage) for lineage in self.lineages]

    @cached_property
    def retrieval(self) -> list[str]:
        """Every retrieval score."""
        return [str(self.root / lineage.folder / "retrieval.json") for lineage in self.lineages]

    @cached_property
    def abx(self) -> list[str]:
        """Every ABX score, that of the raw log-mel features first."""
        scored = [(BASELINE, "logmel")] + [(lineage.folder, layer) for lineage in self.lineages for layer in self.abx_layers(lineage)]
        return [str(self.root / folder / f"abx/{split}/{layer}.json") for split in self.config.abx.splits for folder, layer in scored]

    @cached_property
    def submissions(self) -> list[str]:
        """A ZeroSpeech submission for every quantizer that is on."""
        return [
            str(self.root / lineage.folder / f"abx/{split}/{layer}.zip")
            for split in self.config.abx.splits
            for lineage in self.lineages
            for layer in lineage.quantized_layers
        ]

    @cached_property
    def words(self) -> list[str]:
        """The summary of every word detection."""
        return [str(self.root / lineage.folder / f"words/{layer}/summary.json") for lineage in self.lineages for layer in lineage.quantized_layers]

    @cached_property
    def shown_codes(self) -> list[str]:
        """Codes that the report draws above its utterances."""
        return [str(self.root / lineage.folder / f"codes/{self.config.words.held_out_split}.h5") for lineage in self.lineages if lineage.quantizers]


def as_json(section: Section, *keys: str, exclude: Iterable[str] = ()) -> str:
    """A section, or some of its keys where it has them, as the JSON text that a command takes."""
    values = section.model_dump(mode="json", include=set(keys) if keys else None, exclude=set(exclude))
    return json.dumps(values, sort_keys=True)
