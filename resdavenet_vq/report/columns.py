"""What the numbers mean: their names on the page, how they are rounded, and an explanation in plain words.

Names of columns are matched whole against patterns; a column that no pattern knows is shown under its own name.
"""

from __future__ import annotations

import math
import re
from typing import Any, NamedTuple


class Meaning(NamedTuple):
    """A column as it is shown."""

    column: str
    label: str
    style: str = "plain"
    """How `rounded` rounds it."""
    group: str = "Further numbers"
    """Columns that are explained and shown together."""
    headline: bool = False
    """Whether it stands in the first table."""

    @property
    def of_whole_model(self) -> bool:
        """Whether every layer of a model bears the same number."""
        return self.group == "Retrieval"

    @property
    def text(self) -> str:
        """What the numbers of its group mean."""
        return _GROUPS.get(self.group, "")


_GROUPS = {
    "Retrieval": (
        "An image must find its own spoken caption among all captions of the split, and a caption its image. R@10 is the share of queries "
        "whose right answer is among the first ten, in percent; higher is better. Chance is what a random order earns. R@10 can rise above chance only because "
        "the model has learned what spoken words look like. It depends on the number of pairs: compare it only with results on as many."
    ),
    "ABX error": (
        "Of two spoken items that differ in one phone, is a third nearer to the one it matches? The error in percent; lower is better, 50 is chance. "
        "Within: all by one speaker. Across: the third by another. The row of the raw log-mel features says what is possible without learning anything. "
        "A quantizer gives up detail, and units that have become words no longer tell phones apart: an error above that of the raw features is a finding, "
        "not a fault."
    ),
    "Bitrate": (
        "Bits a second that it takes to tell which code comes when, from the entropy of what occurs; lower is more compact. Plain counts every frame. "
        "The others count runs of equal codes: run length with their durations, factored with durations apart, segment without them. "
        "Read it together with the ABX error: either alone is easily made good."
    ),
    "Words": (
        "For each word, the one code that detects it best: its F1 from the share of the code's frames at the word (precision) and the share of the word's tokens "
        "that have the code (recall). Detected are the words whose F1 reaches the threshold. Scored on the split on which the codes were chosen it is a little optimistic, held out it is not; chance is what the codes "
        "of another utterance reach. That codes go with words does not by itself show that images taught them: with few words and few voices, clusters of plain "
        "acoustic features do it as well."
    ),
    "Units": (
        "How the codes are used and what they go with, frame by frame. Perplexity is the number of codes that, used equally often, would be as hard to guess; the top "
        "share is that of the most frequent code. Purity is the share of frames with their code's most frequent label; homogeneity says how far codes tell labels, "
        "completeness how far labels tell codes, V-measure and NMI are means of both. Boundaries of units are matched with those of words and phones; the R-value "
        "does not grow by placing more of them."
    ),
}

_DIRECTIONS = {"image_to_speech": "image → caption", "speech_to_image": "caption → image", "mean": "mean"}
_WAY = "(?P<way>image_to_speech|speech_to_image|mean)"

_SHARES = "f1|precision|recall|r_value|purity|homogeneity|completeness|v_measure|nmi|top_share|data_wait"

# pattern of the column, label, style, group, headline
_PATTERNS: tuple[tuple[str, str, str, str, bool], ...] = (
    (r"mean_recall_at_(?P<k>\d+)", "R@{k} (%)", "share", "Retrieval", True),
    (r"mean_chance_recall_at_(?P<k>\d+)", "by chance (%)", "share", "Retrieval", True),
    (rf"{_WAY}_recall_at_(?P<k>\d+)", "R@{k} {way} (%)", "share", "Retrieval", False),
    (rf"{_WAY}_chance_recall_at_(?P<k>\d+)", "R@{k} {way} by chance (%)", "share", "Retrieval", False),
    (rf"{_WAY}_median_rank", "median rank {way}", "plain", "Retrieval", False),
    (r"retrieval_(?P<rest>.+)", "{rest}", "plain", "Retrieval", False),
    (r"abx_(?P<split>.+)_(?P<how>within|across)", "{split}, {how} (%)", "tenth", "ABX error", True),
    (r"abx_(?P<split>.+)_items", "{split}, items", "count", "ABX error", False),
    (r"abx_(?P<rest>.+)", "{rest}", "plain", "ABX error", False),
    (
        r"bitrate_(?P<split>.+)_(?P<kind>run_length|factored|segment)",
        "{split}, {kind} (bit/s)",
        "count",
        "Bitrate",
        False,
    ),
    (r"bitrate_(?P<split>.+)", "{split} (bit/s)", "count", "Bitrate", True),
    (r"words_published_words_above_f1", "detected", "count", "Words", True),
    (r"words_published_chance_words_above_f1", "detected by chance", "count", "Words", True),
    (r"words_held_out_words_above_f1", "held out, detected", "count", "Words", True),
    (r"words_published_(?P<rest>.*mean_f1)", "{rest} (%)", "share", "Words", False),
    (r"words_published_(?P<rest>.+)", "{rest}", "count", "Words", False),
    (r"words_held_out_(?P<rest>.*mean_f1)", "held out, {rest} (%)", "share", "Words", False),
    (r"words_held_out_(?P<rest>chance_.+|words.*)", "held out, {rest}", "count", "Words", False),
    (r"words_units_codes_used", "codes used", "count", "Units", False),
    (r"words_units_perplexity", "perplexity", "count", "Units", True),
    (rf"words_units_(?P<rest>{_SHARES})", "{rest} (%)", "share", "Units", False),
    (
        rf"words_units_(?P<tier>words|phones)_(?P<rest>(?:boundaries_)?(?:{_SHARES}))",
        "{tier}, {rest} (%)",
        "share",
        "Units",
        False,
    ),
    (r"words_units_(?P<tier>words|phones)_(?P<rest>.+)", "{tier}, {rest}", "plain", "Units", False),
    (r"words_(?:conditions_)?(?P<rest>.+)", "{rest}", "plain", "Words", False),
    (rf"(?P<rest>(?:\w+_)?(?:{_SHARES}))", "{rest} (%)", "share", "", False),
    (r"lineage|seed|layer", "", "text", "", False),
    (r"frame_period", "frame (s)", "plain", "", True),
)


def of(column: str) -> Meaning:
    """The meaning of a column of a results table; one that no pattern knows bears its own name."""
    for pattern, label, style, group, headline in _PATTERNS:
        if match := re.fullmatch(pattern, column):
            parts = {key: _DIRECTIONS.get(value, value.replace("_", " ")) for key, value in match.groupdict().items()}
            return Meaning(column, _sentence(label.format(**parts)), style, group, headline)
    return Meaning(column, _sentence(column.replace("_", " ")))


def _sentence(text: str) -> str:
    """With capitals where they belong."""
    text = re.sub(
        r"\b(?:f1|nmi|r value|v measure)\b",
        lambda found: {"r value": "R-value", "v measure": "V-measure"}.get(found[0], found[0].upper()),
        text,
    )
    return text[:1].upper() + text[1:]


def is_number(value: Any) -> bool:
    """Whether a value, perhaps as text, is a number other than NaN."""
    try:
        return not isinstance(value, bool) and not math.isnan(float(value))
    except (TypeError, ValueError):
        return False


def rounded(value: Any, style: str) -> str:
    """A number as it is read: `share` of 1 in percent with one decimal, `tenth`, `count` whole, `plain` with three digits."""
    number = float(value)
    if not math.isfinite(number):
        return str(value)
    match style:
        case "share":
            return f"{100 * number:.1f}"
        case "tenth":
            return f"{number:.1f}"
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
    return f"{number:,.0f}".replace(",", "\u202f")
