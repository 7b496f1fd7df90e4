"""Models compared: every headline number of `summary.csv` over the seeds of a lineage.

`comparison.csv` has a row for each lineage and layer: `lineage`, `layer`, `frame_period` (seconds), `seeds` (as many as were
trained; empty for imported models and the baseline, which have one result), and for each number NAME the columns
`NAME_mean`, `NAME_std` (of the sample: divided by n - 1; empty for fewer than two), `NAME_min`, `NAME_max` and `NAME_n`,
in the units of the summary. The standard deviation tells what another seed does; it is no standard error of the mean.
"""

from __future__ import annotations

import csv
import math
import re
import statistics
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

from resdavenet_vq.errors import InputError
from resdavenet_vq.evaluation.summary import WORD_CONDITIONS
from resdavenet_vq.files import atomic_write

HEADLINES = (
    r"mean_(chance_)?recall_at_\d+",
    r"(image_to_speech|speech_to_image)_((chance_)?recall_at_\d+|median_rank)",
    r"matchmap_.+_mean_recall_at_\d+",
    r"abx_.+_(within|across)",
    r"bitrate_.+",
    r"words_(published|held_out)_(chance_)?(words_above_f1|mean_f1)",
    r"words_units_(perplexity|codes_used|top_share)",
)
"""Which columns of the summary are compared."""

CONDITIONS = (
    "frame_period",
    "retrieval_split",
    "retrieval_images",
    "retrieval_captions",
    "abx_representation",
    "abx_distance",
    *(f"words_{name}" for name in WORD_CONDITIONS),
)
"""What must be the same for all seeds of a lineage and layer."""


DESCRIBED = ("mean", "std", "min", "max", "n")
"""Columns of each number."""


@dataclass(frozen=True)
class Spread:
    """One number over seeds, in the order of the summary's rows."""

    values: tuple[float, ...]

    @property
    def n(self) -> int:
        """How many seeds have the number."""
        return len(self.values)

    @property
    def mean(self) -> float:
        """Exact: no order of seeds gives another, and that of one seed is its number."""
        return statistics.fmean(self.values)

    @property
    def std(self) -> float | None:
        """The sample's standard deviation (n - 1); None for one seed."""
        return statistics.stdev(self.values) if self.n > 1 else None


@dataclass(frozen=True)
class Compared:
    """One layer of one lineage."""

    lineage: str
    layer: str
    frame_period: str
    seeds: tuple[str, ...]
    numbers: dict[str, Spread]
    """Every headline number that at least one seed has, in the order of the summary's columns."""
    conditions: dict[str, str]
    """The other columns of the summary, of the first seed."""


def read(summary: Path) -> list[Compared]:
    """The lineages and layers of a `summary.csv`, in its order. Raises InputError naming the file and what is wrong with it."""
    columns, rows = _table(summary)
    groups: dict[tuple[str, str], list[tuple[int, dict[str, str]]]] = {}
    for line, row in enumerate(rows, 2):
        groups.setdefault((row["lineage"], row["layer"]), []).append((line, row))
    headlines = [name for name in columns if any(re.fullmatch(pattern, name) for pattern in HEADLINES)]
    faults = [
        f"{summary}: line {line}: {name} is {row[name]!r}, not a finite number"
        for line, row in enumerate(rows, 2)
        for name in headlines
        if row[name] and not _is_finite(row[name])
    ]
    for (lineage, layer), group in groups.items():
        seeds = [row["seed"] for _, row in group]
        faults += [
            f"{summary}: line {line}: {lineage} {layer} with seed {row['seed'] or 'unknown'} stands in it twice"
            for number, (line, row) in enumerate(group)
            if row["seed"] in seeds[:number]
        ]
        faults += [
            f"{summary}: line {line}: {name} is {row[name]!r}, and {group[0][1][name]!r} with another seed of {lineage} {layer}; score again"
            for line, row in group[1:]
            for name in CONDITIONS
            if row.get(name, "") != group[0][1].get(name, "")
        ]
    if faults:
        raise InputError("\n".join(faults))
    return [_compared([row for _, row in group], headlines) for group in groups.values()]


def of_lineages(compared: Sequence[Compared]) -> list[Compared]:
    """The first row of each lineage, for numbers that all its layers share."""
    first: dict[str, Compared] = {}
    for row in compared:
        first.setdefault(row.lineage, row)
    return list(first.values())


def write(summary: Path, out: Path) -> None:
    """Writes `comparison.csv` of a `summary.csv`."""
    compared = read(summary)
    numbers = [name for name in _table(summary)[0] if any(name in c.numbers for c in compared)]
    table = [
        {"lineage": c.lineage, "layer": c.layer, "frame_period": c.frame_period, "seeds": " ".join(c.seeds)}
        | _numbers(c)
        for c in compared
    ]
    columns = [
        "lineage",
        "layer",
        "frame_period",
        "seeds",
        *(f"{name}_{what}" for name in numbers for what in DESCRIBED),
    ]
    with atomic_write(out) as tmp, tmp.open("w", encoding="utf-8", newline="") as f:
        writer = csv.DictWriter(f, columns, restval="", lineterminator="\n")
        writer.writeheader()
        writer.writerows(table)


def _table(summary: Path) -> tuple[list[str], list[dict[str, str]]]:
    """Columns and rows of a summary.csv."""
    try:
        with summary.open(encoding="utf-8", newline="") as f:
            reader = csv.DictReader(f, restval="")
            columns, rows = list(reader.fieldnames or ()), list(reader)
    except FileNotFoundError:
        raise InputError(f"{summary}: no such file; run the target `report`, or summarise the scores first") from None
    except (UnicodeDecodeError, csv.Error) as e:
        raise InputError(f"{summary}: not a table ({e})") from None
    if missing := [name for name in ("lineage", "seed", "layer") if name not in columns]:
        raise InputError(f"{summary}: has no column {missing[0]!r}; summarise the scores again")
    return columns, rows


def _compared(rows: list[dict[str, str]], headlines: list[str]) -> Compared:
    """The rows of one lineage and layer."""
    first = rows[0]
    known = {name: tuple(float(row[name]) for row in rows if row[name]) for name in headlines}
    return Compared(
        lineage=first["lineage"],
        layer=first["layer"],
        frame_period=first.get("frame_period", ""),
        seeds=tuple(row["seed"] for row in rows if row["seed"]),
        numbers={name: Spread(values) for name, values in known.items() if values},
        conditions={name: value for name, value in first.items() if name not in headlines and name != "seed"},
    )


def _numbers(row: Compared) -> dict[str, str]:
    """The columns of its numbers, all digits."""
    columns: dict[str, str] = {}
    for name, spread in row.numbers.items():
        std = "" if spread.std is None else spread.std
        described = (spread.mean, std, min(spread.values), max(spread.values), spread.n)
        columns |= {f"{name}_{what}": str(value) for what, value in zip(DESCRIBED, described, strict=True)}
    return columns


def _is_finite(text: str) -> bool:
    try:
        return math.isfinite(float(text))
    except ValueError:
        return False
