"""Where in its image and when in its caption a model finds likeness: the matchmaps of some pairs as data of the page on retrieval.

The piece `maps-L` has, for each pair, the dot products of every cell of the image with every frame of the caption as whole numbers
from 0 to 255 between the pair's lowest and highest. Cells cover what the network sees of an image: of its shorter side the
middle `crop / resize`, as a square.
"""

from __future__ import annotations

import base64
from itertools import islice
from typing import Any

import numpy as np

from resdavenet_vq.data.features import SAMPLE_RATE
from resdavenet_vq.data.store import Store
from resdavenet_vq.encode.maps import MapsFile
from resdavenet_vq.files import read_json
from resdavenet_vq.report import chunks
from resdavenet_vq.report.assets import Folder
from resdavenet_vq.report.utterances import picture_of, plain
from resdavenet_vq.results import Findings, Model

PAIRS = 24
"""Shown of each model: the first of the split that have both."""

PUBLISHED_CROP, PUBLISHED_RESIZE = 224, 256


def write(found: Findings, folder: Folder, split: str) -> list[dict[str, Any]]:
    """Writes a piece for each model whose maps of the split were written; their names and numbers."""
    store = found.store(split)
    known = [(model, file) for model in found.models if (file := model.folder / f"maps/{split}.h5").is_file()]
    shown = []
    for number, (model, file) in enumerate(known if store else []):
        with MapsFile(file) as maps:
            if store and maps.image_branch:
                chunks.write(
                    folder, f"maps-{number}", [_pair(maps, store, folder, at) for at in islice(_paired(maps), PAIRS)]
                )
                shown.append({"number": number, "model": model.name, "seen": _seen(model)})
    return shown


def _paired(maps: MapsFile) -> Any:
    """Numbers of the captions that have an image."""
    return (int(at) for at in np.flatnonzero(maps.image_index >= 0))


def _seen(model: Model) -> float:
    """The share of an image's shorter side that the network sees."""
    card = read_json(model.folder / "model/model.json") if (model.folder / "model/model.json").is_file() else {}
    image = card.get("model", {}).get("image", {})
    return float(image.get("crop", PUBLISHED_CROP) / image.get("resize", PUBLISHED_RESIZE))


def _pair(maps: MapsFile, store: Store, folder: Folder, at: int) -> dict[str, Any]:
    """One pair with its sound, image and matchmap."""
    utterance = store.utterance(store.index(maps.ids[at]))
    values = maps.matchmap(maps.image_ids[int(maps.image_index[at])], maps.ids[at])
    low, high = float(values.min()), float(values.max())
    levels = np.round((values - low) * (255 / max(high - low, 1e-12))).astype(np.uint8)
    picture = picture_of(store, folder, utterance)
    return {
        "id": utterance.id,
        "text": utterance.text,
        "sound": folder.sound(utterance.wav),
        "image": picture._asdict() if picture else None,
        "words": plain(utterance.words),
        "duration": round(int(store.n_samples[store.index(utterance.id)]) / SAMPLE_RATE, 4),
        "period": maps.frame_period,
        "shape": list(values.shape),
        "low": low,
        "high": high,
        "levels": base64.b64encode(levels.transpose(2, 0, 1).tobytes()).decode(),
    }
