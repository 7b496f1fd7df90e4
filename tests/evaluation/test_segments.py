"""Token and area scores of units: a slow twin that tries every pair, and what must hold of every segmentation."""

import itertools

import numpy as np
import oracles.evaluation as oracle
import pytest
from encoded import ORIGIN
from evaluation.test_units import PERIODS, alignments, block
from hypothesis import given, settings
from hypothesis import strategies as st

from resdavenet_vq.encode.codes import CodesFile, add_codes, create_codes
from resdavenet_vq.encode.units import frame_edges
from resdavenet_vq.errors import InputError
from resdavenet_vq.evaluation import units
from resdavenet_vq.evaluation.boundaries import boundaries
from resdavenet_vq.evaluation.segments import AREA_SCORES, TOKEN_SCORES, Segments, segments_of_each
from resdavenet_vq.evaluation.word_counts import Vocabulary, blocks

CODES = st.lists(st.integers(0, 2), min_size=1, max_size=8)
LENGTHS = st.lists(st.integers(1, 6), min_size=1, max_size=6)


def counts(rows, period=0.04, frame_time="published", tolerance=0.02):
    """Of each utterance (codes, words)."""
    b = block(*rows)
    return segments_of_each(b, b.words, period, frame_time, tolerance)


def whole(rows, period=0.04):
    return Segments(*counts(rows, period).sum(axis=1).tolist())


def runs_of(codes, period, frame_time):
    """(begin, end) in seconds."""
    lengths = [len(list(run)) for _, run in itertools.groupby(codes)]
    return list(itertools.pairwise(frame_edges(np.cumsum([0, *lengths]), period, frame_time).tolist()))


@settings(max_examples=300)
@given(st.sampled_from(PERIODS), st.sampled_from(["published", "centred"]), st.sampled_from([0.02, 0.05]), st.data())
def test_counts_are_those_of_the_oracle(period, frame_time, tolerance, data):
    codes = data.draw(st.lists(CODES, min_size=1, max_size=4))
    rows = [(one, data.draw(alignments(period, len(one)))) for one in codes]
    for (one, spoken), got in zip(rows, counts(rows, period, frame_time, tolerance).T, strict=True):
        segments, tokens = runs_of(one, period, frame_time), [(begin, end) for begin, end, _ in spoken]
        covered, ious = oracle.areas(segments, tokens, period)
        matched = oracle.most_token_matches(segments, tokens, tolerance)
        of_all = [len(segments), len(tokens), matched, covered, len(ious), float(sum(ious))]
        assert got.tolist() == pytest.approx(of_all if tokens else [0] * 6)


def tiled(lengths, period, shift=0.0):
    """An utterance whose words are the runs of its codes, moved by `shift`, after a second of silence."""
    silence = round(1 / period)
    edges = np.cumsum([silence, *lengths]) * period + shift
    words = [(begin, end, "A") for begin, end in itertools.pairwise(edges.tolist())]
    return np.repeat(np.arange(len(lengths) + 1), [silence, *lengths]), words


@given(LENGTHS, st.sampled_from(PERIODS))
def test_the_words_themselves_score_1(lengths, period):
    codes, words = tiled(lengths, period)
    first = len(codes) - sum(lengths)
    scores = whole(
        [(codes[first:], [(begin - first * period, end - first * period, w) for begin, end, w in words])], period
    )
    assert [float(getattr(scores, name)) for name in (*TOKEN_SCORES, *AREA_SCORES)] == pytest.approx([1] * 6)


@given(LENGTHS, st.sampled_from([0.08, 0.16]), st.sampled_from([-1, 1]), st.floats(0.001, 0.999))
def test_words_that_are_moved_match_within_the_tolerance_and_not_beyond(lengths, period, sign, part):
    near = tiled(lengths, period, sign * 0.02 * part)
    assert whole([near], period).recall == 1
    far = tiled(lengths, period, sign * (0.0201 + part * (period - 0.0402)))
    assert whole([far], period).f1 == 0
    b = block(far)
    assert boundaries(b, b.words, period).matched == 0


@given(st.lists(st.tuples(CODES, alignments()), min_size=1, max_size=4), st.randoms())
def test_neither_order_nor_company_of_utterances_matters(rows, random):
    order = random.sample(range(len(rows)), len(rows))
    of_all = counts(rows)
    np.testing.assert_allclose(counts([rows[i] for i in order]), of_all[:, order], rtol=1e-12)
    np.testing.assert_allclose(np.concatenate([counts([row]) for row in rows], axis=1), of_all, rtol=1e-12)


@given(st.lists(st.tuples(CODES, alignments()), min_size=1, max_size=4))
def test_scores_are_shares_and_no_word_order_changes_them(rows):
    scores = whole(rows)
    values = [float(getattr(scores, name)) for name in (*TOKEN_SCORES, *AREA_SCORES)]
    assert all(0 <= value <= 1 + 1e-12 for value in values)
    assert min(scores.precision, scores.recall) <= scores.f1 <= max(scores.precision, scores.recall)
    np.testing.assert_allclose(counts([(codes, words[::-1]) for codes, words in rows]), counts(rows), rtol=1e-12)


def test_by_hand():
    # units of 40 ms frames: 0-0.08, 0.08-0.2, 0.2-0.24; words 0-0.09, 0.09-0.13, 0.13-0.24
    scores = whole([([0, 0, 1, 1, 1, 2], [(0.0, 0.09, "A"), (0.09, 0.13, "B"), (0.13, 0.24, "C")])])
    assert (scores.found, scores.reference, scores.matched) == (3, 3, 1)
    # middles at 0.04, 0.14 and 0.22, in A, C and C; a frame around 0.14 begins at 0.12 and touches B
    assert (scores.covered, scores.pairs) == (3, 3)
    assert scores.iou_sum == pytest.approx(0.08 / 0.09 + 0.07 / 0.16 + 0.04 / 0.11)
    assert scores.coverage == 1
    assert scores.a_score == pytest.approx(2 / (1 + 1 / scores.iou))


def test_one_unit_over_several_words_covers_the_middle_one_and_shares_nothing():
    scores = whole([([0] * 6, [(0.0, 0.08, "A"), (0.08, 0.16, "B"), (0.16, 0.24, "C")])])
    assert (scores.covered, scores.pairs, scores.matched) == (1, 0, 0)
    assert scores.iou == scores.a_score == scores.f1 == 0
    assert scores.coverage == pytest.approx(1 / 3)


def test_scores_of_nothing_are_0():
    nothing = Segments()
    assert all(float(getattr(nothing, name)) == 0 for name in (*TOKEN_SCORES, *AREA_SCORES))
    assert not counts([([0, 1], [])]).any()


def file_with_gap(path, gap):
    """Two words with segments of codes 0 and 1, and between and around them the code 2."""
    words = [[0.04, 0.12, "A"], [0.16, 0.24, "B"]]
    with create_codes(path, ["a"], [{"id": "a", "words": words, "phones": None}], ORIGIN) as file:
        out = add_codes(file, "units", np.zeros((3, 1), np.float32), np.array([7]), 0.04, gap=gap)
        out.write(0, np.array([2, 0, 0, 2, 1, 1, 2]))
    return path


@pytest.mark.parametrize(("gap", "found"), [(2, 2), (None, 5)])
def test_a_gap_is_no_segment(tmp_path, gap, found):
    described = units.Description(3, 0.04)
    with CodesFile(file_with_gap(tmp_path / "c.h5", gap), "units") as file:
        assert file.gap == gap
        for b in blocks(file, Vocabulary()):
            described.add(b)
    scores = described.to_dict()["words"]
    assert (scores["tokens"]["found"], scores["tokens"]["recall"]) == (found, 1)
    assert scores["tokens"]["precision"] == 2 / found
    assert scores["area"] == {"coverage": 1, "iou": 1, "a_score": 1}
    assert scores["boundaries"]["found"] == 4, "a gap has edges, which somebody has to be told"


def test_a_gap_that_is_no_code_is_refused(tmp_path):
    path = file_with_gap(tmp_path / "c.h5", 3)
    with pytest.raises(InputError, match=r"c\.h5: gap 3 and codebook of units do not fit together"):
        CodesFile(path, "units")
