"""What Snakemake would run, and why, from its own interface: one entry a job instead of its pages of text."""

from __future__ import annotations

import contextlib
import io
import os
from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from pathlib import Path
from types import ModuleType
from typing import Any

from resdavenet_vq.errors import InputError
from resdavenet_vq.workflow.changes import changes
from resdavenet_vq.workflow.refusals import message_alone


@dataclass(frozen=True)
class Job:
    """A job that would run."""

    rule: str
    outputs: tuple[str, ...]
    reasons: tuple[str, ...]
    """What it would run for by itself: missing files, changed keys, modules and files; none if only others make it run."""
    after: tuple[str, ...]
    """The rules of the jobs that would run before it."""


@dataclass(frozen=True)
class DryRun:
    """The jobs of a plan that would run, in an order in which they could, and how many jobs the plan has."""

    jobs: tuple[Job, ...]
    n_jobs: int


def dry_run(
    snakefile: Path, folder: Path, configfiles: Sequence[Path], values: Sequence[str], targets: Iterable[str]
) -> DryRun:
    """What `snakemake --directory FOLDER --configfile … --config VALUES … TARGETS` would run.

    As in profiles/default, jobs run again for changed times, parameters, inputs and commands. Raises InputError with
    Snakemake's message where it has none.
    """
    from snakemake.api import SnakemakeApi
    from snakemake.cli import parse_config
    from snakemake.exceptions import RuleException, WorkflowError
    from snakemake.logging import logger
    from snakemake.settings.types import (
        ConfigSettings,
        DAGSettings,
        OutputSettings,
        Quietness,
        RerunTrigger,
        ResourceSettings,
    )

    if missing := [str(file) for file in (snakefile, *configfiles) if not file.is_file()]:
        raise InputError(f"{missing[0]}: no such file")
    triggers = frozenset({RerunTrigger.MTIME, RerunTrigger.PARAMS, RerunTrigger.INPUT, RerunTrigger.CODE})
    before, output = Path.cwd(), io.StringIO()
    with SnakemakeApi(OutputSettings(quiet=frozenset({Quietness.ALL}))) as api:
        try:
            with contextlib.redirect_stdout(output), contextlib.redirect_stderr(output):
                logger.disabled = True
                workflow = api.workflow(
                    resource_settings=ResourceSettings(cores=1),
                    config_settings=ConfigSettings(
                        config=parse_config(list(values)),
                        configfiles=[file.absolute() for file in configfiles],
                        config_args=list(values),
                    ),
                    snakefile=snakefile.absolute(),
                    workdir=folder.absolute(),
                )
                workflow.dag(
                    DAGSettings(targets=frozenset(targets), rerun_triggers=triggers, force_incomplete=True)
                ).summary()
                dag = workflow._workflow.dag  # noqa: SLF001 - the interface has no other way to the reasons
                config = _settings(workflow._workflow.globals).model_dump(mode="json")  # noqa: SLF001
                order = [job for level in dag.toposorted() for job in level]
                jobs = tuple(_job(dag, job, config) for job in order if dag.needrun(job) and job.output)
                return DryRun(jobs, sum(bool(job.output) for job in order))
        except (RuleException, WorkflowError) as e:
            raise InputError(message_alone(str(e))) from None
        finally:
            logger.disabled = False
            os.chdir(before)


def _settings(names: dict[str, Any]) -> Any:
    """The settings among the names of a Snakefile: its own, or those of a module that it uses.

    Raises InputError where there are none: the Snakefile is of another workflow.
    """
    from resdavenet_vq.config import Config

    for space in (names, *(vars(module) for module in names.values() if isinstance(module, ModuleType))):
        if isinstance(space.get("settings"), Config):
            return space["settings"]
    raise InputError("the Snakefile neither is this workflow nor uses it as a module; --snakefile names another one")


def reasons_of(dag: Any, job: Any, config: dict[str, Any]) -> list[str]:
    """All reasons of a job's own in Snakemake's plan: Snakemake stops looking at the first one.

    `config` is today's configuration, which names the keys.
    """
    reason, records = dag.reason(job), dag.workflow.persistence
    reasons = ["forced"] * bool(reason.forced)
    if reason.missing_output:
        reasons.append("not made yet")
    if reason.incomplete_output:
        reasons.append("interrupted before")
    if change := records.params_changed(job):
        names = {repr(value): name for name, value in job.params.items()}
        reasons += changes(change.only_old, change.only_new, names, config)
    if any(records.code_changed(job)):
        reasons.append("the rule's command")
    inputs = set(map(str, job.input))
    for output in records.input_changed(job):
        before = set(records.input(output))
        for what, files in (("new input", inputs - before), ("no longer input", before - inputs)):
            reasons += [f"{what} {_several(files)}"] if files else []
    reasons = list(dict.fromkeys(reasons))
    return reasons + [f"file {file}" for file in sorted(map(str, reason.updated_input))]


def _several(files: set[str]) -> str:
    """The first file by name, and how many more there are."""
    first = min(files)
    return first if len(files) == 1 else f"{first} and {len(files) - 1} more"


def _job(dag: Any, job: Any, config: dict[str, Any]) -> Job:
    before = sorted({other.rule.name for other in dag.dependencies[job] if dag.needrun(other)})
    return Job(job.rule.name, tuple(map(str, job.output)), tuple(reasons_of(dag, job, config)), tuple(before))
