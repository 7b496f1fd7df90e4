"""Checking anybody's submission: it is accepted, or rejected with every reason.

Files are read one after another and line by line, so that large ones take time, not memory. What the organizers' tools
require beyond the layout, such as a folder of code of a submission that declares open source, is a note, no reason to
reject it.
"""

from __future__ import annotations

import re
from collections.abc import Iterator, Sequence
from dataclasses import dataclass, field
from pathlib import Path, PurePosixPath
from typing import NamedTuple

from resdavenet_vq.errors import InputError, listed
from resdavenet_vq.zerospeech import metadata
from resdavenet_vq.zerospeech.contents import FAULTS, Contents, shown
from resdavenet_vq.zerospeech.submission import read_frames

MOST_LISTED = 50
"""Number of problems that are listed; the others are counted."""


class Layout(NamedTuple):
    """Where the files of an edition are, as patterns of their full names."""

    features: str
    """With the group `set`, a folder: files of one set have one width."""
    scored: str
    """The set that must be there, and that has the expected files."""
    unchecked: str
    """Files that may be there and are not checked."""
    in_words: str
    """The files that an edition has."""
    fewest_frames: int = 1


_SETS_2019 = r"(?:english|surprise)/(?:test|auxiliary_embedding[12])"
_UNCHECKED_2019 = r"(?:english|surprise)/test/[^/]+\.wav|code/.+"

LAYOUTS = {
    2019: Layout(
        rf"(?P<set>{_SETS_2019})/[^/]+\.txt",
        "english/test",
        _UNCHECKED_2019,
        "metadata.yaml nor english/test/*.txt",
    ),
    2020: Layout(
        rf"(?P<set>2019/{_SETS_2019})/[^/]+\.txt",
        "2019/english/test",
        rf"2017/.+|2019/(?:{_UNCHECKED_2019})",
        "metadata.yaml nor 2019/metadata.yaml nor 2019/english/test/*.txt",
    ),
    2021: Layout(
        r"(?P<set>phonetic)/.+\.txt",
        "phonetic",
        r"(?:lexical|syntactic|semantic|code)/.+",
        "meta.yaml nor phonetic/**/*.txt",
        fewest_frames=2,
    ),
}


class Expected(NamedTuple):
    """The utterances that must be there, and no others."""

    ids: Sequence[str]
    source: str
    """The file or folder that names them."""


@dataclass
class Verdict:
    """The result of a check."""

    edition: int | None = None
    problems: list[str] = field(default_factory=list)
    notes: list[str] = field(default_factory=list)
    files: int = 0
    frames: int = 0
    width: int = 0

    @property
    def accepted(self) -> bool:
        """Whether nothing is wrong."""
        return not self.problems

    def report(self, name: str) -> str:
        """The verdict in words: one line, and one for each problem and note."""
        kind = f"ZeroSpeech {self.edition}" if self.edition else "a submission"
        notes = [f"note: {note}" for note in self.notes]
        if self.accepted:
            size = f"{self.files} files, {self.frames} frames of {self.width} values"
            return "\n".join([f"{name}: accepted as {kind}: {size}", *notes])
        reasons = f"{len(self.problems)} reason{'s' if len(self.problems) > 1 else ''}"
        return "\n".join([f"{name}: rejected as {kind} for {reasons}", listed(self.problems, MOST_LISTED), *notes])


def validate(path: Path, edition: int | None = None, expected: Expected | None = None) -> Verdict:
    """Checks a submission, a folder or a zip, of the given edition, else of the one that its files look like.

    With `expected`, exactly those utterances must be there. Names are compared by their last part, as item files
    name them; of 2021, whose files keep the folders of the wavs, by the whole path if `expected` has folders.
    """
    verdict = Verdict(edition)
    with Contents(path) as contents:
        verdict.edition = edition or _edition(contents.names)
        verdict.problems += contents.problems
        verdict.problems += _clutter_problems(contents.clutter, verdict.edition)
        if not contents.names:
            verdict.problems += [] if contents.problems else [f"{path}: holds no file"]
        elif verdict.edition is None:
            verdict.problems.append(_unrecognized(contents.names))
        else:
            verdict.problems += _metadata_problems(contents, verdict.edition, verdict.notes)
            verdict.problems += _feature_problems(contents, verdict.edition, verdict)
            verdict.problems += _differences(contents.names, verdict.edition, expected) if expected else []
    return verdict


def _clutter_problems(names: Sequence[str], edition: int | None) -> Iterator[str]:
    """Files that no person put there, where an edition has only its own files."""
    unchecked = LAYOUTS[edition].unchecked if edition else ""
    if extra := [name for name in names if not re.fullmatch(unchecked, name)]:
        examples = ", ".join(map(shown, extra[:3])) + (", ..." if len(extra) > 3 else "")
        remedy = "remove them, from a zip by zip -d NAME.zip '__MACOSX/*' '*.DS_Store'"
        yield f"{len(extra)} hidden files, which the organizers' tools may refuse ({examples}); {remedy}"


def _edition(names: Sequence[str]) -> int | None:
    """The edition that the files look like."""
    top = {name.partition("/")[0] for name in names}
    if top & {"meta.yaml", "phonetic"}:
        return 2021
    if top & {"2017", "2019"}:
        return 2020
    return 2019 if top & {"metadata.yaml", "english", "surprise"} else None


def _unrecognized(names: Sequence[str]) -> str:
    """Why no edition was recognized."""
    top = {name.partition("/")[0] for name in names}
    if len(top) == 1 and _edition([name.partition("/")[2] for name in names]):
        return f"everything is in the folder {shown(top.pop())}/; submit what is in it, not the folder"
    return (
        f"looks like no edition of {', '.join(map(str, metadata.FILES))}: there is neither metadata.yaml nor meta.yaml"
    )


def _metadata_problems(contents: Contents, edition: int, notes: list[str]) -> Iterator[str]:
    """Problems of the YAML files."""
    folder = "2019/code/" if edition == 2020 else "code/"
    has_code = any(name.startswith(folder) for name in contents.names)
    for name, entries in metadata.FILES[edition].items():
        if name not in contents.names:
            yield f"{name}: is missing"
            continue
        try:
            with contents.open(name) as file:
                value = metadata.parse(file.read(metadata.MOST_BYTES + 1))
        except ValueError as e:
            yield f"{name}: {e}"
            continue
        except FAULTS as e:
            yield f"{name}: cannot be read ({e})"
            continue
        yield from metadata.problems(name, value, entries)
        if isinstance(value, dict) and value.get("open source") is True and not has_code:
            missing = f"{name} declares open source, but there is no {folder}"
            notes.append(f"{missing}; the organizers asked for the code or where it is")


def _feature_problems(contents: Contents, edition: int, verdict: Verdict) -> Iterator[str]:
    """Problems of the feature files, which must have one width in each set, and of files that belong nowhere."""
    layout, widths, unchecked = LAYOUTS[edition], dict[str, int](), set()
    for name in contents.names:
        kind = _set(name, layout)
        if kind is None:
            if re.fullmatch(layout.unchecked, name):
                unchecked.add(name.partition("/")[0])
            elif name not in metadata.FILES[edition]:
                yield f"{shown(name)}: is neither {layout.in_words}"
            continue
        try:
            with contents.open(name) as file:
                frames = read_frames(file, any_space=edition == 2021, fewest=layout.fewest_frames)
        except FAULTS as e:
            yield f"{shown(name)}: cannot be read ({e})"
            continue
        yield from (f"{shown(name)}: {problem}" for problem in frames.problems)
        verdict.files, verdict.frames = verdict.files + 1, verdict.frames + frames.frames
        if frames.width > 1 and frames.width != (usual := widths.setdefault(kind, frames.width)):
            yield f"{shown(name)}: has {frames.width} columns, other files have {usual}"
    verdict.width = widths.get(layout.scored, 0)
    if not any(_set(name, layout) == layout.scored for name in contents.names):
        yield f"{layout.scored}/: holds no file"
    tasks = sorted(unchecked & {"2017", "lexical", "syntactic", "semantic"})
    verdict.notes += [f"{task}/ was not checked" for task in tasks]


def _set(name: str, layout: Layout) -> str | None:
    """The set that a feature file belongs to; None for other files."""
    match = re.fullmatch(layout.features, name)
    return match["set"] if match else None


def _differences(names: Sequence[str], edition: int, expected: Expected) -> Iterator[str]:
    """Expected files that are missing, and others that are not expected."""
    layout, folder = LAYOUTS[edition], LAYOUTS[edition].scored
    whole = edition == 2021 and any("/" in name for name in expected.ids)

    def key(name: str) -> str:
        return name if whole else PurePosixPath(name).name

    expected_keys = {key(name) for name in expected.ids}
    if len(expected_keys) != len(set(expected.ids)):
        raise InputError(f"{expected.source}: two utterances have one name, so their files cannot be distinguished")
    there = [name.removeprefix(f"{folder}/") for name in names if _set(name, layout) == folder]
    present = {key(name.removesuffix(".txt")): name for name in there}
    for name in dict.fromkeys(map(key, expected.ids)):
        if name not in present:
            yield f"{folder}/{shown(name)}.txt: is missing; {expected.source} lists it"
    for name in sorted(present.keys() - expected_keys):
        yield f"{folder}/{shown(present[name])}: {expected.source} does not list it"
