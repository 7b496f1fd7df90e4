"""Tables for a paper: golden texts in tests/golden/tables, and what LaTeX needs to take them."""

import re
from pathlib import Path

import pandas as pd
import pytest
from hypothesis import given
from hypothesis import strategies as st
from report.made_up import DIFFERENCES

from resdavenet_vq.errors import InputError
from resdavenet_vq.evaluation.comparison import compare
from resdavenet_vq.evaluation.summary import read_scores
from resdavenet_vq.files import read_json
from resdavenet_vq.report import tables

GOLDEN = Path(__file__).resolve().parents[1] / "golden/tables"
KINDS = ("retrieval", "abx", "words", "differences")
FORMATS = {"latex": "tex", "markdown": "md", "csv": "csv"}


def compared(scores):
    """Those of one lineage have intervals, as other columns of the table have them."""
    table = compare(scores, {})
    bounded = table["lineage"] == "{}->{2}"
    return table.assign(low=(0.9 * table["mean"]).where(bounded), high=(1.25 * table["mean"]).where(bounded))


def golden_table(kind, form):
    comparison = compared(read_scores(GOLDEN / "scores.csv"))
    if kind == "differences":
        return tables.differences(pd.DataFrame(DIFFERENCES), form)
    return tables.text(comparison, read_json(GOLDEN / "conditions.json")[kind], kind, form)


@pytest.mark.parametrize("kind", KINDS)
@pytest.mark.parametrize("form", FORMATS)
def test_the_text_is_the_golden_one(kind, form):
    assert golden_table(kind, form) == (GOLDEN / f"{kind}.{FORMATS[form]}").read_text(encoding="utf-8")


@pytest.mark.parametrize("kind", KINDS)
def test_latex_takes_the_table(kind):
    text = re.sub(r"(?m)^%.*\n", "", golden_table(kind, "latex"))
    assert text.isascii()
    (columns,) = re.findall(r"\\begin\{tabular\}\{([lr]+)\}", text)
    for line in text.splitlines():
        bare = re.sub(r"\\[\\{}%&_#$]", "", line)
        assert (bare.count("{"), bare.count("$") % 2) == (bare.count("}"), 0)
        assert not re.search(r"[%#_~^<>|]", bare), line
        if line.endswith(r"\\"):
            cells = len(re.findall(r"(?<!\\)&", line)) + 1
            spanned = sum(int(n) - 1 for n in re.findall(r"\\multicolumn\{(\d+)\}", line))
            assert cells + spanned == len(columns), line
    rules = [r"\toprule", r"\midrule", r"\bottomrule"]
    assert [line for line in text.splitlines() if line in rules] == rules
    assert text.endswith("\\end{tabular}\n")


@given(st.text())
def test_latex_of_any_text_has_no_bare_special_character(text):
    bare = re.sub(
        r"\\(textbackslash|textasciitilde|textasciicircum)\{\}|\$(\\rightarrow|\\pm|[<>|])\$|\\[&%$#_{}]",
        "",
        tables.latex(text),
    )
    assert not set(bare) & set("&%$#_{}~^<>|\\")


def test_a_table_without_scores_is_refused():
    scores = read_scores(GOLDEN / "scores.csv")
    abx = compared(scores[scores["task"] == "abx"])
    assert "| {} | conv2 |  | 8.00 |" in tables.text(abx, [], "abx", "markdown")
    with pytest.raises(InputError, match="no scores of words; run the target `words`"):
        tables.text(abx, [], "words", "latex")
