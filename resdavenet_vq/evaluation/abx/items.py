"""ABX items, the tokens of phones in their contexts: reading item files, and making them.

Items are made from the alignments of a prepared split, for a corpus that has no item file. Of phones, the items are
triphones, by the convention of `corpus.triphones`: a phone between two others without a pause, in their context. Of
words, an item is a whole word, from its start to its end. Words have no context, for hardly two of a corpus are between
the same neighbours: the columns of the context hold `-`, so that any two words are compared, and only the most frequent
words are taken, since pairs grow with the square of their number.

Nothing is lost without a count: utterances without alignment or speaker, tokens at a pause, short tokens, rare words.
Memory holds the counts of words and one utterance at a time.
"""

from __future__ import annotations

import re
from collections import Counter
from collections.abc import Iterator
from decimal import Decimal, InvalidOperation
from pathlib import Path
from typing import NamedTuple

from resdavenet_vq.config import Items
from resdavenet_vq.corpus import triphones
from resdavenet_vq.corpus.manifest import Interval, Utterance, is_silence
from resdavenet_vq.corpus.rows import MAX_LINES, read_lines
from resdavenet_vq.corpus.triphones import Token
from resdavenet_vq.data.store import Store
from resdavenet_vq.errors import InputError, listed
from resdavenet_vq.files import atomic_write, together, write_digest, write_json
from resdavenet_vq.progress import track

HEADER = tuple(triphones.HEADER.split())

NO_CONTEXT = "-"

MOST_FAULTS = 1000
"""Bad rows after which an item file is read no further: it is none."""

WITH_ITEMS = "utterances with items"
NO_SPEAKER = "utterances without a speaker"
AT_A_PAUSE = "phones at a pause, a noise or an end"
RARE = "words that are not among the most frequent"
UNWRITABLE = "labels with a space"

_STRESSED = re.compile(r"([A-Z]{2})[0-2]")


class Item(NamedTuple):
    """One token: the utterance's id, seconds, the phone, its neighbours and the speaker."""

    file: str
    onset: Decimal
    offset: Decimal
    phone: str
    previous: str
    following: str
    speaker: str


def read_items(path: Path) -> list[Item]:
    """The tokens of an item file. Raises InputError that lists the bad rows."""
    lines = read_lines(path, MAX_LINES)
    if tuple(next(lines, (0, ""))[1].split()) != HEADER:
        raise InputError(f"{path}: the first line must be '{' '.join(HEADER)}'")
    items, faults = [], []
    for number, line in lines:
        try:
            items.append(_item(line.split()))
        except InputError as e:
            faults.append(f"line {number}: {e}")
            if len(faults) == MOST_FAULTS:
                break
    if faults:
        more = " or more" if len(faults) == MOST_FAULTS else ""
        raise InputError(f"{path}: {len(faults)}{more} bad rows; mend or remove them\n{listed(faults)}")
    if not items:
        raise InputError(f"{path}: holds no item")
    return items


def _item(fields: list[str]) -> Item:
    if len(fields) != len(HEADER):
        raise InputError(f"{len(fields)} fields, not {len(HEADER)}")
    try:
        onset, offset = Decimal(fields[1]), Decimal(fields[2])
    except InvalidOperation:
        raise InputError(f"onset {fields[1]!r} and offset {fields[2]!r} must be numbers") from None
    if not (onset.is_finite() and offset.is_finite() and 0 <= onset < offset < 1_000_000):
        raise InputError(f"0 <= onset < offset must hold, not {fields[1]} and {fields[2]}")
    return Item(fields[0], onset, offset, *fields[3:])


def make(store: Path, settings: Items, out: Path, report: Path) -> None:
    """Writes the items of a prepared split, their digest and a report of what was counted (JSON), all or none.

    Raises InputError if no utterance has what items are made of, and for ids that an item file cannot hold.
    """
    data = Store(store)
    common = _most_frequent(data, settings) if settings.of == "words" else None
    counts = Counter({"utterances": len(data.ids), WITH_ITEMS: 0, _without(settings): 0, NO_SPEAKER: 0, "items": 0})
    left_out = Counter({AT_A_PAUSE if common is None else RARE: 0, _too_short(settings): 0, UNWRITABLE: 0})
    with together():
        with atomic_write(out) as tmp, tmp.open("w", encoding="utf-8") as f:
            print(triphones.HEADER, file=f)
            for i in track(range(len(data.ids)), f"items of {store.stem}", unit="utterances"):
                lines = list(_lines(data.utterance(i), settings, common, counts, left_out))
                counts[WITH_ITEMS] += bool(lines)
                counts["items"] += len(lines)
                f.writelines(f"{text}\n" for text in lines)
        if not counts["items"]:
            raise InputError(f"{store}: {_why_none(settings, counts)}")
        write_json(report, settings.model_dump(mode="json") | dict(counts) | {"left out": dict(left_out)})
        write_digest(out)


def _lines(
    utterance: Utterance, settings: Items, common: frozenset[str] | None, counts: Counter[str], left_out: Counter[str]
) -> Iterator[str]:
    tier = utterance.phones if settings.of == "phones" else utterance.words
    if not tier:
        counts[_without(settings)] += 1
        return
    if utterance.speaker is None:
        counts[NO_SPEAKER] += 1
        return
    if bad := next((name for name in (utterance.id, utterance.speaker) if len(name.split()) != 1), None):
        raise InputError(
            f"utterance {utterance.id!r}: {bad!r} has a space or is empty, and an item file separates by spaces; "
            "rename it"
        )
    for token in _phones(tier, settings, left_out) if common is None else _words(tier, common, left_out):
        if not triphones.lasts(token, settings.shortest):
            left_out[_too_short(settings)] += 1
        elif any(len(label.split()) != 1 for label in token[2:]):
            left_out[UNWRITABLE] += 1
        else:
            yield triphones.line(utterance.id, token, utterance.speaker)


def _phones(tier: tuple[Interval, ...], settings: Items, left_out: Counter[str]) -> list[Token]:
    phones = [phone._replace(label=_without_stress(phone.label)) for phone in tier] if settings.ignore_stress else tier
    tokens = list(triphones.triphones(phones))
    left_out[AT_A_PAUSE] += sum(not is_silence(phone.label) for phone in phones) - len(tokens)
    return tokens


def _without_stress(phone: str) -> str:
    stressed = _STRESSED.fullmatch(phone)
    return stressed[1] if stressed else phone


def _words(tier: tuple[Interval, ...], common: frozenset[str], left_out: Counter[str]) -> list[Token]:
    left_out[RARE] += sum(not (word.label in common or is_silence(word.label)) for word in tier)
    return [Token(*word, NO_CONTEXT, NO_CONTEXT) for word in tier if word.label in common]


def _most_frequent(data: Store, settings: Items) -> frozenset[str]:
    """The words that become items, equally frequent ones by the alphabet."""
    words = (word.label for i in range(len(data.ids)) for word in data.utterance(i).words or ())
    counts = Counter(word for word in words if not is_silence(word))
    ranked = sorted(counts, key=lambda word: (-counts[word], word))
    return frozenset(ranked[: settings.most_frequent_words])


def _without(settings: Items) -> str:
    return f"utterances without aligned {settings.of}"


def _too_short(settings: Items) -> str:
    return f"shorter than {settings.shortest:g} s"


def _why_none(settings: Items, counts: Counter[str]) -> str:
    total = counts["utterances"]
    if counts[_without(settings)] == total:
        other = "words" if settings.of == "phones" else "phones"
        return (
            f"none of {total} utterances has aligned {settings.of}, which ABX items are made of; name an item file in "
            f"corpus.items, TextGrids with a tier '{settings.of}' in corpus.alignments, or set abx.items.of: {other}"
        )
    if counts[NO_SPEAKER]:
        return (
            "no aligned utterance names its speaker, and ABX compares within and across speakers; "
            "add `speaker` to the corpus's rows"
        )
    return (
        f"no aligned token of {total} utterances lasts {settings.shortest:g} s without a pause; "
        "lower abx.items.shortest"
    )
