import json
import tracemalloc
from pathlib import Path

import numpy as np
import oracles.evaluation as oracle
import pandas as pd
import pytest
from evaluation.made_up import codes_file
from hypothesis import given, settings
from hypothesis import strategies as st

from resdavenet_vq import config
from resdavenet_vq.corpus.manifest import parse_alignment
from resdavenet_vq.encode.codes import CodesFile
from resdavenet_vq.encode.units import runs
from resdavenet_vq.errors import InputError
from resdavenet_vq.evaluation import bootstrap, score_files, word_counts
from resdavenet_vq.evaluation import words as word_detection
from resdavenet_vq.evaluation.word_counts import Block, blocks, tokens

DATA = Path(__file__).parents[1] / "golden" / "words"
GOLDEN = json.loads((DATA / "input.json").read_text())
EXPECTED = json.loads((DATA / "expected.json").read_text())
LAYER = "quant3"


def golden_utterances():
    alignments = (parse_alignment(row.get("text_alignment") or "")[0] for row in GOLDEN["data"])
    return [(codes, list(words)) for codes, words in zip(GOLDEN["codes"], alignments, strict=True) if words]


def count(utterances, codebook_size=32, period=0.04, half_window=0.04, frame_time="published", size=1000):
    counts = word_counts.Counts(codebook_size, frame_period=period, half_window=half_window, frame_time=frame_time)
    for i in range(0, len(utterances), size):
        part = utterances[i : i + size]
        words = tokens([words for _, words in part], counts.vocabulary)
        codes = np.concatenate([np.asarray(codes, np.int32) for codes, _ in part])
        counts.add(Block(codes, np.cumsum([0, *(len(codes) for codes, _ in part)]), words, words))
    return counts


def as_lists(table, key):
    """{key: rows without it}, in the table's order."""
    return {
        str(k): list(rows.drop(columns=key).itertuples(index=False, name=None))
        for k, rows in table.groupby(key, observed=True)
    }


@pytest.fixture(scope="module")
def golden():
    return count(golden_utterances(), period=GOLDEN["second_per_frame"], half_window=GOLDEN["code_halfwidth"])


def test_the_stop_words_are_the_published_ones():
    assert sorted(word_detection.STOP_WORDS) == sorted(GOLDEN["stop_words"])


def in_any_order(table):
    return {key: sorted(map(tuple, rows)) for key, rows in table.items()}


def test_golden_precision_bit_for_bit(golden):
    assert in_any_order(as_lists(word_detection.precisions(golden), "code")) == in_any_order(
        EXPECTED["code_to_word_precision"]
    )


def test_golden_f1_and_recall_bit_for_bit(golden):
    found = word_detection.detections(golden)
    assert in_any_order(as_lists(found, "word")) == in_any_order(EXPECTED["word_to_code_f1"])
    assert in_any_order(as_lists(found[["word", "code", "recall", "hits"]], "word")) == in_any_order(
        EXPECTED["word_to_code_recall"]
    )
    by_code = found[found["precision"] > 0][["code", "word", "f1", "precision", "recall", "hits"]]
    assert in_any_order(as_lists(by_code, "code")) == in_any_order(EXPECTED["code_to_word_f1"])


def test_golden_headlines(golden):
    found, touched = word_detection.detections(golden), word_detection.precisions(golden)
    words = word_detection.words_table(golden, found, touched, min_occurrences=1)
    assert sorted(words[words["highest_precision"] >= 0.35]["word"]) == EXPECTED["high_precision_words"]
    spoken = words[~words["is_silence"]]["f1"]
    head = word_detection.headline(spoken, config.Words(split="a", held_out_split="b"))
    assert head["words_above_f1"] == EXPECTED["words_with_f1_at_least_0.5"]
    assert head["mean_f1"] * 100 == pytest.approx(EXPECTED["top250_average_f1_percent"], rel=1e-12)


def test_golden_runs():
    found, period = runs(np.array(GOLDEN["codes"][0])), GOLDEN["second_per_frame"]
    starts, ends, codes = zip(*EXPECTED["sparse_codes_utt0"], strict=True)
    assert found.code.tolist() == list(codes)
    times = found.start * period, (found.start + found.length) * period
    np.testing.assert_allclose(times, (starts, ends), rtol=1e-12)


@st.composite
def corpora(draw):
    """Utterances whose words begin and end on a grid of 10 ms (so that times are often equal), may touch, overlap and repeat."""
    period = draw(st.sampled_from([0.01, 0.02, 0.04, 0.08, 0.16]))
    utterances = []
    for _ in range(draw(st.integers(1, 4))):
        codes = draw(st.lists(st.integers(0, 3), max_size=14))
        longest = int(len(codes) * period * 100) + 20
        times = draw(st.lists(st.tuples(st.integers(0, longest), st.integers(0, 30)), min_size=1, max_size=6))
        label = st.sampled_from(["BLUE", "RED", "THE", "DOG"])
        utterances.append((codes, [(a / 100, (a + n) / 100, draw(label)) for a, n in sorted(times)]))
    half_window, frame_time = st.sampled_from([0.005, 0.03, 0.04]), st.sampled_from(["published", "centred"])
    return utterances, period, draw(half_window), draw(frame_time)


@given(corpora(), st.integers(1, 5))
@settings(max_examples=150)
def test_the_oracle_agrees_bit_for_bit_in_blocks_of_any_size(corpus, size):
    utterances, period, half_window, frame_time = corpus
    want = oracle.word_counts(utterances, period, half_window, frame_time)
    counts = count(utterances, 4, period, half_window, frame_time, size)
    assert as_lists(word_detection.detections(counts), "word") == oracle.word_to_code(want, word_detection.STOP_WORDS)
    found = as_lists(word_detection.precisions(counts), "code")
    assert found == {str(code): rows for code, rows in oracle.code_to_word(want, word_detection.STOP_WORDS).items()}
    assert counts.frames.sum() == sum(len(codes) for codes, _ in utterances)


@given(corpora(), st.permutations(range(4)))
@settings(max_examples=50)
def test_relabelling_codes_permutes_the_tables_and_f1_lies_between_0_and_1(corpus, names):
    utterances, *conditions = corpus
    before = word_detection.detections(count(utterances, 4, *conditions))
    after = word_detection.detections(
        count([([names[c] for c in codes], words) for codes, words in utterances], 4, *conditions)
    )
    before = before.assign(code=np.array(names)[before["code"]])
    tables = (table.sort_values(["word", "code"], ignore_index=True) for table in (before, after))
    pd.testing.assert_frame_equal(*tables, check_categorical=False)
    assert all(before[name].between(0, 1).all() for name in ("f1", "precision", "recall"))
    assert (before["f1"] <= before[["precision", "recall"]].max(axis=1) + 1e-12).all()


@pytest.mark.parametrize("step", [0.01, 0.02, 0.04, 0.08, 0.16])
@pytest.mark.parametrize("half_window", [0.04, -0.04, 0.025])
def test_reached_is_searchsorted(step, half_window):
    edges = (np.arange(200) + 0.5) * step + half_window
    near = np.nextafter(edges, 99), np.nextafter(edges, -99)
    times = np.concatenate([np.arange(0, 40, 0.01), edges, *near, [1e6, -1.0]])
    reached = word_counts._count_reached(edges, times, step)
    np.testing.assert_array_equal(reached, np.searchsorted(edges, times, side="right"))


def test_centred_frames_lie_half_a_period_earlier():
    words = [(0.5, 1.0, "DOG")]
    published = count([([0, 1, 2, 3], words)], 4, period=0.5, half_window=0.05)
    centred = count([([0, 1, 2, 3], words)], 4, period=0.5, half_window=0.05, frame_time="centred")
    assert np.flatnonzero(published.touched[0]).tolist() == [1]
    assert np.flatnonzero(centred.touched[0]).tolist() == [1, 2]
    assert np.flatnonzero(published.hit[0]).tolist() == [1]
    assert np.flatnonzero(centred.hit[0]).tolist() == [1, 2]  # heard from 0.25 to 0.75, and from 0.75 to 1.25


def test_equal_f1_goes_to_more_hits_then_the_lower_code_and_equal_words_to_the_alphabet():
    counts = count([([2, 1], [(0.0, 0.08, "RED")]), ([2, 1], [(0.0, 0.08, "BLUE")])], 4, half_window=0.001)
    assert word_detection.detections(counts)["code"].tolist() == [1, 2, 1, 2]
    table = word_detection.words_table(counts, word_detection.detections(counts), word_detection.precisions(counts), 1)
    assert table["word"].tolist() == ["BLUE", "RED"]
    stop = count([([0, 1, 1], [(0.0, 0.12, "THE")]), ([1], [(0.0, 0.04, "THE")])], 4)
    assert word_detection.detections(stop)["code"].tolist() == [1, 0]


def learnt(n, seed=0):
    """Utterances of two words out of four with a pause, each word with its own code and 0 elsewhere."""
    rng = np.random.default_rng(seed)
    rows = []
    for _ in range(n):
        first, second = rng.choice(4, 2, replace=False)
        words = [[0.2, 0.6, f"W{first}"], [1.0, 1.4, f"W{second}"]]
        codes = [0] * 5 + [first + 1] * 10 + [0] * 10 + [second + 1] * 10 + [0] * 5
        rows.append((codes, words))
    return rows


def score(train, test, out, frame_time="published", **changes):
    settings = config.Words(split="test", held_out_split="test", **changes)
    return word_detection.score(train, test, LAYER, settings, out, frame_time=frame_time, lineage="{2}")


def test_score_writes_words_codes_and_both_protocols(tmp_path):
    train = codes_file(tmp_path / "train.h5", [*learnt(40), ([1, 2, 3], None)])
    test = codes_file(tmp_path / "test.h5", [*learnt(10, 1), ([1] * 10, [[0.0, 0.4, "NEW"]])])
    returned = score(train, test, tmp_path / "out", half_window=0.01)
    summary = json.loads((tmp_path / "out" / "summary.json").read_text())
    assert summary == json.loads(json.dumps(returned))
    assert (summary["utterances"], summary["utterances_without_alignment"], summary["word_types"]) == (40, 1, 4)
    expected = {"held_out_utterances": 11, "lineage": "{2}", "layer": LAYER, "frame_time": "published"}
    assert summary == summary | expected
    assert summary["published"]["words_above_f1"] == summary["published"]["words"] == 4
    assert summary["published"]["mean_f1"] == pytest.approx(1)
    assert summary["published"]["words_above_precision"] == 5  # <SIL> too
    assert summary["published"]["chance"]["mean_f1"] < 0.8
    assert (summary["held_out"]["words"], summary["held_out"]["words_above_f1"]) == (4, 4)
    assert summary["held_out"]["chance"]["mean_f1"] < 0.8
    assert summary["units"]["words"]["v_measure"] == pytest.approx(1)
    words = pd.read_csv(tmp_path / "out" / "words.csv", keep_default_na=False, na_values=[""])
    assert words["word"].tolist()[-1] == "<SIL>"
    assert words["is_silence"].tolist() == [False] * 4 + [True]
    row = words.set_index("word").loc["W2"]
    assert (row["code"], row["f1"], row["precision"], row["recall"], row["held_out_recall"]) == (3, 1, 1, 1, 1)
    assert row["occurrences"] == row["hits"] == sum(w[2] == "W2" for _, ws in learnt(40) for w in ws)
    codes = pd.read_csv(tmp_path / "out" / "codes.csv").set_index("code")
    assert codes.index.tolist() == [0, 1, 2, 3, 4]
    assert codes["share"].sum() == pytest.approx(1)
    assert codes.loc[0, "silence"] == 1
    assert pd.isna(codes.loc[0, "word"])
    assert codes.loc[3, "words"] == "W2 1.000"


def noisy(n, seed=0):
    """`learnt`, of whose codes a fifth are others, with each word's first half as a phone."""
    rng, rows = np.random.default_rng(seed), learnt(n, seed)
    codes = [np.where(rng.random(len(codes)) < 0.2, rng.integers(0, 8, len(codes)), codes) for codes, _ in rows]
    phones = [[[a, (a + b) / 2, f"P{w}"] for a, b, w in words] for _, words in rows]
    return [(c.tolist(), words, p) for c, (_, words), p in zip(codes, rows, phones, strict=True)]


def test_scores_have_intervals_that_no_order_of_utterances_changes(tmp_path):
    train, test, order = noisy(60), noisy(30, 1), np.random.default_rng(2).permutation(60).tolist()
    other = codes_file(tmp_path / "test.h5", test)
    results = []
    for name, ids in (("given", list(range(60))), ("shuffled", order)):
        path = codes_file(tmp_path / f"{name}.h5", [train[i] for i in ids], ids=[f"u{i}" for i in ids])
        summary = score(path, other, tmp_path / name, best=3)
        results.append((summary, bootstrap.read(tmp_path / name / "summary.json")))
    (summary, replicates), (_, shuffled) = results
    assert replicates.keys() == shuffled.keys() == summary["intervals"].keys()
    for name, values in replicates.items():
        np.testing.assert_allclose(shuffled[name], values, rtol=1e-6)
        task, _, condition, kind = name.split("|")
        scores = summary[condition] if task == "words" else summary["units"].get(condition, summary["units"])
        value = dict(score_files._flat(scores))[kind]
        low, high = summary["intervals"][name]
        assert low - 1e-9 <= value <= high + 1e-9
        assert values.mean() == pytest.approx(value, abs=0.1 * max(high - low, 1))
    assert {name.split("|")[2] for name in replicates} == {"published", "held_out", "", "words", "phones"}
    assert summary["held_out"]["expected_words_above_f1"] == pytest.approx(
        replicates["words|test|held_out|expected_words_above_f1"].mean()
    )
    words = pd.read_csv(tmp_path / "given/words.csv").dropna(subset="f1")
    for kind in ("f1", "held_out_f1"):
        assert (words[f"{kind}_low"] < words[kind]).all()
        assert (words[kind] < words[f"{kind}_high"]).all()


def test_a_word_that_is_not_drawn_keeps_its_f1(tmp_path):
    rows = [*learnt(20), ([7] * 10, [[0.0, 0.4, "ONCE"]])]
    path = codes_file(tmp_path / "a.h5", rows)
    score(path, path, tmp_path / "out", min_occurrences=1)
    words = pd.read_csv(tmp_path / "out/words.csv").set_index("word")
    assert words.loc["ONCE", ["f1", "f1_low", "f1_high"]].tolist() == [1, 1, 1]


def test_rare_words_and_stop_words(tmp_path):
    rows = [([1] * 10, [[0.0, 0.2, "THE"], [0.2, 0.4, "DOG"]])] * 3 + [([2] * 10, [[0.0, 0.4, "CAT"]])]
    path = codes_file(tmp_path / "a.h5", rows)
    score(path, path, tmp_path / "often", min_occurrences=2)
    words = pd.read_csv(tmp_path / "often" / "words.csv").set_index("word")
    assert "CAT" not in words.index
    assert words.loc["THE", "is_stop_word"]
    assert (words.loc["THE", "f1"], words.loc["THE", "recall"]) == (0, 1)
    assert pd.isna(words.loc["THE", "highest_precision"])
    assert pd.read_csv(tmp_path / "often" / "codes.csv").set_index("code").loc[2, "frames"] == 10


def test_one_utterance_has_no_chance_level(tmp_path):
    path = codes_file(tmp_path / "one.h5", learnt(1))
    summary = score(path, path, tmp_path / "out", "centred")
    assert summary["published"]["chance"] is None
    assert summary["held_out"]["chance"] is None


def test_another_model_is_refused_and_nothing_written(tmp_path):
    good = codes_file(tmp_path / "good.h5", learnt(3))
    other = codes_file(tmp_path / "other.h5", learnt(3), period=0.08)
    with pytest.raises(InputError, match=r"other\.h5: its quant3 is not that of .*good\.h5"):
        score(good, other, tmp_path / "out")
    assert not (tmp_path / "out").exists()


BARE = [([1, 2, 2, 2], None), ([1, 1], []), ([3, 3], [(0.0, 0.1, "SIL")])]


def scored(folder, train, test):
    """The summary and the tables of two splits, all of which a reader of score files takes."""
    summary = score(codes_file(folder / "a.h5", train), codes_file(folder / "b.h5", test), folder / "out")
    assert score_files.read(folder / "out/summary.json") == summary
    return summary, *(pd.read_csv(folder / f"out/{name}.csv") for name in ("words", "codes"))


@pytest.mark.parametrize("held_out", [BARE, None])
def test_without_words_there_is_the_usage_of_codes_over_all_utterances(tmp_path, held_out):
    for folder in ("bare", "whole"):
        (tmp_path / folder).mkdir()
    summary, words, codes = scored(tmp_path / "bare", BARE, held_out or learnt(3))
    _, words_of_whole, codes_of_whole = scored(tmp_path / "whole", learnt(3), learnt(3))
    assert (summary["published"], summary["held_out"]) == (None, None)
    reason = "the split has no aligned words"
    assert summary["not_available"] == {"published": reason, "held_out": reason}
    shares = np.array([3, 3, 2]) / 8
    usage = {"perplexity": np.exp(-(shares * np.log(shares)).sum()), "codes_used": 3, "top_share": 3 / 8}
    assert summary["units"] == pytest.approx(usage)
    low, high = summary["intervals"]["units|test||perplexity"]
    assert low < usage["perplexity"] < high
    assert bootstrap.read(tmp_path / "bare/out/summary.json").keys() == summary["intervals"].keys()
    assert list(words) == list(words_of_whole)
    assert words.empty
    assert list(codes) == list(codes_of_whole)
    assert codes.set_index("code")["frames"].to_dict() == {1: 3, 2: 3, 3: 2}
    assert codes["share"].tolist() == pytest.approx(shares)
    assert codes[["silence", "word", "f1"]].isna().all(axis=None)


def test_without_words_held_out_everything_published_is_there(tmp_path):
    for folder in ("bare", "whole"):
        (tmp_path / folder).mkdir()
    summary, words, codes = scored(tmp_path / "bare", learnt(20), BARE)
    whole, words_of_whole, codes_of_whole = scored(tmp_path / "whole", learnt(20), learnt(20))
    assert summary["held_out"] is None
    assert summary["not_available"] == {"held_out": "the split has no aligned words"}
    assert summary["published"] == whole["published"]
    assert summary["units"] == whole["units"]
    assert summary["intervals"] == {
        name: bounds for name, bounds in whole["intervals"].items() if "|held_out|" not in name
    }
    held = [name for name in words_of_whole if name.startswith("held_out_")]
    pd.testing.assert_frame_equal(words.drop(columns=held), words_of_whole.drop(columns=held))
    assert words[held].isna().all(axis=None)
    pd.testing.assert_frame_equal(codes, codes_of_whole)


def test_without_words_codes_still_agree_with_phones(tmp_path):
    phones = [(0.0, 0.08, "A"), (0.08, 0.16, "B")]
    path = codes_file(tmp_path / "a.h5", [([1, 1, 2, 2], None, phones)] * 3)
    summary = score(path, path, tmp_path / "out")
    assert summary["units"]["phones"]["purity"] == summary["units"]["phones"]["nmi"] == 1
    assert summary["units"]["codes_used"] == 2
    assert "units|test|phones|nmi" in summary["intervals"]


def test_no_word_may_be_frequent_enough(tmp_path):
    path = codes_file(tmp_path / "a.h5", learnt(3))
    summary = score(path, path, tmp_path / "out", min_occurrences=1000)
    assert summary["published"]["words"] == summary["held_out"]["words"] == 0
    assert "not_available" not in summary


def test_times_beyond_all_frames_are_cut_to_them():
    counts = count([([1, 2], [(0.0, 1e300, "LONG"), (1e300, 1e300, "NEVER")])], 4)
    assert counts.hit[0].tolist() == [0, 1, 1, 0]
    assert counts.touched[1].tolist() == counts.hit[1].tolist() == [0] * 4
    assert counts.tokens[:2].tolist() == [1, 1]


def test_memory_does_not_grow_with_utterances(tmp_path):
    peaks = []
    for n in (400, 4000):
        path = codes_file(tmp_path / f"{n}.h5", learnt(50) * (n // 50))
        with CodesFile(path, LAYER) as file:
            counts = word_counts.Counts(8, frame_period=0.04, half_window=0.04)
            tracemalloc.start()
            for block in blocks(file, counts.vocabulary, size=200):
                counts.add(block)
            peaks.append(tracemalloc.get_traced_memory()[1])
            tracemalloc.stop()
    assert peaks[1] < 1.5 * peaks[0]
