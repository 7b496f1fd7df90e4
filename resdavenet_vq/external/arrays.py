"""Units and features in arrays: .npy, one a file, and HDF5, a dataset of units for each utterance.

A .npy file is read by its header alone, never unpickled, and only as many bytes as the file has.
"""

from __future__ import annotations

import math
import os
from collections.abc import Iterator
from pathlib import Path

import numpy as np
from numpy.lib import format as npy

from resdavenet_vq.encode.codes import CodesFile, SplitCodes
from resdavenet_vq.encode.hdf5 import FORMAT
from resdavenet_vq.errors import InputError
from resdavenet_vq.external.records import Faults, Record, as_codes, files_below
from resdavenet_vq.files import open_regular, reading
from resdavenet_vq.hdf5 import INTEGERS, GuardedFile

MAX_WIDTH = 1 << 16
"""Values in a frame of features."""

CODEBOOK = "codebook"
"""The name, without suffix, of the code vectors that `export-units` writes beside the units."""


def read_npy(path: Path, faults: Faults) -> Iterator[Record]:
    """Units (T,) of each utterance, one .npy file a piece; (T, 1) and (1, T) count as (T,). `codebook.npy` is none of them."""
    for name, file in files_below(path, [".npy"]):
        if name == CODEBOOK and file != path:
            continue
        record = None
        with faults.of(file):
            values = load(file)
            if values.ndim == 2 and 1 in values.shape:
                values = values.reshape(-1)
            if values.ndim != 1 or values.dtype.kind not in "iuf":
                raise ValueError(f"holds {values.dtype} of shape {values.shape}, not whole numbers (T,)")
            record = Record(name, str(file), as_codes(values))
        if record:
            yield record


def read_features(path: Path, faults: Faults) -> Iterator[Record]:
    """Frames (T, C) of each utterance, one .npy file a piece."""
    for name, file in files_below(path, [".npy"]):
        record = None
        with faults.of(file):
            values = load(file)
            if values.ndim != 2 or values.dtype.kind not in "iuf":
                raise ValueError(f"holds {values.dtype} of shape {values.shape}, not frames (T, C)")
            record = Record(name, str(file), checked_frames(values))
        if record:
            yield record


def checked_frames(values: np.ndarray) -> np.ndarray:
    """Frames (T, C) as float32. Raises ValueError for values that are not finite in it."""
    if not 1 <= values.shape[1] <= MAX_WIDTH:
        raise ValueError(f"has {values.shape[1]} values a frame, not 1 to {MAX_WIDTH}")
    with np.errstate(over="ignore", invalid="ignore"):
        frames = values.astype(np.float32)
    if not np.isfinite(frames).all():
        raise ValueError("holds values that are not finite, or too large for float32")
    return frames


def load(path: Path) -> np.ndarray:
    """A .npy file's array of numbers. Raises InputError or ValueError for anything else."""
    with open_regular(path) as file, reading(path):
        try:
            version = npy.read_magic(file)
            header = npy.read_array_header_1_0 if version == (1, 0) else npy.read_array_header_2_0
            shape, fortran, dtype = header(file)
        except (ValueError, OSError, EOFError, SyntaxError, TypeError, MemoryError, RecursionError):
            raise ValueError("is no .npy file, or a damaged one") from None
        if dtype.kind not in "iufb":
            raise ValueError(f"holds {str(dtype)[:40]}, no numbers")
        size, there = dtype.itemsize * math.prod(shape), os.fstat(file.fileno()).st_size - file.tell()
        if size != there or any(n < 0 for n in shape):
            raise ValueError(f"has {there} bytes of numbers where its header says {size}: truncated or changed")
        return np.frombuffer(file.read(size), dtype).reshape(shape, order="F" if fortran else "C")


def read_hdf5(path: Path, faults: Faults) -> Iterator[Record]:
    """Units of each utterance in a dataset (T,) with its name, in groups or not; or a codes file of this software."""
    if _is_codes_file(path):
        yield from _read_codes(path)
        return
    with GuardedFile(path, "give HDF5 with a dataset of whole numbers (T,) for each utterance") as file:
        for name in file.datasets():
            record = None
            with faults.of(f"{path}: {name}"):
                values = file.numbers(name, INTEGERS, (None,))[:]
                record = Record(name, f"{path}: {name}", as_codes(values))
            if record:
                yield record


def _is_codes_file(path: Path) -> bool:
    with open_regular(path) as file, reading(path):
        return file.read(len(FORMAT)) == FORMAT.encode()


def _read_codes(path: Path) -> Iterator[Record]:
    """The utterances of a codes file with one layer. Raises InputError if it has several."""
    with SplitCodes(path) as split:
        layers = split.layers
    if len(layers) != 1:
        several = f"has the layers {', '.join(layers)}" if layers else "has no layer"
        raise InputError(f"{path}: {several}, and units are of one; export it as JSONL: export-units --layers")
    with CodesFile(path, layers[0]) as file:
        for i, name in enumerate(file.ids):
            (codes,), begins = file.codes(i, i + 1), file.begins(i, i + 1)
            first = np.arange(len(codes)) if begins is None else np.flatnonzero(begins[0])
            labels = as_codes(codes[first]) if file.labels is None else [file.labels[code] for code in codes[first]]
            lengths = None if begins is None else np.diff(np.r_[first, len(codes)])
            yield Record(name, f"{path}: {name}", labels, lengths, frame_period=file.frame_period)
