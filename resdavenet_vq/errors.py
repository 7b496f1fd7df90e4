"""The one error that people are meant to read, and how a list of faults is shortened."""

from __future__ import annotations

from collections.abc import Sequence

SHOWN = 20
"""Number of faults that a message lists; the rest are counted."""


class InputError(Exception):
    """Bad input or an impossible request: names the file, what is wrong and what to do.

    The command line prints its text as it is, without a traceback, and exits with status 1.
    """


def listed(faults: Sequence[str], limit: int = SHOWN) -> str:
    """The first `limit` faults, a line each, and "... and N more" where there are more."""
    more = [f"... and {len(faults) - limit} more"] if len(faults) > limit else []
    return "\n".join([*faults[:limit], *more])
