"""Retrieval among the pairs of two HDF5 files, as the 2020 release does.

python retrieval.py EXPERIMENT AUDIO.h5 IMAGES.h5 OUT.json
"""

from __future__ import annotations

import io
import json
import sys
from pathlib import Path

import h5py
import numpy as np
import torch
from PIL import Image
from torch import Tensor
from torch.utils.data import DataLoader, Dataset
from torchvision import transforms

RESIZE, CROP, BATCH = 72, 64, 64
"""Sides of images in the demo's networks; the published ones have 256 and 224."""


class Pairs(Dataset):
    """Padded features and normalized images."""

    def __init__(self, audio_path: Path, image_path: Path) -> None:
        self.audio_path, self.image_path = audio_path, image_path
        self.audio = self.images = None
        with h5py.File(audio_path) as audio:
            self.n = len(audio["melspec"])
        self.transform = transforms.Compose(
            [
                transforms.Resize(RESIZE),
                transforms.CenterCrop(CROP),
                transforms.ToTensor(),
                transforms.Normalize([0.485, 0.456, 0.406], [0.229, 0.224, 0.225]),
            ]
        )

    def __len__(self) -> int:
        return self.n

    def __getitem__(self, i: int) -> tuple[Tensor, Tensor, int]:
        if self.audio is None:
            self.audio, self.images = h5py.File(self.audio_path), h5py.File(self.image_path)
        image = Image.open(io.BytesIO(self.images["image"][i])).convert("RGB")
        return self.transform(image), torch.FloatTensor(self.audio["melspec"][i]), int(self.audio["melspec_len"][i])


def recalls(image: Tensor, speech: Tensor) -> dict[str, float]:
    """R@1, R@5 and R@10 in both directions from vectors (N, D)."""
    return recalls_of(image @ speech.T)


def recalls_of(S: Tensor) -> dict[str, float]:
    """R@1, R@5 and R@10 in both directions from similarities (N images, N captions), by sorting and loops."""
    n, best = len(S), min(10, len(S))
    _, by_caption = S.topk(best, 0)
    _, by_image = S.topk(best, 1)
    places_by_caption, places_by_image = -np.ones(n), -np.ones(n)
    for query in range(n):
        for place in range(best):
            if by_caption[place, query] == query:
                places_by_caption[query] = place
            if by_image[query, place] == query:
                places_by_image[query] = place
    return {
        f"{name}_{k}": float(np.mean((places >= 0) & (places < k)))
        for name, places in (("image_to_speech", places_by_image), ("speech_to_image", places_by_caption))
        for k in (1, 5, 10)
    }


def main(experiment: Path, audio_path: Path, image_path: Path) -> dict[str, float]:
    from network import load_audio, load_image

    audio, image = load_audio(experiment), load_image(experiment)
    image_vectors, speech_vectors = [], []
    with torch.no_grad():
        for images, logmel, n_frames in DataLoader(Pairs(audio_path, image_path), BATCH, num_workers=1):
            image_vectors.append(image(images).mean(dim=(2, 3)))
            x = audio(logmel)[0]
            lengths = [max(1, n // round(logmel.shape[-1] / x.shape[-1])) for n in n_frames.tolist()]
            speech_vectors.append(torch.stack([x[i, :, 0, :n].mean(dim=1) for i, n in enumerate(lengths)]))
    return recalls(torch.cat(image_vectors), torch.cat(speech_vectors))


if __name__ == "__main__":
    *paths, out = map(Path, sys.argv[1:5])
    out.write_text(json.dumps(main(*paths)))
