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
import numpy as np
import pandas as pd
from markupsafe import Markup

import resdavenet_vq
from resdavenet_vq import config
from resdavenet_vq import results as findings
from resdavenet_vq.encode.units import FrameTime
from resdavenet_vq.figures import confusions, histories
from resdavenet_vq.figures import interactive as plots
from resdavenet_vq.report import (
    chunks,
    examples,
    maps,
    overview,
)
from resdavenet_vq.report import (
    columns as meanings,
)
from resdavenet_vq.report import (
    units as explorer,
)
from resdavenet_vq.report import (
    utterances as shown,
)
from resdavenet_vq.report.assets import Folder, atomic_write
from resdavenet_vq.results import Findings

TEMPLATES = Path(__file__).with_name("templates")

BEST_WORDS = 250
"""Words in the scatter of precision and recall, and rows of the tables of words."""

TASKS: tuple[confusions.Task, ...] = ("within", "across")

WORST_PAIRS = 100
"""Rows of the tables of phones."""


PLOTLY = "plotly.min.js"


@dataclass(frozen=True)
class Page:
    """One page: its file, its title and what its template shows."""

    file: str
    title: str
    content: dict[str, Any]
    scripts: tuple[str, ...] = ()
    """Beside `report.js`, in this order."""


def write(
    results: Path,
    lineages: Sequence[str],
    split: str,
    settings: config.Report,
    out: Path,
    frame_time: FrameTime = "published",
) -> None:
    """Writes the report of a results/{corpus} folder, whole or not at all; a report that was there is replaced.

    Parameters
    ----------
    results
        The folder results/{corpus}, with at least `summary.csv`.
    lineages
        Shown in this order, in notation (`{}->{2}`) or as folders (`none-2`).
    split
        Where the utterances and occurrences shown come from: `data/{split}.h5`, and `codes/{split}.h5` of each lineage.
    settings
        How many utterances are shown, how many occurrences of each code, and the seed of their choice.
    out
        The report's folder; `index.html` is its first page.
    frame_time
        When a frame of codes is drawn, as word detection was told; see `evaluation.units`.

    Raises InputError naming the file for anything that is there and cannot be read.
    """
    found = findings.find(results, lineages)
    templates = _templates()
    with atomic_write(out) as folder:
        seen = shown.find(found, split, settings, frame_time)
        made = (
            _overview(found, folder),
            _training(found, folder),
            _words(found, folder, seen),
            _units(found, folder, seen),
            _utterances(folder, seen),
            _retrieval(found, folder, split),
            _abx(found, folder),
        )
        pages = [page for page in made if page is not None]
        _assets(folder, pages)
        for page in pages:
            values = {"title": page.title, "file": page.file, "scripts": page.scripts, "plotly": PLOTLY in page.scripts}
            text = templates.get_template(page.file).render(
                page.content, pages=pages, corpus=results.name, version=resdavenet_vq.__version__, **values
            )
            folder.path(page.file).write_text(text, encoding="utf-8")


def _templates() -> jinja2.Environment:
    """The templates, with what they use to write numbers and data."""
    templates = jinja2.Environment(
        loader=jinja2.FileSystemLoader(TEMPLATES),
        autoescape=True,
        trim_blocks=True,
        lstrip_blocks=True,
        undefined=jinja2.StrictUndefined,
    )
    templates.filters |= {
        "rounded": meanings.rounded,
        "exact": meanings.exact,
        "shown": findings.shown,
        "runs_of_groups": lambda columns: [
            (group, list(members)) for group, members in itertools.groupby(columns, lambda c: c.group)
        ],
        "standard_error": lambda share, n: f"{100 * math.sqrt(share * (1 - share) / n):.1f}",
        "script": lambda value: Markup(chunks.as_script(value)),  # noqa: S704 - as_script leaves nothing that ends a script
    }
    templates.tests["numeric"] = meanings.is_number
    return templates


def _assets(folder: Folder, pages: Sequence[Page]) -> None:
    """Styles and scripts that some page uses, and the library of charts with its licence."""
    scripts = {script for page in pages for script in page.scripts}
    for name in ("style.css", "report.js", *sorted(scripts - {PLOTLY})):
        folder.copy(TEMPLATES / name, f"assets/{name}")
    if PLOTLY in scripts:
        script, licence = plots.library()
        folder.copy(script, f"assets/{PLOTLY}")
        folder.copy(licence, "assets/plotly-license.txt")


# -- the pages ------------------------------------------------------------------------------------------------


def _overview(found: Findings, folder: Folder) -> Page:
    """The headline numbers, comparisons, and every number with what it means."""
    return Page("index.html", "Overview", overview.content(found, folder))


def _training(found: Findings, folder: Folder) -> Page | None:
    """Losses, retrieval on validation and use of the codebooks over epochs."""
    trained = [(model, model.history) for model in found.models if model.history is not None]
    if not trained:
        return None

    panels = histories.panels([(m.name, h) for m, h in trained])
    charts = [(panel.title, plots.curves(panel, histories.told(panel))) for panel in panels]
    csvs = [
        (m.name, folder.copy(m.folder / "model/history.csv", f"tables/history-{n}.csv"))
        for n, (m, _) in enumerate(trained, 1)
    ]
    last = [{"model": m.name} | h.loc[_best(h)].to_dict() for m, h in trained]
    columns = [meanings.of(c) for c in dict.fromkeys(c for row in last for c in row) if c != "model"]
    return Page(
        "training.html", "Training", {"charts": charts, "csvs": csvs, "best": last, "columns": columns}, (PLOTLY,)
    )


def _best(history: pd.DataFrame) -> Any:
    """The epoch whose weights were kept: the first of highest R@10."""
    return history["mean_recall_at_10"].idxmax() if "mean_recall_at_10" in history else history.index[-1]


def _words(found: Findings, folder: Folder, seen: shown.Split | None) -> Page | None:
    """Word detection: precision and recall, words above each threshold, and the table of words."""
    scored = {f"{model.name} {words.layer}": words for model in found.models for words in model.words}
    if not scored:
        return None
    threshold = next(iter(scored.values())).f1_threshold
    detectors = {name: words.detectors for name, words in scored.items()}
    above = {name: int((t["f1"] >= threshold).sum()) for name, t in detectors.items()}
    told = ", ".join(f"{name}: {n} words" for name, n in above.items())
    numbers = {layer.title: layer.number for layer in seen.layers} if seen else {}
    layers = [
        {
            "name": name,
            "number": numbers.get(name),
            "conditions": list(_flat(words.summary)),
            "columns": [
                meanings.of(c) for c in map(str, words.table) if c not in {"word", "is_stop_word", "is_silence"}
            ],
            "rows": words.table.head(BEST_WORDS)
            .convert_dtypes()
            .astype(object)
            .where(lambda t: t.notna(), None)
            .to_dict("records"),
            "n_words": len(words.table),
            "n_detectors": len(detectors[name]),
            "above": above[name],
            "csv": folder.copy(words.file, f"tables/words-{number}.csv"),
            "csv_by_code": folder.copy(words.file.with_name("codes.csv"), f"tables/codes-{number}.csv"),
        }
        for number, (name, words) in enumerate(scored.items(), 1)
    ]
    best = {name: (table, numbers.get(name)) for name, table in detectors.items()}
    points = f"Precision against recall of each word's best code. F1 of at least {threshold:g}: {told}."
    curve = f"Number of words above each F1 threshold. At {threshold:g}: {told}."
    content = {
        "threshold": threshold,
        "scatter": plots.precision_recall(best, BEST_WORDS, points),
        "above": plots.words_above({n: t["f1"].to_numpy() for n, t in detectors.items()}, threshold, curve),
        "layers": layers,
    }
    return Page("words.html", "Words", content, (PLOTLY,))


def _units(found: Findings, folder: Folder, seen: shown.Split | None) -> Page | None:
    """Codes with their words, phones and occurrences, and words with their codes."""
    if not seen or not seen.layers:
        return None
    return Page(
        "units.html",
        "Units",
        {"about": shown.about(seen) | explorer.write(seen, found, folder)},
        ("viewer.js", "units.js"),
    )


def _utterances(folder: Folder, seen: shown.Split | None) -> Page | None:
    """Utterances to see and to hear, and a search over all of the split."""
    if not seen:
        return None
    shown.write(seen, folder)
    return Page("utterances.html", "Utterances", {"about": shown.about(seen)}, ("viewer.js", "utterances.js"))


def _retrieval(found: Findings, folder: Folder, split: str) -> Page | None:
    """Scores of both directions, a few hits and misses of each lineage, and matchmaps where they were written."""
    scored = [
        (model, model.retrieval) for model in found.models if model.retrieval and "not_available" not in model.retrieval
    ]
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
    mapped = maps.write(found, folder, next((result["conditions"]["split"] for _, result in scored), split))
    content = {
        "models": models,
        "recalls": sorted(recalls, key=lambda key: (len(key), key)),
        "about": {"maps": mapped} if mapped else None,
    }
    return Page("retrieval.html", "Retrieval", content, ("maps.js",) if mapped else ())


def _abx(found: Findings, folder: Folder) -> Page | None:
    """ABX errors and bitrates of every layer, split by split, and which phones each confuses."""
    if not found.abx:
        return None
    known = [
        (f"{result['model']} {result['layer']}, {split}, {task} speakers", result["phones"], task)
        for split, results in found.abx.items()
        for result in results
        for task in TASKS
        if result["phones"] and result[f"{task}_error"] is not None
    ]
    for number, (title, table, task) in enumerate(known):
        chunks.write(folder, f"phones-{number}", _confused(folder, title, table, task))
    content = {"splits": found.abx, "phones": [title for title, _, _ in known]}
    return Page("abx.html", "ABX", content, (PLOTLY, "phones.js") if known else ())


def _confused(folder: Folder, title: str, table: Path, task: confusions.Task) -> dict[str, Any]:
    """The heat map of the phones of one layer, and the pairs with the largest errors."""
    read = confusions.read(table, task)
    rows, columns = np.nonzero(np.isfinite(read.errors))
    errors = read.errors[rows, columns]
    worst = np.argsort(-errors, kind="stable")[:WORST_PAIRS].tolist()
    told = f"ABX error of {len(read.phones)} phones, two by two, {errors.mean():.1f} % in the mean; the table below has the largest."
    return {
        "title": title,
        "chart": plots.phone_errors(read, told)._asdict(),
        "worst": [[read.phones[rows[i]], read.phones[columns[i]], float(errors[i])] for i in worst],
        "pairs": len(errors),
        "csv": folder.once(table, "tables/phones"),
    }


def _flat(values: dict[str, Any], prefix: str = "") -> Iterator[tuple[str, Any]]:
    """Named values of a nested JSON object, in reading order."""
    for key, value in values.items():
        name = f"{prefix}{key}".replace("_", " ")
        if isinstance(value, dict):
            yield from _flat(value, f"{name}, ")
        else:
            yield name, value
