"""The schema of `config.yaml`: every key, its type, its bounds and what it means.

Values live in YAML; here are types, bounds and descriptions, and the defaults of what most
people never change (always the published value). Unknown keys, missing keys and wrong types
are errors with their dotted name; `read` gathers all of them in one `InputError`.
"""

from __future__ import annotations

import difflib
import json
from collections.abc import Iterable, Mapping
from pathlib import Path
from typing import Annotated, Any, Literal, Self, get_args

from pydantic import BaseModel, BeforeValidator, ConfigDict, Field, PositiveFloat, PositiveInt, ValidationError, model_validator

from resdavenet_vq.errors import InputError
from resdavenet_vq.stage import N_POSITIONS, Lineage

Name = Annotated[str, Field(pattern=r"^[A-Za-z0-9][A-Za-z0-9_.-]*$")]
Layer = Annotated[str, Field(pattern=r"^(quant|conv)[1-5]$")]
LineageText = Annotated[str, Field(pattern=r"^\{[1-5, ]*\}(\s*->\s*\{[1-5, ]*\})*$")]
Probability = Annotated[float, Field(ge=0, le=1)]

RANDOM, IMAGENET = "random", "IMAGENET1K_V1"
"""Weights of the image network that are no file."""


class Section(BaseModel):
    """A part of the configuration: frozen, strictly typed, with no unknown keys."""

    model_config = ConfigDict(frozen=True, extra="forbid", strict=True)

    @classmethod
    def from_json(cls, text: str) -> Any:
        """The section from the JSON text that a rule hands to a command."""
        try:
            return cls.model_validate_json(text)
        except ValidationError as e:
            raise InputError("\n".join(_problems(cls, e, json.loads(text) if text.strip() else {}))) from None


class SpokenScenes(Section):
    """The demo corpus that this software makes itself: drawn scenes and synthetic spoken captions."""

    layout: Literal["spoken_scenes"]
    name: Name = Field(description="Names the folder of everything made from this corpus: results/NAME.")
    seed: int = Field(ge=0, description="Everything in the corpus follows from it.")
    pairs: dict[Name, PositiveInt] = Field(description="Image and caption pairs in each split; no two splits share a caption or a scene.")
    word_lists: dict[Name, PositiveInt] = Field(
        default={}, description="Speech-only splits for ABX: utterances of words outside the captions, by unseen speakers."
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
        own = {key: {k: v for k, v in getattr(self, key).items() if k == split} for key in ("alignments", "release_hdf5")}
        return self.model_copy(update=own | {"items": {}})


class PlacesAudio(ImportedCorpus):
    """Places Audio, or any corpus in its JSON layout."""

    layout: Literal["places"]
    metadata: dict[Name, Path] = Field(description="The JSON file of each split.")
    audio_base_path: Path | None = Field(default=None, description="Folder of the wav paths, if not the one named in the JSON.")
    image_base_path: Path | None = Field(default=None, description="Folder of the image paths, if not the one named in the JSON.")

    @property
    def splits(self) -> tuple[str, ...]:
        """Names of all splits."""
        return tuple(self.metadata)

    def files(self, split: str) -> tuple[Path, ...]:
        """The files that a split is read from, alignments apart."""
        return (self.metadata[split],)

    def of(self, split: str) -> Self:
        """Only what decides how one split is read."""
        return super().of(split).model_copy(update={"metadata": {split: self.metadata[split]}})


class SpokenCoco(ImportedCorpus):
    """SpokenCOCO, several captions an image, with its own splits or Karpathy's."""

    layout: Literal["spoken_coco"]
    metadata: dict[Name, Path] = Field(
        min_length=1, description="The JSON file of each split; with `karpathy_splits`, all files that hold the images, under any names."
    )
    audio_base_path: Path | None = Field(default=None, description="Folder of the wav paths, if not the folder of the JSON.")
    image_base_path: Path | None = Field(default=None, description="Folder of the image paths, if not the folder of the JSON.")
    karpathy_splits: Path | None = Field(
        default=None, description="Karpathy's dataset_coco.json: its splits train, val and test then take the place of the corpus's own."
    )
    restval: Literal["train", "leave_out"] = Field(
        default="train", description="Where the images go that Karpathy's file calls restval: to train as usual, or nowhere."
    )

    @property
    def splits(self) -> tuple[str, ...]:
        """Names of all splits."""
        return ("train", "val", "test") if self.karpathy_splits else tuple(self.metadata)

    def files(self, split: str) -> tuple[Path, ...]:
        """The files that a split is read from, alignments apart."""
        return (*self.metadata.values(), self.karpathy_splits) if self.karpathy_splits else (self.metadata[split],)

    def of(self, split: str) -> Self:
        """Only what decides how one split is read."""
        own = super().of(split)
        return own if self.karpathy_splits else own.model_copy(update={"metadata": {split: self.metadata[split]}})


class Flickr8k(ImportedCorpus):
    """Flickr8k Audio, several captions an image, from its own files; its splits are train, dev and test."""

    layout: Literal["flickr8k"]
    audio_folder: Path = Field(description="Folder with wav2capt.txt, wav2spk.txt and wavs/.")
    text_folder: Path = Field(description="Folder with Flickr8k.token.txt and Flickr_8k.trainImages.txt, devImages and testImages.")
    image_folder: Path = Field(description="Folder of the images.")

    @property
    def splits(self) -> tuple[str, ...]:
        """Names of all splits."""
        return ("train", "dev", "test")

    @property
    def wavs(self) -> Path:
        """Folder of the audio."""
        return self.audio_folder / "wavs"

    @property
    def wav2capt(self) -> Path:
        """The image and the caption's number of each wav."""
        return self.audio_folder / "wav2capt.txt"

    @property
    def wav2spk(self) -> Path:
        """The speaker of each wav."""
        return self.audio_folder / "wav2spk.txt"

    @property
    def tokens(self) -> Path:
        """The text of each caption."""
        return self.text_folder / "Flickr8k.token.txt"

    def image_list(self, split: str) -> Path:
        """The images of a split."""
        return self.text_folder / f"Flickr_8k.{split}Images.txt"

    def files(self, split: str) -> tuple[Path, ...]:  # noqa: ARG002 - a split is what the other lists leave
        """The files that a split is read from, alignments apart."""
        return (self.wav2capt, self.wav2spk, self.tokens, *map(self.image_list, self.splits))


Corpus = Annotated[SpokenScenes | PlacesAudio | SpokenCoco | Flickr8k, Field(discriminator="layout")]


class Preparation(Section):
    """Turning wav and image files into the HDF5 store."""

    reader: Literal["store", "files", "release_2020"] = Field(
        default="store",
        description="Where features and images are read from whenever they are needed: a `store` made once; the wav and image `files` "
        "themselves; or the HDF5 files of the 2020 release, named in `corpus.release_hdf5`. All give the same batches. See docs/readers.md.",
    )
    max_frames: PositiveInt = Field(
        default=2048, description="Longer utterances are cut to this many 10 ms frames, and counted. The published value."
    )
    precision: Literal["float16", "float32"] = Field(default="float16", description="Of the stored log-mel features.")
    bad_rows: Literal["stop", "skip"] = Field(
        default="stop", description="Whether a refused row stops the preparation, or is left out and reported."
    )
    allow_silent: bool = Field(default=False, description="Accept empty and constant utterances, whose features are all 0 dB like padding.")


def _describe_base(schema: dict[str, Any]) -> None:
    """Adds the key `base`, which is no field, to the JSON schema of a recipe."""
    meaning = "The word, `published` or `corrected`, that the switches not named here are taken from."
    schema["properties"]["base"] = {"enum": list(RECIPES), "type": "string", "default": "published", "description": meaning}


class Recipe(Section):
    """Where the published behaviour and its evident intention differ: which one is computed. See docs/published_and_corrected.md.

    In YAML also one of the words `published` and `corrected`, which set every switch, or a mapping that starts from one
    of them by its key `base`.
    """

    model_config = ConfigDict(json_schema_extra=_describe_base)

    jitter: Literal["published", "centred"] = Field(
        default="published", description="Offsets of the temporal jitter: 0, +1, +2 as the release computes, or -1, 0, +1 as meant."
    )
    semi_hard: Literal["published", "masked"] = Field(
        default="published", description="Semi-hard impostors: excluded entries count as 0 as in the release, or are excluded."
    )
    pad_value: Literal["zero", "floor"] = Field(
        default="zero", description="Log-mel value of training padding: 0 dB (the loudest level) as published, or -80 dB."
    )
    frame_time: Literal["published", "centred"] = Field(
        default="published", description="Time of frame f: (f + 1/2) periods as published, or the centre of its receptive field."
    )
    context: Literal["cropped", "padded"] = Field(
        default="cropped",
        description="What an utterance is surrounded by when it is encoded to codes or embedded: nothing, as the release does for words, "
        "or padding of `pad_value` up to `preparation.max_frames`, as it does for training and retrieval.",
    )
    dead_codes: Literal["keep", "restart"] = Field(
        default="keep",
        description="Codes that hardly any frame takes: left where they are as published, or moved to random frames of the batch. "
        "See docs/codebooks.md.",
    )
    new_codebooks: Literal["random", "parent_activations"] = Field(
        default="random",
        description="Codebooks that a stage has and its parent had not: random numbers as published, or frames that the parent makes of "
        "training utterances.",
    )

    @model_validator(mode="before")
    @classmethod
    def _from_a_word(cls, given: Any) -> Any:
        """The values of all switches where a word stands for them."""
        if isinstance(given, str):
            return _recipe_of(given)
        if not isinstance(given, Mapping) or "base" not in given:
            return given
        named = {key: value for key, value in given.items() if key != "base"}
        if cls.model_fields.keys() <= named.keys():
            raise ValueError(
                "recipe.base: has no effect, because every switch is named beside it, perhaps in the file that this one is laid over; "
                f"write `recipe: {given['base']}`, or name the switches that should differ"
            )
        return _recipe_of(given["base"], "recipe.base: ") | named


PAD_VALUE = {"zero": 0.0, "floor": -80.0}
"""What `recipe.pad_value` means in dB."""

TRAINING_SWITCHES = ("jitter", "semi_hard", "pad_value", "dead_codes", "new_codebooks")
"""Those of `recipe` that a trained model depends on."""

RECIPES: dict[str, dict[str, str]] = {
    "published": {name: field.default for name, field in Recipe.model_fields.items()},
    "corrected": {
        "jitter": "centred",
        "semi_hard": "masked",
        "pad_value": "floor",
        "frame_time": "centred",
        "context": "padded",
        "dead_codes": "restart",
        "new_codebooks": "parent_activations",
    },
}
"""What the words mean that stand for a whole recipe."""


def _recipe_of(word: Any, key: str = "") -> dict[str, str]:
    """The switches that a word stands for."""
    if word not in tuple(RECIPES):
        raise ValueError(
            f"{key}must be {' or '.join(RECIPES)}{'' if key else ', or a mapping of the switches'}, not {word!r}; {_nearest(word, RECIPES)}"
        )
    return RECIPES[word]


class AudioModel(Section):
    """The audio network: a stem and four stages of residual blocks."""

    widths: tuple[PositiveInt, PositiveInt, PositiveInt, PositiveInt, PositiveInt] = Field(
        description="Channels after the stem and after each stage."
    )
    blocks_per_stage: PositiveInt = Field(default=2, description="Residual blocks in each stage.")
    kernel_size: PositiveInt = Field(default=9, description="Width of the convolutions in frames; odd.")
    n_mels: PositiveInt = Field(default=40, description="Mel bands of the input.")


class ImageModel(Section):
    """The image network, a ResNet without its classifier, and how images reach it."""

    architecture: Literal["resnet50", "thin_resnet"] = Field(
        description="ResNet-50, or the demo's small relative with one basic block a stage."
    )
    widths: tuple[PositiveInt, PositiveInt, PositiveInt, PositiveInt] = Field(
        default=(16, 32, 64, 128), description="Channels of the four stages of thin_resnet; resnet50 has its own."
    )
    weights: str = Field(
        default=RANDOM,
        description="Where the network's initial weights come from: `random`; `IMAGENET1K_V1`, torchvision's of ImageNet, as published "
        "(resnet50 only; downloaded and its checksum verified); or the path of a .pth or .safetensors file with torchvision's names.",
    )
    train_embedder_only: bool = Field(default=False, description="Keep the ResNet fixed and train the 1x1 convolution after it.")
    crop: PositiveInt = Field(default=224, description="Side of the square that the network sees, in pixels.")
    resize: PositiveInt = Field(
        default=256, description="Shorter side before the centre crop of evaluation (and before training crops that keep the scale)."
    )
    training_crop: Literal["resized", "same_scale"] = Field(
        default="resized", description="A random part of the image resized to the crop, as published, or a random crop after the resize."
    )

    @model_validator(mode="after")
    def _crop_fits(self) -> ImageModel:
        if self.crop > self.resize:
            raise ValueError(f"crop ({self.crop}) is larger than resize ({self.resize})")
        return self

    @property
    def weights_file(self) -> Path | None:
        """The local file of the initial weights, if that is where they come from."""
        return None if self.weights in {RANDOM, IMAGENET} else Path(self.weights)

    @model_validator(mode="after")
    def _weights_fit(self) -> ImageModel:
        if self.weights == IMAGENET and self.architecture != "resnet50":
            raise ValueError(f"model.image.weights: {IMAGENET} are weights of resnet50, not of {self.architecture}")
        if self.weights_file and self.weights_file.suffix not in {".pth", ".pt", ".safetensors"}:
            raise ValueError(
                f"model.image.weights: must be {RANDOM}, {IMAGENET}, or the path of a .pth or .safetensors file, not {self.weights!r}"
            )
        return self


def _one_or_five(sizes: Any) -> Any:
    """A codebook size, or a tuple of five."""
    several = tuple(sizes) if isinstance(sizes, list | tuple) and len(sizes) == N_POSITIONS else (sizes,)
    if any(type(size) is not int or size < 1 for size in several):
        raise ValueError(f"must be a positive whole number, or a list of {N_POSITIONS} of them, quant1's first")
    return several if len(several) > 1 else sizes


CodebookSize = Annotated[
    PositiveInt | tuple[PositiveInt, PositiveInt, PositiveInt, PositiveInt, PositiveInt], BeforeValidator(_one_or_five)
]


class QuantizerModel(Section):
    """The quantizers, all alike but for their codebooks' sizes."""

    codebook_size: CodebookSize = Field(
        default=1024, description="K, the number of codes; a list of five, quant1's first, where they differ."
    )
    decay: Probability = Field(default=0.99, description="Of the moving averages that the codebook follows.")
    epsilon: PositiveFloat = Field(default=1e-8, description="Smoothing of the cluster sizes.")
    commitment_weight: PositiveFloat = Field(default=1.0, description="Weight of the commitment loss.")
    init_mass: PositiveFloat = Field(default=1.0, description="Initial cluster sizes.")
    init_std: PositiveFloat = Field(default=1.0, description="Standard deviation of the initial codebook.")
    init_nonnegative: bool = Field(default=False, description="Clamp the initial codebook at 0, where the activations live.")

    def of(self, position: int) -> QuantizerModel:
        """The settings of the quantizer at a position from 1 to 5, with its own codebook size alone."""
        sizes = self.codebook_size
        return self if isinstance(sizes, int) else self.model_copy(update={"codebook_size": sizes[position - 1]})


class Model(Section):
    """The dual encoder."""

    audio: AudioModel
    image: ImageModel
    quantizer: QuantizerModel = QuantizerModel()


class Compute(Section):
    """How a training computes: nothing here changes the method, everything may change last digits. See docs/training.md."""

    precision: Literal["float32", "tf32", "bfloat16"] = Field(
        default="float32",
        description="Of convolutions and matrix products: float32; on a GPU with TF32 for the products inside; or bfloat16 in the forward and "
        "backward pass of both networks. Weights, quantizers and losses are float32 in any case.",
    )
    compile: bool = Field(default=False, description="Compile the networks before the first step: minutes, then faster steps.")
    deterministic: bool = Field(
        default=True,
        description="On a GPU, only algorithms that give the same bits every time, wherever there is one; a CPU always does so.",
    )


class TrainingOverride(Section):
    """What a lineage does differently from `training`."""

    epochs: PositiveInt | None = Field(default=None, description="Passes over the training split.")
    batch_size: PositiveInt | None = Field(default=None, description="Pairs in a step, over all processes.")
    learning_rate: PositiveFloat | None = Field(default=None, description="Of Adam, before its decay.")


class Training(Section):
    """How each stage of a lineage is trained."""

    split: Name = Field(description="Split that is trained on.")
    validation_split: Name = Field(description="Split whose R@10 chooses the best epoch.")
    epochs: PositiveInt = Field(default=150, description="Passes over the training split.")
    batch_size: PositiveInt = Field(default=64, description="Pairs in a step, over all processes.")
    learning_rate: PositiveFloat = Field(default=2e-4, description="Of Adam, before its decay.")
    weight_decay: float = Field(default=5e-7, ge=0, description="Of Adam, coupled to the gradient.")
    learning_rate_decay: Probability = Field(default=0.95, description="Factor applied every `learning_rate_decay_every` epochs.")
    learning_rate_decay_every: PositiveInt = Field(default=3, description="In epochs.")
    margin: PositiveFloat = Field(default=1.0, description="Of both triplet losses.")
    jitter: Probability = Field(default=0.12, description="Probability of each of the two displaced offsets of the temporal jitter.")
    pad_to: Literal["batch", "max_frames"] = Field(
        default="max_frames", description="Pad every batch to the store's longest allowed utterance as published, or to its own longest."
    )
    seed: int = Field(default=8675309, ge=0, description="Of initial weights, order, crops, impostors and jitter.")
    compute: Compute = Compute()
    workers: int = Field(default=1, ge=0, description="Processes that read and decode beside each training process; there is one a GPU.")
    threads: PositiveInt = Field(
        default=8, description="Processor cores that a training job asks for; without a GPU, those beyond the workers compute."
    )
    gpus: int = Field(default=1, ge=0, description="GPUs of a training job; fewer are used where there are fewer.")
    overrides: dict[LineageText, TrainingOverride] = Field(default={}, description="By lineage: what it does differently.")

    def of(self, lineage: str) -> Training:
        """The settings of one lineage, its overrides applied and none left."""
        wanted = Lineage.parse(lineage)
        changes: dict[str, Any] = {}
        for notation, override in self.overrides.items():
            if Lineage.parse(notation) == wanted:
                changes |= override.model_dump(exclude_none=True)
        return self.model_copy(update=changes | {"overrides": {}})


class Retrieval(Section):
    """Cross-modal retrieval."""

    split: Name = Field(description="Split whose images and captions are matched.")
    recall_at: tuple[PositiveInt, ...] = Field(default=(1, 5, 10), min_length=1, description="The k of R@k.")


class AbxScoring(Section):
    """How the ABX error is computed."""

    distance: Literal["angular", "euclidean", "kl_symmetric", "identical"] = Field(
        default="angular", description="Between frames, under DTW."
    )
    max_size_group: PositiveInt | None = Field(default=10, description="Most items of each phone in a context and speaker; null: all.")
    max_x_across: PositiveInt | None = Field(default=5, description="Most X speakers of a pair in the across-speaker score; null: all.")
    seed: int = Field(default=0, ge=0, description="Of the subsampling.")


class Submission(Section):
    """What a ZeroSpeech submission says of itself."""

    author: str = Field(default="unnamed", min_length=1, description="Who submits.")
    affiliation: str = Field(default="unnamed", min_length=1, description="Where from.")
    abx_distance: Literal["dtw_cosine", "dtw_kl", "levenshtein"] = Field(
        default="dtw_cosine", description="Distance that the evaluation is asked to use."
    )


class Abx(Section):
    """ZeroSpeech ABX: error and bitrate of a layer's features."""

    splits: tuple[Name, ...] = Field(default=(), description="Splits with an item file that are scored.")
    convolutional_layers: tuple[Layer, ...] = Field(
        default=("conv2", "conv3"), description="Layers scored beside the quantizers that are on."
    )
    scoring: AbxScoring = AbxScoring()
    submission: Submission = Submission()


class Words(Section):
    """Word detection by single codes."""

    split: Name = Field(description="Split on which each word's code is chosen and, in the published protocol, also scored.")
    held_out_split: Name = Field(description="Split on which the chosen codes are scored again.")
    max_utterances: PositiveInt | None = Field(
        default=20000, description="First so many utterances of the split; null: all. The published value."
    )
    half_window: PositiveFloat = Field(default=0.04, description="Half the window around a frame's centre, in seconds.")
    min_occurrences: PositiveInt = Field(default=1, description="Words spoken less often are left out of the tables.")
    f1_threshold: Probability = Field(default=0.5, description="Words with at least this F1 are counted as detected.")
    precision_threshold: Probability = Field(default=0.35, description="Words with at least this precision are listed.")
    best: PositiveInt = Field(default=250, description="Mean F1 is taken over so many best words.")


class Report(Section):
    """The page that a person looks at."""

    utterances: PositiveInt = Field(default=12, description="Examples drawn with their aligned words, phones and codes.")
    seed: int = Field(default=0, ge=0, description="Of the choice of examples.")


class Config(Section):
    """Everything that a run needs."""

    corpus: Corpus
    lineages: tuple[LineageText, ...] = Field(
        min_length=1, description="The models to train and evaluate, oldest stage first; parents come by themselves."
    )
    released: dict[LineageText, Path] = Field(
        default={},
        description="Lineages that are imported instead of trained, and where from: an archive of the 2020 release, "
        "or the folder of an experiment in its form. See docs/released_models.md.",
    )
    recipe: Annotated[Recipe, BeforeValidator(lambda given: given, json_schema_input_type=Literal["published", "corrected"] | Recipe)] = (
        Recipe()
    )
    preparation: Preparation = Preparation()
    model: Model
    training: Training
    retrieval: Retrieval
    abx: Abx = Abx()
    words: Words
    report: Report = Report()

    @model_validator(mode="after")
    def _splits_exist(self) -> Config:
        known = self.corpus.splits
        wanted = {
            "training.split": [self.training.split],
            "training.validation_split": [self.training.validation_split],
            "retrieval.split": [self.retrieval.split],
            "abx.splits": self.abx.splits,
            "words.split": [self.words.split],
            "words.held_out_split": [self.words.held_out_split],
        }
        if isinstance(self.corpus, ImportedCorpus):
            of_splits = ("items", "alignments", "release_hdf5")
            wanted |= {f"corpus.{key}": tuple(getattr(self.corpus, key)) for key in of_splits}
        faults = [
            f"{key}: the corpus has no split {split!r}; {_nearest(split, known)}"
            for key, splits in wanted.items()
            for split in splits
            if split not in known
        ]
        if isinstance(self.corpus, ImportedCorpus):
            faults += [
                f"abx.splits: corpus.items names no item file for {split!r}" for split in self.abx.splits if split not in self.corpus.items
            ]
        if self.preparation.reader == "release_2020":
            used = {split for key, splits in wanted.items() if not key.startswith("corpus.") for split in splits if split in known}
            named = getattr(self.corpus, "release_hdf5", {})
            faults += [
                f"corpus.release_hdf5.{split}: missing; preparation.reader release_2020 needs it" for split in sorted(used - set(named))
            ]
        faults += _lineage_faults("lineages", (*self.lineages, *self.training.overrides)) + _lineage_faults(
            "released", self.released, once=True
        )
        if faults:
            raise ValueError("\n".join(faults))
        return self


def _lineage_faults(key: str, notations: Iterable[str], *, once: bool = False) -> list[str]:
    """What is wrong with lineages in a key of the configuration, in which each may stand several times or once."""
    faults, seen = [], set()
    for notation in notations:
        try:
            lineage = Lineage.parse(notation)
        except ValueError as e:
            faults.append(f"{key}: {e}")
            continue
        if once and lineage in seen:
            faults.append(f"{key}: {lineage} stands in it twice")
        seen.add(lineage)
    return faults


def read(values: Mapping[str, Any]) -> Config:
    """The checked configuration. Raises InputError with one line for every fault."""
    try:
        return Config.model_validate_json(json.dumps(values, default=str))
    except ValidationError as e:
        raise InputError("The configuration has faults.\n" + "\n".join(_problems(Config, e, values))) from None


def read_corpus(text: str) -> Corpus:
    """The section `corpus` from the JSON text that a rule hands to a command."""
    return _OnlyCorpus.from_json(f'{{"corpus": {text}}}').corpus  # type: ignore[no-any-return]


class _OnlyCorpus(Section):
    """So that the union's layouts are told apart, and faults named, as in a whole configuration."""

    corpus: Corpus


def _nearest(word: str, known: Any) -> str:
    """The nearest right word, or all of them."""
    near = difflib.get_close_matches(str(word), list(map(str, known)), n=1)
    return f"did you mean {near[0]!r}?" if near else f"known are {', '.join(map(str, known))}"


def _sections(annotation: Any) -> list[type[Section]]:
    """The sections that stand anywhere in a type annotation."""
    if isinstance(annotation, type) and issubclass(annotation, Section):
        return [annotation]
    return [s for a in get_args(annotation) for s in _sections(a)]


def _problems(schema: type[Section], error: ValidationError, values: Any) -> list[str]:
    """One line for each fault: the dotted name, what is wrong, and the nearest right key."""
    lines = []
    for fault in error.errors(include_url=False):
        candidates, dotted, value = [schema], [], values
        for step in fault["loc"]:
            below = [s for c in candidates if step in c.model_fields for s in _sections(c.model_fields[str(step)].annotation)]
            chosen = [c for c in candidates if "layout" in c.model_fields and step in get_args(c.model_fields["layout"].annotation)]
            if chosen and not (isinstance(value, Mapping) and step in value):
                candidates = chosen  # the union's tag: no key of the file
                continue
            dotted.append(str(step))
            value = value.get(step) if isinstance(value, Mapping) else None
            parents, candidates = candidates, below or candidates
        name = ".".join(dotted) or "the configuration"
        match fault["type"]:
            case "extra_forbidden":
                known = [k for c in parents for k in c.model_fields]
                lines.append(f"{name}: no such key; {_nearest(dotted[-1], known)}")
            case "missing":
                lines.append(f"{name}: missing; it must be given")
            case "value_error":
                lines += [line if line.split(":")[0].count(".") else f"{name}: {line}" for line in str(fault["ctx"]["error"]).splitlines()]
            case _:
                hint = ""
                if isinstance(fault["input"], str) and fault["type"] in ("float_type", "int_type"):
                    hint = " (YAML reads 1e-3 as text: write 1.0e-3)" if _is_number(fault["input"]) else ""
                lines.append(f"{name}: {fault['msg'][0].lower()}{fault['msg'][1:]}, not {fault['input']!r}{hint}")
    return lines


def _is_number(text: str) -> bool:
    try:
        float(text)
    except ValueError:
        return False
    return True
