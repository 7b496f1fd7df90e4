"""A rule that makes several results, and a job of it: the commands that it needs, one after the other in one process."""

from __future__ import annotations

import hashlib
import json
import shlex
from collections.abc import Callable, Iterable
from dataclasses import dataclass
from functools import cache, cached_property
from pathlib import Path
from typing import Any

from resdavenet_vq import files
from resdavenet_vq.errors import InputError
from resdavenet_vq.fingerprint import fingerprint
from resdavenet_vq.kept import Kept
from resdavenet_vq.workflow.plan import any_of
from resdavenet_vq.workflow.preflight import Preflight
from resdavenet_vq.workflow.task import Item, Result, Task
from resdavenet_vq.workflow.tasks import Tasks, settings_of

FOLDER, SPLIT = "{folder}", "{split}"
"""Wildcards."""


@dataclass(frozen=True)
class Batch:
    """A rule."""

    name: str
    family: str
    """What it is called in profiles: several rules encode, with different results."""
    items: tuple[Item, ...]
    """Its results; wildcards stand for folders and splits."""
    folders: tuple[str, ...]
    splits: tuple[str, ...]
    tasks_of: Tasks

    @property
    def outputs(self) -> list[str]:
        """Its files, with wildcards."""
        return [file for item in self.items for file in item.files(self.tasks_of.plan.root)]

    @property
    def wildcards(self) -> dict[str, str]:
        """What its wildcards may be."""
        names = {"folder": self.folders, "split": self.splits}
        return {name: any_of(values) for name, values in names.items() if values}

    @property
    def label(self) -> str:
        """The name of its logs, with wildcards."""
        return "/".join([self.name, *(f"{{{name}}}" for name in self.wildcards)])

    @cached_property
    def _tasks(self) -> dict[tuple[str, ...], list[Task]]:
        return {}

    def tasks(self, wildcards: Any) -> list[Task]:
        """The commands of a job."""
        names = {name: str(getattr(wildcards, name)) for name in self.wildcards}
        job = tuple(names.values())
        if job not in self._tasks:
            self._tasks[job] = self._commands(names)
        return self._tasks[job]

    def _commands(self, names: dict[str, str]) -> list[Task]:
        items = [
            item._replace(
                folder=names["folder"] if item.folder == FOLDER else item.folder,
                split=names["split"] if item.split == SPLIT else item.split,
            )
            for item in self.items
        ]
        return self.tasks_of.of(items)

    def inputs(self, wildcards: Any) -> list[str]:
        """The small files that a job reads, digests of large ones among them."""
        return self._read(wildcards, lambda task: task.inputs)

    def data(self, wildcards: Any) -> list[str]:
        """The large files that a job reads."""
        return self._read(wildcards, lambda task: task.data)

    def _read(self, wildcards: Any, files_of: Callable[[Task], Iterable[str]]) -> list[str]:
        tasks = self.tasks(wildcards)
        made = {file for task in tasks for result in task.results for file in result.files}
        return list(dict.fromkeys(file for task in tasks for file in files_of(task) if file not in made))

    def checks(self, wildcards: Any) -> list[str]:
        """No inputs, after a look at files that are not made here."""
        preflight = Preflight(self.tasks_of.plan)
        for item in (
            result.item for task in self.tasks(wildcards) for result in task.results if result.item.kind == "abx"
        ):
            preflight.items(item.folder, item.split, item.layer, item.condition)
        return []

    def gpus(self, wildcards: Any) -> int:
        """How many GPUs a job takes: one where it runs a network."""
        runs_network = any(
            task.command == "make-untrained" or any(name == "--model" for name, *_ in task.options)
            for task in self.tasks(wildcards)
        )
        return min(1, self.tasks_of.plan.config.training.gpus) if runs_network else 0

    def settings(self, wildcards: Any) -> list[str]:
        """What a job's results depend on besides files and code."""
        return settings_of(self.tasks(wildcards))

    def contents(self, wildcards: Any) -> str:
        """The digests of files that are read and not made here."""
        return "\n".join(dict.fromkeys(filter(None, (task.contents for task in self.tasks(wildcards)))))

    def code(self, wildcards: Any) -> str:
        """The fingerprint of the modules that do it."""
        modules = dict.fromkeys(module for task in self.tasks(wildcards) for module in task.code)
        return " ".join(dict.fromkeys(token for module in modules for token in fingerprint(module).split()))


def run(tasks: Iterable[Task], root: Path, call: Callable[[list[str]], None], report: Callable[[str], None]) -> None:
    """Makes the results of commands, but those that are kept from an earlier run with the same inputs, settings and code.

    `call` runs a command line, `report` gets a line for each result that is kept and each command. Where a command
    fails, those run that do not read its results. Raises InputError with all messages at the end.
    """
    kept, faults, missing = Kept(root), list[str](), set[str]()
    fingerprint_of = cache(fingerprint)
    for task in tasks:
        if missing & {*task.inputs, *task.data}:
            missing |= {file for result in task.results for file in result.files}
            continue
        code = [fingerprint_of(module) for module in task.code]
        contents = [files.sha256(Path(file)) for file in task.inputs]
        stale: dict[str, Result] = {}
        for result in task.results:
            text = json.dumps([task.words([result]), contents, task.contents, code])
            key = hashlib.sha256(text.encode()).hexdigest()
            if kept.restore(list(map(Path, result.files)), key):
                report(f"unchanged: {result.files[0]}")
            else:
                stale[key] = result
        if not stale:
            continue
        words = task.words(list(stale.values()))
        report(f"$ resdavenet-vq {shlex.join(words)}")
        try:
            call(words)
        except InputError as e:
            faults.append(str(e))
            missing |= {file for result in stale.values() for file in result.files}
            continue
        for key, result in stale.items():
            kept.keep(list(map(Path, result.files)), key)
    if faults:
        raise InputError("\n".join(faults))
