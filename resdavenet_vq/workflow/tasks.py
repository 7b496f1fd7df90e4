"""The commands that encode and score, as words: what each makes, and what that depends on.

A rule that makes several results runs several of these commands, one after the other, in one process (`batches`).
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass
from itertools import groupby
from pathlib import Path

from resdavenet_vq.config.section import as_json
from resdavenet_vq.system import NORMALIZED, UNTRAINED, Reference, system
from resdavenet_vq.workflow.plan import Plan
from resdavenet_vq.workflow.task import ENCODINGS, SIMILARITIES, Item, Options, Result, Task


@dataclass(frozen=True)
class Tasks:
    """The commands of a plan."""

    plan: Plan

    def of(self, items: Sequence[Item]) -> list[Task]:
        """The commands that make these results, in their order; encodings of one model and split are one command."""
        tasks: list[Task] = []
        for _, group in groupby(
            items,
            key=lambda item: (item.folder, item.split, item.kind in ENCODINGS) if item.kind in ENCODINGS else item,
        ):
            tasks += self._tasks(list(group))
        return tasks

    def _tasks(self, items: list[Item]) -> Iterator[Task]:
        """The commands of the encodings of one folder and split, or of one other result."""
        item = items[0]
        match item.kind:
            case "model":
                yield self._untrained(item)
            case "clusters":
                yield self._clusters(item)
            case "abx":
                yield self._abx(item)
            case "submission":
                yield self._submission(item)
            case "words":
                yield self._words(item)
            case kind if kind in SIMILARITIES:
                yield self._retrieval(item)
            case _:
                source = system(item.folder)
                if not isinstance(source, Reference) or item.folder == UNTRAINED:
                    yield self._encodings(items)
                elif source.is_kmeans:
                    yield self._kmeans(items)
                else:
                    yield self._logmel(item)

    # -- encodings ----------------------------------------------------------------------------------------

    def _encodings(self, items: list[Item]) -> Task:
        plan, (_, folder, split, *_) = self.plan, items[0]
        card, weights = (plan.path(system(folder), f"model/model.{end}") for end in ("json", "safetensors"))
        recipe = ("--recipe", plan.encoding_recipe(split))
        options: dict[str, Options] = {
            "embeddings": (recipe,),
            "maps": (recipe,),
            "codes": (("--limit", str(plan.code_limit(split))), recipe),
            "features": (("--layers", ",".join(plan.abx_layers(system(folder)))),),
        }
        results = [
            self._result(item, ((f"--{item.kind}", item.files(plan.root)[0]), *options[item.kind])) for item in items
        ]
        return Task(
            "encode-split",
            (("--model", str(Path(card).parent)), ("--data", plan.splits.store(split))),
            tuple(results),
            inputs=(card, *plan.splits.store_digests(split)),
            data=(weights, *plan.splits.stores(split)),
            code=("encode.split",),
        )

    def _logmel(self, item: Item) -> Task:
        splits = self.plan.splits
        return Task(
            "encode-logmel",
            (("--data", splits.store(item.split)), *[("--normalized",)] * (item.folder == NORMALIZED)),
            (self._result(item, (("--out", item.files(self.plan.root)[0]),)),),
            inputs=tuple(splits.store_digests(item.split)),
            data=tuple(splits.stores(item.split)),
            code=("encode.logmel",),
        )

    # -- baselines ----------------------------------------------------------------------------------------

    def _untrained(self, item: Item) -> Task:
        config, splits = self.plan.config, self.plan.splits
        split = config.training.split
        options = (
            ("--audio", as_json(config.model.audio)),
            ("--data", splits.store(split)),
            ("--seed", str(config.baselines.seed)),
        )
        out = ("--out", str(Path(item.files(self.plan.root)[0]).parent))
        inputs, data = splits.store_digests(split), splits.stores(split)
        return Task(
            "make-untrained",
            options,
            (self._result(item, (out,)),),
            inputs=tuple(inputs),
            data=tuple(data),
            code=("encode.untrained",),
        )

    def _clusters(self, item: Item) -> Task:
        config, splits, references = self.plan.config, self.plan.splits, self.plan.references
        split, model = config.training.split, references.clustered_model(item.folder)
        options = (
            ("--system", item.folder),
            ("--data", splits.store(split)),
            *([tuple(references.clustered_option(item.folder))] if model else []),
            ("--layers", references.cluster_sizes(item.folder)),
            ("--utterances", str(config.baselines.utterances)),
            ("--seed", str(config.baselines.seed)),
        )
        return Task(
            "fit-kmeans",
            options,
            (self._result(item, (("--out", item.files(self.plan.root)[0]),)),),
            inputs=(*splits.store_digests(split), *model[:1]),
            data=(*splits.stores(split), *model[1:]),
            code=_KMEANS,
        )

    def _kmeans(self, items: list[Item]) -> Task:
        plan, (_, folder, split, *_) = self.plan, items[0]
        file, digest = Item("clusters", folder).files(plan.root)
        model = plan.references.clustered_model(folder)
        limit = ("--limit", str(plan.code_limit(split)))
        results = [
            self._result(
                item, ((f"--{item.kind}", item.files(plan.root)[0]), *([limit] if item.kind == "codes" else []))
            )
            for item in items
        ]
        return Task(
            "encode-kmeans",
            (
                ("--clusters", file),
                ("--data", plan.splits.store(split)),
                *([tuple(plan.references.clustered_option(folder))] if model else []),
            ),
            tuple(results),
            inputs=(digest, *plan.splits.store_digests(split)),
            data=(file, *model[1:], *plan.splits.stores(split)),
            code=_KMEANS,
        )

    # -- scores -------------------------------------------------------------------------------------------

    def _abx(self, item: Item) -> Task:
        plan, splits, where = self.plan, self.plan.splits, (item.split, item.condition)
        features, digest = Item("features", item.folder, item.split).files(plan.root)
        report = splits.item_report(*where)
        options = (
            ("--features", features),
            ("--items", splits.items(*where)),
            *(("--items-report", file) for file in report),
            ("--layer", item.layer),
            ("--condition", item.condition),
            ("--lineage", item.folder),
            ("--split", item.split),
            ("--settings", as_json(plan.config.abx.scoring)),
        )
        return Task(
            "score-abx",
            options,
            (self._result(item, (("--out", item.files(plan.root)[0]),)),),
            inputs=(digest, *splits.item_digests(*where), *report),
            data=(features, splits.items(*where)),
            code=("evaluation.abx.score",),
            contents=splits.item_contents(*where),
        )

    def _submission(self, item: Item) -> Task:
        plan = self.plan
        features, digest = Item("features", item.folder, item.split).files(plan.root)
        options = (
            ("--features", features),
            ("--layer", item.layer),
            ("--edition", str(item.edition)),
            ("--split", item.split),
            ("--lineage", item.folder),
            ("--settings", plan.submission(item.edition)),
        )
        results = (self._result(item, (("--out", item.files(plan.root)[0]),)),)
        return Task("pack-submission", options, results, (digest,), (features,), ("zerospeech.submission",))

    def _retrieval(self, item: Item) -> Task:
        plan, pooled = self.plan, item.kind == "pooled"
        source, digest = Item("embeddings" if pooled else "maps", item.folder, item.split).files(plan.root)
        options = ((("--embeddings", source),) if pooled else (("--maps", source), ("--similarity", item.kind))) + (
            ("--lineage", item.folder),
            ("--settings", plan.retrieval_settings(item.split)),
        )
        results = (self._result(item, (("--out", item.files(plan.root)[0]),)),)
        command, code = (
            ("score-retrieval", "evaluation.retrieval_files") if pooled else ("score-matchmap", "evaluation.matchmap")
        )
        return Task(command, options, results, (digest,), (source,), (code,))

    def _words(self, item: Item) -> Task:
        plan = self.plan
        chosen_on, held_out = (
            Item("codes", item.folder, split).files(plan.root) for split in (plan.words_split, item.split)
        )
        options = (
            ("--codes", chosen_on[0]),
            ("--held-out", held_out[0]),
            ("--layer", item.layer),
            ("--lineage", item.folder),
            ("--settings", plan.words_settings(item.split)),
            ("--recipe", as_json(plan.config.recipe, "frame_time")),
        )
        results = (self._result(item, (("--out", str(Path(item.files(plan.root)[0]).parent)),)),)
        inputs, data = (tuple(dict.fromkeys([chosen_on[i], held_out[i]])) for i in (1, 0))
        return Task("detect-words", options, results, inputs, data, ("evaluation.words",))

    def _result(self, item: Item, options: Options) -> Result:
        return Result(item, item.files(self.plan.root), options)


_KMEANS = ("encode.kmeans", "encode.logmel", "encode.activations")


_NAMES = frozenset({"--layer", "--condition", "--lineage", "--split", "--edition", "--similarity", "--system"})
"""Options that a result's path says."""


def settings_of(tasks: Iterable[Task]) -> list[str]:
    """What results of commands depend on besides files and code: each JSON text once, and every other option."""
    texts: dict[str, None] = {}
    others = []
    for task in tasks:
        paths = {*task.data, *task.inputs, *(str(Path(file).parent) for file in task.data)}
        paths |= {file for result in task.results for file in result.files}
        paths |= {str(Path(result.files[0]).parent) for result in task.results}
        for option in dict.fromkeys([*task.options, *(option for result in task.results for option in result.options)]):
            name, *values = option
            if values and values[0].startswith("{"):
                texts |= dict.fromkeys(values)
            elif name not in _NAMES and not paths.intersection(values):
                others.append(" ".join([task.command, *option]))
    return [*texts, *others]
