"""Frames as text: a line each, values with 3 decimals separated by spaces, as the release of 2020 and ZeroSpeech write them.

Never `-0.000`. Frames that agree to 3 decimals are one symbol to the challenge's bitrate.
"""

from __future__ import annotations

import numpy as np

MOST_KNOWN = 1 << 14
"""Different frames whose text is remembered."""


class Lines:
    """The text of frames; with `remember`, a frame met before is not formatted again."""

    def __init__(self, *, remember: bool) -> None:
        self._known: dict[bytes, str] | None = {} if remember else None

    def of(self, rows: np.ndarray) -> str:
        """One line for each row of (frames, width)."""
        known = self._known
        if known is None:
            return "".join(map(_line, rows))
        lines = []
        for row in rows:
            key = row.tobytes()
            if (line := known.get(key)) is None:
                line = _line(row)
                if len(known) < MOST_KNOWN:
                    known[key] = line
            lines.append(line)
        return "".join(lines)


def _line(row: np.ndarray) -> str:
    """Values with 3 decimals, rounded in double precision, zero without a sign."""
    values = (row.astype(np.float64).round(3) + 0.0).tolist()
    return " ".join(["%.3f"] * len(values)) % tuple(values) + "\n"
