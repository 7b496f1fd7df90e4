"""What the benchmarks share: costs of sides that take turns, whole processes, and where results go."""

from __future__ import annotations

import ctypes
import json
import os
import platform
import resource
import statistics
import subprocess
import time
from collections.abc import Callable, Mapping, Sequence
from contextlib import suppress
from datetime import UTC, datetime
from pathlib import Path
from typing import Any, NamedTuple

REPO = Path(__file__).resolve().parents[1]

RESULTS = Path(os.environ.get("BENCHMARK_RESULTS") or Path(__file__).parent / "results")
"""Where results go; the environment says where those of a trial go."""

PR_SET_CHILD_SUBREAPER = 36


class Cost(NamedTuple):
    """Processor seconds, those of child processes included, and wall seconds."""

    cpu: float
    wall: float


def cost(work: Callable[[], object]) -> Cost:
    """What one call costs."""
    children, own, wall = _children(), time.process_time(), time.perf_counter()
    work()
    wall, own = time.perf_counter() - wall, time.process_time() - own
    return Cost(own + _children() - children, wall)


def measure(sides: Mapping[str, Callable[[], object]], repeats: int, warm_up: int = 0) -> dict[str, dict[str, float]]:
    """Medians of `cpu_seconds` and `wall_seconds` of each side; the sides take turns, `warm_up` more turns count not."""
    costs: dict[str, list[Cost]] = {side: [] for side in sides}
    for turn in range(warm_up + repeats):
        for side, work in sides.items():
            once = cost(work)
            if turn >= warm_up:
                costs[side].append(once)
    return medians(costs)


def medians(costs: Mapping[str, Sequence[Cost]]) -> dict[str, dict[str, float]]:
    """`cpu_seconds` and `wall_seconds` by side."""
    return {
        name: {side: round(statistics.median(getattr(c, unit) for c in each), 5) for side, each in costs.items()}
        for name, unit in (("cpu_seconds", "cpu"), ("wall_seconds", "wall"))
    }


def row(
    what: str, seconds: Mapping[str, Mapping[str, float]], *, by: str = "cpu_seconds", **more: Any
) -> dict[str, Any]:
    """A row of a result: the seconds of the sides, and the first side's by the last side's, which is the package's.

    The ratio is that of processor seconds, or where several processes or a GPU work of `wall_seconds`.
    """
    by_side = seconds[by]
    first, *_, package = by_side
    ratio = by_side[first] / by_side[package] if by_side[package] else None
    print(
        f"{what:48}",
        *(f"{side} {value:9.4f} s" for side, value in by_side.items()),
        f"{ratio:8.2f} x" if ratio else "",
        flush=True,
    )
    return {"what": what, **seconds, "by": by, "ratio": ratio and round(ratio, 2), **more}


def run(command: Sequence[str | Path], threads: int | None = 1) -> str:
    """The standard output of a command of Python, which is a process of its own, once all its processes have ended.

    `threads` is that of libraries which compute with several; None is their choice. Threads that wait in a loop for work
    would count as processor time.
    """
    environment = os.environ | {"PYTHONPATH": str(REPO)}
    if threads is not None:
        environment |= dict.fromkeys(("OMP_NUM_THREADS", "OPENBLAS_NUM_THREADS", "MKL_NUM_THREADS"), str(threads))
    own = _running_children().keys()
    be_heir = ctypes.CDLL(None).prctl
    be_heir(PR_SET_CHILD_SUBREAPER, 1, 0, 0, 0)
    try:
        done = subprocess.run(
            [*map(str, command)], cwd=REPO, env=environment, capture_output=True, text=True, check=False
        )
        while heirs := _running_children().keys() - own:  # a server of workers may end after the program
            for process in heirs:
                os.waitpid(process, 0)
    finally:
        be_heir(PR_SET_CHILD_SUBREAPER, 0, 0, 0, 0)
    if done.returncode:
        raise RuntimeError(f"{' '.join(map(str, command))}: exit status {done.returncode}\n{done.stderr}")
    return done.stdout


def write(name: str, result: Mapping[str, Any]) -> None:
    """Writes results/NAME.json, with the date and the processor."""
    about = {"date": datetime.now(UTC).date().isoformat(), "cpu": processor(), "cores": os.cpu_count()}
    RESULTS.mkdir(exist_ok=True)
    (RESULTS / f"{name}.json").write_text(json.dumps(about | dict(result), indent=1) + "\n", encoding="utf-8")


def processor() -> str:
    """Its name."""
    info = Path("/proc/cpuinfo")
    lines = info.read_text().splitlines() if info.exists() else []
    return next(
        (line.split(":", 1)[1].strip() for line in lines if line.startswith("model name")), platform.processor()
    )


def _children() -> float:
    """Processor seconds of all child processes.

    Those of workers whose parent is a server of workers are in the account of that server, and in this process's only when
    the server ends.
    """
    ended = resource.getrusage(resource.RUSAGE_CHILDREN)
    return ended.ru_utime + ended.ru_stime + sum(_running_children().values())


def _running_children() -> dict[int, float]:
    """Processor seconds of the child processes that have not ended, and of those of their own that have, by number."""
    children = {}
    for process in Path("/proc").glob("[0-9]*/stat"):
        with suppress(OSError):
            fields = process.read_text().rpartition(")")[2].split()
            if int(fields[1]) == os.getpid():
                children[int(process.parent.name)] = sum(map(int, fields[11:15])) / os.sysconf("SC_CLK_TCK")
    return children
