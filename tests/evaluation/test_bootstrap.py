"""Intervals against known truths: 95 % of them must hold it, and half as wide ones must not."""

from functools import cache

import numpy as np
import oracles.evaluation as oracle
import pandas as pd
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from resdavenet_vq import config
from resdavenet_vq.encode.units import runs
from resdavenet_vq.errors import InputError
from resdavenet_vq.evaluation import bitrate, bootstrap, retrieval
from resdavenet_vq.evaluation.bootstrap import REPLICATES, Replicates, Resamples
from resdavenet_vq.evaluation.comparison import Estimate
from resdavenet_vq.evaluation.retrieval_samples import replicate
from resdavenet_vq.evaluation.word_counts import Block, Counts, Tokens
from resdavenet_vq.evaluation.word_samples import DetectorCounts

RIGHT = (0.92, 0.98)


def names(n):
    return [f"u{i}" for i in range(n)]


def covered(intervals, truth):
    """The shares of intervals (n, 2) that hold the truth, and of those half as wide."""
    low, high = np.asarray(intervals).T
    middle, half = (low + high) / 2, (high - low) / 4
    return np.mean((low <= truth) & (truth <= high)), np.mean(abs(middle - truth) <= half)


def check(intervals, truth, least=RIGHT[0], most=RIGHT[1]):
    share, of_half = covered(intervals, truth)
    assert least <= share <= most
    assert of_half < 0.85  # this test can fail


@given(st.integers(1, 40), st.integers(1, 9), st.randoms(use_true_random=False))
@settings(max_examples=15)
def test_resamples_depend_on_ids_not_on_their_order(n, groups, random):
    order = random.sample(range(n), n)
    ids = names(n)
    first, second = Resamples.of(ids, groups), Resamples.of([ids[i] for i in order], groups)
    assert second.group.tolist() == first.group[order].tolist()
    np.testing.assert_array_equal(first.weights, second.weights)
    assert (first.weights.sum(axis=1) == first.n_groups).all()
    sizes = np.bincount(first.group)
    assert len(sizes) == min(n, groups)
    assert np.ptp(sizes) <= 1


def test_other_ids_are_drawn_independently():
    some, others = (Resamples.of(ids).weights for ids in (names(60), names(61)[1:]))
    assert abs(np.corrcoef(some.reshape(-1), others.reshape(-1))[0, 1]) < 0.02
    assert abs(some.mean() - 1) < 1e-12
    assert some.var() == pytest.approx(1 - 1 / 60, rel=0.02)  # of a multinomial


def test_groups_have_the_same_standard_error():
    values = np.random.default_rng(0).exponential(size=5000)
    replicates = Resamples.of(names(5000))
    assert replicates.n_groups == bootstrap.GROUPS
    spread = (replicates.total(replicates.sums(values)) / 5000).std()
    assert spread == pytest.approx(values.std() / 5000**0.5, rel=0.12)


def test_an_interval_is_between_percentiles_and_may_be_centred():
    values = np.random.default_rng(1).normal(size=REPLICATES)
    expected = np.percentile(values, (2.5, 97.5))
    np.testing.assert_allclose(bootstrap.interval(values), expected)
    np.testing.assert_allclose(bootstrap.interval(values, 3.0), expected + 3 - values.mean())
    np.testing.assert_allclose(bootstrap.interval(np.append(values, np.nan)), expected)


def test_the_interval_of_a_count_holds_numbers_that_it_can_be():
    replicates = bootstrap.Replicates()
    values = np.random.default_rng(1).integers(5, 11, REPLICATES).astype(float)
    for count, name in ((9, "high"), (1, "low")):
        replicates.add(("words", "test", "held_out", name), count, values, count_of=10)
    low, high = replicates.intervals["words|test|held_out|high"]
    assert (low, high) == (6, 10), "of ten words no more than ten are detected"
    assert replicates.intervals["words|test|held_out|low"][0] == 0


def hits_of(rng, n, share, other, n_sets):
    """Hits (n, sets) of two systems that mostly hit the same."""
    ease = rng.random((n, n_sets))
    swap = rng.random((n, n_sets)) < 0.2
    return ease < share, np.where(swap, rng.random((n, n_sets)), ease) < other


def test_recall_and_its_paired_difference_are_covered():
    n, n_sets, rng = 200, 600, np.random.default_rng(2)
    hits = hits_of(rng, n, 0.6, 0.7, n_sets)
    draw, apart = Resamples.of(names(n)), Resamples.of([f"v{i}" for i in range(n)])
    first, second, unpaired = (
        r.share(np.stack([r.sums(column) for column in h.T], axis=1), np.full((n, n_sets), 1.0))
        for r, h in ((draw, hits[0]), (draw, hits[1]), (apart, hits[1]))
    )
    check([bootstrap.interval(values) for values in first.T], 0.6)
    means = [h.mean(axis=0) for h in hits]
    estimates = [
        [Estimate.of([mean], [values]) for mean, values in zip(means[i], some.T, strict=True)]
        for i, some in ((0, first), (1, second), (1, unpaired))
    ]
    paired = [(b - a).interval() for a, b in zip(estimates[0], estimates[1], strict=True)]
    wide = [(b - a).interval() for a, b in zip(estimates[0], estimates[2], strict=True)]
    check(paired, 0.1)
    assert np.diff(paired).mean() < 0.7 * np.diff(wide).mean()
    assert (estimates[0][0] - estimates[0][0]).interval() == (0.0, 0.0)


def test_a_mean_over_seeds_has_the_error_of_seeds_and_of_utterances():
    n, n_seeds, rng, draw = 60, 3, np.random.default_rng(3), Resamples.of(names(60))
    found, only_seeds = [], []
    for _ in range(600):
        values = rng.normal(size=n) + 0.3 * rng.normal(size=(n_seeds, n)) + 0.1 * rng.normal(size=(n_seeds, 1))
        replicates = [draw.total(some) / n for some in values]
        found.append(Estimate.of(values.mean(axis=1).tolist(), replicates).interval())
        only_seeds.append(Estimate.of(values.mean(axis=1).tolist(), [np.zeros(REPLICATES)] * n_seeds).interval())
    check(found, 0)
    assert covered(only_seeds, 0)[0] < RIGHT[0]


VOCABULARY = {f"W{i}": i for i in range(10)}
RECALL, NOISE = 0.6, 0.3
TRUE_F1 = 2 * RECALL / (1 + RECALL + NOISE)


def spoken(rng, n, recall=RECALL):
    """Utterances of ten words of one frame each, word i with code i in `recall` of its tokens, and ten frames of silence.

    In those, code i comes NOISE times as often as word i.
    """
    label = rng.integers(10, size=(n, 10))
    heard = np.where(rng.random((n, 10)) < np.broadcast_to(recall, 10)[label], label, 10)
    silent = np.where(rng.random((n, 10)) < NOISE, rng.integers(10, size=(n, 10)), 10)
    codes = np.stack([heard, silent], axis=2).reshape(-1)
    start = np.tile(np.arange(10) * 0.08 + 0.01, n)
    words = Tokens(np.repeat(np.arange(n), 10), start, start + 0.02, label.reshape(-1))
    return Block(codes, np.arange(n + 1) * 20, words, words, numbers=np.arange(n))


@cache
def resamples(n):
    return Resamples.of(names(n))


def sample_of(block, threshold=0.5, best=250):
    counts, n = Counts(11, frame_period=0.04, half_window=0.005), len(block.offsets) - 1
    counts.vocabulary.update(VOCABULARY)
    sums = DetectorCounts(VOCABULARY, counts.vocabulary, 11, resamples(n))
    sums.add(block, counts.add(block))
    i = np.arange(10)
    hits, tokens, frames = counts.hit[i, i], counts.tokens[i], counts.frames[i]
    scores = 2 * hits / (tokens + frames)  # for a frame that is touched is one that is hit
    chosen = config.Words(split="a", held_out_split="a", f1_threshold=threshold, best=best)
    return scores, sums.sample(pd.Series(scores, index=list(VOCABULARY)), chosen, without_precision=())


def test_f1_of_words_is_covered():
    rng = np.random.default_rng(4)
    of_words, of_means = [], []
    for _ in range(80):
        scores, sample = sample_of(spoken(rng, 100))
        assert sample.mean.mean() == pytest.approx(scores.mean(), abs=0.01)
        of_words.append(sample.bounds.T)
        of_means.append(bootstrap.interval(sample.mean))
    check(np.concatenate(of_words), TRUE_F1)
    check(of_means, TRUE_F1, 0.87, 1.0)  # fewer of them


def test_the_expected_number_of_words_counts_how_sure_each_is():
    block = spoken(np.random.default_rng(5), 100)
    scores, sample = sample_of(block, threshold=float(np.sort(sample_of(block)[0])[3]))
    assert 5 < sample.above.mean() < 8.5  # seven are above it, one of them by nothing
    assert sample.bounds.shape == (2, 10)
    assert ((sample.bounds[0] < scores) & (scores < sample.bounds[1])).all()
    assert sample_of(block, threshold=0.01)[1].above.tolist() == [10] * REPLICATES
    assert sample_of(block, best=2)[1].mean.mean() == pytest.approx(scores[:2].mean(), abs=0.01)


@pytest.mark.parametrize(
    ("recall", "n_true"),
    [
        (np.linspace(0.2, 0.7, 10), 5),  # F1 from 0.27 to 0.7
        (np.linspace(0.38, 0.5, 10), 6),  # from 0.45 to 0.56, all near the threshold of 0.5
        (np.repeat([0.2, 0.75], 5), 5),  # none near
    ],
)
def test_numbers_of_words_are_covered(recall, n_true):
    """By intervals that are wider than need be, for the number varies in a resample of a sample more than in samples."""
    assert (2 * recall / (1 + recall + NOISE) >= 0.5).sum() == n_true
    rng, expected, counts = np.random.default_rng(8), [], []
    for _ in range(60):
        scores, sample = sample_of(spoken(rng, 100, recall))
        head = {"words": 10, "words_above_f1": (scores >= 0.5).sum(), "mean_f1": 0.0}
        head["expected_words_above_f1"] = sample.above.mean()
        found = Replicates()
        sample.replicate(found, head, "a", "b")
        expected.append(found.intervals["words|a|b|expected_words_above_f1"])
        counts.append(found.intervals["words|a|b|words_above_f1"])
        assert counts[-1][0] <= head["words_above_f1"] <= counts[-1][1]
    for intervals in (expected, counts):
        assert covered(intervals, n_true)[0] >= RIGHT[0]
    assert covered(expected, n_true + 4)[0] < 0.85  # this test can fail


def test_words_are_those_of_the_utterances_drawn():
    """Replicates are the scores of a corpus in which each utterance is as often as it was drawn."""
    block = spoken(np.random.default_rng(6), 12)
    _, sample = sample_of(block, best=3)
    weights = Resamples.of(names(12))
    for r in range(4):
        drawn = np.repeat(np.arange(12), weights.weights[r, weights.group].astype(int))
        utterances = []
        for i in drawn:
            rows = block.words.utterance == i
            spoken_words = zip(block.words.start[rows], block.words.end[rows], block.words.label[rows], strict=True)
            utterances.append((block.codes[20 * i : 20 * i + 20].tolist(), list(spoken_words)))
        frames, touched, tokens, hit = oracle.word_counts(utterances, 0.04, 0.005)
        f1 = [
            2 * p * q / (p + q) if p + q else 0
            for w in range(3)
            for p, q in [(touched[w, w] / max(frames[w], 1), hit[w, w] / max(tokens[w], 1))]
        ]
        assert sample.mean[r] == pytest.approx(np.mean(f1))


def test_recalls_are_those_of_the_pairs_drawn():
    """An image and all its captions are drawn together."""
    rng, image_of = np.random.default_rng(7), np.array([0, 0, 1, 2, 3, 3, 3, 4])
    ranks = retrieval.Ranks(rng.integers(0, 4, 5), rng.integers(0, 4, 8), np.zeros(5, bool), np.zeros(8, bool))
    scores, images = retrieval.summarize(ranks, image_of, (2,)), [f"i{i}.png" for i in range(5)]
    found = replicate(ranks, scores, image_of, images, task="retrieval", split="test").columns
    weights = Resamples.of(images)
    for r in range(20):
        drawn = np.repeat(np.arange(5), weights.weights[r, weights.group].astype(int))
        forth = [ranks.image_to_speech[i] < 2 for i in drawn]
        back = [ranks.speech_to_image[j] < 2 for i in drawn for j in np.flatnonzero(image_of == i)]
        expected = np.mean(forth), np.mean(back), (np.mean(forth) + np.mean(back)) / 2
        for direction, recall in zip(("image_to_speech", "speech_to_image", "mean"), expected, strict=True):
            assert found[f"retrieval|test|{direction}|recall_at_2"][r] == pytest.approx(recall)


def test_bitrates_to_first_order_spread_as_those_of_resampled_counts():
    rng, n = np.random.default_rng(8), 80
    utterances = {name: rng.choice(6, 60, p=rng.dirichlet(np.ones(6) * 8)) for name in names(n)}
    durations = {name: float(rng.uniform(1, 2)) for name in utterances}
    samples = bitrate.Samples(durations)
    score = bitrate.measure(utterances.items(), durations, samples)
    found, draw = samples.replicates(), Resamples.of(durations)
    seconds = draw.total(draw.sums(np.array(list(durations.values()))))
    n_runs = np.array([len(runs(u).code) for u in utterances.values()])
    units = found["segment", "units_per_second"]
    np.testing.assert_allclose(units, draw.total(draw.sums(n_runs)) / seconds)
    assert units.mean() == pytest.approx(score.units_per_second, rel=0.01)
    counts = np.array([np.bincount(u, minlength=6) for u in utterances.values()])
    of_groups = np.zeros((draw.n_groups, 6))
    np.add.at(of_groups, draw.group, counts)
    p = draw.total(of_groups)
    rows, p = p.sum(axis=1), p / p.sum(axis=1, keepdims=True)
    exact = rows / seconds * -(p * np.log2(p)).sum(axis=1)
    plain = found["plain", "bits_per_second"]
    assert plain.mean() == pytest.approx(score.plain, rel=0.01)
    assert np.std(plain - exact) < 0.2 * exact.std()
    assert plain.std() == pytest.approx(exact.std(), rel=0.05)


def test_a_table_is_read_as_it_was_written(tmp_path):
    table, values = Replicates(), np.random.default_rng(9).random(REPLICATES)
    table.add(("words", "test", "held_out", "mean_f1"), 0.5, values)
    table.add(("abx", "test", "within", "error"), None, values)
    table.add(("abx", "test", "across", "error"), 1.0, np.full(REPLICATES, np.nan))
    table.write(tmp_path / "summary.json")
    assert (tmp_path / "bootstrap.csv").exists()
    found = bootstrap.read(tmp_path / "summary.json")
    assert list(found) == list(table.intervals) == ["words|test|held_out|mean_f1"]
    np.testing.assert_allclose(found["words|test|held_out|mean_f1"], values, rtol=1e-7)
    Replicates().write(tmp_path / "none.json")
    assert bootstrap.read(tmp_path / "none.json") == {}


@pytest.mark.parametrize(
    ("text", "message"),
    [
        (None, "no such file, which the intervals of a.json"),
        ("a\n1\n", "is no table of 1000"),
        ("a\nx\n", "not a table"),
    ],
)
def test_a_missing_or_broken_table_is_named(tmp_path, text, message):
    if text is not None:
        (tmp_path / "a.bootstrap.csv").write_text(text)
    with pytest.raises(InputError, match=rf"a\.bootstrap\.csv: {message}.*score again"):
        bootstrap.read(tmp_path / "a.json")
