"""Tables for a paper, from comparison.csv: retrieval, ABX and words, as LaTeX, Markdown or CSV.

A cell is the score, or mean ± standard deviation where a lineage was trained with several seeds. The conditions of the
scores stand above a table (LaTeX: as comments). LaTeX needs the package booktabs, and nothing else.
"""

from __future__ import annotations

import csv
import io
import re
from collections.abc import Iterable, Sequence
from typing import Any, Literal, NamedTuple

import pandas as pd

from resdavenet_vq.errors import InputError
from resdavenet_vq.results import Results, Task

Format = Literal["latex", "markdown", "csv"]

type Key = tuple[str, str, str, str]
"""Task, split, condition and score."""


class Spread(NamedTuple):
    """A score over seeds."""

    mean: float
    std: float
    n: int


class Column(NamedTuple):
    """One score in a table: its group and its name in the head, and how it is written."""

    group: str
    name: str
    key: Key
    factor: float = 1.0
    decimals: int = 1


class Row(NamedTuple):
    """The cells that name a row (lineage, perhaps layer and frame in milliseconds), and its scores."""

    names: tuple[str, ...]
    scores: dict[Key, Spread]


class Table(NamedTuple):
    """The content of a table, whatever its format."""

    names: tuple[str, ...]
    """Heads of the columns that name a row."""
    columns: tuple[Column, ...]
    rows: tuple[Row, ...]
    conditions: tuple[str, ...]


def table(results: Results, kind: Task, form: Format) -> str:
    """The text of a table of some results. Raises InputError where there are no such scores."""
    return text(results.comparison, results.conditions(kind), kind, form)


def text(comparison: pd.DataFrame, conditions: Sequence[dict[str, Any]], kind: Task, form: Format) -> str:
    """The text of a table of a comparison.csv; `conditions` are those of the score files."""
    content = {"retrieval": _retrieval, "abx": _abx, "words": _words}[kind](comparison, conditions)
    if not content.rows:
        raise InputError(f"comparison.csv: has no scores of {kind}; run the target `{kind}`, and summarize again")
    return {"latex": _latex, "markdown": _markdown, "csv": _csv}[form](content)


# -- what the tables show -------------------------------------------------------------------------------------


def _retrieval(comparison: pd.DataFrame, conditions: Sequence[dict[str, Any]]) -> Table:
    """A row for each lineage; R@k in percent."""
    rows = comparison[comparison["task"] == "retrieval"]
    names = sorted({s for s in rows["score"] if s.startswith("recall_at_")}, key=lambda name: (len(name), name))
    cells = [
        (title, condition, name)
        for title, condition in (("Image → speech", "image_to_speech"), ("Speech → image", "speech_to_image"))
        for name in names
    ]
    columns = [
        Column(title, f"R@{name.removeprefix('recall_at_')}", ("retrieval", split, condition, name), 100)
        for split in dict.fromkeys(rows["split"])
        for title, condition, name in (*cells, ("Mean", "mean", "recall_at_10"))
    ]
    said = _texts(conditions, "{images} images and {captions} captions of the split {split}")
    return _table(("Model",), columns, comparison, ["R@k in percent", *said])


def _abx(comparison: pd.DataFrame, conditions: Sequence[dict[str, Any]]) -> Table:
    """A row for each lineage and layer, the raw log-mel features first; errors in percent, bitrates in bit/s."""
    columns = [
        column
        for split in dict.fromkeys(comparison["split"][comparison["task"] == "abx"])
        for column in (
            Column(split, "within", ("abx", split, "within", "error"), 1, 2),
            Column(split, "across", ("abx", split, "across", "error"), 1, 2),
            Column(split, "bit/s", ("bitrate", split, "plain", "bits_per_second"), 1, 1),
        )
    ]
    distances = _texts(conditions, "{distance}")
    return _table(("Model", "Layer", "Frame (ms)"), columns, comparison, ["ABX error in percent", *distances])


def _words(comparison: pd.DataFrame, conditions: Sequence[dict[str, Any]]) -> Table:
    """A row for each lineage and quantizer; counts of words, F1 in percent."""
    keys = comparison[["task", "split", "condition", "score"]].drop_duplicates().itertuples(index=False, name=None)
    parts = {
        ("words", "published", "words_above_f1"): ("", "detected", 1.0, 0),
        ("words", "published", "mean_f1"): ("", "mean F1", 100.0, 1),
        ("words", "held_out", "words_above_f1"): ("Held out", "detected", 1.0, 0),
        ("words", "held_out", "mean_f1"): ("Held out", "mean F1", 100.0, 1),
        ("words", "published", "chance_words_above_f1"): ("By chance", "detected", 1.0, 0),
        ("words", "published", "chance_mean_f1"): ("By chance", "mean F1", 100.0, 1),
        ("units", "", "codes_used"): ("Codes", "used", 1.0, 0),
        ("units", "", "perplexity"): ("Codes", "perplexity", 1.0, 0),
    }
    by_part = {(task, condition, score): (task, split, condition, score) for task, split, condition, score in keys}
    columns = [
        Column(group, name, by_part[part], factor, decimals)
        for part, (group, name, factor, decimals) in parts.items()
        if part in by_part
    ]
    said = _texts(
        conditions,
        "detected: F1 of at least {f1_threshold}; mean F1 in percent over the best {best} words; "
        "split {split}, held out {held_out_split}",
    )
    return _table(("Model", "Layer", "Frame (ms)"), columns, comparison, said)


def _table(
    names: tuple[str, ...], candidates: Sequence[Column], comparison: pd.DataFrame, conditions: Iterable[str]
) -> Table:
    """The rows and columns that have a score."""
    layers: dict[tuple[str, str], dict[Key, Spread]] = {}
    for s in comparison.to_dict("records"):
        layer = layers.setdefault((s["lineage"], s["layer"]), {})
        layer[s["task"], s["split"], s["condition"], s["score"]] = Spread(s["mean"], s["std"], s["n"])
    rows = []
    for (lineage, name), scores in layers.items():
        if any(column.key in scores for column in candidates):
            period = scores.get(("layer", "", "", "frame_period"))
            rows.append(Row((lineage, name, f"{1000 * period.mean:g}" if period else "")[: len(names)], scores))
    columns = tuple(column for column in candidates if any(column.key in row.scores for row in rows))
    seeds = sorted({row.scores[c.key].n for row in rows for c in columns if c.key in row.scores} - {1})
    spread = [f"mean ± standard deviation (n - 1) over {' or '.join(map(str, seeds))} seeds"] if seeds else []
    return Table(names, columns, tuple(rows), (*conditions, *spread))


def _texts(conditions: Iterable[dict[str, Any]], text: str) -> list[str]:
    """The conditions of the score files that have them, each text once."""
    names = re.findall(r"{(\w+)}", text)
    return list(dict.fromkeys(text.format(**c) for c in conditions if all(name in c for name in names)))


# -- how they are written -------------------------------------------------------------------------------------


def _cell(column: Column, row: Row, plus_minus: str, missing: str) -> str:
    """A score as it is read."""
    spread = row.scores.get(column.key)
    if spread is None:
        return missing
    decimals = column.decimals if spread.n == 1 else max(1, column.decimals)
    numbers = [spread.mean] if spread.n == 1 else [spread.mean, spread.std]
    return plus_minus.join(f"{column.factor * number:.{decimals}f}" for number in numbers)


def _latex(table: Table) -> str:
    width = len(table.names)
    lines = [f"% {' '.join(line.split())}" for line in table.conditions]
    lines += [
        r"\begin{tabular}{" + "l" * min(2, width) + "r" * max(0, width - 2) + "r" * len(table.columns) + "}",
        r"\toprule",
    ]
    groups = _groups(table.columns)
    if any(group for group, _ in groups):
        lines.append(
            " & ".join([""] * width + [rf"\multicolumn{{{n}}}{{c}}{{{latex(group)}}}" for group, n in groups]) + r" \\"
        )
        rules, start = [], width + 1
        for group, n in groups:
            rules += [rf"\cmidrule(lr){{{start}-{start + n - 1}}}"] if group else []
            start += n
        lines.append(" ".join(rules))
    lines += [" & ".join(map(latex, (*table.names, *(column.name for column in table.columns)))) + r" \\", r"\midrule"]
    for before, row in zip([None, *table.rows], table.rows, strict=False):
        same = before is not None and before.names[0] == row.names[0]
        if before is not None and len(table.names) > 1 and not same:
            lines.append(r"\addlinespace")
        names = ["" if i == 0 and same else latex(name) for i, name in enumerate(row.names)]
        lines.append(" & ".join([*names, *(_cell(column, row, r" $\pm$ ", "--") for column in table.columns)]) + r" \\")
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
    """Scores with all their digits; beside the means of several seeds their spread and number."""
    several = any(row.scores[c.key].n > 1 for row in table.rows for c in table.columns if c.key in row.scores)
    parts = ("", "std", "n") if several else ("",)
    output = io.StringIO()
    writer = csv.writer(output, lineterminator="\n")
    heads = [" ".join(filter(None, (*column.key, part))) for column in table.columns for part in parts]
    writer.writerow([*(name.split()[0].lower() for name in table.names), *heads])
    for row in table.rows:
        cells: list[object] = []
        for column in table.columns:
            spread = row.scores.get(column.key)
            values = (spread.mean, "" if spread.n == 1 else spread.std, spread.n) if spread else ("", "", "")
            cells += values[: len(parts)]
        writer.writerow([*row.names, *cells])
    return output.getvalue()


def _groups(columns: Iterable[Column]) -> list[tuple[str, int]]:
    """Adjacent columns of one group: its name and their number."""
    groups: list[tuple[str, int]] = []
    for column in columns:
        if groups and groups[-1][0] == column.group:
            groups[-1] = (column.group, groups[-1][1] + 1)
        else:
            groups.append((column.group, 1))
    return groups
