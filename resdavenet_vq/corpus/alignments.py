"""Word alignments that a forced aligner wrote, joined to a manifest by utterance id.

Three forms, by the path:

- a folder of TextGrids, `ID.TextGrid`, in any subfolders, with a tier `words` and perhaps `phones` and `syllables`
  (any case; `word`, `phone`, `phonemes`, `syllable` and `SPEAKER - words` are understood too);
- a `.ctm` file with rows `id channel start duration word` and perhaps more fields; `;;` begins a comment;
- a `.txt` file with rows `id start end word`.

Words are upper case as in Places Audio. Pauses and noises (`sil`, `sp`, `spn`, `<eps>`, `<unk>`, ...) are no words;
among phones pauses are labelled SIL and noises SPN; syllables are as written. Times are seconds.
"""

from __future__ import annotations

import math
import os
import sys
from collections.abc import Iterable, Iterator, Mapping
from dataclasses import replace
from pathlib import Path
from typing import NamedTuple

from resdavenet_vq.corpus import textgrid
from resdavenet_vq.corpus.manifest import NO_ALIGNMENT, NOISES, PAUSES, Interval, Manifest, is_silence, parse_seconds
from resdavenet_vq.corpus.rows import MAX_LINES, encodable, read_lines
from resdavenet_vq.errors import InputError
from resdavenet_vq.progress import track

WITHOUT_UTTERANCE = "alignments without an utterance"
BAD_ROWS = "malformed alignment rows"
BAD_INTERVALS = "bad alignment intervals"
BAD_TEXTGRIDS = "unusable TextGrids"

UNKNOWN = "<unk>"
"""The Montreal Forced Aligner's word, and Kaldi's phone, for words that its dictionary lacks."""

_TIERS = {
    "words": ("words", "word"),
    "phones": ("phones", "phone", "phonemes"),
    "syllables": ("syllables", "syllable"),
}


class Aligned(NamedTuple):
    """What is spoken in an utterance, None where unknown."""

    words: tuple[Interval, ...] | None
    phones: tuple[Interval, ...] | None = None
    syllables: tuple[Interval, ...] | None = None


def join(manifest: Manifest, path: Path) -> None:
    """Gives the manifest's utterances their alignments; those without one keep what they have.

    Counted and named in the manifest are alignments without an utterance (they may be of another split),
    rows, intervals and TextGrids that cannot be used, and, anew, utterances without aligned words. None of them
    refuses an utterance. Raises InputError if the path is unreadable or of another form, or if no id matches.
    """
    ids = {utterance.id for utterance in manifest.utterances}
    if path.is_dir():
        aligned, unmatched_ids = _from_textgrids(path, ids, manifest)
    elif path.suffix.lower() in (".ctm", ".txt"):
        aligned, unmatched_ids = _from_rows(path, ids, manifest)
    elif path.exists():
        raise InputError(f"{path}: no alignments; they are a folder of TextGrids, a .ctm or a .txt file")
    else:
        raise InputError(f"{path}: no such file or folder of alignments")
    if ids and all(tiers.words is None for tiers in aligned.values()):
        faults = [name for what in (BAD_TEXTGRIDS, BAD_ROWS, BAD_INTERVALS) for name in manifest.noticed.get(what, [])]
        faults += [f"its own are like {unmatched_id!r}" for unmatched_id in sorted(unmatched_ids)[:1]]
        utterances = f"any of the {len(ids)} utterances, whose ids are like {min(ids)!r}"
        raise InputError(f"{path}: aligns no word of {utterances}; {[*faults, 'it has none at all'][0]}")
    for unmatched_id in sorted(unmatched_ids):
        manifest.notice(WITHOUT_UTTERANCE, unmatched_id)
    manifest.counted[NO_ALIGNMENT] = 0
    for number, utterance in enumerate(manifest.utterances):
        known = aligned.get(utterance.id, Aligned(None))._asdict()
        joined = replace(utterance, **{tier: intervals for tier, intervals in known.items() if intervals})
        manifest.utterances[number] = joined
        if joined.words is None:
            manifest.notice(NO_ALIGNMENT, utterance.id)


def _from_rows(path: Path, ids: set[str], manifest: Manifest) -> tuple[dict[str, Aligned], set[str]]:
    """The alignments of the utterances in a table of words, and the ids of others."""
    is_ctm = path.suffix.lower() == ".ctm"
    words: dict[str, list[Interval]] = {}
    unmatched_ids: set[str] = set()
    for line, row in read_lines(path, MAX_LINES):
        if is_ctm and row.startswith(";;"):
            continue
        fields = row.split()
        if fields[0] not in ids:
            unmatched_ids.add(fields[0])
            continue
        intervals = words.setdefault(fields[0], [])
        interval = None
        if is_ctm and len(fields) >= 5:
            start, duration = parse_seconds(fields[2]), parse_seconds(fields[3])
            interval = _interval(start, round(start + duration, 6), fields[4].upper())
        elif not is_ctm and len(fields) == 4:
            interval = _interval(parse_seconds(fields[1]), parse_seconds(fields[2]), fields[3].upper())
        if interval is None:
            manifest.notice(BAD_ROWS, f"{path.name} line {line}: {row[:80]}")
        elif _is_spoken(fields[4 if is_ctm else 3]):  # before it is upper case: `SP` may be a word
            intervals.append(interval)
    return {utterance_id: Aligned(_in_order(intervals)) for utterance_id, intervals in words.items()}, unmatched_ids


def _from_textgrids(folder: Path, ids: set[str], manifest: Manifest) -> tuple[dict[str, Aligned], set[str]]:
    """The alignments of the utterances in a folder, and the ids of others."""
    paths_of, unmatched_ids = _find(folder, ids)
    aligned: dict[str, Aligned] = {}
    for utterance_id, paths in track(sorted(paths_of.items()), f"reading {folder.name}", unit="TextGrids"):
        try:
            aligned[utterance_id] = _from_textgrid(utterance_id, paths, manifest)
        except InputError as e:
            manifest.notice(BAD_TEXTGRIDS, encodable(str(e)))
    return aligned, unmatched_ids


def _from_textgrid(utterance_id: str, paths: list[Path], manifest: Manifest) -> Aligned:
    if len(paths) > 1:
        raise InputError(f"{utterance_id}: which is the right one, {' or '.join(map(str, paths))}?")
    tiers = textgrid.read(paths[0])
    words, phones, syllables = (_tier(paths[0], tiers, kind) for kind in _TIERS)
    if words is None:
        raise InputError(f"{paths[0]}: no tier 'words', but {', '.join(map(repr, tiers)) or 'none'}")
    spoken = (word._replace(label=word.label.strip().upper()) for word in words if _is_spoken(word.label))
    labelled = (phone._replace(label=_phone(phone.label)) for phone in phones or ())
    parts = (part._replace(label=part.label.strip()) for part in syllables or () if _is_spoken(part.label))
    return Aligned(*(_in_order(_sound(tier, paths[0], manifest)) for tier in (spoken, labelled, parts)))


def _find(folder: Path, ids: set[str]) -> tuple[dict[str, list[Path]], set[str]]:
    """The TextGrids of each utterance, and other names. A whole id as path wins over the same name elsewhere."""
    by_name: dict[str, list[Path]] = {}
    exact: dict[str, list[Path]] = {}
    unmatched_ids: set[str] = set()
    for parent, folders, names in os.walk(folder, onerror=_stop):
        folders.sort()
        for path in (Path(parent, name) for name in sorted(names) if name.lower().endswith(".textgrid")):
            whole = str(path.relative_to(folder).with_suffix(""))
            if whole in ids:
                exact[whole] = [path]
            elif path.stem in ids:
                by_name.setdefault(path.stem, []).append(path)
            else:
                unmatched_ids.add(encodable(whole))
    return by_name | exact, unmatched_ids


def _stop(error: OSError) -> None:
    raise InputError(f"{error.filename}: cannot be read ({error.strerror})")


def _tier(path: Path, tiers: Mapping[str, tuple[Interval, ...]], kind: str) -> tuple[Interval, ...] | None:
    """The one tier of a kind, by its name."""
    names = [name for name in tiers if name.strip().lower().split(" - ")[-1] in _TIERS[kind]]
    if len(names) > 1:
        raise InputError(f"{path}: several tiers of {kind}: {', '.join(map(repr, names))}")
    return tiers[names[0]] if names else None


def _sound(intervals: Iterable[Interval], path: Path, manifest: Manifest) -> Iterator[Interval]:
    for start, end, label in intervals:
        if (interval := _interval(start, end, label)) is None:
            manifest.notice(BAD_INTERVALS, encodable(f"{path}: {label!r} from {start} to {end} s"))
        else:
            yield interval


def _phone(label: str) -> str:
    """As written, since the case of phones means something; pauses and noises in one spelling."""
    text = label.strip().lower()
    return "SIL" if text in PAUSES else "SPN" if text in NOISES | {UNKNOWN} else label.strip()


def _is_spoken(word: str) -> bool:
    return not is_silence(word) and word.strip().lower() != UNKNOWN


def _interval(start: float, end: float, label: str) -> Interval | None:
    """The interval if its times are finite seconds with 0 <= start <= end."""
    return Interval(start, end, sys.intern(label)) if 0 <= start <= end < math.inf else None


def _in_order(intervals: Iterable[Interval]) -> tuple[Interval, ...] | None:
    """By time; None for none at all."""
    return tuple(sorted(intervals, key=lambda interval: interval[:2])) or None
