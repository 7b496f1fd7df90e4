"""The heat map shows the errors of the table, each in its place."""

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from typer.testing import CliRunner

from resdavenet_vq.__main__ import app
from resdavenet_vq.errors import InputError
from resdavenet_vq.figures import confusions
from resdavenet_vq.figures.confusions import Confusions
from resdavenet_vq.figures.style import save

HEADER = "phone_ax,phone_b,within_error,within_cells,across_error,across_cells\n"
TABLE = HEADER + "AA,B,1.5,3,12.25,40\nB,AA,2.5,3,8.0,40\nAA,NA,,0,55.5,2\nNA,AA,,0,0.0,2\n"


@pytest.fixture
def table(tmp_path):
    path = tmp_path / "quant2.phones.csv"
    path.write_text(TABLE)
    return path


def test_errors_stand_at_their_phones(table):
    table_errors = confusions.read(table, "across")
    assert table_errors.phones == ("AA", "B", "NA")
    nan = np.nan
    assert np.array_equal(table_errors.errors, [[nan, 12.25, 55.5], [8, nan, nan], [0, nan, nan]], equal_nan=True)
    within = confusions.read(table, "within")
    assert np.array_equal(within.errors, [[nan, 1.5, nan], [2.5, nan, nan], [nan, nan, nan]], equal_nan=True)


def cells(figure):
    """What a reader sees: {(row's phone, column's phone): (colour value, or None; text, or "")}."""
    axes = figure.axes[0]
    phones = [label.get_text() for label in axes.get_yticklabels()]
    assert phones == [label.get_text() for label in axes.get_xticklabels()]
    texts = {tuple(map(round, text.get_position()[::-1])): text.get_text() for text in axes.texts}
    values = axes.images[0].get_array()
    return {
        (a, b): (
            None if np.ma.is_masked(values[i, j]) or np.isnan(values[i, j]) else float(values[i, j]),
            texts.get((i, j), ""),
        )
        for i, a in enumerate(phones)
        for j, b in enumerate(phones)
    }


def test_the_picture_shows_each_error_in_its_place(table):
    drawing = confusions.draw(table, "across", "quant2")
    values = cells(drawing.figure)
    assert values["AA", "B"] == (12.25, "12")
    assert values["AA", "NA"] == (55.5, "56")
    assert values["B", "AA"] == (8.0, "")  # below what is written out
    assert values["NA", "AA"] == (0.0, "")
    assert values["B", "NA"] == values["AA", "AA"] == (None, "")
    image = drawing.figure.axes[0].images[0]
    assert image.get_clim() == (0, 50)
    assert image.cmap(0.0)[:3] > image.cmap(0.5)[:3] > image.cmap(1.0)[:3]  # ever darker: no hue is needed to read it
    assert "AA with NA, 56 %" in drawing.alt
    assert (
        len(drawing.figure.axes[0].collections[0].get_offsets()) == 5
    )  # dots: three of the diagonal, two that nothing compares


@given(st.integers(1, 12), st.integers(0, 2**32 - 1))
def test_order_changes_nothing_but_places(n, seed):
    rng = np.random.default_rng(seed)
    errors = np.where(rng.random((n, n)) < 0.3, np.nan, rng.uniform(0, 100, (n, n)))
    errors[0, 0] = 3.0
    given_order = Confusions(tuple(f"p{i}" for i in range(n)), errors)
    ordered = given_order.ordered
    assert sorted(ordered.phones) == sorted(given_order.phones)
    places = [given_order.phones.index(phone) for phone in ordered.phones]
    assert np.array_equal(ordered.errors, errors[np.ix_(places, places)], equal_nan=True)


def test_confused_phones_stand_side_by_side():
    phones = ("a", "x", "b", "y")
    errors = np.full((4, 4), 1.0)
    for i, j in ((0, 2), (1, 3)):
        errors[i, j] = errors[j, i] = 40
    ordered = "".join(Confusions(phones, errors).ordered.phones)
    assert any(pair in ordered for pair in ("ab", "ba"))
    assert any(pair in ordered for pair in ("xy", "yx"))


def test_files_are_reproducible(table, tmp_path):
    for name in ("a.svg", "b.svg", "a.png", "b.png"):
        save(confusions.draw(table, "across").figure, tmp_path / name)
    assert (tmp_path / "a.svg").read_bytes() == (tmp_path / "b.svg").read_bytes()
    assert (tmp_path / "a.png").read_bytes() == (tmp_path / "b.png").read_bytes()


def test_the_command(tmp_path):
    file = tmp_path / "results/none-2/abx/test/quant2.phones.csv"
    file.parent.mkdir(parents=True)
    file.write_text(TABLE)
    arguments = ["figure", "confusions", f"--results={tmp_path / 'results'}", "--split=test", "--task=within"]
    outs = [f"--out={tmp_path / name}" for name in ("c.pdf", "c.png")]
    result = CliRunner().invoke(app, [*arguments, "--layers=none-2/quant2", "--title=quant2", *outs])
    assert result.exit_code == 0, result.output
    assert (tmp_path / "c.pdf").read_bytes().startswith(b"%PDF")
    assert (tmp_path / "c.png").stat().st_size
    result = CliRunner().invoke(app, [*arguments, "--layers=quant2", *outs])
    assert "give one layer and its folder" in str(result.exception)


@pytest.mark.parametrize(
    ("text", "task", "message"),
    [
        (None, "across", "no such file"),
        ("", "across", "no table of ABX errors"),
        ("a,b\n1,2\n", "across", "no table of ABX errors"),
        (HEADER + "A,B,1,2,,0\n", "across", "no error across speakers"),
        (HEADER, "within", "no error within speakers"),
    ],
)
def test_what_is_no_table_is_refused(tmp_path, text, task, message):
    path = tmp_path / "x.phones.csv"
    if text is not None:
        path.write_text(text)
    with pytest.raises(InputError, match=message):
        confusions.read(path, task)
