"""The section `model`: the two networks and their quantizers."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated, Any, Literal

from pydantic import BeforeValidator, Field, PositiveFloat, PositiveInt, model_validator

from resdavenet_vq.config.section import Probability, Section
from resdavenet_vq.lineage import N_POSITIONS

RANDOM, IMAGENET = "random", "IMAGENET1K_V1"
"""Weights of the image network that are no file."""


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
    train_embedder_only: bool = Field(
        default=False, description="Keep the ResNet fixed and train the 1x1 convolution after it."
    )
    crop: PositiveInt = Field(default=224, description="Side of the square that the network sees, in pixels.")
    resize: PositiveInt = Field(
        default=256,
        description="Shorter side before the centre crop of evaluation (and before training crops that keep the scale).",
    )
    training_crop: Literal["resized", "same_scale"] = Field(
        default="resized",
        description="A random part of the image resized to the crop, as published, or a random crop after the resize.",
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
    init_nonnegative: bool = Field(
        default=False, description="Clamp the initial codebook at 0, where the activations live."
    )


class Model(Section):
    """The dual encoder."""

    audio: AudioModel
    image: ImageModel
    quantizer: QuantizerModel = QuantizerModel()
