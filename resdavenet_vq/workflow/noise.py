"""How noisy copies of splits are prepared, and which scores are in their table.

A copy of the split `test` is named by what was added to it: `test.white_10dB`. It is a split like any other: it has a
store, is encoded, and its scores are where those of any split are.
"""

from __future__ import annotations

import json
from collections.abc import Iterator
from dataclasses import dataclass
from functools import cached_property

from resdavenet_vq.config import AddedNoise, Preparation
from resdavenet_vq.config.section import as_json
from resdavenet_vq.errors import InputError
from resdavenet_vq.system import RAW, Reference, System
from resdavenet_vq.workflow.plan import Plan


@dataclass(frozen=True)
class NoisePlan:
    """Paths and parameters of everything with noise."""

    plan: Plan

    def files(self, copy: str) -> list[str]:
        """The inputs of a copy: the split's own files, and the folder or list of noise recordings."""
        return [*self.plan.splits.corpus_files(self.plan.splits.copies[copy].split), *self.recordings(copy)]

    def added(self, copy: str) -> str:
        """What is added to a copy: of the settings of other kinds, none."""
        noise, (_, _, kind, snr_db) = self.plan.config.noise, self.plan.splits.copies[copy]
        added = AddedNoise(
            kind=kind,
            snr_db=snr_db,
            seed=noise.seed,
            babble_speakers=noise.babble_speakers if kind == "babble" else None,
            files=noise.files.get(kind),
        )
        return as_json(added)

    def contents(self, copy: str) -> str:
        """The digests of those files that are not made here."""
        noise = self.plan.splits.digests.of(self.recordings(copy))
        return "\n".join(filter(None, [self.plan.splits.corpus_contents(self.plan.splits.copies[copy].split), noise]))

    def recordings(self, copy: str) -> list[str]:
        """The folder or the list of recordings that are added to a copy, if there are some."""
        path = self.plan.config.noise.files.get(self.plan.splits.copies[copy].kind)
        return [str(path)] if path else []

    def preparation(self, copy: str) -> str:
        """How a copy is prepared: as its split, but always with its own features in the store."""
        values = json.loads(self.plan.splits.preparation(self.plan.splits.copies[copy].split))
        return as_json(Preparation.from_json(json.dumps(values | {"reader": "store"})), *values)

    @cached_property
    def conditions(self) -> str:
        """What each split of the table is: the clean ones, and their copies."""
        copies = self.plan.splits.copies.values()
        conditions: dict[str, dict[str, object]] = {
            copy.split: {"of": copy.split, "kind": "clean", "snr_db": None} for copy in copies
        }
        conditions |= {copy.name: {"of": copy.split, "kind": copy.kind, "snr_db": copy.snr_db} for copy in copies}
        return json.dumps(conditions)

    @cached_property
    def scores(self) -> list[str]:
        """Every score in the table: those without noise, then those with it."""
        return [path for score in self.plan.config.noise.scores for path in self._scores(score)]

    @property
    def target(self) -> list[str]:
        """Every score in the table. Raises InputError if there is none."""
        if not self.scores:
            wanted = ", ".join(self.plan.config.noise.scores)
            raise InputError(f"noise.scores: {wanted}: the configuration scores nothing of it on a split")
        return self.scores

    def _scores(self, score: str) -> Iterator[str]:
        """The paths of one kind of score, for ABX those of quantizers and of the raw log-mel features in one condition."""
        splits = dict.fromkeys(self.plan.splits.splits_of(score))
        for split in [*splits, *(copy.name for copy in self.plan.splits.copies.values() if copy.split in splits)]:
            if score == "retrieval":
                yield from self.plan.retrieval_on(split)
            elif score == "words":
                yield from self.plan.words_of(self.plan.lineages, split)
            else:
                condition = self.plan.config.abx.conditions[0]
                systems: tuple[System, ...] = (Reference(RAW), *self.plan.lineages)
                for system in systems:
                    for layer in self.plan.noisy_layers(system):
                        yield self.plan.abx_score(system.folder, split, layer, condition)
