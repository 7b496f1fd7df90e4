"""An ABX item file from the alignments of a prepared split, for a corpus that has none.

Of phones, the items are triphones, by the convention of `corpus.triphones`: a phone between two others without a pause, in
their context. Of words, an item is a whole word, from its start to its end. Words have no context, for hardly two of a corpus stand
between the same neighbours: the columns of the context hold `-`, so that any two words are compared, and
only the most frequent words are taken, since pairs grow with the square of their number.

Nothing is lost without a count: utterances without alignment or speaker, tokens at a pause, short tokens, rare words. Memory holds
the counts of words and one utterance at a time.
"""

from __future__ import annotations

import re
from collections import Counter
from collections.abc import Iterator
from pathlib import Path

from resdavenet_vq import files
from resdavenet_vq.config import Items
from resdavenet_vq.corpus.manifest import Interval, Utterance, is_silence
from resdavenet_vq.corpus.triphones import HEADER, Token, lasts, line, triphones
from resdavenet_vq.data.store import Store
from resdavenet_vq.errors import InputError
from resdavenet_vq.progress import track

NO_CONTEXT = "-"

NO_SPEAKER = "utterances without a speaker"
AT_A_PAUSE = "phones at a pause, a noise or an end"
RARE = "words that are not among the most frequent"
UNWRITABLE = "labels with a space"

_STRESSED = re.compile(r"([A-Z]{2})[0-2]")


def make(store: Path, settings: Items, out: Path, report: Path) -> None:
    """Writes the items of a prepared split and, before them, a report of what was counted (JSON).

    Raises InputError if no utterance has what items are made of, and for ids that an item file cannot hold.
    """
    data = Store(store)
    utterances = (data.utterance(i) for i in track(range(len(data.ids)), f"items of {store.stem}", unit="utterances"))
    common = _most_frequent(data, settings) if settings.of == "words" else None
    counts = Counter(
        {"utterances": len(data.ids), "utterances with items": 0, _without(settings): 0, NO_SPEAKER: 0, "items": 0}
    )
    left_out = Counter({AT_A_PAUSE if common is None else RARE: 0, _too_short(settings): 0, UNWRITABLE: 0})
    with files.atomic_write(out) as tmp:
        with tmp.open("w", encoding="utf-8") as f:
            print(HEADER, file=f)
            for utterance in utterances:
                lines = list(_lines(utterance, settings, common, counts, left_out))
                counts["utterances with items"] += bool(lines)
                counts["items"] += len(lines)
                f.writelines(f"{text}\n" for text in lines)
        if not counts["items"]:
            raise InputError(f"{store}: {_why_none(settings, counts)}")
        files.write_json(report, settings.model_dump(mode="json") | dict(counts) | {"left out": dict(left_out)})


def _lines(
    utterance: Utterance, settings: Items, common: frozenset[str] | None, counts: Counter[str], left_out: Counter[str]
) -> Iterator[str]:
    """The items of one utterance; what is not one is counted."""
    tier = utterance.phones if settings.of == "phones" else utterance.words
    if not tier:
        counts[_without(settings)] += 1
        return
    if utterance.speaker is None:
        counts[NO_SPEAKER] += 1
        return
    if bad := next((name for name in (utterance.id, utterance.speaker) if len(name.split()) != 1), None):
        raise InputError(
            f"utterance {utterance.id!r}: {bad!r} has a space or is empty, and an item file separates by spaces; rename it"
        )
    tokens = list(_phones(tier, settings, left_out) if common is None else _words(tier, common, left_out))
    for token in tokens:
        if not lasts(token, settings.shortest):
            left_out[_too_short(settings)] += 1
        elif any(len(label.split()) != 1 for label in token[2:]):
            left_out[UNWRITABLE] += 1
        else:
            yield line(utterance.id, token, utterance.speaker)


def _phones(tier: tuple[Interval, ...], settings: Items, left_out: Counter[str]) -> Iterator[Token]:
    """The triphones of aligned phones, pauses in whatever spelling."""
    labelled = [phone._replace(label=_label(phone.label, settings)) for phone in tier]
    found = list(triphones(labelled))
    left_out[AT_A_PAUSE] += sum(phone.label not in ("SIL", "SPN") for phone in labelled) - len(found)
    yield from found


def _label(label: str, settings: Items) -> str:
    """A phone as items name it."""
    if is_silence(label):
        return "SIL"
    stressed = _STRESSED.fullmatch(label) if settings.ignore_stress else None
    return stressed[1] if stressed else label


def _words(tier: tuple[Interval, ...], common: frozenset[str], left_out: Counter[str]) -> Iterator[Token]:
    """The aligned words that are common."""
    for start, end, label in tier:
        if label in common:
            yield Token(start, end, label, NO_CONTEXT, NO_CONTEXT)
        elif not is_silence(label):
            left_out[RARE] += 1


def _most_frequent(data: Store, settings: Items) -> frozenset[str]:
    """The words that become items, equally frequent ones by the alphabet."""
    counts = Counter(
        word.label for i in range(len(data.ids)) for word in data.utterance(i).words or () if not is_silence(word.label)
    )
    ranked = sorted(counts, key=lambda word: (-counts[word], word))
    return frozenset(ranked[: settings.most_frequent_words])


def _without(settings: Items) -> str:
    return f"utterances without aligned {settings.of}"


def _too_short(settings: Items) -> str:
    return f"shorter than {settings.shortest:g} s"




def _why_none(settings: Items, counts: Counter[str]) -> str:
    """What is missing where no item could be made, and what to do."""
    total = counts["utterances"]
    if counts[_without(settings)] == total:
        other = "words" if settings.of == "phones" else "phones"
        return (
            f"none of {total} utterances has aligned {settings.of}, which ABX items are made of; name an item file in corpus.items, "
            f"TextGrids with a tier '{settings.of}' in corpus.alignments, or set abx.items.of: {other}"
        )
    if counts[NO_SPEAKER]:
        return "no aligned utterance names its speaker, and ABX compares within and across speakers; add `speaker` to the corpus's rows"
    return f"no aligned token of {total} utterances lasts {settings.shortest:g} s without a pause; lower abx.items.shortest"
