"""The plan of what is done in shards: which splits, in how many jobs, and what tells each job's work from another's.

Where a corpus's rows go is settled by the checkpoint `deal_rows`, which leaves a digest of every shard's rows; a shard is
stale when its digest changes, whatever the times of files say. Used by the rules: imports nothing heavy.
"""

from __future__ import annotations

import json
import re
import shlex
from collections.abc import Mapping
from dataclasses import dataclass, field
from functools import cached_property
from pathlib import Path
from typing import Any

from resdavenet_vq.config import SpokenScenes
from resdavenet_vq.workflow.plan import Plan


@dataclass(frozen=True)
class Scatter:
    """Splits that are divided among jobs, in a folder of splits."""

    folder: Path
    shards: int | Mapping[str, int]
    """Of all splits, or by split; 1 for those not named."""
    splits: tuple[str, ...]
    _dealt: dict[tuple[str, int], Any] = field(default_factory=dict, compare=False, repr=False)

    def of(self, split: str) -> int:
        """How many shards a split has."""
        return self.shards if isinstance(self.shards, int) else self.shards.get(split, 1)

    @property
    def pattern(self) -> str:
        """A regular expression for the splits that are divided."""
        return "|".join(re.escape(split) for split in self.splits if self.of(split) > 1) or "(?!)"

    @property
    def whole_pattern(self) -> str:
        """A regular expression for all other splits, where a dot follows that is not part of their name."""
        return rf"(?!(?:{self.pattern})\.(?:h5|report\.json|json|item)$)[A-Za-z0-9][A-Za-z0-9_.-]*"

    def files(self, split: str, suffix: str) -> list[str]:
        """The files that the shards of a split are made into."""
        return [str(self.folder / split / f"{number}{suffix}") for number in range(self.of(split))]

    def digest(self, dealt: str, shard: str | int | None = None) -> str:
        """What the checkpoint has told of a shard's rows; of their order in the corpus, for none."""
        path = Path(dealt)
        key = dealt, path.stat().st_mtime_ns
        if key not in self._dealt:
            self._dealt[key] = json.loads(path.read_text(encoding="utf-8"))
        found = self._dealt[key]["order"] if shard is None else self._dealt[key]["shards"][int(shard)]
        return str(found)


@dataclass(frozen=True)
class ScatterPlan:
    """What the jobs of shards are given, of a plan of the whole run."""

    plan: Plan

    @cached_property
    def making(self) -> Scatter:
        """Which splits of the demo corpus are made in shards."""
        corpus = self.plan.config.corpus
        return Scatter(
            self.plan.root / "corpus", corpus.shards if isinstance(corpus, SpokenScenes) else 1, corpus.splits
        )

    @cached_property
    def preparing(self) -> Scatter:
        """Which splits are prepared in shards."""
        return Scatter(self.plan.root / "data", self.plan.config.preparation.shards, self.plan.config.corpus.splits)

    def corpus_settings(self, split: str) -> str:
        """What decides an utterance of a split of the demo corpus beside its number: as for the whole split, but not how many there are."""
        values = json.loads(self.plan.corpus_of(split))
        values["pairs" if split in values["pairs"] else "word_lists"][split] = 1
        return json.dumps(values)

    def corpus_numbers(self, split: str, shard: str) -> str:
        """The utterances that a shard of the demo corpus makes: every n-th of the split, as `first:stop:step`."""
        values = json.loads(self.plan.corpus_of(split))
        numbers = range(int(shard), (values["pairs"] | values["word_lists"])[split], self.making.of(split))
        return f"{numbers.start}:{max(numbers, default=-1) + 1}:{numbers.step}"

    def media(self, split: str) -> str:
        """What decides wav and image files beside the rows that name them: nothing for an imported corpus."""
        return self.corpus_settings(split) if self.media_code else ""

    @property
    def media_code(self) -> tuple[str, ...]:
        """The module that makes wav and image files, if they are made here."""
        return ("demo.corpus",) if isinstance(self.plan.config.corpus, SpokenScenes) else ()

    def preparation(self, split: str) -> str:
        """How each shard of a split is prepared: what to do about refused rows decides none of its bytes."""
        values = json.loads(self.plan.preparation(split))
        return json.dumps({key: value for key, value in values.items() if key != "bad_rows"})

    def release(self, split: str) -> str:
        """The option that names the 2020 release's files of a split, where they are read."""
        found = json.loads(self.plan.import_options(split))["release_hdf5"].get(split)
        return f"--release {shlex.quote(found)}" if found else ""
