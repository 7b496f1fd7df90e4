"""How every figure looks: palettes, sizes of text, legends, and files with the same bytes for the same figure.

Every figure has a white background; a dark page turns its lightness over and keeps its hues. Color never carries
meaning alone: runs of codes have their number, lines and points differ in marker and dash as well. The palettes are
Okabe and Ito's (lines) and Paul Tol's "light" (boxes under black text), both safe for color-blind readers.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from functools import cache
from pathlib import Path
from typing import Any, NamedTuple

import matplotlib as mpl
from matplotlib.figure import Figure
from matplotlib.font_manager import FontProperties, findfont, get_font
from matplotlib.ticker import FuncFormatter, LogLocator, MaxNLocator, NullLocator

from resdavenet_vq.files import atomic_write

BOXES = ("#77AADD", "#EE8866", "#EEDD88", "#FFAABB", "#99DDFF", "#44BB99", "#BBCC33", "#AAAA00", "#DDDDDD")
"""Colors of codes: nine light ones, each readable under black text."""

LINES = ("#0072B2", "#D55E00", "#009E73", "#CC79A7", "#000000", "#E69F00", "#56B4E9")
"""Colors of models and layers."""

MARKERS = "osD^vPX"
DASHES = ("-", "--", "-.", (0, (1, 1)), (0, (5, 1, 1, 1, 1, 1)))


class Drawing(NamedTuple):
    """A figure and its description in words."""

    figure: Figure
    alt: str


_STYLE: dict[str, Any] = {
    "font.family": "sans-serif",
    "font.sans-serif": ["DejaVu Sans"],
    "font.size": 10,
    "axes.spines.top": False,
    "axes.spines.right": False,
    "axes.edgecolor": "#555555",
    "axes.titlesize": 11,
    "axes.titleweight": "bold",
    "axes.titlelocation": "left",
    "axes.grid": False,
    "grid.color": "#DDDDDD",
    "grid.linewidth": 0.8,
    "figure.facecolor": "white",
    "axes.facecolor": "white",
    "savefig.facecolor": "white",
    "svg.hashsalt": "resdavenet-vq",
    "svg.fonttype": "path",
    "pdf.fonttype": 42,  # TrueType: journals refuse fonts of type 3
    "text.parse_math": False,  # a dollar in a word or a title is a dollar
    "text.usetex": False,
}

_PAPER: dict[str, Any] = {
    "font.size": 7.5,
    "axes.titlesize": 8,
    "axes.titleweight": "normal",
    "axes.labelsize": 7.5,
    "xtick.labelsize": 7,
    "ytick.labelsize": 7,
    "legend.fontsize": 7,
    "axes.linewidth": 0.6,
    "xtick.major.width": 0.6,
    "ytick.major.width": 0.6,
    "xtick.major.size": 2.5,
    "ytick.major.size": 2.5,
    "grid.linewidth": 0.5,
    "axes.labelpad": 2.5,
}


LONGEST_ALT = 4000
"""Characters of the description of a figure."""


def literal(text: str, longest: int) -> str:
    r"""Text of a corpus or a person that can be drawn: of at most `longest` characters, on one line.

    Characters that are no text, as control characters, are written as `\x1b`, and those that the font lacks as boxes.
    """
    text = " ".join(text[: 2 * longest].split())
    drawn = "".join(c if ord(c) in _glyphs() else MISSING for c in _escaped(text))
    return drawn if len(drawn) <= longest else f"{drawn[: longest - 1]}…"


def _escaped(text: str) -> str:
    r"""Text whose characters that are none, as control characters and halves of surrogates, are written as `\x1b`."""
    return "".join(c if c.isprintable() else ascii(c)[1:-1] for c in text)


MISSING = "\N{WHITE SQUARE}"
"""Drawn in place of a character that the font lacks."""


@cache
def _glyphs() -> frozenset[int]:
    return frozenset(get_font(findfont(FontProperties(family="DejaVu Sans"))).get_charmap())


def marker(number: int) -> str:
    """The marker of a series: together with LINES it distinguishes 49 series, though colors repeat after seven."""
    return MARKERS[(number + number // len(LINES)) % len(MARKERS)]


@contextmanager
def styled(*, paper: bool) -> Iterator[None]:
    """Draws a figure for a page on a screen, or in the smaller text of a paper. A decorator, too."""
    with mpl.rc_context(_STYLE | (_PAPER if paper else {})):
        yield


FORMATS = ("pdf", "svg", "png")
"""File formats of figures."""

RESOLUTION = 300
"""Dots per inch of a PNG, and of the pictures inside the others."""


@styled(paper=False)
def save(figure: Figure, path: Path, alt: str = "") -> None:
    """Writes a figure by the file's suffix: whole, with the same bytes each time, and `alt` as its description."""
    kind = path.suffix.removeprefix(".")
    alt = _escaped(" ".join(alt.split()))[:LONGEST_ALT]
    metadata: dict[str, dict[str, str | None]] = {
        "svg": {"Date": None, "Description": alt or None},
        "pdf": {"CreationDate": None, "Subject": alt or None},
        "png": {"Software": None, "Description": alt or None},
    }
    with atomic_write(path) as tmp:
        figure.savefig(tmp, format=kind, dpi=RESOLUTION, metadata=metadata[kind])


def code_color(code: int) -> str:
    """The color of a code's boxes: the same in every row and figure."""
    return BOXES[code % len(BOXES)]


def legend_below(figure: Figure, handles: Sequence[Any], *, paper: bool) -> None:
    """A legend under the axes, which makes the figure higher: it never covers a line, however many there are.

    Up to four entries stand side by side where the longest leaves room; on a page, at least two.
    """
    if handles:
        size, line = (7, 0.15) if paper else (9, 0.21)
        entry = 0.65 * size / 72 * max(len(handle.get_label()) for handle in handles) + 0.05 * size
        columns = max(1 if paper else 2, min(4, int(figure.get_figwidth() / entry)))
        figure.set_figheight(figure.get_figheight() + 0.12 + line * -(-len(handles) // columns))
        figure.legend(handles=handles, loc="outside lower left", ncols=columns, frameon=False, fontsize=size)


def readable_log(axis: Any) -> None:
    """Ticks of a logarithmic axis written out: at 1, 2, 5, 10, ... or, within a decade, at a few round numbers.

    Call it last.
    """
    low, high = axis.get_view_interval()
    axis.set_major_locator(LogLocator(subs=(1, 2, 5)) if high >= 10 * low else MaxNLocator(5, steps=[1, 2, 5, 10]))
    axis.set_major_formatter(FuncFormatter(lambda value, _: f"{value:g}"))
    axis.set_minor_locator(NullLocator())
