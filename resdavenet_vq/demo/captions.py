"""Captions of the demo's scenes: vocabulary and sentences; and the words of its word lists."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np

from resdavenet_vq.config import SpokenScenes
from resdavenet_vq.demo.espeak import PAUSE
from resdavenet_vq.demo.objects import COLOURS, KINDS
from resdavenet_vq.demo.scenes import Scene, Thing

_NOUNS = {"house": ("house", "cottage"), "boat": ("boat", "ship"), "cup": ("cup", "mug")}
"""Objects with other names than their own."""

_SIZES = {"small": ("small", "little", "tiny"), "big": ("big", "large", "huge")}

_PLACES = {
    "beach": ("on the beach", "at the beach"),
    "desert": ("in the desert", "on desert sand"),
    "forest": ("in the forest", "in the woods"),
    "field": ("in a field", "in the meadow"),
    "mountain": ("near the mountains", "by the mountains"),
    "city": ("in the city", "in a town"),
    "lake": ("by the lake", "near a lake"),
    "snow": ("in the snow", "on white snow"),
    "kitchen": ("in the kitchen", "inside a kitchen"),
    "street": ("on the street", "on the road"),
}

_TIMES = {
    "day": ("", "", "", "on a sunny day"),
    "night": ("at night", "in the dark"),
    "sunset": ("at sunset", "in the evening"),
}

_SENTENCES = {
    1: (
        "there is {0} {where}",
        "{0} {where}",
        "i can see {0} {where}",
        "this is a picture of {0} {where}",
        "{where} , there is {0}",
        "{0} is standing {where}",
    ),
    2: (
        "{0} and {1} {where}",
        "there is {0} next to {1} {where}",
        "{where} i see {0} beside {1}",
        "{0} on the left and {1} on the right , {where}",
        "{0} near {1} {where}",
        "{where} , {0} and {1}",
        "this shows {0} with {1} {where}",
    ),
    3: (
        "{0} , {1} and {2} {where}",
        "{where} there are {0} , {1} , and {2}",
    ),
}
"""By the number of objects; `{where}` is place and time, maybe nothing."""

_SIZE_IS_SAID = 0.8
_COLOUR_IS_SAID = 0.92
_PLACE_IS_SAID = 0.93
_TIME_IS_SAID = 0.85

WORDS_IN_A_LIST = 8

OTHER_WORDS = tuple(
    """pit bit kit sit hit fit wit lit pat bat mat hat fat rat sat pot dot got hot lot not pet bet get let met net wet
    pack back tack lack sack pick tick kick sick lick seat beat heat meat feet boot loot root suit coat goat
    note vote late gate wait date fate bite fight site bad mad dad sad had pin bin tin sin win fin thin pan ban
    tan man fan van ran pen ten den men hen bun gun run fun ton bag tag rag dig pig wig fig hug rug lip tip chip
    zip cap map tap gap top hop shop thing sing king ring judge much such rich which watch match catch boy toy
    join coin safe save leaf leave rice rise buzz pool tool fool rule cool peel deal feel wheel meal pail tail
    sail mail bone tone phone cone zone loan thumb come gum mouth south path both teeth youth zoo shoe chew view
    few cow now how bow mow jam ham lamb yam bed head said dead led""".split()  # noqa: SIM905
)
"""Short words that no caption has, with many pairs that differ in one phone."""


def sample(scene: Scene, rng: np.random.Generator) -> tuple[str, ...]:
    """A random caption of the scene: lower-case words, with PAUSE between phrases."""
    where = []
    if rng.random() < _PLACE_IS_SAID:
        where.append(_any_of(_PLACES[scene.place], rng))
    if rng.random() < _TIME_IS_SAID:
        where.append(_any_of(_TIMES[scene.time], rng))
    sentence = _any_of(_SENTENCES[len(scene.things)], rng)
    nouns = [_noun_phrase(thing, rng) for thing in scene.things]
    text = sentence.format(*nouns, where=" ".join(where))
    return tuple(text.strip(f" {PAUSE}").split())  # a place that is not said leaves a pause behind


def sample_word_list(rng: np.random.Generator) -> tuple[str, ...]:
    """Different words outside every caption."""
    return tuple(OTHER_WORDS[number] for number in rng.permutation(len(OTHER_WORDS))[:WORDS_IN_A_LIST])


def words_of(caption: Sequence[str]) -> tuple[str, ...]:
    """The words without pauses."""
    return tuple(word for word in caption if word != PAUSE)


def vocabulary(settings: SpokenScenes) -> frozenset[str]:
    """Every word that a caption of the corpus can have."""
    most = min(settings.max_objects, settings.objects, settings.colours)
    nouns = [noun for name in list(KINDS)[: settings.objects] for noun in _NOUNS.get(name, (name,))]
    colours = list(COLOURS)[: settings.colours]
    articles = ["a"] + ["an"] * any(_article(word) == "an" for word in nouns + colours)
    sentences = [s.format(*"   ", where="") for n, group in _SENTENCES.items() if n <= most for s in group]
    phrases = [p for group in (*_PLACES.values(), *_TIMES.values(), *_SIZES.values()) for p in group]
    return frozenset(words_of(" ".join([*articles, *nouns, *colours, *sentences, *phrases]).split()))


def _noun_phrase(thing: Thing, rng: np.random.Generator) -> str:
    words = []
    if thing.size and rng.random() < _SIZE_IS_SAID:
        words.append(_any_of(_SIZES[thing.size], rng))
    if rng.random() < _COLOUR_IS_SAID:
        words.append(thing.colour)
    words.append(_any_of(_NOUNS.get(thing.name, (thing.name,)), rng))
    return " ".join([_article(words[0]), *words])


def _article(word: str) -> str:
    return "an" if word[0] in "aeiou" else "a"


def _any_of(choices: Sequence[str], rng: np.random.Generator) -> str:
    return choices[int(rng.integers(len(choices)))]
