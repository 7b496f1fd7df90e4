"""HDF5 files that encoding writes: one way to open them for reading, and one for writing."""

from __future__ import annotations

import io
from abc import ABC, abstractmethod
from collections.abc import Iterable, Iterator, Sequence
from contextlib import ExitStack, contextmanager
from pathlib import Path
from typing import Any, ClassVar, Self

import h5py
import numpy as np

from resdavenet_vq.errors import InputError
from resdavenet_vq.files import atomic_write, together, write_digest

AGAIN = "remove it and encode the split again"


class EncodedFile(ABC):
    """A file that encoding wrote, open for reading; a context manager.

    Raises InputError naming the file if it is missing, no HDF5, or does not have the layout of its kind.
    """

    kind: ClassVar[str]

    def __init__(self, path: Path) -> None:
        self.path = path
        try:
            self._file = h5py.File(path, "r")
        except FileNotFoundError:
            raise InputError(f"{path}: no such file; encode the split first") from None
        except OSError as e:
            raise InputError(f"{path}: cannot be read as HDF5 ({e}); {AGAIN}") from None
        with ExitStack() as stack:
            stack.enter_context(self._file)
            try:
                self._read(self._file)
            except (KeyError, TypeError, AttributeError, ValueError, IndexError, OSError) as e:
                raise InputError(f"{path}: is no complete {self.kind} file ({e}); {AGAIN}") from None
            stack.pop_all()

    @abstractmethod
    def _read(self, file: h5py.File) -> None:
        """Takes what the file holds; a KeyError, ValueError, ... says that it has another layout."""

    def _group(self, layer: str) -> h5py.Group:
        """The group of a layer. Raises InputError with the layers that there are."""
        if layer not in self._file:
            layers = ", ".join(layer_names(self._file)) or "none"
            missing = f"holds no {self.kind} of {layer!r} (layers: {layers})"
            raise InputError(f"{self.path}: {missing}; encode the split with this layer, if the model has it")
        return self._file[layer]

    def _check(self, fits: bool, parts: str) -> None:
        """Raises InputError unless the parts of the file fit together."""
        if not fits:
            raise InputError(f"{self.path}: {parts} do not fit together; {AGAIN}")

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *_: object) -> None:
        self._file.close()


def layer_names(file: h5py.File) -> list[str]:
    """The layers that a codes or features file holds."""
    return sorted(name for name in file if isinstance(file[name], h5py.Group))


def texts(file: h5py.File, name: str) -> list[str]:
    """A dataset of texts."""
    return [text.decode() for text in file[name][:]]


def offsets_divide(offsets: np.ndarray, n_rows: int, n_utterances: int) -> bool:
    """Whether offsets give each utterance its part of the rows."""
    fits = offsets.shape == (n_utterances + 1,) and (offsets[0], offsets[-1]) == (0, n_rows)
    return fits and bool((np.diff(offsets) >= 0).all())


class _Bytes(io.FileIO):
    """A file whose first failure to write is kept as `error`, to be raised at the end.

    HDF5 would fail again, with lines of its own on standard error, at every object that is freed.
    """

    error: OSError | None = None

    def write(self, data: Any) -> int:
        """Writes all of `data`, unless a write has failed."""
        view = memoryview(data).cast("B")
        rest = view
        try:
            while len(rest) and self.error is None:
                rest = rest[super().write(rest) :]
        except OSError as e:
            self.error = e
        return len(view)


@contextmanager
def create(path: Path) -> Iterator[h5py.File]:
    """A new HDF5 file; it and its digest, `path`.sha256, appear when the block ends well."""
    with together():
        with atomic_write(path) as tmp, _Bytes(tmp, "w+b") as out:
            with h5py.File(out, "w") as file:
                yield file
            if out.error:
                raise out.error
        write_digest(path)


def write_texts(file: h5py.File, name: str, values: Sequence[str]) -> None:
    """Writes a dataset (N,) of UTF-8 texts."""
    file.create_dataset(name, (len(values),), h5py.string_dtype())[...] = np.array(values, dtype=object)


class Rows:
    """The rows of all utterances, one utterance after another, on their way into a group of an HDF5 file.

    `n_rows` (N,) is the number of rows of each utterance. Rows are (total, width) float32, or without a `width`
    (total,) int32.
    """

    def __init__(self, group: h5py.Group, name: str, n_rows: np.ndarray, width: int | None = None) -> None:
        self._offsets = np.concatenate([[0], np.cumsum(n_rows)])
        group["offsets"] = self._offsets
        total = self._offsets[-1]
        shape, dtype = ((total,), np.int32) if width is None else ((total, width), np.float32)
        self._rows = group.create_dataset(name, shape, dtype)

    def write(self, i: int, rows: np.ndarray, start: int = 0) -> None:
        """Writes rows of utterance number i, of which the first is its row `start`."""
        first = self._offsets[i] + start
        assert first + len(rows) <= self._offsets[i + 1], "rows reach into the next utterance"
        self._rows[first : first + len(rows)] = rows

    def write_each(self, numbers: Sequence[int], rows: Iterable[np.ndarray]) -> None:
        """Writes all rows of some utterances, given by their numbers."""
        for i, of_one in zip(numbers, rows, strict=True):
            self.write(i, of_one)
