import itertools

import numpy as np
import oracles.evaluation as oracle
import pytest
from evaluation.made_up import codes_file
from hypothesis import given
from hypothesis import strategies as st

from resdavenet_vq.corpus.manifest import Interval
from resdavenet_vq.corpus.tokens import triphones
from resdavenet_vq.encode.codes import CodesFile
from resdavenet_vq.evaluation import boundaries, score_files, units
from resdavenet_vq.evaluation.bootstrap import Replicates, Resamples
from resdavenet_vq.evaluation.word_counts import Block, Counts, Vocabulary, blocks, tokens

PERIODS = [0.01, 0.02, 0.04, 0.08, 0.16]


@st.composite
def alignments(draw, period=0.04, n_frames=12):
    """Words in order of time, none overlapping, on a grid of 10 ms; some frames' edges among the times."""
    edges = sorted(draw(st.lists(st.integers(0, int(n_frames * period * 100) + 5), max_size=8, unique=True)))
    return [(a / 100, b / 100, draw(st.sampled_from("ABC"))) for a, b in zip(edges[::2], edges[1::2], strict=False)]


@given(st.sampled_from(PERIODS), st.sampled_from(["published", "centred"]), st.data())
def test_frame_labels_are_those_of_the_oracle(period, frame_time, data):
    n_frames = data.draw(st.lists(st.integers(0, 10), min_size=1, max_size=4))
    spoken = [data.draw(alignments(period, n)) for n in n_frames]
    vocabulary = Vocabulary()
    numbered = tokens(spoken, vocabulary)
    got = units.frame_labels(np.cumsum([0, *n_frames]), numbered, period, frame_time)
    want = [oracle.frame_labels(n, s, period, frame_time) for n, s in zip(n_frames, spoken, strict=True)]
    assert [None if label < 0 else list(vocabulary)[label] for label in got] == list(itertools.chain(*want))


def test_usage():
    used = units.usage(np.array([4, 4, 0, 0]))
    assert used == {"perplexity": pytest.approx(2), "codes_used": 2, "top_share": 0.5}
    assert set(units.usage(np.zeros(3, int)).values()) == {0}


def test_agreement_by_hand():
    perfect, none = units.agreement(np.diag([3, 5, 2])), units.agreement(np.outer([1, 2, 3], [4, 4]))
    assert perfect == pytest.approx(dict.fromkeys(perfect, 1))
    assert none == pytest.approx(dict.fromkeys(none, 0) | {"purity": 0.5}, abs=1e-12)
    # codes 0 and 1, labels a and b: H(code) = ln 2, H(label) = ln 2, joint 3/8 1/8 1/8 3/8
    found = units.agreement(np.array([[3, 1], [1, 3]]))
    shared = 2 * np.log(2) + 2 * (3 / 8 * np.log(3 / 8) + 1 / 8 * np.log(1 / 8))
    assert found["purity"] == 0.75
    assert found["v_measure"] == pytest.approx(shared / np.log(2))
    finer = units.agreement(np.array([[1, 0], [1, 0], [0, 1], [0, 1]]))
    assert [finer[name] for name in ("homogeneity", "completeness", "purity")] == pytest.approx([1, 0.5, 1])


@given(st.lists(st.lists(st.integers(0, 20), min_size=3, max_size=3), min_size=1, max_size=6).filter(np.any))
def test_agreement_is_bounded_and_blind_to_names(table):
    table = np.array(table)
    found = units.agreement(table)
    assert all(-1e-9 <= value <= 1 + 1e-9 for value in found.values())
    assert units.agreement(table[::-1, [2, 0, 1]]) == pytest.approx(found, abs=1e-6)


@given(st.lists(st.integers(0, 40), max_size=5, unique=True), st.lists(st.integers(0, 40), max_size=5, unique=True))
def test_matching_is_the_largest_one_to_one(found, reference):
    a, b = np.array(sorted(found)) / 100, np.array(sorted(reference)) / 100
    scores = boundaries.match_boundaries(a, b)
    assert scores.matched == oracle.most_matches(a.tolist(), b.tolist(), 0.02)
    assert 0 <= scores.f1 <= 1
    assert scores.r_value <= 1 + 1e-12


def test_r_value_of_perfect_of_missing_and_of_too_many():
    assert boundaries.Boundaries(10, 10, 10).r_value == 1
    assert boundaries.Boundaries(10, 10, 10).f1 == 1
    assert boundaries.Boundaries(0, 10, 0).r_value == pytest.approx(1 - (np.sqrt(2) + 0) / 2)
    many = boundaries.Boundaries(30, 10, 10)  # hit rate 1, over-segmentation 2: r1 = 2, r2 = -2 / sqrt 2
    assert (many.recall, many.over_segmentation) == (1, 2)
    assert many.r_value == pytest.approx(1 - (2 + 2 / np.sqrt(2)) / 2)
    assert (
        boundaries.Boundaries(3, 0, 0).r_value == boundaries.Boundaries().f1 == boundaries.Boundaries().precision == 0
    )


def flat(scores):
    """Scores by the names that they have in tables: `boundaries_f1`."""
    return dict(score_files._flat(scores))


def block(*rows, vocabulary=None):
    """A block of (codes, words), without phones."""
    codes, spoken = zip(*rows, strict=True)
    words = tokens(list(spoken), Vocabulary() if vocabulary is None else vocabulary)
    return Block(
        np.concatenate(codes), np.cumsum([0, *map(len, codes)]), words, tokens([[] for _ in rows], Vocabulary())
    )


@given(st.data())
def test_boundaries_of_a_block_are_the_sum_over_its_utterances(data):
    codes = st.lists(st.integers(0, 2), min_size=1, max_size=12)
    rows = data.draw(st.lists(st.tuples(codes, alignments()), min_size=1, max_size=4))

    def of_rows(rows):
        b = block(*rows)
        return boundaries.boundaries(b, b.words, 0.04)

    assert of_rows(rows) == sum((of_rows([row]) for row in rows), boundaries.Boundaries())


def test_boundaries_by_hand():
    # frames of 40 ms: units change at 0.08 and 0.20; words 0.09-0.14 and 0.14-0.24, the utterance ends at 0.24
    b = block(([0, 0, 1, 1, 1, 2], [(0.09, 0.14, "A"), (0.14, 0.24, "B")]))
    assert boundaries.boundaries(b, b.words, 0.04) == boundaries.Boundaries(found=2, reference=2, matched=1)


def test_description_gathers_all_blocks():
    described, vocabulary = units.Description(4, 0.04), Vocabulary()
    for _ in range(2):
        described.add(block(([0, 0, 1, 1], [(0.0, 0.08, "A"), (0.08, 0.16, "B")]), vocabulary=vocabulary))
    values = described.to_dict()
    assert values["codes_used"] == 2
    assert values["perplexity"] == pytest.approx(2)
    assert values["words"]["v_measure"] == pytest.approx(1)
    assert values["words"]["boundaries"]["r_value"] == 1
    assert "phones" not in values


def test_syllables_have_50_ms_of_tolerance_words_and_phones_20():
    # frames of 40 ms: the units change at 0.08 and 0.20, the tier at 0.125 and 0.24: 45 and 40 ms away
    tier = [(0.0, 0.125, "a"), (0.125, 0.24, "b"), (0.24, 0.28, "a")]
    spoken, described = tokens([tier], Vocabulary()), units.Description(4, 0.04)
    described.add(Block(np.array([0, 0, 1, 1, 1, 0, 0]), np.array([0, 7]), spoken, spoken, spoken))
    values = described.to_dict()
    for name, matched in (("words", 0), ("phones", 0), ("syllables", 1)):
        edges = values[name]["boundaries"]
        assert (edges["found"], edges["reference"], edges["recall"]) == (2, 2, matched)
        assert edges["over_segmentation"] == 0
    assert values["syllables"]["boundaries"]["r_value"] == 1
    assert values["syllables"]["purity"] == pytest.approx(5 / 7)  # at 0, 0.04 ... 0.24 s: aaaabba, coded 0011100
    assert values["words"]["nmi"] == values["syllables"]["nmi"]


@given(
    st.lists(st.integers(0, 40), max_size=5, unique=True),
    st.lists(st.integers(0, 40), max_size=5, unique=True),
    st.sampled_from([0.02, 0.05]),
)
def test_matching_with_a_tolerance_is_the_largest_one_to_one(found, reference, tolerance):
    a, b = np.array(sorted(found)) / 100, np.array(sorted(reference)) / 100
    assert boundaries.match_boundaries(a, b, tolerance).matched == oracle.most_matches(
        a.tolist(), b.tolist(), tolerance
    )


def test_syllables_of_a_codes_file(tmp_path):
    words = [(0.0, 0.32, "WATER")]
    rows = [
        ([0, 0, 1, 1, 2, 2, 2, 2], words, None, [(0.0, 0.16, "wa"), (0.16, 0.32, "ter")]),
        ([3, 3, 3, 3], words),
        ([2, 2, 0, 0], words, None, [(0.0, 0.08, "ter"), (0.08, 0.16, "wa")]),
    ]
    described, names = units.Description(8, 0.04), []
    with CodesFile(codes_file(tmp_path / "c.h5", rows), "quant3") as file:
        for block in blocks(file, Vocabulary(), size=1):  # the same label has the same number in all blocks
            described.add(block)
            names.append(block.syllables.label.tolist())
    assert names == [[0, 1], [], [1, 0]]
    values = described.to_dict()["syllables"]
    assert values["purity"] == 1  # the codes 3, of the utterance without syllables, do not count
    assert values["homogeneity"] == pytest.approx(1)
    assert values["boundaries"] == values["boundaries"] | {
        "found": 3,
        "reference": 2,
        "precision": pytest.approx(2 / 3),
    }


def test_utterances_without_phones_are_not_silence():
    words = tokens([[(0.0, 0.08, "A")], [(0.0, 0.08, "A")]], Vocabulary())
    phones = tokens([[], [(0.0, 0.08, "a")]], Vocabulary())
    described = units.Description(4, 0.04)
    described.add(Block(np.array([3, 2, 0, 0]), np.array([0, 2, 4]), words, phones))
    assert described.to_dict()["phones"]["purity"] == 1
    assert described.to_dict()["phones"]["boundaries"]["found"] == 0


@pytest.mark.parametrize(
    "label",
    [
        "SIL",
        "<SIL>",
        "SPN",
        "spn",
        "NSN",
        "<eps>",
        "<EPS>",
        "sp",
        "sil",
        "[Noise]",
        "",
        "!SIL",
        "<b>",
        "<S>",
        "</S>",
        "<p:>",
        "[LAUGHTER]",
        "[BRACKETED]",
        "<CUTOFF>",
        "{LG}",
        "(())",
        " <b> ",
    ],
)
def test_a_pause_or_noise_is_silence_to_items_purity_boundaries_and_words(label):
    tier = [(0.0, 0.08, "A"), (0.08, 0.16, "B"), (0.16, 0.28, label), (0.28, 0.36, "C"), (0.36, 0.44, "A")]
    spoken = [interval for interval in tier if interval[2] in "ABC" and interval[2]]
    codes, offsets = np.array([0, 0, 1, 1, 2, 2, 2, 3, 3, 0, 0]), np.array([0, 11])
    results = []
    for intervals in (tier, spoken):
        description, counts = units.Description(4, 0.04), Counts(4, frame_period=0.04, half_window=0.02)
        words, phones = tokens([intervals], counts.vocabulary), tokens([intervals], Vocabulary())
        description.add(Block(codes, offsets, words, phones))
        counts.add(Block(codes, offsets, words, phones))
        results.append((description.to_dict(), counts.silent.tolist(), counts.frames.tolist(), dict(counts.vocabulary)))
    assert results[0] == results[1]
    assert results[0][3] == {"A": 0, "B": 1, "C": 2}
    assert list(triphones(Interval(*interval) for interval in tier)) == []


@pytest.mark.parametrize(
    "word", ["SILENCE", "silence", "NOISE", "SP", "SPOKEN", "COUGH", "<UNK>", "<SPOKEN_NOISE>", "W[HAT]", "[HI]-", "{"]
)
def test_a_spoken_word_is_never_silence(word):
    counts = Counts(2, frame_period=0.04, half_window=0.0)
    words = tokens([[(0.0, 0.04, word), (0.04, 0.08, "SIL")]], counts.vocabulary)
    counts.add(Block(np.array([0, 1]), np.array([0, 2]), words, words))
    assert dict(counts.vocabulary) == {word: 0}
    assert counts.silent.tolist() == [0, 1]


def test_blocks_hold_aligned_utterances_and_rotated_codes(tmp_path):
    rows = [([i] * (i + 1), [[0.0, 0.04, f"W{i}"]] if i != 1 else None) for i in range(5)]
    with CodesFile(codes_file(tmp_path / "c.h5", rows), "quant3") as file:
        for size, shift in itertools.product((1, 2, 3, 10), range(5)):
            vocabulary = Vocabulary()
            parts = list(blocks(file, vocabulary, shift=shift, size=size))
            got = [b.codes[start:end].tolist() for b in parts for start, end in itertools.pairwise(b.offsets)]
            assert got == [rows[(i + shift) % 5][0] for i in (0, 2, 3, 4)]
            assert list(vocabulary) == ["W0", "W2", "W3", "W4"]


def test_replicates_to_first_order_spread_as_those_of_resampled_utterances():
    """And have their mean at the score; tables of few labels and codes, for those of many are biased."""
    rng, n = np.random.default_rng(0), 150
    parts = []
    for _ in range(n):
        label = rng.integers(0, 3, 12)
        codes = np.where(rng.random(12) < rng.uniform(0.3, 1), label, rng.integers(0, 4, 12)).repeat(2)
        codes = np.where(rng.random(24) < 0.1, rng.integers(0, 4, 24), codes)
        spoken = [(0.08 * i + 0.01, 0.08 * i + 0.08, "ABC"[x]) for i, x in enumerate(label)]
        parts.append((codes, spoken))

    def described(some, resamples=None):
        vocabulary, offsets = Vocabulary({"A": 0, "B": 1, "C": 2}), np.arange(len(some) + 1) * 24
        words = tokens([spoken for _, spoken in some], vocabulary)
        codes = np.concatenate([codes for codes, _ in some])
        block = Block(codes, offsets, words, words, numbers=np.arange(len(some)))
        description = units.Description(4, 0.04, resamples=resamples)
        description.add(block)
        if resamples:
            description.add_sample(block)
        return description

    resamples, found = Resamples.of(map(str, range(n))), Replicates()
    whole = described(parts, resamples)
    whole.replicate(found, "test")
    exact = []
    for r in range(100):
        drawn = np.repeat(np.arange(n), resamples.weights[r, resamples.group].astype(int))
        exact.append(described([parts[i] for i in drawn]).to_dict())
    for name, values in found.columns.items():
        _, _, tier, kind = name.split("|")

        def of(scores, tier=tier, kind=kind):
            return flat(scores[tier] if tier else scores)[kind]

        resampled = np.array([of(scores) for scores in exact])
        assert values.mean() == pytest.approx(of(whole.to_dict()), abs=0.1 * values.std())
        assert np.std(values[:100] - resampled) < 0.25 * resampled.std(), name
        assert values[:100].std() == pytest.approx(resampled.std(), rel=0.1)
