"""The section `corpus`: the demo corpus, and the layouts of corpora that are imported."""

from __future__ import annotations

from abc import abstractmethod
from pathlib import Path
from typing import Annotated, Literal, Self

from pydantic import Field, model_validator

from resdavenet_vq.config.section import Count, Level, Name, Probability, Section, Seed

NAME = "The name of the corpus; all results are written to `results/NAME`."


class SpokenScenes(Section):
    """The demo corpus, which this software makes itself: drawn scenes and synthetic spoken captions."""

    layout: Literal["spoken_scenes"] = Field(description="The demo corpus.")
    name: Name = Field(description=NAME)
    seed: Seed = Field(description="The seed of the whole corpus: text, speech and images.")
    pairs: dict[Name, Count] = Field(
        description="The number of image and caption pairs in each split. No two splits share a caption or a scene."
    )
    word_lists: dict[Name, Count] = Field(
        default={},
        description="The number of utterances in each speech-only split for ABX: words outside the captions, "
        "spoken by unseen speakers.",
    )
    speakers: Count = Field(default=20, description="The number of speakers of the pairs.")
    unseen_speakers: Count = Field(
        default=8, description="The number of further speakers, who speak the word lists only."
    )
    image_size: int = Field(default=128, ge=32, le=1024, description="The width and height of the images in pixels.")
    objects: int = Field(default=16, ge=2, le=24, description="The number of kinds of object.")
    colours: int = Field(default=8, ge=2, le=10, description="The number of colours.")
    max_objects: int = Field(default=2, ge=1, le=3, description="The largest number of objects in a scene.")
    variability: float = Field(
        default=1.0,
        ge=0,
        le=2,
        description="How much pitch, rate and vocal tract vary between a speaker's utterances; 0 is not at all.",
    )
    snr_db: tuple[Level, Level] = Field(
        default=(15.0, 32.0), description="The range of the signal-to-noise ratio in dB, lower end first."
    )
    tilt: float = Field(
        default=0.4, ge=0, lt=1, description="The largest spectral tilt, as the coefficient of a one-tap filter."
    )
    reverberation: Probability = Field(
        default=0.0, description="The share of utterances that are spoken in a synthetic room."
    )

    @property
    def splits(self) -> tuple[str, ...]:
        """Names of all splits, the pairs' first."""
        return (*self.pairs, *self.word_lists)

    @model_validator(mode="after")
    def _check(self) -> Self:
        if both := set(self.pairs) & set(self.word_lists):
            raise ValueError(f"split {min(both)!r} is in both pairs and word_lists")
        if self.snr_db[0] > self.snr_db[1]:
            raise ValueError("snr_db: the lower end comes first")
        return self


class ImportedCorpus(Section):
    """What all corpora that are not made here have in common."""

    layout: str
    name: Name = Field(description=NAME)
    items: dict[Name, Path] = Field(
        default={},
        description="The ABX item file of each split that has one: by the split's name, of triphones; by `SPLIT.phoneme`, "
        "`SPLIT.word` and `SPLIT.syllable`, of those. Without one, items are made from the alignments (`abx.items`).",
    )
    alignments: dict[Name, Path] = Field(
        default={},
        description="The aligned words of splits whose corpus files have none: a folder of TextGrids, a .ctm file, or "
        "a .txt file with rows `id start end word`. They are joined by utterance id. See docs/alignments.md.",
    )
    tiers: dict[Literal["words", "phones", "syllables"], tuple[str, ...]] = Field(
        default={},
        description="What the tiers of words, phones and syllables are called in `alignments`, where it is nothing that "
        "is known (docs/alignments.md): the first of the names that a file has.",
    )
    release_hdf5: dict[Name, Path] = Field(
        default={},
        description="The JSON file of each split that names its `audio_hdf5_path` and `image_hdf5_path`; its rows are "
        "those of the split, in order. Only `preparation.reader: release_2020` reads it. See docs/readers.md.",
    )

    @property
    @abstractmethod
    def splits(self) -> tuple[str, ...]:
        """Names of all splits."""

    def item_file(self, split: str, of: str) -> Path | None:
        """The file of a split's items of triphones, phonemes, words or syllables, if the corpus has one."""
        return self.items.get(split if of == "triphone" else f"{split}.{of}")

    def split_of_items(self, key: str) -> str:
        """The split of a key of `items`."""
        split, _, of = key.rpartition(".")
        return split if key not in self.splits and of in {"phoneme", "word", "syllable"} else key

    def for_split(self, split: str) -> Self:
        """Only what decides how one split is read."""
        return self.model_copy(
            update={
                "items": {},
                "alignments": {k: v for k, v in self.alignments.items() if k == split},
                "tiers": self.tiers if split in self.alignments else {},
                "release_hdf5": {k: v for k, v in self.release_hdf5.items() if k == split},
            }
        )


class PlacesAudio(ImportedCorpus):
    """Places Audio, or any corpus in its JSON layout."""

    layout: Literal["places"] = Field(description="The JSON layout of Places Audio.")
    metadata: dict[Name, Path] = Field(description="The JSON file of each split.")
    audio_base_path: Path | None = Field(
        default=None,
        description="The folder that wav paths are relative to. The default is the one named in the JSON, else the JSON's "
        "own. See docs/corpus_files.md.",
    )
    image_base_path: Path | None = Field(
        default=None,
        description="The folder that image paths are relative to. The default is the one named in the JSON, else the "
        "JSON's own.",
    )

    @property
    def splits(self) -> tuple[str, ...]:
        """Names of all splits."""
        return tuple(self.metadata)

    def for_split(self, split: str) -> Self:
        """Only what decides how one split is read."""
        return super().for_split(split).model_copy(update={"metadata": {split: self.metadata[split]}})


class SpokenCoco(ImportedCorpus):
    """SpokenCOCO, which has several captions per image, with its own splits or Karpathy's."""

    layout: Literal["spoken_coco"] = Field(description="The files of SpokenCOCO.")
    metadata: dict[Name, Path] = Field(
        min_length=1,
        description="The JSON file of each split; with `karpathy_splits`, all files that list images, under any names.",
    )
    audio_base_path: Path | None = Field(
        default=None,
        description="The folder that wav paths are relative to. The default is the one named in the JSON, else the JSON's "
        "own. See docs/corpus_files.md.",
    )
    image_base_path: Path | None = Field(
        default=None,
        description="The folder that image paths are relative to. The default is the one named in the JSON, else the "
        "JSON's own.",
    )
    karpathy_splits: Path | None = Field(
        default=None,
        description="Karpathy's dataset_coco.json. Its splits train, val and test replace those of the corpus; the "
        "images that it calls restval are in train.",
    )

    @property
    def splits(self) -> tuple[str, ...]:
        """Names of all splits."""
        return ("train", "val", "test") if self.karpathy_splits else tuple(self.metadata)

    def for_split(self, split: str) -> Self:
        """Only what decides how one split is read."""
        one = super().for_split(split)
        return one if self.karpathy_splits else one.model_copy(update={"metadata": {split: self.metadata[split]}})


class Flickr8k(ImportedCorpus):
    """Flickr8k Audio, which has several captions per image, from its own files; the splits are train, dev and test."""

    layout: Literal["flickr8k"] = Field(description="The files of Flickr8k Audio.")
    audio_folder: Path = Field(description="The folder of wav2capt.txt, wav2spk.txt and wavs/.")
    text_folder: Path = Field(
        description="The folder of Flickr_8k.trainImages.txt, devImages and testImages, and of the texts."
    )
    text_file: Path | None = Field(
        default=Path("Flickr8k.token.txt"),
        description="The file of the texts, from `text_folder` on: Flickr8k.token.txt, or a CSV file `image,caption` such as "
        "Kaggle's captions.txt, whose nth row of an image is its nth caption. With `null` there are no texts.",
    )
    image_folder: Path = Field(description="The folder of the images.")

    @property
    def splits(self) -> tuple[str, ...]:
        """Names of all splits."""
        return ("train", "dev", "test")


Corpus = Annotated[SpokenScenes | PlacesAudio | SpokenCoco | Flickr8k, Field(discriminator="layout")]


class _OnlyCorpus(Section):
    corpus: Corpus


def read_corpus(text: str) -> Corpus:
    """The section `corpus` from the JSON text that a rule hands to a command."""
    return _OnlyCorpus.from_json(f'{{"corpus": {text}}}').corpus
