"""The demo corpus, made on this machine: drawn scenes, synthetic spoken captions, exact alignments.

Each utterance follows from the corpus's seed, the split's name and its own number alone, so
that the files are the same, byte for byte, for any number of workers and on every rerun (with
the same versions of the libraries on the same type of processor).

No two splits of pairs share a scene or a caption (as a sequence of words). Every scene and
every caption has one owner among all splits that there could ever be: the first in the
list of pairs owns half of them, the second a quarter, the third an eighth, and so on, as a hash
decides; and a split draws until it finds its own. The owner depends on nothing but the split's
place in that list: other sizes, and splits added at its end, leave the pairs of the rest alone.
Within a split, scenes and captions may repeat.
"""

from __future__ import annotations

import hashlib
import multiprocessing
from collections.abc import Iterator
from concurrent.futures import ProcessPoolExecutor
from functools import partial
from pathlib import Path
from typing import Any

import numpy as np
import soundfile

from resdavenet_vq import files
from resdavenet_vq.config import SpokenScenes
from resdavenet_vq.corpus import triphones as items
from resdavenet_vq.corpus.manifest import Interval, format_alignment
from resdavenet_vq.demo import captions, espeak, scenes, speech
from resdavenet_vq.errors import InputError
from resdavenet_vq.processes import end_with_parent
from resdavenet_vq.progress import track

_JPEG_QUALITY = 88
_FILES_IN_A_FOLDER = 1000
_MOST_UTTERANCES_IN_A_CHUNK = 16
_CAPTIONS_FOR_A_SCENE = 32
_MOST_DRAWS = 100_000


def make(settings: SpokenScenes, split: str, folder: Path, workers: int) -> None:
    """Makes one split with that many processes.

    Writes `folder/{split}/wavs`, for pairs `folder/{split}/images`, and last and whole the ABX items
    `folder/{split}.item` and `folder/{split}.json` in the layout of Places Audio, with their digests.
    Raises InputError for an unknown split, a missing synthesiser, or a corpus with too few
    kinds of scenes for its number of splits.
    """
    _check(settings, split)
    for suffix in (".json", ".json.sha256", ".item", ".item.sha256"):
        (folder / f"{split}{suffix}").unlink(missing_ok=True)  # it must not describe the media that are about to change
    number = settings.pairs[split] if split in settings.pairs else settings.word_lists[split]
    _write_lists(_make_media(settings, split, number, folder, workers), split, folder)


type _Row = tuple[dict[str, Any], tuple[Interval, ...]]
"""An utterance's row of the JSON file, and its phones."""


def _check(settings: SpokenScenes, split: str) -> None:
    espeak.check_installed()
    if split not in settings.splits:
        raise InputError(f"the corpus has no split {split!r}; known are {', '.join(settings.splits)}")


def _make_media(settings: SpokenScenes, split: str, number: int, folder: Path, workers: int) -> list[_Row]:
    """Makes the wav and image files of a split."""
    for subfolder in dict.fromkeys(map(_subfolder, range(number))):
        for media in ("wavs", "images") if split in settings.pairs else ("wavs",):
            (folder / split / media / subfolder).mkdir(parents=True, exist_ok=True)
    return list(_rows(partial(_make_one, settings, split, folder), number, workers, label=f"making {split}"))


def _write_lists(rows: list[_Row], split: str, folder: Path) -> None:
    """Writes the items, the JSON file and their digests, once wav and image files are there."""
    with_images = "image" in rows[0][0]
    content = {"audio_base_path": f"{split}/wavs", **({"image_base_path": f"{split}/images"} if with_images else {})}
    with files.atomic_write(folder / f"{split}.item") as tmp:
        lines = (
            items.line(row["uttid"], token, row["speaker"])
            for row, phones in rows
            for token in items.triphones(phones)
            if items.lasts(token)
        )
        tmp.write_text("\n".join([items.HEADER, *lines]) + "\n", encoding="utf-8")
    files.write_json(folder / f"{split}.json", content | {"data": [row for row, _ in rows]})
    for suffix in (".item", ".json"):
        files.write_digest(folder / f"{split}{suffix}")


def sample_pair(settings: SpokenScenes, split: str, rng: np.random.Generator) -> tuple[scenes.Scene, tuple[str, ...]]:
    """A scene and a caption of it that both belong to the split."""
    place = list(settings.pairs).index(split)
    for _ in range(_MOST_DRAWS):
        scene = scenes.sample(settings, rng)
        if owner(scene.key) != place:
            continue
        for _ in range(_CAPTIONS_FOR_A_SCENE):
            caption = captions.sample(scene, rng)
            if owner(" ".join(captions.words_of(caption))) == place:
                return scene, caption
    raise InputError(
        f"split {split!r} finds no scene of its own: allow more objects or colours, or have fewer splits of pairs"
    )


def owner(key: str) -> int:
    """The place in `pairs` of the split that owns a scene or caption: 0 for half of all keys, 1 for a quarter, ..."""
    value = int.from_bytes(hashlib.blake2b(key.encode(), digest_size=8).digest())
    return (~value & (value + 1)).bit_length() - 1  # how many ones its binary form ends with


def _rows[T](make_one: partial[T], number: int, workers: int, label: str) -> Iterator[T]:
    """The results of `make_one` for the numbers below `number`, in order."""
    if workers <= 1 or number <= 1:
        yield from track(map(make_one, range(number)), label, total=number, unit="utterances")
        return
    context = multiprocessing.get_context("spawn")  # a fork would inherit locks of the parent's threads
    with ProcessPoolExecutor(min(workers, number), mp_context=context, initializer=end_with_parent) as pool:
        chunk = max(1, min(_MOST_UTTERANCES_IN_A_CHUNK, number // (4 * workers)))
        results = pool.map(make_one, range(number), chunksize=chunk)
        yield from track(results, label, total=number, unit="utterances")


def _make_one(settings: SpokenScenes, split: str, folder: Path, number: int) -> _Row:
    """Writes the wav and image files of one utterance."""
    name = int.from_bytes(hashlib.blake2b(split.encode(), digest_size=8).digest())
    for_text, for_speech, for_image = np.random.default_rng([settings.seed, name, number]).spawn(3)
    utterance_id = f"{split}-{number:06d}"
    stem = f"{_subfolder(number)}/{utterance_id}"

    scene: scenes.Scene | None = None
    if split in settings.pairs:
        scene, text = sample_pair(settings, split, for_text)
        speaker_number = int(for_speech.integers(settings.speakers))
    else:
        text = captions.sample_word_list(for_text)
        speaker_number = settings.speakers + int(for_speech.integers(settings.unseen_speakers))
    speaker = speech.speaker(speaker_number, settings.seed)
    spoken = speech.speak(text, speaker, settings, for_speech)
    soundfile.write(folder / split / "wavs" / f"{stem}.wav", spoken.samples, speech.SAMPLE_RATE, subtype="PCM_16")

    row: dict[str, Any] = {"uttid": utterance_id, "speaker": speaker.name, "wav": f"{stem}.wav"}
    if scene is not None:
        image = scenes.render(scene, settings.image_size, for_image)
        image.save(folder / split / "images" / f"{stem}.jpg", quality=_JPEG_QUALITY)
        row |= {"image": f"{stem}.jpg", "scene": scene.to_dict()}
    row |= {
        "asr_text": " ".join(captions.words_of(text)),
        "text_alignment": format_alignment(spoken.words),
        "phone_alignment": format_alignment(spoken.phones),
    }
    return row, spoken.phones


def _subfolder(number: int) -> str:
    """Where the media of an utterance lie, so that no folder grows without end."""
    return f"{number // _FILES_IN_A_FOLDER:03d}"
