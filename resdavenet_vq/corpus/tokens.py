"""ABX items from alignments: the one convention for the demo corpus and for all others.

An item file has a header and a line for each token: the utterance, the token's onset and offset in seconds, its label,
the phones before and after it, and the speaker. There are three kinds:

- a triphone, a phone between two others without a pause, from the first one's start to the last one's end;
- a phoneme, the same phone from its own start to its own end;
- a whole word or syllable from its start to its end. The columns of the context hold `-`, for hardly two of a corpus
  are between the same neighbours.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator
from typing import NamedTuple

from resdavenet_vq.corpus.manifest import Interval, is_silence

HEADER = "#file onset offset #phone prev-phone next-phone speaker"

NO_CONTEXT = "-"

SHORTEST = 0.07  # shortest duration of an item in seconds: a slow layer has no frame for shorter tokens


class Token(NamedTuple):
    """An item without its utterance and speaker; times in seconds."""

    start: float
    end: float
    label: str
    previous: str
    following: str


def triphones(phones: Iterable[Interval]) -> Iterator[Token]:
    """The triphones of an utterance, in the order of its phones."""
    for before, phone, after in _in_context(phones):
        yield Token(before.start, after.end, phone.label, before.label, after.label)


def phonemes(phones: Iterable[Interval]) -> Iterator[Token]:
    """The phones that are the middle of a triphone, with their own times."""
    for before, phone, after in _in_context(phones):
        yield Token(phone.start, phone.end, phone.label, before.label, after.label)


def _in_context(phones: Iterable[Interval]) -> Iterator[tuple[Interval, Interval, Interval]]:
    tier = list(phones)
    for three in zip(tier, tier[1:], tier[2:], strict=False):
        if not any(is_silence(interval.label) for interval in three):
            yield three


def whole(tier: Iterable[Interval]) -> Iterator[Token]:
    """The words or syllables of an utterance, without pauses and noises."""
    for start, end, label in tier:
        if not is_silence(label):
            yield Token(start, end, label, NO_CONTEXT, NO_CONTEXT)


def lasts(token: Token, shortest: float = SHORTEST) -> bool:
    """Whether a token is at least `shortest` seconds long, and longer than nothing, as exactly as times are written."""
    duration = round(token.end - token.start, 4)
    return duration >= shortest and duration > 0


def line(utterance: str, token: Token, speaker: str) -> str:
    """A token's line of an item file."""
    return f"{utterance} {token.start:.4f} {token.end:.4f} {token.label} {token.previous} {token.following} {speaker}"
