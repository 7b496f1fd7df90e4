"""Tables for a paper, from `summary.csv`: retrieval, ABX and words, as LaTeX, Markdown or CSV.

A cell is the number, or mean ± standard deviation where a lineage was trained with several seeds. The conditions that the
numbers hold under stand above a table (LaTeX: as comments). LaTeX needs the package booktabs, and nothing else.
"""

from __future__ import annotations

import csv
import io
import re
from collections.abc import Callable, Iterable, Sequence
from pathlib import Path
from typing import Literal, NamedTuple

from resdavenet_vq.errors import InputError
from resdavenet_vq.evaluation import comparison
from resdavenet_vq.evaluation.comparison import Compared, Spread

Kind = Literal["retrieval", "abx", "words"]
Format = Literal["latex", "markdown", "csv"]


class Column(NamedTuple):
    """One number in a table: its group and its name in the head, the summary's column, and how it is written."""

    group: str
    name: str
    number: str
    factor: float = 1.0
    decimals: int = 1


class Table(NamedTuple):
    """What a table says, before it is written in a format."""

    names: tuple[str, ...]
    """Heads of the columns that name a row: model, and perhaps layer and frame."""
    columns: tuple[Column, ...]
    rows: tuple[Compared, ...]
    conditions: tuple[str, ...]


def table(summary: Path, kind: Kind, form: Format) -> str:
    """The text of a table of a `summary.csv`. Raises InputError where it has no such scores."""
    compared = comparison.read(summary)
    made = {"retrieval": _retrieval, "abx": _abx, "words": _words}[kind](compared)
    if not made.rows:
        raise InputError(f"{summary}: has no scores of {kind}; run the target `{kind}`, and summarise again")
    return {"latex": _latex, "markdown": _markdown, "csv": _csv}[form](made)


# -- what the tables show -------------------------------------------------------------------------------------


def _retrieval(compared: Sequence[Compared]) -> Table:
    """A row for each lineage; R@k in percent."""
    directions = (("Image → speech", "image_to_speech"), ("Speech → image", "speech_to_image"), ("Mean", "mean"))
    ks = sorted(
        {int(n) for c in compared for name in c.numbers for n in re.findall(r"^\w+_to_\w+?_recall_at_(\d+)$", name)}
    )
    wanted = [Column(title, f"R@{k}", f"{way}_recall_at_{k}", 100) for title, way in directions for k in ks]
    conditions = _said(
        compared, "{retrieval_images} images and {retrieval_captions} captions of the split {retrieval_split}"
    )
    return _table(("Model",), wanted, comparison.of_lineages(compared), ["R@k in percent", *conditions])


def _abx(compared: Sequence[Compared]) -> Table:
    """A row for each lineage and layer, the raw log-mel features first; errors in percent, bitrates in bit/s."""
    splits = dict.fromkeys(
        name[4:].rpartition("_")[0] for c in compared for name in c.numbers if name.startswith("abx_")
    )
    wanted = [
        column
        for split in splits
        for column in (
            Column(split, "within", f"abx_{split}_within", 1, 2),
            Column(split, "across", f"abx_{split}_across", 1, 2),
            Column(split, "bit/s", f"bitrate_{split}", 1, 1),
        )
    ]
    return _table(
        ("Model", "Layer", "Frame (ms)"), wanted, compared, ["ABX error in percent", *_said(compared, "{abx_distance}")]
    )


def _words(compared: Sequence[Compared]) -> Table:
    """A row for each lineage and quantizer; counts of words, F1 in percent."""
    wanted = [
        Column(title, name, f"words_{part}_{number}", factor, decimals)
        for title, part in (("", "published"), ("Held out", "held_out"), ("By chance", "published_chance"))
        for name, number, factor, decimals in (("detected", "words_above_f1", 1.0, 0), ("mean F1", "mean_f1", 100.0, 1))
    ]
    wanted += [
        Column("Codes", "used", "words_units_codes_used", 1, 0),
        Column("Codes", "perplexity", "words_units_perplexity", 1, 0),
    ]
    said = "detected: F1 of at least {words_f1_threshold}; mean F1 in percent over the best {words_best} words; split {words_split}, held out {words_held_out_split}"
    return _table(("Model", "Layer", "Frame (ms)"), wanted, compared, _said(compared, said))


def _table(
    names: Sequence[str], wanted: Iterable[Column], compared: Iterable[Compared], conditions: Iterable[str]
) -> Table:
    """Rows and columns that have a number."""
    asked = tuple(wanted)
    rows = tuple(c for c in compared if any(column.number in c.numbers for column in asked))
    columns = tuple(column for column in asked if any(column.number in c.numbers for c in rows))
    seeds = sorted({c.numbers[column.number].n for c in rows for column in columns if column.number in c.numbers} - {1})
    spread = [f"mean ± standard deviation (n - 1) over {' or '.join(map(str, seeds))} seeds"] if seeds else []
    return Table(tuple(names), columns, rows, (*conditions, *spread))


def _said(compared: Iterable[Compared], text: str) -> list[str]:
    """The conditions of the rows that have them, each text once."""
    names = re.findall(r"{(\w+)}", text)
    return list(
        dict.fromkeys(text.format(**c.conditions) for c in compared if all(c.conditions.get(name) for name in names))
    )


# -- how they are written -------------------------------------------------------------------------------------


def _cell(column: Column, row: Compared, plus_minus: str, missing: str) -> str:
    """A number as it is read."""
    spread = row.numbers.get(column.number)
    if spread is None:
        return missing
    decimals = column.decimals if spread.n == 1 else max(1, column.decimals)
    values = [spread.mean] if spread.std is None else [spread.mean, spread.std]
    return plus_minus.join(f"{column.factor * value:.{decimals}f}" for value in values)


def _named(made: Table, row: Compared) -> list[str]:
    """The cells that name a row: notation, layer, and milliseconds."""
    frame = f"{1000 * float(row.frame_period):g}" if row.frame_period else ""
    return [row.lineage, row.layer, frame][: len(made.names)]


def _latex(made: Table) -> str:
    width = len(made.names)
    lines = [f"% {' '.join(line.split())}" for line in made.conditions]
    lines += [
        r"\begin{tabular}{" + "l" * min(2, width) + "r" * max(0, width - 2) + "r" * len(made.columns) + "}",
        r"\toprule",
    ]
    groups = _groups(made.columns)
    if any(group for group, _ in groups):
        lines.append(
            " & ".join([""] * width + [rf"\multicolumn{{{n}}}{{c}}{{{latex(group)}}}" for group, n in groups]) + r" \\"
        )
        rules, start = [], width + 1
        for group, n in groups:
            rules += [rf"\cmidrule(lr){{{start}-{start + n - 1}}}"] if group else []
            start += n
        lines.append(" ".join(rules))
    lines += [" & ".join(map(latex, (*made.names, *(column.name for column in made.columns)))) + r" \\", r"\midrule"]
    for before, row in zip([None, *made.rows], made.rows, strict=False):
        if before is not None and len(made.names) > 1 and before.lineage != row.lineage:
            lines.append(r"\addlinespace")
        named = [
            "" if i == 0 and before is not None and before.lineage == row.lineage else latex(n)
            for i, n in enumerate(_named(made, row))
        ]
        lines.append(" & ".join([*named, *(_cell(column, row, r" $\pm$ ", "--") for column in made.columns)]) + r" \\")
    return "\n".join([*lines, r"\bottomrule", r"\end{tabular}", ""])


def latex(text: str) -> str:
    """Plain text as LaTeX: what means something there is escaped, and arrows, of `->` too, and ± become mathematics."""
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


def _markdown(made: Table) -> str:
    heads = [*made.names, *(f"{column.group} {column.name}".strip() for column in made.columns)]
    body = [[*_named(made, row), *(_cell(column, row, " ± ", "–") for column in made.columns)] for row in made.rows]
    marks = ["---"] * len(made.names) + ["---:"] * len(made.columns)
    lines = ["| " + " | ".join(cell.replace("|", "\\|") for cell in row) + " |" for row in (heads, marks, *body)]
    return "\n".join([*(f"{line}  " for line in made.conditions), "", *lines, ""])


def _csv(made: Table) -> str:
    """Numbers with all their digits; beside a mean of several seeds its spread and how many."""
    several = any(
        _spread(row, column).n > 1 for row in made.rows for column in made.columns if column.number in row.numbers
    )
    parts: dict[str, Callable[[Spread], object]] = {"": lambda spread: spread.mean}
    if several:
        parts |= {"_std": lambda spread: "" if spread.std is None else spread.std, "_n": lambda spread: spread.n}
    text = io.StringIO()
    writer = csv.writer(text, lineterminator="\n")
    names = [name.split()[0].lower() for name in made.names]
    writer.writerow([*names, *(column.number + part for column in made.columns for part in parts)])
    for row in made.rows:
        numbers = [row.numbers.get(column.number) for column in made.columns]
        writer.writerow([*_named(made, row), *("" if n is None else of(n) for n in numbers for of in parts.values())])
    return text.getvalue()


def _spread(row: Compared, column: Column) -> Spread:
    return row.numbers[column.number]


def _groups(columns: Iterable[Column]) -> list[tuple[str, int]]:
    """Neighbouring columns of one group: its name and how many they are."""
    groups: list[tuple[str, int]] = []
    for column in columns:
        if groups and groups[-1][0] == column.group:
            groups[-1] = (column.group, groups[-1][1] + 1)
        else:
            groups.append((column.group, 1))
    return groups
