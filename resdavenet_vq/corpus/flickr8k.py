"""Flickr8k Audio: five spoken captions for each image of Flickr8k, from the corpus's own files.

`wav2capt.txt` has rows `wav image #number`, `wav2spk.txt` rows `wav speaker`, `Flickr8k.token.txt` rows
`image#number`, a tab and the text, and `Flickr_8k.trainImages.txt` (`dev`, `test`) an image a row. The captions of an
image share its `image_id`. Preparation checks whether wavs and images exist.
"""

from __future__ import annotations

import re
from collections.abc import Mapping
from pathlib import Path, PurePosixPath

from resdavenet_vq.config import Flickr8k
from resdavenet_vq.corpus.manifest import NO_ALIGNMENT, Manifest, Utterance
from resdavenet_vq.corpus.rows import path_fault, read_lines
from resdavenet_vq.errors import InputError, listed

NO_TEXT = "no text"
NO_SPEAKER = "no speaker"
SEVERAL_SPEAKERS = "several speakers"
IN_NO_SPLIT = "captions of images in no split"
NO_CAPTIONS = "images without captions"
LISTED_TWICE = "images listed twice"
BAD_SPEAKER_ROWS = "malformed speaker rows"
BAD_TEXT_ROWS = "malformed text rows"
SEVERAL_TEXTS = "several texts"

_CAPTION_NUMBER = re.compile(r"#[0-9]{1,9}")


def files_of(corpus: Flickr8k) -> tuple[Path, ...]:
    """The files that any split is read from: captions, speakers, texts, and the images of every split, in order."""
    audio, text = corpus.audio_folder, corpus.text_folder
    lists = [text / f"Flickr_8k.{split}Images.txt" for split in corpus.splits]
    return (audio / "wav2capt.txt", audio / "wav2spk.txt", text / "Flickr8k.token.txt", *lists)


def read(corpus: Flickr8k, split: str) -> Manifest:
    """The utterances of one split, in the order of `wav2capt.txt`; their ids are the wavs' names without suffix.

    A row of `wav2capt.txt` is refused if it has other than three fields, a number that is not like `#0`, a wav or
    image that is no file name, a wav that an earlier row has, or a caption (image and number) that an earlier
    row has. A malformed row belongs to no split for certain and is refused in each.
    Counted are captions of images in no split (the corpus is known to have such), images of the split without
    captions, and utterances without a text, without a speaker or with several, which are kept without.
    Raises InputError for an unreadable file, an image in two splits, and a split without any caption.
    """
    manifest = Manifest(counted={NO_ALIGNMENT: 0})
    wav2capt, wav2spk, tokens, *lists = files_of(corpus)
    image_lists = dict(zip(corpus.splits, lists, strict=True))
    split_of = _splits(image_lists, split, manifest)
    speakers, texts = _speakers(wav2spk, manifest), _texts(tokens, manifest)
    spoken: set[str] = set()
    line_of: dict[tuple[str, str], int] = {}
    for line, row in read_lines(wav2capt):
        wav, image, number, faults = _caption(row)
        if not faults:
            if split_of.get(image) != split:
                if image not in split_of:
                    manifest.notice(IN_NO_SPLIT, f"{wav2capt.name} line {line}: {wav} {image}")
                continue
            utterance_id = str(PurePosixPath(wav).with_suffix(""))
            faults = [
                f"the {key[0]} {key[1]!r} is on line {line_of[key]} already"
                for key in (("utterance", utterance_id), ("caption", image + number))
                if line_of.setdefault(key, line) != line
            ]
        if faults:
            manifest.refuse("", wav, f"{wav2capt.name} line {line}: {'; '.join(faults)}")
            continue
        spoken.add(image)
        files = corpus.audio_folder / "wavs" / wav, corpus.image_folder / image
        speaker = _look_up(speakers, wav, NO_SPEAKER, SEVERAL_SPEAKERS, manifest)
        text = _look_up(texts, image + number, NO_TEXT, SEVERAL_TEXTS, manifest)
        manifest.add(Utterance(utterance_id, *files, image, speaker, text, words=None, phones=None))
        manifest.counted[NO_ALIGNMENT] += 1
    images = [image for image, belongs in split_of.items() if belongs == split]
    if not spoken and not manifest.refused:
        raise InputError(f"{wav2capt}: no caption of any of the {len(images)} images in {image_lists[split]}")
    for image in images:
        if image not in spoken:
            manifest.notice(NO_CAPTIONS, image)
    return manifest


def _caption(row: str) -> tuple[str, str, str, list[str]]:
    """The wav, image and `#number` of a row, and what is wrong with it."""
    fields = row.split()
    if len(fields) != 3:
        return "", "", "", [f"{len(fields)} fields instead of wav, image and #number: {row[:80]!r}"]
    wav, image, number = fields
    faults = [f"{name}: {fault}" for name, text in (("wav", wav), ("image", image)) if (fault := path_fault(text))]
    if not _CAPTION_NUMBER.fullmatch(number):
        faults.append(f"{number[:20]!r} is no caption's number such as #0")
    return wav, image, number, faults


def _splits(image_lists: Mapping[str, Path], split: str, manifest: Manifest) -> dict[str, str]:
    """The split of every image. Raises InputError naming images that are in two, or are no file names."""
    split_of: dict[str, str] = {}
    faults = []
    for name, path in image_lists.items():
        for line, image in read_lines(path):
            if fault := path_fault(image):
                faults.append(f"{path} line {line}: {fault}")
            elif image not in split_of:
                split_of[image] = name
            elif split_of[image] != name:
                faults.append(f"{path} line {line}: {image!r} is in {image_lists[split_of[image]].name} too")
            elif name == split:
                manifest.notice(LISTED_TWICE, image)
    if faults:
        raise InputError(f"Lists of images have faults; every image must be in one split:\n{listed(faults)}")
    if split not in split_of.values():
        raise InputError(f"{image_lists[split]}: lists no image")
    return split_of


def _speakers(path: Path, manifest: Manifest) -> dict[str, str | None]:
    """The speaker of every wav; None where rows contradict each other."""
    speakers: dict[str, str | None] = {}
    for line, row in read_lines(path):
        fields = row.split()
        if len(fields) != 2 or any(map(path_fault, fields)):
            manifest.notice(BAD_SPEAKER_ROWS, f"{path.name} line {line}: {row[:80]}")
        elif speakers.setdefault(fields[0], fields[1]) != fields[1]:
            speakers[fields[0]] = None
    return speakers


def _texts(path: Path, manifest: Manifest) -> dict[str, str | None]:
    """The text of every caption, by `image#number`; None where rows contradict each other."""
    texts: dict[str, str | None] = {}
    for line, row in read_lines(path):
        caption, tab, text = row.partition("\t")
        image, _, number = caption.rpartition("#")
        if not tab or not image or not text.strip() or not _CAPTION_NUMBER.fullmatch(f"#{number}"):
            manifest.notice(BAD_TEXT_ROWS, f"{path.name} line {line}: {row[:80]}")
        elif texts.setdefault(caption, text.strip()) != text.strip():
            texts[caption] = None
    return texts


def _look_up(values: dict[str, str | None], key: str, missing: str, several: str, manifest: Manifest) -> str | None:
    value = values.get(key)
    if value is None:
        manifest.notice(several if key in values else missing, key)
    return value
