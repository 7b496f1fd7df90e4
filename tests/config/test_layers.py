"""Configurations laid over each other, and what a configuration is laid over."""

from pathlib import Path

import pytest
import yaml

from resdavenet_vq import config
from resdavenet_vq.config.layers import DEMO, SMALL_CORPUS

REPO = Path(__file__).resolve().parents[2]
MINE = {"layout": "places", "name": "mine", "metadata": {split: f"{split}.json" for split in ("train", "val", "test")}}
SMALL, PLACES = (yaml.safe_load((REPO / "configs" / f"{name}.yaml").read_text()) for name in ("small_corpus", "places"))
DEFAULT = yaml.safe_load((REPO / "config.yaml").read_text())


@pytest.mark.parametrize(
    ("values", "base"),
    [
        ({}, DEMO),
        ({"training": {"epochs": 3}}, DEMO),
        ({"corpus": MINE}, SMALL_CORPUS),
        ({"corpus": MINE, "lineages": ["{}"], "training": {"epochs": 3}}, SMALL_CORPUS),
        ({"corpus": MINE, "lineages": [], "model": {}, "training": {}}, None),
        (SMALL, DEMO),
        (PLACES, None),
    ],
)
def test_what_a_configuration_is_laid_over(values, base):
    assert config.base_of(values) == base


def test_every_shipped_configuration_of_a_corpus_stands_alone():
    for file in (REPO / "configs").glob("*.yaml"):
        values = yaml.safe_load(file.read_text())
        assert config.base_of(values) == (DEMO if file.name == "small_corpus.yaml" else None), file


def test_a_corpus_alone_has_the_settings_of_small_corpora():
    alone = config.read(config.overlay([SMALL, {"corpus": MINE}]))
    assert (alone.training.steps, alone.training.patience, alone.lineages) == (2000, 20, ("{}", "{}->{2,3}"))
    assert alone.abx.splits == ("test",)
    assert alone.words
    assert alone.words.held_out_split == "test"


def test_a_corpus_with_a_layout_replaces_the_one_below_and_one_without_changes_it():
    assert config.overlay([DEFAULT, {"corpus": MINE}])["corpus"] == MINE
    changed = config.overlay([DEFAULT, {"corpus": {"pairs": {"val": 3}}}])["corpus"]
    assert changed == DEFAULT["corpus"] | {"pairs": DEFAULT["corpus"]["pairs"] | {"val": 3}}


@pytest.mark.parametrize(
    ("training", "length"),
    [
        ({"epochs": 5}, (5, None)),
        ({"steps": 7}, (None, 7)),
        ({"epochs": None, "steps": 9}, (None, 9)),
        ({"batch_size": 3}, (None, 2000)),
    ],
)
def test_a_length_in_one_measure_replaces_that_in_the_other(training, length):
    read = config.read(config.overlay([SMALL, {"corpus": MINE, "training": training}])).training
    assert (read.epochs, read.steps) == length
    override = config.overlay(
        [{"training": {"overrides": {"{}": {"steps": 4}}}}, {"training": {"overrides": {"{}": {"epochs": 2}}}}]
    )
    assert override == {"training": {"overrides": {"{}": {"epochs": 2}}}}  # fmt: skip


@pytest.mark.parametrize("training", [[1], "x", {"overrides": [1]}, {"overrides": {"{}": [1], "{9}": {"epochs": 2}}}])
def test_what_is_wrong_below_stays_for_the_schema_to_report(training):
    above = {"lineages": ["{}"], "training": {"steps": 3}} if isinstance(training, dict) else {"lineages": ["{}"]}
    values = config.overlay([{"training": training}, above])["training"]
    assert values == (training | {"steps": 3} if isinstance(training, dict) else training)


def test_only_a_training_has_a_length():
    units = {"external": {"epochs": {"format": "npy"}}}
    assert config.overlay([units, {"external": {"steps": {"format": "txt"}}}])["external"].keys() == {"epochs", "steps"}


def test_other_lineages_take_away_what_was_set_for_those_below():
    values = config.overlay([DEFAULT, {"lineages": ["{} -> {2}"]}])
    assert values["training"]["overrides"] == {"{}": DEFAULT["training"]["overrides"]["{}"]}
    assert config.read(values).lineages == ("{} -> {2}",)
    assert config.overlay([DEFAULT, {"lineages": []}])["training"]["overrides"] == {}
    own = config.overlay([DEFAULT, {"lineages": ["{2}"], "training": {"overrides": {"{3}": {"epochs": 1}}}}])
    assert list(own["training"]["overrides"]) == ["{3}"], "that of the same file is the schema's to refuse"


def test_null_takes_a_section_away_and_the_layers_stay_as_they_are():
    before = yaml.safe_dump(DEFAULT)
    values = config.overlay([DEFAULT, {"words": None, "retrieval": None}, {"retrieval": {"split": "val"}}])
    assert config.read(values).words is None
    assert values["retrieval"] == {"split": "val"}
    assert yaml.safe_dump(DEFAULT) == before
