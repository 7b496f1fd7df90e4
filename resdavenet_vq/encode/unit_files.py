"""The units of single recordings as files and text: what `encode` prints and writes."""

from __future__ import annotations

import json
from collections import Counter
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any, Literal

import numpy as np

from resdavenet_vq.corpus import textgrid
from resdavenet_vq.encode.units import DECIMALS, Units
from resdavenet_vq.errors import InputError
from resdavenet_vq.files import atomic_write

type Format = Literal["json", "jsonl", "textgrid", "npy"]


def unambiguous(files: Sequence[Path]) -> Sequence[Path]:
    """The files, if their results can lie in one folder. Raises InputError if two have the same name without suffix."""
    if twice := [name for name, n in Counter(file.stem for file in files).items() if n > 1]:
        raise InputError(
            f"several files are called {twice[0]} without their suffix, so that results would overwrite each other; rename them"
        )
    return files


def as_text(file: Path, units: Mapping[str, Units], form: Format) -> str:
    """The units of a recording, by layer, as one JSON object, or as a line of JSON a layer."""
    if form == "jsonl":
        return "\n".join(json.dumps(u.to_line(file.stem), ensure_ascii=False) for u in units.values())
    described: dict[str, Any] = {"file": str(file)}
    described["duration"] = round(next(iter(units.values())).duration, DECIMALS)
    described["layers"] = {layer: u.to_dict() for layer, u in units.items()}
    return json.dumps(described, ensure_ascii=False)


def write(folder: Path, file: Path, units: Mapping[str, Units], form: Format) -> None:
    """Writes the units of a recording into a folder: `NAME.json`, `.jsonl` or `.TextGrid`, or `NAME.LAYER.npy` with codes (F,) int32."""
    if form == "textgrid":
        duration = next(iter(units.values())).duration
        textgrid.write(folder / f"{file.stem}.TextGrid", {layer: u.tier() for layer, u in units.items()}, duration)
    elif form == "npy":
        for layer, u in units.items():
            with atomic_write(folder / f"{file.stem}.{layer}.npy") as tmp, tmp.open("wb") as f:
                np.save(f, u.codes)
    else:
        with atomic_write(folder / f"{file.stem}.{form}") as tmp:
            tmp.write_text(as_text(file, units, form) + "\n", encoding="utf-8")
