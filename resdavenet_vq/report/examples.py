"""What is drawn above a spectrogram, and the hits and misses of retrieval with what can be seen and heard of them."""

from __future__ import annotations

from collections.abc import Callable, Collection, Sequence
from typing import Any

import numpy as np

from resdavenet_vq.corpus.manifest import Utterance
from resdavenet_vq.data.store import Store
from resdavenet_vq.encode.units import FrameTime
from resdavenet_vq.figures import spectrogram as figures
from resdavenet_vq.figures.spectrogram import Row
from resdavenet_vq.report.assets import Folder
from resdavenet_vq.results import Codes

CASES = 4
"""Hits, and misses, shown of each lineage and direction."""


def rows_of(
    utterance: Utterance, codes: Sequence[tuple[str, Codes, Collection[str]]], frame_time: FrameTime
) -> list[Row]:
    """Words and phones of an utterance, where known, and its runs of codes: for each model, named, those of some layers."""
    rows = [
        Row(name, intervals)
        for name, intervals in (("words", utterance.words), ("phones", utterance.phones))
        if intervals
    ]
    return rows + [
        Row(f"{name}\n{layer}", figures.code_runs(of_layer, period, frame_time), coloured=True)
        for name, file, layers in codes
        for layer, of_layer, period in file.of(utterance.id)
        if layer in layers
    ]


def cases(
    store: Store, folder: Folder, direction: str, examples: dict[str, list[dict[str, Any]]]
) -> list[tuple[str, list[dict[str, Any]]]]:
    """The first hits and misses of a direction, as retrieval.json names them, with what can be seen or heard of each."""

    def caption(name: str) -> dict[str, Any]:
        utterance = store.utterance(store.index(name))
        return {"text": utterance.text, "speaker": utterance.speaker, "sound": folder.sound(utterance.wav)}

    def image(name: str) -> dict[str, Any]:
        number = store.image_ids.index(name)
        caption_number = int(np.flatnonzero(store.image_index == number)[0])
        return {
            "image": folder.image(f"{store.path}: {name}", store.image(number)),
            "told": store.utterance(caption_number).text,
        }

    query, answer = (image, caption) if direction == "image_to_speech" else (caption, image)
    return [(kind, [_case(example, query, answer) for example in found[:CASES]]) for kind, found in examples.items()]


def _case(
    example: dict[str, Any], query: Callable[[str], dict[str, Any]], answer: Callable[[str], dict[str, Any]]
) -> dict[str, Any]:
    """One query with its best answers; the right one beside them, should it not be among them."""
    return {
        "query": query(example["query"]),
        "rank": example["rank"],
        "answers": [answer(a["id"]) | {"is_right": a["right"]} for a in example["answers"]],
        "right": [] if any(a["right"] for a in example["answers"]) else [answer(name) for name in example["right"][:1]],
    }
