"""Images to cells and embeddings."""

from __future__ import annotations

import numpy as np
import torch

from resdavenet_vq.api.encoder import Encoder
from resdavenet_vq.api.inputs import ImageInput, pictures
from resdavenet_vq.api.pretrained import Pretrained
from resdavenet_vq.data import images
from resdavenet_vq.encode.split import IMAGES_AT_ONCE
from resdavenet_vq.errors import InputError
from resdavenet_vq.model.dual_encoder import NoImageEncoder
from resdavenet_vq.model.precision import true_float32


class ImageEncoder(Encoder):
    """The image network of a model.

    Images are paths, files opened in mode "rb", bytes of JPEG or PNG files, Pillow images, or arrays and tensors uint8
    (H, W, 3) or (3, H, W); a list of them gives results in its order. The network sees the center of an image, as in
    retrieval.
    """

    def __init__(self, pretrained: Pretrained) -> None:
        if isinstance(pretrained.network.image, NoImageEncoder):
            raise InputError(f"{pretrained.source}: has no image branch; its speech is that of SpeechEncoder")
        super().__init__(pretrained)

    def crop(self, image: ImageInput) -> np.ndarray:
        """What the network sees of an image, uint8 (H, W, 3): the cells of `features` lie over it in equal squares."""
        (found, *_), is_one = pictures(image)
        if not is_one:
            raise InputError("crop takes one image, not a list")
        return images.evaluation_crop(found, self._model.network.settings.image).transpose(1, 2, 0)

    def features(self, given: ImageInput | list[ImageInput]) -> np.ndarray:
        """The cells (h, w, D) float32 of an image, (I, h, w, D) of a list of images."""
        settings, (found, is_one) = self._model.network.settings.image, pictures(given)
        maps = []
        with (
            torch.inference_mode(),
            true_float32(),
            torch.autocast(self._model.device.type, self._model.dtype, enabled=self._model.dtype != torch.float32),
        ):
            for start in range(0, len(found), IMAGES_AT_ONCE):
                batch = found[start : start + IMAGES_AT_ONCE]
                crops = np.stack([images.evaluation_crop(image, settings) for image in batch])
                output = self._model.network.image(torch.from_numpy(crops).to(self._model.device))
                maps.append(output.float().permute(0, 2, 3, 1).cpu().numpy())
        if not maps:
            return np.empty((0, 0, 0, self._model.network.settings.audio.widths[-1]), np.float32)
        cells = np.concatenate(maps)
        if not np.isfinite(cells).all():
            raise InputError(
                f"{self._model.source}: its image network gives values that are not finite; did it diverge?"
            )
        return np.asarray(cells[0] if is_one else cells)

    def embed(self, given: ImageInput | list[ImageInput]) -> np.ndarray:
        """One vector (D,) float32 for an image, (I, D) for a list of images: the mean of the cells."""
        cells = self.features(given)
        if not cells.size:
            return cells.reshape(0, cells.shape[-1])
        return np.asarray(cells.mean(axis=(-3, -2), dtype=np.float64), np.float32)

    def __repr__(self) -> str:
        settings = self._model.network.settings.image
        crop = f"{settings.crop} x {settings.crop} pixels, of {settings.resize} on the shorter side"
        return self._model.describe(
            "ImageEncoder", {"architecture": settings.architecture, "input": crop}, self._model.network.image
        )
