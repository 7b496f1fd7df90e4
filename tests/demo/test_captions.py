from collections import Counter
from itertools import pairwise

import numpy as np
import pytest
from demo.settings import LARGEST, settings

from resdavenet_vq.demo import captions, scenes
from resdavenet_vq.demo.espeak import PAUSE
from resdavenet_vq.demo.objects import COLOURS

DEFAULT, SMALLEST = settings(), settings(objects=2, colours=2, max_objects=1)


def sample(corpus, number):
    rng = np.random.default_rng(0)
    return [(scene := scenes.sample(corpus, rng), captions.sample(scene, rng)) for _ in range(number)]


@pytest.fixture(scope="module")
def samples():
    return sample(LARGEST, 3000)


@pytest.mark.parametrize("corpus", [DEFAULT, LARGEST, SMALLEST])
def test_the_vocabulary_is_all_that_captions_say(corpus):
    counts = Counter(word for _, caption in sample(corpus, 2500) for word in captions.words_of(caption))
    assert set(counts) == captions.vocabulary(corpus)
    if corpus is DEFAULT:
        assert len(counts) == 80
        assert min(counts.values()) >= 50


def test_captions_are_true(samples):
    """Every object and every colour, size, place and time of the caption is in the scene, the left object first."""
    for scene, caption in samples:
        words = captions.words_of(caption)
        text = " ".join(words)
        nouns = [set(captions._NOUNS.get(thing.name, (thing.name,))) for thing in scene.things]
        assert all(names & set(words) for names in nouns)
        colours = {word for word, following in pairwise(words) if word in COLOURS and following != "snow"}
        assert colours <= {t.colour for t in scene.things}
        sizes = {size for size, names in captions._SIZES.items() if set(names) & set(words)}
        assert sizes <= {t.size for t in scene.things}
        for place, phrases in captions._PLACES.items():
            assert place == scene.place or not any(phrase in text for phrase in phrases)
        for time, phrases in captions._TIMES.items():
            assert time == scene.time or not any(phrase and phrase in text for phrase in phrases)
        if "left" in words:
            first, second = (next(i for i, word in enumerate(words) if word in names) for names in nouns)
            assert first < words.index("left") < second < words.index("right")


def test_pauses_are_between_words_and_articles_fit(samples):
    for _, caption in samples:
        assert PAUSE not in (caption[0], caption[-1])
        assert (PAUSE, PAUSE) not in pairwise(caption)
        assert all((a == "an") == (b[0] in "aeiou") for a, b in pairwise(caption) if a in ("a", "an"))


def test_word_lists_have_words_that_are_in_no_caption():
    rng = np.random.default_rng(0)
    lists = [captions.sample_word_list(rng) for _ in range(300)]
    assert all(len(words) == len(set(words)) == 8 for words in lists)
    words = {word for words in lists for word in words}
    assert words == set(captions.OTHER_WORDS)
    assert len(words) == len(captions.OTHER_WORDS)
    assert not words & captions.vocabulary(LARGEST)
