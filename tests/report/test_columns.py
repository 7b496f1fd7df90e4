"""Columns have readable names, and numbers are rounded sensibly."""

from __future__ import annotations

import pytest

from resdavenet_vq.report import columns


@pytest.mark.parametrize(
    ("score", "label", "style", "group", "headline"),
    [
        (("retrieval", "test", "mean", "recall_at_10"), "R@10 (%)", "share", "Retrieval", True),
        (("retrieval", "test", "mean", "recall_at_20"), "R@20 (%)", "share", "Retrieval", False),
        (
            ("retrieval", "test", "image_to_speech", "recall_at_5"),
            "R@5 image → caption (%)",
            "share",
            "Retrieval",
            False,
        ),
        (
            ("retrieval", "test", "speech_to_image", "chance_recall_at_1"),
            "R@1 caption → image by chance (%)",
            "share",
            "Retrieval",
            False,
        ),
        (("retrieval_misa", "test", "mean", "recall_at_10"), "MISA, R@10 (%)", "share", "Retrieval", False),
        (("abx", "test_2020", "within", "error"), "Test 2020, within (%)", "tenth", "ABX error", True),
        (("abx", "test", "within", "n"), "Test, items", "count", "ABX error", False),
        (("bitrate", "test", "run_length", "bits_per_second"), "Test, run length (bit/s)", "count", "Bitrate", False),
        (("bitrate", "dev_seen", "plain", "bits_per_second"), "Dev seen (bit/s)", "count", "Bitrate", True),
        (("words", "train", "published", "words_above_f1"), "Detected", "count", "Words", True),
        (("words", "train", "published", "chance_words_above_f1"), "Detected by chance", "count", "Words", True),
        (("words", "test", "held_out", "words_above_f1"), "Held out, detected", "count", "Words", True),
        (("units", "train", "", "codes_used"), "Codes used", "count", "Units", False),
        (("units", "train", "phones", "boundaries_r_value"), "Phones, boundaries R-value (%)", "share", "Units", False),
        (("units", "train", "words", "v_measure"), "Words, V-measure (%)", "share", "Units", False),
        (("layer", "", "", "frame_period"), "Frame (s)", "plain", "", True),
        (("new", "test", "", "never_heard_of"), "New never heard of", "plain", "Further numbers", False),
    ],
)
def test_scores_have_readable_names(score, label, style, group, headline):
    assert columns.column(*score) == columns.Column(label, style, group, headline)


def test_columns_of_histories_and_words_have_readable_names():
    names = (
        "mean_recall_at_10",
        "image_to_speech_recall_at_1",
        "quant2_top_share",
        "quant2_perplexity",
        "learning_rate",
    )
    assert [columns.history_column(name)[:2] for name in names] == [
        ("R@10 (%)", "share"),
        ("R@1 image → caption (%)", "share"),
        ("Quant2 top share (%)", "share"),
        ("Quant2 perplexity", "plain"),
        ("Learning rate", "plain"),
    ]
    assert [columns.word_column(name)[:2] for name in ("held_out_f1", "occurrences")] == [
        ("Held out F1 (%)", "share"),
        ("Occurrences", "plain"),
    ]


@pytest.mark.parametrize(
    ("value", "style", "text"),
    [
        ("0.74249", "share", "74.2"),
        (1.0, "share", "100.0"),
        (9.96, "tenth", "10.0"),
        (12345.6, "count", "12\u202f346"),
        (0.0012345, "plain", "0.00123"),
        (3.0, "plain", "3"),
        (1234.56, "plain", "1\u202f235"),
        (float("inf"), "plain", "inf"),
    ],
)
def test_numbers_are_rounded(value, style, text):
    assert columns.rounded(value, style) == text


def test_what_is_a_number():
    assert all(map(columns.is_number, (0, 1.5, "2e-3")))
    assert not any(map(columns.is_number, (None, "", "test", float("nan"), True, "nan")))


def test_exact_numbers_keep_their_digits():
    assert columns.exact("0.7424900") == "0.7424900"
    assert columns.exact(0.1) == "0.1"
