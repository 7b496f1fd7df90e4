"""How jobs are started, what they are given, and what is said of those that failed."""

from __future__ import annotations

import re
from collections.abc import Callable, Mapping
from pathlib import Path
from typing import Any


def launcher(resources: Mapping[str, Any]) -> str:
    """What starts a training's processes, from the resources that its job was granted.

    One process for a CPU or a GPU, torchrun for several GPUs of one machine. With `mpi` (`srun`), which needs `nodes` and
    `tasks_per_node`, or `tasks` in all, the cluster starts a process for each GPU of each node, and ends all when one fails.
    """
    gpus = resources.get("gpu", 0)
    if mpi := resources.get("mpi"):
        each = resources.get("tasks_per_node")
        processes = f"--ntasks-per-node {each}" if each else f"--ntasks {resources['tasks']}"
        return f"{mpi} --kill-on-bad-exit=1 --nodes {resources['nodes']} {processes} python"
    return f"torchrun --standalone --nproc-per-node {gpus}" if gpus > 1 else "python"


def growing(amount: int | str) -> Callable[[object, int], int | str]:
    """A resource of which a job gets more with each try: 8000 MB, then 16000; `4h`, then `8h`."""
    first, unit = (amount, "") if isinstance(amount, int) else (int(amount[:-1]), amount[-1])

    def of_try(wildcards: object, attempt: int) -> int | str:  # noqa: ARG001 - Snakemake names them
        return f"{first * attempt}{unit}" if unit else first * attempt

    return of_try


def what_to_do(log: str, root: Path) -> str:
    """After a failure: the logs to read, from Snakemake's own, and what to do next. `root` is where the results are."""
    failed = dict.fromkeys(
        re.findall(r"^Error in rule (\w+):(?:\n    .*)*?\n    log: (.+?)(?: \(check log file.*)?$", log, re.MULTILINE)
    )
    named = [f"  {rule}: {file}" for rule, file in failed] or [
        f"  {root}/logs/RULE/, where a job was started; else the message above"
    ]
    return "\n".join(
        [
            "Not finished. Why is in the logs of the jobs that failed:",
            *named,
            "Mend what they name, then give the same command again: what is done stays, and an unfinished training goes on where it stopped.",
        ]
    )
