"""Opening the HDF5 files that encoding wrote."""

from __future__ import annotations

from abc import ABC, abstractmethod
from pathlib import Path
from types import TracebackType
from typing import Self

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


class EncodedFile(ABC):
    """A file that encoding wrote, open for reading; a context manager. It is closed at once where it is not what it should be.

    Raises InputError as `opened` and the subclass's `_open` do.
    """

    def __init__(self, path: Path) -> None:
        self.path = path
        self._file = opened(path)
        try:
            self._open()
        except BaseException:
            self._file.close()
            raise

    @abstractmethod
    def _open(self) -> None:
        """Takes from `_file` what is wanted of it. Raises InputError naming the file where that is missing or does not fit together."""

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, value: BaseException | None, trace: TracebackType | None
    ) -> None:
        self._file.close()
