"""What the benchmarks should reach, and the table in README.md of what they last reached.

    python benchmarks/aims.py

writes the table anew from `results/`. A test fails when it differs from what this would write.
"""

from __future__ import annotations

import json
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from measuring import RESULTS

README = Path(__file__).parent / "README.md"
BEGIN, END = "<!-- table: begin -->", "<!-- table: end -->"


@dataclass(frozen=True)
class Aim:
    """A number of a result's row and its bound: the least, or with `is_most` the most; None where there is no aim."""

    result: str
    """A file of results, without its suffix."""
    what: str
    """The row."""
    bound: float | None
    key: str = "ratio"
    """The number: `ratio`, or another entry of the row; of seconds, the package's."""
    unit: str = "×"
    is_most: bool = False

    def number(self, row: dict[str, Any]) -> float:
        """The number of a row."""
        value = row[self.key]
        return float(value["package"] if isinstance(value, dict) else value)

    def is_reached(self, row: dict[str, Any]) -> bool:
        """Whether the row is within the bound."""
        number = self.number(row)
        return self.bound is None or (number <= self.bound if self.is_most else number >= self.bound)

    def text(self, number: float) -> str:
        """A number with its unit."""
        if self.unit == "%":
            return f"{100 * number:.3g} %"
        return f"{number:,.0f} {self.unit}" if number >= 1000 else f"{number:.3g} {self.unit}"


AIMS = (
    *(
        Aim("jobs", what, 5)
        for what in (
            "prepare",
            "retrieval",
            "codes and words",
            "features for ABX",
            "features for ABX as text",
            "bitrate",
        )
    ),
    Aim("preparation", "log-mel", 2.4),
    Aim("preparation", "wav reading", 2),
    Aim("preparation", "preparation, 2 processes", 4),
    Aim("preparation", "size of features", 4.5),
    Aim("preparation", "random read", 12),
    Aim("preparation", "JPEG to a crop", 1.9),
    Aim("large_images", "crop of 640 x 480", 3),
    Aim("large_images", "crop of 1024 x 768", 5.6),
    Aim("quantizer", "quantizer step", 3),
    Aim("quantizer", "quantizer step, memory", None),
    Aim("losses", "pooling and losses", 20),
    Aim("training_cpu", "training step, float32", None),
    Aim("training_h200", "training step, compiled", 5),
    Aim("training_h200", "training step, compiled", 2100, "pairs_per_second", "pairs/s"),
    Aim("retrieval", "recall from similarities", 20),
    Aim("retrieval", "recall from vectors", None),
    Aim("word_detection", "word statistics", 20),
    Aim("encoding_demo", "codes", 5),
    Aim("abx", "ABX, the layer that adds most", 0.1, "added", "%", is_most=True),
    Aim("abx", "bitrate", 20),
    Aim("startup", "--help", 0.3, "cpu_seconds", "s", is_most=True),
    Aim("startup", "dry run of configs/places.yaml", 3, "cpu_seconds", "s", is_most=True),
)
"""Times are those of the 2020 release's way by the package's; `added` is a share of fastabx's own time."""


def table(folder: Path = RESULTS) -> str:
    """The table in Markdown, of the results in a folder."""
    lines = [
        "| benchmark | measured | aim | last result | 2020 | package | |",
        "| --- | --- | --- | --- | --- | --- | --- |",
    ]
    for aim in AIMS:
        bound = "–" if aim.bound is None else f"{'≤' if aim.is_most else '≥'} {aim.text(aim.bound)}"
        head = f"| `{aim.result}` | {aim.what} | {bound} |"
        path = folder / f"{aim.result}.json"
        result = json.loads(path.read_text(encoding="utf-8")) if path.exists() else {"rows": []}
        row = next((row for row in result["rows"] if row["what"] == aim.what), None)
        if row is None:
            lines.append(f"{head} not measured yet | | | |")
            continue
        number = aim.text(aim.number(row))
        reached = number if aim.is_reached(row) else f"**{number}**"
        lines.append(f"{head} {reached} | {_cost(row, '2020')} | {_cost(row, 'package')} | {result['date']} |")
    return "\n".join(lines)


def _cost(row: dict[str, Any], side: str) -> str:
    """What one side needs."""
    by = row.get("by", "cpu_seconds")
    if side in row.get(by, {}):
        return f"{row[by][side]:.3g} s{' of wall time' if by == 'wall_seconds' else ''}"
    if "mebibytes" in row:
        return f"{row['mebibytes'][side]:.0f} MiB"
    return f"{row['bytes'][side] / 1e6:.0f} MB" if "bytes" in row else ""


def page() -> str:
    """README.md with the table of the recorded results."""
    before, _, rest = README.read_text(encoding="utf-8").partition(BEGIN)
    return f"{before}{BEGIN}\n{table()}\n{END}{rest.partition(END)[2]}"


if __name__ == "__main__":
    README.write_text(page(), encoding="utf-8")
