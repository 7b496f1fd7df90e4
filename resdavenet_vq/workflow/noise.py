"""The plan of the noisy copies: their names, how they are made, and which scores of them a configuration asks for.

A copy of the split `test` is named by what was added to it: `test.white_10dB`. It has a store like any split, is encoded
like any split, and its scores lie in `{lineage}/noise/{copy}/`.
"""

from __future__ import annotations

import json
import re
from collections.abc import Iterator
from dataclasses import dataclass
from functools import cached_property
from typing import NamedTuple

from resdavenet_vq.config import AddedNoise, Preparation
from resdavenet_vq.lineage import BASELINE
from resdavenet_vq.workflow.plan import Plan, as_json


class Copy(NamedTuple):
    """A noisy copy of a split."""

    name: str
    split: str
    """What it is a copy of."""
    kind: str
    snr_db: float


@dataclass(frozen=True)
class NoisePlan:
    """Paths and parameters of everything that is made with noise."""

    plan: Plan

    @cached_property
    def copies(self) -> dict[str, Copy]:
        """All copies by their names."""
        noise = self.plan.config.noise
        splits = dict.fromkeys(split for score in noise.scores for split in self._splits(score))
        made = (
            Copy(f"{split}.{kind}_{snr_db:g}dB", split, kind, snr_db)
            for kind in noise.kinds
            for snr_db in noise.snr_db
            for split in splits
        )
        return {copy.name: copy for copy in made}

    def _splits(self, score: str) -> tuple[str, ...]:
        """The splits on which a score is asked for."""
        config = self.plan.config
        match score:
            case "retrieval":
                return (config.retrieval.split,)
            case "words":
                return (config.words.held_out_split,)
            case _:
                return config.abx.splits

    @cached_property
    def pattern(self) -> str:
        """A regular expression for the names of the copies."""
        return "|".join(map(re.escape, self.copies)) or "(?!)"

    def added(self, copy: str) -> str:
        """What is added to a copy: of the settings of other kinds, none."""
        noise, kind = self.plan.config.noise, self.copies[copy].kind
        babble_speakers = noise.babble_speakers if kind == "babble" else None
        added = AddedNoise(
            kind=kind,
            snr_db=self.copies[copy].snr_db,
            seed=noise.seed,
            babble_speakers=babble_speakers,
            files=noise.files.get(kind),
        )
        return as_json(added)

    def files(self, copy: str) -> list[str]:
        """What a copy is made from: the split's own files, and recordings of noise."""
        return [*self.plan.corpus_files(self.copies[copy].split), *self._recordings(copy)]

    def contents(self, copy: str) -> str:
        """The digests of those files that are not made here."""
        noise = self.plan.digests.of(self._recordings(copy))
        return "\n".join(filter(None, [self.plan.corpus_contents(self.copies[copy].split), noise]))

    def _recordings(self, copy: str) -> list[str]:
        """The folder or the list of recordings that are added to a copy, if there are some."""
        path = self.plan.config.noise.files.get(self.copies[copy].kind)
        return [str(path)] if path else []

    def preparation(self, copy: str) -> str:
        """How a copy is prepared: as its split, but with features of its own in the store, wherever the split's are read from."""
        values = json.loads(self.plan.preparation(self.copies[copy].split))
        return as_json(Preparation.from_json(json.dumps(values | {"reader": "store"})), *values)

    def retrieval(self, copy: str) -> str:
        """How retrieval is scored on a copy."""
        return as_json(self.plan.config.retrieval.model_copy(update={"split": copy}), exclude=("similarities",))

    def words(self, copy: str) -> str:
        """How words are detected in a copy."""
        return as_json(self.plan.config.words.model_copy(update={"held_out_split": copy}), exclude=("max_utterances",))

    # -- targets ------------------------------------------------------------------------------------------

    @cached_property
    def conditions(self) -> str:
        """What each split of the table is: the clean ones, and their copies."""
        clean = {copy.split: {"of": copy.split, "kind": "clean", "snr_db": None} for copy in self.copies.values()}
        return json.dumps(
            clean | {c.name: {"of": c.split, "kind": c.kind, "snr_db": c.snr_db} for c in self.copies.values()}
        )

    @cached_property
    def scores(self) -> list[str]:
        """Every score in the table: those without noise, in their own places, then those with it."""
        return list(dict.fromkeys(path for score in self.plan.config.noise.scores for path in self._scores(score)))

    def _scores(self, score: str) -> Iterator[str]:
        """The paths of one kind of score."""
        splits = self._splits(score)
        for folder, layer in self._scored(score):
            file = {"retrieval": "retrieval.json", "words": f"words/{layer}/summary.json"}.get(score, "")
            for split in splits:
                yield str(self.plan.root / folder / (file or f"abx/{split}/{layer}.json"))
            for copy in (copy for copy in self.copies.values() if copy.split in splits):
                yield str(self.plan.root / folder / f"noise/{copy.name}" / (file or f"abx/{layer}.json"))

    def _scored(self, score: str) -> Iterator[tuple[str, str]]:
        """The folders and layers with a score: every quantizer, for ABX the raw log-mel features too, for retrieval the model."""
        if score == "abx":
            yield BASELINE, "logmel"
        for lineage in self.plan.lineages:
            for layer in ("",) if score == "retrieval" else lineage.quantized_layers:
                yield lineage.folder, layer
