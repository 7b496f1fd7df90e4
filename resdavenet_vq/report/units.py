"""The data of the page Units: codes with their words and phones, and words with their codes.

Counted over all aligned utterances of the split, as in `evaluation.words`: *precision* is the share of a code's frames
that touch the word (within the half window that word detection used; for phones the frame's centre must lie in it),
*recall* the share of the word's tokens in whose span the code occurs. Pieces of data: `layer-L` (all codes of a layer,
a row each: code, frames, occurrences, share of silence, best word and best phone with their F1), `layer-L-codes-N`
(details of 64 codes), `vocabulary` (all words) and `words-N` (details of 200 words). An occurrence is a run of a code.
The share of silence of a code that no aligned utterance has is null.
"""

from __future__ import annotations

from typing import Any

import numpy as np
import pandas as pd

from resdavenet_vq.encode.codes import CodesFile, frame_time_of
from resdavenet_vq.encode.units import FrameTime, frame_edges
from resdavenet_vq.evaluation import word_counts
from resdavenet_vq.evaluation.word_counts import Counts, blocks
from resdavenet_vq.evaluation.words import STOP_WORDS
from resdavenet_vq.figures.interactive import DARK_SHADES, SHADES
from resdavenet_vq.report.assets import Folder, pieces
from resdavenet_vq.report.utterances import SEED, Layer, Split
from resdavenet_vq.results import Words

CODES_PER_PIECE, WORDS_PER_PIECE = 64, 200

BEST = 12
"""Words and phones listed of each code, and codes of each word and layer, at most."""

HALF_WINDOW = 0.04
"""Of word detection where no word was scored: the published value, in seconds."""


def write(split: Split, folder: Folder) -> dict[str, Any]:
    """Writes all pieces; returns what the page's script needs to find them."""
    words: dict[str, int] = {}
    best_codes: dict[int, dict[str, list[list[Any]]]] = {}
    for layer in split.layers:
        of_words, of_phones = _count(layer, split.frame_time)
        stats = _stats(of_words)
        spoken = _tokens(of_words)
        best_codes[layer.number] = {word: [] for word in spoken} | _best(stats, "label", "code")
        words |= {word: max(n, words.get(word, 0)) for word, n in spoken.items()}
        best = _best(stats, "code", "label"), _best(_stats(of_phones), "code", "label")
        _write_layer(split, folder, layer, of_words, best, list(of_phones.vocabulary), _detects(layer.words))
    _write_words(split, folder, dict(sorted(words.items(), key=lambda item: (-item[1], item[0]))), best_codes)
    return {
        "codesPerPiece": CODES_PER_PIECE,
        "wordsPerPiece": WORDS_PER_PIECE,
        "occurrences": split.settings.occurrences,
        "best": BEST,
        "shades": {"light": SHADES, "dark": DARK_SHADES},
        "words": len(words),
        "stopWords": sorted(STOP_WORDS),
    }


def _count(layer: Layer, frame_time: FrameTime) -> tuple[Counts, Counts]:
    """Counts of words, and of phones, over the aligned utterances."""
    frame_time = frame_time_of(layer.name, frame_time)
    half_window = float(layer.words.summary["half_window"]) if layer.words else HALF_WINDOW
    with CodesFile(layer.codes.path, layer.name) as file:
        words, phones = (
            Counts(file.codebook_size, frame_period=file.frame_period, half_window=window, frame_time=frame_time)
            for window in (half_window, 0.0)
        )
        for block in blocks(file, words.vocabulary, phones.vocabulary):
            words.add(block)
            phones.add(block._replace(words=block.phones))
    return words, phones


def _tokens(counts: Counts) -> dict[str, int]:
    """How often each label is spoken."""
    return dict(zip(counts.vocabulary, counts.tokens.tolist(), strict=False))


def _stats(counts: Counts) -> pd.DataFrame:
    """Every label and code that co-occur, with precision, recall, F1, and the label's tokens that have the code.

    The pairs of highest F1 come first, then those with most tokens.
    """
    labels = list(counts.vocabulary)
    hit, touched = counts.hit[: len(labels)], counts.touched[: len(labels)]
    label, code = np.nonzero((hit > 0) | (touched > 0))
    precision, recall = touched[label, code] / counts.frames[code], hit[label, code] / counts.tokens[label]
    f1, hits = word_counts.f1(precision, recall), hit[label, code]
    pairs = {"label": np.array(labels, object)[label], "code": code, "precision": precision, "recall": recall}
    return pd.DataFrame(pairs | {"f1": f1, "hits": hits}).iloc[np.lexsort((code, label, -hits, -f1))]


def _best(stats: pd.DataFrame, of: str, other: str) -> dict[Any, list[list[Any]]]:
    """For each code (or label) the best labels (or codes), as [label, precision, recall, F1, hits]."""
    best: dict[Any, list[list[Any]]] = {}
    chosen = stats.groupby(of, sort=False).head(BEST)
    columns = (chosen[name].tolist() for name in (of, other, "precision", "recall", "f1", "hits"))
    for key, value, precision, recall, f1, hits in zip(*columns, strict=True):
        best.setdefault(key, []).append([value, round(precision, 4), round(recall, 4), round(f1, 4), hits])
    return best


def _write_layer(
    split: Split,
    folder: Folder,
    layer: Layer,
    counts: Counts,
    best: tuple[dict[int, list[list[Any]]], ...],
    phones: list[str],
    detects: dict[int, list[list[Any]]],
) -> None:
    """The pieces of one layer; `best` has the words and the phones of each code."""
    frames, occurrences, with_audio, places = _occurrences(split, layer)
    silence = np.where(counts.frames > 0, counts.silent / np.maximum(counts.frames, 1), np.nan).round(4).tolist()
    rows = [
        [c, frames[c], occurrences[c], silence[c], *([of[c][0][0], of[c][0][3]] if c in of else None for of in best)]
        for c in range(len(frames))
        if frames[c]
    ]
    about = {"frames": max(1, sum(frames)), "size": len(frames), "aligned": counts.utterances, "phones": phones}
    folder.data(f"layer-{layer.number}", {"codes": rows} | about)
    for number, codes in pieces(range(len(frames)), CODES_PER_PIECE):
        details = {
            c: {
                "words": best[0].get(c, []),
                "phones": best[1].get(c, []),
                "silence": silence[c],
                "detects": detects.get(c, []),
                "withAudio": with_audio[c],
                "places": places.get(c, []),
            }
            for c in codes
            if frames[c]
        }
        folder.data(f"layer-{layer.number}-codes-{number}", details)


def _detects(detection: Words | None) -> dict[int, list[list[Any]]]:
    """For each code the words that it was chosen for: word, F1 where it was chosen, and held out."""
    chosen: dict[int, list[list[Any]]] = {}
    if detection is not None:
        for row in detection.detectors.to_dict("records"):
            chosen.setdefault(int(row["code"]), []).append([row["word"], row["f1"], row.get("held_out_f1")])
    return chosen


def _occurrences(split: Split, layer: Layer) -> tuple[list[int], list[int], list[int], dict[int, list[list[Any]]]]:
    """Of each code frames, occurrences, and occurrences in utterances with audio.

    And some of these, drawn at random, as [utterance, start, end].
    """
    codes = layer.codes.layer(layer.name)
    every, frame_time = codes.runs, frame_time_of(layer.name, split.frame_time)
    by_id = {utterance.id: number for number, utterance in enumerate(split.with_audio)}
    numbers = np.array([by_id.get(utterance_id, -1) for utterance_id in layer.codes.ids])[every.utterance]
    audible = np.random.default_rng([SEED, layer.number]).permutation(np.flatnonzero(numbers >= 0))
    first, end = (
        np.round(frame_edges(frames[audible], codes.frame_period, frame_time), 4)
        for frames in (every.start, every.start + every.length)
    )
    drawn = pd.DataFrame({"code": every.code[audible], "number": numbers[audible], "first": first, "end": end})
    drawn = drawn.groupby("code", sort=False).head(split.settings.occurrences)
    places: dict[int, list[list[Any]]] = {}
    for code, *place in zip(*(drawn[name].tolist() for name in drawn), strict=True):
        places.setdefault(code, []).append(place)
    frames, occurrences, with_audio = (
        np.bincount(some, minlength=codes.codebook_size).tolist()
        for some in (codes.codes, every.code, every.code[audible])
    )
    return frames, occurrences, with_audio, places


def _write_words(
    split: Split, folder: Folder, words: dict[str, int], best_codes: dict[int, dict[str, list[list[Any]]]]
) -> None:
    """The pieces about words: the best codes of each in every layer, and some of its places."""
    spoken = [(number, *word) for number, utterance in enumerate(split.with_audio) for word in utterance.words or ()]
    places: dict[str, list[list[Any]]] = {}
    for at in np.random.default_rng(SEED).permutation(len(spoken)).tolist():
        number, start, end, label = spoken[at]
        places.setdefault(label, []).append([number, round(start, 4), round(end, 4)])
    folder.data("vocabulary", list(words.items()))
    for number, piece in pieces(list(words), WORDS_PER_PIECE):
        details = [
            {
                "codes": {layer: best[word] for layer, best in best_codes.items() if word in best},
                "withAudio": len(places.get(word, [])),
                "places": places.get(word, [])[: split.settings.occurrences],
            }
            for word in piece
        ]
        folder.data(f"words-{number}", list(zip(piece, details, strict=True)))
