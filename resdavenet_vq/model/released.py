"""The models released in 2020, turned into checkpoints like any other.

A released experiment is a folder with `args.pkl`, `models/best_audio_model.pth` and, mostly, `models/best_image_model.pth`
and `progress.pkl`, or a zip or tar archive of one. Archives are known by their MD5 before anything parses them.
`released_files.py` reads the files, whose makers we do not know; here is what they mean.
"""

from __future__ import annotations

import re
from typing import TYPE_CHECKING, Any, NamedTuple

import torch
from torch import Tensor

from resdavenet_vq.config import AudioModel, ImageModel, Model, QuantizerModel
from resdavenet_vq.errors import InputError
from resdavenet_vq.model import checkpoint
from resdavenet_vq.model.audio import AudioEncoder
from resdavenet_vq.model.dual_encoder import DualEncoder
from resdavenet_vq.model.image import ImageEncoder
from resdavenet_vq.model.released_files import (
    ARGUMENTS,
    AUDIO,
    IMAGE,
    PROGRESS,
    from_archive,
    from_folder,
    md5_of,
    read_arguments,
    read_progress,
    read_weights,
)
from resdavenet_vq.stage import N_POSITIONS, Lineage

if TYPE_CHECKING:
    from collections.abc import Mapping
    from pathlib import Path

ARCHIVES = {
    "e3f94990c72ce9742c252b2e04f134e4": "{}",
    "d8ebaabaf882632f49f6aea0a69516eb": "{}->{2}",
    "2c3a269c70005cbbaaa15fc545da93fa": "{}->{3}",
    "d0764d8e97187c8201f205e32b5f7fee": "{}->{2,3}",
    "d68c942069fcdfc3944e556f6af79c60": "{2}",
    "09e704f8fcd9f85be8c4d5bdf779bd3b": "{2}->{2,3}",
    "6e403e7f771aad0c95f087318bf8447e": "{2}->{2,3}->{2,3,4}",
    "a0a3d5adbbd069a2739219346c8a8f70": "{3}",
    "6c92bcc4445895876a7840bc6e88892b": "{3}->{2,3}",
    "7a98a661302939817a1450d033bc2fcc": "{2,3}",
}
"""MD5 of the released archives, and the lineages of the models in them."""

_NAMES = (
    (r"^stages\.0\.0\.", "conv1."),
    (r"^stages\.0\.1\.", "bn1."),
    (r"^stages\.([1-4])\.", r"layer\1."),
    (r"\.norm([12])\.", r".bn\1."),
    (r"\.shortcut\.", ".downsample."),
    (r"^quantizers\.(quant[1-5])\.codebook$", r"\1._embedding.weight"),
    (r"^quantizers\.(quant[1-5])\.embedding_sum$", r"\1._ema_w"),
    (r"^quantizers\.(quant[1-5])\.cluster_size$", r"\1._ema_cluster_size"),
    (r"^trunk\.", ""),
)
"""How our names become the release's."""


def import_released(path: Path, out: Path, *, allow_unknown: bool) -> None:
    """Writes the checkpoint folder `out` from a released experiment: a folder, or a zip or tar archive of one.

    An archive must be one of the ten released, by its MD5, unless `allow_unknown`; a folder is taken as it is. Without
    an image model the checkpoint has no image branch: units, ABX and words work, and retrieval says why it does not.
    The card's `released` tells the origin: file name, MD5, lineage where known, arguments and best epoch.

    Raises InputError saying everything that is wrong with the file that is; `out` is then left as it was.
    """
    if path.is_dir():
        md5, files = "", from_folder(path)
    else:
        md5 = md5_of(path)
        if md5 not in ARCHIVES and not allow_unknown:
            raise InputError(
                f"{path}: MD5 is {md5}, which is none of the ten released archives'; the download is damaged or is something else. "
                "Download it again, or allow unknown archives if you trust where it comes from"
            )
        files = from_archive(path)
    lineage = ARCHIVES.get(md5)
    try:
        arguments = read_arguments(files[ARGUMENTS])
        best = _best(read_progress(files[PROGRESS])) if PROGRESS in files else {}
        audio = read_weights(files[AUDIO], AUDIO)
        state = {f"audio.{name}": x for name, x in audio_state(audio).items()}
        described = _described(_without_prefix(audio))
        if IMAGE in files:
            state |= {f"image.{name}": x for name, x in image_state(read_weights(files[IMAGE], IMAGE)).items()}
        _check_agreement(arguments, described, lineage)
        model = _model(arguments, described, image_branch=IMAGE in files)
        _check_fit(model, state)
    except InputError as e:
        raise InputError(f"{path}: {e}") from None
    model.load_state_dict(state)
    released = {"file": path.name, "md5": md5 or None, "lineage": lineage, "arguments": arguments} | best
    checkpoint.save(out, model, {"released": released})


class _Described(NamedTuple):
    """What the shapes of a released audio model say of it."""

    audio: AudioModel
    sizes: dict[int, int]
    """Codebook sizes by position, of the quantizers that are on."""


def audio_state(release: Mapping[str, Tensor]) -> dict[str, Tensor]:
    """A released audio model's tensors under the names of AudioEncoder.

    Raises InputError listing every tensor that is missing, unexpected or misshaped for the network that the first
    convolution of each stage and the numbers of blocks and quantizers describe.
    """
    state = {name: x for name, x in _without_prefix(release).items() if not name.startswith("batchnorm1.")}
    described = _described(state)
    with torch.device("meta"):
        expected = AudioEncoder(described.audio, _quantizer_model({}, described.sizes), tuple(described.sizes)).state_dict()
    return _renamed(expected, state, "audio")


def image_state(release: Mapping[str, Tensor]) -> dict[str, Tensor]:
    """A released image model's tensors (ResNet-50 and `embedder`) under the names of ImageEncoder; strict like `audio_state`."""
    state = _without_prefix(release)
    bias = state.get("embedder.bias")
    if bias is None or bias.ndim != 1:
        raise InputError("the image model has no embedder.bias that tells its width")
    with torch.device("meta"):
        expected = ImageEncoder(ImageModel(architecture="resnet50"), len(bias)).state_dict()
    return _renamed(expected, state, "image")


def _without_prefix(release: Mapping[str, Tensor]) -> dict[str, Tensor]:
    """The state without the prefix that data parallelism leaves."""
    return {name.removeprefix("module."): x for name, x in release.items()}


def _renamed(expected: Mapping[str, Tensor], state: Mapping[str, Tensor], which: str) -> dict[str, Tensor]:
    """The released tensors by our names, if they are exactly the expected ones."""
    theirs = {}
    for name in expected:
        theirs[name] = name
        for pattern, replacement in _NAMES:
            theirs[name] = re.sub(pattern, replacement, theirs[name])
    if faults := checkpoint.differences({theirs[name]: x for name, x in expected.items()}, state):
        raise InputError(f"the weights of the {which} model have faults:\n" + "\n".join(faults))
    return {name: state[theirs[name]] for name in expected}


def _described(state: Mapping[str, Tensor]) -> _Described:
    """The network that released names and shapes describe."""
    first = [state.get(name) for name in ("conv1.weight", *(f"layer{stage}.0.conv1.weight" for stage in range(1, N_POSITIONS)))]
    shapes = [x.shape for x in first if x is not None and x.ndim == 4]
    if len(shapes) < N_POSITIONS:
        raise InputError(
            "no released audio model: it has no four-dimensional conv1.weight and layer1.0.conv1.weight to layer4.0.conv1.weight"
        )
    audio = AudioModel(
        widths=(shapes[0][0], shapes[1][0], shapes[2][0], shapes[3][0], shapes[4][0]),
        blocks_per_stage=sum(re.fullmatch(r"layer1\.\d+\.conv1\.weight", name) is not None for name in state),
        kernel_size=shapes[1][3],
        n_mels=shapes[0][2],
    )
    sizes = {n: len(state[f"quant{n}._embedding.weight"]) for n in range(1, N_POSITIONS + 1) if f"quant{n}._embedding.weight" in state}
    return _Described(audio, sizes)


def _quantizer_model(arguments: Mapping[str, Any], sizes: Mapping[int, int]) -> QuantizerModel:
    """The quantizers' settings; positions that are off take the size in the arguments, or the default one."""
    fallback = _numbers(arguments.get("VQ_sizes"))
    s1, s2, s3, s4, s5 = (sizes.get(n, fallback[n - 1] if len(fallback) == N_POSITIONS else 1024) for n in range(1, N_POSITIONS + 1))
    known = {"VQ_commitment_cost": "commitment_weight", "init_ema_mass": "init_mass", "init_std": "init_std"}
    changes = {key: float(arguments[name]) for name, key in known.items() if type(arguments.get(name)) in {int, float}}
    same = s1 == s2 == s3 == s4 == s5
    return QuantizerModel(
        codebook_size=s1 if same else (s1, s2, s3, s4, s5), init_nonnegative=arguments.get("nonneg_init") is True, **changes
    )


def _model(arguments: Mapping[str, Any], described: _Described, *, image_branch: bool) -> DualEncoder:
    settings = Model(
        audio=described.audio, image=ImageModel(architecture="resnet50"), quantizer=_quantizer_model(arguments, described.sizes)
    )
    with torch.random.fork_rng(devices=[]):
        return DualEncoder(settings, tuple(described.sizes), image_branch=image_branch)


def _check_fit(model: DualEncoder, state: Mapping[str, Tensor]) -> None:
    """Raises InputError if the image and the audio tensors do not make up one model."""
    if faults := checkpoint.differences(model.state_dict(), state):
        raise InputError("the image and the audio model do not fit together:\n" + "\n".join(faults))


def _check_agreement(arguments: Mapping[str, Any], described: _Described, lineage: str | None) -> None:
    """Raises InputError listing where the arguments, or the lineage of the archive, contradict the tensors."""
    on = tuple(described.sizes)
    sizes = _numbers(arguments.get("VQ_sizes"))
    told = {
        "layer_widths": (_numbers(arguments.get("layer_widths")), described.audio.widths),
        "layer_depths": (_numbers(arguments.get("layer_depths")), (described.audio.blocks_per_stage,) * (N_POSITIONS - 1)),
        "convsize": (_numbers(arguments.get("convsize")), (described.audio.kernel_size,)),
        "VQ_turnon": (_numbers(arguments.get("VQ_turnon")), tuple(int(n in on) for n in range(1, N_POSITIONS + 1))),
        "VQ_sizes": (sizes, tuple(described.sizes.get(n, size) for n, size in enumerate(sizes, start=1))),
    }
    faults = [
        f"{ARGUMENTS}: {key} is {said}, but the tensors of {AUDIO} say {found}"
        for key, (said, found) in told.items()
        if said and said != found
    ]
    if lineage is not None and Lineage.parse(lineage).quantizers != on:
        faults.append(f"{AUDIO}: has the quantizers {on}, but this archive's model is {lineage}")
    if faults:
        raise InputError("\n".join(faults))


def _numbers(value: Any) -> tuple[int, ...]:
    """The whole numbers in `3`, `[3, 4]` or `"3,4"`; none of anything else."""
    if isinstance(value, str):
        value = value.split(",")
    try:
        return tuple(int(v) for v in (value if isinstance(value, list) else [value]))
    except (TypeError, ValueError, OverflowError):
        return ()


def _best(progress: list[Any]) -> dict[str, Any]:
    """The best epoch and its R@10 from the last row: epoch, step, best epoch, best R@10, seconds."""
    match progress:
        case [*_, [_, _, int(epoch), float(recall), *_]]:
            return {"best_epoch": epoch, "best_recall_at_10": recall}
        case _:
            return {}
