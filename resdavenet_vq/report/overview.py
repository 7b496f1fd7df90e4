"""The overview: every headline number, models and seeds compared, noise, and published figures beside."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

from resdavenet_vq.evaluation import comparison
from resdavenet_vq.figures import comparison as comparison_figures
from resdavenet_vq.figures import noise as noise_figure
from resdavenet_vq.report import columns as meanings
from resdavenet_vq.report import published
from resdavenet_vq.report.assets import Folder
from resdavenet_vq.report.columns import Meaning
from resdavenet_vq.results import Findings


def content(found: Findings, folder: Folder) -> dict[str, Any]:
    """What the overview shows: the headline numbers, a row per lineage and layer, and below them every number with what it means."""
    columns, rows = found.summary
    known = [meanings.of(column) for column in columns]
    return {
        "models": found.models,
        "headline": [c for c in known if c.headline],
        "rows": [row for row in rows if any(row[c.column] for c in known if c.headline)] or rows,
        "groups": [
            _group(title, [c for c in known if c.group == title], rows)
            for title in dict.fromkeys(c.group for c in known if c.group)
        ],
        "csv": folder.copy(found.root / "summary.csv", "tables/summary.csv"),
        "published": published.GROUPS,
    } | _compared(found, folder, known)


def _compared(found: Findings, folder: Folder, known: Sequence[Meaning]) -> dict[str, Any]:
    """Figures of lineages, layers and seeds side by side, and the spread over seeds where there are several."""
    noisy = (
        noise_figure.every(noise_figure.read(found.root / "noise.csv")) if (found.root / "noise.csv").is_file() else {}
    )
    noise = [
        (name.replace("_", " "), folder.figure(f"noise-{name}", drawn.figure, drawn.alt))
        for name, drawn in noisy.items()
    ]
    if "seed" not in found.summary[0]:
        return {"spread": None, "pictures": [], "noise": noise}
    rows = comparison.read(found.root / "summary.csv")
    several = [row for row in rows if len(row.seeds) > 1]
    columns = [c for c in known if c.headline and any(c.column in row.numbers for row in several)]
    asked = [
        ("Retrieval", "compared-retrieval", comparison_figures.retrieval(rows)),
        ("Words detected", "compared-words", comparison_figures.words(rows)),
    ]
    for split in comparison_figures.splits_of_abx(rows):
        asked += [
            (f"ABX error, {split}", f"compared-abx-{split}", comparison_figures.abx(rows, split)),
            (
                f"Bitrate and ABX error, {split}",
                f"compared-bitrate-{split}",
                comparison_figures.bitrate_against_abx(rows, split),
            ),
        ]
    pictures = [(title, folder.figure(name, drawn.figure, drawn.alt)) for title, name, drawn in asked if drawn]
    return {"spread": {"rows": several, "columns": columns} if several else None, "pictures": pictures, "noise": noise}


def _group(title: str, columns: list[Meaning], rows: list[dict[str, str]]) -> dict[str, Any]:
    """A table of the columns that belong together: what is the same in all rows is told once, and rows without any number are left out."""
    rows = [row for row in rows if any(row[c.column] for c in columns)]
    values = {c: {row[c.column] for row in rows} for c in columns}
    constant = [c for c in columns if len(values[c]) == 1 and len(rows) > 1]
    rest = [c for c in columns if c not in constant]
    whole = columns[0].of_whole_model
    if whole:
        rows = list({row["lineage"]: row for row in rows}.values())
    return {
        "title": title,
        "text": columns[0].text,
        "constant": [(c, rows[0][c.column]) for c in constant],
        "columns": rest,
        "rows": rows if rest else [],
        "whole": whole,
    }
