"""What each target asks for, where, and that corpora in one folder leave each other alone."""

from pathlib import Path

import pytest
import yaml
from workflow import planner
from workflow.running import REPO, snakemake
from workflow.staleness import World

from resdavenet_vq.workflow.jobs import advice

DEMO = World.named("demo")
ROOT = "results/scenes"
ENCODED = {"make_corpus", "prepare", "train"}
OF_MODELS = {"encode_embeddings", "encode_maps", "encode_codes", "encode_features"}
"""One job makes them of a model and a split."""
CLUSTERED = {"make_untrained", "fit_kmeans", "encode_kmeans"}
TARGETS = {
    "models": ENCODED,
    "retrieval": ENCODED | OF_MODELS | {"score_retrieval", "score_matchmap"},
    "abx": ENCODED | CLUSTERED | OF_MODELS | {"encode_logmel", "score_abx", "pack_submission"},
    "words": ENCODED | CLUSTERED | OF_MODELS | {"detect_words"},
    f"{ROOT}/summary.csv": ENCODED
    | CLUSTERED
    | OF_MODELS
    | {
        "encode_logmel",
        "score_retrieval",
        "score_matchmap",
        "score_abx",
        "pack_submission",
        "detect_words",
        "summarize",
    },
    f"{ROOT}/none-2/model/model.json": ENCODED,
    f"{ROOT}/none/retrieval/test.json": ENCODED
    | (OF_MODELS - {"encode_codes"})
    | {"score_retrieval", "score_matchmap"},
    f"{ROOT}/none-2/codes/val.h5": ENCODED | {"encode_codes"},
    f"{ROOT}/data/test.h5": {"make_corpus", "prepare"},
    f"{ROOT}/figures/words.pdf": None,
}


@pytest.fixture(scope="module")
def answers(checkout, tmp_path_factory):
    """Each target's plan in an empty folder; then two corpora in one folder."""
    empty, shared = tmp_path_factory.mktemp("empty"), tmp_path_factory.mktemp("shared")
    other = DEMO.values | {"corpus": DEMO.values["corpus"] | {"name": "others", "seed": 2}}
    asked = [{"do": "plan", "folder": empty, "config": DEMO.values, "targets": [target]} for target in TARGETS]
    first = {"folder": shared, "config": DEMO.values, "targets": DEMO.targets}
    second = {"folder": shared, "config": other, "targets": DEMO.targets}
    asked += [
        {"do": "pretend", **first},
        {"do": "plan", **second},
        {"do": "pretend", **second},
        {"do": "plan", **first},
        {"do": "plan", **second},
    ]
    return dict(
        zip([*TARGETS, "made", "beside", "made too", "first", "second"], planner.ask(checkout, asked), strict=True)
    )


@pytest.mark.parametrize(("target", "rules"), TARGETS.items())
def test_a_target_makes_what_it_needs_and_what_the_same_jobs_make(target, rules, answers):
    stale = answers[target]["stale"].keys()
    made = {job["rule"] for job in answers[target]["jobs"] if stale & set(job["output"])}
    assert made == rules if rules else "draw_figure" in made
    assert all(output.startswith(f"{ROOT}/") for output in answers[target]["stale"])


def test_a_lineage_asked_for_by_its_path_trains_its_parents_alone(answers):
    models = {
        Path(output).parent.parent.name
        for output in answers[f"{ROOT}/none-2/model/model.json"]["stale"]
        if "/model/" in output
    }
    assert models == {"none", "none-2"}
    assert not any("none-2/" in output for output in answers[f"{ROOT}/none/retrieval/test.json"]["stale"])


def test_two_corpora_in_one_folder_leave_each_other_alone(answers):
    assert answers["beside"]["stale"]
    assert all(output.startswith("results/others/") for output in answers["beside"]["stale"])
    assert answers["first"]["stale"] == answers["second"]["stale"] == {}


def test_lineages_on_the_command_line_and_another_directory(forking, tmp_path):
    elsewhere = tmp_path / "elsewhere"
    elsewhere.mkdir()
    output = snakemake(elsewhere, "-n", "models", "--config", 'lineages=["{3}->{2,3}"]', **forking)
    assert "results/spoken_scenes/3-23/model/model.json" in output
    assert "results/spoken_scenes/none/" not in output


def test_after_a_failure_the_logs_to_read_are_named():
    log = """
Error in rule train:
    message: None
    jobid: 3
    input: results/x/data/train.h5
    output: results/x/none/model/model.json
    log: results/x/logs/train/none.log (check log file(s) for error details)
    shell:
        python
Error in rule prepare:
    jobid: 5
    log: results/x/logs/prepare/val.log (check log file(s) for error details)
"""
    said = advice(log, Path("results/x"))
    assert "  train: results/x/logs/train/none.log\n  prepare: results/x/logs/prepare/val.log\n" in said
    assert "same command again" in said
    assert "results/x/logs" in advice("nothing was started", Path("results/x"))


def test_a_run_that_fails_says_which_log_to_read_and_advice(forking, tmp_path):
    """A corpus whose JSON is cut short: real jobs, a real failure."""
    (tmp_path / "mine.yaml").write_text(
        "corpus: {layout: places, name: mine, metadata: {train: bad.json, val: bad.json}}\n"
    )
    configuration = (REPO / "configs/places.yaml").read_text()
    (tmp_path / "places.yaml").write_text(configuration)
    (tmp_path / "bad.json").write_text('{"data": [')
    target, files = "results/mine/data/val.h5", ["places.yaml", "mine.yaml"]
    output = snakemake(tmp_path, target, configfiles=files, succeeds=False, **forking)
    assert "prepare: results/mine/logs/prepare/val.log\nFix what they name" in output


def test_clusters_are_fitted_on_the_training_split_alone(checkout, tmp_path):
    """Whatever it is called; no other split is even an input of the command."""
    values = yaml.safe_load((REPO / "config.yaml").read_text())
    values["corpus"]["pairs"] = {"learn": 40, "val": 20, "test": 20}
    values["training"]["split"] = values["words"]["split"] = "learn"
    targets = [f"results/spoken_scenes/{folder}/kmeans.h5" for folder in ("kmeans", "kmeans-of-untrained")]
    (jobs,) = planner.ask(checkout, [{"do": "jobs", "folder": tmp_path, "config": values, "targets": targets}])
    stores = [
        {Path(file).name for file in job["input"] if "/data/" in file and file.endswith(".h5")}
        for job in jobs
        if job["rule"] == "fit_kmeans"
    ]
    assert stores == [{"learn.h5"}] * 2
