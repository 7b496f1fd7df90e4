"""What the report, and the figures and tables for a paper, are made of: systems, splits and files.

Like the plan, it reads no file and imports nothing heavy.
"""

from __future__ import annotations

from dataclasses import dataclass
from functools import cached_property

from resdavenet_vq.config.section import as_json
from resdavenet_vq.system import System, has_shown_codes
from resdavenet_vq.workflow.plan import Plan, required


@dataclass(frozen=True)
class Pages:
    """What a plan shows."""

    plan: Plan

    def settings(self) -> str:
        """What the pages show. Raises InputError where there are none."""
        return as_json(required(self.plan.config.report, "report"), exclude=("noise",))

    @cached_property
    def systems(self) -> tuple[System, ...]:
        """The systems that the report shows examples of: each lineage with one seed."""
        return (*self.plan.references.baselines, *self.plan.examples, *self.plan.references.external)

    @cached_property
    def tables(self) -> list[str]:
        """The kinds of scores that there are tables of, and that of differences."""
        scores = {"retrieval": self.plan.retrieval, "abx": self.plan.triphone_splits, "words": self.plan.words}
        return [*(kind for kind, some in scores.items() if some), "differences"]

    @cached_property
    def phone_tables(self) -> list[str]:
        """The ABX errors by pairs of phones that stand beside the scores."""
        return [score.removesuffix(".json") + ".phones.csv" for score in self.plan.abx]

    @property
    def split(self) -> str | None:
        """The split that the report and the figures show utterances of: the first one on which codes are scored."""
        words, retrieval = self.plan.config.words, self.plan.config.retrieval
        scored = [words.held_out_split] if words else []
        scored += [retrieval.split] if retrieval else []
        return next(iter((*scored, *self.plan.config.abx.splits)), None)

    @cached_property
    def maps(self) -> list[str]:
        """Maps of images and captions that the report draws."""
        retrieval, report = self.plan.config.retrieval, self.plan.config.report
        if not (retrieval and report and report.matchmaps):
            return []
        return [self.plan.path(lineage, f"maps/{retrieval.split}.h5") for lineage in self.plan.examples]

    @property
    def splits(self) -> list[str]:
        """The splits that the report has utterances and pairs of."""
        retrieval = self.plan.config.retrieval
        splits = (self.split, retrieval.split if retrieval else None)
        return list(dict.fromkeys(split for split in splits if split))

    @cached_property
    def codes(self) -> list[str]:
        """Codes that the report draws above its utterances."""
        split = self.split
        return [
            self.plan.path(system, f"codes/{split}.h5") for system in self.with_codes if self.plan.unit_layers(system)
        ]

    @cached_property
    def with_codes(self) -> tuple[System, ...]:
        """The systems whose codes the report shows with words and utterances, where they have some."""
        words, split = self.plan.config.words, self.split
        if split is None:
            return ()
        given = set(self.plan.systems_on(*([words.split] if words else []), split))
        return tuple(system for system in self.systems if has_shown_codes(system) and system in given)
