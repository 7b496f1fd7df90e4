"""What a plan can be refused for by a look at the corpus's own files: they are not there, or nothing can learn from them.

Rules ask through input functions that give no inputs, so that only a plan that needs the files is refused, and no path depends on
what is on the disk. It costs some looks at the disk and the first kilobytes of two files. Like the plan, it imports nothing heavy.
"""

from __future__ import annotations

import json
import re
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

from resdavenet_vq.config import Corpus, PlacesAudio, SpokenScenes
from resdavenet_vq.errors import InputError, printable
from resdavenet_vq.workflow.plan import Plan

BEGINNING = 1 << 16
"""Bytes of a file that are looked at."""

MOST_ROWS = 20
"""Rows that are looked at."""


@dataclass(frozen=True)
class Preflight:
    """The checks of a plan; each gives no inputs, or raises InputError."""

    plan: Plan

    def corpus_files(self, split: str) -> list[str]:
        """That the files are there from which a split is prepared: if not, those of all splits are named that are not there."""
        corpus, splits = self.plan.config.corpus, self.plan.splits
        is_prepared = all(Path(store).is_file() for store in splits.stores(split))
        if isinstance(corpus, SpokenScenes) or is_prepared or all(map(_is_there, splits.corpus_files(split))):
            return []
        files = dict.fromkeys(file for name in corpus.splits for file in splits.corpus_files(name))
        faults = [
            f"{_key(corpus, Path(file))}: {file}: no such file or folder" for file in files if not _is_there(file)
        ]
        if any(not Path(file).is_absolute() for file in files):
            faults.append(f"Relative paths start at {Path.cwd()}; --directory names another folder.")
        raise InputError(printable("\n".join(["Files of the corpus are not there.", *faults]), keep="\n"))

    def pairs(self) -> list[str]:
        """That the splits for training have images, as far as the first rows of a corpus in the layout of Places Audio say so."""
        config = self.plan.config
        if not isinstance(config.corpus, PlacesAudio) or config.preparation.reader == "release_2020":
            return []
        faults = []
        for key in ("split", "validation_split"):
            split = getattr(config.training, key)
            rows = list(_first_rows(config.corpus.metadata[split]))
            if rows and not any(row.get("image") for row in rows):
                faults.append(
                    f"training.{key}: {split!r} has no images (the first {len(rows)} rows of {config.corpus.metadata[split]} "
                    "name none)"
                )
        if not faults:
            return []
        remedy = "Models learn from pairs of images and captions; with `lineages: []` baselines and external units are scored alone."
        raise InputError(printable("\n".join([*faults, remedy]), keep="\n"))


def _is_there(path: str | Path) -> bool:
    return Path(path).exists()


def _key(corpus: Corpus, file: Path) -> str:
    """The dotted name of the configuration that a corpus's file is from."""
    for name in type(corpus).model_fields:
        value = getattr(corpus, name)
        paths = value.items() if isinstance(value, dict) else [("", value)]
        for key, path in paths:
            if isinstance(path, Path) and path in {file, *file.parents}:
                return f"corpus.{name}.{key}".removesuffix(".")
    return "corpus"


def _first_rows(file: Path) -> Iterator[dict[str, object]]:
    """The rows at the beginning of a JSON file that name a recording.

    They are of its list `data`, of a list alone, or of an object a line; none where the file is of another form.
    """
    try:
        with file.open("rb") as f:
            text = f.read(BEGINNING).decode("utf-8-sig", errors="ignore")
    except OSError:  # preparation reports it
        return
    at = match.end() if (match := re.search(r'"data"\s*:\s*\[|^\s*\[', text)) else 0
    for _ in range(MOST_ROWS):
        at += len(text[at:]) - len(text[at:].lstrip(" \t\r\n,"))
        try:
            row, at = json.JSONDecoder().raw_decode(text, at)
        except (ValueError, RecursionError):  # the end of the list, or of what was read
            return
        if isinstance(row, dict) and "wav" in row:
            yield row
