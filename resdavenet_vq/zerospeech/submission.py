"""Writing a submission: a zip or a folder of one layer's frames as text.

Equal features give equal bytes: files are in the order of their names, their dates are fixed.
"""

from __future__ import annotations

import zipfile
from collections import Counter
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path, PurePosixPath

import yaml

from resdavenet_vq.config import Submission
from resdavenet_vq.encode.exports import FrameText
from resdavenet_vq.encode.features import LayerFeatures, is_quantized
from resdavenet_vq.errors import InputError
from resdavenet_vq.files import atomic_folder, atomic_write
from resdavenet_vq.zerospeech import metadata

CODE = """Made with the Python package resdavenet-vq: lineage {lineage}, layer {layer}.
"""


def pack(
    features: Path, layer: str, settings: Submission, out: Path, *, lineage: str, edition: int = 2019, split: str = ""
) -> None:
    """Writes one layer of a features file as a submission: a zip if `out` ends in `.zip`, else a new folder.

    `split` is the folder below `phonetic/` in which ids of the 2021 edition stand, if they have none of their own: `dev-clean`.

    Raises InputError for layers with fewer than two values a frame, which the challenge refuses, for utterances whose
    ids end in the same file name, and of 2021 for utterances of a single frame.
    """
    with LayerFeatures(features, layer) as frames:
        if frames.width < 2:
            raise InputError(
                f"{features}: {layer} has {frames.width} value a frame, and a submission needs two; choose another layer"
            )
        names = _names(frames, edition, split)
        said = metadata.written(
            edition, settings, lineage=lineage, layer=layer, frame_period=frames.frame_period, width=frames.width
        )
        with _submission(out) as write:
            for name, content in said.items():
                write(name, yaml.safe_dump(content, sort_keys=False, allow_unicode=True))
            if edition == 2020:  # what calls itself open source has a folder of code, if only to say where the code is
                write("2019/code/README.txt", CODE.format(lineage=lineage, layer=layer))
            text = FrameText(remember=is_quantized(layer))
            for i in sorted(range(len(names)), key=names.__getitem__):
                write(names[i], text.format(frames.rows(i)))


def _names(frames: LayerFeatures, edition: int, split: str) -> list[str]:
    """The file of each utterance. Raises InputError if two have the same, or the edition cannot have one."""
    ids = [PurePosixPath(name) for name in frames.ids]
    if edition == 2021:
        if unsafe := [
            name for name in frames.ids if PurePosixPath(name).is_absolute() or ".." in PurePosixPath(name).parts
        ]:
            raise InputError(f"{frames.path}: the id {unsafe[0]!r} is no path below a folder; encode with other ids")
        if short := [
            name for name, n in zip(frames.ids, frames.offsets[1:] - frames.offsets[:-1], strict=True) if n < 2
        ]:
            raise InputError(
                f"{frames.path}: {frames.layer} of {short[0]} has a single frame ({len(short)} utterances have), "
                "and ZeroSpeech 2021 wants two; leave it out, or choose a faster layer"
            )
        names = [str(PurePosixPath("phonetic", split if len(name.parts) == 1 else "", name)) + ".txt" for name in ids]
    else:
        names = [f"{'2019/' if edition == 2020 else ''}english/test/{name.name}.txt" for name in ids]
    if twice := sorted(name for name, n in Counter(names).items() if n > 1):
        raise InputError(
            f"{frames.path}: {twice[0]} would stand in the submission twice; utterance ids must differ in their last part"
        )
    return names


@contextmanager
def _submission(out: Path) -> Iterator[Callable[[str, str], None]]:
    """What writes a file of a submission, which appears whole or not at all."""
    if out.suffix == ".zip":
        with atomic_write(out) as tmp, zipfile.ZipFile(tmp, "w", zipfile.ZIP_DEFLATED) as archive:
            yield lambda name, text: archive.writestr(_entry(name), text)
        return
    with atomic_folder(out) as tmp:

        def write(name: str, text: str) -> None:
            path = tmp / name
            path.parent.mkdir(parents=True, exist_ok=True)
            path.write_text(text, encoding="utf-8")

        yield write


def _entry(name: str) -> zipfile.ZipInfo:
    """A file in the zip that looks the same whenever and wherever it was written."""
    entry = zipfile.ZipInfo(name, date_time=(1980, 1, 1, 0, 0, 0))
    entry.compress_type = zipfile.ZIP_DEFLATED
    entry.create_system = 3
    entry.external_attr = 0o644 << 16
    return entry
