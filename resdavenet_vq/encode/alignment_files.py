"""The words, phones and syllables of a corpus, with their times, as files that aligners write and other tools read."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from contextlib import ExitStack
from pathlib import Path
from typing import Literal, TextIO

from resdavenet_vq.corpus import places, textgrid
from resdavenet_vq.corpus.manifest import Interval, Utterance
from resdavenet_vq.encode.file_names import check_ids, new_file
from resdavenet_vq.errors import InputError, listed
from resdavenet_vq.files import atomic_folder
from resdavenet_vq.progress import track

type AlignmentFormat = Literal["textgrid", "ctm"]

TIERS = ("words", "phones", "syllables")


def export_alignments(manifest: Path, form: AlignmentFormat, out: Path) -> int:
    """Writes the alignments of a JSON file in the layout of Places Audio, whole or not at all, into the folder `out`.

    * `textgrid`: `{id}.TextGrid`, for Praat, with a tier each of words, phones and syllables that are known;
    * `ctm`: `words.ctm`, `phones.ctm` and `syllables.ctm`, a line `id 1 start duration label` each.

    Times are seconds. Tiers of TextGrids are without what lasts no time, and without overlaps. Returns the number of utterances with an alignment. Raises
    InputError if there is none, for ids that cannot be file names, and for a folder with files in it.
    """
    read = places.read(manifest)
    if read.refused:
        lines = listed([f"row {r.row} ({r.id or 'no id'}): {r.file or 'no file'}: {r.reason}" for r in read.refused])
        raise InputError(f"{manifest}: rows that cannot be used; correct or remove them\n{lines}")
    ids = [u.id for u in read.utterances if _tiers(u)]
    if not ids:
        raise InputError(f"{manifest}: no utterance has aligned words, phones or syllables; see docs/alignments.md")
    if form == "textgrid":
        check_ids(ids, manifest, ".TextGrid")
    elif spaced := next((name for name in ids if len(name.split()) != 1), None):
        raise InputError(f"{manifest}: a CTM has spaces between its fields, so the id {spaced!r} cannot be in one")
    with atomic_folder(out) as folder:
        utterances = track(read.utterances, f"export {manifest.stem}", unit="utterances")
        if form == "textgrid":
            _write_textgrids(folder, utterances)
        else:
            _write_ctm(folder, utterances)
    return len(ids)


def _write_textgrids(folder: Path, utterances: Iterable[Utterance]) -> None:
    for u in utterances:
        if tiers := {name: textgrid.as_tier(intervals) for name, intervals in _tiers(u).items()}:
            textgrid.write(new_file(folder, f"{u.id}.TextGrid"), tiers, 0.0)


def _write_ctm(folder: Path, utterances: Iterable[Utterance]) -> None:
    with ExitStack() as stack:
        files = dict[str, TextIO]()
        for u in utterances:
            for name, intervals in _tiers(u).items():
                if name not in files:
                    files[name] = stack.enter_context((folder / f"{name}.ctm").open("w", encoding="utf-8"))
                files[name].writelines(f"{u.id} 1 {a:.6f} {b - a:.6f} {label}\n" for a, b, label in intervals)


def _tiers(utterance: Utterance) -> dict[str, Sequence[Interval]]:
    """The tiers with at least one interval."""
    return {name: intervals for name in TIERS if (intervals := getattr(utterance, name))}
