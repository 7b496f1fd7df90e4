"""The demo corpus, made on this machine: drawn scenes, synthetic spoken captions, exact alignments.

Each utterance is a function of the corpus's seed, the split's name and its own number: the files are the same, byte for
byte, for any number of workers and on every rerun with the same versions of the libraries on the same type of processor.

No two splits of pairs share a scene or a caption (as a sequence of words). A hash assigns every scene and every caption
to one split: the first in the list of pairs owns half of them, the second a quarter, the third an eighth, and so on. A
split draws until it gets its own. So other sizes, and splits added at the end of the list, do not change the pairs of
the rest. Within a split, scenes and captions may repeat.
"""

from __future__ import annotations

import hashlib
from functools import partial
from pathlib import Path
from typing import Any

import numpy as np
import soundfile

from resdavenet_vq import files
from resdavenet_vq.config import SpokenScenes
from resdavenet_vq.corpus import tokens as items
from resdavenet_vq.corpus.manifest import Interval, format_alignment
from resdavenet_vq.data.workers import in_parallel
from resdavenet_vq.demo import captions, espeak, scenes, speech
from resdavenet_vq.errors import InputError
from resdavenet_vq.progress import track

_JPEG_QUALITY = 88
_FILES_IN_A_FOLDER = 1000
_CAPTIONS_FOR_A_SCENE = 32
_MOST_DRAWS = 100_000


def make(settings: SpokenScenes, split: str, folder: Path, workers: int) -> None:
    """Makes one split with that many processes.

    Writes `folder/{split}/wavs`, for pairs `folder/{split}/images`, the ABX items `folder/{split}.item` and
    `folder/{split}.json` in the layout of Places Audio, with their digests, all or none. Raises InputError for an unknown split, a
    missing synthesizer, or a corpus with too few kinds of scenes for its number of splits.
    """
    espeak.library_paths()
    if split not in settings.splits:
        raise InputError(f"the corpus has no split {split!r}; known are {', '.join(settings.splits)}")
    n = (settings.pairs | settings.word_lists)[split]
    media = {"audio": "wavs", "image": "images"} if split in settings.pairs else {"audio": "wavs"}
    with files.together():
        with files.atomic_folder(folder / split, replace=True) as tmp:
            for name in media.values():
                for subfolder in {_subfolder(number) for number in range(n)}:
                    (tmp / name / subfolder).mkdir(parents=True, exist_ok=True)
            results = in_parallel(range(n), partial(_make_one, settings, split, tmp), workers, (__name__,))
            rows = list(track(results, f"making {split}", n, "utterances"))
        with files.atomic_write(folder / f"{split}.item") as tmp:
            lines = (
                items.line(row["uttid"], token, row["speaker"])
                for row, phones in rows
                for token in items.triphones(phones)
                if items.lasts(token)
            )
            tmp.write_text("\n".join([items.HEADER, *lines]) + "\n", encoding="utf-8")
        content = {f"{kind}_base_path": f"{split}/{name}" for kind, name in media.items()}
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
    value = _hash(key)
    return (~value & (value + 1)).bit_length() - 1  # how many ones its binary form ends with


def _hash(text: str) -> int:
    return int.from_bytes(hashlib.blake2b(text.encode(), digest_size=8).digest())


type _Row = tuple[dict[str, Any], tuple[Interval, ...]]
"""An utterance's row of the JSON file, and its phones."""


def _make_one(settings: SpokenScenes, split: str, folder: Path, number: int) -> _Row:
    """Writes the wav and image files of one utterance."""
    for_text, for_speech, for_image = np.random.default_rng([settings.seed, _hash(split), number]).spawn(3)
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
    soundfile.write(folder / "wavs" / f"{stem}.wav", spoken.samples, speech.SAMPLE_RATE, subtype="PCM_16")

    row: dict[str, Any] = {"uttid": utterance_id, "speaker": speaker.name, "wav": f"{stem}.wav"}
    if scene is not None:
        image = scenes.render(scene, settings.image_size, for_image)
        image.save(folder / "images" / f"{stem}.jpg", quality=_JPEG_QUALITY)
        row |= {"image": f"{stem}.jpg", "scene": scene.to_dict()}
    row |= {
        "asr_text": " ".join(captions.words_of(text)),
        "text_alignment": format_alignment(spoken.words),
        "phone_alignment": format_alignment(spoken.phones),
    }
    return row, spoken.phones


def _subfolder(number: int) -> str:
    return f"{number // _FILES_IN_A_FOLDER:03d}"
