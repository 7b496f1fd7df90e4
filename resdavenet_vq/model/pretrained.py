"""Pretrained weights of the image network: torchvision's ImageNet weights or a local file, without any fallback."""

from __future__ import annotations

import re
from pathlib import Path
from typing import TYPE_CHECKING

import torch

from resdavenet_vq import download
from resdavenet_vq.config import IMAGENET, RANDOM
from resdavenet_vq.errors import InputError, listed
from resdavenet_vq.files import sha256
from resdavenet_vq.model import checkpoint
from resdavenet_vq.model.image import ImageEncoder

if TYPE_CHECKING:
    from resdavenet_vq.config import ImageModel
    from resdavenet_vq.model.dual_encoder import DualEncoder

LARGEST = 1 << 27
"""Bytes of the largest file that is downloaded: the published one has 98 MiB."""

_HALVES = frozenset({torch.float16, torch.bfloat16})
"""Types of which every number is one of float32, too."""


def imagenet_url() -> str:
    """The address of torchvision's weights; the name of the file contains the first digits of its SHA-256."""
    from torchvision.models import ResNet50_Weights  # as slow as PyTorch, and needed for this alone

    return str(ResNet50_Weights.IMAGENET1K_V1.url)


def sha256_of(image: ImageModel) -> str | None:
    """The SHA-256 of the file with the weights, downloading it if necessary; None for random weights."""
    return None if image.weights == RANDOM else sha256(_file(image))


def load_trunk(model: DualEncoder) -> None:
    """Loads the pretrained weights that the model's settings name into the image network; random weights stay.

    The file holds the tensors of the ResNet under torchvision's names, of 32 or 16 bits, as
    `checkpoint.read_tensors` reads them; a classifier (`fc.`) is ignored. Raises
    InputError if the file is missing or damaged, or with a list of the tensors that are missing, unexpected, misshaped
    or not finite.
    """
    image = model.settings.image
    if image.weights == RANDOM or not isinstance(model.image, ImageEncoder):
        return
    file = _file(image)
    expected = model.image.trunk.state_dict()
    state = checkpoint.without_prefix(checkpoint.read_tensors(file, str(file)))
    state = {name: x.float() if x.dtype in _HALVES else x for name, x in state.items() if not name.startswith("fc.")}
    for name, x in expected.items():
        if name.endswith(".num_batches_tracked"):  # files from before 2018 lack it, and nothing uses it
            state.setdefault(name, torch.zeros_like(x))
    faults = checkpoint.differences(expected, state)
    faults += [f"{name}: not finite" for name, x in state.items() if not torch.isfinite(x).all()]
    if faults:
        raise InputError(f"{file}: not the weights of a {image.architecture}:\n{listed(faults)}")
    model.image.trunk.load_state_dict(state)


def _file(image: ImageModel) -> Path:
    """The file with the weights; that of torchvision is downloaded if necessary, and its checksum verified."""
    if image.weights != IMAGENET:
        file = Path(image.weights)
        if not file.is_file():
            raise InputError(f"model.image.weights: {file}: no such file")
        return file
    url = imagenet_url()
    name = url.rsplit("/", 1)[1]
    file = Path(torch.hub.get_dir()) / "checkpoints" / name
    checksum = re.search(r"-([0-9a-f]{8,})\.", name)
    assert checksum, "torchvision puts a checksum into the names of its files"

    def check(path: Path) -> None:
        if not (digest := sha256(path)).startswith(checksum[1]):
            raise InputError(f"its SHA-256 begins with {digest[: len(checksum[1])]}, not {checksum[1]}")

    try:
        return download.fetch(url, file, check, LARGEST)
    except InputError as e:
        raise InputError(
            f"model.image.weights: {IMAGENET} of torchvision: {e}. Without a network, download {url} elsewhere and put "
            f"it into {file.parent}, or set model.image.weights to its path; its SHA-256 begins with {checksum[1]}"
        ) from None
