"""Runs of codes and the times of frames."""

import itertools

import numpy as np
import oracles.evaluation as oracle
import pytest
from hypothesis import given
from hypothesis import strategies as st

from resdavenet_vq.encode import units

utterances = st.lists(st.lists(st.integers(0, 4), max_size=12), min_size=1, max_size=5)


@given(utterances)
def test_runs_are_those_of_the_oracle_and_never_cross_utterances(codes):
    flat = np.concatenate([np.array(c, np.int64) for c in codes])
    found = units.runs(flat, np.cumsum([0, *map(len, codes)]))
    want = [(u, *run) for u, c in enumerate(codes) for run in oracle.runs(c)]
    assert list(zip(*(column.tolist() for column in found), strict=True)) == want
    assert found.length.sum() == len(flat)


def test_rows_of_vectors_have_runs_too():
    vectors = np.array([[0, 1], [0, 1], [0, 2], [0, 1]], np.float32)
    found = units.runs(vectors)
    assert (found.start.tolist(), found.length.tolist()) == ([0, 2, 3], [2, 1, 1])
    np.testing.assert_array_equal(found.code, vectors[[0, 2, 3]])
    assert units.runs(np.zeros((0, 4))).code.shape == (0, 4)


@given(utterances, st.data())
def test_marked_rows_begin_runs_of_their_own(codes, data):
    flat = np.concatenate([np.array(c, np.int64) for c in codes])
    marked = np.array(data.draw(st.lists(st.booleans(), min_size=len(flat), max_size=len(flat))), bool)
    parts = np.cumsum(marked)  # an utterance, and a part of it, as a code: the twin of a mark
    bounds = np.cumsum([0, *map(len, codes)])
    found = units.runs(flat, bounds, marked)
    pairs = [list(zip(flat[a:b].tolist(), parts[a:b].tolist(), strict=True)) for a, b in itertools.pairwise(bounds)]
    want = [(u, first, n, code) for u, some in enumerate(pairs) for first, n, (code, _) in oracle.runs(some)]
    assert list(zip(*(column.tolist() for column in found), strict=True)) == want


def test_frame_times():
    assert units.frame_centers(3, 0.04).tolist() == pytest.approx([0.02, 0.06, 0.1])
    assert units.frame_centers(3, 0.04, "centred").tolist() == pytest.approx([0, 0.04, 0.08])
    assert units.frame_edges(np.arange(3), 0.04).tolist() == pytest.approx([0, 0.04, 0.08])
    assert units.frame_edges(np.arange(3), 0.04, "centred").tolist() == pytest.approx([0, 0.02, 0.06])


@given(st.lists(st.integers(0, 3), max_size=30))
def test_code_runs_are_those_of_the_oracle(codes):
    tier = units.code_runs(np.array(codes, np.int32), 0.02)
    assert [run.label for run in tier] == [str(code) for *_, code in oracle.runs(codes)]
    times = [(0.02 * first, 0.02 * (first + length)) for first, length, _ in oracle.runs(codes)]
    assert np.allclose([run[:2] for run in tier], times, atol=1e-6) or not codes
