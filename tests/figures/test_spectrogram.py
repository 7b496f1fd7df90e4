"""Spectrograms show what they were given: times, labels and rows."""

import numpy as np
import pytest
from matplotlib.colors import to_hex

from resdavenet_vq.corpus.manifest import Interval
from resdavenet_vq.encode.units import code_runs
from resdavenet_vq.figures import spectrogram
from resdavenet_vq.figures.registry import COLUMN, PAGE
from resdavenet_vq.figures.spectrogram import Row, Segment
from resdavenet_vq.figures.style import code_color

WORDS = (Interval(0.1, 0.4, "A"), Interval(0.4, 1.2, "TREE"), Interval(1.3, 1.9, "$x<y"))
PICTURE = np.random.default_rng(0).uniform(-80, 0, (33, 1001)).astype(np.float32)


def segment(*rows, start=0.0, end=2.0, title="", marked=None):
    return Segment(title, PICTURE, rows, start, end, marked)


def boxes(axes):
    return [(p.get_x(), p.get_x() + p.get_width(), p.get_y(), to_hex(p.get_facecolor())) for p in axes.patches]


def test_boxes_stand_at_the_times_of_their_intervals():
    runs = code_runs(np.array([7, 7, 7, 1000, 16] * 10), 0.04)
    rows = segment(Row("words", WORDS), Row("quant3", runs, colored=True))
    picture, labels = spectrogram.aligned_spectrogram(rows, PAGE).axes
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
    assert (left, right, bottom, top) == pytest.approx((-0.001, 2.001, 0, 8000)), "frame f is centered at f hops"
    assert picture.images[0].cmap(1.0)[:3] < picture.images[0].cmap(0.0)[:3], "dark is loud"


def test_a_segment_shows_only_its_times_and_cuts_what_reaches_over_its_edge():
    rows = segment(Row("words", WORDS), start=0.5, end=1.25)
    picture, labels = spectrogram.aligned_spectrogram(rows, PAGE).axes
    assert picture.get_xlim() == (0.5, 1.25)
    assert [b[:2] for b in boxes(labels)] == [pytest.approx((0.5, 1.2))]


def test_without_rows_there_is_only_the_spectrogram():
    assert len(spectrogram.aligned_spectrogram(segment(), PAGE).axes) == 1


@pytest.mark.parametrize("width", [COLUMN, PAGE])
def test_a_figure_has_the_width_requested_and_no_text_reaches_out_of_its_box(width):
    runs = code_runs(np.arange(100, 150), 0.04)
    rows = (Row("words", WORDS), Row("{} → {2} → {2,3}\nquant3", runs, colored=True))
    figure = spectrogram.aligned_spectrogram(segment(*rows, start=0.5, end=1.5), width)
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
    for text in labels.texts:
        x, y = text.get_position()
        (box,) = (b for b in labels.patches if b.get_bbox().contains(x, y))
        assert text.get_window_extent().x0 >= box.get_window_extent().x0 - 1


def test_a_contact_sheet_has_one_time_scale_and_marks_what_was_searched_for():
    rows = (Row("words", WORDS), Row("q", code_runs(np.arange(100, 200), 0.02), colored=True))
    times = [(0.0, 1.0), (0.2, 0.7), (0.3, 1.3), (0.25, 0.75), (0.0, 0.9)]
    segments = [
        segment(*rows, start=start, end=end, title=f"u{i}", marked=Interval(0.4, 0.6, "TREE"))
        for i, (start, end) in enumerate(times)
    ]
    figure = spectrogram.contact_sheet(segments, width=5.2)
    assert figure.get_figwidth() == 5.2
    pictures, labels = figure.axes[::2], figure.axes[1::2]
    assert [axes.get_xlim() for axes in pictures] == times
    scales = [axes.get_position().width / (end - start) for axes, (start, end) in zip(pictures, times, strict=True)]
    assert scales == pytest.approx([scales[0]] * 5)
    assert all([line.get_xdata()[0] for line in axes.lines] == [0.4, 0.6] for axes in pictures)
    assert [text.get_text() for text in figure.texts] == ["u0", "u1", "u2", "u3", "u4"]
    names = [[t.get_text() for t in axes.get_yticklabels()] for axes in labels]
    assert names == [["words", "q"], ["", ""], ["", ""], ["words", "q"], ["", ""]], "three stand in a line"
    places = [axes.get_position() for axes in figure.axes]
    assert all(0 <= b.x0 < b.x1 <= 1 and 0 <= b.y0 < b.y1 <= 1 for b in places)
    drawn = list(zip(places[::2], places[1::2], strict=True))
    for i, (picture, _) in enumerate(drawn):
        for below, above in drawn[i + 1 :]:
            assert picture.x1 <= below.x0 or above.y1 <= picture.y0 or above.x1 <= picture.x0
