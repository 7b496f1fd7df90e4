"""How a training is started, what job scripts cannot have, and the advice after a failure."""

from __future__ import annotations

import re
import shlex
from collections.abc import Iterable, Mapping
from pathlib import Path
from typing import Any

from resdavenet_vq.errors import InputError, listed


def launcher(resources: Mapping[str, Any]) -> list[str]:
    """The words of the command that starts a training's processes, from the resources of its job.

    One process for a CPU or a GPU, torchrun for several GPUs of one machine. With `mpi` (`srun`), which needs `nodes` and
    `tasks_per_node`, or `tasks` in all, the cluster starts a process for each GPU of each node, and ends all when one fails.
    """
    gpus = resources.get("gpu", 0)
    if mpi := resources.get("mpi"):
        each = resources.get("tasks_per_node")
        processes = ["--ntasks-per-node", str(each)] if each else ["--ntasks", str(resources["tasks"])]
        return [*shlex.split(mpi), "--kill-on-bad-exit=1", "--nodes", str(resources["nodes"]), *processes, "python"]
    return ["torchrun", "--standalone", "--nproc-per-node", str(gpus)] if gpus > 1 else ["python"]


def check_names(names: Iterable[object]) -> None:
    """Refuses paths and options that a cluster's job scripts cannot have: there Snakemake quotes them as Python does.

    Raises InputError with a line for each.
    """
    faults = [f"{name}: has {character}" for name in names for character in "'\\" if character in str(name)]
    if faults:
        raise InputError(
            "Snakemake cannot write these paths and options into the scripts of a cluster's jobs; give them other names:\n"
            + listed(faults)
        )


def advice(log: str, root: Path) -> str:
    """What to do after a failure: the logs to read, taken from Snakemake's own log. `root` is the folder of results."""
    failed = dict.fromkeys(
        re.findall(r"^Error in rule (\w+):(?:\n    .*)*?\n    log: (.+?)(?: \(check log file.*)?$", log, re.MULTILINE)
    )
    named = [f"  {rule}: {file}" for rule, file in failed] or [
        f"  {root}/logs/RULE/, where a job was started; else the message above"
    ]
    return "\n".join(
        [
            "Not finished. These logs of failed jobs say why:",
            *named,
            "Fix what they name, then run the same command again: finished results are kept, and an unfinished training",
            "resumes where it stopped.",
        ]
    )
