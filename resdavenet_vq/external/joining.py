"""Which utterance of a prepared split each file or line is of, and what matches nothing.

An utterance is known by its id and by the path of its audio, without the suffix of an audio file: whole, or by the last
part.
"""

from __future__ import annotations

from collections import Counter
from pathlib import PurePosixPath
from typing import Any, Literal

import numpy as np

from resdavenet_vq.data.audio_names import SUFFIXES
from resdavenet_vq.data.features import SAMPLE_RATE
from resdavenet_vq.data.store import Store
from resdavenet_vq.encode.frames import durations
from resdavenet_vq.errors import InputError, listed, printable, shortened
from resdavenet_vq.external.records import Faults, Record
from resdavenet_vq.progress import track

type Ids = Literal["path", "name"]

TOLERANCE_FRAMES, TOLERANCE_SECONDS = 3, 0.05
"""How far units may end from their audio: frames, and seconds where these are more. Networks leave out the last one or two."""

_KEPT = 20

_AMBIGUOUS = -1


def key(name: str, ids: Ids) -> str:
    """What a name is joined by."""
    path = PurePosixPath(name)
    stem = path.with_suffix("") if path.suffix.lower() in SUFFIXES else path
    return stem.name if ids == "name" else str(stem)


class Joined:
    """The first `n` utterances of a split, and the records that were found for them.

    `seconds` (n,) of audio; `kept` (n,) of these up to where preparation cut it.
    """

    def __init__(self, store: Store, ids: Ids, n: int) -> None:
        self.ids, self._mode = store.ids[:n], ids
        self.seconds = store.n_samples[:n] / SAMPLE_RATE
        self.kept = durations(store)[:n]
        self.n_frames = np.zeros(n, np.int64)
        self._place = _places([key(name, ids) for name in self.ids])
        names = (str(store.utterance(i).wav) for i in track(range(n), f"names {store.path.stem}", unit="utterances"))
        for other, number in _places([key(name, ids) for name in names]).items():
            self._place.setdefault(other, number)
        self._strangers: list[str] = []
        self._n_strangers = 0

    def place(self, record: Record) -> int | None:
        """The number of a record's utterance, if it is one of the split."""
        return self._place.get(key(record.name, self._mode))

    def number(self, record: Record, faults: Faults) -> int | None:
        """Likewise; counts those of other splits, and a name that several share is a fault."""
        if (number := self.place(record)) is None:
            self._n_strangers += 1
            if len(self._strangers) < _KEPT:
                self._strangers.append(printable(shortened(record.name, 200)))
        elif number == _AMBIGUOUS:
            faults.add(record.where, f"several utterances are called {record.name}; set ids to path")
            return None
        return number

    def set_length(self, number: int, record: Record, n_frames: int, frame_period: float, faults: Faults) -> None:
        """Keeps the number of a record's frames. An utterance that has some already is a fault."""
        if self.n_frames[number]:
            faults.add(record.where, f"has units of {self.ids[number]} a second time; give one layer, or other names")
        elif not n_frames:
            faults.add(record.where, "has no units")
        else:
            cut = self.kept[number] < self.seconds[number]
            most = max(1, int(np.ceil(self.kept[number] / frame_period - 1e-6))) if cut else n_frames
            self.n_frames[number] = min(n_frames, most)

    def check_length(self, number: int, n_frames: int, frame_period: float, *, padded: bool) -> None:
        """Raises ValueError unless frames last as long as the audio; units that are `padded` may end earlier."""
        seconds, audio = n_frames * frame_period, float(self.seconds[number])
        tolerance = max(TOLERANCE_FRAMES * frame_period, TOLERANCE_SECONDS)
        if seconds > audio + tolerance or (seconds < audio - tolerance and not padded):
            likely = (
                f"is it {audio / n_frames:.4g}?" if n_frames and not padded else "are they in seconds, or in frames?"
            )
            lasts = f"{n_frames} frames of {frame_period:g} s are {seconds:.3f} s, and the audio has {audio:.3f} s"
            raise ValueError(f"{lasts}; correct frame_period ({likely}), or make units of the whole audio")

    def check_complete(self, source: object) -> None:
        """Raises InputError if an utterance has no units: a split that got smaller has other scores."""
        missing = self._missing()
        if len(missing) == len(self.ids):
            theirs = f", as {self._strangers[0]}" if self._strangers else ""
            found = f"{self._n_strangers} others{theirs}" if self._strangers else "nothing else either"
            raise InputError(
                f"{source}: has units of no utterance of the split, as {self.ids[0]}; it has {found}."
                " Are ids and names of files alike, and is `ids` right?"
            )
        if missing:
            raise InputError(
                f"{source}: {len(missing)} of {len(self.ids)} utterances of the split have no units; bitrate, ABX and "
                f"words are of whole splits, so make their units, too\n{listed(missing)}"
            )

    def _missing(self) -> list[str]:
        return [name for name, n in zip(self.ids, self.n_frames.tolist(), strict=True) if not n]

    def report(self) -> dict[str, Any]:
        """How many utterances have units, and which names are of none."""
        missing = self._missing()
        return {
            "utterances": len(self.ids),
            "matched": len(self.ids) - len(missing),
            "without_units": {"count": len(missing), "first": missing[:_KEPT]},
            "not_in_the_split": {"count": self._n_strangers, "first": self._strangers},
            "cut_as_prepared": int((self.kept < self.seconds).sum()),
        }


def _places(keys: list[str]) -> dict[str, int]:
    """The number of each key, or that it is ambiguous."""
    places = {name: number for number, name in enumerate(keys)}
    return places | {name: _AMBIGUOUS for name, n in Counter(keys).items() if n > 1}
