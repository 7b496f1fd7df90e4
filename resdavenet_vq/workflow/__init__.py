"""The plan of a run: which files a configuration asks for, and which values each command gets.

The rules ask here; nothing here reads a file or imports anything heavy. A rule hands a command only the
values that its result depends on, as JSON, so that a changed value re-runs exactly what depends on it.
"""

from __future__ import annotations

import json
from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from functools import cached_property
from pathlib import Path
from typing import Any

from resdavenet_vq.config import TRAINING_SWITCHES, UNCUT, Config, Flickr8k, PlacesAudio, Section, SpokenCoco, SpokenScenes
from resdavenet_vq.stage import FOLDER_PATTERN, Lineage, frame_stride

FRAME_PERIOD = 0.01
"""Seconds between feature frames."""

BASELINE = "baseline"
"""Stands in a lineage's place in the paths of scores of the raw log-mel features."""


@dataclass(frozen=True)
class Plan:
    """Paths and parameters of every result of a configuration. Paths are relative to the working directory."""

    config: Config

    @cached_property
    def root(self) -> Path:
        """Everything made from the corpus."""
        return Path("results") / self.config.corpus.name

    @cached_property
    def lineages(self) -> tuple[Lineage, ...]:
        """Lineages to evaluate, in the order of the configuration."""
        return tuple(dict.fromkeys(Lineage.parse(text) for text in self.config.lineages))

    # -- the corpus ---------------------------------------------------------------------------------------

    def corpus_files(self, split: str) -> list[str]:
        """The files that list a split's utterances, aligned words included."""
        corpus = self._read_as(split)
        return [str(path) for path in (*corpus.files(split), *corpus.alignments.values(), *corpus.release_hdf5.values())]

    def import_options(self, split: str) -> str:
        """What decides how a split is read: the section of an imported corpus with nothing but this split's."""
        return as_json(self._read_as(split))

    def import_code(self, split: str) -> tuple[str, ...]:
        """The modules that read a split."""
        corpus = self._read_as(split)
        return (f"corpus.{corpus.layout}", *(["corpus.alignments"] if corpus.alignments else []))

    def _read_as(self, split: str) -> PlacesAudio | SpokenCoco | Flickr8k:
        """The demo corpus is written in the layout of Places Audio."""
        corpus = self.config.corpus
        if isinstance(corpus, SpokenScenes):
            return PlacesAudio(layout="places", name=corpus.name, metadata={split: self.root / f"corpus/{split}.json"})
        read_as = corpus.of(split)
        return read_as if self.config.preparation.reader == "release_2020" else read_as.model_copy(update={"release_hdf5": {}})

    def items(self, split: str) -> str:
        """The ABX item file of a split."""
        if isinstance(self.config.corpus, SpokenScenes):
            return str(self.root / f"corpus/{split}.item")
        return str(self.config.corpus.items[split])

    def corpus_of(self, split: str) -> str:
        """What decides one split of the demo corpus: of other splits only which pairs stand before it, not how many."""
        corpus = self.config.corpus
        if not isinstance(corpus, SpokenScenes):
            raise TypeError(f"the corpus {corpus.name} is not made here")
        if split in corpus.pairs:
            names = list(corpus.pairs)
            own = {"pairs": dict.fromkeys(names[: names.index(split)], 1) | {split: corpus.pairs[split]}, "word_lists": {}}
        else:
            own = {"pairs": {}, "word_lists": {split: corpus.word_lists[split]}}
        return as_json(corpus.model_copy(update=own))

    def preparation(self, split: str) -> str:
        """How a split is prepared. One that only ABX uses keeps its utterances whole: the cut belongs to training and retrieval."""
        settings = self.config.preparation
        training, words = self.config.training, self.config.words
        cut = {training.split, training.validation_split, self.config.retrieval.split, words.split, words.held_out_split}
        return as_json(settings if split in cut else settings.model_copy(update={"max_frames": UNCUT}))

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

    @cached_property
    def released(self) -> dict[str, Path]:
        """Where lineages, by their folders, are imported from instead of being trained."""
        return {Lineage.parse(notation).folder: path for notation, path in self.config.released.items()}

    def released_files(self, folder: str) -> list[str]:
        """The files that an imported model is made of: an archive, or those that matter in an experiment's folder."""
        path = self.released[folder]
        found = sorted(file for pattern in ("*.pkl", "models/best_*.pth") for file in path.glob(pattern))
        return [str(file) for file in found or [path]]

    @cached_property
    def released_pattern(self) -> str:
        """A regular expression for the folders of imported lineages."""
        return "|".join(self.released) or "(?!)"

    @cached_property
    def trained_pattern(self) -> str:
        """A regular expression for the folders of all other lineages, where a slash follows."""
        return rf"(?!(?:{self.released_pattern})/){FOLDER_PATTERN}"

    def image_weights(self, folder: str) -> list[str]:
        """The local file that a first stage's image network starts from, if there is one."""
        file = self.config.model.image.weights_file
        return [str(file)] if file and Lineage.from_folder(folder).parent is None else []

    def training(self, folder: str) -> str:
        """What decides a training beside its data, its parent and its code."""
        settings = self.config.training.of(str(Lineage.from_folder(folder)))
        return as_json(settings, exclude=("workers", "threads", "gpus"))

    def training_recipe(self, folder: str) -> str:
        """The switches that matter to a training: those of codebooks only where it has some, or new ones."""
        lineage = Lineage.from_folder(folder)
        started = set(lineage.quantizers) - set(lineage.parent.quantizers) if lineage.parent else set()
        without = {"dead_codes": not lineage.quantizers, "new_codebooks": not started}
        return as_json(self.config.recipe, *(switch for switch in TRAINING_SWITCHES if not without.get(switch)))

    def encoding_recipe(self) -> str:
        """The switches that matter to codes and embeddings: the value of padding only where there is some."""
        recipe = self.config.recipe
        return as_json(recipe, "context", *(["pad_value"] if recipe.context == "padded" else []))

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
        return [
            str(self.root / lineage.folder / f"words/{layer}/summary.json")
            for lineage in self.lineages
            for layer in lineage.quantized_layers
        ]

    @cached_property
    def shown_codes(self) -> list[str]:
        """Codes that the report draws above its utterances."""
        return [
            str(self.root / lineage.folder / f"codes/{self.config.words.held_out_split}.h5")
            for lineage in self.lineages
            if lineage.quantizers
        ]


def launcher(resources: Mapping[str, Any]) -> str:
    """What starts a training's processes, from the resources that its job was granted.

    One process for a CPU or a GPU, torchrun for several GPUs of one machine. With `mpi` (`srun`), which needs `nodes` and
    `tasks_per_node`, the cluster starts a process for each GPU of each node, and ends all when one fails.
    """
    gpus = resources.get("gpu", 0)
    if mpi := resources.get("mpi"):
        shape = f"--nodes {resources['nodes']} --ntasks-per-node {resources['tasks_per_node']}"
        return f"{mpi} --kill-on-bad-exit=1 {shape} python"
    return f"torchrun --standalone --nproc-per-node {gpus}" if gpus > 1 else "python"


def as_json(section: Section, *keys: str, exclude: Iterable[str] = ()) -> str:
    """A section, or some of its keys where it has them, as the JSON text that a command takes."""
    values = section.model_dump(mode="json", include=set(keys) if keys else None, exclude=set(exclude))
    return json.dumps(values)  # the order of keys may mean something
