"""What code a result depends on: a fingerprint of a module and of all that it imports from this package.

Rules put it into their `params`, so that Snakemake re-runs what a changed module can change, and nothing
for a comment, a docstring, a reformatted line or a touched file: the syntax tree is what counts.
"""

from __future__ import annotations

import ast
import hashlib
from functools import cache
from pathlib import Path

PACKAGE = Path(__file__).resolve().parent

RESULT_FREE = frozenset({"commands", "config", "errors", "fingerprint", "processes", "progress", "workflow"})
"""Modules that no result depends on: types of values that reach commands as parameters, messages, progress bars, planning, and
how processes end."""


def fingerprint(module: str, package: Path = PACKAGE) -> str:
    """The modules behind a module, each with a hash of its code.

    As text, e.g. `evaluation.retrieval:1f3a77c0 files:9b2101aa`, so that Snakemake's reason for running a job
    again shows which of them changed. `module` is relative to the package: `evaluation.retrieval`.
    """
    return " ".join(f"{name}:{_hash(package, name, _stamp(package, name))}" for name in closure(module, package))


def closure(module: str, package: Path = PACKAGE) -> tuple[str, ...]:
    """The module and all that it imports from the package, directly or not, sorted, without empty packages and RESULT_FREE."""
    modules: set[str] = set()
    todo = [module]
    while todo:
        name = todo.pop()
        if name in modules or name.split(".")[0] in RESULT_FREE:
            continue
        modules.add(name)
        todo += _imports(package, name, _stamp(package, name))
        parent = name.rpartition(".")[0]
        if parent and _holds_code(package, parent, _stamp(package, parent)):
            todo.append(parent)  # importing a module runs its package's own text first
    return tuple(sorted(modules))


def content(folder: str, package: Path = PACKAGE) -> str:
    """A short hash of all files in a folder of the package: templates and the like, which are no modules."""
    digest = hashlib.sha256()
    for file in sorted(package.joinpath(folder).iterdir()):
        digest.update(f"{file.name}:{hashlib.sha256(file.read_bytes()).hexdigest()}\n".encode())
    return f"{folder}:{digest.hexdigest()[:8]}"


def _file(package: Path, name: str) -> Path | None:
    """The file of a module named relative to the package, or None."""
    path = package.joinpath(*name.split("."))
    return next((f for f in (path.with_suffix(".py"), path / "__init__.py") if f.is_file()), None)


def _stamp(package: Path, name: str) -> tuple[int, int]:
    """The time and size of a module's file, by which the caches distinguish its versions."""
    file = _file(package, name)
    if file is None:
        raise ModuleNotFoundError(f"{package.name} has no module {name}")
    stat = file.stat()
    return stat.st_mtime_ns, stat.st_size


@cache
def _tree(package: Path, name: str, stamp: tuple[int, int]) -> ast.Module:  # noqa: ARG001 - part of the cache's key
    file = _file(package, name)
    assert file is not None
    return ast.parse(file.read_text(encoding="utf-8"))


@cache
def _imports(package: Path, name: str, stamp: tuple[int, int]) -> frozenset[str]:
    """Modules of the package imported anywhere in a module's text, inside functions too; typing-only imports count."""
    prefix = f"{package.name}."
    imports: set[str] = set()
    for node in ast.walk(_tree(package, name, stamp)):
        if isinstance(node, ast.Import):
            imports |= {alias.name for alias in node.names}
        elif isinstance(node, ast.ImportFrom) and node.level == 0 and node.module:
            imports |= {node.module} | {f"{node.module}.{alias.name}" for alias in node.names}
    names = {full.removeprefix(prefix) for full in imports if full.startswith(prefix)}
    return frozenset(n for n in names if _file(package, n) is not None)


@cache
def _holds_code(package: Path, name: str, stamp: tuple[int, int]) -> bool:
    """Whether a module has more than a docstring and a line from the future."""
    nodes = _tree(package, name, stamp).body
    return any(
        not (isinstance(n, ast.Expr) or (isinstance(n, ast.ImportFrom) and n.module == "__future__")) for n in nodes
    )


@cache
def _hash(package: Path, name: str, stamp: tuple[int, int]) -> str:
    """A short hash of the module's syntax tree without docstrings."""
    tree = _tree(package, name, stamp)
    for node in ast.walk(tree):
        if (
            isinstance(node, ast.Module | ast.ClassDef | ast.FunctionDef | ast.AsyncFunctionDef)
            and ast.get_docstring(node, clean=False) is not None
        ):
            node.body = node.body[1:]
    return hashlib.sha256(ast.dump(tree).encode()).hexdigest()[:8]
