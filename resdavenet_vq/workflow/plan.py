"""The plan of a run: which files a configuration asks for, and which values each command gets.

The rules ask here; nothing here reads a file or imports anything heavy. A rule hands a command only the
values that its result depends on, as JSON, so that a changed value re-runs exactly what depends on it.
"""

from __future__ import annotations

import json
from collections.abc import Iterable
from dataclasses import dataclass
from functools import cached_property
from pathlib import Path

from resdavenet_vq.config import (
    SUBMISSION_KEYS,
    TRAINING_SWITCHES,
    UNCUT,
    Config,
    Flickr8k,
    PlacesAudio,
    Section,
    SpokenCoco,
    SpokenScenes,
)
from resdavenet_vq.corpus.reader import files_of
from resdavenet_vq.lineage import FOLDER_PATTERN, Lineage, frame_stride
from resdavenet_vq.workflow.digests import Digests

FRAME_PERIOD = 0.01
"""Seconds between feature frames."""

EDITION_PATTERN = r"|\.zerospeech20(?:20|21)"
"""What stands between the layer and `.zip` in the name of a submission: nothing for the edition of 2019."""

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
        """Lineages to evaluate, in the order of the configuration; each once for every seed, imported ones once."""
        asked = dict.fromkeys(Lineage.parse(text) for text in self.config.lineages)
        return tuple(lineage.with_seed(seed) for lineage in asked for seed in self._suffixes(lineage))

    def _suffixes(self, lineage: Lineage) -> list[int | None]:
        """The seeds of a lineage as its folders bear them: `training.seed` is that of the folder that bears none."""
        if lineage.folder in self.released:
            return [None]
        return [
            None if seed == self.config.training.seed else seed
            for seed in self.config.seeds or (self.config.training.seed,)
        ]

    @cached_property
    def examples(self) -> tuple[Lineage, ...]:
        """What the report shows examples of: each lineage with `training.seed`, or its first seed. Numbers are shown of all."""
        chosen: dict[str, Lineage] = {}
        for lineage in self.lineages:
            if lineage.seed is None or str(lineage) not in chosen:
                chosen[str(lineage)] = lineage
        return tuple(chosen.values())

    @cached_property
    def seeds(self) -> str:
        """The seed of every trained lineage evaluated, by its folder; those of imported models are not known."""
        trained = (lineage for lineage in self.lineages if lineage.folder not in self.released)
        return json.dumps(
            {lineage.folder: self.config.training.seed if lineage.seed is None else lineage.seed for lineage in trained}
        )

    # -- the corpus ---------------------------------------------------------------------------------------

    def corpus_files(self, split: str) -> list[str]:
        """The files that list a split's utterances, aligned words included."""
        corpus = self._read_as(split)
        return [
            str(path) for path in (*files_of(corpus, split), *corpus.alignments.values(), *corpus.release_hdf5.values())
        ]

    def corpus_digests(self, split: str) -> list[str]:
        """The digests beside the files that list a split's utterances, where these are made here."""
        return [f"{file}.sha256" for file in self.corpus_files(split)] if self._is_made_here else []

    def corpus_contents(self, split: str) -> str:
        """The digests of the files of an imported corpus: a touched file re-runs nothing, a changed one what reads it."""
        return "" if self._is_made_here else self.digests.of(self.corpus_files(split))

    @property
    def _is_made_here(self) -> bool:
        return isinstance(self.config.corpus, SpokenScenes)

    @cached_property
    def digests(self) -> Digests:
        """Digests of files that are not made here."""
        return Digests(self.root / "digests.json")

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
        return (
            read_as
            if self.config.preparation.reader == "release_2020"
            else read_as.model_copy(update={"release_hdf5": {}})
        )

    def items(self, split: str) -> str:
        """The ABX item file of a split; without one of its own it is made from the split's alignments."""
        if isinstance(self.config.corpus, SpokenScenes):
            return str(self.root / f"corpus/{split}.item")
        return str(self.config.corpus.items.get(split, self.root / f"items/{split}.item"))

    def corpus_of(self, split: str) -> str:
        """What decides one split of the demo corpus: of other splits only which pairs stand before it, not how many nor how they are made."""
        corpus = self.config.corpus
        if not isinstance(corpus, SpokenScenes):
            raise TypeError(f"the corpus {corpus.name} is not made here")
        if split in corpus.pairs:
            names = list(corpus.pairs)
            own = {
                "pairs": dict.fromkeys(names[: names.index(split)], 1) | {split: corpus.pairs[split]},
                "word_lists": {},
            }
            of_others: tuple[str, ...] = ("unseen_speakers",)
        else:
            own = {"pairs": {}, "word_lists": {split: corpus.word_lists[split]}}
            of_others = ("image_size", "objects", "colours", "max_objects")
        own |= {key: SpokenScenes.model_fields[key].default for key in of_others}
        return as_json(corpus.model_copy(update=own))

    # -- stores -------------------------------------------------------------------------------------------

    def parts(self, split: str) -> int:
        """The number of parts of a split; 0 for one that is prepared at once."""
        return self.config.preparation.parts.get(split, 0)

    def store(self, split: str) -> str:
        """The store of a split, as commands take it by `--data`: its file, or the folder of its parts."""
        return str(self.root / "data" / (split if self.parts(split) else f"{split}.h5"))

    def stores(self, split: str) -> list[str]:
        """The files of a split's store."""
        store = self.store(split)
        return [f"{store}/{part}.h5" for part in range(self.parts(split))] or [store]

    def store_digests(self, split: str) -> list[str]:
        """The digests beside the files of a split's store."""
        return [f"{store}.sha256" for store in self.stores(split)]

    def media(self, split: str) -> str:
        """What decides wav and image files beside the rows that name them: of an imported corpus, nothing."""
        if not self._is_made_here:
            return ""
        values = json.loads(self.corpus_of(split))
        values["pairs" if split in values["pairs"] else "word_lists"][split] = 1
        return json.dumps(values)

    @property
    def media_code(self) -> tuple[str, ...]:
        """The module that makes wav and image files, if they are made here."""
        return ("demo.corpus",) if self._is_made_here else ()

    def preparation(self, split: str) -> str:
        """How a split is prepared. One that only ABX uses keeps its utterances whole: the cut belongs to training and retrieval."""
        settings = self.config.preparation
        training, words = self.config.training, self.config.words
        cut = {
            training.split,
            training.validation_split,
            self.config.retrieval.split,
            words.split,
            words.held_out_split,
        }
        return as_json(
            settings if split in cut else settings.model_copy(update={"max_frames": UNCUT}),
            exclude=("rows_per_part", "parts"),
        )

    def notation(self, folder: str) -> str:
        """How a lineage's folder, or the baseline's, is written in tables."""
        return "raw log-mel" if folder == BASELINE else str(Lineage.from_folder(folder))

    # -- models -------------------------------------------------------------------------------------------

    def model(self, lineage: Lineage) -> str:
        """The model card of a lineage, which stands for its whole folder."""
        return str(self.root / lineage.folder / "model/model.json")

    def parent(self, folder: str) -> list[str]:
        """The model that a lineage starts from: one, or none for a first stage. An imported one is the parent for every seed."""
        parent = Lineage.from_folder(folder).parent
        if parent and parent.with_seed(None).folder in self.released:
            parent = parent.with_seed(None)
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
        lineage = Lineage.from_folder(folder)
        settings = self.config.training.of(str(lineage))
        if lineage.seed is not None:
            settings = settings.model_copy(update={"seed": lineage.seed})
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

    def abx_representations(self, lineage: Lineage) -> tuple[str, ...]:
        """What is compared: these layers, and what is made of the quantizers' frames where they are scored."""
        variants = (f"{variant}{n}" for n in lineage.quantizers for variant in self.config.abx.variants)
        return (*self.abx_layers(lineage), *variants)

    @cached_property
    def slowest_abx_period(self) -> float:
        """Frame period of the slowest layer compared, in seconds: shorter items are dropped alike for all layers."""
        layers = {layer for lineage in self.lineages for layer in self.abx_layers(lineage)}
        return FRAME_PERIOD * max((frame_stride(layer) for layer in layers), default=1)

    def code_limit(self, split: str) -> int:
        """How many utterances of a split are encoded to codes; 0 for all."""
        return self.config.words.max_utterances or 0 if split == self.config.words.split else 0

    @staticmethod
    def edition(suffix: str) -> int:
        """The ZeroSpeech edition of a submission, from what stands between the layer and `.zip` in its name (`EDITION_PATTERN`)."""
        return int(suffix[-4:] or 2019)

    def submission(self, suffix: str) -> str:
        """What a submission says of itself, as far as its edition asks."""
        return as_json(self.config.abx.submission, *SUBMISSION_KEYS[self.edition(suffix)])

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
    def matchmaps(self) -> list[str]:
        """Every retrieval score of the matchmap."""
        return [
            str(self.root / lineage.folder / f"matchmap/{similarity}.json")
            for lineage in self.lineages
            for similarity in self.config.retrieval.matchmaps
        ]

    @cached_property
    def abx(self) -> list[str]:
        """Every ABX score, that of the raw log-mel features first."""
        scored = [(BASELINE, "logmel")]
        scored += [(lineage.folder, layer) for lineage in self.lineages for layer in self.abx_representations(lineage)]
        return [
            str(self.root / folder / f"abx/{split}/{layer}.json")
            for split in self.config.abx.splits
            for folder, layer in scored
        ]

    @cached_property
    def submissions(self) -> list[str]:
        """A ZeroSpeech submission of every edition asked for, for every quantizer that is on."""
        editions = dict.fromkeys(self.config.abx.submission.editions)
        return [
            str(
                self.root
                / lineage.folder
                / f"abx/{split}/{layer}{'' if edition == 2019 else f'.zerospeech{edition}'}.zip"
            )
            for split in self.config.abx.splits
            for lineage in self.lineages
            for layer in lineage.quantized_layers
            for edition in editions
        ]

    @cached_property
    def words(self) -> list[str]:
        """The summary of every word detection."""
        return self.words_of(self.lineages)

    def words_of(self, lineages: Iterable[Lineage]) -> list[str]:
        """The summary of every word detection of some lineages."""
        return [
            str(self.root / lineage.folder / f"words/{layer}/summary.json")
            for lineage in lineages
            for layer in lineage.quantized_layers
        ]

    @cached_property
    def tables(self) -> list[str]:
        """The kinds of scores that there are tables of."""
        asked = {"retrieval": self.retrieval, "abx": self.config.abx.splits, "words": self.words}
        return [kind for kind, scores in asked.items() if scores]

    @cached_property
    def phone_tables(self) -> list[str]:
        """The ABX errors by pairs of phones that stand beside the scores."""
        return [score.removesuffix(".json") + ".phones.csv" for score in self.abx]

    @cached_property
    def shown_maps(self) -> list[str]:
        """Maps of images and captions that the report draws, if it is asked to."""
        asked = self.examples if self.config.report.matchmaps else ()
        return [str(self.root / lineage.folder / f"maps/{self.config.retrieval.split}.h5") for lineage in asked]

    @cached_property
    def shown_codes(self) -> list[str]:
        """Codes that the report draws above its utterances."""
        return [
            str(self.root / lineage.folder / f"codes/{self.config.words.held_out_split}.h5")
            for lineage in self.examples
            if lineage.quantizers
        ]


def as_json(section: Section, *keys: str, exclude: Iterable[str] = ()) -> str:
    """A section, or some of its keys where it has them, as the JSON text that a command takes."""
    values = section.model_dump(mode="json", include=set(keys) if keys else None, exclude=set(exclude))
    return json.dumps(values)  # the order of keys may mean something
