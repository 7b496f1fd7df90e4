"""Comparisons show every seed, the mean and its spread, and say so in words."""

from types import SimpleNamespace

import numpy as np
import pandas as pd
import pytest

from resdavenet_vq.evaluation.summary import COLUMNS
from resdavenet_vq.figures import comparison
from resdavenet_vq.figures.registry import COLUMN, Request

KEYS = {
    "recall": ("retrieval", "mean", "recall_at_10"),
    "chance_recall": ("retrieval", "image_to_speech", "chance_recall_at_10"),
    "within": ("abx", "within", "error"),
    "across": ("abx", "across", "error"),
    "bits": ("bitrate", "plain", "bits_per_second"),
    "words": ("words", "published", "words_above_f1"),
    "chance_words": ("words", "published", "chance_words_above_f1"),
}


def rows(lineage, layer, split="test", **numbers):
    """Rows of scores.csv, one for each seed."""
    return [
        dict.fromkeys(COLUMNS, "")
        | {"lineage": lineage, "seed": seed, "task": task, "layer": "" if task == "retrieval" else layer}
        | {"split": split, "condition": condition, "score": score, "value": float(value)}
        for name, values in numbers.items()
        for task, condition, score in [KEYS[name]]
        for seed, value in enumerate(values)
    ]


SCORES = pd.DataFrame(
    [
        *rows("raw log-mel", "logmel", within=[14], across=[20]),
        *rows("{}", "conv2", recall=[0.5], chance_recall=[0.05], within=[8], across=[12]),
        *rows("{}->{2}", "quant2", recall=[0.6, 0.7, 0.8], within=[9, 10, 14], across=[12, 13, 17]),
        *rows("{}->{2}", "quant2", bits=[400, 410, 450], words=[20, 30, 28], chance_words=[0, 0, 0]),
        *rows("{}->{2}", "conv3", within=[9, 9, 9]),
        *rows("{2}", "quant2", within=[7], across=[9], bits=[200], words=[3]),
    ]
)


def request(scores=SCORES, thresholds=(), **options):
    conditions = [{"f1_threshold": threshold} for threshold in thresholds]
    return Request(SimpleNamespace(scores=scores, conditions=lambda _: conditions), **options)


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


def test_layers_stand_under_their_lineage_and_the_raw_features_are_lines():
    figure, alt = comparison.abx(request(split="test"))
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
    figure, alt = comparison.bitrate_abx(request(split="test", width=COLUMN))
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
    assert alt.startswith("ABX error in percent against bitrate on test: {} → {2} quant2 420 ± 26 (n = 3) bit/s, ")
    assert ", 11 ± 2.6 (n = 3) within and 14 ± 2.6 (n = 3) across;" in alt


def test_words():
    figure, alt = comparison.words(request(thresholds=[0.5, 0.5]))
    assert figure.axes[0].get_xlabel() == "Words with an F1 of at least 0.5"
    assert labels(figure) == ["where codes were chosen", "by chance"]
    assert "{2} quant2 3 where codes were chosen" in alt


def test_what_was_not_scored_has_no_figure():
    logmel = SCORES[SCORES["layer"] == "logmel"]
    assert comparison.retrieval(request(logmel)) is None
    assert comparison.abx(request(logmel, split="test")) is None
    assert comparison.abx(request(split="other")) is None
    assert comparison.bitrate_abx(request(SCORES[SCORES["lineage"] == "{}"], split="test")) is None
    assert comparison.words(request(SCORES[:0])) is None


def test_the_order_of_seeds_and_rows_changes_no_number():
    reverse, shuffled = SCORES[::-1], SCORES.sample(frac=1, random_state=1)
    for draw, split in ((comparison.retrieval, ""), (comparison.words, ""), (comparison.abx, "test")):
        facts = [
            set(draw(request(scores, split=split)).alt.removesuffix(".").partition(": ")[2].split("; "))
            for scores in (SCORES, reverse, shuffled)
        ]
        assert facts[0] == facts[1] == facts[2]
