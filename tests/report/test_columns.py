"""Columns have readable names, and numbers are rounded sensibly."""

import pytest

from resdavenet_vq.evaluation.summary import IMAGE_TO_SPEECH, SPEECH_TO_IMAGE
from resdavenet_vq.report import columns

CHANCE = "R@1 caption → image by chance (%)"


@pytest.mark.parametrize(
    ("score", "label", "style", "group", "headline"),
    [
        (("retrieval", "test", "mean", "recall_at_10"), "R@10 (%)", "share", "Retrieval", True),
        (("retrieval", "test", "mean", "recall_at_20"), "R@20 (%)", "share", "Retrieval", False),
        (("retrieval", "", IMAGE_TO_SPEECH, "recall_at_5"), "R@5 image → caption (%)", "share", "Retrieval", False),
        (("retrieval", "", SPEECH_TO_IMAGE, "chance_recall_at_1"), CHANCE, "share", "Retrieval", False),
        (("retrieval_misa", "test", "mean", "recall_at_10"), "MISA, R@10 (%)", "share", "Retrieval", False),
        (("abx", "test_2020", "within", "error"), "Test 2020, within (%)", "tenth", "ABX error", True),
        (("abx", "test", "within", "n"), "Test, items", "count", "ABX error", False),
        (
            ("abx", "test", "phoneme_across", "error"),
            "Test, phonemes in context, across (%)",
            "tenth",
            "ABX error",
            False,
        ),
        (
            ("abx", "test", "phoneme_any_within", "n"),
            "Test, phonemes in any context, items",
            "count",
            "ABX error",
            False,
        ),
        (("abx", "test", "syllable_within", "error"), "Test, syllables, within (%)", "tenth", "ABX error", False),
        (("units", "train", "syllables", "nmi"), "Syllables, NMI (%)", "share", "Units", False),
        (("bitrate", "test", "run_length", "bits_per_second"), "Test, run length (bit/s)", "count", "Bitrate", False),
        (("bitrate", "dev_seen", "plain", "bits_per_second"), "Dev seen (bit/s)", "count", "Bitrate", True),
        (("words", "train", "published", "words_above_f1"), "Detected", "count", "Words", True),
        (("words", "train", "published", "chance_words_above_f1"), "Detected by chance", "count", "Words", True),
        (("words", "test", "held_out", "words_above_f1"), "Held out, detected", "count", "Words", True),
        (("words", "train", "published", "expected_words_above_f1"), "Detected, expected", "tenth", "Words", True),
        (("bitrate", "test", "segment", "units_per_second"), "Test, units a second", "tenth", "Bitrate", True),
        (("units", "train", "", "codes_used"), "Codes used", "count", "Units", False),
        (("units", "train", "phones", "boundaries_r_value"), "Phones, boundaries R-value (%)", "share", "Units", False),
        (("units", "train", "words", "v_measure"), "Words, V-measure (%)", "share", "Units", False),
        (("layer", "", "", "frame_period"), "Frame (s)", "plain", "", True),
        (("new", "test", "", "never_heard_of"), "New, never heard of", "plain", "Further numbers", False),
        (("words", "test", "held_out", "median_f1"), "Held out, median F1 (%)", "share", "Words", False),
        (("words", "test", "published", "words_above_recall"), "Words above recall", "plain", "Words", False),
        (("abx", "abx", "within", "error"), "Split abx, within (%)", "tenth", "ABX error", True),
    ],
)
def test_scores_have_readable_names(score, label, style, group, headline):
    assert columns.column(*score) == columns.Column(label, style, group, headline)


def test_columns_of_histories_and_words_have_readable_names():
    for column, name, label, style in (
        (columns.history_column, "mean_recall_at_10", "R@10 (%)", "share"),
        (columns.history_column, "image_to_speech_recall_at_1", "R@1 image → caption (%)", "share"),
        (columns.history_column, "quant2_top_share", "Quant2 top share (%)", "share"),
        (columns.history_column, "quant2_perplexity", "Quant2 perplexity", "plain"),
        (columns.history_column, "learning_rate", "Learning rate", "plain"),
        (columns.word_column, "held_out_f1", "Held out F1 (%)", "share"),
        (columns.word_column, "occurrences", "Occurrences", "plain"),
    ):
        assert column(name)[:2] == (label, style)


@pytest.mark.parametrize(
    ("value", "style", "text"),
    [
        ("0.74249", "share", "74.2"),
        (1.0, "share", "100.0"),
        (9.96, "tenth", "10.0"),
        (12345.6, "count", "12\u202f346"),
        (0.0012345, "plain", "0.00123"),
        (-0.0, "count", "0"),
        (-0.01, "tenth", "0.0"),
        (-0.6, "count", "-1"),
        (3.0, "plain", "3"),
        (1234.56, "plain", "1\u202f235"),
        (float("inf"), "plain", "inf"),
    ],
)
def test_numbers_are_rounded(value, style, text):
    assert columns.rounded(value, style) == text


def test_what_is_a_number_and_exact_ones_keep_their_digits():
    assert all(map(columns.is_number, (0, 1.5, "2e-3")))
    assert not any(map(columns.is_number, (None, "", "test", float("nan"), True, "nan")))
    assert (columns.exact("0.7424900"), columns.exact(0.1)) == ("0.7424900", "0.1")
