"""Spectrograms show what they were given: times, labels and rows."""

from __future__ import annotations

import numpy as np
import pytest
from matplotlib.colors import to_hex
from matplotlib.patches import Rectangle

from resdavenet_vq.corpus.manifest import Interval
from resdavenet_vq.encode.units import code_runs
from resdavenet_vq.figures import spectrogram as figures
from resdavenet_vq.figures.registry import COLUMN, PAGE
from resdavenet_vq.figures.style import code_color

WORDS = (Interval(0.1, 0.4, "A"), Interval(0.4, 1.2, "TREE"), Interval(1.3, 1.9, "$x<y"))


def spectrogram(seconds=2.0, hop=0.002):
    return np.random.default_rng(0).uniform(-80, 0, (33, round(seconds / hop) + 1)).astype(np.float32)


def boxes(axes):
    return [
        (p.get_x(), p.get_x() + p.get_width(), p.get_y(), to_hex(p.get_facecolor()))
        for p in axes.patches
        if isinstance(p, Rectangle)
    ]


def test_boxes_stand_at_the_times_of_their_intervals():
    runs = code_runs(np.array([7, 7, 7, 1000, 16] * 10), 0.04)
    rows = [figures.Row("words", WORDS), figures.Row("quant3", runs, colored=True)]
    figure = figures.aligned_spectrogram(spectrogram(), 0.002, 8000, rows, end=2.0)
    picture, labels = figure.axes
    drawn = boxes(labels)
    assert [b[:2] for b in drawn] == [pytest.approx(i[:2]) for i in (*WORDS, *runs)]
    tops = [b[2] for b in drawn]
    assert max(tops[: len(WORDS)]) < min(tops[len(WORDS) :]), "the first row is the topmost (the axis points down)"
    assert labels.yaxis_inverted()
    assert {b[3].upper() for b in drawn[len(WORDS) :]} == {code_color(c) for c in (7, 1000, 16)}
    assert [t.get_text() for t in labels.texts] == [i.label for i in (*WORDS, *runs)]
    assert [t.get_text() for t in labels.get_yticklabels()] == ["words", "quant3"]
    assert picture.get_xlim() == labels.get_xlim() == (0, 2)
    assert picture.get_ylim() == (0, 8000)
    left, right, bottom, top = picture.images[0].get_extent()
    assert (left, right, bottom, top) == pytest.approx((-0.001, 2.001, 0, 8000)), "frame f is centred at f hops"
    assert picture.images[0].cmap(1.0)[:3] < picture.images[0].cmap(0.0)[:3], "dark is loud"


def test_a_segment_shows_only_its_times_and_cuts_what_reaches_over_its_edge():
    figure = figures.aligned_spectrogram(spectrogram(), 0.002, 8000, [figures.Row("words", WORDS)], start=0.5, end=1.25)
    picture, labels = figure.axes
    assert picture.get_xlim() == (0.5, 1.25)
    assert [b[:2] for b in boxes(labels)] == [pytest.approx((0.5, 1.2))]


def test_without_rows_there_is_only_the_spectrogram():
    assert len(figures.aligned_spectrogram(spectrogram(), 0.002, 8000, [], end=2.0).axes) == 1


def test_axes_begin_where_the_playhead_expects_them():
    for seconds in (0.2, 2.0, 9.0):
        figure = figures.aligned_spectrogram(spectrogram(seconds), 0.002, 8000, [], end=seconds)
        width = figure.get_figwidth()
        position = figure.axes[0].get_position()
        assert position.x0 * width == pytest.approx(figures.MARGIN_LEFT)
        assert (1 - position.x1) * width == pytest.approx(figures.MARGIN_RIGHT)


def test_the_number_of_the_shortest_run_is_drawn_and_stays_in_its_box():
    runs = code_runs(np.arange(100, 200), 0.02)
    figure = figures.aligned_spectrogram(
        spectrogram(), 0.002, 8000, [figures.Row("quant2", runs, colored=True)], end=2.0
    )
    labels = figure.axes[1]
    assert len(labels.texts) == len(runs)
    figure.draw_without_rendering()
    for text, box in zip(labels.texts, labels.patches, strict=True):
        inner, outer = text.get_window_extent(), box.get_window_extent()
        assert outer.x0 - 1 <= inner.x0
        assert inner.x1 <= outer.x1 + 1


@pytest.mark.parametrize("width", [COLUMN, PAGE])
def test_a_figure_for_a_paper_has_the_width_asked_for_and_small_text(width):
    runs = code_runs(np.arange(100, 150), 0.04)
    rows = [figures.Row("words", WORDS), figures.Row("{} → {2} → {2,3}\nquant3", runs, colored=True)]
    figure = figures.aligned_spectrogram(spectrogram(), 0.002, 8000, rows, start=0.5, end=1.5, width=width)
    assert figure.get_figwidth() == width
    picture, labels = figure.axes
    assert (picture.get_xlabel(), picture.get_ylabel()) == ("Time (s)", "Frequency (Hz)")
    assert picture.get_xlim() == labels.get_xlim() == (0.5, 1.5)
    left, right = picture.images[0].get_extent()[:2]
    assert left <= 0.5 - 0.001 + 1e-9, "no gap where the picture is cut"
    assert right >= 1.5
    assert right - left < 1.02
    figure.set_dpi(300)  # hinting widens small text at screen resolutions
    figure.draw_without_rendering()
    for text in labels.get_yticklabels():
        assert text.get_window_extent().x0 >= 0
        assert text.get_fontsize() >= 4.5
    for text, box in (
        (t, b)
        for t in labels.texts
        for b in labels.patches
        if b.get_x() <= t.get_position()[0] <= b.get_x() + b.get_width()
    ):
        if box.get_y() <= text.get_position()[1] <= box.get_y() + box.get_height():
            assert text.get_window_extent().x0 >= box.get_window_extent().x0 - 1


def test_a_contact_sheet_has_one_time_scale_and_marks_what_was_searched_for():
    runs = code_runs(np.arange(100, 200), 0.02)
    segments = [
        figures.Segment(
            f"u{i}",
            spectrogram(),
            [figures.Row("words", WORDS), figures.Row("q", runs, colored=True)],
            start,
            end,
            Interval(0.4, 0.6, "TREE"),
        )
        for i, (start, end) in enumerate([(0.0, 1.0), (0.2, 0.7), (0.3, 1.3), (0.25, 0.75), (0.0, 0.9)])
    ]
    figure = figures.contact_sheet(segments, 0.002, 8000, width=PAGE, columns=3)
    assert figure.get_figwidth() == PAGE
    pictures, labels = figure.axes[::2], figure.axes[1::2]
    assert [axes.get_xlim() for axes in pictures] == [(s.start, s.end) for s in segments]
    scales = [axes.get_position().width / (s.end - s.start) for axes, s in zip(pictures, segments, strict=True)]
    assert scales == pytest.approx([scales[0]] * 5)
    assert all([line.get_xdata()[0] for line in axes.lines] == [0.4, 0.6] for axes in pictures)
    assert [text.get_text() for text in figure.texts] == ["u0", "u1", "u2", "u3", "u4"]
    assert [[t.get_text() for t in axes.get_yticklabels()] for axes in labels] == [
        ["words", "q"],
        *[["", ""]] * 2,
        ["words", "q"],
        ["", ""],
    ]
    boxes_of = [axes.get_position() for axes in figure.axes]
    assert all(0 <= b.x0 < b.x1 <= 1 and 0 <= b.y0 < b.y1 <= 1 for b in boxes_of)
    drawn = [(p, q) for p, q in zip(pictures, labels, strict=True)]
    for i, (p, q) in enumerate(drawn):
        for r, _ in drawn[i + 1 :]:
            a, b = q.get_position(), r.get_position()
            assert p.get_position().x1 <= b.x0 or b.y1 <= p.get_position().y0 or b.x1 <= p.get_position().x0, (a, b)
