"""Converts models released in 2020 to ordinary checkpoints.

A released experiment is a folder with `args.pkl`, `models/best_audio_model.pth` and usually
`models/best_image_model.pth` and `progress.pkl`, or a zip or tar archive of such a folder. An archive is identified by
its MD5 before it is parsed. `release.files` reads the files; this module interprets them.
"""

from __future__ import annotations

import re
from pathlib import PurePath
from typing import TYPE_CHECKING, Any, NamedTuple

import torch
from torch import Tensor

from resdavenet_vq import model_card
from resdavenet_vq.config import IMAGENET, RANDOM, AudioModel, ImageModel, Model, QuantizerModel
from resdavenet_vq.errors import InputError, listed
from resdavenet_vq.files import together, write_csv
from resdavenet_vq.lineage import N_POSITIONS, Lineage
from resdavenet_vq.model import checkpoint
from resdavenet_vq.model.audio import N_MELS, AudioEncoder
from resdavenet_vq.model.dual_encoder import DualEncoder
from resdavenet_vq.model.image import ImageEncoder
from resdavenet_vq.release.archives import ARCHIVES, ARGUMENTS, AUDIO, IMAGE, PROGRESS, md5_of
from resdavenet_vq.release.files import from_archive, from_folder, read_arguments, read_progress, read_weights

if TYPE_CHECKING:
    from collections.abc import Iterator, Mapping
    from pathlib import Path

HISTORY = "history.csv"
"""As a training writes it beside its model."""

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
"""Patterns that turn our names into those of the release."""


class Released(NamedTuple):
    """A released model as an ordinary one."""

    network: DualEncoder
    card: dict[str, Any]
    """What `model.json` says of it beside the network."""
    history: list[dict[str, Any]]
    """Of each epoch its number, the steps so far, and `mean_recall_at_10` where it is known."""
    image_branch: bool


def import_released(path: Path, out: Path, *, allow_unknown: bool, lineage: Lineage | None = None) -> None:
    """Writes the folder of a trained model, `out`, from a released experiment (`read_released`), with its model card.

    `history.csv` has a row for each epoch in `progress.pkl`: epoch, steps so far, and mean_recall_at_10, which is known
    of the epochs only that were the best so far.

    Raises InputError with all faults of a file; `out` is then not written.
    """
    released = read_released(path, allow_unknown=allow_unknown, lineage=lineage)
    with together():
        write_csv(out / HISTORY, ("epoch", "steps", "mean_recall_at_10"), released.history)
        card = checkpoint.save(out, released.network, released.card)
        model_card.write(out, card, checkpoint.parameters(released.network))


def read_released(path: Path, *, allow_unknown: bool, lineage: Lineage | None = None) -> Released:
    """The model of a released experiment, a folder or a zip or tar archive.

    An archive must be one of the ten released, by its MD5, unless `allow_unknown`; a folder is not checked. `lineage`
    must agree with the archive or, if that is unknown, with the arguments. Without an image model there is no
    image branch: units, ABX and words work, retrieval is reported as not available.

    The card says `released`, and in `provenance` the origin: file name, MD5, lineage of the archive if known,
    arguments, best epoch.

    Raises InputError with all faults of a file.
    """
    if path.is_dir():
        md5, files = "", from_folder(path)
    else:
        md5 = md5_of(path)
        if md5 not in _LINEAGES and not allow_unknown:
            raise InputError(
                f"{path}: MD5 is {md5}, which is not that of any of the ten released archives; the file is damaged or "
                "another one. Download it again, or allow unknown archives if you trust its source"
            )
        files = from_archive(path)
    archive_lineage = _LINEAGES.get(md5)
    try:
        arguments = read_arguments(files[ARGUMENTS])
        epochs = [*_epochs(read_progress(files[PROGRESS]))] if PROGRESS in files else []
        audio = read_weights(files[AUDIO], AUDIO)
        state = {f"audio.{name}": x for name, x in audio_state(audio).items()}
        shape = _infer_shape(checkpoint.without_prefix(audio))
        if IMAGE in files:
            state |= {f"image.{name}": x for name, x in image_state(read_weights(files[IMAGE], IMAGE)).items()}
        _check_agreement(arguments, shape, archive_lineage)
        if lineage is not None:
            _check_lineage(lineage, archive_lineage, arguments, shape)
        model = _model(arguments, shape, state, image_branch=IMAGE in files)
    except InputError as e:
        raise InputError(f"{path}: {e}") from None
    history = [
        {"epoch": epoch, "steps": steps, "mean_recall_at_10": recall if epoch == best else None}
        for epoch, steps, best, recall in epochs
    ]
    best = {"best_epoch": epochs[-1][2], "best_recall_at_10": epochs[-1][3]} if epochs else {}
    file = {"file": path.resolve().name, "md5": md5 or None, "lineage": archive_lineage, "arguments": arguments}
    card = {"lineage": str(lineage) if lineage else archive_lineage, "released": True, "provenance": file | best}
    return Released(model, card | {"versions": checkpoint.versions()}, history, IMAGE in files)


class _Shape(NamedTuple):
    """The sizes of a released audio model, and codebook sizes by position of the quantizers that are on."""

    audio: AudioModel
    sizes: dict[int, int]


def audio_state(release: Mapping[str, Tensor]) -> dict[str, Tensor]:
    """The tensors of a released audio model under the names of AudioEncoder.

    The first convolution of each stage and the numbers of blocks and quantizers define the network. Raises InputError
    listing all tensors that are missing, unexpected or misshaped for it.
    """
    state = {name: x for name, x in checkpoint.without_prefix(release).items() if not name.startswith("batchnorm1.")}
    shape = _infer_shape(state)
    with torch.device("meta"):
        expected = AudioEncoder(shape.audio, _quantizer_model({}, shape.sizes), tuple(shape.sizes)).state_dict()
    return _renamed(expected, state, "audio")


def image_state(release: Mapping[str, Tensor]) -> dict[str, Tensor]:
    """The tensors of a released image model under the names of ImageEncoder; strict like `audio_state`."""
    state = checkpoint.without_prefix(release)
    bias = state.get("embedder.bias")
    if bias is None or bias.ndim != 1:
        raise InputError("the image model has no embedder.bias, which defines its width")
    with torch.device("meta"):
        expected = ImageEncoder(ImageModel(architecture="resnet50"), len(bias)).state_dict()
    return _renamed(expected, state, "image")


def _renamed(expected: Mapping[str, Tensor], state: Mapping[str, Tensor], which: str) -> dict[str, Tensor]:
    """The released tensors under our names. Raises InputError unless they are exactly the expected ones."""
    released_names = {name: name for name in expected}
    for pattern, replacement in _NAMES:
        released_names = {name: re.sub(pattern, replacement, theirs) for name, theirs in released_names.items()}
    if faults := checkpoint.differences({released_names[name]: x for name, x in expected.items()}, state):
        raise InputError(f"the weights of the {which} model have faults:\n{listed(faults)}")
    return {name: state[released_names[name]] for name in expected}


def _infer_shape(state: Mapping[str, Tensor]) -> _Shape:
    """The sizes of the network, from the names and shapes of its tensors."""
    first = ("conv1.weight", *(f"layer{stage}.0.conv1.weight" for stage in range(1, N_POSITIONS)))
    shapes = [state[name].shape for name in first if name in state and state[name].ndim == 4]
    if len(shapes) < N_POSITIONS:
        raise InputError(
            "not a released audio model: it has no four-dimensional conv1.weight and layer1.0.conv1.weight to "
            "layer4.0.conv1.weight"
        )
    if shapes[0][2] != N_MELS:
        raise InputError(f"{AUDIO}: takes {shapes[0][2]} mel bands, and the features have {N_MELS}")
    audio = AudioModel(
        widths=(shapes[0][0], shapes[1][0], shapes[2][0], shapes[3][0], shapes[4][0]),
        blocks_per_stage=sum(re.fullmatch(r"layer1\.\d+\.conv1\.weight", name) is not None for name in state),
        kernel_size=shapes[1][3],
    )
    codebooks = {n: state.get(f"quant{n}._embedding.weight") for n in range(1, N_POSITIONS + 1)}
    return _Shape(audio, {n: len(codebook) for n, codebook in codebooks.items() if codebook is not None})


def _quantizer_model(arguments: Mapping[str, Any], sizes: Mapping[int, int]) -> QuantizerModel:
    """Settings of the quantizers; codebook sizes of those that are off come from the arguments or are the default."""
    given = _numbers(arguments.get("VQ_sizes"))
    fallback = given if len(given) == N_POSITIONS else (1024,) * N_POSITIONS
    s1, s2, s3, s4, s5 = (sizes.get(n, size) for n, size in enumerate(fallback, start=1))
    size = s1 if s1 == s2 == s3 == s4 == s5 else (s1, s2, s3, s4, s5)
    names = {"VQ_commitment_cost": "commitment_weight", "init_ema_mass": "init_mass", "init_std": "init_std"}
    changes = {key: float(arguments[name]) for name, key in names.items() if type(arguments.get(name)) in {int, float}}
    return QuantizerModel(codebook_size=size, init_nonnegative=arguments.get("nonneg_init") is True, **changes)


def _model(
    arguments: Mapping[str, Any], shape: _Shape, state: Mapping[str, Tensor], *, image_branch: bool
) -> DualEncoder:
    """Builds the model. Raises InputError if the image and the audio tensors do not fit together."""
    weights = IMAGENET if arguments.get("pretrained_image_model") is True else RANDOM
    image = ImageModel(architecture="resnet50", weights=weights)
    settings = Model(audio=shape.audio, image=image, quantizer=_quantizer_model(arguments, shape.sizes))
    with torch.random.fork_rng(devices=[]):
        model = DualEncoder(settings, tuple(shape.sizes), image_branch=image_branch)
    if faults := checkpoint.differences(model.state_dict(), state):
        raise InputError(f"the image and the audio model do not fit together:\n{listed(faults)}")
    model.load_state_dict(state)
    return model


def _check_agreement(arguments: Mapping[str, Any], shape: _Shape, lineage: str | None) -> None:
    """Raises InputError listing where the arguments, or the lineage of the archive, contradict the tensors."""
    on = tuple(shape.sizes)
    argument_sizes = _numbers(arguments.get("VQ_sizes"))
    by_tensors: dict[str, tuple[int, ...]] = {
        "layer_widths": shape.audio.widths,
        "layer_depths": (shape.audio.blocks_per_stage,) * (N_POSITIONS - 1),
        "convsize": (shape.audio.kernel_size,),
        "VQ_turnon": tuple(int(n in on) for n in range(1, N_POSITIONS + 1)),
        "VQ_sizes": tuple(shape.sizes.get(n, size) for n, size in enumerate(argument_sizes, start=1)),
    }
    faults = [
        f"{ARGUMENTS}: {key} is {numbers}, but the tensors of {AUDIO} say {expected}"
        for key, expected in by_tensors.items()
        if (numbers := _numbers(arguments.get(key))) and numbers != expected
    ]
    if lineage is not None and Lineage.parse(lineage).quantizers != on:
        faults.append(f"{AUDIO}: has the quantizers {on}, but this archive's model is {lineage}")
    if faults:
        raise InputError(listed(faults))


def _check_lineage(lineage: Lineage, archive_lineage: str | None, arguments: Mapping[str, Any], shape: _Shape) -> None:
    """Raises InputError if the model is not of this lineage.

    An unknown archive says only which quantizers its last stage has, and whether there was an earlier stage.
    """
    if archive_lineage is not None:
        if Lineage.parse(archive_lineage) != lineage:
            raise InputError(f"is the released model of {archive_lineage}, not of {lineage}")
        return
    if lineage.quantizers != tuple(shape.sizes):
        raise InputError(f"its last stage is {Lineage((tuple(shape.sizes),))}, so it is not a model of {lineage}")
    seed = arguments.get("seed_dir")
    if isinstance(seed, str) and bool(seed) == (lineage.parent is None):
        start = f"from the weights of {PurePath(seed).name!r}" if seed else "from random weights"
        raise InputError(
            f"{ARGUMENTS}: seed_dir says that its training started {start}, so it is not a model of {lineage}"
        )


def _numbers(value: Any) -> tuple[int, ...]:
    """The integers in `3`, `[3, 4]` or `"3,4"`; empty for anything else."""
    values = value.split(",") if isinstance(value, str) else value if isinstance(value, list) else [value]
    try:
        return tuple(int(v) for v in values)
    except (TypeError, ValueError, OverflowError):
        return ()


def _epochs(progress: list[Any]) -> Iterator[tuple[int, int, int, float]]:
    """For each epoch: its number, steps so far, the best epoch so far and its R@10; other rows are skipped."""
    for row in progress:
        match row:
            case [int(epoch), int(steps), int(best), float(recall), *_] if epoch >= 1:
                yield epoch, steps, best, recall
