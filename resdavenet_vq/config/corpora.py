"""The section `corpus`: the demo corpus, and the layouts of corpora that are imported."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated, Literal, Self

from pydantic import Field, PositiveInt, model_validator

from resdavenet_vq.config.section import Name, Probability, Section


class SpokenScenes(Section):
    """The demo corpus that this software makes itself: drawn scenes and synthetic spoken captions."""

    layout: Literal["spoken_scenes"]
    name: Name = Field(description="Names the folder of everything made from this corpus: results/NAME.")
    seed: int = Field(ge=0, description="Everything in the corpus follows from it.")
    pairs: dict[Name, PositiveInt] = Field(
        description="Image and caption pairs in each split; no two splits share a caption or a scene."
    )
    word_lists: dict[Name, PositiveInt] = Field(
        default={},
        description="Speech-only splits for ABX: utterances of words outside the captions, by unseen speakers.",
    )
    speakers: PositiveInt = Field(default=20, description="Speakers of the pairs.")
    unseen_speakers: PositiveInt = Field(default=8, description="Further speakers, of the word lists only.")
    image_size: int = Field(default=128, ge=32, le=1024, description="Width and height of the images, in pixels.")
    objects: int = Field(default=16, ge=2, le=24, description="How many kinds of object are drawn.")
    colours: int = Field(default=8, ge=2, le=10, description="How many colours the objects have.")
    max_objects: int = Field(default=2, ge=1, le=3, description="Most objects in a scene.")
    variability: float = Field(
        default=1.0, ge=0, le=2, description="How much pitch, rate and vocal tract vary between a speaker's utterances."
    )
    snr_db: tuple[float, float] = Field(default=(15.0, 32.0), description="Range of the signal-to-noise ratio, in dB.")
    tilt: float = Field(default=0.4, ge=0, lt=1, description="Largest spectral tilt, as a one-tap filter coefficient.")
    reverberation: Probability = Field(default=0.0, description="Share of utterances with a synthetic room.")

    @property
    def splits(self) -> tuple[str, ...]:
        """Names of all splits, the pairs' first."""
        return (*self.pairs, *self.word_lists)

    @model_validator(mode="after")
    def _splits_are_distinct(self) -> SpokenScenes:
        if both := set(self.pairs) & set(self.word_lists):
            raise ValueError(f"split {min(both)!r} stands in both pairs and word_lists")
        if self.snr_db[0] > self.snr_db[1]:
            raise ValueError("snr_db: the lower end comes first")
        return self


class ImportedCorpus(Section):
    """What all corpora that are not made here have in common."""

    layout: str
    name: Name = Field(description="Names the folder of everything made from this corpus: results/NAME.")
    items: dict[Name, Path] = Field(default={}, description="ABX item files of splits, where there are any.")
    alignments: dict[Name, Path] = Field(
        default={},
        description="Aligned words of splits where the corpus's files have none, joined by utterance id: "
        "a folder of TextGrids, a .ctm file, or a .txt file with rows `id start end word`.",
    )
    release_hdf5: dict[Name, Path] = Field(
        default={},
        description="With `preparation.reader: release_2020`, the JSON file of each split that names its `audio_hdf5_path` and "
        "`image_hdf5_path`; their rows are those of the split, in order. See docs/readers.md.",
    )

    def of(self, split: str) -> Self:
        """Only what decides how one split is read."""
        own = {
            key: {k: v for k, v in getattr(self, key).items() if k == split} for key in ("alignments", "release_hdf5")
        }
        return self.model_copy(update=own | {"items": {}})


class PlacesAudio(ImportedCorpus):
    """Places Audio, or any corpus in its JSON layout."""

    layout: Literal["places"]
    metadata: dict[Name, Path] = Field(description="The JSON file of each split.")
    audio_base_path: Path | None = Field(
        default=None, description="Folder of the wav paths, if not the one named in the JSON."
    )
    image_base_path: Path | None = Field(
        default=None, description="Folder of the image paths, if not the one named in the JSON."
    )

    @property
    def splits(self) -> tuple[str, ...]:
        """Names of all splits."""
        return tuple(self.metadata)

    def of(self, split: str) -> Self:
        """Only what decides how one split is read."""
        return super().of(split).model_copy(update={"metadata": {split: self.metadata[split]}})


class SpokenCoco(ImportedCorpus):
    """SpokenCOCO, several captions an image, with its own splits or Karpathy's."""

    layout: Literal["spoken_coco"]
    metadata: dict[Name, Path] = Field(
        min_length=1,
        description="The JSON file of each split; with `karpathy_splits`, all files that hold the images, under any names.",
    )
    audio_base_path: Path | None = Field(
        default=None, description="Folder of the wav paths, if not the folder of the JSON."
    )
    image_base_path: Path | None = Field(
        default=None, description="Folder of the image paths, if not the folder of the JSON."
    )
    karpathy_splits: Path | None = Field(
        default=None,
        description="Karpathy's dataset_coco.json: its splits train, val and test then take the place of the corpus's own.",
    )

    @property
    def splits(self) -> tuple[str, ...]:
        """Names of all splits."""
        return ("train", "val", "test") if self.karpathy_splits else tuple(self.metadata)

    def of(self, split: str) -> Self:
        """Only what decides how one split is read."""
        own = super().of(split)
        if self.karpathy_splits:
            return own
        return own.model_copy(update={"metadata": {split: self.metadata[split]}})


class Flickr8k(ImportedCorpus):
    """Flickr8k Audio, several captions an image, from its own files; its splits are train, dev and test."""

    layout: Literal["flickr8k"]
    audio_folder: Path = Field(description="Folder with wav2capt.txt, wav2spk.txt and wavs/.")
    text_folder: Path = Field(
        description="Folder with Flickr8k.token.txt and Flickr_8k.trainImages.txt, devImages and testImages."
    )
    image_folder: Path = Field(description="Folder of the images.")

    @property
    def splits(self) -> tuple[str, ...]:
        """Names of all splits."""
        return ("train", "dev", "test")


Corpus = Annotated[SpokenScenes | PlacesAudio | SpokenCoco | Flickr8k, Field(discriminator="layout")]


def read_corpus(text: str) -> Corpus:
    """The section `corpus` from the JSON text that a rule hands to a command."""
    return _OnlyCorpus.from_json(f'{{"corpus": {text}}}').corpus  # type: ignore[no-any-return]


class _OnlyCorpus(Section):
    """So that the union's layouts are told apart, and faults named, as in a whole configuration."""

    corpus: Corpus
