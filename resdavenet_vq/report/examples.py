"""What can be seen and heard in the report: utterances drawn with their codes, and hits and misses of retrieval."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence
from typing import Any

import numpy as np

from resdavenet_vq import config, textgrid
from resdavenet_vq.corpus.manifest import Utterance
from resdavenet_vq.data import features
from resdavenet_vq.data.store import Store
from resdavenet_vq.evaluation.units import FrameTime
from resdavenet_vq.report import figures
from resdavenet_vq.report.figures import Row
from resdavenet_vq.report.findings import Findings
from resdavenet_vq.report.folder import Folder, Picture

CASES = 4
"""Hits, and misses, shown of each lineage and direction."""


def utterances(found: Findings, folder: Folder, split: str, settings: config.Report, frame_time: FrameTime) -> list[dict[str, Any]]:
    """Some utterances of a split, aligned ones if there are any: each with its figure, sound, image and TextGrid.

    The same choice for the same seed. Without a store the utterances are those of the codes, and without images.
    """
    store = found.store(split)
    codes = [(model, codes) for model in found.models if (codes := model.codes(split))]
    if store:
        chosen = _chosen(len(store), store.utterance, settings)
    elif codes:
        chosen = _chosen(len(codes[0][1].utterances), codes[0][1].utterances.__getitem__, settings)
    else:
        return []
    shown = []
    for number, utterance in enumerate(chosen, 1):
        samples = features.read_wav(utterance.wav)
        duration = max(len(samples) / features.SAMPLE_RATE, features.PLOT_FRAME_PERIOD)
        rows = [Row(name, intervals) for name, intervals in (("words", utterance.words), ("phones", utterance.phones)) if intervals]
        rows += [
            Row(f"{model.name}\n{layer}", figures.code_runs(of_layer, period, frame_time), coloured=True)
            for model, file in codes
            for layer, of_layer, period in file.of(utterance.id)
        ]
        name = f"utterance-{number:02d}"
        spectrogram = features.plot_spectrogram(samples)
        drawn = figures.aligned_spectrogram(spectrogram, features.PLOT_FRAME_PERIOD, features.SAMPLE_RATE / 2, rows, end=duration)
        tiers = {row.name.replace("\n", " "): textgrid.as_tier(row.intervals) for row in rows}
        textgrid.write(folder.path("textgrids", f"{name}.TextGrid"), tiers, duration)
        shown.append(
            {
                "utterance": utterance,
                "duration": duration,
                "picture": folder.figure(name, drawn, _told(utterance, rows)),
                "left": figures.MARGIN_LEFT / drawn.get_figwidth(),
                "right": 1 - figures.MARGIN_RIGHT / drawn.get_figwidth(),
                "sound": folder.sound(utterance.wav),
                "image": _image(store, folder, utterance) if store else None,
                "textgrid": f"textgrids/{name}.TextGrid",
                "rows": rows,
            }
        )
    return shown


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
        return {"image": folder.image(f"{store.path}: {name}", store.image(number)), "told": store.utterance(caption_number).text}

    query, answer = (image, caption) if direction == "image_to_speech" else (caption, image)
    return [(kind, [_case(example, query, answer) for example in found[:CASES]]) for kind, found in examples.items()]


def _case(example: dict[str, Any], query: Callable[[str], dict[str, Any]], answer: Callable[[str], dict[str, Any]]) -> dict[str, Any]:
    """One query with its best answers; the right one beside them, should it not be among them."""
    return {
        "query": query(example["query"]),
        "rank": example["rank"],
        "answers": [answer(a["id"]) | {"is_right": a["right"]} for a in example["answers"]],
        "right": [] if any(a["right"] for a in example["answers"]) else [answer(name) for name in example["right"][:1]],
    }


def _chosen(n: int, utterance: Callable[[int], Utterance], settings: config.Report) -> list[Utterance]:
    """Utterances in a random order, those with aligned words first; then in the split's order."""
    order = np.random.default_rng(settings.seed).permutation(n).tolist()

    def first(fits: Callable[[Utterance], bool]) -> Iterator[int]:
        return (i for i in order if fits(utterance(i)))

    aligned = [i for i, _ in zip(first(lambda u: bool(u.words)), range(settings.utterances), strict=False)]
    return [utterance(i) for i in sorted(aligned or order[: settings.utterances])]


def _told(utterance: Utterance, rows: Sequence[Row]) -> str:
    """The alternative text of an aligned spectrogram."""
    counts = ", ".join(f"{len(row.intervals)} {'runs of codes of ' if row.coloured else ''}{row.name}" for row in rows).replace("\n", " ")
    return f"Spectrogram of utterance {utterance.id}" + (f" with {counts} above it; the same as text follows" if counts else "")


def _image(store: Store, folder: Folder, utterance: Utterance) -> Picture | None:
    """The utterance's image, if it has one."""
    number = int(store.image_index[store.index(utterance.id)])
    return None if number < 0 else folder.image(f"{store.path}: {store.image_ids[number]}", store.image(number))
