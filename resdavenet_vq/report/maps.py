"""The matchmaps of some pairs as data of the page Retrieval.

The piece `maps-L` has, for each pair, the dot products of every cell of the image with every frame of the caption as
whole numbers from 0 to 255 between the pair's lowest and highest. Cells cover what the network sees of an image: of its
shorter side the middle `crop / resize`, as a square.
"""

from __future__ import annotations

import base64
from itertools import islice
from typing import Any

import numpy as np

from resdavenet_vq.data import features
from resdavenet_vq.data.store import Store
from resdavenet_vq.encode.maps import MapsFile
from resdavenet_vq.files import read_json
from resdavenet_vq.report.assets import Folder
from resdavenet_vq.report.utterances import image_of, intervals
from resdavenet_vq.results import Results

PAIRS = 24
"""Of each model: the first of the split with an image and a caption."""

PUBLISHED = {"crop": 224, "resize": 256}
"""How images are cut where no model says so."""


def write(results: Results, folder: Folder, split: str) -> list[dict[str, Any]]:
    """Writes a piece for each model with maps of the split; returns the models' names and numbers."""
    store = results.store(split)
    files = [(model, maps) for model in results.models if store and (maps := model.maps(split))]
    models = []
    for number, (model, opened) in enumerate(files):
        with opened as maps:
            pairs = list(islice(np.flatnonzero(maps.image_index >= 0).tolist(), PAIRS)) if maps.image_branch else []
            if store and pairs:
                folder.data(f"maps-{number}", [_pair(maps, store, folder, caption) for caption in pairs])
                card = model.folder / "model/model.json"
                image = PUBLISHED | (read_json(card)["model"]["image"] if card.is_file() else {})
                visible = image["crop"] / image["resize"]  # of the image's shorter side
                models.append({"number": number, "model": model.name, "visibleShare": visible, "first": False})
    if models:
        models[-1]["first"] = True  # the last stage, which the verdict is about, and no untrained quantizer
    return models


def _pair(maps: MapsFile, store: Store, folder: Folder, caption: int) -> dict[str, Any]:
    """One pair with its sound, image and matchmap."""
    utterance = store.utterance(store.index(maps.ids[caption]))
    values = maps.matchmap(maps.image_ids[int(maps.image_index[caption])], maps.ids[caption])
    low, high = float(values.min()), float(values.max())
    levels = np.round((values - low) * (255 / max(high - low, 1e-12))).astype(np.uint8)
    picture = image_of(store, folder, utterance)
    return {
        "id": utterance.id,
        "text": utterance.text,
        "sound": folder.sound(utterance.wav),
        "image": picture._asdict() if picture else None,
        "words": intervals(utterance.words),
        "duration": round(int(store.n_samples[store.index(utterance.id)]) / features.SAMPLE_RATE, 4),
        "period": maps.frame_period,
        "shape": list(values.shape),
        "low": low,
        "high": high,
        "levels": base64.b64encode(levels.transpose(2, 0, 1).tobytes()).decode(),
    }
