"""Codes and what goes with them: the data of the page on which units are explored.

Counted over all aligned utterances of the shown split, as in `evaluation.words`: *precision* is the share of a code's frames
that touch the word (within the half window that word detection used; for phones the frame's centre must lie in it), *recall* the
share of the word's tokens in whose span the code occurs. Pieces of data: `layer-L` (all codes of a layer, a row each: code, frames, occurrences,
share of silence, best word and best phone with their F1), `layer-L-codes-N`
(what is told of 64 codes), `spoken` (all words) and `words-N` (what is told of 200 words). An occurrence is a run of a code.
"""

from __future__ import annotations

import math
from collections.abc import Iterator
from typing import Any, NamedTuple

import numpy as np

from resdavenet_vq.encode.units import FrameTime, frame_edges, runs
from resdavenet_vq.evaluation.word_counts import Block, Counts, Vocabulary, tokens
from resdavenet_vq.evaluation.words import STOP_WORDS
from resdavenet_vq.report import chunks
from resdavenet_vq.report.assets import Folder
from resdavenet_vq.report.utterances import Layer, Split
from resdavenet_vq.results import Findings, Words

CODES_A_PIECE, WORDS_A_PIECE, UTTERANCES_AT_ONCE = 64, 200, 500

BEST = 12
"""Words and phones told of each code, and codes of each word and layer, at most."""

HALF_WINDOW = 0.04
"""Of word detection where no word was scored: the published value, in seconds."""


class Told(NamedTuple):
    """Every pair of a label and a code that meet: precision, recall and F1, and the tokens of the label in which the code occurs."""

    labels: list[str]
    tokens: np.ndarray  # (V,)
    label: np.ndarray  # (P,)
    code: np.ndarray  # (P,)
    precision: np.ndarray
    recall: np.ndarray
    f1: np.ndarray
    hits: np.ndarray

    def rows(self, at: np.ndarray) -> list[list[Any]]:
        """Some pairs as [label's number, code, precision, recall, F1, hits]."""
        columns = (self.label, self.code, self.precision, self.recall, self.f1, self.hits)
        return [
            [label, code, round(p, 4), round(r, 4), round(f, 4), hits]
            for label, code, p, r, f, hits in zip(*(column[at].tolist() for column in columns), strict=True)
        ]


def write(split: Split, found: Findings, folder: Folder) -> dict[str, Any]:
    """Writes all pieces; what the page needs to know to find them."""
    words: dict[str, int] = {}
    spoken: dict[int, Told] = {}
    for layer in split.layers:
        detection = next(
            (w for m in found.models if m.folder.name == layer.folder for w in m.words if w.layer == layer.name), None
        )
        counts = _counted(layer, split.frame_time, detection)
        by_word, by_phone = map(_told, counts)
        spoken[layer.number] = by_word
        words |= {
            word: max(n, words.get(word, 0)) for word, n in zip(by_word.labels, by_word.tokens.tolist(), strict=True)
        }
        _write_layer(split, folder, layer, counts[0], (by_word, by_phone), detection)
    _write_words(split, folder, dict(sorted(words.items(), key=lambda item: (-item[1], item[0]))), spoken)
    return {
        "codesAPiece": CODES_A_PIECE,
        "wordsAPiece": WORDS_A_PIECE,
        "occurrences": split.settings.occurrences,
        "words": len(words),
        "stopWords": sorted(STOP_WORDS),
    }


def _counted(layer: Layer, frame_time: FrameTime, detection: Words | None) -> tuple[Counts, Counts]:
    """Counts of words, and of phones, over the aligned utterances."""
    found = layer.codes.layer(layer.name)
    half_window = float(detection.summary["half_window"]) if detection else HALF_WINDOW
    words, phones = (
        Counts(found.codebook_size, frame_period=found.frame_period, half_window=window, frame_time=frame_time)
        for window in (half_window, 0.0)
    )
    for block in _blocks(layer, words.vocabulary, phones.vocabulary):
        words.add(block)
        phones.add(block._replace(words=block.phones))
    return words, phones


def _blocks(layer: Layer, words: Vocabulary, phones: Vocabulary) -> Iterator[Block]:
    """The utterances with aligned words, some at a time."""
    found, utterances = layer.codes.layer(layer.name), layer.codes.utterances
    aligned = [number for number, utterance in enumerate(utterances) if utterance.words]
    for _, some in chunks.parts(aligned, UTTERANCES_AT_ONCE):
        parts = [found.codes[found.offsets[number] : found.offsets[number + 1]] for number in some]
        yield Block(
            codes=np.concatenate(parts),
            offsets=np.cumsum([0, *map(len, parts)]),
            words=tokens([list(utterances[number].words or ()) for number in some], words),
            phones=tokens([list(utterances[number].phones or ()) for number in some], phones),
        )


def _told(counts: Counts) -> Told:
    """All pairs that meet in a token."""
    labels = list(counts.vocabulary)
    hit, touched = counts.hit[: len(labels)], counts.touched[: len(labels)]
    label, code = np.nonzero((hit > 0) | (touched > 0))
    precision, recall = touched[label, code] / counts.frames[code], hit[label, code] / counts.tokens[label]
    both = precision + recall
    f1 = np.divide(2 * precision * recall, both, out=np.zeros(len(both)), where=both > 0)
    return Told(labels, counts.tokens[: len(labels)], label, code, precision, recall, f1, hit[label, code])


def _best(key: np.ndarray, told: Told) -> dict[int, np.ndarray]:
    """For each value of `key`, the best pairs: highest F1, then most hits, then by number."""
    order = np.lexsort((told.code, told.label, -told.hits, -told.f1, key))
    values, first = np.unique(key[order], return_index=True)
    stop = np.append(first, len(order))[1:]
    return {int(v): order[a:b][:BEST] for v, a, b in zip(values, first, stop, strict=True)}


def _write_layer(
    split: Split, folder: Folder, layer: Layer, counts: Counts, told: tuple[Told, Told], detection: Words | None
) -> None:
    """The pieces of one layer."""
    of_code = [_best(t.code, t) for t in told]
    detects = _detects(detection)
    occurring, places, total = _occurrences(split, layer)
    nothing = np.zeros(0, np.int64)
    best = [
        {c: (t.labels[t.label[at[0]]], round(float(t.f1[at[0]]), 4)) for c, at in of.items()}
        for t, of in zip(told, of_code, strict=True)
    ]
    all_frames = max(1, int(np.sum(total[0])))
    codes = np.flatnonzero(total[0]).tolist()
    silence = np.round(counts.silent / np.maximum(counts.frames, 1), 4).tolist()
    rows = [[c, int(total[0][c]), int(total[1][c]), silence[c], *(b.get(c) for b in best)] for c in codes]
    chunks.write(
        folder,
        f"layer-{layer.number}",
        {
            "codes": rows,
            "frames": all_frames,
            "size": len(total[0]),
            "aligned": counts.utterances,
            "phones": told[1].labels,
        },
    )
    details = {
        code: {
            "words": told[0].rows(of_code[0].get(code, nothing)),
            "phones": told[1].rows(of_code[1].get(code, nothing)),
            "silence": silence[code],
            "detects": detects.get(code, []),
            "heard": int(occurring[code]),
            "places": places.get(code, []),
        }
        for code in codes
    }
    labels = [dict(enumerate(t.labels)) for t in told]
    for code in details.values():
        for tier, named in zip(("words", "phones"), labels, strict=True):
            code[tier] = [[named[row[0]], *row[2:]] for row in code[tier]]
    for number in range(math.ceil(len(total[0]) / CODES_A_PIECE)):
        piece = {c: details[c] for c in range(number * CODES_A_PIECE, (number + 1) * CODES_A_PIECE) if c in details}
        chunks.write(folder, f"layer-{layer.number}-codes-{number}", piece)


def _detects(detection: Words | None) -> dict[int, list[list[Any]]]:
    """For each code the words that it was chosen for: word, F1 where it was chosen, and held out."""
    chosen: dict[int, list[list[Any]]] = {}
    if detection is not None:
        held = detection.table.get("held_out_f1")
        table = detection.detectors.assign(held=None if held is None else held)
        for word, code, f1, held_out in zip(table["word"], table["code"], table["f1"], table["held"], strict=True):
            chosen.setdefault(int(code), []).append([word, float(f1), held_out])
    return chosen


def _occurrences(
    split: Split, layer: Layer
) -> tuple[np.ndarray, dict[int, list[list[Any]]], tuple[np.ndarray, np.ndarray]]:
    """Occurrences (K,) in utterances that can be heard; some of these, drawn at random, as [utterance, start, end]; frames and occurrences of all."""
    found = layer.codes.layer(layer.name)
    size, generator = found.codebook_size, np.random.default_rng([split.settings.seed, layer.number])
    every = runs(found.codes, found.offsets)
    total = np.bincount(found.codes, minlength=size), np.bincount(every.code, minlength=size)
    shown = np.full(len(found.offsets), -1)
    place = {utterance.id: number for number, utterance in enumerate(split.heard)}
    for number, utterance in enumerate(layer.codes.utterances):
        shown[number] = place.get(utterance.id, -1)
    heard = np.flatnonzero(shown[every.utterance] >= 0)
    heard = generator.permutation(heard)
    heard = heard[np.argsort(every.code[heard], kind="stable")]
    first, end = (
        np.round(frame_edges(at[heard], found.frame_period, split.frame_time), 4).tolist()
        for at in (every.start, every.start + every.length)
    )
    places: dict[int, list[list[Any]]] = {}
    for code, number, start, stop in zip(
        every.code[heard].tolist(), shown[every.utterance[heard]].tolist(), first, end, strict=True
    ):
        listed = places.setdefault(code, [])
        if len(listed) < split.settings.occurrences:
            listed.append([number, start, stop])
    return np.bincount(every.code[heard], minlength=size), places, total


def _write_words(split: Split, folder: Folder, words: dict[str, int], spoken: dict[int, Told]) -> None:
    """The pieces about words: the best codes of each in every layer, and some of its places."""
    generator = np.random.default_rng(split.settings.seed)
    heard = [(number, *word) for number, utterance in enumerate(split.heard) for word in utterance.words or ()]
    places: dict[str, list[list[Any]]] = {}
    for at in generator.permutation(len(heard)).tolist():
        number, start, end, label = heard[at]
        places.setdefault(label, []).append([number, round(start, 4), round(end, 4)])
    best = {number: _best(told.label, told) for number, told in spoken.items()}
    numbers = {number: {label: i for i, label in enumerate(told.labels)} for number, told in spoken.items()}
    chunks.write(folder, "spoken", list(words.items()))
    for number, piece in chunks.parts(list(words), WORDS_A_PIECE):
        details = {
            word: {
                "codes": {
                    layer: [row[1:] for row in told.rows(best[layer].get(numbers[layer][word], np.zeros(0, np.int64)))]
                    for layer, told in spoken.items()
                    if word in numbers[layer]
                },
                "heard": len(places.get(word, [])),
                "places": places.get(word, [])[: split.settings.occurrences],
            }
            for word in piece
        }
        chunks.write(folder, f"words-{number}", [[word, detail] for word, detail in details.items()])
