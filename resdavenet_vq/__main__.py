"""The command line.

A failed command prints one readable message and exits with status 1; set RESDAVENET_VQ_TRACEBACK=1 to see where it came from.
"""

from __future__ import annotations

import errno
import os
import signal
import sys
from contextlib import suppress

from resdavenet_vq.commands import app, baselines, batch, data, encode, external, figures, plan, project, score, train  # noqa: F401 - each adds its commands
from resdavenet_vq.errors import InputError, message
from resdavenet_vq.processes import end_with_starter

EXTRAS = {
    "espeakng_loader": "demo",
    "fastabx": "workflow",
    "huggingface_hub": "hub",
    "jinja2": "report",
    "matplotlib": "report",
    "plotly": "report",
    "polars": "workflow",
    "snakemake": "workflow",
    "tensorboard": "workflow",
}
"""The extra of pyproject.toml that installs an optional package."""


def main() -> None:
    """Run the command line; a failure is one message on standard error and status 1, an interruption status 130."""
    _prepare_streams()
    end_with_starter()
    signal.signal(
        signal.SIGTERM, lambda *_: sys.exit(128 + signal.SIGTERM)
    )  # what is half-written is removed on the way out
    try:
        try:
            app()
        finally:
            sys.stdout.flush()  # here, where a fault can be told
    except KeyboardInterrupt:
        sys.exit(128 + signal.SIGINT)
    except Exception as e:
        if os.environ.get("RESDAVENET_VQ_TRACEBACK"):
            raise
        with suppress(OSError):  # nobody reads
            print(f"error: {message(_text(e))}", file=sys.stderr, flush=True)
        if isinstance(e, OSError):
            os.dup2(os.open(os.devnull, os.O_WRONLY), 1)  # or Python complains again when it ends
        sys.exit(1)


def _text(error: Exception) -> str:
    """What an error says to people."""
    where = "(RESDAVENET_VQ_TRACEBACK=1 shows where)"
    match error:
        case InputError():
            return str(error)
        case MemoryError():
            return f"the memory does not suffice; use fewer workers or smaller batches, or free some {where}"
        case ModuleNotFoundError(name=str(name)) if extra := EXTRAS.get(name.partition(".")[0]):
            return f"{name.partition('.')[0]} is not installed, and this command needs it: pip install 'resdavenet-vq[{extra}]'"
        case OSError(filename=None, errno=errno.ENOSPC | errno.EDQUOT | errno.EFBIG | errno.EIO):  # files are named
            return f"standard output: cannot be written ({error.strerror}); free some space, or send it elsewhere"
        case RecursionError():
            return f"the input is nested too deeply {where}"
    return f"{type(error).__name__}: {' '.join(str(error).split())} {where}"


def _prepare_streams() -> None:
    """Opens standard streams that are closed, which a file would take the place of, and lets no character stop them."""
    for descriptor in range(3):
        try:
            os.fstat(descriptor)
        except OSError:
            os.open(os.devnull, os.O_RDWR)  # the lowest free number is this one
    for name, descriptor in (("stdout", 1), ("stderr", 2)):
        if getattr(sys, name) is None:
            setattr(sys, name, os.fdopen(descriptor, "w", encoding="utf-8", closefd=False))
        getattr(sys, name).reconfigure(errors="backslashreplace")


if __name__ == "__main__":
    main()
