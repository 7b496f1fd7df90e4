"""Bitrates against counts made by hand and a plain twin."""

import itertools
import math
from collections import Counter

import numpy as np
import oracles.evaluation as oracle
import pytest
from hypothesis import example, given, settings
from hypothesis import strategies as st

from resdavenet_vq.encode.units import runs
from resdavenet_vq.errors import InputError
from resdavenet_vq.evaluation import bitrate

METHOD = [1, 1, 1, 1, 1, 3, 3, 2, 3, 3, 2, 2]  # runs (1,5)(3,2)(2,1)(3,2)(2,2)


def entropy(symbols):
    n = len(symbols)
    return -sum(c / n * math.log2(c / n) for c in Counter(symbols).values())


def twin(utterances, duration):
    rows = list(itertools.chain(*utterances))
    runs = [(code, length) for codes in utterances for _, length, code in oracle.runs(codes)]
    units, lengths = [u for u, _ in runs], [n for _, n in runs]
    rate = len(runs) / duration
    return {
        "plain": len(rows) / duration * entropy(rows),
        "run_length": rate * entropy(runs),
        "factored": rate * (entropy(units) + entropy(lengths)),
        "segment": rate * entropy(units),
    }


def rates(b):
    return {name: getattr(b, name) for name in ("plain", "run_length", "factored", "segment")}


def test_vectors_are_symbols_by_being_equal():
    codebook = np.random.default_rng(0).normal(size=(4, 3)).astype(np.float32)
    codebook[1] = 0.0
    vectors = codebook[METHOD]
    vectors[2] = -0.0  # equal to the zeros around it
    assert bitrate.measure([("a", vectors)], {"a": 2.0}) == bitrate.measure([("a", np.array(METHOD))], {"a": 2.0})


def test_pooling_counts_over_all_files_and_keeps_runs_apart():
    utterances = [("a", np.array([7, 7, 8])), ("b", np.array([8, 8, 9]))]
    b = bitrate.measure(iter(utterances), {"b": 0.5, "a": 1.0})
    assert (b.rows, b.runs, b.symbols, b.duration) == (6, 4, 3, 1.5)  # the 8s at the border of two files: two runs
    assert rates(b) == pytest.approx(twin([u.tolist() for _, u in utterances], 1.5))


@settings(max_examples=60)
@given(st.lists(st.lists(st.integers(0, 3), max_size=12), min_size=1, max_size=5).filter(any))
@example([METHOD])
def test_laws(utterances):
    named = [(str(i), np.array(u, dtype=np.int64)) for i, u in enumerate(utterances)]
    b = bitrate.measure(named, {name: 0.5 for name, _ in named})
    assert rates(b) == pytest.approx(twin(utterances, 0.5 * len(utterances)))
    assert b.segment <= b.factored + 1e-9
    assert b.run_length <= b.factored + 1e-9
    assert min(b.plain, b.segment) >= 0


@settings(max_examples=40)
@given(
    st.lists(st.lists(st.integers(0, 3), max_size=12), min_size=1, max_size=8).filter(any), st.permutations(range(4))
)
def test_without_repeats_nothing_but_segments_is_left(utterances, names):
    durations = {str(i): 0.5 for i in range(len(utterances))}
    whole = bitrate.measure(((str(i), np.array(u, np.int64)) for i, u in enumerate(utterances)), durations)
    heads = ((str(i), runs(np.array([names[code] for code in u], np.int64)).code) for i, u in enumerate(utterances))
    rest = bitrate.measure(heads, durations)
    assert rest.rows == rest.runs == whole.runs
    assert rates(rest) == pytest.approx(dict.fromkeys(rates(rest), whole.segment))  # whatever codes are called


def test_segments_with_one_unit_are_several_units():
    codes, begins = np.array([5, 5, 5, 5, 2, 2]), np.array([1, 0, 1, 0, 1, 0], bool)
    b = bitrate.measure([("a", codes, begins)], {"a": 2.0})
    assert (b.runs, b.units_per_second) == (3, 1.5)
    assert b.segment == pytest.approx(1.5 * entropy([5, 5, 2]))
    assert bitrate.measure([("a", codes, None)], {"a": 2.0}) == bitrate.measure([("a", codes)], {"a": 2.0})
    assert bitrate.measure([("a", codes)], {"a": 2.0}).units_per_second == 1.0


def test_a_long_corpus_is_counted_in_parts(monkeypatch):
    rng = np.random.default_rng(1)
    utterances = [(str(i), rng.integers(0, 5, 30)) for i in range(11)]
    durations = dict.fromkeys(map(str, range(11)), 0.5)
    whole = bitrate.measure(utterances, durations)
    monkeypatch.setattr(bitrate, "VALUES_AT_ONCE", 90)
    monkeypatch.setattr(bitrate, "RUNS_AT_ONCE", 100)
    assert bitrate.measure(utterances, durations) == whole


def test_a_missing_file_is_an_error_not_a_smaller_corpus():
    with pytest.raises(InputError, match=r"1 utterances have no units: b;") as e:
        bitrate.measure([("a", np.array([1])), ("c", np.array([1]))], {"a": 1.0, "b": 1.0})
    assert "1 utterances have units but no duration: c" in str(e.value)


@pytest.mark.parametrize(
    ("utterances", "durations", "message"),
    [
        ([("a", [1]), ("a", [2])], {"a": 1.0}, "utterance a is listed twice"),
        ([], {}, "of audio have none"),
        ([("a", [])], {"a": 1.0}, "of audio have none"),
        ([("a", [1])], {"a": 0.0}, "of audio have none"),
    ],
)
def test_what_has_no_bitrate_is_refused(utterances, durations, message):
    with pytest.raises(InputError, match=message):
        bitrate.measure([(name, np.array(u, dtype=np.int64)) for name, u in utterances], durations)


def test_one_symbol_costs_nothing():
    b = bitrate.measure([("a", np.zeros(10, np.int32))], {"a": 1.0})
    assert set(rates(b).values()) == {0.0}
