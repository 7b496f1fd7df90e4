"""The report: a folder of pages that opens from disk, without a server or a network.

`write` gathers what a results folder holds, draws the figures, copies in the sounds and images that are shown, and
fills the templates beside this module. Text from the corpus is escaped; file names in the report are our own. Pages
whose data were not computed are left out.
"""

from __future__ import annotations

import itertools
import math
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import jinja2
import pandas as pd

import resdavenet_vq
from resdavenet_vq import config
from resdavenet_vq.evaluation.units import FrameTime
from resdavenet_vq.report import examples, figures, findings, meanings
from resdavenet_vq.report.figures import Line
from resdavenet_vq.report.findings import Findings
from resdavenet_vq.report.folder import Folder, written_whole
from resdavenet_vq.report.meanings import Meaning

TEMPLATES = Path(__file__).with_name("templates")

BEST_WORDS = 250
"""Words in the scatter of precision and recall, and rows of the tables of words."""


@dataclass(frozen=True)
class Page:
    """One page: its file, its title and what its template shows."""

    file: str
    title: str
    content: dict[str, Any]


def write(
    results: Path, lineages: Sequence[str], split: str, settings: config.Report, out: Path, frame_time: FrameTime = "published"
) -> None:
    """Writes the report of a results/{corpus} folder, whole or not at all; a report that was there is replaced.

    Parameters
    ----------
    results
        The folder results/{corpus}, with at least `summary.csv`.
    lineages
        Shown in this order, in notation (`{}->{2}`) or as folders (`none-2`).
    split
        Where the utterances shown come from: `data/{split}.h5`, and `codes/{split}.h5` of each lineage.
    settings
        How many utterances are drawn, and the seed of their choice.
    out
        The report's folder; `index.html` is its first page.
    frame_time
        When a frame of codes is drawn, as word detection was told; see `evaluation.units`.

    Raises InputError naming the file for anything that is there and cannot be read.
    """
    found = findings.find(results, lineages)
    templates = jinja2.Environment(
        loader=jinja2.FileSystemLoader(TEMPLATES), autoescape=True, trim_blocks=True, lstrip_blocks=True, undefined=jinja2.StrictUndefined
    )
    templates.filters |= {
        "rounded": meanings.rounded,
        "exact": meanings.exact,
        "shown": findings.shown,
        "runs_of_groups": lambda columns: [(group, list(members)) for group, members in itertools.groupby(columns, lambda c: c.group)],
        "standard_error": lambda share, n: f"{100 * math.sqrt(share * (1 - share) / n):.1f}",
    }
    templates.tests["numeric"] = meanings.is_number
    with written_whole(out) as folder:
        for name in ("style.css", "report.js"):
            folder.copy(TEMPLATES / name, f"assets/{name}")
        pages = [
            page
            for page in (
                _overview(found, folder),
                _training(found, folder),
                _words(found, folder),
                _utterances(found, folder, split, settings, frame_time),
                _retrieval(found, folder),
                _abx(found),
            )
            if page is not None
        ]
        for page in pages:
            text = templates.get_template(page.file).render(
                page.content, title=page.title, file=page.file, pages=pages, corpus=results.name, version=resdavenet_vq.__version__
            )
            folder.path(page.file).write_text(text, encoding="utf-8")


# -- the pages ------------------------------------------------------------------------------------------------


def _overview(found: Findings, folder: Folder) -> Page:
    """The headline numbers, a row per lineage and layer, and below them every number with what it means."""
    columns, rows = found.summary
    known = [meanings.of(column) for column in columns]
    content = {
        "models": found.models,
        "headline": [c for c in known if c.headline],
        "rows": [row for row in rows if any(row[c.column] for c in known if c.headline)] or rows,
        "groups": [
            _group(title, [c for c in known if c.group == title], rows) for title in dict.fromkeys(c.group for c in known if c.group)
        ],
        "csv": folder.copy(found.root / "summary.csv", "tables/summary.csv"),
    }
    return Page("index.html", "Overview", content)


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


def _training(found: Findings, folder: Folder) -> Page | None:
    """Losses, retrieval on validation and use of the codebooks over epochs."""
    trained = [(model, model.history) for model in found.models if model.history is not None]
    if not trained:
        return None

    def lines(column: str) -> list[Line]:
        return [Line(m.name, h["epoch"].to_numpy(float), h[column].to_numpy(float)) for m, h in trained if column in h]

    def of_layers(what: str) -> list[Line]:
        return [
            Line(f"{m.name} {column.split('_')[0]}", h["epoch"].to_numpy(float), h[column].to_numpy(float))
            for m, h in trained
            for column in map(str, h)
            if column.startswith("quant") and column.endswith(f"_{what}")
        ]

    panels: tuple[tuple[str, str, str, list[Line], dict[str, Any]], ...] = (
        ("loss", "Loss", "mean over training pairs", lines("loss"), {}),
        ("recall", "R@10 on the validation split", "mean of both directions", lines("mean_recall_at_10"), {"y_limits": (0, 1)}),
        ("perplexity", "Perplexity of the codes", "codes", of_layers("perplexity"), {"log": True}),
        ("codes-used", "Codes in use", "codes", of_layers("codes_used"), {"log": True}),
        ("top-share", "Share of the most frequent code", "share of frames", of_layers("top_share"), {"y_limits": (0, 1)}),
        ("commitment", "Commitment loss", "mean over training pairs", of_layers("commitment"), {}),
    )
    pictures = [
        folder.figure(name, figures.curves(title, unit, shown, **more), f"{title} over epochs: {_ends(shown)}.")
        for name, title, unit, shown, more in panels
        if shown
    ]
    last = [{"model": m.name} | h.loc[_best(h)].to_dict() for m, h in trained]
    columns = [meanings.of(c) for c in dict.fromkeys(c for row in last for c in row) if c != "model"]
    return Page("training.html", "Training", {"pictures": pictures, "best": last, "columns": columns})


def _ends(lines: Sequence[Line]) -> str:
    """Where curves begin and end, in words."""
    return "; ".join(f"{line.name} from {line.y[0]:.3g} to {line.y[-1]:.3g} in {len(line.y)} epochs" for line in lines if len(line.y))


def _best(history: pd.DataFrame) -> Any:
    """The epoch whose weights were kept: the first of highest R@10."""
    return history["mean_recall_at_10"].idxmax() if "mean_recall_at_10" in history else history.index[-1]


def _words(found: Findings, folder: Folder) -> Page | None:
    """Word detection: precision and recall, words above each threshold, and the table of words."""
    scored = {f"{model.name} {words.layer}": words for model in found.models for words in model.words}
    if not scored:
        return None
    threshold = next(iter(scored.values())).f1_threshold
    tables = {name: words.table for name, words in scored.items()}
    detectors = {name: t[~t["is_stop_word"] & ~t["is_silence"]].dropna(subset=["f1"]) for name, t in tables.items()}
    above = {name: int((t["f1"] >= threshold).sum()) for name, t in detectors.items()}
    told = ", ".join(f"{name}: {n} words" for name, n in above.items())
    layers = [
        {
            "name": name,
            "conditions": list(_flat(words.summary)),
            "columns": [meanings.of(c) for c in map(str, words.table) if c not in {"word", "is_stop_word", "is_silence"}],
            "rows": words.table.head(BEST_WORDS).convert_dtypes().astype(object).where(lambda t: t.notna(), None).to_dict("records"),
            "n_words": len(words.table),
            "n_detectors": len(detectors[name]),
            "above": above[name],
            "csv": folder.copy(words.file, f"tables/words-{number}.csv"),
            "csv_by_code": folder.copy(words.file.with_name("codes.csv"), f"tables/codes-{number}.csv"),
        }
        for number, (name, words) in enumerate(scored.items(), 1)
    ]
    scatter = figures.precision_recall({n: (t["precision"].to_numpy(), t["recall"].to_numpy()) for n, t in detectors.items()}, BEST_WORDS)
    curve = figures.words_above({n: t["f1"].to_numpy() for n, t in detectors.items()}, threshold)
    content = {
        "threshold": threshold,
        "scatter": folder.figure(
            "precision-recall", scatter, f"Precision against recall of each word's best code. F1 of at least {threshold:g}: {told}."
        ),
        "above": folder.figure("words-above-threshold", curve, f"Number of words above each F1 threshold. At {threshold:g}: {told}."),
        "layers": layers,
    }
    return Page("words.html", "Words", content)


def _utterances(found: Findings, folder: Folder, split: str, settings: config.Report, frame_time: FrameTime) -> Page | None:
    """Utterances drawn with their words, phones and codes, beside their image and sound."""
    shown = examples.utterances(found, folder, split, settings, frame_time)
    return Page("utterances.html", "Utterances", {"split": split, "shown": shown}) if shown else None


def _retrieval(found: Findings, folder: Folder) -> Page | None:
    """Scores of both directions, and a few hits and misses of each lineage."""
    scored = [(model, model.retrieval) for model in found.models if model.retrieval and "not_available" not in model.retrieval]
    if not scored:
        return None
    models = []
    for model, result in scored:
        store = found.store(result["conditions"]["split"])
        directions = [
            (key, title, result[key], examples.cases(store, folder, key, result["examples"][key]) if store else [])
            for key, title in (("image_to_speech", "Image finds caption"), ("speech_to_image", "Caption finds image"))
        ]
        models.append({"name": model.name, "conditions": _flat(result["conditions"]), "directions": directions})
    recalls = {key for _, result in scored for key in result["image_to_speech"] if key.startswith("recall_at_")}
    return Page("retrieval.html", "Retrieval", {"models": models, "recalls": sorted(recalls, key=lambda key: (len(key), key))})


def _abx(found: Findings) -> Page | None:
    """ABX errors and bitrates of every layer, split by split."""
    return Page("abx.html", "ABX", {"splits": found.abx}) if found.abx else None


def _flat(values: dict[str, Any], prefix: str = "") -> Iterator[tuple[str, Any]]:
    """Named values of a nested JSON object, in reading order."""
    for key, value in values.items():
        name = f"{prefix}{key}".replace("_", " ")
        if isinstance(value, dict):
            yield from _flat(value, f"{name}, ")
        else:
            yield name, value
