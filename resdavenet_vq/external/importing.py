"""Units, segments and features made elsewhere, written as a split's codes and features, in the formats of models.

Files are read twice: for the codes that there are and the lengths of utterances, then to write them, an utterance at a
time. Codes that are names are numbered in sorted order over all splits, so that a code means the same in each.
"""

from __future__ import annotations

import hashlib
from collections.abc import Callable, Iterator
from contextlib import ExitStack
from functools import partial
from pathlib import Path
from typing import Any

import numpy as np

from resdavenet_vq import files, folders
from resdavenet_vq.config.references import External
from resdavenet_vq.config.section import as_json
from resdavenet_vq.data.store import Store
from resdavenet_vq.encode.codes import add_codes, create_codes
from resdavenet_vq.encode.features import FEATURES, UNITS, add_features, create_features
from resdavenet_vq.encode.frames import split_name
from resdavenet_vq.encode.hdf5_output import Rows
from resdavenet_vq.encode.origin import Origin
from resdavenet_vq.errors import InputError
from resdavenet_vq.external import arrays, segments, texts
from resdavenet_vq.external.inventory import Inventory
from resdavenet_vq.external.joining import Joined
from resdavenet_vq.external.laying import frames, has_equal_neighbours, period_of, spans
from resdavenet_vq.external.records import MAX_CODES, Faults, Record
from resdavenet_vq.progress import track
from resdavenet_vq.system import Reference

_REMEDY = "correct the files, or external's settings"


def import_units(
    name: str,
    store: Path,
    split: str,
    settings: External,
    report: Path,
    *,
    codes: Path | None = None,
    features: Path | None = None,
    limit: int = 0,
) -> None:
    """Writes the units or features called `name` of a prepared split, whole or not at all, and what matched into `report`.

    `codes` is a codes file and `features` a features file, both of the layer `units`; of continuous features there is
    only the latter, of the layer `features`. `limit` is a number of utterances, the first of the store; 0: all.

    Raises InputError with all files and lines that are not as they should be, with utterances that have no units, and
    where units last longer or shorter than their audio.
    """
    if split not in settings.files:
        raise InputError(f"external {name}: files has no split {split}; it has {', '.join(settings.files)}")
    if settings.is_continuous and codes:
        raise InputError(f"external {name}: continuous features have no codes; write features alone")
    data = Store(store)
    joined = Joined(data, settings.ids, min(limit or len(data), len(data)))
    codebook = _codebook(settings.codebook)
    inventory = Inventory(settings, len(codebook) if codebook is not None else settings.codebook_size)
    faults = Faults()
    laid = _measured(settings.files[split], settings, joined, inventory, faults)
    for other in [path for other, path in settings.files.items() if other != split and inventory.is_open]:
        for record in read(other, settings, faults):
            with faults.of(record.where):
                inventory.add(record.units)
    faults.check(_REMEDY)
    joined.check_complete(settings.files[split])
    inventory.close(codebook)
    origin = Origin(
        _digest(name, settings),
        str(Reference.external(name)),
        split_name(data),
        data.sha256,
        {},
    )
    width = codebook.shape[1] if codebook is not None else 1
    vectors = codebook if codebook is not None else np.arange(inventory.size, dtype=np.float32)[:, None]
    rows: dict[str, Rows] = {}
    with files.together(), ExitStack() as stack:
        n_frames, marked = joined.n_frames, laid.marked
        if codes:
            manifest = (data.utterance(i).to_dict() for i in range(len(joined.ids)))
            file = stack.enter_context(create_codes(codes, joined.ids, manifest, origin))
            about = vectors, n_frames, laid.frame_period
            gap = inventory.gap if settings.format == "segments" else None
            rows["codes"] = add_codes(file, UNITS, *about, marked=marked, labels=inventory.names, gap=gap)
        if features:
            file = stack.enter_context(create_features(features, joined.ids, joined.kept, origin))
            layer, width = (FEATURES, laid.width) if settings.is_continuous else (UNITS, width)
            rows["features"] = add_features(file, layer, width, n_frames, laid.frame_period, marked=marked)
        _write(settings, settings.files[split], joined, inventory, vectors, rows)
        about_codes = {} if settings.is_continuous else inventory.report()
        written = {"name": name, "split": split, "files": str(settings.files[split]), "format": settings.format}
        files.write_json(report, written | joined.report() | laid.report() | about_codes)


def read(path: Path, settings: External, faults: Faults) -> Iterator[Record]:
    """The records of a file or folder in the format of the settings; bad files and lines become faults."""
    with files.reading(path):
        if not path.exists():
            raise InputError(f"{path}: no such file or folder")
    readers: dict[str, Callable[[Path, Faults], Iterator[Record]]] = {
        "npy": arrays.read_npy,
        "txt": texts.read_txt,
        "jsonl": partial(texts.read_jsonl, frame_period=settings.frame_period),
        "km": texts.read_km,
        "hdf5": arrays.read_hdf5,
        "segments": segments.read,
        "features_npy": arrays.read_features,
        "features_txt": texts.read_features,
    }
    return readers[settings.format](path, faults)


class _Laid:
    """How the records of a split lie on frames: their period in seconds, the width of features, whether marks are needed."""

    frame_period = 0.0
    width = 1
    marked = False

    def report(self) -> dict[str, Any]:
        """JSON values."""
        return {"frame_period": self.frame_period, "marked": self.marked}


def _measured(path: Path, settings: External, joined: Joined, inventory: Inventory, faults: Faults) -> _Laid:
    """Reads a split for the first time: lengths, codes and faults."""
    laid = _Laid()
    for record in track(read(path, settings, faults), f"read {path.name}", unit="utterances"):
        number = joined.number(record, faults)
        if number is None:
            continue
        with faults.of(record.where):
            period = period_of(record, settings)
            laid.frame_period = laid.frame_period or period
            if abs(period - laid.frame_period) > 1e-9:
                raise ValueError(f"its frame period is {period:g} s, and that of others {laid.frame_period:g} s")
            span = spans(record, settings)
            n = len(record.units) if span is None else int(span[-1, 1]) if len(span) else 0
            if settings.is_continuous:
                assert isinstance(record.units, np.ndarray)
                laid.width = record.units.shape[1] if not joined.n_frames.any() else laid.width
                if record.units.shape[1] != laid.width:
                    raise ValueError(f"has {record.units.shape[1]} values a frame, and others {laid.width}")
            else:
                inventory.add(record.units)
            padded = settings.format == "segments"
            joined.check_length(number, n, period, padded=padded)
            if padded:
                n = max(n, round(float(joined.seconds[number]) / period))
            joined.set_length(number, record, n, period, faults)
            laid.marked |= span is not None and has_equal_neighbours(record.units, span)
    return laid


def _write(
    settings: External, path: Path, joined: Joined, inventory: Inventory, vectors: np.ndarray, rows: dict[str, Rows]
) -> None:
    """Reads a split for the second time and writes each utterance."""
    changed, faults = f"{path}: changed while it was read; import it again", Faults()
    done = 0
    for record in track(read(path, settings, faults), f"write {path.name}", unit="utterances"):
        number = joined.place(record)
        if number is None:
            continue
        n, done = int(joined.n_frames[number]), done + 1
        if settings.is_continuous:
            assert isinstance(record.units, np.ndarray)
            if len(record.units) < n:
                raise InputError(changed)
            rows["features"].write(number, record.units[:n])
            continue
        span = spans(record, settings)
        if (span is None or settings.format != "segments") and len(record.units) == 0:
            raise InputError(changed)
        codes, begins = frames(inventory.numbers(record.units), span, n, inventory.gap)
        if len(codes) != n:
            raise InputError(changed)
        for kind, out in rows.items():
            out.write(number, codes if kind == "codes" else vectors[codes])
            if out.is_marked:
                out.mark(number, begins)
    faults.check(_REMEDY)
    if done != len(joined.ids):
        raise InputError(changed)


def _codebook(path: Path | None) -> np.ndarray | None:
    """Code vectors (K, C) float32. Raises InputError naming the file where it holds something else."""
    if path is None:
        return None
    faults, vectors = Faults(), np.zeros((0, 0), np.float32)
    with faults.of(path):
        values = arrays.load(path)
        if values.ndim != 2 or not 1 <= len(values) <= MAX_CODES:
            raise ValueError(f"has the shape {values.shape}, not code vectors (K, C)")
        vectors = arrays.checked_frames(values)
    faults.check("give a .npy file of code vectors")
    return vectors


def _digest(name: str, settings: External) -> str:
    """The SHA-256 of the name, the settings and all files: what made the units, as far as anyone knows."""
    digest = hashlib.sha256(f"{name} {as_json(settings, exclude=('files',))}".encode())
    for split, path in sorted(settings.files.items()):
        members = [file for file in folders.members(path) if file.is_file()] if path.is_dir() else [path]
        members += [path.with_suffix(".tsv")] if settings.format == "km" else []
        for file in members:
            digest.update(f"{split} {file.relative_to(path.parent)} {files.sha256(file)}\n".encode())
    for path in [settings.codebook] if settings.codebook else []:
        digest.update(files.sha256(path).encode())
    return digest.hexdigest()
