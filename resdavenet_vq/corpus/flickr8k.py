"""Flickr8k Audio: five spoken captions for each image of Flickr8k, from the corpus's own files.

`wav2capt.txt` has rows `wav image #number`, `wav2spk.txt` rows `wav speaker`, and `Flickr_8k.trainImages.txt` (`dev`,
`test`) an image a row. The texts are in `Flickr8k.token.txt`, with rows `image#number`, a tab and the text, or in
`captions.txt` as Kaggle has it, a CSV file of `image,caption`; the configuration says in which, or that there are none.
The captions of an image share its `image_id`. Preparation checks whether wavs and images exist.
"""

from __future__ import annotations

import csv
import re
from collections import Counter
from collections.abc import Iterator, Mapping
from pathlib import Path, PurePosixPath

from resdavenet_vq.config import Flickr8k
from resdavenet_vq.corpus.manifest import NO_ALIGNMENT, Manifest, Utterance
from resdavenet_vq.corpus.paths import path_fault
from resdavenet_vq.corpus.rows import read_lines
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

_CAPTION_NUMBER = re.compile(r"#?([0-9]{1,9})")
_CSV_HEADER = "image,caption"


def files_of(corpus: Flickr8k) -> tuple[Path, ...]:
    """The files that any split is read from: captions, speakers, texts, and the images of every split, in order."""
    audio, text = corpus.audio_folder, corpus.text_folder
    lists = [text / f"Flickr_8k.{split}Images.txt" for split in corpus.splits]
    texts = [] if corpus.text_file is None else [text / corpus.text_file]
    return (audio / "wav2capt.txt", audio / "wav2spk.txt", *texts, *lists)


def read(corpus: Flickr8k, split: str) -> Manifest:
    """The utterances of one split, in the order of `wav2capt.txt`; their ids are the wavs' names without suffix.

    A row of `wav2capt.txt` is refused if it has other than three fields, a number that is not like `#0` or `0`, a wav or
    image that is no file name, a wav that an earlier row has, or a caption (image and number) that an earlier
    row has. A malformed row belongs to no split for certain and is refused in each.
    Counted are captions of images in no split (the corpus is known to have such), images of the split without
    captions, and utterances without a text, without a speaker or with several, which are kept without.
    Raises InputError for an unreadable file, an image in two splits, and a split without any caption.
    """
    wav2capt, wav2spk, *lists = files_of(corpus)
    text_file = lists.pop(0) if corpus.text_file else None
    manifest = Manifest(counted={NO_ALIGNMENT: 0}, lists=(wav2capt,))
    image_lists = dict(zip(corpus.splits, lists, strict=True))
    split_of = _splits(image_lists, split, manifest)
    speakers, texts = _speakers(wav2spk, manifest), _texts(text_file, manifest)
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
                for key in (("utterance", utterance_id), ("caption", f"{image}#{number}"))
                if line_of.setdefault(key, line) != line
            ]
        if faults:
            manifest.refuse("", wav, f"{wav2capt.name} line {line}: {'; '.join(faults)}")
            continue
        spoken.add(image)
        files = corpus.audio_folder / "wavs" / wav, corpus.image_folder / image
        speaker = _look_up(speakers, wav, NO_SPEAKER, SEVERAL_SPEAKERS, manifest)
        text = _look_up(texts, f"{image}#{number}", NO_TEXT, SEVERAL_TEXTS, manifest)
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
    """The wav, image and number of a row, and what is wrong with it."""
    fields = row.split()
    if len(fields) != 3:
        return "", "", "", [f"{len(fields)} fields instead of wav, image and #number: {row[:80]!r}"]
    wav, image, number = fields
    faults = [f"{name}: {fault}" for name, text in (("wav", wav), ("image", image)) if (fault := path_fault(text))]
    match = _CAPTION_NUMBER.fullmatch(number)
    if not match:
        faults.append(f"{number[:20]!r} is no caption's number such as #0")
    return wav, image, match[1] if match else "", faults


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


def _texts(path: Path | None, manifest: Manifest) -> dict[str, str | None]:
    """The text of every caption, by `image#number`; None where rows contradict each other. None at all without a file.

    A row without a number is the next caption of its image, from 0 on.
    """
    texts: dict[str, str | None] = {}
    if path is None:
        return texts
    if not path.exists():
        remedy = "put it there, or set corpus.text_file to the file that you have, or to null to continue without texts"
        raise InputError(f"{path}: no such file; {remedy}")
    n_captions: Counter[str] = Counter()
    for line, row, image, number, text in _text_rows(path):
        n_captions[image] += 1
        if image and text and (number is None or _CAPTION_NUMBER.fullmatch(f"#{number}")):
            caption = f"{image}#{n_captions[image] - 1 if number is None else number}"
            if texts.setdefault(caption, text) != text:
                texts[caption] = None
        else:
            manifest.notice(BAD_TEXT_ROWS, f"{path.name} line {line}: {row[:80]}")
    return texts


def _text_rows(path: Path) -> Iterator[tuple[int, str, str, str | None, str]]:
    """The line, the whole row, and its image, caption number (None where rows have none) and text, unchecked."""
    is_csv = False
    for line, row in read_lines(path):
        if line == 1 and row == _CSV_HEADER:
            is_csv = True
        elif is_csv:
            try:
                image, text = next(csv.reader([row]))
            except (csv.Error, ValueError):  # a quoted text without end, or other than two fields
                image, text = row.partition(",")[0], ""
            yield line, row, image, None, text.strip()
        else:
            caption, _, text = row.partition("\t")
            image, mark, number = caption.rpartition("#")
            yield (line, row, image, number, text.strip()) if mark else (line, row, caption, None, text.strip())


def _look_up(values: dict[str, str | None], key: str, missing: str, several: str, manifest: Manifest) -> str | None:
    value = values.get(key)
    if value is None:
        manifest.notice(several if key in values else missing, key)
    return value
