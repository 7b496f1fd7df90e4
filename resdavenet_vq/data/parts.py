"""Parts of a split: part i is its i-th block of `rows_per_part` consecutive rows, prepared by a job of its own."""

from __future__ import annotations

import hashlib
import json
from pathlib import Path
from typing import NamedTuple

from resdavenet_vq import files
from resdavenet_vq.config import Preparation
from resdavenet_vq.corpus.manifest import Manifest
from resdavenet_vq.data import preparation
from resdavenet_vq.data.store_format import PART, Header
from resdavenet_vq.errors import InputError

_SUFFIXES = (".h5", ".h5.sha256", ".report.json")


class Part(NamedTuple):
    """A part of a split, counted from 0."""

    number: int
    parts: int
    """Of the split."""
    rows_per_part: int

    @property
    def is_last(self) -> bool:
        """Whether no part follows."""
        return self.number == self.parts - 1


def prepare_part(
    manifest: Manifest,
    part: Part,
    settings: Preparation,
    folder: Path,
    workers: int,
    release: Path | None = None,
    code: str = "",
) -> None:
    """Writes a part of a split, `folder/{number}.h5`, with its digest and its report; see `preparation.prepare`.

    A part that is there already is left as it is if it was made from the same rows with the same settings and the
    same `code`. The report of the last part has the counts of the whole split's reading. Files of parts beyond the
    last one are removed.

    Raises InputError for another number of parts than the split needs.
    """
    _check_number(manifest.rows, part, folder.name)
    rows = manifest.part(range(part.number * part.rows_per_part, (part.number + 1) * part.rows_per_part))
    if part.is_last:
        rows.counted, rows.noticed = manifest.counted, manifest.noticed
        _remove_further_parts(folder, part.parts)
    out, digest, report = (folder / f"{part.number}{suffix}" for suffix in _SUFFIXES)
    source, release_attributes = preparation.open_source(manifest, settings, release)
    command = f"prepare-part --settings '{preparation.command_settings(settings, 'bad_rows')}'"
    attribute = {
        "number": part.number,
        "rows_per_part": part.rows_per_part,
        "last": part.is_last,
        "made_from": _digest_of(rows, [command, code, release_attributes]),
    }
    if _is_current(out, report, attribute, settings.bad_rows):
        return
    digest.unlink(missing_ok=True)
    preparation.prepare_from(source, rows, settings, out, report, workers, command, release_attributes, attribute)


def _check_number(rows: int, part: Part, split: str) -> None:
    needed = max(1, -(-rows // part.rows_per_part))
    if needed != part.parts:
        raise InputError(
            f"{split}: {rows} rows make {needed} parts of {part.rows_per_part}, not {part.parts};"
            f" set preparation.parts.{split} to {needed}"
        )


def _digest_of(rows: Manifest, others: list[object]) -> str:
    """The SHA-256 of everything that a part follows from, audio and images apart."""
    utterances = [utterance.to_dict() for utterance in rows.utterances]
    content = [rows.first_row, utterances, rows.refused, rows.counted, rows.noticed, *others]
    return hashlib.sha256(json.dumps(content, sort_keys=True).encode()).hexdigest()


def _is_current(out: Path, report: Path, attribute: dict[str, object], bad_rows: str) -> bool:
    """Whether a part is complete and as it would be made again: its digest is written last."""
    try:
        if not out.with_name(f"{out.name}.sha256").exists() or Header.read(out).attributes.get(PART) != attribute:
            return False
        return bad_rows == "skip" or not files.read_json(report)["refused"]
    except InputError:
        return False


def _remove_further_parts(folder: Path, parts: int) -> None:
    for file in folder.glob("*"):
        number, _, suffix = file.name.partition(".")
        if number.isdecimal() and int(number) >= parts and f".{suffix}" in _SUFFIXES:
            file.unlink(missing_ok=True)
