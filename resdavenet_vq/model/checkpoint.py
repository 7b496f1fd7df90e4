"""A model on disk: a folder with `model.safetensors` (weights) and `model.json` (all that is known of them).

The JSON holds the SHA-256 of the weights, which is checked before anything parses them.
"""

from __future__ import annotations

import hashlib
from typing import TYPE_CHECKING, Any, NamedTuple

import safetensors
import safetensors.torch
import torch
from torch import Tensor

from resdavenet_vq.config import Model
from resdavenet_vq.errors import InputError
from resdavenet_vq.files import atomic_write, read_json, sha256, write_json
from resdavenet_vq.lineage import N_POSITIONS
from resdavenet_vq.model.dual_encoder import DualEncoder, NoImageEncoder

if TYPE_CHECKING:
    from collections.abc import Mapping
    from pathlib import Path

WEIGHTS = "model.safetensors"
CARD = "model.json"


class WarmStart(NamedTuple):
    """Names of tensors after a warm start."""

    copied: tuple[str, ...]
    """Those with the name and shape of one of the parent's: now equal to it."""
    new: tuple[str, ...]
    """The model's others, at their initial values."""
    dropped: tuple[str, ...]
    """The parent's others."""


def save(folder: Path, model: DualEncoder, card: Mapping[str, Any]) -> None:
    """Writes a model and what is known of it.

    To `card` (plain JSON values: scores, provenance) are added `model`, `quantizers`, `image_branch` and `sha256`.
    Each file appears whole, the JSON last. An interruption between the two leaves a folder that `load` refuses, so a
    good checkpoint should not be overwritten but replaced.
    """
    data = safetensors.torch.save({name: x.detach().cpu().contiguous() for name, x in model.state_dict().items()})
    with atomic_write(folder / WEIGHTS) as tmp:
        tmp.write_bytes(data)
    described = {
        "model": model.settings.model_dump(mode="json"),
        "quantizers": list(model.quantizers),
        "image_branch": not isinstance(model.image, NoImageEncoder),
        "sha256": hashlib.sha256(data).hexdigest(),
    }
    write_json(folder / CARD, dict(card) | described)


def load(folder: Path, *, audio_only: bool = False) -> tuple[DualEncoder, dict[str, Any]]:
    """The model in a folder, in evaluation mode on the CPU, and its card; with `audio_only`, without its image branch.

    Raises InputError if a file is missing or damaged, or if the weights are not those of the model that the card describes.
    The state of the global random generator stays as it was.
    """
    state, card = _read(folder)
    match card:
        case {"model": dict(described), "quantizers": list(quantizers), "image_branch": bool(image_branch)} if all(
            type(n) is int and 1 <= n <= N_POSITIONS for n in quantizers
        ):
            settings: Model = _settings(described, folder)
        case _:
            raise InputError(
                f"{folder / CARD}: describes no model; it needs 'model', 'quantizers' (numbers from 1 to 5) and 'image_branch'"
            )
    if audio_only:
        image_branch, state = False, {name: x for name, x in state.items() if not name.startswith("image.")}
    with torch.random.fork_rng(devices=[]):
        model = DualEncoder(settings, tuple(quantizers), image_branch=image_branch)
    if faults := differences(model.state_dict(), state):
        raise InputError(f"{folder / WEIGHTS}: not the weights of the model in {CARD}:\n" + "\n".join(faults))
    model.load_state_dict(state)
    return model.eval(), card


def warm_start(model: DualEncoder, parent: Path) -> WarmStart:
    """Copies every tensor of the checkpoint in folder `parent` whose name and shape match, buffers too, into `model`."""
    state, _ = _read(parent)
    own = model.state_dict()
    copied = [name for name, x in own.items() if name in state and state[name].shape == x.shape]
    with torch.no_grad():
        for name in copied:
            own[name].copy_(state[name])
    return WarmStart(
        tuple(copied), tuple(n for n in own if n not in set(copied)), tuple(n for n in state if n not in set(copied))
    )


def differences(expected: Mapping[str, Tensor], found: Mapping[str, Tensor]) -> list[str]:
    """One line for each tensor that is missing, too many, or of another shape or type."""
    faults = [f"{name}: missing" for name in expected if name not in found]
    faults += [f"{name}: not expected" for name in found if name not in expected]
    for name in expected.keys() & found.keys():
        a, b = expected[name], found[name]
        if a.shape != b.shape or a.dtype != b.dtype:
            faults.append(f"{name}: is {_described(b)}, should be {_described(a)}")
    return sorted(faults)


def _settings(described: dict[str, Any], folder: Path) -> Model:
    try:
        settings = Model.from_card(described)
    except InputError as e:
        raise InputError(f"{folder / CARD}: 'model' has faults\n{e}") from None
    return settings


def _described(x: Tensor) -> str:
    return f"{tuple(x.shape)} {str(x.dtype).removeprefix('torch.')}"


def _read(folder: Path) -> tuple[dict[str, Tensor], dict[str, Any]]:
    """The weights, their checksum verified, and the card of a checkpoint."""
    card = read_json(folder / CARD)
    weights = folder / WEIGHTS
    if not isinstance(card, dict) or not isinstance(card.get("sha256"), str):
        raise InputError(f"{folder / CARD}: no description of a model: there is no 'sha256' of its weights")
    try:
        found = sha256(weights)
    except FileNotFoundError:
        raise InputError(f"{weights}: no such file; {CARD} beside it describes weights that are not there") from None
    if found != card["sha256"]:
        raise InputError(
            f"{weights}: SHA-256 is {found}, but {CARD} beside it says {card['sha256']}; the file is damaged or belongs to another model"
        )
    try:
        return safetensors.torch.load_file(weights), card
    except safetensors.SafetensorError as e:
        raise InputError(f"{weights}: not a safetensors file ({e})") from None
