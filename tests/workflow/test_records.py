"""Results without Snakemake's records are compared with the configuration by what they contain."""

import json
import shutil
from pathlib import Path

import pytest
import yaml
from workflow.running import REPO, dry_runs, snakemake

from resdavenet_vq import config
from resdavenet_vq.errors import InputError
from resdavenet_vq.workflow import records
from resdavenet_vq.workflow.plan import Plan

CARD = json.loads((REPO / "tests/golden/model_0.1.0.json").read_text())
ROOT = Path("results/spoken_scenes")


def plan_of(**changes):
    """The plan of the model {}->{2} in CARD, with these changes of its sections."""
    values = yaml.safe_load((REPO / "config.yaml").read_text()) | {"lineages": ["{}->{2}"], "recipe": "published"}
    values |= {"model": config.Model.from_card(CARD["model"]).model_dump(mode="json"), "training": CARD["training"]}
    for section, keys in changes.items():
        values[section] = keys if isinstance(keys, list) else values.get(section, {}) | keys
    return Plan(config.read(values))


@pytest.fixture
def results(tmp_path, monkeypatch):
    """A finished run of CARD's configuration without Snakemake's records: a model, a store and scores."""
    monkeypatch.chdir(tmp_path)
    command = "prepare --settings " + repr(json.dumps({"reader": "store", "max_frames": 2048, "bad_rows": "stop"}))
    header = {"attributes": {"reader": "store", "max_frames": 2048, "precision": "float16", "command": command}}
    recalls = {f"recall_at_{k}": 0.5 for k in (1, 5, 10)}
    plan = plan_of()
    for file, content in {
        plan.model(plan.lineages[0]): json.dumps(CARD),
        ROOT / "data/test.h5": f"resdavenet-vq store 1\n{json.dumps(header)}\n",
        plan.retrieval[0]: json.dumps({"image_to_speech": recalls}),
        plan.words[0]: json.dumps(
            {"min_occurrences": 5, "f1_threshold": 0.5, "split": "train", "frame_time": "published"}
        ),
        plan.abx[-1]: json.dumps({"settings": {"distance": "angular", "seed": 0}}),
    }.items():
        Path(file).parent.mkdir(parents=True, exist_ok=True)
        Path(file).write_text(content)
    return tmp_path


def test_the_same_settings_are_no_difference(results):
    records.check(plan_of())
    records.check(plan_of(training={"workers": 7, "threads": 3, "gpus": 0}))
    records.check(plan_of(report={"utterances": 3}))


@pytest.mark.parametrize(
    ("section", "keys", "message", "rule"),
    [
        ("training", {"epochs": 3}, "none-2/model/model.json: training.epochs was 2, requested is 3", "train"),
        ("training", {"compute": {"compile": True}}, "training.compute.compile was false, requested is true", "train"),
        ("training", {"overrides": {"{}->{2}": {"batch_size": 4}}}, "training.batch_size was 8, requested is 4", "train"),
        ("training", {"seed": 1}, "training.seed was 8675309, requested is 1", "train"),
        ("model", {"quantizer": {"codebook_size": 64}}, "model.quantizer.codebook_size was 32, requested is 64", "train"),
        ("preparation", {"max_frames": 1024}, "data/test.h5: max_frames was 2048, requested is 1024", "prepare"),
        ("preparation", {"bad_rows": "skip"}, 'data/test.h5: bad_rows was "stop", requested is "skip"', "prepare"),
        ("retrieval", {"recall_at": [1, 10]}, "recall_at was [1, 5, 10], requested is [1, 10]", "score_retrieval"),
        ("words", {"min_occurrences": 2}, "summary.json: min_occurrences was 5, requested is 2", "detect_words_clusters"),
        ("abx", {"scoring": {"seed": 1}}, "settings.seed was 0, requested is 1", "score_abx_conv2_quant2"),
    ],
)  # fmt: skip
def test_other_settings_are_refused_with_both_values_and_what_to_do(results, section, keys, message, rule):
    with pytest.raises(InputError) as refused:
        records.check(plan_of(**{section: keys}))
    assert message in str(refused.value)
    assert str(refused.value).endswith(f"Delete them, or make them again with --forcerun {rule}.")
    records.check(plan_of(**{section: keys}), forced={rule})


@pytest.mark.parametrize("folder", ["", "a_corpus_with_a_very_long_name_" * 7])
def test_a_result_with_a_record_is_left_to_snakemake(results, folder):
    """Records are found under the names that Snakemake gives them, also those that it cuts."""
    from snakemake.persistence.file import FilePersistence

    other = plan_of(training={"epochs": 3}, corpus={"name": folder or "spoken_scenes"})
    model = Path(other.model(other.lineages[0]))
    model.parent.mkdir(parents=True, exist_ok=True)
    model.write_text(json.dumps(CARD))
    with pytest.raises(InputError, match="epochs was 2"):
        records.check(other)
    FilePersistence(path=results / ".snakemake")._io_write(str(results / ".snakemake/metadata"), {}, str(model))
    records.check(other)


def test_what_cannot_be_read_is_left_to_its_readers(results):
    for file in results.rglob("*.json"):
        file.write_text("{" * 3)
    (ROOT / "data/test.h5").write_bytes(b"\x89HDF")
    records.check(plan_of(training={"epochs": 3}, words={"min_occurrences": 2}))


def plan_models(folder, *arguments, **settings):
    return snakemake(folder, "-n", "models", *arguments, **settings)


def test_a_run_refuses_them_until_they_are_forced(results, forking):
    lineages = ("--config", 'lineages=["{}->{2}"]')
    output = plan_models(results, *lineages, succeeds=False, **forking)
    assert "none-2/model/model.json: training.epochs was 2, requested is 8" in output
    assert "rule train:" in plan_models(results, "--forcerun", "prepare", "train", *lineages, **forking)
    shutil.rmtree(results / "results")
    plan_models(results, *lineages, **forking)


def test_one_switch_over_another_configuration(tmp_path):
    """Snakemake replaces a word by a mapping; the switches of the word stay nevertheless."""
    base = yaml.safe_load((REPO / "config.yaml").read_text())
    (tmp_path / "a.yaml").write_text(yaml.safe_dump(base | {"recipe": "corrected"}))
    (tmp_path / "b.yaml").write_text("recipe: {jitter: published}\n")
    recipes = {
        ("--configfile", "a.yaml", "b.yaml"): {"jitter": "published", "semi_hard": "masked", "pad_value": "floor"},
        ("--configfile", "a.yaml", "--config", 'recipe={"semi_hard": "published"}'): {
            "jitter": "centred", "semi_hard": "published", "pad_value": "floor",
        },
        ("--configfile", "b.yaml"): {"jitter": "published", "semi_hard": "published", "pad_value": "zero"},
        ("--config", "recipe=corrected"): {"jitter": "centred", "semi_hard": "masked", "pad_value": "floor"},
    }  # fmt: skip
    lines = [("models", "-p", "--snakefile", REPO / "Snakefile", *arguments) for arguments in recipes]
    for recipe, (status, output) in zip(recipes.values(), dry_runs(tmp_path, lines), strict=True):
        assert status == 0, output
        assert f"--recipe '{json.dumps(recipe)}'" in output
