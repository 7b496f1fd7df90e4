"""What the encoders of speech, of images and of both have in common: where they come from, and where they go."""

from __future__ import annotations

from pathlib import Path
from typing import ClassVar, Self

import torch

from resdavenet_vq.api.pretrained import Pretrained


class Encoder:
    """A network, or both, of a trained model."""

    _audio_only: ClassVar[bool] = False

    def __init__(self, pretrained: Pretrained) -> None:
        self._model = pretrained

    @classmethod
    def from_pretrained(
        cls,
        source: str | Path,
        *,
        revision: str | None = None,
        device: str | torch.device | None = None,
        dtype: str | torch.dtype = torch.float32,
    ) -> Self:
        """The encoder of a trained model.

        `source` is a folder with `model.json`, an archive or experiment of the 2020 release, or the id `user/name` of a
        repository of the Hugging Face hub, of which `revision` is a branch, tag or commit. `device` is by default the
        GPU if there is one. `dtype` bfloat16 is faster on a GPU, and changes about one code in a hundred.
        """
        model = Pretrained.load(source, audio_only=cls._audio_only, revision=revision, device=device, dtype=dtype)
        return cls(model)

    @property
    def lineage(self) -> str:
        """In notation, `{}->{2}->{2,3}`."""
        return self._model.lineage


class SavedEncoder(Encoder):
    """An encoder that can be saved: all that was loaded of a model."""

    def save_pretrained(
        self,
        folder: str | Path,
        *,
        scores: str | Path | None = None,
        license: str | None = None,  # noqa: A002
    ) -> None:
        """Writes `model.safetensors`, `model.json` and the model card README.md; a SpeechEncoder has no image network.

        `scores` is the `scores.csv` of the results that the card shall quote, `license` an identifier as the hub has
        them, like cc-by-4.0. Raises InputError if such files are there already.
        """
        self._model.save(folder, scores=scores, license=license)

    def push_to_hub(
        self,
        repo_id: str,
        *,
        private: bool = False,
        scores: str | Path | None = None,
        license: str | None = None,  # noqa: A002
    ) -> str:
        """Uploads what `save_pretrained` writes to a repository `user/name`, made if need be; returns its address."""
        return self._model.push(repo_id, private=private, scores=scores, license=license)
