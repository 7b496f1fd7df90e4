"""The models released in 2020, turned into checkpoints like any other.

A released experiment is a folder with `args.pkl`, `models/best_audio_model.pth` and, mostly, `models/best_image_model.pth`
and `progress.pkl`, or a zip or tar archive of one. Archives are known by their MD5 before anything parses them.
`released_files.py` reads the files, whose makers we do not know; here is what they mean.
"""

from __future__ import annotations

import csv
import platform
import re
from pathlib import PurePath
from typing import TYPE_CHECKING, Any, NamedTuple

import torch
from torch import Tensor

import resdavenet_vq
from resdavenet_vq.config import IMAGENET, RANDOM, AudioModel, ImageModel, Model, QuantizerModel
from resdavenet_vq.errors import InputError
from resdavenet_vq.files import atomic_write
from resdavenet_vq.lineage import N_POSITIONS, Lineage
from resdavenet_vq.model import checkpoint
from resdavenet_vq.model.audio import N_MELS, AudioEncoder
from resdavenet_vq.model.dual_encoder import DualEncoder
from resdavenet_vq.model.image import ImageEncoder
from resdavenet_vq.release.archives import ARCHIVES, md5_of
from resdavenet_vq.release.files import (
    ARGUMENTS,
    AUDIO,
    IMAGE,
    PROGRESS,
    from_archive,
    from_folder,
    read_arguments,
    read_progress,
    read_weights,
)

if TYPE_CHECKING:
    from collections.abc import Iterator, Mapping
    from pathlib import Path

HISTORY = "history.csv"
"""The table that a training writes beside its model."""

_LINEAGES = {archive.md5: archive.lineage for archive in ARCHIVES}

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


def import_released(path: Path, out: Path, *, allow_unknown: bool, lineage: str | None = None) -> None:
    """Writes the folder of a trained model, `out`, from a released experiment: a folder, or a zip or tar archive of one.

    An archive must be one of the ten released, by its MD5, unless `allow_unknown`; a folder is taken as it is. `lineage` is
    what the model is taken for; it must be what the archive, or else the arguments, say. Without an image model the checkpoint
    has no image branch: units, ABX and words work, and retrieval says why it does not.

    The card says `released`, and in `provenance` the origin: file name, MD5, lineage of the archive where known, arguments,
    best epoch. `history.csv` has a row for each epoch in `progress.pkl`: epoch, steps so far, and mean_recall_at_10, which is
    known of the epochs that were the best so far only.

    Raises InputError saying everything that is wrong with the file that is; `out` is then left as it was.
    """
    try:
        taken_for = Lineage.parse(lineage) if lineage else None
    except ValueError as e:
        raise InputError(str(e)) from None
    if path.is_dir():
        md5, files = "", from_folder(path)
    else:
        md5 = md5_of(path)
        if md5 not in _LINEAGES and not allow_unknown:
            raise InputError(
                f"{path}: MD5 is {md5}, which none of the ten released archives has; the download is damaged or is something else. "
                "Download it again, or allow unknown archives if you trust where it comes from"
            )
        files = from_archive(path)
    known = _LINEAGES.get(md5)
    try:
        arguments = read_arguments(files[ARGUMENTS])
        progress = read_progress(files[PROGRESS]) if PROGRESS in files else []
        audio = read_weights(files[AUDIO], AUDIO)
        state = {f"audio.{name}": x for name, x in audio_state(audio).items()}
        described = _described(_without_prefix(audio))
        if IMAGE in files:
            state |= {f"image.{name}": x for name, x in image_state(read_weights(files[IMAGE], IMAGE)).items()}
        _check_agreement(arguments, described, known)
        if taken_for is not None:
            _check_lineage(taken_for, known, arguments, described)
        model = _model(arguments, described, image_branch=IMAGE in files)
        _check_fit(model, state)
    except InputError as e:
        raise InputError(f"{path}: {e}") from None
    model.load_state_dict(state)
    _write_history(out / HISTORY, progress)
    origin = {"file": path.resolve().name, "md5": md5 or None, "lineage": known, "arguments": arguments} | _best(
        progress
    )
    versions = {
        "resdavenet-vq": resdavenet_vq.__version__,
        "torch": torch.__version__,
        "python": platform.python_version(),
    }
    checkpoint.save(
        out,
        model,
        {
            "lineage": str(taken_for) if taken_for else known,
            "released": True,
            "provenance": origin,
            "versions": versions,
        },
    )


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
        expected = AudioEncoder(
            described.audio, _quantizer_model({}, described.sizes), tuple(described.sizes)
        ).state_dict()
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
    first = [
        state.get(name)
        for name in ("conv1.weight", *(f"layer{stage}.0.conv1.weight" for stage in range(1, N_POSITIONS)))
    ]
    shapes = [x.shape for x in first if x is not None and x.ndim == 4]
    if len(shapes) < N_POSITIONS:
        raise InputError(
            "no released audio model: it has no four-dimensional conv1.weight and layer1.0.conv1.weight to layer4.0.conv1.weight"
        )
    if shapes[0][2] != N_MELS:
        raise InputError(f"{AUDIO}: takes {shapes[0][2]} mel bands, and the features have {N_MELS}")
    audio = AudioModel(
        widths=(shapes[0][0], shapes[1][0], shapes[2][0], shapes[3][0], shapes[4][0]),
        blocks_per_stage=sum(re.fullmatch(r"layer1\.\d+\.conv1\.weight", name) is not None for name in state),
        kernel_size=shapes[1][3],
    )
    sizes = {
        n: len(state[f"quant{n}._embedding.weight"])
        for n in range(1, N_POSITIONS + 1)
        if f"quant{n}._embedding.weight" in state
    }
    return _Described(audio, sizes)


def _quantizer_model(arguments: Mapping[str, Any], sizes: Mapping[int, int]) -> QuantizerModel:
    """The quantizers' settings; positions that are off take the size in the arguments, or the default one."""
    fallback = _numbers(arguments.get("VQ_sizes"))
    s1, s2, s3, s4, s5 = (
        sizes.get(n, fallback[n - 1] if len(fallback) == N_POSITIONS else 1024) for n in range(1, N_POSITIONS + 1)
    )
    known = {"VQ_commitment_cost": "commitment_weight", "init_ema_mass": "init_mass", "init_std": "init_std"}
    changes = {key: float(arguments[name]) for name, key in known.items() if type(arguments.get(name)) in {int, float}}
    same = s1 == s2 == s3 == s4 == s5
    return QuantizerModel(
        codebook_size=s1 if same else (s1, s2, s3, s4, s5),
        init_nonnegative=arguments.get("nonneg_init") is True,
        **changes,
    )


def _model(arguments: Mapping[str, Any], described: _Described, *, image_branch: bool) -> DualEncoder:
    weights = IMAGENET if arguments.get("pretrained_image_model") is True else RANDOM
    settings = Model(
        audio=described.audio,
        image=ImageModel(architecture="resnet50", weights=weights),
        quantizer=_quantizer_model(arguments, described.sizes),
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
        "layer_depths": (
            _numbers(arguments.get("layer_depths")),
            (described.audio.blocks_per_stage,) * (N_POSITIONS - 1),
        ),
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


def _check_lineage(taken_for: Lineage, known: str | None, arguments: Mapping[str, Any], described: _Described) -> None:
    """Raises InputError if the model is not what it is taken for.

    Of an archive that is none of the ten, only the quantizers of the last stage and whether there was a stage before are known.
    """
    if known is not None:
        if Lineage.parse(known) != taken_for:
            raise InputError(f"is the released model of {known}, not of {taken_for}")
        return
    if taken_for.quantizers != tuple(described.sizes):
        found = Lineage((tuple(described.sizes),))
        raise InputError(f"its last stage is {found}, so it is no model of {taken_for}")
    seed = arguments.get("seed_dir")
    if isinstance(seed, str) and bool(seed) == (taken_for.parent is None):
        begun = f"began with the weights of {PurePath(seed).name!r}" if seed else "began anew"
        raise InputError(f"{ARGUMENTS}: seed_dir says that its training {begun}, so it is no model of {taken_for}")


def _numbers(value: Any) -> tuple[int, ...]:
    """The whole numbers in `3`, `[3, 4]` or `"3,4"`; none of anything else."""
    if isinstance(value, str):
        value = value.split(",")
    try:
        return tuple(int(v) for v in (value if isinstance(value, list) else [value]))
    except (TypeError, ValueError, OverflowError):
        return ()


def _epochs(progress: list[Any]) -> Iterator[tuple[int, int, int, float]]:
    """Of each epoch: its number, steps so far, the best epoch so far and that one's R@10; rows of another form are left out."""
    for row in progress:
        match row:
            case [int(epoch), int(steps), int(best), float(recall), *_] if epoch >= 1:
                yield epoch, steps, best, recall


def _best(progress: list[Any]) -> dict[str, Any]:
    """The best epoch and its R@10."""
    return (
        {"best_epoch": epochs[-1][2], "best_recall_at_10": epochs[-1][3]} if (epochs := list(_epochs(progress))) else {}
    )


def _write_history(path: Path, progress: list[Any]) -> None:
    with atomic_write(path) as tmp, tmp.open("w", encoding="utf-8", newline="") as f:
        writer = csv.writer(f, lineterminator="\n")
        writer.writerow(["epoch", "steps", "mean_recall_at_10"])
        for epoch, steps, best, recall in _epochs(progress):
            writer.writerow([epoch, steps, f"{recall:.6g}" if epoch == best else ""])
