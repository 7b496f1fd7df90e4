"""The command line.

A failed command prints one readable message and exits with status 1; set RESDAVENET_VQ_TRACEBACK=1 to see where it came from.
"""

from __future__ import annotations

import os
import signal
import sys

from resdavenet_vq.commands import app, data, encode, figures, score, train  # noqa: F401 - each adds its commands
from resdavenet_vq.errors import InputError
from resdavenet_vq.processes import end_with_starter


def main() -> None:
    """Run the command line; a failure is one message on standard error and status 1."""
    end_with_starter()
    signal.signal(
        signal.SIGTERM, lambda *_: sys.exit(128 + signal.SIGTERM)
    )  # what is half-written is removed on the way out
    try:
        app()
    except InputError as e:
        if os.environ.get("RESDAVENET_VQ_TRACEBACK"):
            raise
        print(f"error: {e}", file=sys.stderr)
        sys.exit(1)
    except Exception as e:
        if os.environ.get("RESDAVENET_VQ_TRACEBACK"):
            raise
        print(f"error: {type(e).__name__}: {e} (RESDAVENET_VQ_TRACEBACK=1 shows where)", file=sys.stderr)
        sys.exit(1)


if __name__ == "__main__":
    main()
