"""The splits of a corpus: the files that list them, their ABX items, their stores, and their noisy copies.

As the plan, of which this is a part, it imports nothing heavy.
"""

from __future__ import annotations

import json
from dataclasses import dataclass
from functools import cached_property
from pathlib import Path
from typing import NamedTuple

from resdavenet_vq import config as schema
from resdavenet_vq.config import Config, PlacesAudio, SpokenScenes
from resdavenet_vq.config.section import as_json
from resdavenet_vq.corpus.reader import files_of
from resdavenet_vq.workflow.digests import Digests


class Copy(NamedTuple):
    """A noisy copy of a split, scored by the rules that score the split."""

    name: str
    """As in paths: `test.white_10dB`."""
    split: str
    """What it is a copy of."""
    kind: str
    snr_db: float


@dataclass(frozen=True)
class Splits:
    """Paths and parameters of every split of a configuration, below the folder `root` of its results."""

    config: Config
    root: Path

    # -- the corpus ---------------------------------------------------------------------------------------

    def corpus_files(self, split: str) -> list[str]:
        """The files that list a split's utterances, aligned words included."""
        corpus = self._imported(split)
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
        """What decides how a split is read: the section of an imported corpus, without the keys of other splits."""
        return as_json(self._imported(split))

    def import_code(self, split: str) -> tuple[str, ...]:
        """The modules that read a split."""
        corpus = self._imported(split)
        return (f"corpus.{corpus.layout}", *(["corpus.alignments"] if corpus.alignments else []))

    def _imported(self, split: str) -> PlacesAudio | schema.SpokenCoco | schema.Flickr8k:
        """The corpus of a split as it is read: the demo corpus is written in the layout of Places Audio."""
        corpus = self.config.corpus
        if isinstance(corpus, SpokenScenes):
            return PlacesAudio(layout="places", name=corpus.name, metadata={split: self.root / f"corpus/{split}.json"})
        of_split = corpus.for_split(split)
        if self.config.preparation.reader == "release_2020":
            return of_split
        return of_split.model_copy(update={"release_hdf5": {}})

    def items(self, split: str, condition: str = "triphone") -> str:
        """The ABX item file of a split and condition; without one of its own it is made from the split's alignments.

        Noise moves no phone: a noisy copy has the items of its split.
        """
        of = schema.ITEMS_OF[condition]
        split = self.copies[split].split if split in self.copies else split
        if of != "triphone":
            made = self.root / f"items/{split}.{of}.item"
        else:  # the demo corpus comes with them
            made = self.root / ("corpus" if self._is_made_here else "items") / f"{split}.item"
        return (*self.own_items(split, condition), str(made))[0]

    def item_digests(self, split: str, condition: str = "triphone") -> list[str]:
        """The digest beside an item file that is made here."""
        return [] if self.own_items(split, condition) else [f"{self.items(split, condition)}.sha256"]

    def item_report(self, split: str, condition: str = "triphone") -> list[str]:
        """The report of an item file that is made of alignments; it says why where there are no items."""
        path = Path(self.items(split, condition))
        is_made_of_alignments = path.parent == self.root / "items" and not self.own_items(split, condition)
        return [str(path.with_suffix(".report.json"))] if is_made_of_alignments else []

    def item_contents(self, split: str, condition: str = "triphone") -> str:
        """The digest of an item file of the corpus's own: a touched one re-runs nothing."""
        return self.digests.of(self.own_items(split, condition))

    def own_items(self, split: str, condition: str) -> list[str]:
        """The item file of a split and condition that the corpus comes with, if there is one."""
        corpus, split = self.config.corpus, self.copies[split].split if split in self.copies else split
        file = None if isinstance(corpus, SpokenScenes) else corpus.item_file(split, schema.ITEMS_OF[condition])
        return [str(file)] if file else []

    def corpus_of(self, split: str) -> str:
        """What decides one split of the demo corpus: of other splits only which pairs come before it."""
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
        """How a split is prepared."""
        settings = self.config.preparation
        if not self.is_cut(split):
            settings = settings.model_copy(update={"max_frames": schema.UNCUT})
        return as_json(settings, exclude=("rows_per_part", "parts"))

    def is_cut(self, split: str) -> bool:
        """Whether long utterances of a split are cut: for training, retrieval and words; ABX alone keeps them whole."""
        training, retrieval, words = self.config.training, self.config.retrieval, self.config.words
        cut = {training.split, training.validation_split}
        cut |= {retrieval.split} if retrieval else set()
        cut |= {words.split, words.held_out_split} if words else set()
        return (self.copies[split].split if split in self.copies else split) in cut

    @cached_property
    def copies(self) -> dict[str, Copy]:
        """The noisy copies of splits, by their names."""
        noise = self.config.noise
        splits = dict.fromkeys(split for score in noise.scores for split in self.splits_of(score))
        copies = (
            Copy(f"{split}.{kind}_{snr_db:g}dB", split, kind, snr_db)
            for kind in noise.kinds
            for snr_db in noise.snr_db
            for split in splits
        )
        return {copy.name: copy for copy in copies}

    def splits_of(self, score: str) -> tuple[str, ...]:
        """The splits on which retrieval, abx or words are scored; none where it is off."""
        retrieval, words = self.config.retrieval, self.config.words
        splits = {
            "retrieval": (retrieval.split,) if retrieval else (),
            "words": (words.held_out_split,) if words else (),
        }
        return splits.get(score, self.config.abx.splits)
