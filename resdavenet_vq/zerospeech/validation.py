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

from resdavenet_vq.errors import InputError
from resdavenet_vq.zerospeech import metadata
from resdavenet_vq.zerospeech.contents import FAULTS, Contents, printable
from resdavenet_vq.zerospeech.submission import FrameReader

EDITIONS = tuple(metadata.FILES)

MOST_LISTED = 50
"""Number of problems that are listed; the others are counted."""


class Layout(NamedTuple):
    """Where the files of an edition are, as patterns of their full names."""

    features: str
    """With the group `set`: files of one set have one width."""
    scored: str
    """The set that must be there, and that has the expected files."""
    unchecked: str
    """Files that may be there and are not checked."""
    in_words: str
    """The files that an edition has."""
    fewest_frames: int = 1


_TASK_2019 = r"(?P<set>(?:english|surprise)/(?:test|auxiliary_embedding[12]))/[^/]+\.txt"
_UNCHECKED_2019 = r"(?:english|surprise)/test/[^/]+\.wav|code/.+"

LAYOUTS = {
    2019: Layout(_TASK_2019, "english/test", _UNCHECKED_2019, "metadata.yaml nor english/test/*.txt"),
    2020: Layout(
        "2019/" + _TASK_2019,
        "english/test",
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
    """The result of a check. `problems` are at most `MOST_LISTED`; `more` counts the others."""

    edition: int | None = None
    problems: list[str] = field(default_factory=list)
    more: int = 0
    notes: list[str] = field(default_factory=list)
    files: int = 0
    frames: int = 0
    width: int = 0

    @property
    def accepted(self) -> bool:
        """Whether nothing is wrong."""
        return not self.problems

    def add(self, problem: str) -> None:
        """Keeps a problem, or counts it if there are many."""
        if len(self.problems) < MOST_LISTED:
            self.problems.append(problem)
        else:
            self.more += 1

    def report(self, name: str) -> str:
        """The verdict in words: one line, and one for each problem and note."""
        kind = f"ZeroSpeech {self.edition}" if self.edition else "a submission"
        notes = [f"note: {note}" for note in self.notes]
        if self.accepted:
            return "\n".join(
                [f"{name}: accepted as {kind}: {self.files} files, {self.frames} frames of {self.width} values", *notes]
            )
        n = len(self.problems) + self.more
        more = [f"... and {self.more} more"] if self.more else []
        return "\n".join(
            [f"{name}: rejected as {kind} for {n} reason{'s' if n > 1 else ''}", *self.problems, *more, *notes]
        )


def validate(path: Path, edition: int | None = None, expected: Expected | None = None) -> Verdict:
    """Checks a submission, a folder or a zip, of the given edition, else of the one that its files look like.

    With `expected`, exactly those utterances must be there. Names are compared by their last part, as item files
    name them; of 2021, whose files keep the folders of the wavs, by the whole path if `expected` has folders.
    """
    verdict = Verdict(edition)
    with Contents(path) as contents:
        for problem in contents.problems:
            verdict.add(problem)
        if not contents.names:
            if not contents.problems:
                verdict.add(f"{path}: holds no file")
            return verdict
        verdict.edition = edition or _edition(contents.names)
        if verdict.edition is None:
            verdict.add(_unrecognized(contents.names))
            return verdict
        for problem in _metadata_problems(contents, verdict):
            verdict.add(problem)
        for problem in _feature_problems(contents, LAYOUTS[verdict.edition], verdict):
            verdict.add(problem)
        if expected:
            for problem in _differences(contents.names, verdict.edition, expected):
                verdict.add(problem)
    return verdict


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
        return f"everything is in the folder {printable(top.pop())}/; submit what is in it, not the folder"
    return f"looks like no edition of {', '.join(map(str, EDITIONS))}: there is neither metadata.yaml nor meta.yaml"


def _metadata_problems(contents: Contents, verdict: Verdict) -> Iterator[str]:
    """Problems of the YAML files."""
    assert verdict.edition is not None
    names = set(contents.names)
    for name, entries in metadata.FILES[verdict.edition].items():
        if name not in names:
            yield f"{name}: is missing"
            continue
        try:
            value = metadata.parse(contents.head(name, metadata.MOST_BYTES + 1))
        except ValueError as e:
            yield f"{name}: {e}"
            continue
        except FAULTS as e:
            yield f"{name}: cannot be read ({e})"
            continue
        yield from metadata.problems(name, value, entries)
        folder = "2019/code/" if verdict.edition == 2020 else "code/"
        if (
            isinstance(value, dict)
            and value.get("open source") is True
            and not any(file.startswith(folder) for file in names)
        ):
            verdict.notes.append(
                f"{name} declares open source, but there is no {folder}; "
                "the organizers asked for the code or where it is"
            )


def _feature_problems(contents: Contents, layout: Layout, verdict: Verdict) -> Iterator[str]:
    """Problems of the feature files, which must have one width in each set, and of files that belong nowhere."""
    described = metadata.FILES[verdict.edition or 0]
    reader, widths = FrameReader(any_space=verdict.edition == 2021), dict[str, int]()
    unread = set()
    for name in contents.names:
        kind = _set(name, layout)
        if kind is None:
            if re.fullmatch(layout.unchecked, name):
                unread.add(re.sub(r"[^/]*$", "", name))
            elif name not in described:
                yield f"{printable(name)}: is neither {layout.in_words}"
            continue
        try:
            with contents.open(name) as file:
                frames = reader.read(file)
        except FAULTS as e:
            yield f"{printable(name)}: cannot be read ({e})"
            continue
        yield from frames.problems(printable(name), layout.fewest_frames)
        verdict.files, verdict.frames = verdict.files + 1, verdict.frames + frames.frames
        if frames.width > 1:
            usual = widths.setdefault(kind, frames.width)
            if frames.width != usual:
                yield f"{printable(name)}: has {frames.width} columns, other files have {usual}"
    verdict.width = widths.get(layout.scored, 0)
    if not any(_set(name, layout) == layout.scored for name in contents.names):
        yield f"{'2019/' if verdict.edition == 2020 else ''}{layout.scored}/: holds no file"
    tasks = sorted({folder.split("/")[0] for folder in unread} & {"2017", "lexical", "syntactic", "semantic"})
    verdict.notes += [f"{task}/ was not checked" for task in tasks]


def _set(name: str, layout: Layout) -> str | None:
    """The set that a feature file belongs to; None for other files."""
    match = re.fullmatch(layout.features, name)
    return match["set"] if match else None


def _differences(names: Sequence[str], edition: int, expected: Expected) -> Iterator[str]:
    """Expected files that are missing, and others that are not expected."""
    layout = LAYOUTS[edition]
    folder = ("2019/" if edition == 2020 else "") + layout.scored
    there = [
        name.removeprefix(f"{folder}/").removesuffix(".txt") for name in names if _set(name, layout) == layout.scored
    ]
    whole = edition == 2021 and any("/" in name for name in expected.ids)
    keys = {name: _key(name, whole=whole) for name in expected.ids}
    if len(set(keys.values())) != len(keys):
        raise InputError(
            f"{expected.source}: two utterances have one name, so that their files cannot be distinguished"
        )
    present = {_key(name, whole=whole): name for name in there}
    for name, key in keys.items():
        if key not in present:
            yield f"{folder}/{printable(name if whole else key)}.txt: is missing; {expected.source} lists it"
    for key in sorted(present.keys() - set(keys.values())):
        yield f"{folder}/{printable(present[key])}.txt: {expected.source} does not list it"


def _key(name: str, *, whole: bool) -> str:
    return name if whole else PurePosixPath(name).name
