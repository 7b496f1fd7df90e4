"""How Snakemake shows that a plan is refused: by the message of the InputError alone."""

from __future__ import annotations

import logging
import re

from resdavenet_vq.errors import message

_IN_A_FUNCTION = re.compile(
    r"(?:InputFunctionException [^\n]*\n)?Error:\n  InputError: (?P<message>.*?)\nWildcards:\n.*", re.DOTALL
)
"""What Snakemake (9.27) makes of an InputError in a function of wildcards: with its class, wildcards and lines of code."""


def message_alone(text: str) -> str:
    """What Snakemake says of an exception; of an InputError in a function of wildcards, only its message."""
    match = _IN_A_FUNCTION.fullmatch(text)
    return message(match["message"]) if match else text


def show_message_alone(record: logging.LogRecord) -> bool:
    """A filter of Snakemake's log that leaves an InputError's message alone and lets everything pass."""
    if record.levelno >= logging.ERROR:
        record.msg, record.args = message_alone(record.getMessage()), None
    return True
