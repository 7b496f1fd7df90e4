"""The plan of a run: which files a configuration asks for, and which values each command gets.

The rules ask here; nothing here reads a file or imports anything heavy. A rule hands a command only the
values that its result depends on, as JSON, so that a changed value re-runs exactly what depends on it.
"""

from __future__ import annotations

import json
import re
from collections.abc import Iterable, Iterator
from dataclasses import dataclass
from functools import cached_property
from pathlib import Path

from resdavenet_vq import config as schema
from resdavenet_vq.config import Config
from resdavenet_vq.config.section import as_json
from resdavenet_vq.errors import InputError
from resdavenet_vq.lineage import Lineage
from resdavenet_vq.system import RAW, UNTRAINED, System
from resdavenet_vq.workflow.references import References
from resdavenet_vq.workflow.splits import Splits
from resdavenet_vq.workflow.trainings import Trainings

ITEMS_PATTERN = r"|\.(?:phoneme|word|syllable)"
"""What is between the split and `.item` in the name of an item file: nothing for triphones."""


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
        """Lineages to evaluate, in the order of the configuration; each once for every seed, imported ones once."""
        lineages = dict.fromkeys(Lineage.parse(text) for text in self.config.lineages)
        return tuple(lineage.with_seed(seed) for lineage in lineages for seed in self._folder_seeds(lineage))

    def _folder_seeds(self, lineage: Lineage) -> list[int | None]:
        """The seeds in the names of a lineage's folders; a folder without a seed has `training.seed`."""
        if lineage.folder in self.trainings.released:
            return [None]
        return [
            None if seed == self.config.training.seed else seed
            for seed in self.config.seeds or (self.config.training.seed,)
        ]

    @cached_property
    def examples(self) -> tuple[Lineage, ...]:
        """The models that the report shows examples of: each lineage with `training.seed`, or else its first seed."""
        examples: dict[str, Lineage] = {}
        for lineage in self.lineages:
            if lineage.seed is None or str(lineage) not in examples:
                examples[str(lineage)] = lineage
        return tuple(examples.values())

    @cached_property
    def seeds(self) -> str:
        """The seed of every trained lineage by its folder, as JSON; imported models have no known seed."""
        trained = (lineage for lineage in self.lineages if lineage.folder not in self.trainings.released)
        return json.dumps(
            {lineage.folder: self.config.training.seed if lineage.seed is None else lineage.seed for lineage in trained}
        )

    @cached_property
    def splits(self) -> Splits:
        """The splits of the corpus: their files, items and stores."""
        return Splits(self.config, self.root)

    # -- models -------------------------------------------------------------------------------------------

    def path(self, system: System, name: str) -> str:
        """The path of a system's result."""
        return str(self.root / system.folder / name)

    def model(self, lineage: Lineage) -> str:
        """The model card of a lineage; it contains the digest of the weights beside it."""
        return self.path(lineage, "model/model.json")

    @cached_property
    def trainings(self) -> Trainings:
        """What each model starts from, and what decides its training."""
        return Trainings(self.config, self.model, self.splits.digests)

    @cached_property
    def trained(self) -> dict[str, Lineage]:
        """The lineages that are trained, ancestors included, by their folders; parents come first."""
        trained: dict[str, Lineage] = {}
        for lineage in self.lineages:
            chain: list[Lineage] = []
            ancestor: Lineage | None = lineage
            while ancestor and ancestor.folder not in self.trainings.released:
                chain.insert(0, ancestor)
                ancestor = self.trainings.parent(ancestor.folder)
            trained |= {stage.folder: stage for stage in chain}
        return trained

    def encoding_recipe(self, split: str) -> str:
        """The switches that matter to codes and embeddings of a split: the value of padding only where there is some.

        A split that is not cut has no length to pad to, and its codes are those that ABX scores.
        """
        recipe = self.config.recipe
        if not self.splits.is_cut(split):
            recipe = recipe.model_copy(update={"context": "cropped"})
        return as_json(recipe, "context", *(["pad_value"] if recipe.context == "padded" else []))

    # -- systems ------------------------------------------------------------------------------------------

    @cached_property
    def references(self) -> References:
        """Baselines, and what was made elsewhere."""
        return References(self.config, self.root, self.examples, self.trainings.parent, self.splits.digests)

    @cached_property
    def systems(self) -> tuple[System, ...]:
        """Everything that is evaluated: baselines, models, then what was made elsewhere."""
        return (*self.references.baselines, *self.lineages, *self.references.external)

    @cached_property
    def folders(self) -> tuple[str, ...]:
        """The folders of systems."""
        return tuple(system.folder for system in self.systems)

    def unit_layers(self, system: System) -> tuple[str, ...]:
        """The layers whose codes are words' detectors."""
        if isinstance(system, Lineage):
            return system.quantized_layers
        if system.is_external:
            return () if self.references.is_continuous(system) else ("units",)
        return tuple(f"quant{n}" for n in self.references.quantizers) if system.is_kmeans else ()

    # -- evaluations --------------------------------------------------------------------------------------

    def abx_layers(self, system: System) -> tuple[str, ...]:
        """The layers that ABX scores: the chosen convolutional ones and every quantizer that is on; log-mel."""
        if isinstance(system, Lineage) or system.folder == UNTRAINED:
            return (*self.config.abx.convolutional_layers, *self.unit_layers(system))
        if system.is_external:
            return ("features",) if self.references.is_continuous(system) else ("units",)
        return self.unit_layers(system) or ("logmel",)

    @staticmethod
    def items_of(suffix: str) -> str:
        """What an item file holds, from what follows the split in its name (`ITEMS_PATTERN`)."""
        return suffix.removeprefix(".") or "triphone"

    def items_settings(self, suffix: str) -> str:
        """How items are made, as far as theirs depend on it."""
        return as_json(self.config.abx.items, *schema.ITEM_KEYS[self.items_of(suffix)])

    def retrieval_settings(self, split: str) -> str:
        """How retrieval is scored on a split. Raises InputError where it is off."""
        settings = required(self.config.retrieval, "retrieval").model_copy(update={"split": split})
        return as_json(settings, "split", "recall_at")

    def words_settings(self, held_out_split: str) -> str:
        """How words are detected, and scored again on a held-out split. Raises InputError where they are not."""
        settings = required(self.config.words, "words").model_copy(update={"held_out_split": held_out_split})
        return as_json(settings, exclude=("max_utterances",))

    @property
    def words_split(self) -> str:
        """The split on which words' codes are chosen. Raises InputError where none are."""
        return required(self.config.words, "words").split

    def code_limit(self, split: str) -> int:
        """How many utterances of a split are encoded to codes; 0 for all."""
        words = self.config.words
        return words.max_utterances or 0 if words and split == words.split else 0

    def submission(self, edition: int) -> str:
        """What a submission says of itself, as far as its edition asks."""
        return as_json(self.config.abx.submission, *schema.SUBMISSION_KEYS[edition])

    # -- targets ------------------------------------------------------------------------------------------

    def target(self, name: str) -> list[str]:
        """The files of the target `models`, `retrieval`, `abx` or `words`. Raises InputError where there are none."""
        if name in {"retrieval", "words"}:
            required(getattr(self.config, name), name)
        targets = {
            "models": (self.models, "lineages: there are none, so there is no model to make"),
            "retrieval": ([*self.retrieval, *self.matchmaps], "lineages: there are none, and retrieval needs a model"),
            "abx": ([*self.abx, *self.submissions], "abx.splits: names no split to score"),
            "words": (self.words, "words: no system of the configuration has units on both of its splits"),
        }
        files, why_none = targets[name]
        if not files:
            raise InputError(why_none)
        return files

    @cached_property
    def models(self) -> list[str]:
        """The model of every lineage."""
        return [self.model(lineage) for lineage in self.lineages]

    @cached_property
    def retrieval(self) -> list[str]:
        """Every retrieval score; none where the section is off."""
        return self.retrieval_on(self.config.retrieval.split) if self.config.retrieval else []

    def retrieval_on(self, split: str) -> list[str]:
        """The retrieval scores of all lineages on a split."""
        return [self.path(lineage, f"retrieval/{split}.json") for lineage in self.lineages]

    @cached_property
    def matchmaps(self) -> list[str]:
        """Every retrieval score of the matchmap; none where the section is off."""
        if not (retrieval := self.config.retrieval):
            return []
        return [
            self.path(lineage, f"matchmap/{retrieval.split}/{similarity}.json")
            for lineage in self.lineages
            for similarity in retrieval.matchmaps
        ]

    @cached_property
    def abx(self) -> list[str]:
        """Every ABX score; of a split and condition those of the raw log-mel features come first."""
        return [
            self.abx_score(system.folder, split, layer, condition)
            for split in self.config.abx.splits
            for condition in self.config.abx.conditions
            for system in self.systems_on(split)
            for layer in (*self.abx_layers(system), *self.variants(system))
        ]

    def abx_score(self, folder: str, split: str, layer: str, condition: str) -> str:
        """The ABX score of a layer of a system's folder."""
        return str(self.root / folder / f"abx/{split}/{'' if condition == 'triphone' else f'{condition}/'}{layer}.json")

    @property
    def triphone_splits(self) -> tuple[str, ...]:
        """The splits that have ABX scores of triphones, which tables and figures show."""
        return self.config.abx.splits if "triphone" in self.config.abx.conditions else ()

    def variants(self, system: System) -> tuple[str, ...]:
        """Further representations of a model's quantizers that ABX scores."""
        numbers = system.quantizers if isinstance(system, Lineage) else ()
        return tuple(f"{variant}{n}" for n in numbers for variant in self.config.abx.variants)

    def noisy_layers(self, system: System) -> tuple[str, ...]:
        """The layers that ABX scores under noise: quantizers of models, and the raw log-mel features."""
        if isinstance(system, Lineage):
            return system.quantized_layers
        return ("logmel",) if system.folder == RAW else ()

    def given_splits(self, system: System) -> tuple[str, ...]:
        """The splits and noisy copies that a system can have results on: what was made elsewhere, where its files are given."""
        if system in self.references.external:
            return tuple(self.config.external[str(system)].files)
        return (*self.config.corpus.splits, *self.splits.copies)

    def systems_on(self, *splits: str) -> Iterator[System]:
        """The systems that have results on some splits."""
        return (system for system in self.systems if set(splits) <= set(self.given_splits(system)))

    @cached_property
    def submissions(self) -> list[str]:
        """A ZeroSpeech submission of every edition, for every quantizer that is on."""
        editions = dict.fromkeys(self.config.abx.submission.editions)
        return [
            self.path(lineage, f"abx/{split}/{layer}{'' if edition == 2019 else f'.zerospeech{edition}'}.zip")
            for split in self.config.abx.splits
            for lineage in self.lineages
            for layer in lineage.quantized_layers
            for edition in editions
        ]

    @cached_property
    def words(self) -> list[str]:
        """The summary of every word detection; none where the section is off."""
        words = self.config.words
        return self.words_of(self.systems_on(words.split, words.held_out_split)) if words else []

    def words_of(self, systems: Iterable[System], held_out_split: str | None = None) -> list[str]:
        """The summary of every word detection of some systems; on `words.held_out_split`, if no other is given.

        None where the section is off.
        """
        if not (words := self.config.words):
            return []
        return [
            self.path(system, f"words/{layer}/{held_out_split or words.held_out_split}/summary.json")
            for system in systems
            for layer in self.unit_layers(system)
        ]

    @cached_property
    def replicates(self) -> list[str]:
        """The tables of replicates that stand beside the scores."""
        beside = [
            score.removesuffix(".json") + ".bootstrap.csv" for score in (*self.retrieval, *self.matchmaps, *self.abx)
        ]
        return beside + [str(Path(score).with_name("bootstrap.csv")) for score in self.words]


def required[S](section: S | None, name: str) -> S:
    """A section of the configuration. Raises InputError if it is missing or null."""
    if section is None:
        raise InputError(f"{name}: the configuration has no section `{name}`; add it to make what it describes")
    return section


def any_of(names: Iterable[str]) -> str:
    """A regular expression for some names and nothing else."""
    return "|".join(map(re.escape, names)) or "(?!)"
