"""A model on disk: a folder with `model.safetensors`, the weights, and `model.json`, their description.

The JSON holds the SHA-256 of the weights, which is verified before they are parsed.
"""

from __future__ import annotations

import hashlib
import os
import platform
import re
import sys
import zipfile
from contextlib import contextmanager, nullcontext
from pathlib import Path, PurePosixPath
from typing import TYPE_CHECKING, Any, BinaryIO

import safetensors
import safetensors.torch
import torch
from torch import Tensor, nn

import resdavenet_vq
from resdavenet_vq.archive import open_zip
from resdavenet_vq.config import Model
from resdavenet_vq.errors import InputError, listed
from resdavenet_vq.files import atomic_write, open_regular, read_json, sha256, together, write_json
from resdavenet_vq.lineage import N_POSITIONS
from resdavenet_vq.model.dual_encoder import DualEncoder, NoImageEncoder

if TYPE_CHECKING:
    from collections.abc import Iterator, Mapping

WEIGHTS = "model.safetensors"
CARD = "model.json"

LARGEST_HEADER = 1 << 24
"""Bytes of the header of a safetensors file, about 100 for each tensor; the models have a few hundred of them."""

MOST_ENTRIES = 100_000
"""Number of files in a zip of torch.save, one for each tensor."""

ENTRIES = ("state_dict", "model_state_dict", "model")
"""Under which trainings write the tensors of a model beside other things, in the order of preference."""

_REMEDY = "save its tensors alone: torch.save(model.state_dict(), FILE)"

ZIP = b"PK\x03\x04"
"""The first bytes of a zip archive, and of a file of torch.save since 2020."""


def versions() -> dict[str, str]:
    """The versions of the software, for a card."""
    return {"resdavenet-vq": resdavenet_vq.__version__, "torch": torch.__version__, "python": platform.python_version()}


def parameters(part: nn.Module) -> int:
    """The number of weights that are trained, and of values in codebooks."""
    codebooks = [x.numel() for name, x in part.named_buffers() if name.endswith(".codebook")]
    return sum(x.numel() for x in part.parameters()) + sum(codebooks)


def save(folder: Path, model: DualEncoder, card: Mapping[str, Any]) -> dict[str, Any]:
    """Writes a model and its description, which it returns.

    `card` holds plain JSON values such as scores; `model`, `quantizers`, `image_branch` and `sha256` are added to it.
    Both appear together, the JSON last. After SIGKILL between the two, `load` refuses the folder.
    """
    data = safetensors.torch.save({name: x.detach().cpu().contiguous() for name, x in model.state_dict().items()})
    description = {
        "model": model.settings.model_dump(mode="json"),
        "quantizers": list(model.quantizers),
        "image_branch": not isinstance(model.image, NoImageEncoder),
        "sha256": hashlib.sha256(data).hexdigest(),
    }
    with together():
        with atomic_write(folder / WEIGHTS) as tmp:
            tmp.write_bytes(data)
        write_json(folder / CARD, dict(card) | description)
    return dict(card) | description


def load(folder: Path, *, audio_only: bool = False) -> tuple[DualEncoder, dict[str, Any]]:
    """The model in a folder, in evaluation mode on the CPU, and its card; with `audio_only`, without its image branch.

    Raises InputError if a file is missing or damaged, or if the weights do not fit the model that the card describes.
    The state of the global random generator does not change.
    """
    state, card = _read(folder)
    match card:
        case {"model": dict(description), "quantizers": list(quantizers), "image_branch": bool(image_branch)} if all(
            type(n) is int and 1 <= n <= N_POSITIONS for n in quantizers
        ):
            try:
                settings: Model = Model.from_card(description)
            except InputError as e:
                raise InputError(f"{folder / CARD}: 'model' has faults\n{e}") from None
        case _:
            raise InputError(
                f"{folder / CARD}: does not describe a model; it needs 'model', 'quantizers' (numbers from 1 to 5) and "
                "'image_branch'"
            )
    if audio_only:
        image_branch, state = False, {name: x for name, x in state.items() if not name.startswith("image.")}
    with torch.device("meta"):  # no memory: a card may describe a model of any size
        expected = DualEncoder(settings, tuple(quantizers), image_branch=image_branch).state_dict()
    if faults := differences(expected, state):
        fault = listed(faults)
        raise InputError(f"{folder / WEIGHTS}: not the weights of the model in {CARD}:\n{fault}")
    with torch.random.fork_rng(devices=[]):
        model = DualEncoder(settings, tuple(quantizers), image_branch=image_branch)
    model.load_state_dict(state)
    return model.eval(), card


def warm_start(model: DualEncoder, parent: Path) -> None:
    """Copies all tensors of the checkpoint in folder `parent` whose name and shape match, also buffers, to `model`."""
    state, _ = _read(parent)
    with torch.no_grad():
        for name, x in model.state_dict().items():
            if name in state and state[name].shape == x.shape:
                x.copy_(state[name])


def differences(expected: Mapping[str, Tensor], actual: Mapping[str, Tensor]) -> list[str]:
    """One line for each tensor that is missing, unexpected, or of another shape or type."""
    should, is_ = (
        {name: f"{tuple(x.shape)} {str(x.dtype).removeprefix('torch.')}" for name, x in tensors.items()}
        for tensors in (expected, actual)
    )
    faults = [f"{name}: missing" for name in should.keys() - is_.keys()]
    faults += [f"{name}: not expected" for name in is_.keys() - should.keys()]
    both = should.keys() & is_.keys()
    faults += [f"{name}: is {is_[name]}, should be {should[name]}" for name in both if is_[name] != should[name]]
    return sorted(faults)


def read_tensors(file: Path | BinaryIO, name: str) -> dict[str, Tensor]:
    """The tensors in a safetensors file or a file of torch.save, called `name` in errors; its suffix does not matter.

    They may be in a dictionary under one of ENTRIES, as trainings write them beside an optimizer.

    Raises InputError for anything else. The file is not trusted: no code in it runs, and the tensors have no more bytes
    than the file.
    """
    try:
        start = _first_bytes(file)
        if isinstance(file, Path) and start[8:9] == b"{":
            state: Any = safetensors.torch.load_file(file)
        else:
            state = load_pickle(file)
    except Exception as e:  # noqa: BLE001 (the parsers' errors are of many types)
        raise InputError(f"{name}: not a file of tensors ({_fault_of(e, file)})") from None
    for entry in ENTRIES:
        if isinstance(state, dict) and isinstance(state.get(entry), dict):
            state = state[entry]
            break
    if not isinstance(state, dict) or not all(
        isinstance(key, str) and isinstance(x, Tensor) for key, x in state.items()
    ):
        entries = " or ".join(map(repr, ENTRIES))
        raise InputError(f"{name}: does not hold tensors by name only, or under {entries}; {_REMEDY}")
    if faults := [f"{name}: {key} is not a plain tensor" for key, x in state.items() if not _is_plain(x)]:
        raise InputError(listed(faults))
    return dict(state)


def without_prefix(state: Mapping[str, Tensor]) -> dict[str, Tensor]:
    """The tensors without `module.`, which data parallelism puts before all their names."""
    prefix = "module."
    if not all(name.startswith(prefix) for name in state):
        return dict(state)
    return {name.removeprefix(prefix): x for name, x in state.items()}


def _first_bytes(file: Path | BinaryIO) -> bytes:
    with _opened(file) as stream:
        start = stream.read(16)
        stream.seek(0)
        return start


@contextmanager
def _opened(file: Path | BinaryIO) -> Iterator[BinaryIO]:
    with open_regular(file) if isinstance(file, Path) else nullcontext(file) as stream:
        yield stream


def _fault_of(error: Exception, file: Path | BinaryIO) -> str:
    """Why a file of others is no file of tensors, by the error of a parser and by what else it is."""
    if isinstance(error, InputError):  # it cannot be opened
        return str(error)
    text = first_line(error)
    if found := re.search(r"GLOBAL (\S+) was not", text):
        return f"it holds {found[1]}, an object of Python, which could run code; if you trust it, {_REMEDY}"
    if "legacy .tar" in text:
        return f"a tar archive, as PyTorch of 2016 wrote it, or of other files; unpack it, or {_REMEDY}"
    start = _first_bytes(file)
    if start.startswith(ZIP):
        return _other_zip(file) or text
    return text if start.startswith(b"\x80") or start[8:9] == b"{" else f"it begins with {start!r}"


def _other_zip(file: Path | BinaryIO) -> str:
    """What a zip archive is that torch.save did not write; empty if it did, or if nobody can tell."""
    try:
        with _opened(file) as stream:
            names = open_zip(stream, largest=sys.maxsize, most=MOST_ENTRIES).namelist()
    except (zipfile.BadZipFile, ValueError):  # damaged, which torch says
        return ""
    entries = {PurePosixPath(name).name for name in names}
    if "constants.pkl" in entries:
        return f"a TorchScript program; if you trust it, {_REMEDY}"
    return "" if "data.pkl" in entries else f"a zip archive of other files: {', '.join(names[:2])}"


def load_pickle(file: Path | BinaryIO) -> Any:
    """The value in a file of torch.save, of tensors, containers and plain values; no code in it runs.

    Raises errors of many types for anything else, and ValueError if the file would unpack to more bytes than it has.
    """
    with _opened(file) as stream:
        start = stream.read(len(ZIP))
        size = stream.seek(0, os.SEEK_END)
        stream.seek(0)
        if start == ZIP:  # torch.save does not compress
            open_zip(stream, largest=size, most=MOST_ENTRIES).close()
            stream.seek(0)
        return torch.load(stream, map_location="cpu", weights_only=True)


def first_line(error: Exception) -> str:
    """The beginning of what a parser says, or the name of its error; of torch.load what is wrong and not its advice."""
    text = str(error)
    if found := re.search(r"WeightsUnpickler error:\s*([^\n]+?)(\. Please|\n|$)", text):
        text = found[1]
    return text.partition("\n")[0][:200] or type(error).__name__


def _is_plain(x: Tensor) -> bool:
    """Whether a tensor lies in memory as its shape says; views of little memory can claim any shape."""
    on_cpu = x.layout is torch.strided and x.device.type == "cpu"
    return on_cpu and not x.is_quantized and x.nbytes <= x.untyped_storage().nbytes()


def _read(folder: Path) -> tuple[dict[str, Tensor], dict[str, Any]]:
    """The weights, their checksum verified, and the card of a checkpoint."""
    card = read_json(folder / CARD)
    weights = folder / WEIGHTS
    if not isinstance(card, dict) or not isinstance(card.get("sha256"), str):
        raise InputError(f"{folder / CARD}: does not describe a model; it has no 'sha256' of the weights")
    if not weights.exists():
        raise InputError(f"{weights}: no such file, but {CARD} beside it describes it")
    if (digest := sha256(weights)) != card["sha256"]:
        raise InputError(
            f"{weights}: SHA-256 is {digest}, but {CARD} beside it says {card['sha256'][:64]!r}; the file is damaged "
            "or belongs to another model"
        )
    with open_regular(weights) as file:
        length = int.from_bytes(file.read(8), "little")
    if length > LARGEST_HEADER:
        raise InputError(f"{weights}: not a safetensors file (it announces a header of {length} bytes)")
    return read_tensors(weights, str(weights)), card
