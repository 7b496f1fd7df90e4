"""Colors can be read and distinguished, and files are reproducible."""

from xml.etree import ElementTree as ET

import numpy as np
import pandas as pd
import pytest
from matplotlib.colors import to_rgb
from matplotlib.text import Text

from resdavenet_vq.corpus.manifest import Interval
from resdavenet_vq.figures import charts, style
from resdavenet_vq.figures.confusions import heat_map
from resdavenet_vq.figures.registry import PAGE
from resdavenet_vq.figures.spectrogram import Row, Segment, contact_sheet


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


TEXTS = {
    "dollar": "$",
    "dollars": "$x_{$",
    "mathematics": r"$\frac{1}$",
    "TeX": r"\input{/etc/passwd} 50% ~#&",
    "scripts": "a_b^c",
    "lines": "a\nb\r\nc",
    "controls": "a\x00b\x1b[31mc\x7f",
    "right to left": "\u202eevil שלום",
    "emoji": "a 🙂🏽 b",
    "lone surrogate": "a\ud800b",
    "markup": "<script>&amp;--></text>]]>",
    "long": "word " * 2000,
    "combining": "a" + "\u0301" * 50,
    "nothing": "",
    "underscore": "_hidden",
}


@pytest.mark.parametrize("kind", [*TEXTS, "all"])
@pytest.mark.filterwarnings("error")
def test_every_text_is_drawn_as_it_is(kind, tmp_path):
    texts = list(TEXTS.values()) if kind == "all" else [TEXTS[kind], "B"]
    table = pd.DataFrame(np.full((len(texts),) * 2, 20.0), texts, texts)
    intervals = [Interval(i / len(texts), (i + 1) / len(texts), text) for i, text in enumerate(texts)]
    segment = Segment(texts[0], np.zeros((129, 200)), [Row("words", intervals)], 0.0, 1.0)
    for number, figure in enumerate([heat_map(table, texts[0], 4.0), contact_sheet([segment])]):
        for form in style.FORMATS if kind == "all" and not number else ["svg"]:
            style.save(figure, tmp_path / f"{number}.{form}", alt=" ".join(texts))
        ET.parse(tmp_path / f"{number}.svg")
        for text in figure.findobj(Text):
            assert len(text.get_text()) <= 100
            assert text.get_text().isprintable() or text.get_text() == "words"
    drawn = [label.get_text() for label in heat_map(table, texts[0], PAGE).axes[0].get_yticklabels()]
    assert kind != "dollars" or drawn[0] == "$x_{$"


def test_what_cannot_be_drawn_is_written():
    assert style.literal("a\x1b[31m", 20) == r"a\x1b[31m"
    assert style.literal("🙂 é", 20) in {"🙂 é", f"{style.MISSING} é"}
    assert style.literal("x" * 100, 10) == "x" * 9 + "…"
