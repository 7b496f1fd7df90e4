"""Plans of shipped configurations with changes."""

from pathlib import Path

import yaml

from resdavenet_vq import config
from resdavenet_vq.workflow.plan import Plan

REPO = Path(__file__).resolve().parents[2]


def values_of(file="config.yaml", **sections):
    """A shipped configuration; of a section that is a mapping the given keys are changed, any other is replaced."""
    values = yaml.safe_load((REPO / file).read_text())
    if "lineages" in sections:  # as in a run, settings for single trainings go with the lineages that they are of
        values = config.overlay([values, {"lineages": sections["lineages"]}])
    for name, changes in sections.items():
        old = values.get(name)
        values[name] = old | changes if isinstance(old, dict) and isinstance(changes, dict) else changes
    return values


def plan_of(file="config.yaml", **sections):
    return Plan(config.read(values_of(file, **sections)))
