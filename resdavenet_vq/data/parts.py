"""Parts of a split: part i is its i-th block of `rows_per_part` consecutive rows, prepared by a job of its own."""

from __future__ import annotations

import contextlib
import hashlib
import json
from pathlib import Path
from typing import NamedTuple

from resdavenet_vq import files
from resdavenet_vq.config import Preparation
from resdavenet_vq.corpus.manifest import Manifest
from resdavenet_vq.data import preparation
from resdavenet_vq.data.sources import Source
from resdavenet_vq.data.store_format import PART, Header
from resdavenet_vq.errors import InputError

_SUFFIXES = (".h5", ".report.json", ".h5.sha256")
_KEPT = ".kept"


class Part(NamedTuple):
    """A part of a split, counted from 0."""

    number: int
    parts: int
    rows_per_part: int


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

    A finished part is kept in `folder/.kept`, too, as hard links, which take no room on the disk: Snakemake removes the
    outputs of a job before it runs. If it was made from the same rows with the same settings and the same `code`, it is
    put back instead of being prepared again, unless a refused row has become usable. To prepare everything again, for
    example with other audio files of the same names, remove the folder.

    The report of the last part has the counts of the whole split's reading. Files of parts beyond the last one are
    removed. Raises InputError for another number of parts than the split needs.
    """
    needed = max(1, -(-manifest.rows // part.rows_per_part))
    if needed != part.parts:
        raise InputError(
            f"{folder.name}: {manifest.rows} rows make {needed} parts of {part.rows_per_part}, not {part.parts};"
            f" set preparation.parts.{folder.name} to {needed}"
        )
    rows = manifest.part(range(part.number * part.rows_per_part, (part.number + 1) * part.rows_per_part))
    is_last = part.number == part.parts - 1
    if is_last:
        rows.counted, rows.noticed = manifest.counted, manifest.noticed
        _remove_further_parts(folder, part.parts)
    source, release_attributes = preparation.open_source(manifest, settings, release)
    command = f"prepare-part --settings '{preparation.command_settings(settings, 'bad_rows')}'"
    attribute = {
        "split": _digest_of_first_row(manifest),
        "number": part.number,
        "rows_per_part": part.rows_per_part,
        "last": is_last,
        "made_from": _digest_of(rows, [command, code, release_attributes, release and files.sha256(release)]),
    }
    names, kept = [f"{part.number}{suffix}" for suffix in _SUFFIXES], folder / _KEPT
    if not _is_current(kept, names, attribute) and _is_current(folder, names, attribute):
        with preparation.one_at_a_time(folder / names[0]):  # whose lock may be left, too
            _keep(folder, kept, names)  # it was killed after the part was finished and before it was kept
    if _is_current(kept, names, attribute) and _is_refused_still(kept / names[1], rows, settings, source, workers):
        _link(kept, folder, names)
        return
    for name in names:
        (kept / name).unlink(missing_ok=True)
    out, report, _ = (folder / name for name in names)
    preparation.prepare_from(source, rows, settings, out, report, workers, command, release_attributes, attribute)
    _keep(folder, kept, names)


def _digest_of_first_row(manifest: Manifest) -> str:
    """What the parts of a split share and those of another do not: it changes only with the split's first row."""
    utterances, refused = manifest.part(range(1)).utterances, manifest.part(range(1)).refused
    first = [[u.id, str(u.wav)] for u in utterances] or [[refusal.id, refusal.file] for refusal in refused]
    return hashlib.sha256(json.dumps(first).encode()).hexdigest()


def _digest_of(rows: Manifest, others: list[object]) -> str:
    """The SHA-256 of everything that a part follows from, audio and images apart."""
    digest = hashlib.sha256(f"[{rows.first_row}, [".encode())
    for number, utterance in enumerate(rows.utterances):
        digest.update((", " * bool(number) + json.dumps(utterance.to_dict(), sort_keys=True)).encode())
    content = [rows.refused, rows.counted, rows.noticed, *others]
    digest.update(f"], {json.dumps(content, sort_keys=True)[1:]}".encode())
    return digest.hexdigest()


def _is_current(kept: Path, names: list[str], attribute: dict[str, object]) -> bool:
    """Whether a part is complete, undamaged, and as it would be made again."""
    store, _, digest = (kept / name for name in names)
    try:
        is_same = digest.exists() and Header.read(store).attributes.get(PART) == attribute
    except InputError:
        return False
    return is_same and digest.read_text().startswith(files.sha256(store))


def _is_refused_still(report: Path, rows: Manifest, settings: Preparation, source: Source, workers: int) -> bool:
    """Whether all refused rows of a report are as bad as before, and may be skipped."""
    try:
        refused = {refusal["row"] for refusal in files.read_json(report)["refused"]}
    except InputError:
        return False
    if refused and settings.bad_rows == "stop":
        return False
    return not preparation.any_usable(rows, refused, settings, source, workers)


def _keep(folder: Path, kept: Path, names: list[str]) -> None:
    with contextlib.suppress(OSError, InputError):  # a file system without hard links keeps no parts
        _link(folder, kept, names)


def _link(source: Path, target: Path, names: list[str]) -> None:
    """Makes hard links to files in another folder, in their order: the digest is the last."""
    with files.together():
        for name in names:
            with contextlib.suppress(FileNotFoundError):
                if (target / name).samefile(source / name):
                    continue
            with files.atomic_write(target / name) as tmp:
                tmp.hardlink_to(source / name)


def _remove_further_parts(folder: Path, parts: int) -> None:
    for file in [*folder.glob("*"), *(folder / _KEPT).glob("*")]:
        number, _, suffix = file.name.partition(".")
        if number.isdecimal() and int(number) >= parts and f".{suffix}" in _SUFFIXES:
            file.unlink(missing_ok=True)
