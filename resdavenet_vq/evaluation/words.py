"""Word detection: which words single codes stand for.

Conventions. A *token* is one spoken occurrence of a word; pauses and noises are none. The center of frame f of period p
is (f + 1/2) p (`published`; `centred`: f p). Over the aligned utterances,

* *precision* of word w for code c is the share, among all frames with code c, of those whose window
  [center - half_window, center + half_window] touches a token of w. It touches one that begins before the window's end
  (strictly) and does not end before its start. A frame may touch several words; one that touches none counts for
  `<SIL>`. Stop words have no precision (their F1 is 0), yet their frames stay in the denominators;
* *recall* is the share, among all tokens of w, of those in whose span c occurs; the span's start is floored
  and its end ceiled to frames;
* *F1* is their harmonic mean, 0 where both are 0.

A word's *detector* is its code of highest F1; ties go to the one that hits more tokens, then to the lower code. Words
are listed by the F1 of their detector; ties go to the more frequent, then to the earlier in the alphabet. *Published*
protocol: detectors are chosen and scored on the same split. *Held-out*: chosen there, scored on another. The *chance
level* repeats each with the codes of another utterance, half the split away.
"""

from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd

from resdavenet_vq import config
from resdavenet_vq.encode.codes import CodesFile, frame_time_of
from resdavenet_vq.encode.origin import check_same_encoding
from resdavenet_vq.encode.units import FrameTime
from resdavenet_vq.errors import InputError
from resdavenet_vq.evaluation import units
from resdavenet_vq.evaluation.availability import NO_WORDS
from resdavenet_vq.evaluation.bootstrap import Replicates, Resamples
from resdavenet_vq.evaluation.word_counts import SILENCE, Counts, Vocabulary, blocks, f1, ordered, shifted_blocks
from resdavenet_vq.evaluation.word_samples import DetectorCounts
from resdavenet_vq.files import atomic_write, together, write_json

STOP_WORDS = frozenset("A AN THE AND OF <SPOKEN_NOISE> TO ON IN AT ARE IS IT HE SHE YOU THERE THIS".split())  # noqa: SIM905
"""The published list."""

WORDS_PER_CODE = 5  # in codes.csv


def detections(counts: Counts) -> pd.DataFrame:
    """One row for every word and code that occurs in one of its tokens, best code first within each word.

    Columns: word, code, f1, precision, recall, hits (tokens hit). Words are in the order of the vocabulary.
    """
    names = list(counts.vocabulary)
    has_precision = np.array([name not in STOP_WORDS for name in names], bool)
    at, word, code = _nonzero(counts.hit[: len(names)])
    hits = counts.hit.reshape(-1)[at]
    recall = hits / counts.tokens[word]
    precision = counts.touched.reshape(-1)[at] * has_precision[word] / counts.frames[code]
    score = f1(precision, recall)
    columns = {"code": code, "f1": score, "precision": precision, "recall": recall, "hits": hits}
    order = _best_first(word, score, hits, code)
    labels = pd.Categorical.from_codes(word[order], pd.Index(names, dtype=object))
    return pd.DataFrame({"word": labels} | {name: column[order] for name, column in columns.items()}, copy=False)


def precisions(counts: Counts) -> pd.DataFrame:
    """Columns code, word, precision and frames of every code and word that it touches, with `<SIL>`, without stop words.

    Rows are in the order of codes and falling precision, equal ones in that of the alphabet.
    """
    names = sorted([*counts.vocabulary, SILENCE])
    number = {name: i for i, name in enumerate(names)}
    order = np.array([-1 if name in STOP_WORDS else number[name] for name in counts.vocabulary], np.int64)
    at, word, code = _nonzero(counts.touched[: len(order)])
    kept = order[word] >= 0
    at, word, code, silent = at[kept], word[kept], code[kept], np.flatnonzero(counts.silent)
    frames = np.concatenate([counts.touched.reshape(-1)[at], counts.silent[silent]])
    word, code = np.concatenate([order[word], np.full(len(silent), number[SILENCE])]), np.concatenate([code, silent])
    most = frames.max(initial=0)
    code, fewer, word = ordered(code, most - frames, word)
    frames, labels = most - fewer, pd.Categorical.from_codes(word, pd.Index(names, dtype=object))
    columns = {"code": code, "word": labels, "precision": frames / counts.frames[code], "frames": frames}
    return pd.DataFrame(columns, copy=False)


def _nonzero(table: np.ndarray) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
    """Places, rows and columns of the entries that are not 0, row by row."""
    at = np.flatnonzero(table != 0)  # of booleans: three times as fast
    row = at // table.shape[1]
    return at, row, at - row * table.shape[1]


def _best_first(word: np.ndarray, f1: np.ndarray, hits: np.ndarray, code: np.ndarray) -> np.ndarray:
    """The order of rows by word, highest f1, most hits, and code: a fast sort by a rounded key, then of its ties."""
    key = word - 0.5 * f1
    order = np.argsort(key)
    key = key[order]
    same = np.zeros(len(key) + 1, bool)
    same[1:-1] = key[1:] == key[:-1]
    tied = np.flatnonzero(same[1:] | same[:-1])
    rows = order[tied]
    order[tied] = rows[np.lexsort((code[rows], -hits[rows], -f1[rows], word[rows]))]
    return order


def best(table: pd.DataFrame) -> pd.DataFrame:
    """The first row of each word, indexed by word: of `detections`, the words' detectors."""
    return table.drop_duplicates("word").set_index("word")


def transfer(detectors: pd.Series, counts: Counts) -> pd.DataFrame:
    """The scores here of codes chosen elsewhere (`detectors`: word -> code), indexed by word.

    Columns: f1, precision, recall, occurrences (tokens of the word). Words that do not occur here are left out.
    """
    here = detectors[detectors.index.isin(list(counts.vocabulary))]
    word, code = np.array([counts.vocabulary[name] for name in here.index], np.int64), here.to_numpy(np.int64)
    recall = counts.hit[word, code] / counts.tokens[word]
    touched = np.where(here.index.isin(STOP_WORDS), 0, counts.touched[word, code])
    precision = touched / np.maximum(counts.frames[code], 1)
    columns = {"f1": f1(precision, recall), "precision": precision, "recall": recall}
    return pd.DataFrame(columns | {"occurrences": counts.tokens[word]}, index=here.index)


def words_table(counts: Counts, detected: pd.DataFrame, touched: pd.DataFrame, min_occurrences: int) -> pd.DataFrame:
    """One row a word of at least `min_occurrences` tokens, best first, from its `detections` and `precisions`.

    Columns: its detector's code, f1, precision, recall and hits, its occurrences, its highest precision with the code
    that has it, and whether it is a stop word or silence. `<SIL>` has no tokens, so only a precision.
    """
    spoken = pd.Series(counts.tokens[: len(counts.vocabulary)], index=list(counts.vocabulary), name="occurrences")
    table = best(detected).join(spoken)
    table = table[table["occurrences"] >= min_occurrences]
    precise = best(touched.sort_values("precision", ascending=False, kind="stable"))[["precision", "code"]]
    precise.columns = pd.Index(["highest_precision", "highest_precision_code"])
    precise = precise[precise.index.isin([*table.index, SILENCE])]
    table = table.join(precise, how="outer").rename_axis("word").reset_index()
    table["is_stop_word"] = table["word"].isin(STOP_WORDS)
    table["is_silence"] = table["word"] == SILENCE
    integers = ("code", "hits", "occurrences", "highest_precision_code")
    table = table.astype({"word": object} | dict.fromkeys(integers, "Int64"))
    return table.sort_values(["f1", "occurrences", "word"], ascending=[False, False, True]).reset_index(drop=True)


def codes_table(counts: Counts, detected: pd.DataFrame, words: pd.DataFrame) -> pd.DataFrame:
    """One row a code that occurs: its frames, their share of all, the share of them that is silent, and its best word.

    The column `words` lists its best words with their F1, of those in the table `words`, without stop words.
    """
    table = pd.DataFrame({"code": np.arange(len(counts.frames)), "frames": counts.frames})
    table["share"] = counts.frames / np.maximum(counts.frames.sum(), 1)
    table["silence"] = counts.silent / np.maximum(counts.frames, 1)
    named = detected[detected["word"].isin(words["word"]) & (detected["f1"] > 0)].astype({"word": object})
    named = named.sort_values(["code", "f1", "hits", "word"], ascending=[True, False, False, True])
    first = named.groupby("code").head(WORDS_PER_CODE)
    texts = first["word"] + " " + first["f1"].map("{:.3f}".format)
    texts = texts.groupby(first["code"]).agg("; ".join).rename("words")
    table = table.join(named.drop_duplicates("code").set_index("code"), on="code").join(texts, on="code")
    return table[table["frames"] > 0].astype({"hits": "Int64"})


def headline(scores: pd.Series, settings: config.Words) -> dict[str, float]:
    """Words, those that reach the F1 threshold, and the mean F1 of the best; `scores` has one F1 a word, best first."""
    above, mean = int((scores >= settings.f1_threshold).sum()), scores[: settings.best].mean()
    return {"words": len(scores), "words_above_f1": above, "mean_f1": float(mean) if len(scores) else 0.0}


def score(
    codes: Path, held_out: Path, layer: str, settings: config.Words, out: Path, *, frame_time: FrameTime, lineage: str
) -> dict[str, Any]:
    """Scores a layer of two codes files; returns the summary.

    Writes words.csv, codes.csv, summary.json and the replicates of its scores (bootstrap.csv) into `out`. Utterances
    without alignment are left out and counted. Where no utterance of a split has aligned words, the summary says so
    instead of its scores (`not_available`), and units are described over all utterances. Raises InputError naming the
    file that is missing, broken, without the layer, or of another model.
    """
    frame_time = frame_time_of(layer, frame_time)
    with CodesFile(codes, layer) as file, CodesFile(held_out, layer) as other:
        file.origin.check(codes, lineage=lineage, split=settings.split)
        other.origin.check(held_out, lineage=lineage, split=settings.held_out_split)
        check_same_encoding(codes, file.origin, held_out, other.origin)
        if (file.codebook_size, file.frame_period) != (other.codebook_size, other.frame_period):
            raise InputError(f"{held_out}: its {layer} is not that of {codes}: encode both splits with the same model")
        counts, described = _described(file, settings, frame_time)
        detected = detections(counts)
        words = words_table(counts, detected, precisions(counts), settings.min_occurrences)
        by_code = codes_table(counts, detected, words)
        spoken = words[~words["is_silence"]].set_index("word")
        detectors = spoken["code"].astype(np.int64)

        del detected  # the largest table

        sums = _sums(detectors, file, counts)
        rotated = _counts(file, settings, frame_time)
        if counts.vocabulary:
            _rotated(file, rotated, counts, sums, described)
        else:
            by_code["silence"] = np.nan
        held_counts = _counts(other, settings, frame_time)
        held_sums = _sums(detectors, other, held_counts)
        held_rotated = _rotated(other, _counts(other, settings, frame_time), held_counts, held_sums)
        not_available = dict.fromkeys(["published", "held_out"], NO_WORDS) if not counts.vocabulary else {}
        not_available |= {"held_out": NO_WORDS} if not held_counts.vocabulary else {}

        held = transfer(detectors, held_counts)
        chance_head = held_chance_head = None
        if len(file) > 1:
            chance = best(detections(rotated)).reindex(detectors.index)["f1"].fillna(0.0)
            words["chance_f1"] = words["word"].map(chance)
            chance_head = headline(chance.sort_values(ascending=False), settings)
        if len(other) > 1:
            held_chance_head = headline(transfer(detectors, held_rotated)["f1"], settings)
        held_head, published = headline(held["f1"], settings), headline(spoken["f1"], settings)
        replicates = Replicates()
        described.replicate(replicates, settings.split)
        for head, table, of_groups, name in (
            (published, spoken, sums, "published"),
            (held_head, held, held_sums, "held_out"),
        ):
            sample = of_groups.sample(table["f1"], settings, without_precision=STOP_WORDS)
            head["expected_words_above_f1"] = float(sample.above.mean())
            if name not in not_available:
                split = settings.split if head is published else settings.held_out_split
                sample.replicate(replicates, head, split, name)
            table["f1_low"], table["f1_high"] = sample.bounds
        words = words.join(spoken[["f1_low", "f1_high"]], on="word")
        words = words.join(held.add_prefix("held_out_").astype({"held_out_occurrences": "Int64"}), on="word")
        precise = int((words["highest_precision"] >= settings.precision_threshold).sum())
        summary = {
            "lineage": lineage,
            "origin": file.origin.to_dict(),
            "held_out_data": other.origin.data,
            "layer": layer,
            "frame_period": file.frame_period,
            "frame_time": frame_time,
            "codebook_size": file.codebook_size,
            **settings.model_dump(exclude={"max_utterances"}),
            "utterances": counts.utterances,
            "utterances_without_alignment": len(file) - counts.utterances,
            "held_out_utterances": held_counts.utterances,
            "held_out_utterances_without_alignment": len(other) - held_counts.utterances,
            "frames": int(counts.frames.sum()),
            "tokens": int(counts.tokens.sum()),
            "word_types": len(counts.vocabulary),
            "published": published | {"words_above_precision": precise, "chance": chance_head},
            "held_out": held_head | {"chance": held_chance_head},
            **dict.fromkeys(not_available),
            **({"not_available": not_available} if not_available else {}),
            "units": described.to_dict(),
            "intervals": replicates.intervals,
        }
    _write(out, summary, words, by_code, replicates)
    return summary


def _write(
    out: Path, summary: dict[str, Any], words: pd.DataFrame, by_code: pd.DataFrame, replicates: Replicates
) -> None:
    with together():
        for name, table in (("words.csv", words), ("codes.csv", by_code)):
            with atomic_write(out / name) as tmp:
                table.to_csv(tmp, index=False, lineterminator="\n")
        replicates.write(out / "summary.json")
        write_json(out / "summary.json", summary)


def _described(file: CodesFile, settings: config.Words, frame_time: FrameTime) -> tuple[Counts, units.Description]:
    """Words and units of the aligned utterances of a file; where none has words, units alone, of all utterances."""
    counts, described = _counts(file, settings, frame_time), _description(file, frame_time)
    for block in blocks(file, counts.vocabulary):
        counts.add(block)
        described.add(block)
    if counts.vocabulary:
        return counts, described
    counts, described = _counts(file, settings, frame_time), _description(file, frame_time)
    for add in (described.add, described.add_sample):
        for block in blocks(file, Vocabulary(), every=True):
            add(block)
    counts.frames += described.frames
    return counts, described


def _counts(file: CodesFile, settings: config.Words, frame_time: FrameTime) -> Counts:
    """Counts of a file, without any yet."""
    period, window = file.frame_period, settings.half_window
    return Counts(file.codebook_size, frame_period=period, half_window=window, frame_time=frame_time)


def _description(file: CodesFile, frame_time: FrameTime) -> units.Description:
    """A description of a file's units, without any yet."""
    return units.Description(file.codebook_size, file.frame_period, frame_time, Resamples.of(file.ids))


def _sums(detectors: pd.Series, file: CodesFile, counts: Counts) -> DetectorCounts:
    """Sums of words' detectors in a file, without any yet."""
    codes = dict(zip(map(str, detectors.index), detectors.tolist(), strict=True))
    return DetectorCounts(codes, counts.vocabulary, file.codebook_size, Resamples.of(file.ids))


def _rotated(
    file: CodesFile, rotated: Counts, counts: Counts, sums: DetectorCounts, described: units.Description | None = None
) -> Counts:
    """Counts with the codes of the utterances half the split away; one reading of the file also fills the others.

    `counts` and `sums` are of the utterances' own codes. A file that is `described` is counted already, and its sample
    is added to the description.
    """
    for own, shifted in shifted_blocks(file, counts.vocabulary, shifts=(0, len(file) // 2)):
        rotated.vocabulary.update(counts.vocabulary)
        rotated.add(shifted)
        sums.add(own, counts.spans(own) if described else counts.add(own))
        if described:
            described.add_sample(own)
    return rotated
