"""A model as MTEB takes one, the benchmark of embeddings: to be scored by its tasks of spoken captions and images.

The package mteb is imported when it asks what the model is.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from functools import cached_property
from typing import TYPE_CHECKING, Any

import numpy as np

from resdavenet_vq.api.dual import DualEncoder
from resdavenet_vq.api.encoder import Encoder
from resdavenet_vq.api.pretrained import Pretrained
from resdavenet_vq.errors import InputError
from resdavenet_vq.evaluation.retrieval import single
from resdavenet_vq.lineage import Lineage
from resdavenet_vq.model import checkpoint

if TYPE_CHECKING:
    from mteb.models import ModelMeta

_ROWS_AT_ONCE = 1024
"""Of similarities, which are computed in double precision."""


class MTEBEncoder(Encoder):
    """Both networks of a model, as an encoder that `mteb.evaluate` takes: it embeds audio and images, and ranks by `sisa`.

    Results are stored by the SHA-256 of the weights and by a name, `user/name` of a repository of the Hugging Face hub,
    and of other models `resdavenet-vq/none-2-23` by their lineage.
    """

    def __init__(self, pretrained: Pretrained) -> None:
        super().__init__(pretrained)
        self._both = DualEncoder(pretrained)
        if "sha256" not in pretrained.card:
            raise InputError(
                f"{pretrained.source}: MTEB knows models by their SHA-256; import it first (import-released)"
            )

    def encode(self, inputs: Iterable[Mapping[str, Any]], **_: Any) -> np.ndarray:
        """One vector a row of the batches, (N, D) float32.

        A batch has the column `audio`, of `array` and `sampling_rate`, or `image`. What else MTEB says of a task, such as
        its prompt, means nothing to this model. Raises InputError for rows of both or of text, and naming a row that
        cannot be used.
        """
        vectors = [self._embed(batch) for batch in inputs]
        return np.concatenate([np.empty((0, self._width), np.float32), *vectors])

    def similarity(self, embeddings1: Any, embeddings2: Any) -> np.ndarray:
        """The dot products (N, M) float32 of vectors (N, D) and (M, D), which retrieval ranks by."""
        rows, columns = (np.atleast_2d(np.asarray(some, np.float64)) for some in (embeddings1, embeddings2))
        parts = (single(rows[i : i + _ROWS_AT_ONCE] @ columns.T) for i in range(0, len(rows), _ROWS_AT_ONCE))
        return np.concatenate([np.empty((0, len(columns)), np.float32), *parts])

    def similarity_pairwise(self, embeddings1: Any, embeddings2: Any) -> np.ndarray:
        """The dot products (N,) float32 of vectors (N, D) and as many others, pair by pair."""
        rows, others = (np.atleast_2d(np.asarray(some, np.float64)) for some in (embeddings1, embeddings2))
        return single((rows * others).sum(axis=1))

    @cached_property
    def mteb_model_meta(self) -> ModelMeta:
        """What MTEB stores beside results."""
        from mteb.models import ModelMeta

        model = self._model
        own = Lineage.parse(model.lineage).folder if model.lineage else "model"
        n_parameters = checkpoint.parameters(model.network)
        dtype = str(model.dtype).removeprefix("torch.")
        return ModelMeta(
            loader=None,
            name=f"resdavenet-vq/{own}" if model.source.exists() else str(model.source),
            revision=model.card["sha256"],
            release_date=None,
            languages=None,
            n_parameters=n_parameters,
            memory_usage_mb=n_parameters * 4 / 2**20,
            max_tokens=None,
            embed_dim=self._width,
            license=None,
            open_weights=None,
            public_training_code=None,
            public_training_data=None,
            framework=["PyTorch"],
            similarity_fn_name="dot",
            use_instructions=False,
            training_datasets=None,
            modalities=["audio", "image"],
            experiment_kwargs={"dtype": dtype} if dtype != "float32" else None,
        )

    @property
    def _width(self) -> int:
        """D."""
        return int(self._model.network.settings.audio.widths[-1])

    def _embed(self, batch: Mapping[str, Any]) -> np.ndarray:
        """The vectors (B, D) of a batch."""
        kinds = [name for name in ("audio", "image", "text", "video") if name in batch]
        if kinds == ["image"]:
            return self._both.image.embed(list(batch["image"]))
        if kinds != ["audio"]:
            what = " and ".join(kinds) or "neither"
            raise InputError(
                f"a row of this task has {what}, and this model embeds a recording or an image: take another"
            )
        rows = enumerate(batch["audio"])
        return np.stack([self._embed_speech(row, batch["id"][i] if "id" in batch else f"row {i}") for i, row in rows])

    def _embed_speech(self, row: Mapping[str, Any], name: str) -> np.ndarray:
        """The vector (D,) of a recording, whose channels are averaged."""
        samples = np.asarray(row["array"])
        samples = samples.mean(axis=0) if samples.ndim > 1 else samples
        try:
            return self._both.speech.embed(samples, sample_rate=row["sampling_rate"])
        except InputError as e:
            raise InputError(f"{name}: {e}") from None
