"""Figures show what they were given: times, labels, counts and limits, and the files are reproducible."""

from __future__ import annotations

import numpy as np
import oracles.report as oracle_report
import pytest
from hypothesis import given
from hypothesis import strategies as st
from matplotlib.colors import to_hex, to_rgb
from matplotlib.patches import Rectangle

from resdavenet_vq.corpus.manifest import Interval
from resdavenet_vq.figures import spectrogram as figures
from resdavenet_vq.figures.style import FORMATS

WORDS = (Interval(0.1, 0.4, "A"), Interval(0.4, 1.2, "TREE"), Interval(1.3, 1.9, "$x<y"))


def spectrogram(seconds=2.0, hop=0.002):
    return np.random.default_rng(0).uniform(-80, 0, (33, round(seconds / hop) + 1)).astype(np.float32)


def boxes(axes):
    return [
        (p.get_x(), p.get_x() + p.get_width(), p.get_y(), to_hex(p.get_facecolor()))
        for p in axes.patches
        if isinstance(p, Rectangle)
    ]


@given(st.lists(st.integers(0, 3), max_size=30))
def test_code_runs_agree_with_the_frame_by_frame_twin(codes):
    runs = figures.code_runs(np.array(codes, np.int32), 0.02)
    expected = oracle_report.code_runs(codes, 0.02)
    assert [r.label for r in runs] == [e[2] for e in expected]
    assert np.allclose([r[:2] for r in runs], [e[:2] for e in expected], atol=1e-6) or not codes


def test_boxes_stand_at_the_times_of_their_intervals():
    runs = figures.code_runs(np.array([7, 7, 7, 1000, 16] * 10), 0.04)
    rows = [figures.Row("words", WORDS), figures.Row("quant3", runs, coloured=True)]
    figure = figures.aligned_spectrogram(spectrogram(), 0.002, 8000, rows, end=2.0)
    picture, labels = figure.axes
    drawn = boxes(labels)
    assert [b[:2] for b in drawn] == [pytest.approx(i[:2]) for i in (*WORDS, *runs)]
    tops = [b[2] for b in drawn]
    assert max(tops[: len(WORDS)]) < min(tops[len(WORDS) :]), "the first row is the topmost (the axis points down)"
    assert labels.yaxis_inverted()
    assert {b[3].upper() for b in drawn[len(WORDS) :]} == {figures.code_colour(c) for c in (7, 1000, 16)}
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
    runs = figures.code_runs(np.arange(100, 200), 0.02)
    figure = figures.aligned_spectrogram(
        spectrogram(), 0.002, 8000, [figures.Row("quant2", runs, coloured=True)], end=2.0
    )
    labels = figure.axes[1]
    assert len(labels.texts) == len(runs)
    figure.draw_without_rendering()
    for text, box in zip(labels.texts, labels.patches, strict=True):
        inner, outer = text.get_window_extent(), box.get_window_extent()
        assert outer.x0 - 1 <= inner.x0
        assert inner.x1 <= outer.x1 + 1


def luminance(colour):
    linear = [c / 12.92 if c <= 0.03928 else ((c + 0.055) / 1.055) ** 2.4 for c in to_rgb(colour)]
    return np.dot(linear, (0.2126, 0.7152, 0.0722))


def test_numbers_are_readable_on_every_colour():
    assert all((luminance(c) + 0.05) / 0.05 >= 7 for c in figures.BOXES)
    assert all(1.05 / (luminance(c) + 0.05) >= 2 for c in figures.LINES)


def test_many_models_are_told_apart_with_and_without_a_line():
    words = {str(i): (np.ones(1), np.ones(1)) for i in range(35)}
    points = figures.precision_recall(words, 1).axes[0].collections
    assert len({(to_hex(p.get_edgecolor()[0]), p.get_paths()[0].vertices.tobytes()) for p in points}) == 35
    lines = [figures.Line(str(i), np.arange(2), np.arange(2)) for i in range(35)]
    drawn = figures.curves([figures.Panel("", "", "", lines)]).axes[0].lines
    assert len({(line.get_color(), line.get_marker()) for line in drawn}) == 35
    assert len({(line.get_color(), line.get_linestyle() + str(line._unscaled_dash_pattern)) for line in drawn}) == 35


def test_precision_recall_draws_the_best_words_only():
    precision, recall = np.linspace(1, 0.1, 30), np.linspace(0.9, 0.2, 30)
    figure = figures.precision_recall(
        {"{2} quant2": (precision, recall), "{3} quant3": (precision[:3], recall[:3])}, best=10
    )
    first, second = figure.axes[0].collections
    assert np.array_equal(first.get_offsets(), np.c_[recall[:10], precision[:10]])
    assert len(second.get_offsets()) == 3
    assert to_hex(first.get_edgecolor()[0]) != to_hex(second.get_edgecolor()[0])
    assert [t.get_text() for t in figure.legends[0].texts] == ["{2} quant2", "{3} quant3"]
    levels = [line for line in figure.axes[0].lines if line.get_gid() == "equal-f1"]
    assert len(levels) == 8
    for level, f1 in zip(levels, (0.2, 0.3, 0.4, 0.5, 0.6, 0.7, 0.8, 0.9), strict=True):
        r, p = level.get_data()
        assert np.allclose(2 * r * p / (r + p), f1)
        assert r.max() == 1


def test_words_above_counts_the_words_at_every_threshold():
    f1 = np.array([0.9, 0.5, 0.5, 0.2, 0.0])
    figure = figures.words_above({"q": f1}, 0.5)
    axes = figure.axes[0]
    assert axes.get_yscale() == "log"
    assert axes.get_xlim() == (0, 1)
    step = next(line for line in axes.lines if line.get_label() == "q")
    x, y = step.get_data()
    for threshold in (0.0, 0.1, 0.2, 0.21, 0.5, 0.51, 0.9):
        shown = y[np.searchsorted(x, threshold)]
        assert shown == (f1 >= threshold).sum(), threshold
    assert x.max() == 0.9


def test_curves_skip_what_is_unknown():
    epochs = np.arange(1, 4)
    lines = [figures.Line("{}", epochs, np.full(3, np.nan)), figures.Line("{2}", epochs, np.array([10.0, np.nan, 300]))]
    figure = figures.curves([figures.Panel("perplexity", "Perplexity", "codes", lines, y_limits=(1, 1024), log=True)])
    (axes,) = figure.axes
    assert axes.get_title(loc="left") == "Perplexity"
    assert (axes.get_xlabel(), axes.get_ylabel()) == ("Epoch", "codes")
    assert axes.get_yscale() == "log"
    assert axes.get_ylim() == (1, 1024)
    (line,) = axes.lines
    assert line.get_xydata().tolist() == [[1, 10], [3, 300]]
    assert [t.get_text() for t in figure.legends[0].texts] == ["{2}"]


def test_runs_of_one_model_look_the_same_in_all_charts_and_are_named_once():
    epochs = np.arange(1, 3)

    def line(name, value):
        return figures.Line(name, epochs, np.full(2, value))

    panels = [
        figures.Panel("loss", "Loss", "", [line("{}", 1.0), line("{}", 2.0), line("{2}", 3.0)]),
        figures.Panel("recall", "R@10", "share", [line("{2}", 0.5)]),
        figures.Panel("codes", "Codes", "codes", [line("{}", 5.0)]),
    ]
    figure = figures.curves(panels, width=figures.COLUMN)
    first, second, third = figure.axes
    looks = [(x.get_color(), x.get_linestyle(), x.get_marker()) for axes in figure.axes for x in axes.lines]
    assert looks[0] == looks[1] == looks[4]
    assert looks[2] == looks[3]
    assert all(a != b for a, b in zip(looks[0], looks[2], strict=True))
    assert [t.get_text() for t in figure.legends[0].texts] == ["{}", "{2}"]
    assert [axes.get_ylabel() for axes in figure.axes] == ["Loss", "R@10", "Codes"], "a paper has no room for titles"
    assert [axes.get_xlabel() for axes in (first, second, third)] == ["", "Epoch", "Epoch"]
    assert figure.get_figwidth() == figures.COLUMN


@pytest.mark.parametrize("width", [figures.COLUMN, figures.PAGE])
def test_a_figure_for_a_paper_has_the_width_asked_for_and_small_text(width):
    runs = figures.code_runs(np.arange(100, 150), 0.04)
    rows = [figures.Row("words", WORDS), figures.Row("{} → {2} → {2,3}\nquant3", runs, coloured=True)]
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
    charts = [
        figures.precision_recall({"q": (np.ones(3), np.ones(3))}, 3, width),
        figures.words_above({"q": np.ones(3)}, 0.5, width),
    ]
    assert all(chart.get_figwidth() == width for chart in charts)


def test_a_contact_sheet_has_one_time_scale_and_marks_what_was_searched_for():
    runs = figures.code_runs(np.arange(100, 200), 0.02)
    segments = [
        figures.Segment(
            f"u{i}",
            spectrogram(),
            [figures.Row("words", WORDS), figures.Row("q", runs, coloured=True)],
            start,
            end,
            Interval(0.4, 0.6, "TREE"),
        )
        for i, (start, end) in enumerate([(0.0, 1.0), (0.2, 0.7), (0.3, 1.3), (0.25, 0.75), (0.0, 0.9)])
    ]
    figure = figures.contact_sheet(segments, 0.002, 8000, width=figures.PAGE, columns=3)
    assert figure.get_figwidth() == figures.PAGE
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


def test_files_have_the_same_bytes_each_time_and_no_foreign_reference(tmp_path):
    for name in (f"{file}.{kind}" for file in "ab" for kind in FORMATS):
        figures.save(figures.words_above({"q": np.array([0.5, 0.1])}, 0.5), tmp_path / name, alt="words <&> thresholds")
    assert (tmp_path / "a.svg").read_bytes() == (tmp_path / "b.svg").read_bytes()
    assert (tmp_path / "a.png").read_bytes() == (tmp_path / "b.png").read_bytes()
    assert (tmp_path / "a.pdf").read_bytes() == (tmp_path / "b.pdf").read_bytes()
    assert (tmp_path / "a.pdf").read_bytes()[:5] == b"%PDF-"
    assert b"/Type3" not in (tmp_path / "a.pdf").read_bytes()
    for kind, text in (
        ("svg", b"words &lt;&amp;&gt; thresholds"),
        ("pdf", b"words <&> thresholds"),
        ("png", b"words <&> thresholds"),
    ):
        assert text in (tmp_path / f"a.{kind}").read_bytes(), kind
    assert (tmp_path / "a.png").read_bytes()[:4] == b"\x89PNG"
    assert 'href="http' not in (tmp_path / "a.svg").read_text()
    assert sorted(p.name for p in tmp_path.iterdir()) == [f"{file}.{kind}" for file in "ab" for kind in sorted(FORMATS)]


def test_no_words_is_a_figure_too():
    assert figures.words_above({}, 0.5).axes
    assert figures.precision_recall({}, 250).axes
