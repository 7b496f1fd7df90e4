"""The units of one recording, and how they are written for other tools.

A unit is a run of equal codes, from the first frame's begin to the last frame's end. Frame f of period p lasts from f p to
(f + 1) p seconds; with frame time `centred`, where the frame's receptive field is centred at f p, half a period earlier.
"""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path
from typing import Any, NamedTuple

import numpy as np

from resdavenet_vq.corpus.manifest import Interval
from resdavenet_vq.evaluation.units import FrameTime, frame_edges, runs

DECIMALS = 6
"""Of seconds in JSON."""


class Unit(NamedTuple):
    """A run of equal codes: seconds from the start of the recording, frames."""

    code: int
    onset: float
    offset: float
    frames: int


@dataclass(frozen=True, slots=True, eq=False)
class Units:
    """The codes of a recording in one layer.

    Attributes
    ----------
    path : Path
        The recording.
    layer : str
        `quant2` ...
    frame_period : float
        Seconds from one frame to the next.
    duration : float
        Of the audio, in seconds. The last frame may end a little earlier or later.
    codes : (F,) int32
        The code of each frame.
    codebook_size : int
        Codes are 0 ... codebook_size - 1.
    frame_time : "published" or "centred"
        Where frames lie in time.
    """

    path: Path
    layer: str
    frame_period: float
    duration: float
    codes: np.ndarray
    codebook_size: int
    frame_time: FrameTime = "published"

    @property
    def onsets(self) -> np.ndarray:
        """(F,) seconds at which the frames begin."""
        return frame_edges(np.arange(len(self.codes)), self.frame_period, self.frame_time)

    @property
    def offsets(self) -> np.ndarray:
        """(F,) seconds at which the frames end."""
        return frame_edges(np.arange(1, len(self.codes) + 1), self.frame_period, self.frame_time)

    @property
    def runs(self) -> tuple[Unit, ...]:
        """The runs of equal codes, in order of time."""
        found = runs(self.codes, np.array([0, len(self.codes)]))
        onsets = frame_edges(found.start, self.frame_period, self.frame_time)
        offsets = frame_edges(found.start + found.length, self.frame_period, self.frame_time)
        return tuple(map(Unit, found.code.tolist(), _rounded(onsets), _rounded(offsets), found.length.tolist()))

    def tier(self) -> tuple[Interval, ...]:
        """The runs as a tier of a TextGrid, labelled with their codes."""
        return tuple(Interval(unit.onset, unit.offset, str(unit.code)) for unit in self.runs)

    def to_dict(self) -> dict[str, Any]:
        """Plain JSON values: frame by frame in `codes`, run by run in `units`."""
        return {
            "frame_period": self.frame_period,
            "frame_time": self.frame_time,
            "codebook_size": self.codebook_size,
            "codes": self.codes.tolist(),
            "units": [{"code": unit.code, "onset": unit.onset, "offset": unit.offset} for unit in self.runs],
        }

    def to_line(self, name: str) -> dict[str, Any]:
        """A line of JSONL: `units` and their `durations` in seconds, one each; `frames` is how many each spans."""
        found = self.runs
        return {
            "id": name,
            "layer": self.layer,
            "frame_period": self.frame_period,
            "units": [unit.code for unit in found],
            "durations": [round(unit.offset - unit.onset, DECIMALS) for unit in found],
            "frames": [unit.frames for unit in found],
        }


def _rounded(seconds: np.ndarray) -> list[float]:
    values: list[float] = np.round(seconds, DECIMALS).tolist()
    return values
