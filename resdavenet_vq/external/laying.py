"""Units on frames of one period: where each begins and ends, and the code of every frame.

Segments are laid on frames of `external.resolution`, or of the frames that their times are counted in: an edge goes to
the nearest one, and no segment gets lost. What lies between them, and up to the end of the audio, is a unit of its own,
the last code: a listener has to be told of it, too, so it counts in bitrate and tokens.
"""

from __future__ import annotations

import numpy as np

from resdavenet_vq.config.references import External
from resdavenet_vq.external.records import MAX_UNITS, Labels, Record


def period_of(record: Record, settings: External) -> float:
    """Seconds of a frame. Raises ValueError where nothing says them."""
    if record.times is not None and (settings.format != "segments" or settings.frame_period is None):
        return settings.resolution
    if (period := record.frame_period or settings.frame_period) is None:
        raise ValueError("nothing says how long a unit lasts; give external's frame_period")
    return period


def spans(record: Record, settings: External) -> np.ndarray | None:
    """The first frame of each unit and the one after its last, (R, 2), in order and apart; None: a unit a frame.

    Raises ValueError where segments are too short for the frames.
    """
    if record.lengths is not None:
        ends = np.cumsum(record.lengths)
        return np.stack([ends - record.lengths, ends], axis=1)
    if record.times is None:
        return None
    in_frames = settings.format == "segments" and settings.frame_period is not None
    edges = record.times if in_frames else record.times / settings.resolution
    if edges.max(initial=0) > MAX_UNITS:
        raise ValueError(f"ends at {record.times.max():g}, later than any recording")
    nearest = np.rint(edges).astype(np.int64).tolist()
    at, laid = 0, []
    for start, end in nearest:
        first = max(start, at)
        at = max(end, first + 1)
        if at - end > 2:
            raise ValueError("many segments are shorter than the frames that they are laid on; give a finer resolution")
        laid.append((first, at))
    return np.array(laid, np.int64).reshape(-1, 2)


def has_equal_neighbours(units: Labels, span: np.ndarray) -> bool:
    """Whether a unit follows its like without a gap, so that marks must tell them apart."""
    labels = np.asarray(units)
    return bool(((labels[1:] == labels[:-1]) & (span[1:, 0] == span[:-1, 1])).any())


def frames(numbers: np.ndarray, span: np.ndarray | None, n_frames: int, gap: int) -> tuple[np.ndarray, np.ndarray]:
    """The code (n_frames,) of each frame, and where units begin; frames in no span are the gap."""
    if span is None:
        return numbers[:n_frames], np.r_[True, numbers[1:n_frames] != numbers[: n_frames - 1]]
    starts, ends = np.minimum(span, n_frames).T
    codes, begins = np.full(n_frames, gap, np.int64), np.zeros(n_frames + 1, bool)
    inside = np.repeat(numbers, ends - starts)
    covered = np.zeros(n_frames + 1, np.int64)
    np.add.at(covered, starts, 1)
    np.add.at(covered, ends, -1)
    codes[np.cumsum(covered)[:-1] > 0] = inside
    begins[starts] = begins[ends] = True
    begins[0] = True
    return codes, begins[:-1]
