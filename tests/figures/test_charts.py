"""Charts of words and trainings show every value, and many models can be distinguished."""

import numpy as np
import pandas as pd
import pytest
from matplotlib.colors import to_hex

from resdavenet_vq.figures import charts, interactive
from resdavenet_vq.figures.registry import COLUMN


def words(precision, recall):
    return pd.DataFrame({"precision": precision, "recall": recall})


def test_many_models_are_distinguished_with_and_without_a_line():
    points = charts.precision_recall({str(i): words([1.0], [1.0]) for i in range(35)}, COLUMN).axes[0].collections
    assert len({(to_hex(p.get_edgecolor()[0]), p.get_paths()[0].vertices.tobytes()) for p in points}) == 35
    lines = [charts.Line(str(i), np.arange(2), np.arange(2)) for i in range(35)]
    curves = charts.curves([charts.Panel("", "", "", "", lines=lines)], COLUMN).axes[0].lines
    assert len({(line.get_color(), line.get_marker()) for line in curves}) == 35
    assert len({(line.get_color(), line.get_linestyle() + str(line._unscaled_dash_pattern)) for line in curves}) == 35


def test_precision_recall_draws_every_word_over_curves_of_equal_f1():
    precision, recall = np.linspace(1, 0.1, 10), np.linspace(0.9, 0.2, 10)
    tables = {"{2} quant2": words(precision, recall), "{3} quant3": words(precision[:3], recall[:3])}
    figure = charts.precision_recall(tables, COLUMN)
    first, second = figure.axes[0].collections
    assert np.array_equal(first.get_offsets(), np.c_[recall, precision])
    assert len(second.get_offsets()) == 3
    assert to_hex(first.get_edgecolor()[0]) != to_hex(second.get_edgecolor()[0])
    assert [t.get_text() for t in figure.legends[0].texts] == ["{2} quant2", "{3} quant3"]
    levels = [line for line in figure.axes[0].lines if line.get_gid() == "equal-f1"]
    for level, f1 in zip(levels, (0.2, 0.3, 0.4, 0.5, 0.6, 0.7, 0.8, 0.9), strict=True):
        r, p = level.get_data()
        assert np.allclose(2 * r * p / (r + p), f1)
        assert r.max() == 1
    assert figure.get_figwidth() == COLUMN


def test_words_above_counts_the_words_at_every_threshold():
    f1 = np.array([0.9, 0.5, 0.5, 0.2, 0.0])
    figure = charts.words_above({"q": f1}, 0.5, None)
    axes = figure.axes[0]
    assert axes.get_yscale() == "log"
    assert axes.get_xlim() == (0, 1)
    step = next(line for line in axes.lines if line.get_label() == "q")
    x, y = step.get_data()
    for threshold in (0.0, 0.1, 0.2, 0.21, 0.5, 0.51, 0.9):
        count = y[np.searchsorted(x, threshold)]
        assert count == (f1 >= threshold).sum(), threshold
    assert x.max() == 0.9


def test_curves_skip_what_is_unknown():
    epochs = np.arange(1, 4)
    lines = [charts.Line("{}", epochs, np.full(3, np.nan)), charts.Line("{2}", epochs, np.array([10.0, np.nan, 300]))]
    figure = charts.curves([charts.Panel("", "Perplexity", "codes", "", (1, 1024), log=True, lines=lines)], COLUMN)
    (axes,) = figure.axes
    assert (axes.get_xlabel(), axes.get_ylabel()) == ("Epoch", "Perplexity (log)")
    assert axes.get_yscale() == "log"
    assert axes.get_ylim() == (1, 1024)
    (line,) = axes.lines
    assert line.get_xydata().tolist() == [[1, 10], [3, 300]]
    assert [t.get_text() for t in figure.legends[0].texts] == ["{2}"]


def test_runs_of_one_model_look_the_same_in_all_charts_and_are_named_once():
    epochs = np.arange(1, 3)

    def line(name, value):
        return charts.Line(name, epochs, np.full(2, value))

    panels = [
        charts.Panel("loss", "Loss", "", "", lines=[line("{}", 1.0), line("{}", 2.0), line("{2}", 3.0)]),
        charts.Panel("recall", "R@10", "share", "", lines=[line("{2}", 0.5)]),
        charts.Panel("codes", "Codes", "codes", "", lines=[line("{}", 5.0)]),
    ]
    figure = charts.curves(panels, width=COLUMN)
    first, second, third = figure.axes
    looks = [(x.get_color(), x.get_linestyle(), x.get_marker()) for axes in figure.axes for x in axes.lines]
    assert looks[0] == looks[1] == looks[4]
    assert looks[2] == looks[3]
    assert all(a != b for a, b in zip(looks[0], looks[2], strict=True))
    assert [t.get_text() for t in figure.legends[0].texts] == ["{}", "{2}"]
    assert [axes.get_ylabel() for axes in figure.axes] == ["Loss", "R@10", "Codes"], "a paper has no room for titles"
    assert [axes.get_xlabel() for axes in (first, second, third)] == ["", "Epoch", "Epoch"]
    assert figure.get_figwidth() == COLUMN


def test_no_words_is_a_figure_too():
    assert charts.words_above({}, 0.5, None).axes
    assert charts.precision_recall({}, COLUMN).axes


def test_recall_at_one_is_the_mean_of_both_directions():
    history = pd.DataFrame(
        {"epoch": [1, 2], "image_to_speech_recall_at_1": [0.1, 0.2], "speech_to_image_recall_at_1": [0.3, 0.6]}
    )
    (panel,) = charts.panels([("{}", history)], ["recall-at-1"])
    assert panel.lines[0].y.tolist() == pytest.approx([0.2, 0.4])


@pytest.mark.parametrize(
    "values",
    [[2e-4], [1.47e-4, 1.9e-4], [1e-4, 2.6e-4], [9.2e-5, 1.05e-4], [200, 500], [90, 440], [10, 1000], [1, 1e6]],
)
def test_a_logarithmic_axis_for_hovering_has_some_ticks_however_short_it_is(values):
    lines = [charts.Line("{}", np.arange(len(values)), np.array(values, float))]
    panel = charts.Panel("learning-rate", "Learning rate", "of Adam", "learning_rate", log=True, lines=lines)
    axis = interactive.curves(panel, "").figure["layout"]["yaxis"]
    low, high = axis["range"]
    visible = [tick for tick in axis["tickvals"] if low <= np.log10(tick) <= high]
    assert 3 <= len(visible) <= 20
    assert [float(text) for text in axis["ticktext"]] == pytest.approx(axis["tickvals"])
