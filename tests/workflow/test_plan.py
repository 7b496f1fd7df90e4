"""What the rules hand to commands: all that a result depends on, and nothing else."""

import json
from pathlib import Path

import pytest
import yaml

from resdavenet_vq import config
from resdavenet_vq.errors import InputError
from resdavenet_vq.lineage import Lineage
from resdavenet_vq.workflow.plan import Plan, any_of, training_of

REPO = Path(__file__).resolve().parents[2]
DEFAULT = yaml.safe_load((REPO / "config.yaml").read_text())


def plan(file="config.yaml", **corpus):
    """The plan of a shipped configuration with these changes of its corpus; None removes a key."""
    values = yaml.safe_load((REPO / file).read_text())
    values["corpus"] = {k: v for k, v in (values["corpus"] | corpus).items() if v is not None}
    return Plan(config.read(values))


# The demo corpus

PAIRS = {"train": 2000, "val": 200, "test": 200}


def made(split, **corpus):
    return plan(**corpus).splits.corpus_of(split)


@pytest.mark.parametrize("split", PAIRS)
def test_pairs_depend_on_the_splits_before_them_but_not_on_how_many_they_have(split):
    assert made(split, pairs=PAIRS) == made(split, pairs=dict.fromkeys(PAIRS, 7) | {split: PAIRS[split]})
    assert made(split, pairs=PAIRS) == made(split, pairs=PAIRS | {"more": 5}, word_lists={"abx": 1, "other": 2})
    assert made(split, pairs=PAIRS) != made(split, pairs=PAIRS | {split: 7})


def test_renaming_and_reordering_makes_other_pairs():
    reordered = {"val": 200, "train": 2000, "test": 200}
    assert made("val", pairs=PAIRS) != made("val", pairs=reordered)
    assert made("train", pairs=PAIRS) != made("train", pairs=reordered)
    assert made("test", pairs=PAIRS) != made("test", pairs=reordered)
    renamed = {"learn" if name == "train" else name: n for name, n in PAIRS.items()}
    sections = {section: DEFAULT[section] | {"split": "learn"} for section in ("training", "words")}
    values = DEFAULT | sections | {"corpus": DEFAULT["corpus"] | {"pairs": renamed}}
    assert Plan(config.read(values)).splits.corpus_of("val") != made("val", pairs=PAIRS)


def test_the_order_of_pairs_reaches_the_command():
    corpus = config.SpokenScenes.from_json(made("test", pairs=PAIRS))
    assert list(corpus.pairs.items()) == [("train", 1), ("val", 1), ("test", 200)]


def test_word_lists_depend_on_no_other_split():
    assert made("abx") == made("abx", pairs={"train": 1, "val": 1, "test": 1})
    assert made("abx") != made("abx", seed=2)
    assert config.SpokenScenes.from_json(made("abx")).word_lists == {"abx": 200}


def test_the_demo_corpus_is_read_in_the_layout_of_places():
    section = json.loads(plan().splits.import_options("val"))
    assert (section["layout"], section["metadata"]) == ("places", {"val": "results/spoken_scenes/corpus/val.json"})
    assert plan().splits.corpus_files("val") == ["results/spoken_scenes/corpus/val.json"]
    assert plan().splits.import_code("val") == ("corpus.places",)


# Corpora that are imported


def test_a_split_of_places_depends_on_its_own_file_alone():
    some, other = (
        plan("configs/places.yaml"),
        plan("configs/places.yaml", metadata={"train": "other.json", "val": "/data/v.json"}),
    )
    val = plan("configs/places.yaml", metadata={"train": "t.json", "val": "/data/v.json"}).splits.import_options("val")
    assert other.splits.import_options("val") == val != some.splits.import_options("val")
    assert other.splits.corpus_files("val") == ["/data/v.json"]
    assert some.splits.import_options("val") == plan(
        "configs/places.yaml", items={"train": "x.item"}
    ).splits.import_options("val")
    assert some.splits.import_options("val") == plan(
        "configs/places.yaml", alignments={"train": "x.ctm"}
    ).splits.import_options("val")
    assert some.splits.import_options("val") != plan(
        "configs/places.yaml", audio_base_path="elsewhere"
    ).splits.import_options("val")


def test_alignments_are_an_input_of_their_split():
    aligned = plan("configs/places.yaml", alignments={"val": "val.ctm"})
    assert aligned.splits.corpus_files("val")[-1] == "val.ctm"
    assert aligned.splits.import_code("val") == ("corpus.places", "corpus.alignments")
    assert aligned.splits.import_code("train") == ("corpus.places",)
    assert config.read_corpus(aligned.splits.import_options("val")).alignments == {"val": Path("val.ctm")}


def test_a_lineage_is_either_trained_or_imported():
    values = DEFAULT | {"lineages": ["{}->{2}->{2,3}", "{3}"]}
    trained = Plan(config.read(values))
    assert list(trained.trained) == ["none", "none-2", "none-2-23", "3"]
    assert any_of(trained.trained) == r"none|none\-2|none\-2\-23|3"
    assert any_of(trained.released) == "(?!)"
    some = Plan(config.read(values | {"released": {"{} -> {2}": "a.tar", "{3}": "nowhere"}}))
    assert list(some.trained) == ["none-2-23"]
    assert list(some.released) == ["none-2", "3"]


def test_what_an_imported_model_is_made_of(tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    some = Plan(config.read(DEFAULT | {"released": {"{}": "a.tar", "{2}": "experiment"}}))
    assert some.released_contents("2") == ""
    for name in ("a.tar", "experiment/args.pkl", "experiment/models/best_audio_model.pth", "experiment/models/9.pth"):
        (tmp_path / name).parent.mkdir(parents=True, exist_ok=True)
        (tmp_path / name).write_text(name)
    files = [line.split("  ")[1] for folder in ("none", "2") for line in some.released_contents(folder).splitlines()]
    assert files == ["a.tar", "experiment/args.pkl", "experiment/models/best_audio_model.pth"]


def test_overrides_apply_to_their_lineage_alone():
    training = config.read(DEFAULT).training
    first, second = (training_of(training, Lineage.parse(text)) for text in ("{}", "{}->{2}"))
    assert (first.epochs, second.epochs, first.overrides) == (12, 6, {})
    assert training_of(training, Lineage.parse("{}").with_seed(3)) == first.model_copy(update={"seed": 3})


def seeded(*seeds, **changes):
    return Plan(config.read(DEFAULT | {"lineages": ["{}", "{}->{2}"], "seeds": list(seeds)} | changes))


def test_every_lineage_has_every_seed_and_the_configured_one_has_the_plain_folder():
    own = seeded().config.training.seed
    assert [lineage.folder for lineage in seeded().lineages] == ["none", "none-2"]
    assert [lineage.folder for lineage in seeded(own, 3).lineages] == ["none", "none-seed3", "none-2", "none-2-seed3"]
    assert [lineage.folder for lineage in seeded(3).lineages] == ["none-seed3", "none-2-seed3"]
    assert {lineage.folder for lineage in seeded(own, 3).lineages} == {
        lineage.folder for lineage in seeded(3, own).lineages
    }
    assert json.loads(seeded(own, 3).seeds) == {"none": own, "none-seed3": 3, "none-2": own, "none-2-seed3": 3}
    assert [lineage.folder for lineage in seeded(3, own).examples] == ["none", "none-2"]
    assert [lineage.folder for lineage in seeded(3, 4).examples] == ["none-seed3", "none-2-seed3"]


def test_a_seed_reaches_its_own_trainings_and_nothing_that_was_there():
    one, several = seeded(), seeded(1, 2, one_more := 8675309)
    for folder in ("none", "none-2"):
        assert several.training(folder) == one.training(folder)
        assert several.parent_files(folder) == one.parent_files(folder)
        with_seed = json.loads(several.training(f"{folder}-seed2"))
        assert with_seed["seed"] == 2
        assert with_seed | {"seed": one_more} == json.loads(one.training(folder))
        assert several.training_recipe(f"{folder}-seed2") == one.training_recipe(folder)
    assert several.parent("none-2-seed2").folder == "none-seed2"
    for targets in ("models", "retrieval", "abx", "words", "submissions", "shown_codes"):
        assert set(getattr(one, targets)) <= set(getattr(several, targets)), targets
    assert len(several.models) == 3 * len(one.models)


def test_an_imported_model_has_no_seed_and_is_the_parent_of_all():
    some = seeded(1, 2, released={"{}": "a.tar"})
    assert [lineage.folder for lineage in some.lineages] == ["none", "none-2-seed1", "none-2-seed2"]
    files = [f"results/spoken_scenes/none/model/model.{suffix}" for suffix in ("json", "safetensors")]
    assert some.parent_files("none-2-seed2") == files
    assert some.parent_option("none-2-seed2") == f"--parent {files[0]}"
    assert some.parent_option("none") == ""
    assert json.loads(some.seeds) == {"none-2-seed1": 1, "none-2-seed2": 2}


def test_a_seed_twice_or_below_zero_is_refused():
    with pytest.raises(InputError, match="seeds: 1 is listed twice"):
        seeded(1, 2, 1)
    with pytest.raises(InputError, match=r"seeds\.0"):
        seeded(-1)


def test_a_local_file_of_weights_is_an_input_of_first_stages_alone():
    assert plan().image_weights("none") == []
    image = DEFAULT["model"]["image"] | {"weights": "w.pth"}
    local = Plan(config.read(DEFAULT | {"model": DEFAULT["model"] | {"image": image}}))
    assert local.image_weights("none") == ["w.pth"]
    assert local.image_weights("none-2") == []
    assert plan("configs/places.yaml").image_weights("none") == []


def with_recipe(**switches):
    return Plan(config.read(DEFAULT | {"recipe": switches}))


def test_a_training_gets_the_switches_that_matter_to_it():
    some = plan()
    assert json.loads(some.training_recipe("none")).keys() == {"jitter", "semi_hard", "pad_value"}
    assert json.loads(some.training_recipe("2")).keys() == {"jitter", "semi_hard", "pad_value", "dead_codes"}
    assert json.loads(some.training_recipe("none-2")).keys() == set(config.TRAINING_SWITCHES)
    assert json.loads(some.training_recipe("2-23-2")).keys() == {"jitter", "semi_hard", "pad_value", "dead_codes"}
    for switch in ("context", "frame_time"):
        other = with_recipe(**{switch: config.RECIPES["corrected"][switch]})
        assert other.training_recipe("none-2") == some.training_recipe("none-2")
    for switch in config.TRAINING_SWITCHES:
        other = with_recipe(**{switch: config.RECIPES["corrected"][switch]})
        assert other.training_recipe("none-2") != some.training_recipe("none-2")


def test_encoding_gets_the_context_and_the_padding_only_where_there_is_some():
    assert (
        with_recipe(pad_value="floor").encoding_recipe() == with_recipe().encoding_recipe() == '{"context": "cropped"}'
    )
    assert (
        with_recipe(pad_value="floor", context="padded").encoding_recipe()
        == '{"pad_value": "floor", "context": "padded"}'
    )
    assert (
        with_recipe(context="padded").encoding_recipe()
        != with_recipe(pad_value="floor", context="padded").encoding_recipe()
    )


def test_splits_of_spoken_coco():
    own = plan("configs/spoken_coco.yaml")
    assert own.config.corpus.splits == ("train", "val")
    assert own.splits.corpus_files("val") == ["/data/SpokenCOCO/SpokenCOCO_val.json", "/data/SpokenCOCO/alignments/val"]
    karpathy = plan("configs/spoken_coco.yaml", karpathy_splits="k.json")
    assert karpathy.config.corpus.splits == ("train", "val", "test")
    assert karpathy.splits.corpus_files("test") == [
        "/data/SpokenCOCO/SpokenCOCO_train.json",
        "/data/SpokenCOCO/SpokenCOCO_val.json",
        "k.json",
    ]
    assert len(config.read_corpus(karpathy.splits.import_options("test")).metadata) == 2


def test_splits_of_flickr8k():
    flickr = plan("configs/flickr8k.yaml")
    assert flickr.config.corpus.splits == ("train", "dev", "test")
    assert [Path(f).name for f in flickr.splits.corpus_files("test")] == [
        "wav2capt.txt",
        "wav2spk.txt",
        "Flickr8k.token.txt",
        "Flickr_8k.trainImages.txt",
        "Flickr_8k.devImages.txt",
        "Flickr_8k.testImages.txt",
    ]


@pytest.mark.parametrize("key", ["items", "alignments"])
def test_a_split_that_the_corpus_does_not_have_is_named(key):
    with pytest.raises(config.InputError, match=f"corpus.{key}: the corpus has no split 'vall'; did you mean 'val'"):
        plan("configs/places.yaml", **{key: {"vall": "x"}})


def test_how_a_training_computes_is_part_of_it_but_not_where():
    def training(**changes):
        return Plan(config.read(DEFAULT | {"training": DEFAULT["training"] | changes})).training("none")

    assert training(gpus=4, threads=9, workers=3) == training()
    for change in ({"precision": "bfloat16"}, {"compile": True}, {"deterministic": False}):
        assert training(compute=change) != training()


def test_items_come_from_the_corpus_or_are_made_from_its_alignments():
    assert plan().splits.items("abx") == "results/spoken_scenes/corpus/abx.item"
    assert plan("configs/places.yaml").splits.items("val") == "results/places/items/val.item"
    assert plan("configs/places.yaml", items={"val": "dev.item"}).splits.items("val") == "dev.item"


def test_variants_are_scored_beside_their_quantizers_and_not_encoded():
    abx = {"splits": ["test"], "convolutional_layers": ["conv2"], "variants": ["segment", "onehot"]}
    some = Plan(config.read(DEFAULT | {"abx": abx, "lineages": ["{}", "{2,3}"]}))
    scored = [str(Path(file).relative_to(some.root)) for file in some.abx]
    of_quantizers = ("quant2", "quant3", "segment2", "onehot2", "segment3", "onehot3")
    expected = ["baseline/abx/test/logmel.json", "none/abx/test/conv2.json", "23/abx/test/conv2.json"]
    assert scored == expected + [f"23/abx/test/{layer}.json" for layer in of_quantizers]
    assert some.abx_layers(some.lineages[1]) == ("conv2", "quant2", "quant3")


def test_only_splits_of_abx_alone_are_never_cut():
    some = plan()
    frames = {split: json.loads(some.splits.preparation(split))["max_frames"] for split in some.config.corpus.splits}
    assert {split for split, n in frames.items() if n == some.config.preparation.max_frames} == {"train", "val", "test"}
    assert frames["abx"] > 24 * 3600 * 100


def test_a_layer_slower_than_the_slowest_compared_is_named():
    values = DEFAULT | {"lineages": ["{2,4}"]}
    with pytest.raises(InputError, match=r"abx\.scoring\.slowest_layer: quant4 is compared and slower than quant3"):
        config.read(values)
    abx = DEFAULT["abx"] | {"scoring": {"slowest_layer": "quant4"}}
    assert config.read(values | {"abx": abx}).abx.scoring.slowest_layer == "quant4"
