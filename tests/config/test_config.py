"""The schema: what it accepts, and that every fault is named with its dotted key."""

import ast
import copy
import json
import re
from pathlib import Path

import pytest
import yaml

from resdavenet_vq import config
from resdavenet_vq.errors import InputError
from resdavenet_vq.lineage import Lineage
from resdavenet_vq.workflow.trainings import training_of

REPO = Path(__file__).resolve().parents[2]
DEFAULT = yaml.safe_load((REPO / "config.yaml").read_text())
PUBLISHED, CORRECTED = config.RECIPES.values()


def changed(*changes):
    """The default configuration with (dotted key, value) pairs set; a value of None deletes the key."""
    lineages = {"lineages": dict(changes).get("lineages", DEFAULT["lineages"])}
    values = config.overlay([copy.deepcopy(DEFAULT), lineages])
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


def test_shipped_configurations_are_valid_and_say_published_but_for_one_switch_of_the_demo():
    for file in [REPO / "config.yaml", *(REPO / "configs").glob("*.yaml")]:
        values = yaml.safe_load(file.read_text())
        if file.name != "small_corpus.yaml":
            config.read(values)
            departs = {"config.yaml": {"base": "published", "new_codebooks": "parent_activations"}}
            assert values["recipe"] == departs.get(file.name, "published"), file


def test_the_settings_of_small_corpora_need_a_corpus_alone():
    values = yaml.safe_load((REPO / "configs/small_corpus.yaml").read_text())
    with pytest.raises(InputError) as caught:
        config.read(values)
    assert str(caught.value).splitlines()[1:] == ["corpus: missing; it must be given"]
    metadata = {split: f"{split}.json" for split in ("train", "val", "test")}
    read = config.read(values | {"corpus": {"layout": "places", "name": "mine", "metadata": metadata}})
    assert read.training.steps
    assert read.training.patience


@pytest.mark.parametrize(
    ("key", "value", "message"),
    [
        ("training.epohs", 3, "training.epohs: no such key; did you mean 'epochs'?"),
        ("trainin", {}, "trainin: no such key; did you mean 'training'?"),
        ("corpus.seeed", 1, "corpus.seeed: no such key; did you mean 'seed'?"),
        ("model.audio.width", [1], "model.audio.width: no such key; did you mean 'widths'?"),
        ("training.overrides.{}.epoch", 3, "training.overrides.{}.epoch: no such key; did you mean 'epochs'?"),
        ("training.epochs", "ten", "training.epochs: must be a whole number, not 'ten'"),
        ("training.steps", 100, "training: has both `epochs` and `steps`, perhaps one from the file below; write null for the one"),
        ("training.overrides.{}.steps", 3, "training.overrides.{}: has both `epochs` and `steps`"),
        ("training.patience", 0, "training.patience: must be at least 1, not 0"),
        ("training.learning_rate_schedule", "cos", "training.learning_rate_schedule: must be 'steps' or 'cosine', not 'cos'"),
        ("training.learning_rate", "2e-4", "(YAML reads 1e-3 as text: write 1.0e-3)"),
        ("training.batch_size", 0, "training.batch_size: must be at least 1, not 0"),
        ("training.split", None, "training.split: missing; it must be given"),
        ("retrieval.split", "tset", "retrieval.split: the corpus has no split 'tset'; did you mean 'test'?"),
        ("retrieval.similarities", ["misa"], "retrieval: similarities: pooled must be in it, and nothing twice"),
        ("retrieval.similarities", ["pooled", "mesa"], "retrieval.similarities.1: must be 'pooled', 'sisa', 'misa' or 'sima'"),
        ("abx.splits", ["unseen", "vall"], "abx.splits: the corpus has no split 'vall'; did you mean 'val'?"),
        ("abx.conditions", [], "abx.conditions: "),
        ("abx.conditions", ["triphone", "word", "word"], "abx.conditions: word is listed twice"),
        ("abx.conditions", ["triphone", "phone"], "abx.conditions.1: must be 'triphone', 'phoneme', "),
        ("abx.items", {"of": "words"}, "abx.items.of: there is no such key any more; what is compared is listed in abx.conditions, such as [word]"),
        ("abx.items", {"of": "phones"}, "such as [triphone]"),
        ("abx.items", {"most_frequent_words": 5}, "abx.items.most_frequent_words: no such key; did you mean 'most_frequent'?"),
        ("recipe", {"jitter": "centered"}, "recipe.jitter: must be 'published' or 'centred', not 'centered'"),
        ("model.image.crop", 80, "crop (80) is larger than resize (72)"),
        ("corpus.layout", "plces", "corpus.layout: must be spoken_scenes, places, spoken_coco or flickr8k, not 'plces'; did you mean 'places'?"),
        ("lineages", ["{2,2}"], "a quantizer is listed twice"),
        ("lineages", ["{6}"], "lineages.0:"),
        ("lineages", ["{2,4}"], "abx.scoring.slowest_layer: quant4 is compared and slower than quant3"),
        ("seeds", [1, 2, 1], "seeds: 1 is listed twice"),
        ("seeds", [-1], "seeds.0"),
        ("released", {"{2,3}": "a.tar", "{3, 2}": "b"}, "released: {2,3} is listed twice"),
        ("released", {"{2,7}": "a.tar"}, "released"),
        ("model.image.weights", "IMAGENET1K_V1", "model.image.weights: IMAGENET1K_V1 are weights of resnet50, not of thin_resnet"),
        ("model.image.weights", "imagenet1k_v1", "model.image.weights: must be random, IMAGENET1K_V1, or the path of a .pth or .safetensors file"),
        ("recipe", "corected", "recipe: must be published or corrected, or a mapping of the switches, not 'corected'; did you mean 'corrected'?"),
        ("recipe", {"base": "new"}, "recipe.base: must be published or corrected, not 'new'"),
        ("recipe", {"base": ["new"]}, "recipe.base: must be published or corrected, not ['new']"),
        ("recipe", {"base": "corrected", "jiter": "published"}, "recipe.jiter: no such key; did you mean 'jitter'?"),
        ("recipe", {"base": "corrected"} | PUBLISHED, "recipe.base: has no effect, because every switch is named beside it"),
        ("recipe", 3, "recipe: must be a mapping, such as `key: value`, not 3"),
        ("noise", {"kinds": ["pink"]}, "noise.kinds: 'pink' is none of white, babble; name its recordings in noise.files"),
        ("noise", {"kinds": ["white", "white"]}, "noise.kinds: white is listed twice"),
        ("noise", {"snr_db": [0, 10, 0]}, "noise.snr_db: 0.0 is listed twice"),
        ("noise", {"files": {"babble": "x"}}, "noise.files.babble: is generated, not read"),
        ("noise", {"snr_db": ["loud"]}, "noise.snr_db.0: must be a number, not 'loud'"),
        ("noise", {"snr": [0]}, "noise.snr: no such key; did you mean 'snr_db'?"),
        ("noise", {"scores": ["words", "bitrate"]}, "noise.scores.1: must be"),
        ("preparation", {"parts": {"train": 2}}, "preparation.rows_per_part: missing; preparation.parts needs it"),
        ("preparation", {"rows_per_part": 5, "parts": {"trian": 2}}, "preparation.parts: the corpus has no split 'trian'"),
        ("preparation", {"rows_per_part": 0, "parts": {"train": 2}}, "preparation.rows_per_part: "),
        ("preparation", {"rows_per_part": 5, "parts": {"train": 0}}, "preparation.parts.train: "),
    ],
)  # fmt: skip
def test_a_fault_is_named_with_its_dotted_key(key, value, message):
    assert message in fault((key, value))


def test_a_training_has_a_length_in_epochs_or_in_steps():
    """Laid over a file with the other one, null takes that away; an override of a lineage does so by itself."""
    values = changed(("training.steps", 100), ("training.overrides", {"{}": {"epochs": 3}, "{}->{2}": {"steps": 7}}))
    values["training"]["epochs"] = None
    training = config.read(values).training
    assert (training.epochs, training.steps) == (None, 100)
    lengths = [
        (t.epochs, t.steps) for t in (training_of(training, Lineage.parse(text)) for text in ("{}", "{}->{2}", "{3}"))
    ]
    assert lengths == [(3, None), (None, 7), (None, 100)]
    assert config.Training(split="t", validation_split="v").epochs == 150
    assert config.Training(split="t", validation_split="v", steps=5).epochs is None
    again = config.Training.from_json(training.model_dump_json())
    assert again == training
    values["training"]["steps"] = None
    with pytest.raises(InputError, match="training: needs `epochs` or `steps`"):
        config.read(values)


@pytest.mark.parametrize(
    ("key", "value"),
    [
        ("training.seed", 2**64),
        ("training.seed", -1),
        ("seeds", [1, 2**64]),
        ("corpus.seed", 10**1000),
        ("training.epochs", 2**31),
        ("training.batch_size", 2**63),
        ("training.workers", 10**6),
        ("training.threads", 0),
        ("training.gpus", 10**6),
        ("training.learning_rate", float("inf")),
        ("training.margin", float("nan")),
        ("training.weight_decay", 1e308),
        ("training.overrides.{}.learning_rate", float("inf")),
        ("model.audio.widths", [64, 64, 64, 64, 2**40]),
        ("model.audio.blocks_per_stage", 10**9),
        ("model.audio.kernel_size", 10**9),
        ("model.image.widths", [64, 64, 64, 2**40]),
        ("model.image.resize", 10**9),
        ("model.quantizer.codebook_size", 2**40),
        ("model.quantizer.init_std", 1e300),
        ("corpus.pairs.train", 2**64),
        ("corpus.snr_db", [0.0, float("inf")]),
        ("words.half_window", float("nan")),
        ("preparation", {"max_frames": 2**64}),
        ("preparation", {"rows_per_part": 1, "parts": {"train": 10**9}}),
        ("noise", {"snr_db": [float("inf")]}),
        ("abx.scoring", {"seed": 2**64}),
    ],
)
def test_a_number_that_overflows_is_named_with_its_dotted_key(key, value):
    text = fault((key, value))
    assert re.search(rf"^{re.escape(key)}(\.\w+)*: ", text, re.MULTILINE)
    assert len(text) < 400


def test_numbers_of_thousands_of_digits():
    assert "a number of thousands of digits" in fault(("training.seed", 10**5000))


def test_every_number_has_a_largest():
    def numbers(schema, name=""):
        if isinstance(schema, dict):
            if schema.get("type") in {"integer", "number"} and "enum" not in schema:
                yield name, schema
            for key, value in schema.items():
                yield from numbers(value, f"{name}.{key}")
        elif isinstance(schema, list):
            for value in schema:
                yield from numbers(value, name)

    every = dict(numbers(config.Config.model_json_schema()))
    assert len(every) > 40
    assert [name for name, schema in every.items() if not {"maximum", "exclusiveMaximum"} & schema.keys()] == []
    for section in (config.AddedNoise, config.Submission):
        assert all("maximum" in schema for _, schema in numbers(section.model_json_schema()))


@pytest.mark.parametrize("word", ["published", "corrected"])
def test_a_word_sets_every_switch_of_the_recipe(word):
    recipe = config.read(changed(("recipe", word))).recipe
    assert recipe.model_dump() == config.RECIPES[word]
    assert config.Recipe.from_json(f'"{word}"') == recipe
    assert config.Recipe.from_json(recipe.model_dump_json()) == recipe


def test_the_two_recipes_differ_in_every_switch_and_the_default_is_published():
    assert PUBLISHED.keys() == CORRECTED.keys() == config.Recipe.model_fields.keys()
    assert not PUBLISHED.items() & CORRECTED.items()
    assert config.Recipe().model_dump() == PUBLISHED


def test_a_recipe_may_start_from_a_word():
    corrected, published = (
        config.read(changed(("recipe", switches))).recipe.model_dump()
        for switches in ({"base": "corrected", "jitter": "published"}, {"semi_hard": "masked"})
    )
    assert corrected == CORRECTED | {"jitter": "published"}
    assert published == PUBLISHED | {"semi_hard": "masked"}


@pytest.mark.parametrize(
    ("layers", "recipe"),
    [
        (["published", {"jitter": "centred"}], PUBLISHED | {"jitter": "centred"}),
        (["corrected", {"jitter": "published"}], CORRECTED | {"jitter": "published"}),
        (["corrected", None, {"jitter": "published"}, {"pad_value": "zero"}], CORRECTED | {"jitter": "published", "pad_value": "zero"}),
        (["published", {"base": "corrected", "jitter": "published"}], CORRECTED | {"jitter": "published"}),
        (["published", CORRECTED], CORRECTED),
        ([{"jitter": "centred"}, "published"], PUBLISHED),
        ([None, {"jitter": "centred"}], PUBLISHED | {"jitter": "centred"}),
    ],
)  # fmt: skip
def test_a_recipe_is_laid_over_another(layers, recipe):
    files = [{} if layer is None else {"recipe": layer} for layer in layers]
    base = {key: value for key, value in DEFAULT.items() if key != "recipe"}
    assert config.read(config.overlay([base, *files])).recipe.model_dump() == recipe


def test_five_equal_codebook_sizes_are_one():
    one, five, other = (
        config.read(changed(("model.quantizer.codebook_size", size))).model
        for size in (32, [32] * 5, [32, 32, 32, 32, 16])
    )
    assert five.model_dump_json() == one.model_dump_json()
    assert other.quantizer.codebook_size == (32, 32, 32, 32, 16)


def test_models_of_earlier_versions_still_open():
    card = json.loads((REPO / "tests/golden/model_0.1.0.json").read_text())["model"]
    assert config.Model.from_card(card).audio.widths == (8, 8, 16, 16, 32)
    assert config.Model.from_card(card).audio.features == "published"
    with pytest.raises(InputError, match="n_mels: no such key"):
        config.Model.from_card({**card, "audio": {**card["audio"], "n_mels": 80}})


def test_all_faults_are_reported_at_once():
    text = fault(("training.epohs", 3), ("words.half_window", True), ("retrieval.split", None))
    found = {line.split(":")[0] for line in text.splitlines()[1:]}
    assert found == {"training.epohs", "words.half_window", "retrieval.split"}


def test_a_slower_layer_may_be_compared_where_it_is_named():
    config.read(changed(("lineages", ["{2,4}"]), ("abx.scoring", {"slowest_layer": "quant4"})))


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
    undescribed = [
        f"{name}.{key}"
        for name, section in config.Config.model_json_schema()["$defs"].items()
        for key, field in section.get("properties", {}).items()
        if not {"description", "$ref", "const"} & field.keys()
    ]
    assert undescribed == []


# What the fingerprints of code leave out


ARITHMETIC = (ast.Sub, ast.Mult, ast.Div, ast.FloorDiv, ast.Mod, ast.Pow, ast.LShift, ast.RShift, ast.MatMult)
IMPORTS = {"__future__", "abc", "collections", "difflib", "json", "pathlib", "pydantic", "resdavenet_vq", "typing"}
ROOMS = {"config", "errors", "lineage", "system"}
READING = re.compile(
    r"open|read_\w+|write_\w+|exists|is_file|is_dir|stat|iterdir|r?glob|resolve|absolute|cwd|home|mkdir"
)


def computing(file):
    """What a module has beyond values, checks and choices: arithmetic, looks at the disk, and other imports."""
    for node in ast.walk(ast.parse(file.read_text())):
        match node:
            case ast.BinOp(op=op) | ast.AugAssign(op=op) if isinstance(op, ARITHMETIC):
                yield node.lineno, type(op).__name__
            case ast.Call(func=ast.Name(id=name) | ast.Attribute(attr=name)) if READING.fullmatch(name):
                yield node.lineno, name
            case ast.Import(names=names) if any(alias.name.split(".")[0] not in IMPORTS for alias in names):
                yield node.lineno, names[0].name
            case ast.ImportFrom(module=module):
                package, _, rest = module.partition(".")
                if package not in IMPORTS or (package == "resdavenet_vq" and rest.split(".")[0] not in ROOMS):
                    yield node.lineno, module


@pytest.mark.parametrize("file", sorted((REPO / "resdavenet_vq/config").glob("*.py")), ids=lambda file: file.stem)
def test_nothing_in_the_configuration_computes(file):
    """The fingerprints of code leave these modules out: what they do with values must not decide any result."""
    assert list(computing(file)) == []


def test_what_counts_as_computing(tmp_path):
    (tmp_path / "x.py").write_text(
        "import math\nfrom resdavenet_vq.data import store\na = 2 * b\nc = p.read_text()\nd = x | y\n"
    )
    assert list(computing(tmp_path / "x.py")) == [(1, "math"), (2, "resdavenet_vq.data"), (3, "Mult"), (4, "read_text")]
