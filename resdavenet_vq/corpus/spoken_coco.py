"""SpokenCOCO: about five spoken captions for each image of COCO.

The corpus's own JSON files: `{"data": [{"image": ..., "captions": [{"text", "speaker", "uttid", "wav"}, ...]}, ...]}`,
with paths below base folders as in Places Audio. The captions of an image share its `image_id`, so that
retrieval has several positives. Whether the files exist is found out by preparation.

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
from resdavenet_vq.corpus.manifest import NO_ALIGNMENT, Manifest, Utterance
from resdavenet_vq.corpus.rows import Fields, base_path, encodable, kind
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
    audio_base: Path
    image_base: Path


def read(corpus: SpokenCoco, split: str) -> Manifest:
    """The utterances of one split, in the order of the files.

    Base paths of the configuration replace those of the files, as in `places.read`. Rows are captions, numbered
    from 0 within the split; the reason of a refusal names the place of the caption in its file.

    A caption is refused if it is no object, has no `wav`, a field that is no text, a path that is absolute or
    has a `..`, or an id that an earlier one has; an image, as one row, if it is no object, has no sound path
    or no list of captions (and then in each of Karpathy's splits, as it belongs to none for certain).
    Counted are images without captions, images listed twice, and images that only one of the corpus and
    Karpathy's file knows. Raises InputError if a file as a whole is unusable, or nothing of the split is found.
    """
    manifest = Manifest(counted={NO_ALIGNMENT: 0})
    split_of = None if corpus.karpathy_splits is None else _karpathy_splits(corpus.karpathy_splits, corpus)
    images: set[str] = set()
    place_of_id: dict[str, str] = {}
    for entry in _entries(corpus, split):
        image, captions, fault = _image(entry.content)
        name = PurePosixPath(image).name
        if fault:
            manifest.refuse("", image, f"{entry.place}: {fault}")
        elif split_of is not None and name not in split_of:
            manifest.notice(IN_NO_SPLIT, image)
        elif split_of is None or split_of[name] == split:
            if image in images or not captions:
                manifest.notice(LISTED_TWICE if image in images else NO_CAPTIONS, image)
            images.add(image)
            for number, caption in enumerate(captions):
                _add(manifest, entry, f"{entry.place}.captions[{number}]", image, caption, place_of_id)
    if split_of is not None:
        names = [name for name, of_split in split_of.items() if of_split == split]
        _notice_absent(corpus, split, names, {PurePosixPath(image).name for image in images}, manifest)
    return manifest


def _entries(corpus: SpokenCoco, split: str) -> Iterator[_Entry]:
    """The images of all files that may have some of the split's."""
    paths = list(corpus.metadata.values()) if corpus.karpathy_splits else [corpus.metadata[split]]
    for path in paths:
        entries = JsonRows(path, "data", "the layout of SpokenCOCO")
        audio_base = corpus.audio_base_path or base_path(entries, "audio_base_path")
        image_base = corpus.image_base_path or base_path(entries, "image_base_path")
        file = f"{path.name}: " if len(paths) > 1 else ""
        for number, entry in enumerate(entries):
            yield _Entry(f"{file}data[{number}]", entry, audio_base, image_base)


def _image(content: object) -> tuple[str, list[Any], str]:
    """An entry's image path and captions, or what is wrong with it."""
    if not isinstance(content, dict):
        return "", [], f"not an object but {kind(content)}"
    fields = Fields(content)
    image = fields.path("image", required=True) or encodable(content.get("image"))
    captions = content.get("captions")
    if not isinstance(captions, list):
        fields.faults.append(f"captions: not a list but {kind(captions)}")
    return image, captions if isinstance(captions, list) else [], "; ".join(fields.faults)


def _add(
    manifest: Manifest, entry: _Entry, place: str, image: str, caption: object, place_of_id: dict[str, str]
) -> None:
    """Adds a caption to the manifest, or to its refusals."""
    if not isinstance(caption, Mapping):
        manifest.refuse("", "", f"{place}: not an object but {kind(caption)}")
        return
    fields = Fields(caption)
    wav = fields.path("wav", required=True)
    utterance_id = fields.utterance_id(wav, place, place_of_id)
    speaker, text = fields.text("speaker"), fields.text("text")
    if fields.faults or wav is None:
        manifest.refuse(utterance_id, encodable(caption.get("wav")), f"{place}: {'; '.join(fields.faults)}")
        return
    manifest.counted[NO_ALIGNMENT] += 1
    files = entry.audio_base / wav, entry.image_base / image
    manifest.add(Utterance(utterance_id, *files, image, speaker, text, words=None, phones=None))


def _karpathy_splits(path: Path, corpus: SpokenCoco) -> dict[str, str]:
    """The split of every image by its file name. Raises InputError with all faults of the file."""
    rows = JsonRows(path, "images", "the layout of Karpathy's splits")
    names = {name: name for name in corpus.splits} | {RESTVAL: "train"}
    split_of: dict[str, str] = {}
    faults = []
    for number, row in enumerate(rows):
        if not isinstance(row, dict):
            faults.append(f"images[{number}]: not an object but {kind(row)}")
            continue
        fields = Fields(row)
        name, split = fields.path("filename", required=True), fields.text("split")
        if split not in names:
            fields.faults.append(f"split: {encodable(split)!r} is none of {', '.join(names)}")
        elif name is not None and split_of.setdefault(PurePosixPath(name).name, names[split]) != names[split]:
            fields.faults.append(f"{name!r} is in two splits")
        faults += [f"images[{number}]: {fault}" for fault in fields.faults]
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
