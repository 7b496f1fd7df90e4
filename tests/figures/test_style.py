"""Colors can be read and distinguished, and files are reproducible."""

import numpy as np
from matplotlib.colors import to_rgb

from resdavenet_vq.figures import charts, style


def luminance(color):
    linear = [c / 12.92 if c <= 0.03928 else ((c + 0.055) / 1.055) ** 2.4 for c in to_rgb(color)]
    return np.dot(linear, (0.2126, 0.7152, 0.0722))


def test_numbers_are_readable_on_every_color():
    assert all((luminance(c) + 0.05) / 0.05 >= 7 for c in style.BOXES)
    assert all(1.05 / (luminance(c) + 0.05) >= 2 for c in style.LINES)


def test_files_have_the_same_bytes_each_time_and_no_foreign_reference(tmp_path):
    for name in (f"{file}.{kind}" for file in "ab" for kind in style.FORMATS):
        figure = charts.words_above({"q": np.array([0.5, 0.1])}, 0.5, None)
        style.save(figure, tmp_path / name, alt="words <&> thresholds")
    for kind, start, text in (
        ("svg", b"<?xml", b"words &lt;&amp;&gt; thresholds"),
        ("pdf", b"%PDF-", b"words <&> thresholds"),
        ("png", b"\x89PNG", b"words <&> thresholds"),
    ):
        first, second = ((tmp_path / f"{file}.{kind}").read_bytes() for file in "ab")
        assert first == second
        assert first.startswith(start)
        assert text in first, kind
        assert b"/Type3" not in first
        assert b'href="http' not in first
    assert len(list(tmp_path.iterdir())) == 2 * len(style.FORMATS)
