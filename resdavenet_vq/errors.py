"""The error for people, and how a list of faults is shortened."""

from __future__ import annotations

from collections.abc import Sequence


class InputError(Exception):
    """Bad input or an impossible request: the text names the file, the fault and the remedy.

    The command line prints the text without a traceback and exits with status 1.
    """


def listed(faults: Sequence[str], limit: int = 20) -> str:
    """The first `limit` faults, a line each, and "... and N more" where there are more."""
    more = [f"... and {len(faults) - limit} more"] if len(faults) > limit else []
    return "\n".join([*faults[:limit], *more])
