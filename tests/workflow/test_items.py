"""Item files of more than a megabyte: a touched one re-runs nothing, a changed one the ABX scores of its split alone."""

import pytest
import yaml
from workflow.planner import SIZE, ask
from workflow.staleness import REPO

from resdavenet_vq import config
from resdavenet_vq.files import write_digest
from resdavenet_vq.workflow.plan import Plan


def imported(tmp_path, items):
    metadata = {split: str(tmp_path / f"{split}.json") for split in ("train", "val", "test")}
    for file in metadata.values():
        (tmp_path / file).write_text("rows")
    corpus = {"layout": "places", "name": "imported", "metadata": metadata, "items": items}
    return {"corpus": corpus, "abx": {"splits": ["val", "test"]}, "lineages": ["{}"]}


@pytest.mark.parametrize("maker", ["make_corpus", "make_items", "their own"])
def test_a_touched_item_file_re_runs_nothing_and_a_changed_one_its_scores(tmp_path, checkout, maker):
    own = tmp_path / "own.item"
    changes = {"abx": {"splits": ["unseen", "test"]}, "lineages": ["{}"]}
    if maker != "make_corpus":
        changes = imported(tmp_path, {"test": str(own)} if maker == "their own" else {})
    values = yaml.safe_load((REPO / "config.yaml").read_text())
    values = config.overlay([values, changes])
    plan = Plan(config.read(values))
    item = tmp_path / plan.splits.items("test")
    item.parent.mkdir(parents=True, exist_ok=True)

    def write(letter):
        item.write_bytes(letter * SIZE)
        if maker != "their own":
            write_digest(item)

    def planned():
        return ask(checkout, [{"do": "plan", **question}])[0]

    question = {"folder": tmp_path, "config": values, "targets": plan.abx}
    write(b"x")
    ask(checkout, [{"do": "pretend", **question}])
    assert planned()["stale"] == {}
    item.touch()
    assert planned()["stale"] == {}
    write(b"y")
    scores = {score for score in plan.abx if "/abx/test/" in score}
    assert scores
    suffixes = (".phones.csv", ".speakers.csv", ".bootstrap.csv")
    tables = {score.replace(".json", suffix) for score in scores for suffix in suffixes}
    answer = planned()
    name = str(item.relative_to(tmp_path) if item.is_relative_to(tmp_path / "results") else item)
    reading = [part for part in answer["jobs"] if name in part["input"]]
    assert {file for part in reading for file in part["output"]} == scores | tables
    # Snakemake plans whole jobs, and each finds what it does not make of these items as it was
    of_them = {log for part in reading for log in part["log"]}
    assert {
        log for part in answer["jobs"] for log in part["log"] if set(part["output"]) & answer["stale"].keys()
    } == of_them
