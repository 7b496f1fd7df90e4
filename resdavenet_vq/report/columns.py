"""What the numbers mean: their names on the page, how they are rounded, and an explanation in plain words.

The key of a score is its task, condition and score, as in scores.csv; a score without an entry here has its own name.
"""

from __future__ import annotations

import math
import re
from typing import Any, NamedTuple

from resdavenet_vq.evaluation.summary import PUBLISHED
from resdavenet_vq.lineage import N_POSITIONS
from resdavenet_vq.results import split_name

FURTHER = "Further numbers"
"""The group of scores without an explanation."""


class Column(NamedTuple):
    """The label and style of a score."""

    label: str
    style: str = "plain"
    """How `rounded` rounds it."""
    group: str = FURTHER
    """Scores of one table and explanation."""
    headline: bool = False
    """Whether it is in the first table."""


TEXTS = {
    "Retrieval": (
        "An image must find its own spoken caption among all captions of the split, and a caption its image. R@10 is "
        "the share of queries whose right answer is among the first ten, in percent; higher is better. Chance is what "
        "a random order earns. R@10 can rise above chance only because the model has learned what spoken words look "
        "like. It depends on the number of pairs: compare it only with results on as many."
    ),
    "ABX error": (
        "Of two spoken items that differ in one phone, is a third nearer to the one it matches? The error in percent; "
        "lower is better, 50 is chance. Within: all by one speaker. Across: the third by another. The rows of the "
        "log-mel features say what is possible without learning anything. A quantizer gives up detail, and units that "
        "have become words no longer tell phones apart: an error above that of the raw features is a finding, not a "
        "fault. Items are triphones unless a column names others. The interval below an error says how far it would "
        "move with other speakers and other neighbouring sounds; of few speakers it is too narrow."
    ),
    "Bitrate": (
        "Bits a second that it takes to tell which code comes when, from the entropy of what occurs; lower is more "
        "compact. Plain counts every frame. The others count runs of equal codes: run length with their durations, "
        "factored with durations apart, segment without them. Units a second are such runs a second: English has "
        "about 12 phones and 3 words in one. Read it together with the ABX error: either alone is easily made good."
    ),
    "Words": (
        "For each word, the one code that detects it best: its F1 from the share of the code's frames at the word "
        "(precision) and the share of the word's tokens that have the code (recall). Detected are the words whose F1 "
        "reaches the threshold. Expected is their mean number over many draws of as many utterances: a word just above "
        "or below the threshold counts in part, so that one utterance more or less changes little. The interval below "
        "a number says how far it would move with other utterances. Scored on the split on which the codes were chosen it is a little optimistic, held out "
        "it is not; chance is what the codes of another utterance reach. That codes go with words does not by itself "
        "show that images taught them: with few words and few voices, clusters of plain acoustic features do it as "
        "well."
    ),
    "Units": (
        "How the codes are used and what they go with, frame by frame. Perplexity is the number of codes that, used "
        "equally often, would be as hard to guess; the top share is that of the most frequent code. Purity is the "
        "share of frames with their code's most frequent label; homogeneity says how far codes tell labels, "
        "completeness how far labels tell codes, V-measure and NMI are means of both. Boundaries of units are matched "
        "with those of words, phones and syllables; the R-value does not grow by placing more of them. Tokens are units "
        "that begin and end where a word, phone or syllable does. Area scores ask how well they lie upon each other: "
        "coverage is the share of words with the middle of a unit, IoU how much of both is shared, and the A-score their "
        "harmonic mean."
    ),
}

_SHARE, _COUNT = "share", "count"

_RETRIEVAL = {
    (condition, score): (label.format(direction), style, score.endswith("_k") and condition == "mean")
    for condition, direction in (
        ("mean", ""),
        ("image_to_speech", " image → caption"),
        ("speech_to_image", " caption → image"),
    )
    for score, label, style in (
        ("recall_at_k", "R@{{k}}{} (%)", _SHARE),
        ("chance_recall_at_k", "R@{{k}}{} by chance (%)", _SHARE),
        ("median_rank", "median rank{}", "plain"),
    )
}

_WORDS = {
    "words": ("words", _COUNT, False),
    "words_above_f1": ("detected", _COUNT, True),
    "expected_words_above_f1": ("detected, expected", "tenth", True),
    "mean_f1": ("mean F1 (%)", _SHARE, False),
    "words_above_precision": ("words above precision", _COUNT, False),
    "chance_words": ("chance words", _COUNT, False),
    "chance_words_above_f1": ("detected by chance", _COUNT, False),
    "chance_mean_f1": ("chance mean F1 (%)", _SHARE, False),
    "n": ("utterances", _COUNT, False),
}

_AGREEMENT_SHARES = (
    *("purity", "homogeneity", "completeness", "v_measure", "nmi"),
    *(f"boundaries_{name}" for name in ("precision", "recall", "f1", "r_value")),
    *(f"tokens_{name}" for name in ("precision", "recall", "f1")),
    *(f"area_{name}" for name in ("coverage", "iou", "a_score")),
)
"""Scores of units that compare them with words, phones or syllables."""

ABX_ITEMS = {
    "phoneme": "phonemes in context",
    "phoneme_any": "phonemes in any context",
    "word": "words",
    "syllable": "syllables",
}
"""Names of the items of ABX other than triphones."""

_COLUMNS = {
    **{("retrieval", *key): (label, style, "Retrieval", first) for key, (label, style, first) in _RETRIEVAL.items()},
    **{
        (f"retrieval_{name}", *key): (f"{name.upper()}, {label}", style, "Retrieval", False)
        for name in ("sisa", "misa", "sima")
        for key, (label, style, _) in _RETRIEVAL.items()
    },
    ("retrieval", "image_to_speech", "n"): ("image queries", _COUNT, "Retrieval", False),
    ("retrieval", "speech_to_image", "n"): ("caption queries", _COUNT, "Retrieval", False),
    ("abx", "within", "n"): ("{split}, items", _COUNT, "ABX error", False),
    ("abx", "within", "error"): ("{split}, within (%)", "tenth", "ABX error", True),
    ("abx", "across", "error"): ("{split}, across (%)", "tenth", "ABX error", True),
    **{
        ("abx", f"{items}_{speakers}", score): (f"{{split}}, {name}, {label}", style, "ABX error", False)
        for items, name in ABX_ITEMS.items()
        for speakers, score, label, style in (
            ("within", "n", "items", _COUNT),
            *((speakers, "error", f"{speakers} (%)", "tenth") for speakers in ("within", "across")),
        )
    },
    ("bitrate", "plain", "bits_per_second"): ("{split} (bit/s)", _COUNT, "Bitrate", True),
    ("bitrate", "run_length", "bits_per_second"): ("{split}, run length (bit/s)", _COUNT, "Bitrate", False),
    ("bitrate", "factored", "bits_per_second"): ("{split}, factored (bit/s)", _COUNT, "Bitrate", False),
    ("bitrate", "segment", "bits_per_second"): ("{split}, segment (bit/s)", _COUNT, "Bitrate", False),
    ("bitrate", "segment", "units_per_second"): ("{split}, units a second", "tenth", "Bitrate", True),
    ("units", "", "perplexity"): ("perplexity", _COUNT, "Units", True),
    ("units", "", "codes_used"): ("codes used", _COUNT, "Units", False),
    ("units", "", "top_share"): ("top share (%)", _SHARE, "Units", False),
    ("layer", "", "frame_period"): ("frame (s)", "plain", "", True),
    **{
        ("words", condition, score): (f"{prefix}{label}", style, "Words", first)
        for condition, prefix in (("published", ""), ("held_out", "held out, "))
        for score, (label, style, first) in _WORDS.items()
    },
    ("words", "published", "chance_words_above_f1"): ("detected by chance", _COUNT, "Words", True),
    **{
        ("units", tier, score): (f"{tier}, {score}{unit}", style, "Units", False)
        for tier in ("words", "phones", "syllables")
        for names, unit, style in (
            (_AGREEMENT_SHARES, " (%)", _SHARE),
            (("boundaries_found", "boundaries_reference", "boundaries_over_segmentation"), "", "plain"),
            (("tokens_found", "tokens_reference"), "", "plain"),
        )
        for score in names
    },
}
"""By task, condition and score: label, style, group, and whether it is a headline."""

_GROUPS = {task: group for (task, _, _), (_, _, group, _) in _COLUMNS.items() if group}

_SHARES = {"f1", "precision", "recall", "share", "purity", "homogeneity", "completeness", "nmi"}
"""Last words of the names of scores from 0 to 1."""

_HEADLINE_K = "10"
"""The k of R@k in the first table."""


def column(task: str, split: str, condition: str, score: str) -> Column:
    """The column of a score of scores.csv.

    A score without an entry has its own name, among the others of its task, and in percent if it is named as a share is.
    """
    name, at, k = score.rpartition("_at_")
    entry = _COLUMNS.get((task, condition, f"{name}_at_k" if at else score))
    if entry is None:
        is_share = name.endswith("recall") if at else score.rpartition("_")[2] in _SHARES and "words_above" not in score
        where = [] if condition == PUBLISHED else [condition]
        text = ", ".join(filter(None, [*([] if task in _GROUPS else [task]), *where, score]))
        label = _sentence(f"{text}{' (%)' if is_share else ''}")
        return Column(label, _SHARE if is_share else "plain", _GROUPS.get(task, FURTHER))
    label, style, group, headline = entry
    return Column(
        _sentence(label.format(k=k, split=split_name(split))), style, group, headline and (not at or k == _HEADLINE_K)
    )


def in_percent(task: str, split: str, condition: str, score: str) -> float:
    """What a score is multiplied with to be read: 100 for a share."""
    return 100.0 if column(task, split, condition, score).style == _SHARE else 1.0


def has_n(task: str, condition: str) -> bool:
    """Whether the number of items behind a score has a column too, as the score `n`."""
    return (task, condition, "n") in _COLUMNS


_SPELLINGS = {
    "f1": "F1",
    "nmi": "NMI",
    "v measure": "V-measure",
    "r value": "R-value",
    "iou": "IoU",
    "a score": "A-score",
}


def _sentence(text: str) -> str:
    """A name with spaces and capitals."""
    text = re.sub(rf"\b({'|'.join(_SPELLINGS)})\b", lambda match: _SPELLINGS[match[0]], text.replace("_", " "))
    return text[:1].upper() + text[1:]


_HISTORY = {
    f"{condition}_{score[:-1]}{k}": Column(label.format(k=k), style)
    for (condition, score), (label, style, _) in _RETRIEVAL.items()
    if score.endswith("_k")
    for k in (1, 5, 10)
}
_HISTORY |= {f"quant{n}_top_share": Column(f"Quant{n} top share (%)", _SHARE) for n in range(1, N_POSITIONS + 1)}
_HISTORY |= {"data_wait": Column("Data wait (%)", _SHARE)}


def history_column(name: str) -> Column:
    """The label and style of a column of history.csv."""
    return _HISTORY.get(name, Column(_sentence(name)))


_WORD_SHARES = {
    f"{prefix}{score}"
    for prefix in ("", "held_out_", "chance_", "highest_")
    for score in ("f1", "f1_low", "f1_high", "precision", "recall")
}


def word_column(name: str) -> Column:
    """The label and style of a column of words.csv."""
    return Column(_sentence(f"{name} (%)"), "share") if name in _WORD_SHARES else Column(_sentence(name))


def is_number(value: Any) -> bool:
    """Whether a value, perhaps as text, is a number other than NaN."""
    try:
        return not isinstance(value, bool) and not math.isnan(float(value))
    except (TypeError, ValueError):
        return False


def rounded(value: Any, style: str) -> str:
    """A number for reading: `share` in percent with one decimal, `tenth`, `count` whole, `plain` with three digits.

    What is rounded to 0 has no sign.
    """
    number = float(value)
    if not math.isfinite(number):
        return str(value)
    match style:
        case "share":
            return f"{round(100 * number, 1) + 0.0:.1f}"
        case "tenth":
            return f"{round(number, 1) + 0.0:.1f}"
        case "count":
            return _grouped(number)
    if number == round(number):
        return _grouped(number)
    return _grouped(number) if abs(number) >= 1000 else f"{number:.3g}"


def exact(value: Any) -> str:
    """A number as the machine has it."""
    return value if isinstance(value, str) else repr(value.item() if hasattr(value, "item") else value)


def _grouped(number: float) -> str:
    """A whole number, thousands set apart by narrow spaces."""
    return f"{round(number) + 0.0:,.0f}".replace(",", "\u202f")
