"""The error for people, and how texts that came from files are shown to them: escaped, shortened, listed."""

from __future__ import annotations

import re
from collections.abc import Sequence

LONGEST_FAULT = 1000
"""Characters of one fault in a list: a path and a reason have room, an id of ten megabytes has not."""

LONGEST_LINE, MOST_LINES = 4000, 250
"""Of a whole message: the last resort where a list was not shortened."""

_CONTROLS = re.compile(r"[\x00-\x1f\x7f-\x9f\u061c\u200e\u200f\u2028-\u202e\u2066-\u2069\ud800-\udfff]")
"""What moves the cursor, begins a line, turns the direction of writing, or cannot be written in UTF-8."""


class InputError(Exception):
    """Bad input or an impossible request: the text names the file, the fault and the remedy.

    The command line prints the text without a traceback and exits with status 1.
    """


def printable(text: str, keep: str = "") -> str:
    r"""The text with control characters, but those in `keep`, escaped as Python does, like `\x1b` and `\n`.

    Bytes of a file's name that are not UTF-8 are written as `\xff`.
    So text from a corpus cannot begin a line of its own, hide what stands before it, or command the terminal.
    """
    return _CONTROLS.sub(lambda match: match[0] if match[0] in keep else _escaped(match[0]), text)


def _escaped(character: str) -> str:
    if "\udc80" <= character <= "\udcff":  # what Python makes of such a byte
        return f"\\x{ord(character) - 0xDC00:02x}"
    return ascii(character)[1:-1]


def shortened(text: str, limit: int = LONGEST_FAULT) -> str:
    """The text, without its middle if it has more than `limit` characters."""
    if len(text) <= limit:
        return text
    start, end = limit * 2 // 3, limit // 3
    return f"{text[:start]} ... {len(text) - start - end} characters more ... {text[-end:]}"


def listed(faults: Sequence[str], limit: int = 20) -> str:
    """The first `limit` faults, a printable line each, and "... and N more" where there are more."""
    more = [f"... and {len(faults) - limit} more"] if len(faults) > limit else []
    return "\n".join([*(printable(shortened(fault)) for fault in faults[:limit]), *more])


def message(text: str) -> str:
    """A whole message for a terminal or a log: its lines stay, and neither they nor their number are without bound."""
    lines = text.split("\n")
    if len(lines) > MOST_LINES:
        lines[MOST_LINES - 2 : -1] = [f"... and {len(lines) - MOST_LINES + 1} lines more"]
    return "\n".join(printable(shortened(line, LONGEST_LINE), keep="\t") for line in lines)
