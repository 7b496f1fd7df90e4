import json
from collections import Counter
from hashlib import blake2b

import numpy as np
import oracles.corpus as oracle_corpus
import pytest
import soundfile
from demo.settings import LARGEST, settings
from PIL import Image

from resdavenet_vq.corpus import places
from resdavenet_vq.demo import captions
from resdavenet_vq.demo import corpus as spoken_scenes
from resdavenet_vq.errors import InputError


@pytest.fixture(scope="module")
def folder(tmp_path_factory):
    folder = tmp_path_factory.mktemp("corpus")
    for split in ("train", "unseen"):
        spoken_scenes.make(settings(), split, folder, workers=1)
    return folder


def contents(folder):
    return {str(p.relative_to(folder)): p.read_bytes() for p in sorted(folder.rglob("*")) if p.is_file()}


def test_two_workers_and_a_rerun_over_leftovers_make_the_same_bytes(folder, tmp_path):
    leftover = tmp_path / "train/wavs/000/train-000000.wav"
    leftover.parent.mkdir(parents=True)
    leftover.write_bytes(b"cut off")
    for split in ("train", "train", "unseen"):
        spoken_scenes.make(settings(), split, tmp_path, workers=2)
    assert contents(tmp_path) == contents(folder)


def test_an_utterance_does_not_depend_on_how_many_there_are_or_on_other_splits(folder, tmp_path):
    spoken_scenes.make(settings(pairs={"train": 2}, word_lists={}), "train", tmp_path, workers=1)
    all_rows, rows = (json.loads((f / "train.json").read_text())["data"] for f in (folder, tmp_path))
    assert rows == all_rows[:2]
    media = {name: data for name, data in contents(tmp_path).items() if name.startswith("train/")}
    assert media.items() <= contents(folder).items()


def test_another_seed_makes_another_corpus(folder, tmp_path):
    spoken_scenes.make(settings(seed=4, pairs={"train": 1}), "train", tmp_path, workers=1)
    media = {name: data for name, data in contents(tmp_path).items() if name.startswith("train/")}
    assert len(media) == 2
    assert not media.items() & contents(folder).items()
    assert str(folder) not in (folder / "train.json").read_text()  # a corpus can be moved


def test_the_json_is_read_back(folder):
    manifest = places.read(folder / "train.json")
    assert manifest.refused == []
    assert manifest.counted == {"bad alignment tokens": 0, "no alignment": 0}
    assert [u.id for u in manifest.utterances] == [f"train-{i:06d}" for i in range(9)]
    for utterance in manifest.utterances:
        info = soundfile.info(utterance.wav)
        assert (info.samplerate, info.channels, info.subtype) == (16000, 1, "PCM_16")
        assert utterance.phones[-1].end <= info.duration < utterance.phones[-1].end + 2e-4
        assert [w.label.lower() for w in utterance.words] == utterance.text.split()
        assert set(utterance.text.split()) <= captions.vocabulary(settings())
        with Image.open(utterance.image) as image:
            image.load()
            assert (image.format, image.mode, image.size) == ("JPEG", "RGB", (48, 48))
        assert int(utterance.speaker.removeprefix("spk")) < 20


def test_word_lists_have_no_images_and_unseen_speakers(folder):
    manifest = places.read(folder / "unseen.json")
    assert len(manifest.utterances) == 4
    assert not (folder / "unseen/images").exists()
    for utterance in manifest.utterances:
        assert utterance.image is None
        assert 20 <= int(utterance.speaker.removeprefix("spk")) < 28
        assert len(utterance.words) == 8
        assert {w.label.lower() for w in utterance.words} <= set(captions.OTHER_WORDS)


@pytest.mark.parametrize("split", ["train", "unseen"])
def test_items_like_the_oracle(folder, split):
    rows = json.loads((folder / f"{split}.json").read_text())["data"]
    lines = (folder / f"{split}.item").read_text().splitlines()
    assert lines == oracle_corpus.item_file(rows)
    assert len(lines) > 10 * len(rows)


def test_after_a_failure_the_earlier_corpus_is_as_it_was(folder, tmp_path, monkeypatch):
    spoken_scenes.make(settings(), "train", tmp_path, workers=1)
    before = contents(tmp_path)

    def fail(*_, **__):
        raise OSError("disk full")

    monkeypatch.setattr(spoken_scenes.soundfile, "write", fail)
    with pytest.raises(OSError, match="disk full"):
        spoken_scenes.make(settings(seed=9), "train", tmp_path, workers=1)
    assert contents(tmp_path) == before


def test_an_unknown_split_is_named(tmp_path):
    with pytest.raises(InputError, match="'dev'; known are train, val, test, unseen"):
        spoken_scenes.make(settings(), "dev", tmp_path, workers=1)
    assert list(tmp_path.iterdir()) == []


def pairs_of(corpus, split, number, seed=0):
    return [spoken_scenes.sample_pair(corpus, split, np.random.default_rng([seed, n])) for n in range(number)]


def test_owners_like_the_oracle():
    for number in range(2000):
        value = int.from_bytes(blake2b(str(number).encode(), digest_size=8).digest())
        assert spoken_scenes.owner(str(number)) == oracle_corpus.trailing_ones(value)


@pytest.mark.parametrize("corpus", [settings(), settings(objects=3, colours=2), LARGEST])
def test_splits_share_no_scene_and_no_caption(corpus):
    """Even of a corpus with few, of which each split has most of its own."""
    corpus = corpus.model_copy(update={"pairs": {"train": 1, "val": 1, "test": 1, "more": 1}})
    pairs = [pairs_of(corpus, split, 400) for split in corpus.pairs]
    for part in (
        [{scene for scene, _ in split} for split in pairs],
        [{captions.words_of(caption) for _, caption in split} for split in pairs],
    ):
        assert len(set().union(*part)) == sum(map(len, part))
        assert all(len(own) > 20 for own in part)


def test_an_owner_never_changes_when_splits_are_added():
    few, many = settings(pairs={"train": 5, "val": 7}), settings(pairs={"train": 9, "val": 1, "test": 3, "other": 4})
    assert pairs_of(few, "val", 300) == pairs_of(many, "val", 300)


def test_every_split_has_all_words_about_equally_often():
    words, shares = sorted(captions.vocabulary(settings())), {}
    for corpus, name in (*((settings(), split) for split in settings().pairs), (settings(pairs={"all": 1}), "all")):
        pairs = pairs_of(corpus, name, 2000, seed=len(name))
        counts = Counter(word for _, caption in pairs for word in captions.words_of(caption))
        shares[name] = np.array([counts[word] for word in words]) / sum(counts.values())
        assert (shares[name] * 24_000).min() > 40
    assert all(np.abs(np.log(share / shares["all"])).max() < 0.7 for share in shares.values())


def test_too_many_splits_for_too_few_scenes(monkeypatch):
    monkeypatch.setattr(spoken_scenes, "_MOST_DRAWS", 300)
    corpus = settings(objects=2, colours=2, max_objects=1, pairs={f"split{n}": 1 for n in range(20)})
    with pytest.raises(InputError, match="'split19' finds no scene of its own"):
        spoken_scenes.sample_pair(corpus, "split19", np.random.default_rng(0))
