"""Systems at equal bitrate: what is joined, what is a level, and what has a bar."""

import numpy as np
import pandas as pd
import pytest
from figures.made_up import made_up_results, rows

from resdavenet_vq.figures import frontier
from resdavenet_vq.figures.registry import PAGE, Request

SCORES = pd.DataFrame(
    [
        *rows("raw log-mel", "logmel", within=[14], across=[20]),
        *rows("normalized log-mel", "logmel", within=[10], across=[12]),
        *rows("k-means of log-mel", "quant2", within=[12], across=[16], bits=[480], held_out=[9]),
        *rows("k-means of log-mel", "quant3", within=[15], across=[19], bits=[240], held_out=[17]),
        *rows("k-means of {}", "quant2", within=[11], across=[14], bits=[470], held_out=[12]),
        *rows("k-means of {}", "quant3", within=[13], across=[16], bits=[230], held_out=[25]),
        *rows("k-means of log-mel, 64 codes", "quant2", within=[16], across=[20], bits=[250], held_out=[1]),
        *rows("k-means of log-mel, 64 codes", "quant3", within=[18], across=[24], bits=[125], held_out=[3]),
        *rows("{}", "conv2", within=[6], across=[8]),
        *rows("{}->{2}->{2,3}", "quant2", within=[8, 10], across=[11, 13], bits=[440, 460], held_out=[16, 18]),
        *rows("{}->{2}->{2,3}", "quant3", within=[11, 11], across=[13, 15], bits=[200, 200], held_out=[40, 42]),
        *rows("hubert", "units", within=[8], across=[10], bits=[310], held_out=[20]),
        *rows("cpc", "features", within=[7], across=[8]),
    ]
)


def drawn(axes, gid):
    return [np.c_[line.get_data()].tolist() for line in axes.lines if line.get_gid() == gid]


@pytest.fixture(params=[None, PAGE])
def drawing(request):
    results = made_up_results(SCORES, bounded=["normalized log-mel", "{}->{2}->{2,3}"])
    return frontier.bitrate_abx(Request(results, request.param, split="test"))


def test_sizes_of_codebooks_are_joined_layer_by_layer_and_the_layers_of_any_other_system(drawing):
    within, across = drawing.figure.axes
    assert [axes.get_title(loc="left") for axes in (within, across)] == ["within speakers", "across speakers"]
    assert within.get_xscale() == "log"
    lines = drawn(within, "curve")
    assert sorted(lines) == sorted(
        [
            [[250, 16], [480, 12]],
            [[125, 18], [240, 15]],
            [[230, 13], [470, 11]],
            [[200, 11], [450, 9]],
            [[310, 8]],
        ]
    )
    points = [point for (point,) in drawn(within, "point")]
    assert sorted(points) == sorted(point for line in lines for point in line), "the means over seeds, each once"
    for axes in (within, across):
        low, high = axes.get_ylim()
        assert low == 0
        assert all(y < high for line in drawn(axes, "curve") for _, y in line), "both have room for all points"


def test_features_are_levels_and_layers_without_codes_are_not_there(drawing):
    levels = [line[0][1] for line in drawn(drawing.figure.axes[0], "level")]
    assert levels == [14, 10, 7]
    assert "conv2" not in drawing.alt
    assert "normalized log-mel 10 [9, 12.5]; cpc 7;" in drawing.alt
    assert "{} → {2} → {2,3} quant2 450 bit/s, 9 [8.1, 11.2]" in drawing.alt


def test_a_family_has_one_color_and_one_entry_and_a_layer_one_marker(drawing):
    names = [t.get_text() for t in drawing.figure.legends[0].texts]
    families = ["k-means of log-mel", "k-means of {}", "{} → {2} → {2,3}", "hubert"]
    levels = ["raw log-mel (level)", "normalized log-mel (level)", "cpc (level)"]
    assert names == [*families, *levels, "quant2", "quant3", "units"]
    axes = drawing.figure.axes[0]
    looks = {(line.get_color(), line.get_linestyle()) for line in axes.lines if line.get_gid() == "curve"}
    assert len(looks) == len(families)
    assert len({line.get_marker() for line in axes.lines if line.get_gid() == "point"}) == 3


def test_what_has_an_interval_has_a_bar(drawing):
    within = drawing.figure.axes[0]
    bars = [np.round(s, 6).tolist() for c in within.collections for s in c.get_segments()]
    assert [[450, 8.1], [450, 11.25]] in bars
    assert [[405, 9], [562.5, 9]] in bars
    assert len(bars) == 4, "a bar each way for the two layers of the one system with intervals"


def test_words_are_the_expected_ones_where_they_are_known_and_bitrates_those_of_their_split():
    results = made_up_results(SCORES)
    _, alt = frontier.bitrate_words(Request(results))
    assert "where codes were chosen" not in alt
    assert "held out, Words detected: k-means of log-mel quant2 480 bit/s, 9;" in alt
    more = pd.DataFrame(rows("hubert", "units", expected_words=[20.5], words=[21], units=[30]))
    results = made_up_results(pd.concat([SCORES, more]))
    _, alt = frontier.bitrate_words(Request(results))
    assert "where codes were chosen, Words detected: hubert units 310 bit/s, 20.5." in alt


def test_the_verdict_has_the_first_and_the_last_split_and_the_words():
    other = pd.concat([SCORES[SCORES["task"] != "words"].assign(split=name) for name in ("other", "last")])
    figure, alt = frontier.verdict(Request(made_up_results(pd.concat([SCORES, other])), PAGE))
    titles = ["ABX across speakers, test", "ABX across speakers, last", "Words held out"]
    assert [axes.get_title(loc="left") for axes in figure.axes] == titles
    assert all(title in alt for title in titles)


def test_without_units_there_is_no_figure():
    features = SCORES[SCORES["layer"].isin(["logmel", "conv2", "features"])]
    for draw in (frontier.bitrate_abx, frontier.bitrate_words, frontier.verdict):
        assert draw(Request(made_up_results(features), split="test")) is None
