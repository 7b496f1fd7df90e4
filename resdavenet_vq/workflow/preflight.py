"""What a plan can be refused for by a look at files that the configuration names: they are not there, or nothing can learn from them.

Rules ask through input functions that give no inputs, so that only a plan that needs the files is refused, and no path depends on
what is on the disk. It costs some looks at the disk and the first kilobytes of two files. Like the plan, it imports nothing heavy.
"""

from __future__ import annotations

import json
import re
from collections.abc import Iterable, Iterator, Mapping
from dataclasses import dataclass
from itertools import chain, product
from pathlib import Path

from resdavenet_vq.config import PlacesAudio, Section, SpokenScenes
from resdavenet_vq.errors import InputError, printable
from resdavenet_vq.system import Reference
from resdavenet_vq.workflow.noise import NoisePlan
from resdavenet_vq.workflow.plan import Plan

BEGINNING = 1 << 16
"""Bytes of a file that are looked at."""

MOST_ROWS = 20
"""Rows that are looked at."""


@dataclass(frozen=True)
class Preflight:
    """The checks of a plan, by what is made of the files; each gives no inputs, or raises InputError.

    What is made already needs no files.
    """

    plan: Plan

    def split(self, split: str) -> list[str]:
        """That the files of a split are there."""
        return self._files(self._corpus_files(split), self.plan.splits.stores(split))

    def copy(self, copy: str) -> list[str]:
        """That the files of a noisy copy are there: those of its split, and the recordings of noise."""
        clean = self._corpus_files(self.plan.splits.copies[copy].split)
        return self._files([*clean, *NoisePlan(self.plan).recordings(copy)], self.plan.splits.stores(copy))

    def items(self, folder: str, split: str, layer: str, condition: str) -> list[str]:
        """That the item file of an ABX score is there, where the corpus has one of its own."""
        score = self.plan.abx_score(folder, split, layer, condition)
        return self._files(self.plan.splits.own_items(split, condition), [score])

    def external(self, folder: str, split: str) -> list[str]:
        """That the files of units or features made elsewhere are there; one rule makes codes and one features of them."""
        made = [self.plan.path(Reference(folder), f"{kind}/{split}.h5") for kind in ("codes", "features")]
        return self._files(self.plan.references.external_files(folder), filter(_is_there, made))

    def released(self, folder: str) -> list[str]:
        """That the archive or folder of an imported model is there."""
        return self._files([str(self.plan.trainings.released[folder])], [self._model(folder)])

    def training(self, folder: str) -> list[str]:
        """That the weights that a training starts from are there, and that its splits are pairs of images and captions."""
        if not _is_there(self._model(folder)):
            self._files(self.plan.trainings.image_weights(folder))
            self._pairs()
        return []

    def _files(self, files: Iterable[str], made: Iterable[str] = ()) -> list[str]:
        """That files are there, or what is made of them: if not, all files are named that the plan's targets miss."""
        files, made = list(files), list(made)
        if (made and all(map(_is_there, made))) or all(map(_is_there, files)):
            return []
        missing = [file for file in dict.fromkeys([*self._all_files(), *files]) if not _is_there(file)]
        paths = list(_paths(self.plan.config, ""))
        faults = [f"{_key(paths, Path(file))}: {file}: no such file or folder" for file in missing]
        if any(not Path(file).is_absolute() for file in missing):
            faults.append(f"Relative paths start at {Path.cwd()}; --directory names another folder.")
        raise InputError(
            printable("\n".join(["Files that the configuration names are not there.", *faults]), keep="\n")
        )

    def _all_files(self) -> Iterator[str]:
        """The files that the configuration names and its results are made from, where these are not made yet."""
        plan = self.plan
        config, splits = plan.config, plan.splits
        for split in config.corpus.splits:
            if not all(map(_is_there, splits.stores(split))):
                yield from self._corpus_files(split)
        for split, condition in product(config.abx.splits, config.abx.conditions):
            yield from splits.own_items(split, condition)
        for system in plan.references.external:
            yield from plan.references.external_files(system.folder)
        yield from (str(path) for folder, path in plan.trainings.released.items() if not _is_there(self._model(folder)))
        untrained = [folder for folder in plan.trained if not _is_there(self._model(folder))]
        yield from chain.from_iterable(map(plan.trainings.image_weights, untrained))
        if config.report and config.report.noise:
            yield from (str(config.noise.files[kind]) for kind in config.noise.kinds if kind in config.noise.files)

    def _corpus_files(self, split: str) -> list[str]:
        """The files of a split; none of one that is made here."""
        return [] if isinstance(self.plan.config.corpus, SpokenScenes) else self.plan.splits.corpus_files(split)

    def _model(self, folder: str) -> str:
        """The model card in the folder of a lineage."""
        return str(self.plan.root / folder / "model/model.json")

    def _pairs(self) -> None:
        """That the splits for training have images, as far as the first rows of a corpus in the layout of Places Audio say so."""
        config = self.plan.config
        if not isinstance(config.corpus, PlacesAudio) or config.preparation.reader == "release_2020":
            return
        faults = []
        for key in ("split", "validation_split"):
            split = getattr(config.training, key)
            rows = list(_first_rows(config.corpus.metadata[split]))
            if rows and not any(row.get("image") for row in rows):
                faults.append(
                    f"training.{key}: {split!r} has no images (the first {len(rows)} rows of {config.corpus.metadata[split]} "
                    "name none)"
                )
        if faults:
            remedy = "Models learn from pairs of images and captions; with `lineages: []` baselines and external units are scored alone."
            raise InputError(printable("\n".join([*faults, remedy]), keep="\n"))


def _is_there(path: str | Path) -> bool:
    return Path(path).exists()


def _paths(value: object, key: str) -> Iterator[tuple[str, Path]]:
    """Every path in a section of the configuration with its dotted key; weights of models may be other words."""
    if isinstance(value, Section):
        value = {name: getattr(value, name) for name in type(value).model_fields}
    if isinstance(value, Mapping):
        for name, inner in value.items():
            yield from _paths(inner, f"{key}.{name}".removeprefix("."))
    elif isinstance(value, Path):
        yield key, value
    elif isinstance(value, str) and key == "model.image.weights":
        yield key, Path(value)


def _key(paths: Iterable[tuple[str, Path]], file: Path) -> str:
    """The dotted key of the configuration that a file is from: it names the file, one beside it, or a folder above it."""
    paths = list(paths)
    named = [key for key, path in paths if path == file]
    beside = [key for key, path in paths if (path.parent, path.stem) == (file.parent, file.stem)]
    below = [key for key, path in paths if path in file.parents]
    return [*named, *beside, *below][0]


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
