"""What people hand to an encoder: paths, open files, bytes, arrays, or lists of them."""

from __future__ import annotations

import tempfile
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any, BinaryIO, NamedTuple

import numpy as np
import torch
from PIL import Image

from resdavenet_vq.data import images
from resdavenet_vq.data.recording import Recording
from resdavenet_vq.data.samples import Samples
from resdavenet_vq.encode.recording import Audio
from resdavenet_vq.errors import InputError, listed

type AudioInput = str | Path | BinaryIO | bytes | np.ndarray | torch.Tensor
type ImageInput = str | Path | BinaryIO | bytes | np.ndarray | torch.Tensor | Image.Image

_CHUNK = 1 << 20


class Recordings(NamedTuple):
    """Recordings in their order, and what each is called."""

    audio: list[Audio]
    names: list[str]
    is_one: bool
    """Whether it was given by itself, not in a list."""


@contextmanager
def recordings(audio: AudioInput | list[AudioInput], sample_rate: float | None) -> Iterator[Recordings]:
    """The recordings that a person gave, files read through once from end to end; valid within the block.

    Raises InputError that lists every recording that cannot be used.
    """
    is_one, items, names = _items(audio, "recording")
    if sample_rate is not None and not any(isinstance(item, np.ndarray | torch.Tensor) for item in items):
        raise InputError("sample_rate= is of arrays of samples; files state their own, so leave it out")
    with tempfile.TemporaryDirectory(prefix="resdavenet-vq-") as folder:
        copies: dict[str, str] = {}  # names by the paths of files that stand for bytes

        def load(item: Any, name: str) -> Audio:
            if isinstance(item, np.ndarray | torch.Tensor):
                if sample_rate is None:
                    raise InputError(f"{name}: needs sample_rate=, in Hz; only files state their own")
                return Samples(_array(item), sample_rate, name)
            if isinstance(item, str | Path):
                return Recording(Path(item))
            path = Path(folder) / str(len(copies))
            copies[str(path)] = name
            with path.open("wb") as file:
                for chunk in _chunks(item, name, "an array of samples"):
                    file.write(chunk)
            return Recording(path)

        try:
            yield Recordings(_each(items, names, load, "recordings"), names, is_one)
        except InputError as e:
            text = str(e)
            for path, name in copies.items():
                text = text.replace(path, name)
            raise InputError(text) from None


def pictures(given: ImageInput | list[ImageInput]) -> tuple[list[Image.Image], bool]:
    """The RGB images that a person gave, and whether it was one by itself, not in a list.

    Raises InputError that lists every image that cannot be used.
    """
    is_one, items, names = _items(given, "image")

    def load(item: Any, name: str) -> Image.Image:
        if isinstance(item, np.ndarray | torch.Tensor):
            return _image(_array(item), name)
        try:
            if isinstance(item, Image.Image):
                return images.as_rgb(item)
            if isinstance(item, str | Path):
                return images.decode(images.read(Path(item)))
            return images.decode(b"".join(_chunks(item, name, "an array or a Pillow image")))
        except (InputError, OSError) as e:  # Pillow reads an image that was opened only when its pixels are needed
            raise InputError(str(e) if str(e).startswith(name) else f"{name}: {e}") from None

    return _each(items, names, load, "images"), is_one


def _items(given: Any, kind: str) -> tuple[bool, list[Any], list[str]]:
    """Whether something was given by itself, all that was given, and their names in errors."""
    is_one = not isinstance(given, list | tuple)
    items = [given] if is_one else [*given]
    names = []
    for i, item in enumerate(items):
        own = str(item) if isinstance(item, str | Path) else getattr(item, "name", "")
        names.append(own if isinstance(own, str) and own else f"the {kind}" if is_one else f"{kind} {i}")
    return is_one, items, names


def _each[T](items: list[Any], names: list[str], load: Callable[[Any, str], T], kind: str) -> list[T]:
    """Everything loaded. Raises InputError with all faults."""
    loaded, faults = [], []
    for item, name in zip(items, names, strict=True):
        try:
            loaded.append(load(item, name))
        except InputError as e:
            faults.append(str(e))
    if len(items) == 1 and faults:
        raise InputError(faults[0])
    if faults:
        raise InputError(f"{len(faults)} of {len(items)} {kind} cannot be used:\n{listed(faults)}")
    return loaded


def _chunks(item: Any, name: str, others: str) -> Iterator[bytes]:
    """The bytes of an open file, from where it is, or bytes themselves."""
    if isinstance(item, bytes | bytearray | memoryview):
        yield bytes(item)
        return
    if not callable(getattr(item, "read", None)):
        what = f"a path, an open file, bytes, {others}, or a list of them"
        raise InputError(f"{name}: is of type {type(item).__name__}; give {what}")
    while chunk := item.read(_CHUNK):
        if not isinstance(chunk, bytes):
            raise InputError(f"{name}: is opened as text; open it with mode 'rb'")
        yield chunk


def _array(x: np.ndarray | torch.Tensor) -> np.ndarray:
    if isinstance(x, torch.Tensor):
        x = x.detach().cpu()
        return (x.float() if x.dtype == torch.bfloat16 else x).numpy()
    return x


def _image(x: np.ndarray, name: str) -> Image.Image:
    """The image in an array (H, W, 3) or (3, H, W)."""
    if x.dtype != np.uint8:
        raise InputError(f"{name}: values of type {x.dtype} are not read; give uint8, from 0 to 255")
    is_last, is_first = (x.ndim == 3 and x.shape[axis] == 3 for axis in (-1, 0))
    if is_last == is_first or not x.size:
        raise InputError(f"{name}: an RGB image has the shape (H, W, 3) or (3, H, W), not {x.shape}")
    return Image.fromarray(np.ascontiguousarray(x if is_last else x.transpose(1, 2, 0)))
