"""The audio and the image encoder side by side, and the vectors that retrieval compares."""

from __future__ import annotations

from typing import TYPE_CHECKING, Literal, Never

import torch
from torch import Tensor, nn

from resdavenet_vq.errors import InputError
from resdavenet_vq.model.audio import AudioEncoder, AudioOutput, frame_mask
from resdavenet_vq.model.image import ImageEncoder

if TYPE_CHECKING:
    from resdavenet_vq.config import Model


class DualEncoder(nn.Module):
    """Encodes speech and images in one space of D dimensions, D being the width of the last audio stage.

    `quantizers` are the positions, 1 to 5, whose quantizers are on. `image_branch` is false for a released experiment
    that has an audio network only: `image` then refuses to encode.
    """

    def __init__(
        self,
        model: Model,
        quantizers: tuple[int, ...],
        *,
        jitter: float = 0.0,
        jitter_offsets: Literal["published", "centred"] = "published",
        image_branch: bool = True,
    ) -> None:
        super().__init__()
        self.settings = model
        self.quantizers = tuple(sorted(quantizers))
        self.audio = AudioEncoder(model.audio, model.quantizer, self.quantizers, jitter, jitter_offsets)
        self.image: nn.Module = NoImageEncoder()
        if image_branch:
            self.image = ImageEncoder(model.image, model.audio.widths[-1])

    @staticmethod
    def embed_speech(audio: AudioOutput) -> Tensor:
        """One vector (B, D) for each utterance: the mean of its valid frames."""
        mask = frame_mask(audio.n_frames, audio.frames.shape[-1])[:, None]
        return torch.where(mask, audio.frames.float(), 0).sum(dim=2) / audio.n_frames[:, None]

    @staticmethod
    def embed_image(maps: Tensor) -> Tensor:
        """One vector (B, D) for each image: the mean over the positions of its map (B, D, h, w)."""
        return maps.float().mean(dim=(2, 3))


class NoImageEncoder(nn.Module):
    """The placeholder of a missing image branch."""

    def forward(self, images: Tensor) -> Never:  # noqa: ARG002 (an image encoder's signature)
        """Raises InputError."""
        raise InputError(
            "this model has no image branch, so it cannot encode images or retrieve; its speech units and ABX are "
            "available"
        )
