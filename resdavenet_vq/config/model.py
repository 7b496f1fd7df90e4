"""The section `model`: the two networks and their quantizers."""

from __future__ import annotations

import json
from collections.abc import Mapping
from pathlib import Path
from typing import Annotated, Any, Literal, Self

from pydantic import BeforeValidator, Field, model_validator

from resdavenet_vq.config.section import Count, Positive, Probability, Section
from resdavenet_vq.lineage import N_POSITIONS

RANDOM, IMAGENET = "random", "IMAGENET1K_V1"
"""Values of `model.image.weights` that are not a path."""

FORMER_KEYS: dict[str, dict[str, Any]] = {"audio": {"n_mels": 40}}
"""Keys that model.json files of earlier versions contain, with the only value that this version supports."""

Channels = Annotated[int, Field(ge=1, le=65_536)]
Pixels = Annotated[int, Field(ge=1, le=16_384)]
LARGEST_CODEBOOK = 16_777_216


class AudioModel(Section):
    """The audio network: a stem and four stages of residual blocks."""

    widths: tuple[Channels, Channels, Channels, Channels, Channels] = Field(
        description="The number of channels after the stem and after each stage."
    )
    blocks_per_stage: int = Field(default=2, ge=1, le=100, description="The number of residual blocks in each stage.")
    kernel_size: int = Field(
        default=9, ge=1, le=1001, description="The width of the convolutions in frames; it must be odd."
    )
    features: Literal["published", "normalized"] = Field(
        default="published",
        description="What the network makes of log-mel features: nothing, as published; or each mel band of each "
        "utterance gets mean 0 and variance 1, and padding is 0, whatever `recipe.pad_value` is.",
    )


WEIGHTS_SUFFIXES = frozenset({".pth", ".pt", ".tar", ".ckpt", ".bin", ".safetensors"})
"""Of files of weights: a mistyped name of published weights has none of them."""


class ImageModel(Section):
    """The image network, a ResNet without its classifier, and the preprocessing of its images."""

    architecture: Literal["resnet50", "thin_resnet"] = Field(
        description="ResNet-50, or the demo's small relative with one basic block per stage."
    )
    widths: tuple[Channels, Channels, Channels, Channels] = Field(
        default=(16, 32, 64, 128),
        description="The number of channels of the four stages of thin_resnet; resnet50 ignores it.",
    )
    weights: str = Field(
        default=RANDOM,
        description="The initial weights of the network: `random`; `IMAGENET1K_V1`, torchvision's ImageNet weights as "
        "published (resnet50 only; downloaded and verified); or the path of a file (.pth, .pt, .pth.tar, .ckpt, .bin or "
        ".safetensors) with torchvision's names. See docs/released_models.md.",
    )
    train_embedder_only: bool = Field(
        default=False, description="Whether the ResNet stays fixed and only the 1x1 convolution after it is trained."
    )
    crop: Pixels = Field(default=224, description="The side of the square that the network sees, in pixels.")
    resize: Pixels = Field(
        default=256,
        description="The shorter side before the center crop of evaluation, and before training crops that keep the "
        "scale, in pixels.",
    )
    training_crop: Literal["resized", "same_scale"] = Field(
        default="resized",
        description="The crop in training: a random part of the image resized to the crop, as published, or a random "
        "crop after the resize.",
    )

    @property
    def weights_file(self) -> Path | None:
        """The local file of the initial weights, if they come from one."""
        return None if self.weights in {RANDOM, IMAGENET} else Path(self.weights)

    @model_validator(mode="after")
    def _check(self) -> Self:
        if self.crop > self.resize:
            raise ValueError(f"crop ({self.crop}) is larger than resize ({self.resize})")
        if self.weights == IMAGENET and self.architecture != "resnet50":
            raise ValueError(f"model.image.weights: {IMAGENET} are weights of resnet50, not of {self.architecture}")
        if self.weights_file and self.weights_file.suffix not in WEIGHTS_SUFFIXES:
            raise ValueError(
                f"model.image.weights: must be {RANDOM}, {IMAGENET}, or the path of a .pth or .safetensors file "
                f"({', '.join(sorted(WEIGHTS_SUFFIXES))}), not {self.weights!r}"
            )
        return self


def _one_or_five(sizes: Any) -> Any:
    """A codebook size, or a tuple of five that differ: five equal sizes mean the same as one."""
    several = tuple(sizes) if isinstance(sizes, list | tuple) and len(sizes) == N_POSITIONS else (sizes,)
    if any(type(size) is not int or not 1 <= size <= LARGEST_CODEBOOK for size in several):
        raise ValueError(
            f"must be a positive whole number up to {LARGEST_CODEBOOK}, or a list of {N_POSITIONS} of them, quant1's first"
        )
    return several if len(set(several)) > 1 else several[0]


CodebookSize = Annotated[Count | tuple[Count, Count, Count, Count, Count], BeforeValidator(_one_or_five)]


class QuantizerModel(Section):
    """The quantizers, which differ only in the sizes of their codebooks."""

    codebook_size: CodebookSize = Field(
        default=1024, description="K, the number of codes; a list of five, quant1's first, where they differ."
    )
    decay: Probability = Field(
        default=0.99, description="The decay of the exponential moving averages that update the codebook."
    )
    epsilon: Positive = Field(default=1e-8, description="The smoothing constant of the cluster sizes.")
    commitment_weight: Positive = Field(default=1.0, description="The weight of the commitment loss.")
    init_mass: Positive = Field(default=1.0, description="The initial size of each cluster.")
    init_std: Positive = Field(default=1.0, description="The standard deviation of the initial codebook.")
    init_nonnegative: bool = Field(
        default=False,
        description="Whether the initial codebook is clamped at 0, because activations are nonnegative.",
    )


class Model(Section):
    """The dual encoder."""

    audio: AudioModel
    image: ImageModel
    quantizer: QuantizerModel = QuantizerModel()

    @classmethod
    def from_card(cls, values: Mapping[str, Any]) -> Self:
        """The settings in a model.json, also of an earlier version whose keys no longer exist."""
        current = {
            name: {key: v for key, v in section.items() if (key, v) not in FORMER_KEYS.get(name, {}).items()}
            if isinstance(section, Mapping)
            else section
            for name, section in values.items()
        }
        return cls.from_json(json.dumps(current))
