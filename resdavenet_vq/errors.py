"""The one error that people are meant to read."""

from __future__ import annotations


class InputError(Exception):
    """Bad input or an impossible request: says which file, what is wrong and what to do.

    The command line prints its text as it is, without a traceback, and exits with status 1.
    """
