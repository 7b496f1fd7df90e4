"""Tables for a paper, as LaTeX, Markdown or CSV: retrieval, ABX and words from comparison.csv, and differences.csv.

A cell is the score, or its mean over seeds, with its 95 % interval: `54.0 [50.1, 57.8]`; where there is no interval and a
lineage was trained with several seeds, mean ± standard deviation. CSV has both. A score that is not available says what it
needs: `needs aligned words`. The conditions of the scores stand above a table (LaTeX: as comments). LaTeX needs the
package booktabs, and nothing else.
"""

from __future__ import annotations

import re
from collections.abc import Collection, Sequence
from itertools import groupby
from typing import Any, Literal, NamedTuple

import pandas as pd

from resdavenet_vq.errors import InputError
from resdavenet_vq.gaps import Gap, Place, Task
from resdavenet_vq.report import columns as explained
from resdavenet_vq.results import Layer

Format = Literal["latex", "markdown", "csv"]

type Key = tuple[str, str, str, str]
"""Task, split, condition and score."""


class Column(NamedTuple):
    """One score in a table: its group and its name in the head, and how it is written."""

    group: str
    name: str
    key: Key
    factor: float = 1.0
    decimals: int = 1
    signed: bool = False
    """Whether a positive number has its sign."""

    @property
    def place(self) -> Place:
        """What gaps of it are called."""
        return self.key[:3]


class Row(NamedTuple):
    """The cells that name a row (lineage, perhaps layer and frame in milliseconds), and its rows of comparison.csv."""

    names: tuple[str, ...]
    scores: dict[Key, Any]
    needs: dict[Place, str]
    """What scores that are not available need."""


class Difference(NamedTuple):
    """A paired difference, as a row of comparison.csv is a score."""

    mean: float
    low: float
    high: float
    n: int = 1


DIFFERENCE = Column("", "Difference", ("", "", "", "difference"), signed=True)


class Table(NamedTuple):
    """The content of a table, whatever its format."""

    names: tuple[str, ...]
    """Heads of the columns that name a row."""
    left: int
    """How many of them hold texts, and begin at the left."""
    columns: list[Column]
    rows: list[Row]
    conditions: list[str]


LAYER = ("Model", "Layer", "Frame (ms)")

INTERVAL = "in brackets the 95 % interval"


def text(
    comparison: pd.DataFrame,
    conditions: Sequence[dict[str, Any]],
    kind: Task,
    form: Format,
    gaps: Collection[Gap] = (),
) -> str:
    """The text of a table of a comparison.csv; `conditions` are those of the score files, `gaps` what they lack.

    Raises InputError where there are neither such scores nor gaps.
    """
    own = [gap for gap in gaps if gap.task == kind]
    content = {"retrieval": _retrieval, "abx": _abx, "words": _words}[kind](comparison, conditions, own)
    if not content.rows:
        raise InputError(f"comparison.csv: has no scores of {kind}; run the target `{kind}`, and summarize again")
    return {"latex": _latex, "markdown": _markdown, "csv": _csv}[form](content)


def differences(table: pd.DataFrame, form: Format) -> str:
    """The text of a table of paired differences, as `Results.differences` has them; shares in points of percent."""
    if form == "csv":
        return table.to_csv(index=False, lineterminator="\n")
    rows = []
    for row in table.to_dict("records"):
        task, split, condition, score = (str(row[name]) for name in ("task", "split", "condition", "score"))
        column, factor = explained.column(task, "", condition, score), explained.in_percent(task, "", condition, score)
        names = f"{column.group}: {column.label.lstrip(', ')}", split, row["layer"], row["first"], row["second"]
        value, low, high = (factor * float(row[name]) for name in ("value", "low", "high"))
        number = Difference(value, low, high)
        rows.append(Row(tuple(map(str, names)), {DIFFERENCE.key: number}, {}))
    about = ["the first less the second, the same utterances drawn for both", INTERVAL]
    content = Table(("Score", "Split", "Layer", "First", "Second"), 5, [DIFFERENCE], rows, about)
    return (_latex if form == "latex" else _markdown)(content)


# -- what the tables show -------------------------------------------------------------------------------------


def _retrieval(comparison: pd.DataFrame, conditions: Sequence[dict[str, Any]], gaps: Sequence[Gap]) -> Table:
    """A row for each lineage; R@k in percent."""
    rows = comparison[comparison["task"] == "retrieval"]
    names = sorted({s for s in rows["score"] if s.startswith("recall_at_")}, key=lambda name: (len(name), name))
    cells = [("Image → speech", "image_to_speech", name) for name in names]
    cells += [("Speech → image", "speech_to_image", name) for name in names]
    columns = [
        Column(title, f"R@{name.removeprefix('recall_at_')}", ("retrieval", split, condition, name), 100)
        for split in _splits(rows, gaps)
        for title, condition, name in (*cells, ("Mean", "mean", "recall_at_10"))
    ]
    about = _texts(conditions, "{images} images and {captions} captions of the split {split}")
    return _table(("Model",), columns, comparison, ["R@k in percent", *about], gaps)


def _abx(comparison: pd.DataFrame, conditions: Sequence[dict[str, Any]], gaps: Sequence[Gap]) -> Table:
    """A row for each system and layer, the log-mel features first; errors in percent, bitrates in bit/s."""
    rows = comparison[comparison["task"] == "abx"]
    columns = [
        column
        for split in _splits(rows, gaps)
        for column in (
            *(
                Column(split, condition.replace("_", " "), ("abx", split, condition, "error"), 1, 2)
                for condition in dict.fromkeys(
                    [
                        *rows["condition"][(rows["split"] == split) & (rows["score"] == "error")],
                        *(gap.condition for gap in gaps if gap.split == split),
                    ]
                )
            ),
            Column(split, "bit/s", ("bitrate", split, "plain", "bits_per_second"), 1, 1),
            Column(split, "units/s", ("bitrate", split, "segment", "units_per_second"), 1, 1),
        )
    ]
    return _table(LAYER, columns, comparison, ["ABX error in percent", *_texts(conditions, "{distance}")], gaps)


def _words(comparison: pd.DataFrame, conditions: Sequence[dict[str, Any]], gaps: Sequence[Gap]) -> Table:
    """A row for each lineage and quantizer; counts of words, F1 in percent."""
    columns = [
        Column(group, name, (task, split, condition, score), factor, decimals)
        for group, name, task, condition, score, factor, decimals in (
            ("", "detected", "words", "published", "words_above_f1", 1, 0),
            ("", "expected", "words", "published", "expected_words_above_f1", 1, 1),
            ("", "mean F1", "words", "published", "mean_f1", 100, 1),
            ("Held out", "detected", "words", "held_out", "words_above_f1", 1, 0),
            ("Held out", "expected", "words", "held_out", "expected_words_above_f1", 1, 1),
            ("Held out", "mean F1", "words", "held_out", "mean_f1", 100, 1),
            ("By chance", "detected", "words", "published", "chance_words_above_f1", 1, 0),
            ("By chance", "mean F1", "words", "published", "chance_mean_f1", 100, 1),
            ("Codes", "used", "units", "", "codes_used", 1, 0),
            ("Codes", "perplexity", "units", "", "perplexity", 1, 0),
        )
        for split in _splits(comparison, gaps)
    ]
    about = _texts(
        conditions,
        "detected: F1 of at least {f1_threshold}; mean F1 in percent over the best {best} words; "
        "split {split}, held out {held_out_split}",
    )
    return _table(LAYER, columns, comparison, about, gaps)


def _splits(rows: pd.DataFrame, gaps: Sequence[Gap]) -> list[str]:
    """The splits of some scores, and then those that have gaps alone."""
    return list(dict.fromkeys([*rows["split"], *(gap.split for gap in gaps)]))


def _table(
    names: tuple[str, ...],
    candidates: Sequence[Column],
    comparison: pd.DataFrame,
    conditions: list[str],
    gaps: Sequence[Gap],
) -> Table:
    """The rows and columns that have a score or a gap; of a place where nothing is available there is one column."""
    needs: dict[Layer, dict[Place, str]] = {}
    for gap in gaps:
        needs.setdefault((gap.lineage, gap.layer), {})[gap.place] = gap.needs
    groups: dict[Any, pd.DataFrame] = dict(iter(comparison.groupby(["lineage", "layer"], sort=False)))
    rows = []
    for lineage, layer in dict.fromkeys([*groups, *needs]):
        group = groups.get((lineage, layer), comparison[:0])
        scores: dict[Any, Any] = {(s.task, s.split, s.condition, s.score): s for s in group.itertuples()}
        missing = needs.get((lineage, layer), {})
        if any(column.key in scores or column.place in missing for column in candidates):
            period = scores.get(("layer", "", "", "frame_period"))
            cells = (str(lineage), str(layer), f"{1000 * period.mean:g}" if period else "")
            rows.append(Row(cells[: len(names)], scores, missing))
    scored = [column for column in candidates if any(column.key in row.scores for row in rows)]
    empty = {gap.place for gap in gaps} - {column.place for column in scored}
    first = {column.place: column for column in reversed(candidates) if column.place in empty}
    columns = [column for column in candidates if column in scored or column in first.values()]
    seeds = sorted({row.scores[c.key].n for row in rows for c in columns if c.key in row.scores} - {1})
    unbounded = any(c.key in row.scores and not _bounds(row.scores[c.key]) for row in rows for c in columns)
    what = "mean ± standard deviation (n - 1)" if unbounded else "mean"
    spread = [f"{what} over {' or '.join(map(str, seeds))} seeds"] if seeds else []
    bounded = any(c.key in row.scores and _bounds(row.scores[c.key]) for row in rows for c in columns)
    return Table(names, min(2, len(names)), columns, rows, [*conditions, *[INTERVAL] * bounded, *spread])


def _texts(conditions: Sequence[dict[str, Any]], text: str) -> list[str]:
    """The conditions of the score files that have them, each text once."""
    names = re.findall(r"{(\w+)}", text)
    return list(dict.fromkeys(text.format(**c) for c in conditions if all(name in c for name in names)))


# -- how they are written -------------------------------------------------------------------------------------


def _cell(column: Column, row: Row, plus_minus: str, missing: str) -> str:
    """A score as it is read."""
    score = row.scores.get(column.key)
    if score is None:
        return row.needs.get(column.place, missing)
    bounds, several = _bounds(score), score.n > 1
    decimals = max(1, column.decimals) if several or bounds else column.decimals
    form = f"{'+' if column.signed else ''}.{decimals}f"
    if bounds:
        low, high = (f"{column.factor * bound:{form}}" for bound in bounds)
        return f"{column.factor * score.mean:{form}} [{low}, {high}]"
    numbers = [score.mean, score.std] if several else [score.mean]
    return plus_minus.join(f"{column.factor * number:{form}}" for number in numbers)


def _bounds(score: Any) -> tuple[float, float] | None:
    """The interval of a row of comparison.csv, if there is one."""
    return None if pd.isna(score.low) or pd.isna(score.high) else (score.low, score.high)


def _latex(table: Table) -> str:
    width, left, columns = len(table.names), table.left, table.columns
    lines = [f"% {' '.join(line.split())}" for line in table.conditions]
    lines += [rf"\begin{{tabular}}{{{'l' * left}{'r' * (width - left + len(columns))}}}", r"\toprule"]
    groups = [(group, len(list(members))) for group, members in groupby(columns, lambda column: column.group)]
    if any(group for group, _ in groups):
        heads = [rf"\multicolumn{{{n}}}{{c}}{{{latex(group)}}}" for group, n in groups]
        lines.append(" & ".join([""] * width + heads) + r" \\")
        rules, start = [], width + 1
        for group, n in groups:
            rules += [rf"\cmidrule(lr){{{start}-{start + n - 1}}}"] if group else []
            start += n
        lines.append(" ".join(rules))
    lines += [" & ".join(map(latex, (*table.names, *(column.name for column in columns)))) + r" \\", r"\midrule"]
    for before, row in zip([None, *table.rows], table.rows, strict=False):
        same = before is not None and before.names[0] == row.names[0]
        if before and width > 1 and not same:
            lines.append(r"\addlinespace")
        names = ["" if i == 0 and same else latex(name) for i, name in enumerate(row.names)]
        lines.append(" & ".join([*names, *(_cell(column, row, r" $\pm$ ", "--") for column in columns)]) + r" \\")
    return "\n".join([*lines, r"\bottomrule", r"\end{tabular}", ""])


def latex(text: str) -> str:
    """Plain text as LaTeX: special characters are escaped; →, -> and ± become mathematics."""
    special = (
        {"\\": r"\textbackslash{}", "~": r"\textasciitilde{}", "^": r"\textasciicircum{}"}
        | {c: f"\\{c}" for c in "&%$#_{}"}
        | {c: f"${c}$" for c in "<>|"}
    )
    mathematics = {"->": r"$\rightarrow$", "→": r"$\rightarrow$", "±": r"$\pm$"}
    return re.sub(
        r"\s*(->|→|±)\s*|.",
        lambda m: f" {mathematics[m[1]]} " if m[1] else special.get(m[0], m[0]),
        text,
        flags=re.DOTALL,
    )


def _markdown(table: Table) -> str:
    heads = [*table.names, *(f"{column.group} {column.name}".strip() for column in table.columns)]
    body = [[*row.names, *(_cell(column, row, " ± ", "–") for column in table.columns)] for row in table.rows]
    marks = ["---"] * len(table.names) + ["---:"] * len(table.columns)
    lines = ["| " + " | ".join(cell.replace("|", "\\|") for cell in row) + " |" for row in (heads, marks, *body)]
    return "\n".join([*(f"{line}  " for line in table.conditions), "", *lines, ""])


def _csv(table: Table) -> str:
    """Scores with all their digits; beside them their intervals, and of several seeds the spread and the number."""
    scores = [row.scores[c.key] for row in table.rows for c in table.columns if c.key in row.scores]
    parts = ["mean", *["low", "high"] * any(map(_bounds, scores)), *["std", "n"] * any(s.n > 1 for s in scores)]
    heads = [name.split()[0].lower() for name in table.names]
    heads += [
        " ".join(filter(None, (*column.key, "" if part == "mean" else part)))
        for column in table.columns
        for part in parts
    ]
    rows = []
    for row in table.rows:
        cells: list[object] = [*row.names]
        for column in table.columns:
            if (score := row.scores.get(column.key)) is None:
                cells += [row.needs.get(column.place, ""), *[""] * (len(parts) - 1)]
            else:
                cells += ["" if pd.isna(getattr(score, part)) else getattr(score, part) for part in parts]
        rows.append(cells)
    return pd.DataFrame(rows, columns=heads, dtype=object).to_csv(index=False, lineterminator="\n")
