"""Colors can be read and distinguished, and files are reproducible."""

from __future__ import annotations

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
        style.save(charts.words_above({"q": np.array([0.5, 0.1])}, 0.5), tmp_path / name, alt="words <&> thresholds")
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
    assert sorted(p.name for p in tmp_path.iterdir()) == [
        f"{file}.{kind}" for file in "ab" for kind in sorted(style.FORMATS)
    ]
