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

    Writes `folder/{split}/wavs`, for pairs `folder/{split}/images`, and last and whole
    `folder/{split}.json` in the Places layout and the ABX items `folder/{split}.item`.
    Raises InputError for an unknown split, a missing synthesiser, or a corpus with too few
    kinds of scenes for its number of splits.
    """
    _check(settings, split)
    for output in (folder / f"{split}.json", folder / f"{split}.item"):
        output.unlink(missing_ok=True)  # it must not describe the media that are about to change
    number = settings.pairs[split] if split in settings.pairs else settings.word_lists[split]
    _declare(_made(settings, split, range(number), folder, workers), split, folder)


def make_shard(settings: SpokenScenes, split: str, numbers: range, folder: Path, out: Path, workers: int) -> None:
    """Makes the utterances of a split with these numbers, as `make` would, and last what `gather` needs of them, in `out`."""
    _check(settings, split)
    out.unlink(missing_ok=True)
    rows = _made(settings, split, numbers, folder, workers)
    files.write_json(out, [{"row": row, "phones": phones} for row, phones in rows])


def gather(parts: list[Path], split: str, folder: Path) -> None:
    """Writes the JSON file and the items of a split from what its shards left, in order: of n, shard s made every n-th utterance from s on."""
    shards = [
        [(part["row"], tuple(Interval(*phone) for phone in part["phones"])) for part in files.read_json(path)]
        for path in parts
    ]
    rows: list[_Made] = [({}, ())] * sum(map(len, shards))
    for shard, made in enumerate(shards):
        rows[shard :: len(shards)] = made
    _declare(rows, split, folder)


type _Made = tuple[dict[str, Any], tuple[Interval, ...]]
"""An utterance's row of the JSON file, and its phones."""


def _check(settings: SpokenScenes, split: str) -> None:
    espeak.check_installed()
    if split not in settings.splits:
        raise InputError(f"the corpus has no split {split!r}; known are {', '.join(settings.splits)}")


def _made(settings: SpokenScenes, split: str, numbers: range, folder: Path, workers: int) -> list[_Made]:
    """Makes the media of these utterances."""
    for subfolder in dict.fromkeys(map(_subfolder, numbers)):
        for media in ("wavs", "images") if split in settings.pairs else ("wavs",):
            (folder / split / media / subfolder).mkdir(parents=True, exist_ok=True)
    return list(_rows(partial(_make_one, settings, split, folder), numbers, workers, label=f"making {split}"))


def _declare(rows: list[_Made], split: str, folder: Path) -> None:
    """Writes the JSON file and the items of a split whose media are there."""
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
    """The place, in the list of pairs, of the split that owns the scene or caption: 0 for half of all keys, 1 for a quarter, ..."""
    value = int.from_bytes(hashlib.blake2b(key.encode(), digest_size=8).digest())
    return (~value & (value + 1)).bit_length() - 1  # how many ones its binary form ends with


def _rows[T](make_one: partial[T], numbers: range, workers: int, label: str) -> Iterator[T]:
    """What `make_one` gives for these numbers, in order."""
    number = len(numbers)
    if workers <= 1 or number <= 1:
        yield from track(map(make_one, numbers), label, total=number, unit="utterances")
        return
    context = multiprocessing.get_context("spawn")  # a fork would inherit locks of the parent's threads
    with ProcessPoolExecutor(min(workers, number), mp_context=context, initializer=end_with_parent) as pool:
        chunk = max(1, min(_MOST_UTTERANCES_IN_A_CHUNK, number // (4 * workers)))
        results = pool.map(make_one, numbers, chunksize=chunk)
        yield from track(results, label, total=number, unit="utterances")


def _make_one(settings: SpokenScenes, split: str, folder: Path, number: int) -> _Made:
    """Writes the media of one utterance; its row of the JSON file, and its phones."""
    name = int.from_bytes(hashlib.blake2b(split.encode(), digest_size=8).digest())
    for_text, for_speech, for_image = np.random.default_rng([settings.seed, name, number]).spawn(3)
    identity = f"{split}-{number:06d}"
    stem = f"{_subfolder(number)}/{identity}"

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

    row: dict[str, Any] = {"uttid": identity, "speaker": speaker.name, "wav": f"{stem}.wav"}
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
