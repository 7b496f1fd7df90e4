import json
import tracemalloc
from pathlib import Path

import numpy as np
import oracles.evaluation as oracle
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from hypothesis.extra import numpy as hnp

from resdavenet_vq.errors import InputError
from resdavenet_vq.evaluation import retrieval

DATA = Path(__file__).parents[1] / "golden" / "retrieval"


def test_the_release_s_recalls():
    S = np.load(DATA / "similarity.npz")["similarity"]
    want = json.loads((DATA / "expected.json").read_text())
    scores = retrieval.evaluate(S, np.eye(len(S)), np.arange(len(S)))
    directions = {"A_r": scores.image_to_speech, "I_r": scores.speech_to_image}
    assert {f"{name}{k}": r for name, direction in directions.items() for k, r in direction.recall.items()} == want


@st.composite
def problems(draw):
    """Small whole-number vectors, so that many scores tie, and one to three captions for every image."""
    n_images, dim = draw(st.integers(1, 7)), draw(st.integers(1, 3))
    others = draw(st.lists(st.integers(0, n_images - 1), max_size=8))
    image_of = np.array(draw(st.permutations([*range(n_images), *others])))
    numbers = st.integers(-3, 3).map(float)
    image, speech = (draw(hnp.arrays(np.float32, (n, dim), elements=numbers)) for n in (n_images, len(image_of)))
    return image, speech, image_of


@given(problems(), st.integers(1, 5), st.integers(1, 12))
@settings(max_examples=100)
def test_the_oracle_agrees_with_ties_with_several_captions_and_in_any_blocks(problem, block, k):
    image, speech, image_of = problem
    S = image @ speech.T
    scores = retrieval.summarize(retrieval.rank(image, speech, image_of, block), image_of, (k,))
    directions = scores.image_to_speech, scores.speech_to_image
    assert [d.recall[k] for d in directions] == pytest.approx(oracle.recalls(S, image_of, k))
    assert tuple(d.ties for d in directions) == oracle.ties(S, image_of)


@pytest.mark.parametrize("block", [1, 7, 64, 100, 1000])
def test_blocks_change_nothing_on_real_numbers(block):
    generator = np.random.default_rng(0)
    image, speech = (generator.normal(size=(100, 33)).astype(np.float32) for _ in range(2))
    speech[50:] = speech[:50]  # exact ties in different blocks
    whole = retrieval.rank(image, speech, np.arange(100))
    for a, b in zip(whole, retrieval.rank(image, speech, np.arange(100), block), strict=True):
        np.testing.assert_array_equal(a, b)
    assert whole.image_tied.all()
    assert not whole.speech_tied.any()


def test_permuting_pairs_keeps_every_rank():
    generator = np.random.default_rng(1)
    image, speech = (generator.normal(size=(60, 8)).astype(np.float32) for _ in range(2))
    order = generator.permutation(60)
    before, after = (retrieval.rank(a, b, np.arange(60)) for a, b in ((image, speech), (image[order], speech[order])))
    for a, b in zip(before, after, strict=True):
        np.testing.assert_array_equal(a[order], b)


def test_perfect_similarity_gives_1_and_reversed_gives_0():
    perfect = retrieval.evaluate(np.eye(20), np.eye(20), np.arange(20))
    assert [*perfect.image_to_speech.recall.values(), *perfect.speech_to_image.recall.values()] == [1.0] * 6
    assert perfect.image_to_speech.mean_rank == perfect.image_to_speech.median_rank == perfect.image_to_speech.ties == 0
    assert perfect.mean_recall(10) == 1
    reversed_ = retrieval.evaluate(np.eye(20), -np.eye(20), np.arange(20))
    assert [*reversed_.image_to_speech.recall.values(), *reversed_.speech_to_image.recall.values()] == [0.0] * 6
    assert reversed_.speech_to_image.median_rank == 19


def test_constant_similarity_is_chance_and_every_tie_is_counted():
    scores = retrieval.evaluate(np.ones((50, 2)), np.ones((50, 2)), np.arange(50))
    for direction in (scores.image_to_speech, scores.speech_to_image):
        assert direction.recall == pytest.approx({1: 1 / 50, 5: 5 / 50, 10: 10 / 50})
        assert direction.recall == pytest.approx(direction.chance)
        assert direction.ties == direction.queries == 50
        assert direction.mean_rank == 24.5


def test_k_beyond_the_items_is_all_of_them():
    scores = retrieval.evaluate(np.eye(3), -np.eye(3), np.arange(3), (1, 3, 10))
    assert scores.image_to_speech.recall == {1: 0.0, 3: 1.0, 10: 1.0}
    assert scores.image_to_speech.chance[10] == 1


def test_chance_of_five_captions_an_image():
    assert retrieval.chance_recall(np.full(4, 5), 20, 1) == pytest.approx(5 / 20)
    assert retrieval.chance_recall(np.full(4, 5), 20, 2) == pytest.approx(1 - 15 / 20 * 14 / 19)
    assert retrieval.chance_recall(np.full(4, 5), 20, 16) == 1


@pytest.mark.parametrize(
    ("image", "speech", "index", "match"),
    [
        (np.eye(2), np.array([[0.0, np.nan], [1, 0]]), [0, 1], "1 of 2 speech vectors are not finite .*number 0"),
        (np.array([[0.0, 1], [np.inf, 0]]), np.eye(2), [0, 1], "1 of 2 image vectors are not finite .*number 1"),
        (np.full((1, 2), 1e30, np.float32), np.full((1, 2), 1e30, np.float32), [0], "range of single precision"),
        (np.eye(2), np.eye(3), [0, 1, 1], "not \\(2, 2\\), \\(3, 3\\) and \\(3,\\)"),
        (np.eye(2), np.eye(2), [0, 2], "0 ... 1, not 0 ... 2"),
        (np.eye(2), np.eye(2), [0, 0], "1 of 2 images have no caption"),
        (np.zeros((0, 2)), np.zeros((0, 2)), np.zeros(0, int), "no pair"),
    ],
)
def test_what_is_refused(image, speech, index, match):
    with pytest.raises(InputError, match=match):
        retrieval.evaluate(image, speech, np.asarray(index))


def test_memory_grows_with_the_vectors_not_with_their_pairs():
    n = 2000
    image, speech = (np.random.default_rng(s).normal(size=(n, 4)).astype(np.float32) for s in range(2))
    tracemalloc.start()
    retrieval.rank(image, speech, np.arange(n), block=128)
    _, peak = tracemalloc.get_traced_memory()
    tracemalloc.stop()
    assert peak < n * n * 4 / 3  # a third of S in single precision
