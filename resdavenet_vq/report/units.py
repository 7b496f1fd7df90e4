"""The data of the page Units: codes with their words and phones, and words with their codes.

Counted over all aligned utterances of the split, as in `evaluation.words`: *precision* is the share of a code's frames
that touch the word (within the half window that word detection used; for phones the frame's centre must lie in it),
*recall* the share of the word's tokens in whose span the code occurs. Pieces of data: `layer-L` (all codes of a layer,
a row each: code, frames, occurrences, share of silence, best word and best phone with their F1), `layer-L-codes-N`
(details of 64 codes), `vocabulary` (all words) and `words-N` (details of 200 words). An occurrence is a run of a code.
"""

from __future__ import annotations

import math
from collections.abc import Iterator
from typing import Any, NamedTuple

import numpy as np

from resdavenet_vq.encode.units import FrameTime, frame_edges, runs
from resdavenet_vq.evaluation import word_counts
from resdavenet_vq.evaluation.word_counts import Block, Counts, Vocabulary, tokens
from resdavenet_vq.evaluation.words import STOP_WORDS
from resdavenet_vq.report.assets import Folder, pieces
from resdavenet_vq.report.utterances import SEED, Layer, Split
from resdavenet_vq.results import Results, Words

CODES_PER_PIECE, WORDS_PER_PIECE, UTTERANCES_PER_BLOCK = 64, 200, 500

BEST = 12
"""Words and phones listed of each code, and codes of each word and layer, at most."""

HALF_WINDOW = 0.04
"""Of word detection where no word was scored: the published value, in seconds."""


class LabelCodeStats(NamedTuple):
    """Every pair of a label and a code that co-occur: precision, recall, F1, and tokens of the label with the code."""

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


def write(split: Split, results: Results, folder: Folder) -> dict[str, Any]:
    """Writes all pieces; returns what the page's script needs to find them."""
    words: dict[str, int] = {}
    by_layer: dict[int, LabelCodeStats] = {}
    for layer in split.layers:
        detection = next(
            (
                w
                for m in results.models
                if m.folder.name == layer.folder
                for w in m.words(split.name)
                if w.layer == layer.name
            ),
            None,
        )
        counts = _count(layer, split.frame_time, detection)
        by_word, by_phone = map(_stats, counts)
        by_layer[layer.number] = by_word
        words |= {
            word: max(n, words.get(word, 0)) for word, n in zip(by_word.labels, by_word.tokens.tolist(), strict=True)
        }
        _write_layer(split, folder, layer, counts[0], (by_word, by_phone), detection)
    _write_words(split, folder, dict(sorted(words.items(), key=lambda item: (-item[1], item[0]))), by_layer)
    return {
        "codesPerPiece": CODES_PER_PIECE,
        "wordsPerPiece": WORDS_PER_PIECE,
        "occurrences": split.settings.occurrences,
        "words": len(words),
        "stopWords": sorted(STOP_WORDS),
    }


def _count(layer: Layer, frame_time: FrameTime, detection: Words | None) -> tuple[Counts, Counts]:
    """Counts of words, and of phones, over the aligned utterances."""
    codes = layer.codes.layer(layer.name)
    half_window = float(detection.summary["half_window"]) if detection else HALF_WINDOW
    words, phones = (
        Counts(codes.codebook_size, frame_period=codes.frame_period, half_window=window, frame_time=frame_time)
        for window in (half_window, 0.0)
    )
    for block in _blocks(layer, words.vocabulary, phones.vocabulary):
        words.add(block)
        phones.add(block._replace(words=block.phones))
    return words, phones


def _blocks(layer: Layer, words: Vocabulary, phones: Vocabulary) -> Iterator[Block]:
    """The utterances with aligned words, some at a time."""
    codes, utterances = layer.codes.layer(layer.name), layer.codes.utterances
    aligned = [number for number, utterance in enumerate(utterances) if utterance.words]
    for _, some in pieces(aligned, UTTERANCES_PER_BLOCK):
        parts = [codes.codes[codes.offsets[number] : codes.offsets[number + 1]] for number in some]
        yield Block(
            codes=np.concatenate(parts),
            offsets=np.cumsum([0, *map(len, parts)]),
            words=tokens([list(utterances[number].words or ()) for number in some], words),
            phones=tokens([list(utterances[number].phones or ()) for number in some], phones),
        )


def _stats(counts: Counts) -> LabelCodeStats:
    """All pairs that co-occur in a token."""
    labels = list(counts.vocabulary)
    hit, touched = counts.hit[: len(labels)], counts.touched[: len(labels)]
    label, code = np.nonzero((hit > 0) | (touched > 0))
    precision, recall = touched[label, code] / counts.frames[code], hit[label, code] / counts.tokens[label]
    f1 = word_counts.f1(precision, recall)
    return LabelCodeStats(labels, counts.tokens[: len(labels)], label, code, precision, recall, f1, hit[label, code])


def _best(key: np.ndarray, stats: LabelCodeStats) -> dict[int, np.ndarray]:
    """For each value of `key`, the best pairs: highest F1, then most hits, then by number."""
    order = np.lexsort((stats.code, stats.label, -stats.hits, -stats.f1, key))
    values, first = np.unique(key[order], return_index=True)
    stop = np.append(first, len(order))[1:]
    return {int(v): order[a:b][:BEST] for v, a, b in zip(values, first, stop, strict=True)}


def _write_layer(
    split: Split,
    folder: Folder,
    layer: Layer,
    counts: Counts,
    stats: tuple[LabelCodeStats, LabelCodeStats],
    detection: Words | None,
) -> None:
    """The pieces of one layer."""
    of_code = [_best(t.code, t) for t in stats]
    detects = _detects(detection)
    occurring, places, total = _occurrences(split, layer)
    nothing = np.zeros(0, np.int64)
    best = [
        {c: (t.labels[t.label[at[0]]], round(float(t.f1[at[0]]), 4)) for c, at in of.items()}
        for t, of in zip(stats, of_code, strict=True)
    ]
    all_frames = max(1, int(np.sum(total[0])))
    codes = np.flatnonzero(total[0]).tolist()
    silence = np.round(counts.silent / np.maximum(counts.frames, 1), 4).tolist()
    rows = [[c, int(total[0][c]), int(total[1][c]), silence[c], *(b.get(c) for b in best)] for c in codes]
    folder.data(
        f"layer-{layer.number}",
        {
            "codes": rows,
            "frames": all_frames,
            "size": len(total[0]),
            "aligned": counts.utterances,
            "phones": stats[1].labels,
        },
    )
    details = {
        code: {
            "words": stats[0].rows(of_code[0].get(code, nothing)),
            "phones": stats[1].rows(of_code[1].get(code, nothing)),
            "silence": silence[code],
            "detects": detects.get(code, []),
            "withAudio": int(occurring[code]),
            "places": places.get(code, []),
        }
        for code in codes
    }
    labels = [dict(enumerate(t.labels)) for t in stats]
    for code in details.values():
        for tier, named in zip(("words", "phones"), labels, strict=True):
            code[tier] = [[named[row[0]], *row[2:]] for row in code[tier]]
    for number in range(math.ceil(len(total[0]) / CODES_PER_PIECE)):
        piece = {c: details[c] for c in range(number * CODES_PER_PIECE, (number + 1) * CODES_PER_PIECE) if c in details}
        folder.data(f"layer-{layer.number}-codes-{number}", piece)


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
    """Occurrences (K,) in utterances with audio; some of these, drawn at random, as [utterance, start, end].

    Frames and occurrences of all.
    """
    codes = layer.codes.layer(layer.name)
    size, generator = codes.codebook_size, np.random.default_rng([SEED, layer.number])
    every = runs(codes.codes, codes.offsets)
    total = np.bincount(codes.codes, minlength=size), np.bincount(every.code, minlength=size)
    numbers = np.full(len(codes.offsets), -1)
    by_id = {utterance.id: number for number, utterance in enumerate(split.with_audio)}
    for number, utterance in enumerate(layer.codes.utterances):
        numbers[number] = by_id.get(utterance.id, -1)
    audible = generator.permutation(np.flatnonzero(numbers[every.utterance] >= 0))
    audible = audible[np.argsort(every.code[audible], kind="stable")]
    first, end = (
        np.round(frame_edges(frames[audible], codes.frame_period, split.frame_time), 4).tolist()
        for frames in (every.start, every.start + every.length)
    )
    places: dict[int, list[list[Any]]] = {}
    for code, number, start, stop in zip(
        every.code[audible].tolist(), numbers[every.utterance[audible]].tolist(), first, end, strict=True
    ):
        of_code = places.setdefault(code, [])
        if len(of_code) < split.settings.occurrences:
            of_code.append([number, start, stop])
    return np.bincount(every.code[audible], minlength=size), places, total


def _write_words(split: Split, folder: Folder, words: dict[str, int], by_layer: dict[int, LabelCodeStats]) -> None:
    """The pieces about words: the best codes of each in every layer, and some of its places."""
    generator = np.random.default_rng(SEED)
    tokens_with_audio = [
        (number, *word) for number, utterance in enumerate(split.with_audio) for word in utterance.words or ()
    ]
    places: dict[str, list[list[Any]]] = {}
    for at in generator.permutation(len(tokens_with_audio)).tolist():
        number, start, end, label = tokens_with_audio[at]
        places.setdefault(label, []).append([number, round(start, 4), round(end, 4)])
    best = {number: _best(stats.label, stats) for number, stats in by_layer.items()}
    numbers = {number: {label: i for i, label in enumerate(stats.labels)} for number, stats in by_layer.items()}
    folder.data("vocabulary", list(words.items()))
    for number, piece in pieces(list(words), WORDS_PER_PIECE):
        details = {
            word: {
                "codes": {
                    layer: [row[1:] for row in stats.rows(best[layer].get(numbers[layer][word], np.zeros(0, np.int64)))]
                    for layer, stats in by_layer.items()
                    if word in numbers[layer]
                },
                "withAudio": len(places.get(word, [])),
                "places": places.get(word, [])[: split.settings.occurrences],
            }
            for word in piece
        }
        folder.data(f"words-{number}", [[word, detail] for word, detail in details.items()])
