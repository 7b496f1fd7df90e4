"""How a training is started, what job scripts cannot have, and the advice after a failure."""

from __future__ import annotations

import re
import shlex
from collections.abc import Iterable, Mapping
from pathlib import Path
from typing import Any

from resdavenet_vq.errors import InputError, listed


def launcher(resources: Mapping[str, Any]) -> list[str]:
    """The words of the command that starts the processes of a training, or of an encoder, from the resources of its job.

    One process for a CPU, which sees no GPU, or a GPU; torchrun for several GPUs of one machine. With `mpi` (`srun`), which needs `nodes` and
    `tasks_per_node`, or `tasks` in all, the cluster starts a process for each GPU of each node, and ends all when one fails.
    """
    gpus = resources.get("gpu", 0)
    if mpi := resources.get("mpi"):
        each = resources.get("tasks_per_node")
        processes = ["--ntasks-per-node", str(each)] if each else ["--ntasks", str(resources["tasks"])]
        return [*shlex.split(mpi), "--kill-on-bad-exit=1", "--nodes", str(resources["nodes"]), *processes, "python"]
    if not gpus:
        return ["env", "CUDA_VISIBLE_DEVICES=", "python"]
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


INTERRUPTIONS = ("Terminating processes on user request", "Will exit after finishing currently running jobs")
"""What Snakemake (9.27) says when Ctrl-C, or SIGTERM, ends it."""


def advice(log: str, root: Path) -> str:
    """What to do after a run that did not finish: the logs of failed jobs, or that nothing has failed.

    `log` is Snakemake's own log, and `root` the folder of results. Jobs that an interruption ended have not failed.
    """
    jobs = dict.fromkeys(
        re.findall(r"^Error in rule (\w+):(?:\n    .*)*?\n    log: (.+?)(?: \(check log file.*)?$", log, re.MULTILINE)
    )
    is_interrupted = any(text in log for text in INTERRUPTIONS)
    failed = [f"  {rule}: {file}" for rule, file in jobs if not is_interrupted or _has_error(Path(file))]
    if is_interrupted and not failed:
        return (
            "Interrupted; the same command goes on: finished results are kept, and an unfinished training resumes where\n"
            "it stopped."
        )
    return "\n".join(
        [
            "Interrupted, after jobs had failed. These logs say why:"
            if is_interrupted
            else "Not finished. These logs of failed jobs say why:",
            *(failed or [f"  {root}/logs/RULE/, where a job was started; else the message above"]),
            "Fix what they name, then run the same command again: finished results are kept, and an unfinished training",
            "resumes where it stopped.",
        ]
    )


def _has_error(log: Path) -> bool:
    """Whether a job's log has an error of its own; one that is interrupted says so or nothing."""
    text = log.read_text(encoding="utf-8", errors="replace") if log.is_file() else ""
    return any(line.startswith("error: ") and "stopped by SIG" not in line for line in text.splitlines())
