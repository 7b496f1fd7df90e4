"""ABX items from aligned phones: the one convention for the demo corpus and for all others.

An item file has a header and a line for each token: the utterance, the token's onset and offset in seconds, its
phone, the phones before and after it, and the speaker. A triphone is a phone between two others without a pause; its
time goes from the first one's start to the last one's end.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator
from typing import NamedTuple

from resdavenet_vq.corpus.manifest import Interval, is_silence

HEADER = "#file onset offset #phone prev-phone next-phone speaker"

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
    tier = list(phones)
    for before, phone, after in zip(tier, tier[1:], tier[2:], strict=False):
        if not any(is_silence(interval.label) for interval in (before, phone, after)):
            yield Token(before.start, after.end, phone.label, before.label, after.label)


def lasts(token: Token, shortest: float = SHORTEST) -> bool:
    """Whether a token is at least `shortest` seconds long, as exactly as times are written."""
    return round(token.end - token.start, 4) >= shortest


def line(utterance: str, token: Token, speaker: str) -> str:
    """A token's line of an item file."""
    return f"{utterance} {token.start:.4f} {token.end:.4f} {token.label} {token.previous} {token.following} {speaker}"
