"""The shipped configurations of real corpora plan on files that stand in for the corpora."""

from pathlib import Path

import pytest
import yaml
from workflow.running import REPO, dry_runs, jobs_in, snakemake

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


def test_a_corpus_that_is_not_there_is_named(forking, tmp_path):
    file = with_data_in(tmp_path, "places.yaml")
    output = snakemake(tmp_path, "-n", configfiles=[file], succeeds=False, **forking)
    for split in ("train", "val"):
        path = f"{tmp_path}/data/PlacesAudio400k/metadata/{split}_original_with_alignments.json"
        assert f"corpus.metadata.{split}: {path}: no such file or folder" in output


FAULTS = {
    "corpus: {name: x}": "corpus.layout: missing. A corpus is given whole",
    "lineages: [{2}]": 'lineages.0: must be text, not {"2": null}; YAML reads {...} as a mapping: write it in quotes, "{2}"',
    'lineages: ["{6}"]': "lineages.0: '{6}' is no lineage: stages are written like {2,3}, with numbers from 1 to 5",
    "corpus: {layout: places, name: 2019, metadata: {train: a, val: b, test: c}}": 'corpus.name: must be text, not 2019; write it in quotes: "2019"',
    "corpus: {layout: places, name: x, metadata: {train: a, val: b}}": "retrieval.split: the corpus has no split 'test'; known are train, val",
    "training: {overrides: {'{2}': {epochs: 3}}}": "training.overrides.{2}: is none of the lineages, nor an ancestor",
    "abx: {splits: test}": "abx.splits: must be a list, not 'test'; write [test]",
    "training:": "training: nothing stands after the colon (null)",
    'corpus: {layout: places, name: x, metadata: {}}\nlineages: ["{}"]\nmodel: {}\ntraining: {}': "training.split: missing; it must be given",
    "training: [epochs]": 'training: must be a mapping, such as `key: value`, not ["epochs"]',
}  # fmt: skip
ARGUMENTS = {
    "corpus={name: x}": "corpus.layout: missing. A corpus is given whole",
    "lineages={}": "lineages: must be a list, not {}; YAML reads {...} as a mapping: write",
    "seeds=[1, 2]": "seeds.0: must be a whole number, not '1'; write it without quotes, and in a file",
    "recipe=2": "recipe: must be a mapping, such as `key: value`, not 2",
}


def test_a_fault_stops_a_dry_run_with_its_remedy(tmp_path):
    lines = [["--configfile", f"{n}.yaml"] for n, _ in enumerate(FAULTS)] + [["--config", text] for text in ARGUMENTS]
    for n, text in enumerate(FAULTS):
        (tmp_path / f"{n}.yaml").write_text(text)
    answers = dry_runs(tmp_path, [["--snakefile", REPO / "Snakefile", "-q", "rules", *line] for line in lines])
    for (status, output), (text, line) in zip(answers, (FAULTS | ARGUMENTS).items(), strict=True):
        assert status == 1, text
        assert line in output, output
        assert "Traceback" not in output, output
        base = "configs/small_corpus.yaml" if text.startswith("corpus") else "config.yaml"
        below = "so it stands alone" if "model: {}" in text else f"What it does not give is from {base}."
        assert below in output


def test_a_corpus_replaces_the_demo_and_a_key_of_it_changes_the_demo(tmp_path):
    for name, text in {"mine": MINE, "few": "corpus: {pairs: {val: 3}}", "abx": "abx: {splits: [test]}"}.items():
        (tmp_path / f"{name}.yaml").write_text(text.replace("/data/", f"{tmp_path}/"))
    for name in "abc":
        (tmp_path / f"{name}.json").touch()
    place = ["--snakefile", REPO / "Snakefile", "-p", "--configfile", REPO / "config.yaml"]
    replaced, changed = dry_runs(tmp_path, [
        [*place, "mine.yaml", "abx.yaml", "--", "results/mine/data/val.h5"],
        [*place, "few.yaml", "--", "results/spoken_scenes/data/val.h5"],
    ])  # fmt: skip
    assert replaced[0] == changed[0] == 0, (replaced, changed)
    assert "make_corpus" not in replaced[1]
    assert '"val": 3' in changed[1]


@pytest.mark.parametrize("name", sorted(path.name for path in (REPO / "configs").glob("*.yaml")))
def test_a_configuration_plans_once_its_files_are_there(name, forking, tmp_path):
    file = with_data_in(tmp_path, name)
    plan = Plan(config.read(yaml.safe_load(file.read_text())))  # that of small corpora with its sections stands alone
    for split in plan.config.corpus.splits:
        for path in map(Path, plan.splits.corpus_files(split)):
            path.parent.mkdir(parents=True, exist_ok=True)
            path.touch() if path.suffix else path.mkdir(exist_ok=True)
    jobs = jobs_in(snakemake(tmp_path, "-n", "-q", "rules", configfiles=[file], **forking))
    assert jobs["train"] >= len(plan.lineages)
    assert jobs["score_retrieval"] == len(plan.lineages)
    assert 2 <= jobs["prepare"] <= len(plan.config.corpus.splits)
