"""The jobs that encode and score: each makes several results, with one start of Python and one reading of their inputs.

Which results are made together, and by which rules (`batch`). What a plan asks for is put together as follows; every other result that could be asked for by its path has a rule, too.

================  =====================================================================================
rule              makes
================  =====================================================================================
encode            what a model makes of a split: embeddings, maps, codes, features, those that are used
encode_logmel     log-mel features, raw and normalized, of the splits that ABX scores
make_untrained    the network before training, and its features
fit_kmeans        clusters, and their codes and features of all splits
score_abx         all layers, conditions and splits of a model, and its submissions; of the baselines
score_retrieval   all similarities of a model
detect_words      all layers of a model; of all clusters
================  =====================================================================================

A job that runs again makes those of its results again that have changed (`kept`).
"""

from __future__ import annotations

import itertools
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from functools import cached_property
from types import SimpleNamespace
from typing import NamedTuple

from resdavenet_vq.errors import InputError
from resdavenet_vq.lineage import Lineage
from resdavenet_vq.system import NORMALIZED, RAW, UNTRAINED, Reference
from resdavenet_vq.workflow.batch import FOLDER, SPLIT, Batch
from resdavenet_vq.workflow.noise import NoisePlan
from resdavenet_vq.workflow.pages import Pages
from resdavenet_vq.workflow.plan import Plan
from resdavenet_vq.workflow.task import ENCODINGS, SIMILARITIES, Item
from resdavenet_vq.workflow.tasks import Tasks


class _Group(NamedTuple):
    """Results of one job, and the names in its paths that a rule has wildcards for; None: it has none."""

    family: str
    items: tuple[Item, ...]
    folder: str | None = None
    split: str | None = None
    is_planned: bool = True
    """Whether targets ask for it; the other rules are for paths that are asked for by name."""


@dataclass(frozen=True)
class Batches:
    """The rules of a plan that make several results."""

    plan: Plan

    @cached_property
    def all(self) -> tuple[Batch, ...]:
        """Every rule, in the order of the pipeline."""
        places: dict[tuple[bool, str, tuple[Item, ...]], dict[str, list[str]]] = {}
        for group in (*self._encodings(), *self._baselines(), *self._scores()):
            if group.items:
                rule = not group.is_planned, group.family, tuple(_with_wildcards(item, group) for item in group.items)
                places.setdefault(rule, {}).setdefault(group.folder or "", []).append(group.split or "")
        rules: list[tuple[str, tuple[Item, ...], list[str], tuple[str, ...]]] = []
        for (_, family, items), splits_of in sorted(places.items(), key=lambda entry: entry[0][0]):
            products: dict[tuple[str, ...], list[str]] = {}
            for folder, some in splits_of.items():
                products.setdefault(tuple(dict.fromkeys(some)), []).append(folder)
            rules += [(family, items, folders, splits) for splits, folders in products.items()]
        tasks, names, batches = Tasks(self.plan), dict[str, int](), list[Batch]()
        for family, items, folders, splits in rules:
            name = _name(family, items)
            names[name] = names.get(name, 0) + 1
            batches.append(
                Batch(
                    name if names[name] == 1 else f"{name}_{names[name]}",
                    family,
                    items,
                    tuple(filter(None, folders)),
                    tuple(filter(None, splits)),
                    tasks,
                )
            )
        return tuple(batches)

    def named(self, name: str) -> Batch:
        """The rule of a name. Raises InputError if there is none."""
        for batch in self.all:
            if batch.name == name:
                return batch
        raise InputError(f"{name}: the configuration has no such rule")

    @cached_property
    def makers(self) -> dict[str, str]:
        """The rule of every file that could be asked for."""
        return {
            file.replace(FOLDER, folder).replace(SPLIT, split): batch.name
            for batch in self.all
            for file in batch.outputs
            for folder in batch.folders or ("",)
            for split in batch.splits or ("",)
        }

    @cached_property
    def command_lines(self) -> dict[str, tuple[str, str, tuple[str, ...]]]:
        """Of every result that could be asked for, by its first file: rule, log, and the words of its command line.

        A model that is trained has no words: its rule has them.
        """
        plan, lines = self.plan, dict[str, tuple[str, str, tuple[str, ...]]]()
        for folder in plan.trained:
            file = Item("model", folder).files(plan.root)[0]
            lines[file] = "train", str(plan.root / f"logs/train/{folder}.log"), ()
        for batch in self.all:
            for folder, split in itertools.product(batch.folders or ("",), batch.splits or ("",)):
                log = str(plan.root / f"logs/{batch.label.format(folder=folder, split=split)}.log")
                for task in batch.tasks(SimpleNamespace(folder=folder, split=split)):
                    for result in task.results:
                        words = tuple(task.words([result]))
                        lines.setdefault(result.files[0], (batch.name, log, words))
        return lines

    # -- what belongs together ----------------------------------------------------------------------------

    @cached_property
    def _models(self) -> dict[str, Lineage]:
        """Every model that can be asked for, ancestors included, by its folder."""
        plan = self.plan
        released = {folder: Lineage.from_folder(folder) for folder in plan.trainings.released}
        return {lineage.folder: lineage for lineage in plan.lineages} | plan.trained | released

    @cached_property
    def _splits(self) -> tuple[str, ...]:
        """Every split and noisy copy."""
        return (*self.plan.config.corpus.splits, *self.plan.splits.copies)

    @cached_property
    def _planned(self) -> set[str]:
        """The paths of everything that targets ask for."""
        plan, pages, noise = self.plan, Pages(self.plan), NoisePlan(self.plan).scores
        return {
            *plan.retrieval,
            *plan.matchmaps,
            *plan.abx,
            *plan.submissions,
            *plan.words,
            *noise,
            *pages.codes,
            *pages.maps,
        }

    @cached_property
    def _encoded(self) -> set[str]:
        """The paths of the encodings that targets need."""
        read = set(self._planned)
        for group in self._scores():
            items = [item for item in group.items if item.files(self.plan.root)[0] in self._planned]
            read |= {file for task in Tasks(self.plan).of(items) for file in task.data}
        return read

    def _path(self, item: Item) -> str:
        return item.files(self.plan.root)[0]

    def _together(self, family: str, items: Sequence[Item], asked: set[str]) -> Iterator[_Group]:
        """Results of one folder and split: those that targets need in one job, every other alone."""
        first, *_ = items
        needed = tuple(item for item in items if self._path(item) in asked)
        yield _Group(family, needed, first.folder, first.split)
        for item in items:
            if item not in needed:
                yield _Group(family, (item,), first.folder, first.split, is_planned=False)

    def _encodings(self) -> Iterator[_Group]:
        for folder, lineage in self._models.items():
            lacking = {"codes"} if not lineage.quantizers else set[str]()
            lacking |= set() if self.plan.abx_layers(lineage) else {"features"}
            kinds = [kind for kind in ENCODINGS if kind not in lacking]
            for split in self._splits:
                yield from self._together("encode", [Item(kind, folder, split) for kind in kinds], self._encoded)

    def _baselines(self) -> Iterator[_Group]:
        plan = self.plan
        baselines, scored = plan.references.baselines, plan.config.abx.splits
        logmel = [baseline.folder for baseline in baselines if baseline.folder in {RAW, NORMALIZED}]
        yield _Group("encode_logmel", tuple(Item("features", f, split) for f in logmel for split in scored))
        for split in self._splits:
            if split not in scored:
                for folder in logmel:
                    yield _Group("encode_logmel", (Item("features", folder, split),), folder, split, is_planned=False)
        if Reference(UNTRAINED) in baselines:
            splits = self._splits if plan.abx_layers(Reference(UNTRAINED)) else ()
            features = [Item("features", UNTRAINED, split) for split in splits]
            yield _Group("make_untrained", (Item("model", UNTRAINED), *(i for i in features if i.split in scored)))
            for item in features:
                if item.split not in scored:
                    yield _Group("encode", (item,), UNTRAINED, item.split, is_planned=False)
        for baseline in baselines:
            if baseline.is_kmeans:
                yield from self._clusters(baseline.folder)

    def _clusters(self, folder: str) -> Iterator[_Group]:
        scored = self.plan.config.abx.splits
        items = [Item("clusters", folder)]
        for split in self.plan.config.corpus.splits:
            codes, features = (Item(kind, folder, split) for kind in ("codes", "features"))
            if split in scored:
                items += [codes, features]
            elif self._path(codes) in self._encoded:
                items.append(codes)
            else:
                yield _Group("encode_kmeans", (codes,), folder, split, is_planned=False)
        yield _Group("fit_kmeans", tuple(items), folder)

    def _scores(self) -> Iterator[_Group]:
        yield from self._abx()
        for folder in self._models:
            for split in self._splits:
                items = [Item(kind, folder, split) for kind in SIMILARITIES]
                yield from self._together("score_retrieval", items, self._planned)
        yield from self._words()

    def _abx(self) -> Iterator[_Group]:
        plan, scored = self.plan, self.plan.config.abx.splits
        references = plan.references
        alone: list[Item] = []
        clustered: list[Item] = []
        for folder, source in (self._models | {reference.folder: reference for reference in references.all}).items():
            layers = (*plan.abx_layers(source), *plan.variants(source))
            given = list(plan.given_splits(source))
            planned = [split for split in scored if split in given]
            items = [
                self._abx_item(folder, split, layer, condition)
                for split in planned
                for condition in plan.config.abx.conditions
                for layer in layers
            ]
            if isinstance(source, Reference) and not source.is_external:
                (clustered if source.is_kmeans else alone).extend(items)
                others = [] if source.is_kmeans else [split for split in self._splits if split not in planned]
            else:
                yield _Group("score_abx", (*items, *self._submissions(folder)), folder)
                others = [split for split in given if split not in planned]
            for split in others:
                conditions = plan.config.abx.conditions
                if split in plan.splits.copies:
                    conditions, layers = conditions[:1], plan.noisy_layers(source)
                some = [self._abx_item(folder, split, layer, condition) for condition in conditions for layer in layers]
                yield _Group("score_abx", tuple(some), folder, split, is_planned=split in plan.splits.copies)
        yield _Group("score_abx", tuple(alone))
        yield _Group("score_abx", tuple(clustered))

    @staticmethod
    def _abx_item(folder: str, split: str, layer: str, condition: str) -> Item:
        return Item("abx", folder, split, layer, condition)

    def _submissions(self, folder: str) -> list[Item]:
        abx, lineage = self.plan.config.abx, self._models.get(folder)
        return [
            Item("submission", folder, split, layer, edition=edition)
            for split in abx.splits
            for layer in (lineage.quantized_layers if lineage else ())
            for edition in dict.fromkeys(abx.submission.editions)
        ]

    def _words(self) -> Iterator[_Group]:
        plan, words = self.plan, self.plan.config.words
        clustered: list[Item] = []
        for folder, source in (
            self._models | {reference.folder: reference for reference in plan.references.all}
        ).items():
            splits = plan.given_splits(source)
            for split in splits if not words or words.split in splits else ():
                if split in plan.splits.copies and not isinstance(source, Lineage):
                    continue
                items = [Item("words", folder, split, layer) for layer in plan.unit_layers(source)]
                is_held_out = words is not None and split == words.held_out_split
                if is_held_out and not isinstance(source, Lineage) and source.is_kmeans:
                    clustered += items
                else:
                    planned = is_held_out or split in plan.splits.copies
                    yield _Group("detect_words", tuple(items), folder, split, is_planned=planned)
        yield _Group("detect_words", tuple(clustered))


def _with_wildcards(item: Item, group: _Group) -> Item:
    """An item of a rule: wildcards in the places of the names in a group."""
    return item._replace(
        folder=FOLDER if item.folder == group.folder else item.folder,
        split=SPLIT if item.split == group.split else item.split,
    )


def _name(family: str, items: Sequence[Item]) -> str:
    """A rule's name: what it makes, where there may be several of a family."""
    kinds = list(dict.fromkeys(item.kind for item in items))
    if family == "encode" or (family == "score_retrieval" and "pooled" not in kinds):
        return "_".join([family, *kinds])
    if family in {"score_abx", "detect_words"} and items[0].folder != FOLDER:
        return f"{family}_{'clusters' if Reference(items[0].folder).is_kmeans else 'baselines'}"
    if family in {"score_abx", "detect_words"}:
        return "_".join([family, *dict.fromkeys(item.layer for item in items)])
    return family
