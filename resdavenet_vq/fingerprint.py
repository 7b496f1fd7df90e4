"""What code a result depends on: a fingerprint of a module and of all that it imports from this package.

Rules put it into their `params`, so that Snakemake re-runs what a changed module can change, and nothing
for a comment, a docstring, a reformatted line or a touched file: the syntax tree is what counts.
"""

from __future__ import annotations

import ast
import hashlib
import importlib.util
import json
import os
import platform
from contextlib import suppress
from functools import cache
from pathlib import Path
from typing import NamedTuple

from resdavenet_vq.errors import InputError
from resdavenet_vq.files import write_json

PACKAGE = Path(__file__).resolve().parent

RESULT_FREE = frozenset(
    {"commands", "config", "devices", "errors", "fingerprint", "model_card", "processes", "progress", "workflow"}
)
"""Modules that no result depends on: types of values that reach commands as parameters, messages, progress bars, planning,
which device a process takes, how processes end, and what a model card tells people."""


def fingerprint(module: str, package: Path = PACKAGE) -> str:
    """The modules behind a module, each with a hash of its code.

    As text, e.g. `evaluation.retrieval:1f3a77c0 files:9b2101aa`, so that Snakemake's reason for running a job
    again shows which of them changed. `module` is relative to the package: `evaluation.retrieval`.
    """
    sources = _Sources(package)
    text = " ".join(f"{name}:{sources[name].hash}" for name in _closure(module, sources))
    _summaries(package).save()
    return text


def closure(module: str, package: Path = PACKAGE) -> tuple[str, ...]:
    """The module and all that it imports from the package, directly or not, sorted, without empty packages and RESULT_FREE."""
    return _closure(module, _Sources(package))


def content(folder: str, package: Path = PACKAGE) -> str:
    """A short hash of all files in a folder of the package: templates and the like, which are no modules."""
    digest = hashlib.sha256()
    for file in sorted(package.joinpath(folder).iterdir()):
        digest.update(f"{file.name}:{hashlib.sha256(file.read_bytes()).hexdigest()}\n".encode())
    return f"{folder}:{digest.hexdigest()[:8]}"


def _closure(module: str, sources: _Sources) -> tuple[str, ...]:
    modules: set[str] = set()
    todo = [module]
    while todo:
        name = todo.pop()
        if name in modules or name.split(".")[0] in RESULT_FREE:
            continue
        modules.add(name)
        todo += [imported for imported in sources[name].imports if imported in sources]
        parent = name.rpartition(".")[0]
        if parent and sources[parent].holds_code:
            todo.append(parent)  # importing a module runs its package's own text first
    return tuple(sorted(modules))


class _Summary(NamedTuple):
    """What a fingerprint needs to know of a module's text."""

    hash: str
    """A short hash of its syntax tree without docstrings."""
    holds_code: bool
    """Whether it has more than a docstring and a line from the future."""
    imports: list[str]
    """What it imports from the package, relative to it, inside functions and for typing too; names of objects among modules."""


class _Sources:
    """The modules of a package as they are on the disk now, each looked at once."""

    def __init__(self, package: Path) -> None:
        self._package = package
        self._stamps: dict[str, tuple[str, int, int] | None] = {}

    def __contains__(self, name: str) -> bool:
        return self._stamp(name) is not None

    def __getitem__(self, name: str) -> _Summary:
        stamp = self._stamp(name)
        if stamp is None:
            raise ModuleNotFoundError(f"{self._package.name} has no module {name}")
        return _summary(self._package, name, stamp)

    def _stamp(self, name: str) -> tuple[str, int, int] | None:
        """The path, time and size of a module's file, by which its versions are distinguished; None if it has none."""
        if name not in self._stamps:
            path = os.path.join(self._package, *name.split("."))  # noqa: PTH118 - thousands of times
            self._stamps[name] = None
            for file in (f"{path}.py", os.path.join(path, "__init__.py")):  # noqa: PTH118
                with suppress(FileNotFoundError, NotADirectoryError):
                    stat = os.stat(file)  # noqa: PTH116
                    self._stamps[name] = file, stat.st_mtime_ns, stat.st_size
                    break
        return self._stamps[name]


@cache
def _summary(package: Path, name: str, stamp: tuple[str, int, int]) -> _Summary:
    text = Path(stamp[0]).read_bytes()
    return _summaries(package).of(name, text)


@cache
def _summaries(package: Path) -> _Summaries:
    return _Summaries(package)


class _Summaries:
    """The summaries of modules by the digests of their texts, kept where Python keeps the modules that it has compiled.

    Parsing the package takes longer than Snakemake takes for the rest of its plan.
    """

    def __init__(self, package: Path) -> None:
        self._package = package
        self._cache = Path(importlib.util.cache_from_source(package / "fingerprint.py")).with_suffix(".json")
        own = hashlib.sha256(Path(__file__).read_bytes()).hexdigest()
        self._maker = f"Python {platform.python_version()} {own}"  # another parser, or another hash
        self._is_saved = True
        self._entries: dict[str, tuple[str, _Summary]] = {}
        with suppress(OSError, ValueError, KeyError, TypeError):  # none yet, or damaged
            kept = json.loads(self._cache.read_bytes())
            if kept["maker"] == self._maker:
                self._entries = {
                    name: (digest, _Summary(*values)) for name, (digest, values) in kept["modules"].items()
                }

    def of(self, name: str, text: bytes) -> _Summary:
        """The summary of a module with this text."""
        digest = hashlib.sha256(text).hexdigest()
        if name not in self._entries or self._entries[name][0] != digest:
            self._entries[name] = digest, _summarized(self._package.name, text)
            self._is_saved = False
        return self._entries[name][1]

    def save(self) -> None:
        """Writes what is new."""
        if not self._is_saved:
            self._is_saved = True
            with suppress(InputError):  # a checkout of others, or a full disk
                write_json(self._cache, {"maker": self._maker, "modules": self._entries})


def _summarized(package: str, text: bytes) -> _Summary:
    prefix = f"{package}."
    tree = ast.parse(text)
    holds_code = any(
        not (isinstance(n, ast.Expr) or (isinstance(n, ast.ImportFrom) and n.module == "__future__")) for n in tree.body
    )
    imports: set[str] = set()
    for node in ast.walk(tree):
        if isinstance(node, ast.Import):
            imports |= {alias.name for alias in node.names}
        elif isinstance(node, ast.ImportFrom):
            if node.level == 0 and node.module:
                imports |= {node.module} | {f"{node.module}.{alias.name}" for alias in node.names}
        elif (
            isinstance(node, ast.Module | ast.ClassDef | ast.FunctionDef | ast.AsyncFunctionDef)
            and ast.get_docstring(node, clean=False) is not None
        ):
            node.body = node.body[1:]
    names = sorted(full.removeprefix(prefix) for full in imports if full.startswith(prefix))
    return _Summary(hashlib.sha256(ast.dump(tree).encode()).hexdigest()[:8], holds_code, names)
