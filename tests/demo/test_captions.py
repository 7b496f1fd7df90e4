from collections import Counter
from itertools import pairwise

import numpy as np
import pytest

from resdavenet_vq.config import SpokenScenes
from resdavenet_vq.demo import captions, scenes
from resdavenet_vq.demo.espeak import PAUSE


def settings(**changes):
    return SpokenScenes.model_validate(
        {"layout": "spoken_scenes", "name": "test", "seed": 3, "pairs": {"train": 6}} | changes
    )


DEFAULT = settings()
LARGEST = settings(objects=24, colours=10, max_objects=3)
SMALLEST = settings(objects=2, colours=2, max_objects=1)


def sampled(corpus, number, seed=0):
    rng = np.random.default_rng(seed)
    return [(scene := scenes.sample(corpus, rng), captions.sample(scene, rng)) for _ in range(number)]


@pytest.mark.parametrize("corpus", [DEFAULT, LARGEST, SMALLEST])
def test_the_vocabulary_is_what_is_said(corpus):
    said = {word for _, caption in sampled(corpus, 4000) for word in captions.words_of(caption)}
    assert said == captions.vocabulary(corpus)


def test_the_default_vocabulary_is_of_the_stated_size():
    assert len(captions.vocabulary(DEFAULT)) == 80


def test_no_word_is_rare():
    counts = Counter(word for _, caption in sampled(DEFAULT, 2000) for word in captions.words_of(caption))
    assert min(counts.values()) >= 50


def test_captions_are_true():
    """Every object and every colour, size, place and time that is said is in the scene."""
    for scene, caption in sampled(LARGEST, 2000):
        words = captions.words_of(caption)
        for thing in scene.things:
            assert set(words) & set(captions._NOUNS.get(thing.name, (thing.name,)))
        colours = [w for w, following in pairwise(words) if w in LARGEST_COLOURS and following != "snow"]
        assert set(colours) <= {t.colour for t in scene.things}
        said_sizes = {size for size, names in captions._SIZES.items() if set(names) & set(words)}
        assert said_sizes <= {t.size for t in scene.things}
        text = " ".join(words)
        for place, phrases in captions._PLACES.items():
            assert place == scene.place or not any(phrase in text for phrase in phrases)
        for time, phrases in captions._TIMES.items():
            assert time == scene.time or not any(phrase and phrase in text for phrase in phrases)


LARGEST_COLOURS = {"red", "blue", "green", "yellow", "orange", "purple", "white", "black", "pink", "brown"}


def test_sides_are_said_in_order():
    for scene, caption in sampled(DEFAULT, 3000):
        if "left" in caption:
            left, right = caption.index("left"), caption.index("right")
            nouns = [
                next(i for i, w in enumerate(caption) if w in captions._NOUNS.get(t.name, (t.name,)))
                for t in scene.things
            ]
            assert nouns[0] < left < nouns[1] < right


def test_pauses_stand_between_words_only():
    for _, caption in sampled(LARGEST, 3000):
        assert caption[0] != PAUSE
        assert caption[-1] != PAUSE
        assert (PAUSE, PAUSE) not in pairwise(caption)


def test_articles():
    for _, caption in sampled(LARGEST, 2000):
        for article, word in pairwise(caption):
            if article in ("a", "an"):
                assert (article == "an") == (word[0] in "aeiou")


def test_listed_words_are_in_no_caption():
    assert len(set(captions.OTHER_WORDS)) == len(captions.OTHER_WORDS)
    assert not set(captions.OTHER_WORDS) & captions.vocabulary(LARGEST)


def test_word_lists():
    rng = np.random.default_rng(0)
    lists = [captions.sample_word_list(rng) for _ in range(300)]
    assert all(len(words) == len(set(words)) == 8 for words in lists)
    assert {word for words in lists for word in words} == set(captions.OTHER_WORDS)
