"""Several commands in one process, as rules run them."""

from __future__ import annotations

import json
from pathlib import Path
from types import SimpleNamespace
from typing import Annotated

import typer

from resdavenet_vq.commands import app, for_rules, replacing
from resdavenet_vq.errors import InputError, printable


@for_rules
def batch(
    rule: Annotated[str, typer.Argument(help="Of the workflow, like encode_codes.")],
    config: Annotated[str, typer.Option(help="JSON of the configuration.")],
    wildcards: Annotated[str, typer.Option(help='JSON: {"folder": "none-2", "split": "test"}.')] = "{}",
) -> None:
    """Make the results of a rule's job, each by its own command; results that are up to date stay."""
    from resdavenet_vq.config import Config
    from resdavenet_vq.workflow.batch import run
    from resdavenet_vq.workflow.batches import Batches
    from resdavenet_vq.workflow.plan import Plan

    plan = Plan(Config.from_json(config))
    tasks = Batches(plan).named(rule).tasks(SimpleNamespace(**json.loads(wildcards)))
    with replacing():
        run(tasks, Path(plan.root), _call, lambda line: typer.echo(printable(line), err=True))


def _call(words: list[str]) -> None:
    """Runs a command line in this process; an exit with another status than 0 is an error, as in a process of its own."""
    if status := app(words, standalone_mode=False):
        raise InputError(f"{words[0]}: exit status {status}")
