"""Opening the HDF5 files that encoding wrote."""

from __future__ import annotations

from pathlib import Path

import h5py

from resdavenet_vq.errors import InputError


def opened(path: Path) -> h5py.File:
    """The file, open for reading. Raises InputError naming it if it is missing or no readable HDF5."""
    try:
        return h5py.File(path, "r")
    except FileNotFoundError:
        raise InputError(f"{path}: no such file; encode the split first") from None
    except OSError as e:
        raise InputError(f"{path}: cannot be read as HDF5 ({e}); remove it and encode the split again") from None
