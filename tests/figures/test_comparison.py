"""Comparisons show every seed, the mean, its interval or its spread, and say so in words."""

import numpy as np
import pandas as pd
import pytest
from figures.made_up import LOW, made_up_results, rows

from resdavenet_vq.figures import comparison
from resdavenet_vq.figures.registry import COLUMN, Request

SCORES = pd.DataFrame(
    [
        *rows("raw log-mel", "logmel", within=[14], across=[20]),
        *rows("{}", "conv2", recall=[0.5], chance_recall=[0.05], within=[8], across=[12]),
        *rows("{}->{2}", "quant2", recall=[0.6, 0.7, 0.8], within=[9, 10, 14], across=[12, 13, 17]),
        *rows("{}->{2}", "quant2", bits=[400, 410, 450], words=[20, 30, 28], chance_words=[0, 0, 0]),
        *rows("{}->{2}", "conv3", within=[9, 9, 9]),
        *rows("{2}", "quant2", within=[7], across=[9], bits=[200], words=[3]),
        *rows("k-means of log-mel", "quant2", within=[12], across=[16], bits=[300], words=[2]),
        *rows("k-means of log-mel, 64 codes", "quant2", within=[14], across=[17], bits=[200], words=[1]),
    ]
)


def request(scores=SCORES, thresholds=(), bounded=(), **options):
    return Request(made_up_results(scores, thresholds, bounded), **options)


def drawn(axes, gid):
    return [np.c_[line.get_data()] for line in axes.lines if line.get_gid() == gid]


def labels(figure):
    return [t.get_text() for t in figure.legends[0].texts]


@pytest.mark.parametrize("width", [None, COLUMN])
def test_retrieval_has_a_row_a_lineage_with_all_seeds_and_their_mean(width):
    figure, alt = comparison.retrieval(request(width=width))
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


def test_layers_stand_under_their_system_and_a_baseline_has_a_row_but_no_other_codebook_sizes():
    figure, alt = comparison.abx(request(split="test"))
    (axes,) = figure.axes
    layers = ["logmel", "conv2", "quant2", "conv3", "quant2", "quant2"]
    assert [t.get_text() for t in axes.get_yticklabels()] == layers
    assert [t.get_text() for t in axes.texts] == ["raw log-mel", "{}", "{} → {2}", "{2}", "k-means of log-mel"]
    heads, ticks = [t.get_position()[1] for t in axes.texts], list(axes.get_yticks())
    order = [heads[0], ticks[0], heads[1], ticks[1], heads[2], *ticks[2:4], heads[3], ticks[4], heads[4], ticks[5]]
    assert sorted([*heads, *ticks]) == order
    assert axes.get_xlim()[0] == 0
    assert labels(figure) == ["within speakers", "across speakers"]
    assert "{} → {2} quant2 11 ± 2.6 (n = 3) within speakers, 14 ± 2.6 (n = 3) across speakers" in alt
    assert "{} → {2} conv3 9 ± 0 (n = 3) within speakers;" in alt
    assert "64 codes" not in alt


def test_a_bar_is_the_interval_where_there_is_one():
    figure, alt = comparison.abx(request(bounded=["{2}", "{}->{2}"], split="test"))
    bars = {
        tuple(np.round(segment[:, 0], 6)) for lines in figure.axes[0].collections for segment in lines.get_segments()
    }
    assert {(7 * LOW, 8.75), (11 * LOW, 13.75)} <= bars, "of one seed, and of the mean of three"
    assert "{2} quant2 7 [6.3, 8.75] within" in alt
    assert "{} → {2} quant2 11 [9.9, 13.8] ± 2.6 (n = 3) within" in alt


def test_words():
    figure, alt = comparison.words(request(thresholds=[0.5, 0.5]))
    assert figure.axes[0].get_xlabel() == "Words with an F1 of at least 0.5"
    assert labels(figure) == ["where codes were chosen", "by chance"]
    assert "{2} quant2 3 where codes were chosen" in alt


def test_what_was_not_scored_has_no_figure():
    logmel = SCORES[SCORES["layer"] == "logmel"]
    assert comparison.retrieval(request(logmel)) is None
    assert comparison.abx(request(split="other")) is None
    assert comparison.words(request(SCORES[:0])) is None


def test_the_order_of_seeds_and_rows_changes_no_number():
    reverse, shuffled = SCORES[::-1], SCORES.sample(frac=1, random_state=1)
    for draw, split in ((comparison.retrieval, ""), (comparison.words, ""), (comparison.abx, "test")):
        facts = [
            set(draw(request(scores, split=split)).alt.removesuffix(".").partition(": ")[2].split("; "))
            for scores in (SCORES, reverse, shuffled)
        ]
        assert facts[0] == facts[1] == facts[2]
