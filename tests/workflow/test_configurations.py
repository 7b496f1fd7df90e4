"""The shipped configurations of real corpora plan on files that stand in for the corpora."""

from pathlib import Path

import pytest
import yaml
from workflow.running import REPO, jobs_in, snakemake

from resdavenet_vq import config
from resdavenet_vq.workflow.plan import Plan

MINE = "corpus: {layout: places, name: mine, metadata: {train: /data/a.json, val: /data/b.json, test: /data/c.json}}"
"""What a user adds to a configuration without a corpus."""


def with_data_in(folder, name):
    """A shipped configuration, with a corpus that lies in a folder."""
    text = (REPO / "configs" / name).read_text()
    file = folder / name
    file.write_text((text if "\ncorpus:" in text else f"{text}\n{MINE}").replace("/data/", f"{folder}/data/"))
    return file


def test_a_corpus_that_is_not_there_is_named(tmp_path):
    file = with_data_in(tmp_path, "places.yaml")
    output = snakemake(tmp_path, "-n", configfiles=[file], succeeds=False)
    assert f"{tmp_path}/data/PlacesAudio400k/metadata/" in output


@pytest.mark.parametrize("name", sorted(path.name for path in (REPO / "configs").glob("*.yaml")))
def test_a_configuration_plans_once_its_files_are_there(name, tmp_path):
    file = with_data_in(tmp_path, name)
    plan = Plan(config.read(yaml.safe_load(file.read_text())))
    for split in plan.config.corpus.splits:
        for path in map(Path, plan.splits.corpus_files(split)):
            path.parent.mkdir(parents=True, exist_ok=True)
            path.touch() if path.suffix else path.mkdir(exist_ok=True)
    jobs = jobs_in(snakemake(tmp_path, "-n", "-q", "rules", configfiles=[file]))
    assert jobs["train"] >= len(plan.lineages)
    assert jobs["score_retrieval"] == len(plan.lineages)
    assert 2 <= jobs["prepare"] <= len(plan.config.corpus.splits)
