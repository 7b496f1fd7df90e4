"""What the rules hand to commands: all that a result depends on, and nothing else."""

import json
from pathlib import Path

import pytest
from workflow.plans import plan_of, values_of

from resdavenet_vq import config
from resdavenet_vq.errors import InputError
from resdavenet_vq.workflow.figures import planned_figures
from resdavenet_vq.workflow.noise import NoisePlan
from resdavenet_vq.workflow.pages import Pages
from resdavenet_vq.workflow.plan import Plan

PAIRS = {"train": 2000, "val": 200, "test": 200}


def test_pairs_depend_on_the_names_and_the_order_of_the_splits_before_them():
    def made(split, sections=(), **corpus):
        return plan_of(corpus=corpus, **dict(sections)).splits.corpus_of(split)

    for split in PAIRS:
        assert made(split, pairs=PAIRS) == made(split, pairs=PAIRS | {"more": 5}, word_lists={"unseen": 1, "other": 2})
        assert made(split, pairs=PAIRS) != made(split, pairs={"val": 200, "train": 2000, "test": 200})
    renamed = {"learn": 2000, "val": 200, "test": 200}
    sections = {name: {"split": "learn"} for name in ("training", "words")}
    assert made("val", pairs=PAIRS) != made("val", sections, pairs=renamed)


def test_alignments_are_an_input_of_their_split():
    splits = plan_of("configs/places.yaml", corpus={"alignments": {"val": "val.ctm"}}).splits
    assert splits.corpus_files("val")[-1] == "val.ctm"
    assert splits.import_code("val") == ("corpus.places", "corpus.alignments")
    assert splits.import_code("train") == ("corpus.places",)
    assert config.read_corpus(splits.import_options("val")).alignments == {"val": Path("val.ctm")}


def test_what_an_imported_model_starts_from_is_not_trained():
    some = plan_of(lineages=["{}->{2}->{2,3}", "{3}"], released={"{} -> {2}": "a.tar", "{3}": "nowhere"})
    assert (list(some.trained), list(some.trainings.released)) == (["none-2-23"], ["none-2", "3"])


def test_what_an_imported_model_is_made_of(tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    some = plan_of(released={"{}": "a.tar", "{2}": "experiment"})
    assert some.trainings.released_contents("2") == ""
    for name in ("a.tar", "experiment/args.pkl", "experiment/models/best_audio_model.pth", "experiment/models/9.pth"):
        (tmp_path / name).parent.mkdir(parents=True, exist_ok=True)
        (tmp_path / name).write_text(name)
    files = [
        line.split("  ")[1]
        for folder in ("none", "2")
        for line in some.trainings.released_contents(folder).splitlines()
    ]
    assert files == ["a.tar", "experiment/args.pkl", "experiment/models/best_audio_model.pth"]


def seeded(*seeds, **changes):
    return plan_of(lineages=["{}", "{}->{2}"], seeds=list(seeds), baselines={"codebook_sizes": []}, **changes)


def test_every_lineage_has_every_seed_and_the_configured_one_has_the_plain_folder():
    def folders(lineages):
        return [lineage.folder for lineage in lineages]

    own = seeded().config.training.seed
    assert folders(seeded().lineages) == ["none", "none-2"]
    assert folders(seeded(own, 3).lineages) == ["none", "none-seed3", "none-2", "none-2-seed3"]
    assert folders(seeded(3).lineages) == ["none-seed3", "none-2-seed3"]
    assert set(folders(seeded(own, 3).lineages)) == set(folders(seeded(3, own).lineages))
    assert json.loads(seeded(own, 3).seeds) == {"none": own, "none-seed3": 3, "none-2": own, "none-2-seed3": 3}
    assert folders(seeded(3, own).examples) == ["none", "none-2"]
    assert folders(seeded(3, 4).examples) == ["none-seed3", "none-2-seed3"]


def test_a_seed_is_all_that_its_trainings_differ_in():
    one, several = seeded(), seeded(1, 2, seeded().config.training.seed)
    for folder in ("none", "none-2"):
        assert json.loads(several.trainings.settings(f"{folder}-seed2")) == json.loads(
            one.trainings.settings(folder)
        ) | {"seed": 2}
        assert several.trainings.recipe(f"{folder}-seed2") == one.trainings.recipe(folder)
    assert several.trainings.parent("none-2-seed2").folder == "none-seed2"


def test_an_imported_model_has_no_seed_and_is_the_parent_of_all():
    some = seeded(1, 2, released={"{}": "a.tar"})
    assert [lineage.folder for lineage in some.lineages] == ["none", "none-2-seed1", "none-2-seed2"]
    files = [f"results/spoken_scenes/none/model/model.{suffix}" for suffix in ("json", "safetensors")]
    assert some.trainings.parent_files("none-2-seed2") == files
    assert some.trainings.parent_option("none-2-seed2") == ["--parent", files[0]]
    assert some.trainings.parent_option("none") == []
    assert json.loads(some.seeds) == {"none-2-seed1": 1, "none-2-seed2": 2}


def test_a_local_file_of_weights_is_an_input_of_first_stages_alone():
    local = plan_of(model={"image": values_of()["model"]["image"] | {"weights": "w.pth"}})
    assert [local.trainings.image_weights(folder) for folder in ("none", "none-2")] == [["w.pth"], []]
    assert plan_of("configs/places.yaml").trainings.image_weights("none") == []


def test_a_training_gets_the_switches_that_matter_to_it():
    switches = {folder: json.loads(plan_of().trainings.recipe(folder)).keys() for folder in ("none", "2", "2-23-2")}
    assert switches["none"] == {"jitter", "semi_hard", "pad_value"}
    assert switches["2"] == switches["2-23-2"] == {"jitter", "semi_hard", "pad_value", "dead_codes"}
    assert json.loads(plan_of().trainings.recipe("none-2")).keys() == set(config.TRAINING_SWITCHES)


def test_encoding_gets_the_context_and_the_padding_only_where_there_is_some():
    def recipe(**switches):
        return plan_of(recipe=switches).encoding_recipe("test")

    assert recipe(pad_value="floor") == recipe() == '{"context": "cropped"}'
    assert recipe(pad_value="floor", context="padded") == '{"pad_value": "floor", "context": "padded"}'
    assert recipe(context="padded") != recipe(pad_value="floor", context="padded")


def test_a_split_of_abx_alone_is_whole_and_has_no_length_to_pad_to():
    some = plan_of(recipe={"context": "padded"}, abx={"splits": ["unseen"]})
    noisy = "unseen.white_0dB"
    for split, context in {"test": "padded", "train": "padded", "unseen": "cropped", noisy: "cropped"}.items():
        assert json.loads(some.encoding_recipe(split))["context"] == context
    assert noisy in some.splits.copies


def off(*sections, **changes):
    """A plan without some evaluations."""
    return plan_of(**changes | dict.fromkeys(sections))


def test_what_is_off_asks_for_nothing():
    whole, some = plan_of(), off("retrieval", "words")
    assert whole.retrieval
    assert whole.matchmaps
    assert whole.words
    assert some.retrieval == some.matchmaps == some.words == Pages(some).maps == []
    assert some.abx == whole.abx
    assert Pages(some).tables == ["abx", "differences"]
    assert off("retrieval").words == whole.words
    assert off("words").retrieval == whole.retrieval
    assert off("abx").abx == off("abx").submissions == []
    assert Pages(off("report")).maps == []
    assert some.code_limit("train") == 0 < whole.code_limit("train")


def test_the_shown_split_is_the_first_that_is_scored():
    splits = {"retrieval": {"split": "val"}, "abx": {"splits": ["unseen", "test"]}}
    assert Pages(plan_of(**splits)).split == "test"
    assert Pages(plan_of(**splits)).splits == ["test", "val"]
    assert Pages(off("words", retrieval={"split": "val"})).splits == ["val"]
    without = Pages(off("words", "retrieval", abx={"splits": ["unseen", "test"]}))
    assert (without.split, without.splits) == ("unseen", ["unseen"])
    assert {Path(file).name for file in without.codes} == {"unseen.h5"}
    none = Pages(off("words", "retrieval", "abx"))
    assert (none.split, none.splits, none.codes) == (None, [], [])


def test_splits_that_only_words_or_retrieval_cut_are_whole_without_them():
    def cut(plan):
        return {split for split in ("train", "val", "test", "unseen") if plan.splits.is_cut(split)}

    assert cut(plan_of()) == {"train", "val", "test"}
    assert cut(off("words")) == cut(off("retrieval")) == {"train", "val", "test"}
    assert cut(off("words", "retrieval")) == {"train", "val"}


@pytest.mark.parametrize("section", ["retrieval", "words"])
def test_the_target_of_what_is_off_says_so(section):
    with pytest.raises(InputError, match=f"{section}: the configuration has no section `{section}`"):
        off(section).target(section)
    assert plan_of().target(section)


UNITS = {"files": {"train": "a.csv", "test": "b.csv"}, "format": "segments"}


def test_without_lineages_there_are_references_alone():
    some = plan_of(lineages=[], training={"overrides": {}}, external={"mine": UNITS})
    assert [str(system) for system in some.systems] == ["raw log-mel", "normalized log-mel", "untrained", "mine"]
    assert some.models == some.retrieval == some.submissions == []
    assert (some.trained, some.seeds) == ({}, "{}")
    assert some.words == ["results/spoken_scenes/external-mine/words/units/test/summary.json"]
    for target, message in (("models", "there is no model"), ("retrieval", "retrieval needs a model")):
        with pytest.raises(InputError, match=f"lineages: there are none, .*{message}"):
            some.target(target)
    with pytest.raises(InputError, match=r"abx\.splits: names no split"):
        off("abx").target("abx")
    with pytest.raises(InputError, match=r"words: no system .* has units on both"):
        plan_of(lineages=[], training={"overrides": {}}).target("words")


def test_splits_of_spoken_coco():
    own, karpathy = (
        plan_of("configs/spoken_coco.yaml", corpus=changes) for changes in ({}, {"karpathy_splits": "k.json"})
    )
    assert own.config.corpus.splits == ("train", "val")
    files = [f"/data/SpokenCOCO/{name}" for name in ("SpokenCOCO_train.json", "SpokenCOCO_val.json", "alignments/val")]
    assert own.splits.corpus_files("val") == files[1:]
    assert karpathy.config.corpus.splits == ("train", "val", "test")
    assert karpathy.splits.corpus_files("test") == [*files[:2], "k.json"]
    assert len(config.read_corpus(karpathy.splits.import_options("test")).metadata) == 2


def test_splits_of_flickr8k():
    flickr = plan_of("configs/flickr8k.yaml")
    assert flickr.config.corpus.splits == ("train", "dev", "test")
    images = [f"Flickr_8k.{split}Images.txt" for split in flickr.config.corpus.splits]
    files = [Path(file).name for file in flickr.splits.corpus_files("test")]
    assert files == ["wav2capt.txt", "wav2spk.txt", "Flickr8k.token.txt", *images]
    kaggle = plan_of("configs/flickr8k.yaml", corpus={"text_file": "captions.txt"})
    assert "/data/Flickr8k_text/captions.txt" in kaggle.splits.corpus_files("test")
    without = plan_of("configs/flickr8k.yaml", corpus={"text_file": None})
    assert [Path(file).name for file in without.splits.corpus_files("test")] == ["wav2capt.txt", "wav2spk.txt", *images]


@pytest.mark.parametrize("key", ["items", "alignments"])
def test_a_split_that_the_corpus_does_not_have_is_named(key):
    with pytest.raises(config.InputError, match=f"corpus.{key}: the corpus has no split 'vall'; did you mean 'val'"):
        plan_of("configs/places.yaml", corpus={key: {"vall": "x"}})


def test_abx_scores_every_condition_and_phonemes_share_their_items():
    conditions = ["triphone", "phoneme", "phoneme_any", "word", "syllable"]
    plan = plan_of(lineages=["{2}"], abx={"splits": ["test"], "conditions": conditions})
    triphones = plan_of(lineages=["{2}"], abx={"splits": ["test"]}).abx
    assert plan.abx[: len(triphones)] == triphones
    assert len(plan.abx) == len(set(plan.abx)) == 5 * len(triphones)
    assert f"{plan.root}/2/abx/test/phoneme_any/quant2.json" in plan.abx
    files = [plan.splits.items("test", condition) for condition in conditions]
    assert files == [f"{plan.root}/{name}.item" for name in ITEMS]
    for of, keys in (("", ["shortest", "ignore_stress"]), (".word", ["shortest", "most_frequent"])):
        assert list(json.loads(plan.items_settings(of))) == keys


def test_a_corpus_with_words_alone_is_scored_by_words_alone():
    plan = plan_of(lineages=["{2}"], abx={"splits": ["test"], "conditions": ["word"]})
    assert all("/abx/test/word/" in score for score in plan.abx)
    assert "abx" not in Pages(plan).tables  # which show triphones
    assert not [name for name in planned_figures(plan) if "abx" in name]
    noisy = [score for score in NoisePlan(plan).scores if "/abx/" in score]
    assert noisy
    assert all("/word/" in score for score in noisy)


ITEMS = ["corpus/test", "items/test.phoneme", "items/test.phoneme", "items/test.word", "items/test.syllable"]


def test_item_files_of_a_corpus_are_of_triphones_unless_named_otherwise():
    items = {"test": "t.item", "test.phoneme": "p.item", "val.word": "w.item"}
    metadata = {split: f"{split}.json" for split in ("train", "val", "test")}
    corpus = {"layout": "places", "name": "p", "metadata": metadata, "items": items}
    values = values_of(abx={"splits": ["val", "test"], "conditions": ["triphone", "phoneme_any", "word"]}) | {
        "corpus": corpus
    }
    splits = Plan(config.read(values)).splits
    found = [[splits.items(split, kind) for kind in ("triphone", "phoneme_any", "word")] for split in ("val", "test")]
    made = "results/p/items"
    assert found == [
        [f"{made}/val.item", f"{made}/val.phoneme.item", "w.item"],
        ["t.item", "p.item", f"{made}/test.word.item"],
    ]
    assert splits.item_digests("test", "phoneme_any") == []
    assert splits.item_digests("test", "word") == [f"{made}/test.word.item.sha256"]
    for key, message in (
        ("tset.phoneme", r"corpus\.items: the corpus has no split 'tset'"),
        ("test.phone", r"corpus\.items: the corpus has no split 'test\.phone'"),
        ("test.triphone", r"corpus\.items: the corpus has no split 'test\.triphone'"),
    ):
        with pytest.raises(InputError, match=message):
            config.read(values | {"corpus": corpus | {"items": {key: "x.item"}}})
    with pytest.raises(InputError, match=r"items of words of 'test' are called as the split 'test\.word'"):
        config.read(values | {"corpus": corpus | {"metadata": metadata | {"test.word": "x.json"}, "items": {}}})


def test_only_splits_of_abx_alone_are_never_cut():
    some = plan_of()
    frames = {split: json.loads(some.splits.preparation(split))["max_frames"] for split in some.config.corpus.splits}
    assert {split for split, n in frames.items() if n == some.config.preparation.max_frames} == {"train", "val", "test"}
    assert frames["unseen"] > 24 * 3600 * 100


def baselines(plan):
    return [baseline.folder for baseline in plan.references.baselines]


def test_baselines_by_default_and_each_turned_off():
    default = ["baseline", "baseline-normalized", "untrained", "kmeans", "kmeans-of-untrained", "kmeans-of-none"]
    assert baselines(plan_of(baselines={"codebook_sizes": []})) == default
    assert baselines(plan_of(baselines={"codebook_sizes": []}, lineages=["{}"])) == default[:3], (
        "without quantizers there is nothing to compare codes with"
    )
    assert baselines(plan_of(baselines={"codebook_sizes": []}, lineages=["{2}"])) == default[:5], (
        "a first stage with a quantizer is not clustered"
    )
    for key, gone in {
        "normalized_logmel": {"baseline-normalized"},
        "kmeans": {"kmeans"},
        "untrained": {"untrained", "kmeans-of-untrained"},
    }.items():
        assert set(default) - set(baselines(plan_of(baselines={key: False}))) == gone
    assert baselines(plan_of(baselines={"kmeans_of": [], "codebook_sizes": []})) == default[:5]
    more = plan_of(baselines={"kmeans_of": ["{} -> {2}"], "codebook_sizes": [64, 8]})
    assert baselines(more) == [*default[:5], "kmeans-of-none-2", "kmeans-k64", "kmeans-k8"]


def test_the_network_that_is_clustered_is_one_that_there_is():
    own = seeded().config.training.seed
    assert baselines(seeded(3, own))[-1] == "kmeans-of-none"
    some = seeded(3, 4)
    assert baselines(some)[-1] == "kmeans-of-none-seed3"
    assert str(some.references.baselines[-1]) == "k-means of {}"
    root = "results/spoken_scenes/none-seed3/model"
    assert some.references.clustered_model("kmeans-of-none-seed3") == [
        f"{root}/model.json",
        f"{root}/model.safetensors",
    ]
    assert some.references.clustered_option("kmeans-of-none-seed3") == ["--model", root]
    assert some.references.clustered_model("kmeans") == some.references.clustered_option("kmeans") == []
    assert baselines(seeded(3, 4, released={"{}": "a.tar"}))[-1] == "kmeans-of-none"


def test_there_are_as_many_clusters_as_codes():
    def sizes(folder="kmeans", **model):
        some = plan_of(model={"quantizer": model})
        return json.loads(some.references.cluster_sizes(folder))

    assert sizes() == {"quant2": 1024, "quant3": 1024}
    assert sizes(codebook_size=[1, 20, 30, 4, 5]) == sizes("kmeans-of-none", codebook_size=[1, 20, 30, 4, 5])
    assert sizes(codebook_size=[1, 20, 30, 4, 5]) == {"quant2": 20, "quant3": 30}
    assert sizes("kmeans-k64", codebook_size=[1, 20, 30, 4, 5]) == {"quant2": 64, "quant3": 64}
