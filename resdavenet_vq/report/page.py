"""The report: a folder of pages that opens from disk, without a server or a network.

`write` draws the figures of a results folder, copies in sounds and images, and fills the templates beside this module.
Text from the corpus is escaped; file names in the report are our own. Pages whose data were not computed are left out;
where a split or a model has not what an evaluation needs, its page says what that is.
"""

from __future__ import annotations

import itertools
import math
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from statistics import fmean
from typing import Any

import jinja2
from markupsafe import Markup

import resdavenet_vq
from resdavenet_vq import config
from resdavenet_vq.corpus.manifest import SILENCE
from resdavenet_vq.encode.units import FrameTime
from resdavenet_vq.evaluation.availability import NO_WORDS, remedy
from resdavenet_vq.evaluation.summary import HELD_OUT, PUBLISHED
from resdavenet_vq.figures import confusions, interactive, paper, registry
from resdavenet_vq.report import columns, gaps, maps, overview, training, units, utterances
from resdavenet_vq.report.assets import Folder, as_script, replace_folder
from resdavenet_vq.report.sources import Command, Sources
from resdavenet_vq.results import TRIPHONES, Results, Words, find, with_arrows

TEMPLATES = Path(__file__).with_name("templates")

WORST_PAIRS = 100
"""Rows of the tables of phones."""


@dataclass(frozen=True)
class Page:
    """One page: its file, its title and the values for its template."""

    file: str
    title: str
    content: dict[str, Any]
    scripts: tuple[str, ...] = ()
    """Loaded after `report.js`, in this order."""
    charts: bool = False
    """Whether Plotly draws on it: `report.js` loads it when a chart comes near."""


def write(
    results: Path,
    systems: Sequence[str],
    split: str | None,
    settings: config.Report,
    out: Path,
    frame_time: FrameTime = "published",
    noise: Path | None = None,
    commands: Mapping[str, Command] | None = None,
) -> None:
    """Writes the report of a results/{corpus} folder, whole or not at all; an earlier report is replaced.

    The pages are of the systems in the folders `systems`, in this order; the overview has the scores of all. `split` is
    the one whose utterances are on the pages, with codes at `frame_time`; where words are evaluated it is their held-out
    split. Without one there are no pages of utterances and units. The scores of a table `noise` (noise.csv) are drawn
    too. Numbers lead to the `commands` that made their files, by the files' paths in `results`.
    Raises InputError naming a file that cannot be read.
    """
    data = find(results, systems, noise)
    with replace_folder(out) as folder:
        opened = utterances.open_split(data, split, settings, frame_time) if split else None
        sources = Sources(data, commands or {})
        candidates = (
            Page("index.html", "Overview", overview.content(data, folder, sources, with_noise=noise is not None)),
            _training(data, folder),
            _words(data, folder, split, opened) if split and data.has_words else None,
            _units(folder, opened),
            _utterances(folder, opened),
            _retrieval(data, folder, with_maps=settings.matchmaps),
            _abx(data, folder),
            Page("commands.html", "Commands", made) if (made := sources.content()) else None,
        )
        pages = [page for page in candidates if page is not None]
        scripts = {script for page in pages for script in page.scripts}
        for name in ("style.css", "report.js", *sorted(scripts)):
            folder.copy(TEMPLATES / name, f"assets/{name}")
        if any(page.charts for page in pages):
            script, license_file = interactive.library()
            folder.copy(script, "assets/plotly.min.js")
            folder.copy(license_file, "assets/plotly-license.txt")
        templates = _templates()
        common = {"pages": pages, "corpus": results.name, "version": resdavenet_vq.__version__}
        for page in pages:
            own = {"title": page.title, "file": page.file, "scripts": page.scripts, "plotly": page.charts}
            text = templates.get_template(page.file).render(page.content | common | own)
            folder.path(page.file).write_text(text, encoding="utf-8")


def _templates() -> jinja2.Environment:
    """The templates, and their filters for numbers and data."""
    templates = jinja2.Environment(
        loader=jinja2.FileSystemLoader(TEMPLATES),
        autoescape=True,
        trim_blocks=True,
        lstrip_blocks=True,
        undefined=jinja2.StrictUndefined,
    )
    templates.filters |= {
        "rounded": columns.rounded,
        "exact": columns.exact,
        "arrows": with_arrows,
        "runs_of_groups": lambda pairs: [
            (group, list(members)) for group, members in itertools.groupby(pairs, lambda pair: pair[1].group)
        ],
        "groups_of": lambda cs: [(group, len(list(some))) for group, some in itertools.groupby(cs, lambda c: c.group)],
        "standard_error": lambda share, n: f"{100 * math.sqrt(share * (1 - share) / n):.1f}",
        "script": lambda value: Markup(as_script(value)),  # noqa: S704 - as_script leaves nothing that ends a script
    }
    templates.tests["numeric"] = columns.is_number
    return templates


# -- the pages ------------------------------------------------------------------------------------------------


def _training(results: Results, folder: Folder) -> Page | None:
    """Losses, retrieval on validation, use of the codebooks over epochs, and what training cost."""
    content = training.content(results, folder)
    return Page("training.html", "Training", content, charts=True) if content else None


def _words(results: Results, folder: Folder, split: str, opened: utterances.Split | None) -> Page | None:
    """Word detection: precision and recall, words above each threshold, and the table of words."""
    layers = paper.word_layers(results, split)
    if not layers:
        return None
    numbers = {layer.title: layer.number for layer in opened.layers} if opened else {}
    detecting = paper.detecting(layers)
    alt = f"{paper.PRECISION_RECALL} {paper.describe_words(detecting)}" if detecting else ""
    above = paper.draw_if_scored("words-above", registry.Request(results, split=split))
    content = {
        "gaps": gaps.lines(results, "words"),
        "threshold": next(iter(layers.values())).summary["f1_threshold"],
        "scatter": interactive.precision_recall(paper.best_words(detecting), numbers, alt) if detecting else None,
        "above": folder.figure("words-above", above) if above else None,
        "layers": [
            _word_table(words, folder, number) | {"name": name, "number": numbers.get(name)}
            for number, (name, words) in enumerate(layers.items(), 1)
        ],
    }
    return Page("words.html", "Words", content, charts=bool(detecting))


def _word_table(words: Words, folder: Folder, number: int) -> dict[str, Any]:
    """The best words of one layer; without columns of what is not available."""
    rows = words.table.head(words.summary["best"]).convert_dtypes().astype(object)
    unnamed = {"word", "is_stop_word", "is_silence"}
    if HELD_OUT in words.needs:
        unnamed |= {name for name in map(str, rows) if name.startswith(f"{HELD_OUT}_")}
    names = [name for name in map(str, rows) if name not in unnamed]
    conditions = {name: value for name, value in words.summary.items() if name != "not_available"}
    return {
        "needs": words.needs.get(PUBLISHED, ""),
        "conditions": list(_flat(conditions | words.needs)),
        "columns": [(name, columns.word_column(name)) for name in names],
        "rows": rows.where(rows.notna(), None).to_dict("records"),
        "n_words": len(words.table),
        "n_detectors": len(words.detectors),
        "n_stop_words": int(words.table["is_stop_word"].sum()),
        "above": words.n_detected,
        "csv": folder.copy(words.file, f"tables/words-{number}.csv"),
        "csv_by_code": folder.copy(words.file.with_name("codes.csv"), f"tables/codes-{number}.csv"),
    }


def _units(folder: Folder, opened: utterances.Split | None) -> Page | None:
    """Codes with their words, phones and occurrences, and words with their codes."""
    if not opened or not opened.layers:
        return None
    needs = "" if "words" in opened.has else remedy(NO_WORDS)
    about = utterances.about(opened) | units.write(opened, folder) | {"needs": needs}
    lines = [f"Words and phones of codes: {needs}."] if needs else []
    content = {"about": about, "gaps": lines}
    return Page("units.html", "Units", content, ("viewer.js", "picture.js", "units.js"), charts="phones" in opened.has)


def _utterances(folder: Folder, opened: utterances.Split | None) -> Page | None:
    """Utterances with sound and picture, and a search over all of the split."""
    if not opened:
        return None
    utterances.write(opened, folder)
    about = utterances.about(opened)
    lines = [] if "words" in opened.has else [f"Words above the spectrogram: {remedy(NO_WORDS)}."]
    scripts = ("viewer.js", "picture.js", "compare.js", "utterances.js")
    return Page("utterances.html", "Utterances", {"about": about, "gaps": lines}, scripts)


def _retrieval(results: Results, folder: Folder, *, with_maps: bool) -> Page | None:
    """Scores of both directions, a few hits and misses of each lineage, and matchmaps where they were written."""
    split = next(iter(results.evaluated("retrieval")), "")
    scored = [(model, result) for model in results.models if (result := model.retrieval(split))]
    scored = [(model, result) for model, result in scored if "not_available" not in result]
    lines = gaps.lines(results, "retrieval")
    if not scored and not lines:
        return None
    models = []
    store = results.store(split)
    for model, result in scored:
        directions = [
            (key, title, result[key], utterances.cases(store, folder, key, result["examples"][key]) if store else [])
            for key, title in (("image_to_speech", "Image finds caption"), ("speech_to_image", "Caption finds image"))
        ]
        models.append({"name": model.name, "conditions": _flat(result["conditions"]), "directions": directions})
    recalls = {key for _, result in scored for key in result["image_to_speech"] if key.startswith("recall_at_")}
    mapped = maps.write(results, folder, split) if with_maps and scored else []
    content = {
        "gaps": lines,
        "models": models,
        "recalls": sorted(recalls, key=lambda key: (len(key), key)),
        "about": {"maps": mapped, "silence": SILENCE.pattern} if mapped else None,
    }
    return Page("retrieval.html", "Retrieval", content, ("maps.js",) if mapped else ())


def _abx(results: Results, folder: Folder) -> Page | None:
    """ABX errors and bitrates of every layer, by split and items, and which phones each confuses."""
    if not results.abx:
        return None
    splits = {
        split if items == TRIPHONES else f"{split}, {columns.ABX_ITEMS.get(items, items)}": layers
        for (split, items), layers in results.abx.items()
    }
    tables = [
        (f"{result['model']} {result['layer']}, split {split}, {task} speakers", result["phones"], task)
        for split, layers in splits.items()
        for result in layers
        for task in ("within", "across")
        if result["phones"] and result[f"{task}_error"] is not None
    ]
    for number, (title, table, task) in enumerate(tables):
        folder.data(f"phones-{number}", _phones(folder, title, table, task))
    content = {"splits": splits, "phones": [title for title, _, _ in tables], "gaps": gaps.lines(results, "abx")}
    return Page("abx.html", "ABX", content, ("phones.js",) if tables else (), charts=bool(tables))


def _phones(folder: Folder, title: str, table: Path, task: str) -> dict[str, Any]:
    """The heat map of the phones of one layer, and the pairs that are surely confused."""
    errors, pairs = confusions.read(table, task), confusions.surest_first(table, task)
    mean = fmean(pair.error for pair in pairs)
    alt = f"ABX error of {len(errors)} phones, two by two, {mean:.1f} % in the mean; the table below has the largest."
    return {
        "title": title,
        "chart": interactive.phone_errors(errors, alt)._asdict(),
        "worst": pairs[:WORST_PAIRS],
        "pairs": len(pairs),
        "csv": folder.copy_once(table, "tables/phones"),
    }


def _flat(values: dict[str, Any], prefix: str = "") -> Iterator[tuple[str, Any]]:
    """Named values of a nested JSON object, in its order."""
    for key, value in values.items():
        name = f"{prefix}{key}".replace("_", " ")
        if isinstance(value, dict):
            yield from _flat(value, f"{name}, ")
        else:
            yield name, value
