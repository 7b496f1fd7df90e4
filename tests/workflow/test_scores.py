"""Which scores a change makes anew: none for lineages that come or go; and noisy copies have no rules of their own."""

from pathlib import Path

import pytest
from workflow import planner
from workflow.staleness import World

DEMO = World.named("demo")
LINEAGES = ["{}", "{}->{2}", "{}->{2}->{2,3}"]
TARGETS = ["retrieval", "abx", "words", "noise"]


@pytest.fixture(scope="module")
def answers(checkout, tmp_path_factory):
    def question(do, folder, lineages, **more):
        return {"do": do, "folder": folder, "config": DEMO.values | {"lineages": lineages}, "targets": TARGETS} | more

    all_three, two = tmp_path_factory.mktemp("three"), tmp_path_factory.mktemp("two")
    questions = {
        "pretend three": question("pretend", all_three, LINEAGES),
        "fewer": question("plan", all_three, LINEAGES[:2]),
        "jobs": question("jobs", all_three, LINEAGES),
        "pretend two": question("pretend", two, LINEAGES[:2]),
        "more": question("plan", two, LINEAGES),
    }
    return dict(zip(questions, planner.ask(checkout, list(questions.values())), strict=True))


def is_of_clusters(output):
    """Clusters follow the quantizers of all lineages: those of quant3 come and go with the last one that has it."""
    return Path(output).parts[2].startswith("kmeans")


def test_fewer_lineages_re_score_no_model(answers):
    stale = answers["fewer"]["stale"]
    assert {answer["rule"] for output, answer in stale.items() if not is_of_clusters(output)} == {"summarize_noise"}
    assert {answer["rule"] for output, answer in stale.items() if is_of_clusters(output)} >= {"fit_kmeans"}


def test_a_lineage_with_a_slower_layer_re_scores_no_other(answers):
    folders = {Path(output).parts[2] for output in answers["more"]["stale"] if not is_of_clusters(output)}
    assert folders == {"none-2-23", "noise.csv"}


def test_noisy_copies_are_scored_by_the_rules_of_their_split(answers):
    rules = {}
    for job in answers["jobs"]:
        for output in job["output"]:
            rules[output] = job["rule"]
    noisy = {output: rule for output, rule in rules.items() if ".white_10dB" in output}
    assert {rule for output, rule in noisy.items() if "/data/" in output} == {"prepare_noisy"}
    scores = {output: rule for output, rule in noisy.items() if "/data/" not in output}
    assert {"score_retrieval", "score_abx", "detect_words"} <= set(scores.values())
    assert all(rules[output.replace(".white_10dB", "")] == rule for output, rule in scores.items())
