"""SpokenCOCO: about five spoken captions for each image of COCO.

The corpus's own JSON files: `{"data": [{"image": ..., "captions": [{"text", "speaker", "uttid", "wav"}, ...]}, ...]}`,
with paths as in Places Audio. The captions of an image share its `image_id`, so that
retrieval has several positives. Whether the files exist is found out by preparation.

The unrolled files that circulate with Karpathy's splits have a row for each caption: `{"image": ..., "caption": {...}}`,
with alignments, where they have some, beside the caption or in it.

A split is one of these files; or, with a file of Karpathy's splits (`dataset_coco.json`: `{"images":
[{"filename": ..., "split": "train" | "restval" | "val" | "test"}, ...]}`), those images of all files that it names,
joined by file name.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from pathlib import Path, PurePosixPath
from typing import Any, NamedTuple

from resdavenet_vq.config import SpokenCoco
from resdavenet_vq.corpus.json_rows import JsonRows
from resdavenet_vq.corpus.manifest import NO_ALIGNMENT, Manifest
from resdavenet_vq.corpus.paths import Base, Media
from resdavenet_vq.corpus.rows import ALIGNMENTS, Captions, Fields, encodable, kind
from resdavenet_vq.errors import InputError, listed

RESTVAL = "restval"  # images of COCO's validation set that Karpathy's splits leave for training

NO_CAPTIONS = "images without captions"
LISTED_TWICE = "images listed twice"
IN_NO_SPLIT = "images in no Karpathy split"
NOT_IN_CORPUS = "images of the Karpathy split that the corpus does not have"


class _Entry(NamedTuple):
    """An image of a JSON file and where it stands in it."""

    place: str
    content: object
    audio_base: Base
    image_base: Base


class _Image(NamedTuple):
    """An image with its captions and where they are, or what is wrong with it."""

    file: Media
    captions: Sequence[tuple[str, object]]
    is_unrolled: bool


def read(corpus: SpokenCoco, split: str) -> Manifest:
    """The utterances of one split, in the order of the files.

    Base paths of the configuration replace those of the files, as in `places.read`. Rows are captions, numbered
    from 0 within the split; the reason of a refusal names the place of the caption in its file.

    A caption is refused if it is no object, or for what refuses one (`rows.Captions`); an image, as one row, if it is
    no object, has no sound path or no list of captions (and then in each of Karpathy's splits, as it belongs to none for
    certain). Counted are images without captions, images listed twice, and images that only one of the corpus and
    Karpathy's file knows. Raises InputError if a file as a whole is unusable, or nothing of the split is found.
    """
    manifest = Manifest(counted={NO_ALIGNMENT: 0}, lists=tuple(_lists(corpus, split)))
    split_of = None if corpus.karpathy_splits is None else _karpathy_splits(corpus.karpathy_splits, corpus)
    images: set[str] = set()
    spoken = Captions(manifest)
    for entry in _entries(corpus, split):
        image = _image(entry)
        if isinstance(image, str):
            path = entry.content.get("image") if isinstance(entry.content, dict) else ""
            manifest.refuse("", encodable(path), f"{entry.place}: {image}")
            continue
        (path, _), captions, is_unrolled = image
        name = path.rpartition("/")[2]
        if split_of is not None and name not in split_of:
            manifest.notice(IN_NO_SPLIT, path)
        elif split_of is None or split_of[name] == split:
            if not captions or (path in images and not is_unrolled):
                manifest.notice(LISTED_TWICE if path in images else NO_CAPTIONS, path)
            images.add(path)
            for place, caption in captions:
                if isinstance(caption, Mapping):
                    spoken.add(Fields(caption), place, entry.audio_base, image.file)
                else:
                    manifest.refuse("", "", f"{place}: not an object but {kind(caption)}")
    if split_of is not None:
        names = [name for name, of_split in split_of.items() if of_split == split]
        _notice_absent(corpus, split, names, {PurePosixPath(image).name for image in images}, manifest)
    return manifest


def _lists(corpus: SpokenCoco, split: str) -> Sequence[Path]:
    """All files that may have some of the split's images."""
    return list(corpus.metadata.values()) if corpus.karpathy_splits else [corpus.metadata[split]]


def _entries(corpus: SpokenCoco, split: str) -> Iterator[_Entry]:
    """The images of all files that may have some of the split's."""
    paths = _lists(corpus, split)
    for path in paths:
        entries = JsonRows(path, "data", "the layout of SpokenCOCO")
        audio_base, image_base = (
            Base.choose(key, configured, entries.others.get(key), path)
            for key, configured in (
                ("audio_base_path", corpus.audio_base_path),
                ("image_base_path", corpus.image_base_path),
            )
        )
        file = f"{path.name}: " if len(paths) > 1 else ""
        for place, entry in entries:
            yield _Entry(f"{file}{place}", entry, audio_base, image_base)


def _image(entry: _Entry) -> _Image | str:
    """An entry's image and captions, or what is wrong with it."""
    content = entry.content
    if not isinstance(content, dict):
        return f"not an object but {kind(content)}"
    fields = Fields(content)
    image = fields.media("image", entry.image_base, required=True)
    captions = content.get("captions")
    is_unrolled = captions is None and "caption" in content
    places: Sequence[tuple[str, object]] = []
    if is_unrolled:
        places = [(f"{entry.place}.caption", _with_alignments(content["caption"], content))]
    elif isinstance(captions, list):
        places = [(f"{entry.place}.captions[{number}]", caption) for number, caption in enumerate(captions)]
    elif captions is None and "wav" in content:
        fields.faults.append("captions: missing beside `wav` as in files that need corpus.layout places")
    else:
        fields.faults.append(f"captions: not a list but {kind(captions)}")
    return "; ".join(fields.faults) if fields.faults or image is None else _Image(image, places, is_unrolled)


def _with_alignments(caption: object, row: Mapping[str, Any]) -> object:
    """The caption of an unrolled row, with the alignments that the row has beside it."""
    if isinstance(caption, dict):
        for key in ALIGNMENTS:
            if key in row:
                caption.setdefault(key, row[key])
    return caption


def _karpathy_splits(path: Path, corpus: SpokenCoco) -> dict[str, str]:
    """The split of every image by its file name. Raises InputError with all faults of the file."""
    rows = JsonRows(path, "images", "the layout of Karpathy's splits")
    names = {name: name for name in corpus.splits} | {RESTVAL: "train"}
    split_of: dict[str, str] = {}
    faults = []
    for place, row in rows:
        if not isinstance(row, dict):
            faults.append(f"{place}: not an object but {kind(row)}")
            continue
        fields = Fields(row)
        name, split = fields.file_name("filename"), fields.text("split")
        if split not in names:
            fields.faults.append(f"split: {encodable(split)!r} is none of {', '.join(names)}")
        elif name is not None and split_of.setdefault(PurePosixPath(name).name, names[split]) != names[split]:
            fields.faults.append(f"{name!r} is in two splits")
        faults += [f"{place}: {fault}" for fault in fields.faults]
    if faults:
        raise InputError(f"{path}: {len(faults)} faults; correct or remove these rows:\n{listed(faults)}")
    return split_of


def _notice_absent(
    corpus: SpokenCoco, split: str, names: Sequence[str], corpus_names: set[str], manifest: Manifest
) -> None:
    """Counts what only Karpathy's file has. Raises InputError if that is everything."""
    if not names:
        raise InputError(f"{corpus.karpathy_splits}: no image is in the split {split!r}")
    if not corpus_names and not manifest.refused:
        theirs = manifest.noticed.get(IN_NO_SPLIT)
        others = f"such as {theirs[0]!r}" if theirs else "those of other splits alone"
        images = f"none of its {len(names)} images of {split!r}, such as {names[0]!r}"
        raise InputError(f"{corpus.karpathy_splits}: {images}, is in the corpus, which has {others}")
    for name in names:
        if name not in corpus_names:
            manifest.notice(NOT_IN_CORPUS, name)
