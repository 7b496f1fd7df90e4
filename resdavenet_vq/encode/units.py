"""Runs of equal codes and their times; the units of one recording.

A unit is a run of equal codes, from the begin of its first frame to the end of its last. Frame f of period p lasts from
f p to (f + 1) p seconds, its center is at (f + 1/2) p: the frame time `published`. In truth its receptive field is
centered at f p; the frame time `centred` places all frames half a period earlier.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Literal, NamedTuple

import numpy as np

from resdavenet_vq.corpus.manifest import Interval

type FrameTime = Literal["published", "centred"]

DECIMALS = 6
"""Of seconds in JSON."""


class Runs(NamedTuple):
    """Stretches of equal rows, in order, never across utterances."""

    utterance: np.ndarray  # (R,)
    start: np.ndarray  # (R,) first frame, counted within the utterance
    length: np.ndarray  # (R,) frames
    code: np.ndarray  # (R,) or (R, C): the row that is repeated


def runs(rows: np.ndarray, offsets: np.ndarray | None = None, marked: np.ndarray | None = None) -> Runs:
    """The runs of equal rows of codes (F,) or vectors (F, C).

    Utterance i is the rows offsets[i]:offsets[i + 1]; without `offsets` (n + 1,) there is one utterance.
    A row that is `marked` (F,) begins a run, whether it is equal to the one before or not.
    """
    edges = np.array([0, len(rows)]) if offsets is None else offsets
    changes = rows[1:] != rows[:-1]
    begins = np.zeros(len(rows) + 1, bool)
    begins[1:-1] = changes.any(axis=1) if rows.ndim > 1 else changes
    if marked is not None:
        begins[:-1] |= marked
    begins[edges] = True  # every utterance begins a run; the last mark closes the last run
    bounds = np.flatnonzero(begins)
    first = bounds[:-1]
    utterance = np.searchsorted(edges, first, side="right") - 1
    return Runs(utterance, first - edges[utterance], np.diff(bounds), rows[first])


def frame_edges(frames: np.ndarray, frame_period: float, frame_time: FrameTime = "published") -> np.ndarray:
    """Seconds at which frames begin, not before 0."""
    return frames * frame_period if frame_time == "published" else np.maximum(frames - 0.5, 0) * frame_period


def frame_centers(n_frames: int, frame_period: float, frame_time: FrameTime = "published") -> np.ndarray:
    """Centers (n_frames,) of the first frames, in seconds."""
    return (np.arange(n_frames) + (0.5 if frame_time == "published" else 0.0)) * frame_period


def code_runs(
    codes: np.ndarray, frame_period: float, frame_time: FrameTime = "published", marked: np.ndarray | None = None
) -> tuple[Interval, ...]:
    """The runs of one utterance's codes (F,) as intervals in seconds, labelled with their codes."""
    _, start, length, code = runs(codes, marked=marked)
    begins, ends = (
        np.round(frame_edges(frames, frame_period, frame_time), DECIMALS).tolist() for frames in (start, start + length)
    )
    return tuple(Interval(a, b, str(c)) for a, b, c in zip(begins, ends, code.tolist(), strict=True))


class Unit(NamedTuple):
    """A run of equal codes; onset and offset are seconds from the start of the recording."""

    code: int
    onset: float
    offset: float
    frames: int

    @property
    def duration(self) -> float:
        """Seconds."""
        return round(self.offset - self.onset, DECIMALS)


@dataclass(frozen=True, slots=True, eq=False)
class Units:
    """The codes of a recording in one layer, `quant2` ..."""

    path: Path
    layer: str
    frame_period: float
    """Seconds from one frame to the next."""
    duration: float
    """Of the audio, in seconds. The last frame may end a little earlier or later."""
    codes: np.ndarray
    """(F,) int32: the code of each frame, from 0 to codebook_size - 1."""
    codebook_size: int
    frame_time: FrameTime = "published"
    begins: np.ndarray | None = None
    """(F,) where segments begin; None where only a change of code begins a run."""
    labels: Sequence[str] | None = None
    """The names that the codes had elsewhere, (K,)."""

    @property
    def onsets(self) -> np.ndarray:
        """(F,) seconds."""
        return frame_edges(np.arange(len(self.codes)), self.frame_period, self.frame_time)

    @property
    def offsets(self) -> np.ndarray:
        """(F,) seconds."""
        return frame_edges(np.arange(1, len(self.codes) + 1), self.frame_period, self.frame_time)

    @property
    def runs(self) -> tuple[Unit, ...]:
        """The runs of equal codes, in order of time."""
        tier, lengths = self._tier, runs(self.codes, marked=self.begins).length.tolist()
        return tuple(Unit(int(run.label), run.start, run.end, n) for run, n in zip(tier, lengths, strict=True))

    def tier(self) -> tuple[Interval, ...]:
        """The runs as a tier of a TextGrid, labelled with their codes, or the names that these had."""
        names = self.labels
        return self._tier if names is None else tuple(i._replace(label=names[int(i.label)]) for i in self._tier)

    @property
    def _tier(self) -> tuple[Interval, ...]:
        return code_runs(self.codes, self.frame_period, self.frame_time, self.begins)

    def to_dict(self) -> dict[str, Any]:
        """As JSON: `codes` has a value a frame, `units` one a run."""
        return {
            "frame_period": self.frame_period,
            "frame_time": self.frame_time,
            "codebook_size": self.codebook_size,
            "codes": self.codes.tolist(),
            "units": [{"code": unit.code, "onset": unit.onset, "offset": unit.offset} for unit in self.runs],
        }

    def to_line(self, name: str) -> dict[str, Any]:
        """As a line of JSONL: for each run its code in `units`, its duration in seconds, and its number of frames.

        Where the codes had names elsewhere, `units` has these.
        """
        units = self.runs
        return {
            "id": name,
            "layer": self.layer,
            "frame_period": self.frame_period,
            "units": [unit.code if self.labels is None else self.labels[unit.code] for unit in units],
            "durations": [unit.duration for unit in units],
            "frames": [unit.frames for unit in units],
        }
