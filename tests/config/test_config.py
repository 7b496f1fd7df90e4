"""The schema: what it accepts, and that every fault is named with its dotted key."""

import copy
from pathlib import Path

import pytest
import yaml

from resdavenet_vq import config
from resdavenet_vq.errors import InputError

REPO = Path(__file__).resolve().parents[2]
DEFAULT = yaml.safe_load((REPO / "config.yaml").read_text())


def changed(*changes):
    """The default configuration with (dotted key, value) pairs set; a value of None deletes the key."""
    values = copy.deepcopy(DEFAULT)
    for key, value in changes:
        *path, last = key.split(".")
        section = values
        for step in path:
            section = section[step]
        if value is None:
            del section[last]
        else:
            section[last] = value
    return values


def fault(*changes):
    with pytest.raises(InputError) as caught:
        config.read(changed(*changes))
    return str(caught.value)


def test_shipped_configurations_are_valid():
    files = [REPO / "config.yaml", *(REPO / "configs").glob("*.yaml")]
    for file in files:
        config.read(yaml.safe_load(file.read_text()))


@pytest.mark.parametrize(
    ("key", "value", "message"),
    [
        ("training.epohs", 3, "training.epohs: no such key; did you mean 'epochs'?"),
        ("trainin", {}, "trainin: no such key; did you mean 'training'?"),
        ("corpus.seeed", 1, "corpus.seeed: no such key; did you mean 'seed'?"),
        ("model.audio.width", [1], "model.audio.width: no such key; did you mean 'widths'?"),
        ("training.overrides.{}.epoch", 3, "training.overrides.{}.epoch: no such key; did you mean 'epochs'?"),
        ("training.epochs", "ten", "training.epochs: input should be a valid integer, not 'ten'"),
        ("training.learning_rate", "2e-4", "(YAML reads 1e-3 as text: write 1.0e-3)"),
        ("training.batch_size", 0, "training.batch_size: input should be greater than 0, not 0"),
        ("training.split", None, "training.split: missing; it must be given"),
        ("retrieval.split", "tset", "retrieval.split: the corpus has no split 'tset'; did you mean 'test'?"),
        ("retrieval.similarities", ["misa"], "retrieval: similarities: pooled must stand in it, and nothing twice"),
        (
            "retrieval.similarities",
            ["pooled", "mesa"],
            "retrieval.similarities.1: input should be 'pooled', 'sisa', 'misa' or 'sima'",
        ),
        ("abx.splits", ["abx", "vall"], "abx.splits: the corpus has no split 'vall'; did you mean 'val'?"),
        ("recipe.jitter", "centered", "recipe.jitter: input should be 'published' or 'centred', not 'centered'"),
        ("model.image.crop", 80, "crop (80) is larger than resize (72)"),
        ("corpus.layout", "plces", "'spoken_scenes', 'places'"),
        ("lineages", ["{2,2}"], "a quantizer stands twice"),
        ("lineages", ["{6}"], "lineages.0:"),
    ],
)
def test_a_fault_is_named_with_its_dotted_key(key, value, message):
    assert message in fault((key, value))


@pytest.mark.parametrize(
    ("weights", "architecture", "message"),
    [
        (
            "IMAGENET1K_V1",
            "thin_resnet",
            "model.image.weights: IMAGENET1K_V1 are weights of resnet50, not of thin_resnet",
        ),
        (
            "imagenet1k_v1",
            "resnet50",
            "model.image.weights: must be random, IMAGENET1K_V1, or the path of a .pth or .safetensors file",
        ),
    ],
)
def test_weights_of_the_image_network(weights, architecture, message):
    assert message in fault(("model.image.weights", weights), ("model.image.architecture", architecture))


@pytest.mark.parametrize("word", ["published", "corrected"])
def test_a_word_sets_every_switch_of_the_recipe(word):
    recipe = config.read(changed(("recipe", word))).recipe
    assert recipe.model_dump() == config.RECIPES[word]
    assert config.Recipe.from_json(f'"{word}"') == recipe
    assert config.Recipe.from_json(recipe.model_dump_json()) == recipe


def test_the_two_recipes_differ_in_every_switch_and_the_default_is_published():
    published, corrected = config.RECIPES.values()
    assert published.keys() == corrected.keys() == config.Recipe.model_fields.keys()
    assert not published.items() & corrected.items()
    assert config.Recipe().model_dump() == published


def test_a_recipe_may_start_from_a_word():
    recipe = config.read(changed(("recipe", {"base": "corrected", "jitter": "published"}))).recipe
    assert recipe.model_dump() == config.RECIPES["corrected"] | {"jitter": "published"}
    assert config.read(changed(("recipe", {"semi_hard": "masked"}))).recipe.model_dump() == config.RECIPES[
        "published"
    ] | {"semi_hard": "masked"}


@pytest.mark.parametrize(
    ("recipe", "message"),
    [
        (
            "corected",
            "recipe: must be published or corrected, or a mapping of the switches, not 'corected'; did you mean 'corrected'?",
        ),
        ({"base": "new"}, "recipe.base: must be published or corrected, not 'new'"),
        ({"base": ["new"]}, "recipe.base: must be published or corrected, not ['new']"),
        ({"base": "corrected", "jiter": "published"}, "recipe.jiter: no such key; did you mean 'jitter'?"),
        (
            {"base": "corrected"} | config.RECIPES["published"],
            "recipe.base: has no effect, because every switch is named beside it",
        ),
        (3, "recipe: input should be an object, not 3"),
    ],
)
def test_faults_of_a_recipe(recipe, message):
    assert message in fault(("recipe", recipe))


def test_shipped_configurations_name_every_switch():
    for file in [REPO / "config.yaml", *(REPO / "configs").glob("*.yaml")]:
        assert yaml.safe_load(file.read_text())["recipe"] == config.RECIPES["published"], file


def test_a_released_lineage_is_named_once_and_rightly():
    assert "released: {2,3} stands in it twice" in fault(("released", {"{2,3}": "a.tar", "{3, 2}": "b"}))
    assert "released" in fault(("released", {"{2,7}": "a.tar"}))


def test_all_faults_are_reported_at_once():
    text = fault(("training.epohs", 3), ("words.half_window", True), ("retrieval.split", None))
    assert {line.split(":")[0] for line in text.splitlines()[1:]} == {
        "training.epohs",
        "words.half_window",
        "retrieval.split",
    }


def test_overrides_apply_to_their_lineage_alone():
    training = config.read(DEFAULT).training
    assert training.of("{}").epochs == 12
    assert training.of("{}->{2}").epochs == 6
    assert training.of("{}").overrides == {}


def test_a_section_reads_its_own_json_and_refuses_others():
    assert config.Retrieval.from_json('{"split": "test"}').recall_at == (1, 5, 10)
    with pytest.raises(InputError, match="recal_at: no such key; did you mean 'recall_at'"):
        config.Retrieval.from_json('{"split": "test", "recal_at": [1]}')


def test_generated_pages_match_the_schema():
    import importlib.util

    spec = importlib.util.spec_from_file_location("generate", REPO / "docs/generate.py")
    generate = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(generate)
    for page, text in generate.pages().items():
        assert (REPO / "docs" / page).read_text() == text, f"docs/{page} is out of date: run `python docs/generate.py`"


def test_every_field_is_described():
    def undescribed(schema, name):
        return [
            f"{name}.{k}"
            for k, v in schema.get("properties", {}).items()
            if "description" not in v and "$ref" not in v and "const" not in v
        ]

    schema = config.Config.model_json_schema()
    found = [field for name, section in schema["$defs"].items() for field in undescribed(section, name)]
    assert found == []
