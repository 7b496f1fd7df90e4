"""Columns have readable names, and numbers are rounded sensibly."""

from __future__ import annotations

import pytest

from resdavenet_vq.report import columns as meanings


@pytest.mark.parametrize(
    ("column", "label", "style", "group", "headline"),
    [
        ("mean_recall_at_10", "R@10 (%)", "share", "Retrieval", True),
        ("image_to_speech_recall_at_5", "R@5 image → caption (%)", "share", "Retrieval", False),
        ("speech_to_image_chance_recall_at_1", "R@1 caption → image by chance (%)", "share", "Retrieval", False),
        ("retrieval_captions", "Captions", "plain", "Retrieval", False),
        ("abx_test_2020_within", "Test 2020, within (%)", "tenth", "ABX error", True),
        ("abx_test_items", "Test, items", "count", "ABX error", False),
        ("bitrate_test_run_length", "Test, run length (bit/s)", "count", "Bitrate", False),
        ("bitrate_dev_seen", "Dev seen (bit/s)", "count", "Bitrate", True),
        ("words_published_words_above_f1", "Detected", "count", "Words", True),
        ("words_published_chance_mean_f1", "Chance mean F1 (%)", "share", "Words", False),
        ("words_published_chance_words_above_f1", "Detected by chance", "count", "Words", True),
        ("words_units_codes_used", "Codes used", "count", "Units", False),
        ("words_published_words", "Words", "count", "Words", False),
        ("words_held_out_words_above_f1", "Held out, detected", "count", "Words", True),
        ("words_held_out_split", "Held out split", "plain", "Words", False),
        ("words_f1_threshold", "F1 threshold", "plain", "Words", False),
        ("words_units_phones_boundaries_r_value", "Phones, boundaries R-value (%)", "share", "Units", False),
        ("words_units_words_v_measure", "Words, V-measure (%)", "share", "Units", False),
        (
            "words_units_words_boundaries_over_segmentation",
            "Words, boundaries over segmentation",
            "plain",
            "Units",
            False,
        ),
        ("held_out_f1", "Held out F1 (%)", "share", "", False),
        ("quant2_top_share", "Quant2 top share (%)", "share", "", False),
        ("never_heard_of", "Never heard of", "plain", "Further numbers", False),
    ],
)
def test_columns_have_readable_names(column, label, style, group, headline):
    assert meanings.of(column) == meanings.Meaning(column, label, style, group, headline)


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
    assert meanings.rounded(value, style) == text


def test_what_is_a_number():
    assert all(map(meanings.is_number, (0, 1.5, "2e-3")))
    assert not any(map(meanings.is_number, (None, "", "test", float("nan"), True, "nan")))


def test_exact_numbers_keep_their_digits():
    assert meanings.exact("0.7424900") == "0.7424900"
    assert meanings.exact(0.1) == "0.1"
