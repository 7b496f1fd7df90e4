"""Comparisons show every seed, the mean and its spread, and say so in words."""

from __future__ import annotations

import random

import numpy as np
import pytest
from resdavenet_vq.evaluation.comparison import Compared, Spread

from resdavenet_vq.figures import comparison as comparison_figures
from resdavenet_vq.figures.style import COLUMN


def row(lineage, layer, **numbers):
    return Compared(
        lineage, layer, "0.02", (), {k: Spread(tuple(v)) for k, v in numbers.items()}, {"words_f1_threshold": "0.5"}
    )


ROWS = [
    row("raw log-mel", "logmel", abx_test_within=[14.0], abx_test_across=[20.0]),
    row(
        "{}",
        "conv2",
        mean_recall_at_10=[0.5],
        image_to_speech_chance_recall_at_10=[0.05],
        abx_test_within=[8.0],
        abx_test_across=[12.0],
    ),
    row(
        "{}->{2}",
        "quant2",
        mean_recall_at_10=[0.6, 0.7, 0.8],
        abx_test_within=[9.0, 10.0, 14.0],
        abx_test_across=[12.0, 13.0, 17.0],
        bitrate_test=[400.0, 410.0, 450.0],
        words_published_words_above_f1=[20, 30, 28],
        words_published_chance_words_above_f1=[0, 0, 0],
    ),
    row("{}->{2}", "conv3", mean_recall_at_10=[0.6, 0.7, 0.8], abx_test_within=[9.0, 9.0, 9.0]),
    row(
        "{2}",
        "quant2",
        abx_test_within=[7.0],
        abx_test_across=[9.0],
        bitrate_test=[200.0],
        words_published_words_above_f1=[3],
    ),
]


def drawn(axes, gid):
    return [np.c_[line.get_data()] for line in axes.lines if line.get_gid() == gid]


def labels(figure):
    return [t.get_text() for t in figure.legends[0].texts]


@pytest.mark.parametrize("width", [None, COLUMN])
def test_retrieval_has_a_row_a_lineage_with_all_seeds_and_their_mean(width):
    figure, alt = comparison_figures.retrieval(ROWS, width=width)
    (axes,) = figure.axes
    assert [t.get_text() for t in axes.get_yticklabels()] == ["{}", "{} → {2}"]
    first, second = drawn(axes, "seeds")
    assert first[:, 0] == pytest.approx([50])
    assert second[:, 0] == pytest.approx([60, 70, 80])
    (mean,) = drawn(axes, "mean")
    assert mean[0, 0] == pytest.approx(70)
    bar = axes.collections[0].get_segments()[0]
    assert sorted(bar[:, 0]) == pytest.approx([60, 80]), "one standard deviation (n - 1) to either side"
    assert first[0, 1] < second[0, 1] == mean[0, 1], "the first lineage is the topmost"
    assert axes.yaxis_inverted()
    assert (axes.get_xlabel(), axes.get_xlim()) == ("R@10 (%)", (0, 100))
    assert labels(figure) == ["mean", "by chance"]
    assert alt == "R@10 (%): {} 50 mean; {} → {2} 70 ± 10 (n = 3) mean; by chance 5."
    assert width is None or figure.get_figwidth() == width


def test_layers_stand_under_their_lineage_and_the_raw_features_are_lines():
    figure, alt = comparison_figures.abx(ROWS, "test")
    (axes,) = figure.axes
    assert [t.get_text() for t in axes.get_yticklabels()] == ["conv2", "quant2", "conv3", "quant2"]
    assert [t.get_text() for t in axes.texts] == ["{}", "{} → {2}", "{2}"]
    heads, ticks = [t.get_position()[1] for t in axes.texts], list(axes.get_yticks())
    assert sorted([*heads, *ticks]) == [heads[0], ticks[0], heads[1], ticks[1], ticks[2], heads[2], ticks[3]]
    levels = [line.get_xdata()[0] for line in axes.lines if str(line.get_label()).startswith("log-mel")]
    assert levels == [14, 20]
    assert axes.get_xlim()[0] == 0
    assert labels(figure) == ["within speakers", "across speakers", "log-mel, within", "log-mel, across"]
    assert "{} → {2} quant2 11 ± 2.6 (n = 3) within speakers, 14 ± 2.6 (n = 3) across speakers" in alt
    assert "{} → {2} conv3 9 ± 0 (n = 3) within speakers;" in alt


def test_bitrate_against_abx_shows_quantizers_alone_on_a_logarithmic_axis():
    figure, alt = comparison_figures.bitrate_against_abx(ROWS, "test", COLUMN)
    within, across = figure.axes
    assert [axes.get_title(loc="left") for axes in figure.axes] == ["within speakers", "across speakers"]
    assert within.get_xscale() == "log"
    assert (within.get_xlabel(), within.get_ylabel()) == ("Bitrate (bit/s)", "ABX error on test (%)")
    several, one = drawn(within, "seeds")
    assert several.tolist() == [[400, 9], [410, 10], [450, 14]]
    assert one.tolist() == [[200, 7]]
    assert drawn(across, "mean")[0].tolist() == [[420, 14]]
    assert within.get_ylim()[0] == 0
    assert labels(figure) == ["{} → {2} quant2", "{2} quant2"]
    assert alt.startswith(
        "ABX error in percent against bitrate on test: {} → {2} quant2 420 ± 26 (n = 3) bit/s, 11 ± 2.6 (n = 3) within and "
    )


def test_words():
    figure, alt = comparison_figures.words(ROWS)
    assert figure.axes[0].get_xlabel() == "Words with an F1 of at least 0.5"
    assert labels(figure) == ["where codes were chosen", "by chance"]
    assert "{2} quant2 3 where codes were chosen" in alt


def test_what_was_not_scored_has_no_figure():
    assert comparison_figures.retrieval(ROWS[:1]) is None
    assert comparison_figures.abx(ROWS[:1], "test") is None
    assert comparison_figures.abx(ROWS, "other") is None
    assert comparison_figures.bitrate_against_abx(ROWS[:2], "test") is None
    assert comparison_figures.words([]) is None


def test_the_order_of_seeds_changes_no_word():
    shuffled = [
        Compared(
            r.lineage,
            r.layer,
            r.frame_period,
            r.seeds,
            {k: Spread(v.values[::-1]) for k, v in r.numbers.items()},
            r.conditions,
        )
        for r in ROWS
    ]
    for draw in (comparison_figures.retrieval, comparison_figures.words):
        assert draw(ROWS).alt == draw(shuffled).alt
    other = random.Random(1).sample(ROWS, len(ROWS))
    facts = [
        set(comparison_figures.abx(rows, "test").alt.removesuffix(".").partition(": ")[2].split("; "))
        for rows in (ROWS, other)
    ]
    assert facts[0] == facts[1]


def test_splits_of_abx():
    assert comparison_figures.splits_of_abx(
        [row("{}", "conv2", abx_a_b_within=[1], abx_a_b_across=[1], abx_c_across=[2])]
    ) == ["a_b", "c"]
