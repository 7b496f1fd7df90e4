"""ABX items, the tokens that are compared: reading item files, and making them.

Items are made from the alignments of a prepared split, for a corpus that has no item file, by the convention of
`corpus.tokens`: triphones and phonemes out of aligned phones, whole words and syllables out of their own tiers. Of words
and syllables only the most frequent ones are taken, since pairs grow with the square of their number.

Nothing is lost without a count: utterances without alignment or speaker, phones at a pause, short tokens, rare words.
Memory holds the counts of words and one utterance at a time.
"""

from __future__ import annotations

import re
from collections import Counter
from collections.abc import Iterator, Mapping
from decimal import Decimal, InvalidOperation
from pathlib import Path
from typing import Literal

from resdavenet_vq.config import Items
from resdavenet_vq.corpus import tokens
from resdavenet_vq.corpus.manifest import Interval, Utterance, is_silence
from resdavenet_vq.corpus.rows import MAX_LINES, read_lines
from resdavenet_vq.corpus.tokens import Token
from resdavenet_vq.data.store import Store
from resdavenet_vq.errors import InputError, listed
from resdavenet_vq.evaluation.abx.columns import Item, ItemTable
from resdavenet_vq.evaluation.availability import NO_PHONES, NO_SPEAKERS, NO_SYLLABLES, NO_WORDS
from resdavenet_vq.files import atomic_write, read_json, together, write_digest, write_json
from resdavenet_vq.progress import track

HEADER = tuple(tokens.HEADER.split())

MOST_FAULTS = 1000
"""Bad rows after which an item file is read no further: it is none."""

type Of = Literal["triphone", "phoneme", "word", "syllable"]

WITH_ITEMS = "utterances with items"
NO_SPEAKER = "utterances without a speaker"
AT_A_PAUSE = "phones at a pause, a noise or an end"
RARE = "not among the most frequent"
UNWRITABLE = "labels with a space"

TIERS: dict[Of, str] = {"triphone": "phones", "phoneme": "phones", "word": "words", "syllable": "syllables"}
"""The aligned tier that items are made of."""

_COMMENT = re.compile(r";;|#(?=\s)")

NO_TOKENS: Mapping[str, str] = {"words": NO_WORDS, "phones": NO_PHONES, "syllables": NO_SYLLABLES}
"""Why there are no items of a tier that is not there."""

_STRESSED = re.compile(r"([A-Z]{2})[0-2]")


def read_items(path: Path) -> ItemTable:
    """The tokens of an item file, whose header names its columns; others than those of an item are not read.

    Blank lines, comments (`;;`, or `#` and a space) and the header again, as where files were put together, are no
    tokens. Raises InputError that lists the bad rows.
    """
    lines = ((number, line.split()) for number, line in read_lines(path, MAX_LINES) if not _COMMENT.match(line))
    number, header = next(lines, (1, []))
    columns = _columns(path, number, header)
    faults: list[str] = []

    def rows() -> Iterator[Item]:
        for number, fields in lines:
            if fields == header:
                continue
            try:
                yield _item(fields, len(header), columns)
            except InputError as e:
                faults.append(f"{path.name}:{number}: {e}")
                if len(faults) == MOST_FAULTS:
                    return

    items = ItemTable.of(rows())
    if faults:
        more = " or more" if len(faults) == MOST_FAULTS else ""
        raise InputError(f"{path}: {len(faults)}{more} bad rows; mend or remove them\n{listed(faults)}")
    if not items:
        raise InputError(f"{path}: holds no item")
    return items


def _columns(path: Path, number: int, header: list[str]) -> list[int]:
    """Where each column of an item is in a header: in any order and case, with or without `#`, `_` as `-`."""
    names = [name.removeprefix("#").lower().replace("_", "-") for name in header]
    wanted = [name.removeprefix("#") for name in HEADER]
    if faults := [f"{name!r} {names.count(name)} times" for name in wanted if names.count(name) != 1]:
        raise InputError(
            f"{path}:{number}: the first line must name the columns '{' '.join(HEADER)}', each once, with spaces or tabs "
            f"between; it has {', '.join(faults)}"
        )
    return [names.index(name) for name in wanted]


def _item(row: list[str], n: int, columns: list[int]) -> Item:
    """An item of a row that must have n fields; `columns` are those of HEADER, in its order."""
    if len(row) != n:
        raise InputError(f"{len(row)} fields, not {n}")
    fields = [row[i] for i in columns]
    try:
        onset, offset = _seconds(fields[1]), _seconds(fields[2])
    except InvalidOperation:
        raise InputError(f"onset {fields[1]!r} and offset {fields[2]!r} must be numbers") from None
    if not (onset.is_finite() and offset.is_finite() and 0 <= onset < offset < 1_000_000):
        raise InputError(f"0 <= onset < offset must hold, not {fields[1]} and {fields[2]}")
    return Item(fields[0], onset, offset, *fields[3:])


def _seconds(text: str) -> Decimal:
    """The number as written; Python's own 1_000 and non-ASCII digits are none."""
    return Decimal(text if "_" not in text and text.isascii() else "none")


def why_none(report: Path) -> str:
    """Why the item file of a report has no items; "" if it has some. Raises InputError for what is no such report."""
    content = read_json(report)
    if not isinstance(content, dict) or not isinstance(reason := content.get("not_available", ""), str):
        raise InputError(f"{report}: is no report of make-items; make the items again")
    return reason


def make(store: Path, of: Of, settings: Items, out: Path, report: Path) -> None:
    """Writes the items of a prepared split, their digest and a report of what was counted (JSON), all or none.

    Where no utterance has the tier that items are made of, or a speaker, the item file has no items, and the report says
    why (`not_available`). Raises InputError if all tokens are too short, and for ids that an item file cannot hold.
    """
    data = Store(store)
    making = _Making(of, settings, None if TIERS[of] == "phones" else _most_frequent(data, TIERS[of], settings))
    counts, left_out = making.counts, making.left_out
    counts["utterances"] = len(data.ids)
    with together():
        with atomic_write(out) as tmp, tmp.open("w", encoding="utf-8") as f:
            print(tokens.HEADER, file=f)
            for i in track(range(len(data.ids)), f"items of {store.stem}", unit="utterances"):
                lines = list(making.lines(data.utterance(i)))
                counts[WITH_ITEMS] += bool(lines)
                counts["items"] += len(lines)
                f.writelines(f"{text}\n" for text in lines)
        content: dict[str, object] = {"of": of} | making.settings | dict(counts) | {"left out": dict(left_out)}
        if not counts["items"]:
            if not (reason := making.reason):
                raise InputError(f"{store}: {making.none_lasts}")
            content |= {"not_available": reason, "remedy": making.remedy}
        write_json(report, content)
        write_digest(out)


class _Making:
    """Items of one kind, and the counts of what became one and what did not."""

    def __init__(self, of: Of, settings: Items, common: frozenset[str] | None) -> None:
        self._of, self._tier, self._common = of, TIERS[of], common
        self._ignore_stress = settings.ignore_stress
        self._shortest = settings.shortest_phoneme if of == "phoneme" else settings.shortest
        self._without = f"utterances without aligned {self._tier}"
        self._too_short = f"shorter than {self._shortest:g} s" if self._shortest else "without duration"
        own = {"ignore_stress"} if common is None else {"most_frequent"}
        self.settings = {"shortest": self._shortest} | settings.model_dump(mode="json", include=own)
        self.counts = Counter({"utterances": 0, WITH_ITEMS: 0, self._without: 0, NO_SPEAKER: 0, "items": 0})
        self.left_out = Counter({AT_A_PAUSE if common is None else RARE: 0, self._too_short: 0, UNWRITABLE: 0})

    def lines(self, utterance: Utterance) -> Iterator[str]:
        """The lines of one utterance. Raises InputError for an id or speaker that an item file cannot hold."""
        tier: tuple[Interval, ...] | None = getattr(utterance, self._tier)
        if not tier:
            self.counts[self._without] += 1
            return
        if utterance.speaker is None:
            self.counts[NO_SPEAKER] += 1
            return
        if bad := next((name for name in (utterance.id, utterance.speaker) if len(name.split()) != 1), None):
            raise InputError(
                f"utterance {utterance.id!r}: {bad!r} has a space or is empty, and an item file separates by spaces; "
                "rename it"
            )
        for token in self._tokens(tier):
            if not tokens.lasts(token, self._shortest):
                self.left_out[self._too_short] += 1
            elif any(len(label.split()) != 1 for label in token[2:]):
                self.left_out[UNWRITABLE] += 1
            else:
                yield tokens.line(utterance.id, token, utterance.speaker)

    def _tokens(self, tier: tuple[Interval, ...]) -> list[Token]:
        if self._common is not None:
            spoken = list(tokens.whole(tier))
            common = [token for token in spoken if token.label in self._common]
            self.left_out[RARE] += len(spoken) - len(common)
            return common
        phones = [phone._replace(label=_without_stress(phone.label)) for phone in tier] if self._ignore_stress else tier
        inner = list((tokens.triphones if self._of == "triphone" else tokens.phonemes)(phones))
        self.left_out[AT_A_PAUSE] += sum(not is_silence(phone.label) for phone in phones) - len(inner)
        return inner

    @property
    def reason(self) -> str:
        """Why no item was made, where the split lacks what items are made of; "" where it has it."""
        if self.counts[self._without] == self.counts["utterances"]:
            return NO_TOKENS[self._tier]
        is_without = self.counts[self._without] + self.counts[NO_SPEAKER] == self.counts["utterances"]
        return NO_SPEAKERS if is_without else ""

    @property
    def remedy(self) -> str:
        """What to do where the split lacks it."""
        if self.reason == NO_SPEAKERS:
            return "ABX compares within and across speakers; add `speaker` to the corpus's rows"
        condition = "" if self._of == "triphone" else f", or leave {self._of} out of abx.conditions"
        return f"name an item file in corpus.items, or TextGrids with a tier of {self._tier} in corpus.alignments{condition}"

    @property
    def none_lasts(self) -> str:
        """What is wrong where every token was left out."""
        key = "shortest_phoneme" if self._of == "phoneme" else "shortest"
        return (
            f"no aligned token of {self.counts['utterances']} utterances lasts {self._shortest:g} s without a pause; "
            f"lower abx.items.{key}"
        )


def _without_stress(phone: str) -> str:
    stressed = _STRESSED.fullmatch(phone)
    return stressed[1] if stressed else phone


def _most_frequent(data: Store, tier: str, settings: Items) -> frozenset[str]:
    """The words or syllables that become items, equally frequent ones by the alphabet."""
    labels = (token.label for i in range(len(data.ids)) for token in getattr(data.utterance(i), tier) or ())
    counts = Counter(label for label in labels if not is_silence(label))
    ranked = sorted(counts, key=lambda label: (-counts[label], label))
    return frozenset(ranked[: settings.most_frequent])
