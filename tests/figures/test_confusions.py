"""The heat map shows the errors of the table, each in its place."""

from math import comb

import numpy as np
import pandas as pd
import pytest
from hypothesis import given
from hypothesis import strategies as st
from typer.testing import CliRunner

from resdavenet_vq.__main__ import app
from resdavenet_vq.errors import InputError
from resdavenet_vq.figures import confusions
from resdavenet_vq.figures.registry import PAGE

HEADER = "phone_ax,phone_b,within_error,within_cells,across_error,across_cells\n"
TABLE = HEADER + "AA,B,1.5,3,12.25,40\nB,AA,2.5,3,8.0,40\nAA,NA,,0,55.5,2\nNA,AA,,0,0.0,2\n"


@pytest.fixture
def table(tmp_path):
    path = tmp_path / "results/none-2/abx/test/quant2.phones.csv"
    path.parent.mkdir(parents=True)
    path.write_text(TABLE)
    return path


def test_errors_stand_at_their_phones(table):
    nan = np.nan
    for task, expected in (
        ("across", [[nan, 12.25, 55.5], [8, nan, nan], [0, nan, nan]]),
        ("within", [[nan, 1.5, nan], [2.5, nan, nan], [nan, nan, nan]]),
    ):
        errors = confusions.read(table, task)
        assert list(errors) == list(errors.index) == ["AA", "B", "NA"]
        assert np.array_equal(errors, expected, equal_nan=True)


def test_pairs_that_are_surely_confused_come_first_and_a_few_cells_say_little(table):
    pairs = confusions.surest_first(table, "across")
    assert [pair[:4] for pair in pairs] == [
        ("AA", "B", 12.25, 40), ("AA", "NA", 55.5, 2), ("B", "AA", 8.0, 40), ("NA", "AA", 0.0, 2)
    ]  # fmt: skip
    table.write_text(TABLE + "B,NA,100,1,100,1\nNA,B,20,900,60,900\n")
    assert [pair.error for pair in confusions.surest_first(table, "across")][:2] == [60.0, 12.25]
    assert confusions.surest_first(table, "within")[0].error == 20.0


@given(st.integers(0, 60), st.integers(1, 60))
def test_of_a_share_as_low_as_the_bound_as_many_hits_have_a_chance_of_one_in_forty(hits, n):
    hits = min(hits, n)
    bound = float(confusions.lower_bound(np.array([hits / n]), np.array([n]))[0])
    tail = sum(comb(n, k) * bound**k * (1 - bound) ** (n - k) for k in range(hits, n + 1))
    assert tail == pytest.approx(0.025 if hits else 1.0, rel=1e-6)


def test_the_picture_shows_each_error_in_its_place(table):
    errors = confusions.ordered(confusions.read(table, "across"))
    axes = confusions.heat_map(errors, "quant2", PAGE).axes[0]
    phones = [label.get_text() for label in axes.get_yticklabels()]
    assert phones == [label.get_text() for label in axes.get_xticklabels()]
    texts = {tuple(phones[round(i)] for i in text.get_position()[::-1]): text.get_text() for text in axes.texts}
    assert texts == {("AA", "B"): "12", ("AA", "NA"): "56"}, "those of at least 10 are written out"
    (image,) = axes.images
    values = pd.DataFrame(np.ma.filled(image.get_array(), np.nan), phones, phones)
    assert values.equals(errors.set_axis(phones).set_axis(phones, axis="columns"))
    assert image.get_clim() == (0, 50)
    assert image.cmap(0.0)[:3] > image.cmap(0.5)[:3] > image.cmap(1.0)[:3], "ever darker: no hue is needed to read it"
    assert len(axes.collections[0].get_offsets()) == 5, "dots: three of the diagonal, two that nothing compares"
    assert axes.get_title(loc="left") == "quant2"


@given(st.integers(1, 12), st.integers(0, 2**32 - 1))
def test_order_changes_nothing_but_places(n, seed):
    rng = np.random.default_rng(seed)
    errors = np.where(rng.random((n, n)) < 0.3, np.nan, rng.uniform(0, 100, (n, n)))
    errors[0, 0] = 3.0
    table = pd.DataFrame(errors, [f"p{i}" for i in range(n)], [f"p{i}" for i in range(n)])
    ordered = confusions.ordered(table)
    assert sorted(ordered) == sorted(table)
    assert list(ordered) == list(ordered.index)
    assert ordered.equals(table.loc[list(ordered), list(ordered)])


def test_confused_phones_stand_side_by_side():
    errors = np.full((4, 4), 1.0)
    for i, j in ((0, 2), (1, 3)):
        errors[i, j] = errors[j, i] = 40
    ordered = "".join(confusions.ordered(pd.DataFrame(errors, list("axby"), list("axby"))))
    assert any(pair in ordered for pair in ("ab", "ba"))
    assert any(pair in ordered for pair in ("xy", "yx"))


def test_the_command(table, tmp_path):
    arguments = ["figure", "confusions", f"--results={tmp_path / 'results'}", "--split=test", "--task=across"]
    arguments += ["--title=quant2", f"--out={tmp_path / 'c.svg'}"]
    result = CliRunner().invoke(app, [*arguments, "--layers=none-2/quant2"])
    assert result.exit_code == 0, result.output
    assert "the most surely confused is AA with B, 12 % of 40 cells" in (tmp_path / "c.svg").read_text()
    result = CliRunner().invoke(app, [*arguments, "--layers=quant2", "--overwrite"])
    assert "give one layer and its folder" in str(result.exception)


@pytest.mark.parametrize(
    ("text", "task", "message"),
    [
        (None, "across", "no such file"),
        ("", "across", "no table of ABX errors"),
        ("a,b\n1,2\n", "across", "no table of ABX errors"),
        (HEADER + "A,B,1,2,x,0\n", "across", "no table of ABX errors"),
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
