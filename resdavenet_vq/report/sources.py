"""Where a number comes from: its file, the rule that made the file, and the command line that the rule ran."""

from __future__ import annotations

import shlex
from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import Any, NamedTuple

from resdavenet_vq.evaluation import score_files
from resdavenet_vq.gaps import PATTERNS, Place
from resdavenet_vq.results import Model, Results

MATCHMAPS = "matchmap/{}/*.json"
"""Where a system's further scores of retrieval on a split are."""


class Command(NamedTuple):
    """What made a file."""

    rule: str
    log: str
    words: tuple[str, ...] = ()
    """The command line, without the program; empty where the rule itself has it, as that of trainings."""


class Sources:
    """The files of numbers, of those that `commands` (by file in the results folder) made."""

    def __init__(self, results: Results, commands: Mapping[str, Command]) -> None:
        self._results = results
        self._commands = {file: one for file, one in commands.items() if (results.root / file).exists()}
        self._files: dict[tuple[str, str, Place], dict[int | None, str]] = {}
        for model in results.models if self._commands else ():
            for file in self._scores(model):
                name, value = file.relative_to(results.root).as_posix(), model.score(file)
                for row in score_files.rows(value) if name in self._commands else ():
                    key = value["lineage"], value.get("layer", ""), (row.task, row.split, row.condition)
                    self._files.setdefault(key, {}).setdefault(model.system.seed, name)

    def _scores(self, model: Model) -> Iterator[Path]:
        """Score files of the splits that are evaluated, those of triphones before those of other items."""
        for task, patterns in PATTERNS.items():
            for pattern in (*patterns, MATCHMAPS) if task == "retrieval" else patterns:
                for split in self._results.evaluated(task):
                    yield from sorted(model.folder.glob(pattern.format(split)))

    def file(self, lineage: str, layer: str, place: Place, seed: int | None = None) -> str:
        """The file in the results folder that a score of a system is in; "" if no command is known.

        Without a seed it is that of the only model of the lineage: a mean over several has no file of its own.
        """
        by_seed = self._files.get((lineage, layer, place), {})
        if seed is not None:
            return by_seed.get(seed, by_seed.get(None, ""))
        return next(iter(by_seed.values())) if len(by_seed) == 1 else ""

    def content(self) -> dict[str, Any] | None:
        """The values for the page of commands: system by system its files, in the order in which they are made."""
        if not self._commands:
            return None
        root = Path("results") / self._results.root.name
        systems = []
        for model in self._results.models:
            own = [file for file in self._commands if file.startswith(f"{model.folder.name}/")]
            own.sort(key=lambda file: "model" not in file.split("/"))  # the training comes first
            if own:
                systems.append((model.name, [self._entry(root, file) for file in own]))
        return {"systems": systems}

    def _entry(self, root: Path, file: str) -> dict[str, Any]:
        command = self._commands[file]
        words = [(shlex.quote(word), self._made(root, word)) for word in command.words]
        path = str(root / file)
        return {"file": file, "path": path, "target": shlex.quote(path), "words": words} | {
            "rule": command.rule,
            "log": command.log,
        }

    def _made(self, root: Path, word: str) -> str:
        """The file that a word of a command line names and that another command made: its anchor; "" if none."""
        file = word.removeprefix(f"{root}/")
        return next((name for name in (file, f"{file}/model.json") if name in self._commands), "")
