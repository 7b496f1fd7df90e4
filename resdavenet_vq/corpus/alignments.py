"""Word alignments that a forced aligner wrote, joined to a manifest by utterance id.

Two forms, by the path:

- a folder with a file an utterance, in any subfolders, named by its id: TextGrids, or else what the Montreal Forced
  Aligner writes as csv or json. A file has tiers of words, phones or syllables, known by their names (`TIERS`);
- one file of rows for all utterances, `.ctm` or `.txt` (`word_rows`).

Words are upper case as in Places Audio. Pauses and noises (`manifest.SILENCE`), and what the aligner's dictionary
lacks, are no words and no syllables, and are counted by their labels; among phones pauses are labelled SIL and noises
SPN. Phones and syllables are as written. Times are seconds.
"""

from __future__ import annotations

import math
import sys
from collections import Counter
from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass, field, replace
from functools import lru_cache
from operator import itemgetter
from pathlib import Path
from typing import Literal, NamedTuple

from resdavenet_vq.corpus import mfa, textgrid, word_rows
from resdavenet_vq.corpus.manifest import NO_ALIGNMENT, PAUSES, Interval, Manifest, is_word
from resdavenet_vq.corpus.rows import encodable
from resdavenet_vq.errors import InputError
from resdavenet_vq.folders import members
from resdavenet_vq.progress import track

WITHOUT_UTTERANCE = "alignments without an utterance"
BAD_ROWS = "malformed alignment rows"
BAD_INTERVALS = "bad alignment intervals"
BAD_FILES = "unusable alignment files"
WITHOUT_WORDS = "alignment files without a tier of words"
NO_WORDS = "labels that are no words"

type Kind = Literal["words", "phones", "syllables"]

TIERS: Mapping[Kind, tuple[str, ...]] = {
    "words": ("words", "word", "ort", "ort-mau", "tokensalign"),
    "phones": ("phones", "phone", "phonemes", "phoneme", "phonetic", "mau", "phonalign", "segments", "segment"),
    "syllables": ("syllables", "syllable", "syll", "syllalign"),
}
"""The names of tiers of each kind, in any case, alone or after `SPEAKER - `: those of the aligners that are known."""

_FORMS = "a folder of TextGrids (or of the Montreal Forced Aligner's csv or json), a .ctm or a .txt file"

_TO_ROWS = "write their words into one .txt file with rows `id start end word`, in seconds"

_UNREAD: Mapping[str, str] = {
    ".ctm": "join them into one: cat FOLDER/*.ctm > words.ctm",
    ".txt": "join them into one file with rows `id start end word`",
    ".lab": f"{_TO_ROWS} (HTK counts 100 ns)",
    ".wrd": f"{_TO_ROWS} (TIMIT counts samples)",
    ".phn": f"{_TO_ROWS} (TIMIT counts samples)",
    ".eaf": "export them from ELAN as TextGrids",
    ".zip": "unpack them",
}
"""Files of alignments that are not read from a folder, and what to do."""

_MOST_LABELS = 1 << 14
"""Spellings that are remembered: most rows have a word that was there before."""

_ARCHIVES = (".zip", ".tar", ".gz", ".tgz", ".bz2", ".xz", ".zst", ".7z", ".rar")


class Aligned(NamedTuple):
    """What is spoken in an utterance, None where unknown."""

    words: tuple[Interval, ...] | None
    phones: tuple[Interval, ...] | None = None
    syllables: tuple[Interval, ...] | None = None


def join(manifest: Manifest, path: Path, tiers: Mapping[Kind, Sequence[str]] | None = None) -> None:
    """Gives the manifest's utterances their alignments; those without one keep what they have.

    `tiers` names the tiers of a kind, of which the first that a file has is read; for a kind that it lacks, `TIERS` does.

    Counted and named in the manifest are alignments without an utterance (they may be of another split), rows,
    intervals and files that cannot be used, labels that are no words, and, anew, utterances without aligned words.
    None of them refuses an utterance. Raises InputError if the path is unreadable or of another form, or if it aligns
    nothing of any utterance.
    """
    ids = {utterance.id for utterance in manifest.utterances}
    reading = _Reading(manifest, tiers or {})
    others: Counter[str] = Counter()
    if path.is_dir():
        paths_of, unmatched_ids, others = _find(path, ids)
        aligned = reading.files(path, paths_of)
    elif path.suffix.lower() in word_rows.SUFFIXES:
        rows, unmatched_ids = word_rows.read(path, ids, lambda row: manifest.notice(BAD_ROWS, row))
        aligned = {
            utterance_id: Aligned(reading.tier(intervals, _word, path)) for utterance_id, intervals in rows.items()
        }
    else:
        raise InputError(f"{path}: {_why_not(path)}")
    if ids and not any(map(any, aligned.values())):
        faults = [name for what in (BAD_FILES, BAD_ROWS, BAD_INTERVALS) for name in manifest.noticed.get(what, [])]
        faults += [f"its own are like {unmatched_id!r}" for unmatched_id in sorted(unmatched_ids)[:1]]
        faults += [
            f"it holds {n} {suffix} files, which are not read; {_UNREAD[suffix]}" for suffix, n in others.items()
        ]
        faults += [f"labels such as {label!r} are no words" for label, _ in reading.no_words.most_common(1)]
        utterances = f"any of the {len(ids)} utterances, whose ids are like {min(ids)!r}"
        raise InputError(f"{path}: aligns no word or phone of {utterances}; {[*faults, 'it has none at all'][0]}")
    for unmatched_id in sorted(unmatched_ids):
        manifest.notice(WITHOUT_UTTERANCE, unmatched_id)
    for label, n in sorted(reading.no_words.items(), key=lambda item: (-item[1], item[0])):
        manifest.notice(NO_WORDS, f"{encodable(label)}: {n}", n)
    manifest.counted[NO_ALIGNMENT] = 0
    for number, utterance in enumerate(manifest.utterances):
        known = aligned.get(utterance.id, Aligned(None))._asdict()
        joined = replace(utterance, **{tier: intervals for tier, intervals in known.items() if intervals})
        manifest.utterances[number] = joined
        if joined.words is None:
            manifest.notice(NO_ALIGNMENT, utterance.id)


@dataclass
class _Reading:
    """Alignments in the form in which a manifest has them, and what is noticed on the way."""

    manifest: Manifest
    tiers: Mapping[Kind, Sequence[str]]
    no_words: Counter[str] = field(default_factory=Counter)
    """How often each label was among words or syllables that is none."""

    def files(self, folder: Path, paths_of: Mapping[str, list[Path]]) -> dict[str, Aligned]:
        """The alignments of the utterances in a folder; files that cannot be used are noticed."""
        aligned: dict[str, Aligned] = {}
        for utterance_id, paths in track(sorted(paths_of.items()), f"reading {folder.name}", unit="alignments"):
            try:
                aligned[utterance_id] = self._file(utterance_id, paths)
            except InputError as e:
                self.manifest.notice(BAD_FILES, encodable(str(e)))
        return aligned

    def _file(self, utterance_id: str, paths: list[Path]) -> Aligned:
        if len(paths) > 1:
            raise InputError(f"{utterance_id}: which is the right one, {' or '.join(map(str, paths))}?")
        (path,) = paths
        tiers = mfa.read(path) if path.suffix.lower() in mfa.SUFFIXES else textgrid.read(path)
        words, phones, syllables = (self._intervals(path, tiers, kind) for kind in TIERS)
        names = ", ".join(map(repr, tiers)) or "none"
        if words is None and phones is None and syllables is None:
            raise InputError(f"{path}: no tier of words, phones or syllables, but {names}; name them in corpus.tiers")
        if words is None and self.tiers.get("words", True):
            self.manifest.notice(WITHOUT_WORDS, encodable(f"{path}: has {names}; corpus.tiers.words may name another"))
        return Aligned(
            self.tier(words or (), _word, path),
            self.tier(phones or (), _phone, path),
            self.tier(syllables or (), _syllable, path),
        )

    def _intervals(
        self, path: Path, tiers: Mapping[str, tuple[Interval, ...]], kind: Kind
    ) -> tuple[Interval, ...] | None:
        """The one tier of a kind, by its name."""
        if (own := self.tiers.get(kind)) is None:
            names = [tier for tier in tiers if any(_is_called(tier, name) for name in TIERS[kind])]
        else:
            by_name = ([tier for tier in tiers if _is_called(tier, name)] for name in own)
            names = next(filter(None, by_name), [])
        if len(names) > 1:
            raise InputError(
                f"{path}: several tiers of {kind}: {', '.join(map(repr, names))}; name one in corpus.tiers.{kind}"
            )
        return tiers[names[0]] if names else None

    def tier(
        self, labelled: Iterable[Interval], spelling: Callable[[str], str], path: Path
    ) -> tuple[Interval, ...] | None:
        """Intervals in order of time, with their labels spelled; None for none at all.

        Counted are those whose spelling is empty, and noticed those without finite times 0 <= start <= end.
        """
        sound = []
        for start, end, label in labelled:
            if not (text := spelling(label)):
                if label := label.strip():
                    self.no_words[label] += 1
            elif 0 <= start <= end < math.inf:
                sound.append(Interval(start, end, text))
            else:
                self.manifest.notice(BAD_INTERVALS, encodable(f"{path}: {text!r} from {start} to {end} s"))
        return tuple(sorted(sound, key=itemgetter(0, 1))) or None


def _find(folder: Path, ids: set[str]) -> tuple[dict[str, list[Path]], set[str], Counter[str]]:
    """The files of each utterance, other names, and how many files have a suffix of `_UNREAD`.

    A whole id as path wins over the same name elsewhere, and where there are TextGrids only they are read.
    """
    paths = [path for path in members(folder) if path.name != mfa.ANALYSIS]
    suffixes = Counter(path.suffix.lower() for path in paths)
    read = (textgrid.SUFFIX,) if textgrid.SUFFIX in suffixes else mfa.SUFFIXES
    by_name: dict[str, list[Path]] = {}
    exact: dict[str, list[Path]] = {}
    unmatched_ids: set[str] = set()
    for path in (path for path in paths if path.suffix.lower() in read):
        whole = str(path.relative_to(folder).with_suffix(""))
        if whole in ids:
            exact.setdefault(whole, []).append(path)
        elif path.stem in ids:
            by_name.setdefault(path.stem, []).append(path)
        else:
            unmatched_ids.add(encodable(whole))
    return by_name | exact, unmatched_ids, Counter({suffix: n for suffix, n in suffixes.items() if suffix in _UNREAD})


def _why_not(path: Path) -> str:
    """Why a path is not read as alignments, and what to do."""
    suffix = path.suffix.lower()
    if not path.exists():
        return "no such file or folder of alignments"
    if suffix in (textgrid.SUFFIX, *mfa.SUFFIXES):
        return (
            f"no alignments of a corpus, but at most those of one utterance; name the folder that it is in, or {_FORMS}"
        )
    if suffix in _ARCHIVES:
        return "an archive; unpack it and name the folder"
    return f"no alignments; they are {_FORMS}"


def _is_called(tier: str, name: str) -> bool:
    """Whether a tier has a name, alone or after that of a speaker."""
    whole = tier.strip().lower()
    return name.strip().lower() in (whole, whole.rsplit(" - ", 1)[-1])


@lru_cache(_MOST_LABELS)
def _word(label: str) -> str:
    """In upper case; empty for what is no word. Judged as written, since `SP` may be a word."""
    return sys.intern(label.strip().upper()) if is_word(label) else ""


@lru_cache(_MOST_LABELS)
def _phone(label: str) -> str:
    """As written, since the case of phones means something; pauses and noises in one spelling."""
    text = label.strip()
    return "SIL" if text.lower() in PAUSES else sys.intern(text) if is_word(text) else "SPN"


@lru_cache(_MOST_LABELS)
def _syllable(label: str) -> str:
    """As written; empty for what is none."""
    return sys.intern(label.strip()) if is_word(label) else ""
